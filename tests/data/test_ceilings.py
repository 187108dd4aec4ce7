"""Noise ceilings of a recording and of plain arrays: planted reliability, the files, the recorded session."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recon import cli
from recon.data import ceilings as module
from recon.data.ceilings import MEASURES, array_repeats, ceilings, recording_repeats, screen
from recon.data.noise_ceiling import explainable_variance, split_half
from recon.data.open import open_recording
from recon.data.writer import RecordingWriter

UNITS, REPEATS, BINS = 40, 20, 200


@pytest.fixture
def arrays(tmp_path: Path) -> Path:
    """Units of an area whose signal is as strong as the noise of a trial, units of another that only make noise."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(UNITS, 1, BINS)) * (np.arange(UNITS) < 25)[:, None, None]
    responses = 5 + signal + rng.normal(size=(UNITS, REPEATS, BINS))
    responses[-1] = 0
    areas = np.array(["V1"] * 25 + ["CA1"] * 15)
    np.savez(tmp_path / "all.npz", act=responses, areas=areas, ids=np.arange(UNITS) + 900)
    return tmp_path / "all.npz"


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "ceiling.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_planted_ceilings_of_arrays(arrays: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Signal and noise of variance 1: halves of 10 have 1/(1 + 1/10), twenty 1/(1 + 1/20), single trials share 1/2."""
    named = ["--responses", f"{arrays}:act", "--areas", f"{arrays}:areas", "--unit-ids", f"{arrays}:ids"]
    out = tmp_path / "out"
    assert cli.main(["data", "ceiling", *named, "--output", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "40 units, 20 repeats of 200 frames" in shown and len(shown.splitlines()) < 12
    assert "undefined and left out: 1 of oracle" in shown
    rows = table(out)
    assert [row["unit_id"] for row in rows] == [str(900 + i) for i in range(UNITS)]
    assert {(row["repeats"], row["frames"]) for row in rows} == {("20", "200")} and rows[-1]["oracle"] == ""

    def median(name: str, area: str) -> float:
        return float(np.median([float(row[name]) for row in rows if row["area"] == area and row[name]]))

    expected = {
        "oracle": 1 / np.sqrt(2 * (1 + 1 / 19)),
        "split_half": 1 / 1.1,
        "alternating": 1 / 1.1,
        "split_half_corrected": 1 / 1.05,
        "explainable_variance": 0.5,
        "cc_max": 1 / np.sqrt(1.05),
        "signal_power": 1,
    }
    for name, value in expected.items():
        assert median(name, "V1") == pytest.approx(value, abs=0.07), name
    for name in ("oracle", "split_half", "alternating", "split_half_corrected", "explainable_variance"):
        assert abs(median(name, "CA1")) < 0.15, name
    with Image.open(out / "ceiling.png") as picture:
        assert picture.size[0] > 600 and len(picture.convert("RGB").getcolors(100000) or ()) > 5
        assert not set(picture.info) - {"dpi"}, "no version and no date in the file"
    assert not [file for file in out.iterdir() if file.name.startswith(".")]


def test_blocks_and_seeds_do_not_change_what_is_measured(arrays: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repeats = array_repeats([f"{arrays}:act"])
    whole = ceilings(repeats, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(module, "NEURONS", 7)
    parts = ceilings(repeats, generator=torch.Generator().manual_seed(1))
    for name in MEASURES:
        torch.testing.assert_close(whole[name], parts[name], equal_nan=True)
    torch.testing.assert_close(whole["explainable_variance"], explainable_variance(repeats.responses), equal_nan=True)
    assert "area" in screen(repeats, whole) and "(none)" not in screen(repeats, whole)


def test_several_arrays_are_clips_of_the_same_units(arrays: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "more.npy", np.random.default_rng(1).random((UNITS, REPEATS, 50)))
    repeats = array_repeats([f"{arrays}:act", str(tmp_path / "more.npy")])
    assert repeats.responses.shape == (REPEATS, UNITS, BINS + 50)


def with_gaps(responses: np.ndarray, *, share: float, seed: int) -> np.ndarray:
    """Return responses with some bins of a random share of the repeats not shown: NaN."""
    rng = np.random.default_rng(seed)
    missing = rng.random(responses.shape[:2]) < share
    return np.where(missing[..., None] & (np.arange(responses.shape[2]) < 5), np.nan, responses)


def plain(clips: list[np.ndarray], unit: int) -> dict[str, float]:
    """Return the ceilings of a unit by the textbook formulas, from its complete repeats of every clip alone."""
    own = [clip[unit][np.isfinite(clip[unit]).all(1)].astype(np.float32).astype(float) for clip in clips]
    whole = np.concatenate(own, 1) if len(own) > 1 else own[0]
    count, power = len(whole), whole.var(1)
    others = [np.delete(whole, i, 0).mean(0) for i in range(count)]
    signal = (whole.sum(0).var() - power.sum()) / (count * (count - 1))
    return {
        "repeats": count,
        "oracle": np.corrcoef(whole.ravel(), np.concatenate(others))[0, 1],
        "alternating": np.corrcoef(whole[::2].mean(0), whole[1::2].mean(0))[0, 1],
        "signal_power": signal,
        "explainable_variance": signal / power.mean(),
        "cc_max": np.sqrt(signal / whole.mean(0).var()) if signal > 0 else np.nan,
    }


def test_gaps_leave_each_unit_its_complete_repeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fifth of the repeats has NaN, as in array recordings of macaque V1; one unit has one repeat, one has none."""
    rng = np.random.default_rng(3)
    responses = with_gaps(5 + rng.normal(size=(9, 1, 60)) + rng.normal(size=(9, 12, 60)), share=0.2, seed=0)
    responses[4, 1:, 7], responses[6, :, 0] = np.nan, np.nan
    responses[4, 0] = 1.0
    np.savez(tmp_path / "v1.npz", act=responses, ids=np.arange(9) + 70)
    named = ["--responses", f"{tmp_path / 'v1.npz'}:act", "--unit-ids", f"{tmp_path / 'v1.npz'}:ids"]
    assert cli.main(["data", "ceiling", *named, "--output", str(tmp_path)]) == 0
    shown, found = capsys.readouterr().out, table(tmp_path)
    counts = [plain([responses], unit)["repeats"] for unit in range(9) if unit not in (4, 6)]
    assert f"7 units, {min(counts)}–{max(counts)} complete repeats of 60 frames" in shown and max(counts) > min(counts)
    assert "fewer than 2 complete repeats, left out: 2 units (74, 76)" in shown
    assert [found[unit]["repeats"] for unit in (4, 6)] == ["1", "0"] and found[4]["oracle"] == ""
    for unit in {*range(9)} - {4, 6}:
        for name, value in plain([responses], unit).items():
            assert float(found[unit][name] or "nan") == pytest.approx(value, rel=1e-6, abs=1e-9, nan_ok=True), name


def test_gaps_of_several_arrays_count_in_each_by_itself(tmp_path: Path) -> None:
    """A unit that has repeat 0 of one array and repeat 1 of another still has both clips, each with its own repeats."""
    rng = np.random.default_rng(4)
    clips = [rng.normal(size=(3, 4, length)) for length in (30, 50)]
    clips[0][1, 0], clips[1][1, 3] = np.nan, np.nan
    clips[1][2, 1:] = np.nan
    for number, clip in enumerate(clips):
        np.save(tmp_path / f"{number}.npy", clip)
    repeats = array_repeats([str(tmp_path / "0.npy"), str(tmp_path / "1.npy")])
    assert repeats.sizes.tolist() == [[4, 80], [3, 80], [4, 30]]
    found = ceilings(repeats, generator=torch.Generator().manual_seed(0), halves=20)
    for unit, shown in enumerate((clips, clips, clips[:1])):
        expected = plain(shown, unit)
        for name in expected.keys() - {"repeats"}:
            assert float(found[name][unit]) == pytest.approx(expected[name], rel=1e-5, abs=1e-8, nan_ok=True), name
    alone = torch.from_numpy(np.delete(clips[0][1], 0, 0).astype(np.float32)), torch.from_numpy(clips[1][1, :3]).float()
    seed = int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(0)))
    halves = split_half(torch.cat(alone, 1)[:, None], generator=torch.Generator().manual_seed(seed), halves=20)
    assert float(found["split_half"][1]) == pytest.approx(float(halves[0]), rel=1e-9)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two clips, shown five times each, and trials that are shown once."""
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (2, 120, 9, 16), dtype=np.uint8)
    signals = rng.normal(size=(2, 6, 120))
    with RecordingWriter(tmp_path / "mouse", unit_ids=range(10, 16)) as writer:
        for i in range(12):
            clip = clips[i % 2] if i < 10 else rng.integers(0, 256, (120, 9, 16), dtype=np.uint8)
            responses = 5 + signals[i % 2] + rng.normal(size=(6, 120))
            writer.write_trial(i, tier="oracle" if i < 10 else "train", video=clip, responses=responses)
    return tmp_path / "mouse"


def test_a_recording_is_measured_on_its_repeated_clips(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert recording_repeats(open_recording(recording)).responses.shape == (5, 6, 240)
    before = open_recording(recording).fingerprint()
    assert cli.main(["data", "ceiling", str(recording)]) == 0
    assert "6 units, 5 repeats of 240 frames" in capsys.readouterr().out
    rows = table(recording)
    assert [row["unit_id"] for row in rows] == [str(i) for i in range(10, 16)]
    assert np.median([float(row["explainable_variance"]) for row in rows]) == pytest.approx(0.5, abs=0.1)
    assert (recording / "ceiling.png").is_file() and open_recording(recording).fingerprint() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected a recording's folder or --responses, got neither"),
        (["FOLDER", "--responses", "ALL:act"], "got both"),
        (["FOLDER", "--unit-ids", "ALL:ids"], "a recording has its own"),
        (["--responses", "ALL:areas"], "expected (units, repeats, segments or bins) of numbers"),
        (["--responses", "ALL:act", "--areas", "ALL:act"], "areas: expected 40 areas, one per unit, got"),
        (["--responses", "ALL:act", "--unit-ids", "SHORT"], "unit_ids: expected 40 ids, one per unit, got 3"),
        (["--responses", "ALL:act", "SINGLE"], "of the same units, got [3, 40] units"),
        (["--responses", "SINGLE"], "with R ≥ 2"),
        (["--responses", "NAN"], "expected units with 2 or more complete repeats"),
        (["--responses", "INF"], "got infinity for the units 1 (counted from 0)"),
        (["--responses", "ALL:act", "--halves", "0"], "halves: expected 1 or more"),
    ],
)
def test_bad_input_is_one_sentence(
    arrays: Path, recording: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    named = {name: str(arrays.parent / f"{name}.npy") for name in ("SHORT", "SINGLE", "NAN", "INF")}
    np.save(named["SHORT"], np.arange(3))
    np.save(named["SINGLE"], np.ones((3, 1, 9)))
    np.save(named["NAN"], np.full((3, 2, 9), np.nan))
    np.save(named["INF"], np.where(np.arange(3)[:, None, None] == 1, np.inf, np.ones((3, 2, 9))))
    named |= {"FOLDER": str(recording)}
    given = [named.get(one, one).replace("ALL:", f"{arrays}:") for one in arguments]
    assert cli.main(["data", "ceiling", *given]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_a_recording_without_repeats_says_so(
    published: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["data", "ceiling", str(published())]) == 2
    assert "a noise ceiling needs repeats" in capsys.readouterr().err


@pytest.mark.real
def test_the_recorded_session_has_its_published_reliability(real_data: Path) -> None:
    """V1: 0.91, the median correlation over the 30 bins of the mean of the ten even and of the ten odd repeats.

    That is uncorrected and of alternating halves: random halves give 0.87 (0.93 corrected), since responses drift over
    the session (first against last ten repeats: 0.81). Hippocampus: 0.15 alternating, 0.07 random.
    """
    file = real_data / "allen_npx_natural_movie/prep_data_791319847.mat"
    if not file.is_file():
        pytest.skip(f"real data: expected {file}")
    repeats = array_repeats([f"{file}:act"], areas=f"{file}:unit_regs", unit_ids=f"{file}:units_ind")
    assert repeats.responses.shape == (20, 555, 30)
    found = ceilings(repeats, generator=torch.Generator().manual_seed(0))
    visual = torch.tensor([area == "VISp" for area in repeats.areas])
    hippocampus = torch.tensor([area in ("CA1", "CA2", "CA3", "DG") for area in repeats.areas])
    assert int(visual.sum()) == 93 and int(hippocampus.sum()) == 153
    median = {name: (values[visual].nanmedian(), values[hippocampus].nanmedian()) for name, values in found.items()}
    assert median["alternating"][0].item() == pytest.approx(0.91, abs=0.02)
    assert median["split_half"][0].item() == pytest.approx(0.866, abs=0.02)
    assert median["split_half_corrected"][0].item() == pytest.approx(0.928, abs=0.02)
    assert median["alternating"][1] < 0.3 and median["split_half"][1] < 0.2
    assert median["explainable_variance"][0] > 0.3 > 0.02 > median["explainable_variance"][1]
