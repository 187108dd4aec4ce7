"""Methods as trees: what is exchanged, what is switched off, what is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from worlds.ablation import section

from recon import config
from recon.study.ablation.rows import (
    FULL,
    GAUSSIAN,
    MEAN,
    NULL,
    PRIOR,
    SHUFFLED_TEXT,
    SILENT_PRIOR,
    TRUE_TEXT,
    Ablation,
)
from recon.study.ablation.trees import (
    decoded_text,
    guided,
    knobs,
    prior_only,
    setting,
    turned,
    with_gaussian,
    with_text,
)

DIFFUSION = {"name": "diffusion", "guidance": 2.0}
DEEP: dict[str, Any] = {
    "name": "average",
    "weights": {"a": 1.0, "b": 1.0},
    "methods": {
        "a": {"name": "smoothed", "method": {"name": "egg", "scale": 2.0, "denoiser": DIFFUSION}},
        "b": {"name": "diffpir", "denoiser": DIFFUSION, "start": {"name": "ridge"}},
    },
}


def test_methods_with_a_learnt_prior_are_found_at_any_depth() -> None:
    assert [method["name"] for method in guided(DEEP)] == ["egg", "diffpir"]
    assert [method["name"] for method in guided([{"name": "ridge"}, DEEP])] == ["egg", "diffpir"]
    assert not list(guided({"name": "diffpir", "denoiser": {"name": "gaussian"}}))


def test_only_what_is_named_changes_and_the_tree_itself_never() -> None:
    before = copy.deepcopy(DEEP)
    gaussian, told = with_gaussian(DEEP), with_text(DEEP, {"name": "given"})
    assert gaussian["methods"]["a"]["method"] == {"name": "egg", "scale": 2.0, "denoiser": {"name": "gaussian"}}
    assert gaussian["methods"]["b"]["start"] == {"name": "ridge"} and not list(guided(gaussian))
    assert told["methods"]["b"]["denoiser"] == {**DIFFUSION, "text": {"name": "given"}}
    assert with_text(told, None) == DEEP
    assert turned(DEEP, "guidance", 0.0)["methods"]["b"]["denoiser"]["guidance"] == 0.0
    assert before == DEEP


def test_a_knob_is_turned_where_a_method_has_it() -> None:
    assert knobs(DEEP) == ["guidance", "beta", "scale"]
    assert turned(DEEP, "scale", 1.0)["methods"]["a"]["method"]["scale"] == 1.0
    assert turned(DEEP, "scale", 1.0)["methods"]["b"] == DEEP["methods"]["b"]
    assert turned(DEEP, "beta", 3.0)["methods"]["b"]["data"] == {"beta": 3.0}
    kept = {"name": "diffpir", "denoiser": DIFFUSION, "data": {"steps": 3, "beta": 1.0}}
    assert turned(kept, "beta", 0.1)["data"] == {"steps": 3, "beta": 0.1}
    assert (setting(kept, "beta"), setting(kept, "guidance"), setting(DEEP, "beta")) == (1.0, 2.0, None)
    by_level = {**kept, "denoiser": {**DIFFUSION, "guidance": {"high": 3.0, "between": [0.4, 2.0]}}}
    assert setting(by_level, "guidance") is None, "a guidance by noise level is no value of a sweep"
    assert setting(turned(by_level, "guidance", 2.0), "guidance") == 2.0
    with pytest.raises(ValueError, match=r"sweep: expected one of guidance, beta, got 'scale'; correct or remove it"):
        turned(kept, "scale", 1.0)


@pytest.mark.parametrize(
    ("method", "off"),
    [
        ({"name": "diffpir", "data": {"beta": 2.0, "steps": 3}}, {"data": {"beta": 0.0, "steps": 3}}),
        ({"name": "plug_and_play"}, {"data": {"beta": 0.0}}),
        ({"name": "dps", "beta": 2.0}, {"beta": 0.0}),
        ({"name": "split_gibbs"}, {"beta": 0.0}),
        ({"name": "egg", "scale": 2.0}, {"scale": 0.0}),
        ({"name": "sample", "levels": 3}, {}),
    ],
)
def test_without_activity_nothing_pulls_and_no_start_leaks(method: dict[str, Any], off: dict[str, Any]) -> None:
    tree = {**method, "denoiser": DIFFUSION, "start": {"name": "ridge"}}
    assert prior_only(tree) == {**method, "denoiser": DIFFUSION, **off}
    wrapped = {"name": "smoothed", "sigma": [1.0, 1.0, 1.0], "method": tree}
    assert prior_only(wrapped) == {**wrapped, "method": prior_only(tree)}


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({**DEEP, "methods": {**DEEP["methods"], "a": {"name": "ridge"}}}, "'average'"),
        ({"name": "gradient", "start": {"name": "dps", "denoiser": DIFFUSION}}, "'gradient'"),
        ({"name": "egg"}, "'egg'"),
    ],
)
def test_what_sees_activity_by_itself_is_no_prior(tree: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=rf"prior only: expected .*, got {named}.*prior_only"):
        prior_only(tree)


def test_an_average_of_priors_is_a_prior() -> None:
    silent = prior_only(DEEP)["methods"]
    assert (silent["a"]["method"]["scale"], silent["b"]["data"]) == (0.0, {"beta": 0.0}) and "start" not in silent["b"]


def test_a_sweep_without_values_takes_the_declared_ones() -> None:
    made = ablation(sweep={"beta": []})
    assert [row["label"] for row in made.rows()][-4:] == ["beta 0.1", "beta 0.3", "beta 1", "beta 3"]
    assert made.curves() == {"beta": ["beta 0.1", "beta 0.3", "beta 1", "beta 3"]}


def test_how_words_are_decoded_is_kept() -> None:
    assert decoded_text(DEEP) == {"name": "decoded"}
    asked = {"name": "decoded", "penalty": 3.0}
    assert decoded_text(with_text(DEEP, asked)) == asked
    assert decoded_text(with_text(DEEP, None)) == {"name": "decoded"}
    with pytest.raises(ValueError, match="expected a denoiser whose text is decoded"):
        decoded_text(with_text(DEEP, {"name": "typed", "caption": "a"}))


def ablation(**changed: Any) -> Ablation:
    return config.record(Ablation, section(**changed), where="ablation")


def test_the_rows_are_what_their_labels_say() -> None:
    made = ablation(sweep={"guidance": [0.0, 3.0], "beta": [0.3]}, reference={"ridge": {"name": "ridge"}}, seeds=[0, 1])
    rows = {row["label"]: row for row in made.rows()}
    assert list(rows) == [
        "no prior",
        "Gaussian prior",
        "diffusion, no text",
        "diffusion, true text",
        "diffusion, decoded text",
        "diffusion, shuffled text",
        "diffusion, typed text",
        "prior only, decoded text",
        "prior only, no text",
        "shuffled activity",
        "mean",
        "ridge",
        "guidance 0",
        "guidance 3",
        "beta 0.3",
    ]
    assert rows[NULL]["method"] == rows[FULL]["method"] and rows[NULL]["condition"] == "wrong_clip"
    assert (rows[TRUE_TEXT]["words"], rows[SHUFFLED_TEXT]["words"]) == ("true", "shuffled")
    assert [label for label, row in rows.items() if "words" in row] == [TRUE_TEXT, SHUFFLED_TEXT]
    texts = {
        label: [m["denoiser"].get("text", {}).get("name") for m in guided(row["method"])] for label, row in rows.items()
    }
    assert texts[FULL] == texts[PRIOR] == texts["beta 0.3"] == ["decoded"]
    assert texts[SILENT_PRIOR] == [None] and texts[TRUE_TEXT] == texts[SHUFFLED_TEXT] == ["given"]
    assert not texts[GAUSSIAN] and not texts[MEAN]
    assert rows[GAUSSIAN]["seeds"] == [0, 1] and "seeds" not in rows[MEAN]
    assert rows[PRIOR]["method"]["method"]["data"] == {"beta": 0.0, "steps": 2}


def test_a_curve_goes_through_the_full_method_where_it_has_its_place() -> None:
    curves = ablation(sweep={"guidance": [3.0, 0.0], "beta": [0.3, 1.0]}).curves()
    assert curves == {"guidance": ["guidance 0", FULL, "guidance 3"], "beta": ["beta 0.3", "beta 1"]}


def test_another_sampler_may_stand_for_the_prior_but_sees_no_activity_either() -> None:
    sampler = {"name": "dps", "beta": 5.0, "denoiser": DIFFUSION}
    words = {"name": "decoded", "unit": True}
    method = with_text(section()["method"], words)
    rows = {row["label"]: row["method"] for row in ablation(method=method, prior_only=sampler).rows()}
    assert rows[PRIOR] == {**sampler, "beta": 0.0, "denoiser": {**DIFFUSION, "text": words}}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": {"name": "ridge"}}, r"ablation: method: expected a method with `denoiser: \{name: diffusion\}`"),
        ({"prior_only": {"name": "mean"}}, "ablation: prior_only: expected a method with"),
        ({"typed": " "}, "typed: expected a caption, got an empty text"),
        ({"metric": "lpips"}, "metric: expected one of video_correlation, ssim, .* got 'lpips'"),
        ({"tipped": "a"}, r"did you mean 'typed'\?"),
    ],
)
def test_what_cannot_be_ablated_is_said(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ablation(**changed)
