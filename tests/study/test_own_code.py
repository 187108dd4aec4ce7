"""A user's own encoders, methods and priors: `module:factory`, entry points, and whom recon trusts."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from worlds import labs
from worlds.bench import bench_of

import recon
from recon import cli, config
from recon.encoders import load
from recon.encoders.base import Encoder, Spec
from recon.encoders.identity import state_hash
from recon.files.code_version import code_version, modules_of
from recon.methods import Mean
from recon.priors import GaussianPrior
from recon.study.benchmark import benchmark
from recon.study.encoders import Arithmetic, ready_encoder
from recon.study.shared import encoder_content
from recon.study.task import Task

NEURONS = 24
OWN = {"name": "my_lab:build", "neurons": NEURONS}
MAP = {"label": "map", "method": {"preset": "map_spectrum", "iterations": 3}}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Path]:
    """The folder of `my_lab` and `their_my_lab`, importable within the test."""
    folder = labs.write_labs(tmp_path / "lab", "my_lab")
    with labs.importable(folder):
        yield folder


def built(**settings: Any) -> Encoder:
    made: Encoder = config.build("encoder", OWN | settings)
    return made


def test_a_foreign_module_gives_equal_movies_by_name_and_in_python(lab: Path, tree: dict[str, Any]) -> None:
    """By `module:factory` in YAML and in Python, and wrapped in Python: the same movie, bit for bit."""
    import my_lab

    tree |= {"rows": [MAP], "clips": {"count": 1}}
    encoders = (OWN, recon.load_encoder(OWN, device="cpu"), my_lab.build(NEURONS))
    benches = [bench_of(tree | {"encoders": {"theirs": one}}) for one in encoders]
    first, *others = (Task(bench, bench.plans[0], bench.batches[0]).solve().result.movie for bench in benches)
    assert first.std() > 0.01 and all(torch.equal(first, other) for other in others)
    with h5py.File(next(benchmark(tree | {"encoders": {"theirs": OWN}}).glob("tasks/*/movie.h5"))) as file:
        (group,) = file.values()
        assert np.array_equal(group["reconstruction"][:], first.mean(1).half()[0].numpy())


def test_keys_count_weights_arguments_and_code(lab: Path, tmp_path: Path) -> None:
    """A changed line of the factory's module, or of a module that it imports, makes another result; a comment none."""
    first = built()
    code, predicted = code_version(*modules_of(first)), encoder_content(OWN)
    assert state_hash(built()) == state_hash(first) != state_hash(built(gain=2.0))
    first.module.net.readout.bias.data += 1
    assert state_hash(built()) != state_hash(first)
    for name, old, new, same in (
        ("my_lab.py", "return self.gain", "return 1.5 * self.gain", False),
        ("their_my_lab.py", "117.0", "118.0", False),
        ("their_my_lab.py", "import torch\n", "import torch  # theirs\n", True),
    ):
        changed = shutil.copytree(lab, tmp_path / "changed", dirs_exist_ok=True)
        text = (lab / name).read_text()
        assert old in text
        (changed / name).write_text(text.replace(old, new))
        for module in ("my_lab", "their_my_lab"):
            sys.modules.pop(module, None)
        with labs.importable(changed):
            assert (code_version(*modules_of(built())) == code) is same, (name, old)
            assert (encoder_content(OWN) == predicted) is same, "of a recording that the encoder predicts"
        shutil.rmtree(changed)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_are_loaded_strictly(lab: Path, tmp_path: Path, suffix: str) -> None:
    """Names as the published module's own, which the adapter puts behind a prefix."""
    import my_lab
    from safetensors.torch import save_file

    torch.manual_seed(7)
    state = my_lab.TheirNet(NEURONS, 16, 24).state_dict()
    file = tmp_path / f"theirs{suffix}"
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    loaded = built(weights=str(file))
    assert torch.equal(loaded.module.net.readout.bias, state["readout.bias"]) and not loaded.training
    assert state_hash(config.build("encoder", OWN | {"name": "my_lab:pair", "weights": str(file)}))
    del state["readout.bias"]
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    with pytest.raises(ValueError, match="expected shape"):
        built(weights=str(file))


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"neuron": 3}, r"encoder: expected one of neurons, .*did you mean 'neurons'.*got key 'neuron'"),
        ({"gain": "high"}, r"encoder\.gain: expected number, got 'high'"),
        ({"size": [12, 16, 3]}, r"encoder\.size"),
        ({"name": "my_lab:biuld"}, r"my_lab:biuld: expected a name in my_lab, got 'biuld' \(did you mean 'build'\?\)"),
        ({"name": "my_labs:build"}, r"expected a module that Python finds, got no my_labs"),
        ({"name": "my-lab:build"}, r"encoder\.name: expected one of .*package\.module:function names code of your own"),
        ({"name": "os:system"}, r"os:system: expected a module of your own, got Python's os"),
        ({"name": "torch.hub:load"}, r"expected a subclass of Encoder, or a function annotated `-> Encoder`"),
        ({"name": "my_lab:careless"}, r"got no return annotation; annotate what it returns"),
        ({"name": "my_lab:average"}, r"got one that makes Mean"),
        ({"name": "my_lab:answer"}, r"expected a function or class, got int"),
        ({"name": "my_lab:wrong"}, r"expected it to return an Encoder or \(module, Spec\), got int"),
    ],
)
def test_what_is_wrong_with_a_factory_is_said(lab: Path, tree: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        built(**tree)


def test_a_module_that_fails_to_be_imported_is_named(lab: Path) -> None:
    (lab / "broken_lab.py").write_text("import sys\nsys.exit('no licence')\n")
    with pytest.raises(ValueError, match="got SystemExit: no licence; try `python -c 'import broken_lab'`"):
        config.build("encoder", {"name": "broken_lab:build"})


def test_modules_of_the_current_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed command does not look there by itself."""
    monkeypatch.chdir(labs.write_labs(tmp_path / "lab", "lab_here"))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    assert config.build("encoder", OWN | {"name": "lab_here:build"}).spec.neuron_ids == tuple(range(NEURONS))


def test_methods_and_priors_are_named_alike(lab: Path) -> None:
    assert config.build("method", {"name": "my_lab:average"}) == Mean()
    sampled = config.build("method", {"name": "dps", "denoiser": {"name": "my_lab:smooth"}})
    assert sampled.denoiser == GaussianPrior()


ENTRIES = """[recon.encoders]
their_net = my_lab:build
absent = no_such_lab:build
judge = my_lab:build
[recon.methods]
their_mean = my_lab:average
"""


def declare(folder: Path, package: str, entries: str) -> None:
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(entries)


def test_packages_add_names_by_entry_points(
    lab: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    declare(lab, "my_lab_tools", ENTRIES)
    labs.forget_code()
    assert built(name="their_net").spec.neuron_ids == tuple(range(NEURONS))
    assert config.build("method", {"name": "their_mean"}) == Mean()
    with pytest.raises(ValueError, match=r"absent: expected the entry point no_such_lab:build of my_lab_tools 1\.0"):
        built(name="absent")
    assert cli.main(["list"]) == 0
    said = capsys.readouterr().out
    assert "The network of their laboratory" in said and "not available: absent" in said
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="weights"):
        config.build("encoder", {"name": "judge", "weights": "none"})
    assert "'judge' of my_lab_tools 1.0 is refused: the name is recon's own" in caplog.text
    declare(lab, "other_tools", "[recon.encoders]\ntheir_net = their_my_lab:TheirNet\n")
    labs.forget_code()
    with pytest.raises(ValueError, match=r"expected the name of one package, got my_lab_tools 1\.0 and"):
        built(name="their_net")


def test_code_in_a_configuration_that_came_with_results_is_refused(
    lab: Path, tree: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a rerun nor a command on the file imports it; with --trust-code a rerun does."""
    run = benchmark(tree | {"rows": [MAP], "clips": {"count": 1}, "encoders": {"theirs": OWN}})
    downloaded = shutil.copytree(run, tmp_path / "downloaded/run")
    unmarked = shutil.copytree(run, tmp_path / "unmarked")
    (unmarked / ".recon.json").unlink()
    del sys.modules["my_lab"]
    for command in (
        ["rerun", str(downloaded)],
        ["benchmark", str(downloaded / "config.yaml")],
        ["benchmark", str(unmarked / "config.yaml"), "seed=1"],
    ):
        assert cli.main(command) == 2
        said = capsys.readouterr().err
        assert "got the code my_lab:build at encoders.theirs.name; read that module" in said
        assert "my_lab" not in sys.modules and not (tmp_path / "downloaded/run again").exists()
    assert cli.main(["rerun", str(downloaded), "--trust-code"]) == 0
    assert "all numbers identical" in capsys.readouterr().out
    own = tmp_path / "own.yaml"
    shutil.copy(downloaded / "config.yaml", own)
    assert config.load(own)["encoders"]["theirs"] == OWN, "a file of one's own is trusted"


def test_code_in_presets_and_interpolations_beside_results_is_refused(lab: Path, run: Path, tmp_path: Path) -> None:
    inner = tmp_path / "methods"
    inner.mkdir()
    (tmp_path / ".recon.json").write_text("{}")
    (inner / "theirs.yaml").write_text("name: my_lab:average\n")
    for method in ({"preset": "theirs"}, {"name": "${a}:average"}):
        OmegaConf.save(OmegaConf.create({"a": "my_lab", "rows": [{"method": method}]}), tmp_path / "bench.yaml")
        with pytest.raises(ValueError, match=r"got the code my_lab:average at rows\[0\]\.method\.name"):
            config.load(tmp_path / "bench.yaml")
        assert config.load(tmp_path / "bench.yaml", trust_code=True)["rows"][0]["method"]["name"] == "my_lab:average"


def test_an_encoder_is_checked_against_a_recording(lab: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["encoders", "check", "my_lab:build", f"neurons={NEURONS}", "--recording", str(world / "recording")]
    assert cli.main(command) == 0
    said = capsys.readouterr().out
    assert "rates: 24 neurons, raw" in said and "context: 2 frames before, 0 after" in said and "fits " in said
    assert cli.main(["encoders", "check", "judge", f"weights={world / 'encoder0.safetensors'}"]) == 2
    for other, wrong in (("neurons=7", "expected 24 neurons"), ("size=[16,20]", "expected frames (16, 24)")):
        assert cli.main([*command, other]) == 2
        assert f"encoder: {wrong}" in capsys.readouterr().err


class Still(Encoder):
    """An encoder of the user's class without a gradient."""

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, movie: torch.Tensor, behavior: torch.Tensor | None = None) -> torch.Tensor:
        return movie.detach().mean((1, 3, 4))[:, None].expand(-1, len(self.spec.neuron_ids), -1)


def test_an_encoder_built_in_python_is_tried_at_second_0(world: Path) -> None:
    recording = recon.open_recording(world / "recording").reader
    with pytest.raises(ValueError, match=r"mine: rates: expected a gradient with respect to the movie, got none"):
        ready_encoder(
            Still(Spec((16, 24), recording.unit_ids)), recording, Arithmetic(torch.device("cpu")), where="mine"
        )


def test_names_of_recon_are_as_before() -> None:
    assert load("core_readout", weights="v1_seed0").source_digest == ""
