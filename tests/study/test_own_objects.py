"""Python objects in place of names: which keys they have, what is computed anew, and what is refused."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from worlds import own_lab
from worlds.bench import bench_of, configuration
from worlds.toy_method import ToyMethod

from recon import config
from recon.encoders.base import Spec
from recon.encoders.checkpoints import load_encoder
from recon.encoders.wrap import wrap
from recon.errors import InputError
from recon.files.code_version import code_version
from recon.methods import Gradient, Mean, Smoothed
from recon.priors.gaussian import GaussianPrior
from recon.problem.fidelities.base import Likelihood
from recon.problem.fidelities.independent import Gaussian, Poisson
from recon.study.executors.places import place_of
from recon.study.objects import check_portable, unnamed
from recon.study.task import Task


def task_of(world: Path, method: Any, **changed: Any) -> Task:
    tree = configuration(world) | {"rows": [{"label": "one", "method": method}]} | changed
    bench = bench_of(tree)
    return Task(bench, bench.plans[0], bench.batches[0])


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(tmp_path))
    own_lab.write(tmp_path, "my_lab")
    return own_lab.imported(tmp_path, "my_lab")


def test_an_object_of_a_known_class_is_its_settings(world: Path) -> None:
    method = Smoothed(Gradient(parameterisation="spectrum", iterations=3), sigma=(1.0, 0.0, 0.0))
    settings = {
        "name": "smoothed",
        "method": {"name": "gradient", "parameterisation": "spectrum", "iterations": 3},
        "sigma": [1.0, 0.0, 0.0],
    }
    assert config.expand({"row": [method]}) == {"row": [settings]}
    assert config.build("method", settings) == method
    assert config.expand(ToyMethod()) == ToyMethod() and config.expand(Gaussian(torch.ones(3))) is not None
    assert task_of(world, method).key == task_of(world, settings).key
    by_name = task_of(world, {"name": "mean"}, rows=[row("mean", {"name": "poisson"})])
    assert task_of(world, None, rows=[row("mean", Poisson())]).key == by_name.key


def row(method: str, fidelity: Any) -> dict[str, Any]:
    return {"label": "one", "method": {"name": method}, "fidelity": fidelity}


def test_objects_stand_inside_settings_and_in_records(world: Path) -> None:
    inside = {"name": "smoothed", "method": ToyMethod(GaussianPrior())}
    assert task_of(world, inside).plan.method == Smoothed(ToyMethod(GaussianPrior()))


@dataclasses.dataclass(frozen=True)
class Scaled(Likelihood):
    """A user's own fidelity, with a fitted scale."""

    by_frame = True
    scale: float | None = None

    def __call__(self, rates: torch.Tensor, responses: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return ((rates * (self.scale or 1) - responses) ** 2 * mask).sum((1, 2))

    def fit(self, rates: torch.Tensor, responses: torch.Tensor, mask: torch.Tensor) -> Any:
        return dataclasses.replace(self, scale=float(responses[mask].mean() / rates[mask].mean()))


def test_an_own_fidelity_is_fitted(world: Path) -> None:
    task = task_of(world, None, rows=[row("mean", Scaled())])
    assert isinstance(fidelity := task.pose().fidelity, Scaled) and fidelity.scale
    assert not task.unnamed and task.key != task_of(world, None, rows=[row("mean", Scaled(1.0))]).key


def test_an_encoder_is_copied_and_named_by_its_state(world: Path) -> None:
    encoder = load_encoder(world / "encoder0.safetensors").train()
    named, given = task_of(world, {"name": "mean"}), task_of(world, {"name": "mean"}, encoders={"first": encoder})
    assert named.key == given.key and not given.unnamed
    assert encoder.training and all(parameter.requires_grad for parameter in encoder.parameters())
    next(encoder.parameters()).data.add_(0.1)
    assert task_of(world, {"name": "mean"}, encoders={"first": encoder}).key != named.key


def test_hooks_of_a_wrapped_module_cannot_be_named(world: Path) -> None:
    spec = load_encoder(world / "encoder0.safetensors").spec
    module = torch.nn.Sequential(torch.nn.Flatten(1), torch.nn.Linear(16 * 24, len(spec.neuron_ids)))
    wrapped = wrap(module, Spec(spec.frame_size, spec.neuron_ids), frame_by_frame=True)
    assert unnamed(wrapped) == ""
    module.register_forward_hook(lambda *_: None)
    assert unnamed(wrapped) == "Sequential has hooks"


def test_a_class_counts_by_its_fields_and_its_source(world: Path, lab: ModuleType, tmp_path: Path) -> None:
    first = task_of(world, lab.Grey()).key
    assert task_of(world, lab.Grey()).key == first and not task_of(world, lab.Grey()).unnamed
    assert task_of(world, lab.Grey(level=0.4)).key != first
    own_lab.write(tmp_path, "my_lab", lab=('"""A grey movie."""', '"""A movie, in grey."""'))
    assert task_of(world, own_lab.imported(tmp_path, "my_lab").Grey()).key == first
    own_lab.write(tmp_path, "my_lab", lab=("torch.ones(1)", "torch.ones(2)"))
    changed = task_of(world, own_lab.imported(tmp_path, "my_lab").Grey()).key
    own_lab.write(tmp_path, "my_lab", helper=("* 1.0", "* 0.9"))
    used = task_of(world, own_lab.imported(tmp_path, "my_lab").Grey()).key
    assert len({first, changed, used}) == 3


def test_naming_a_class_imports_nothing(tmp_path: Path, lab: ModuleType) -> None:
    own_lab.write(
        tmp_path, "my_lab", lab=("import torch\n", "import torch\nif torch is None:\n    import my_lab_never\n")
    )
    (tmp_path / "my_lab_never.py").write_text("raise SystemExit")
    lab = own_lab.imported(tmp_path, "my_lab")
    before = code_version("my_lab")
    (tmp_path / "my_lab_never.py").write_text("raise SystemExit(1)")
    assert unnamed(lab.Grey()) == "" and code_version("my_lab") != before and "my_lab_never" not in sys.modules


def test_a_file_that_was_changed_after_its_import_names_nothing(world: Path, lab: ModuleType, tmp_path: Path) -> None:
    own_lab.write(tmp_path, "my_lab", lab=("torch.ones(1)", "torch.ones(2)"))
    task = task_of(world, lab.Grey())
    assert task.unnamed == "the file of Grey was changed after it was imported"
    assert task.key != task_of(world, lab.Grey()).key


def local() -> Any:
    @dataclasses.dataclass(frozen=True)
    class Inner(Mean):
        pass

    return Inner()


def test_what_cannot_be_named_says_why(lab: ModuleType) -> None:
    assert unnamed(Mean(), Poisson(), ToyMethod(), lab.Grey(more=(1, {"a": None}))) == ""
    assert unnamed(local()) == "local.<locals>.Inner is defined inside a function"
    assert unnamed(lab.Grey(more=object())) == "Grey.more is object, neither plain nor a frozen dataclass"
    assert unnamed(Smoothed(lab.Grey(more=[lambda: 1]))).startswith("Smoothed.method.more.0 is function")
    names: dict[str, Any] = {"__name__": "typed_in", "Mean": Mean}
    exec("class Typed(Mean):\n    def f(self): pass", names)
    assert unnamed(names["Typed"]()) == "the source of Typed is not at hand"


SCRIPT = """
from dataclasses import dataclass
from recon.files.own_code import names_of, unknown
LEVEL = 0.5
def used(): return LEVEL
def other(): return 1
@dataclass(frozen=True)
class Grey:
    level: float = 0.5
    def __call__(self): return used()
print(sorted(names_of(Grey)), repr(unknown(Grey)))
"""


def test_of_a_script_only_what_a_class_uses_counts(tmp_path: Path) -> None:
    def names(*change: str) -> str:
        (tmp_path / "script.py").write_text(SCRIPT.replace(*change) if change else SCRIPT)
        command = [sys.executable, str(tmp_path / "script.py")]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    first = names()
    assert "'Grey=" in first and first.endswith(" ''\n")
    assert names("return 1", "return 2") == first
    assert names("LEVEL = 0.5", "LEVEL = 0.4") != first


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (ToyMethod, r"rows\[0\].method: expected an object, got the class ToyMethod; call it: ToyMethod"),
        (object(), r"rows\[0\].method: expected a name, its settings or a Method, got object without sees, separable"),
        (3, r"rows\[0\].method: expected an object, got 3"),
        ({"object": "my_lab.Grey"}, r"rows\[0\].method: expected a name, got the Python object my_lab.Grey, which no"),
    ],
)
def test_other_objects_are_refused(world: Path, method: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        task_of(world, method)


def test_other_processes_take_only_what_they_can_import(lab: ModuleType) -> None:
    check_portable({"rows": [lab.Grey(), ToyMethod()], "run": Path("x")})
    with pytest.raises(InputError, match="on: expected objects that can be pickled for other processes, got Grey"):
        check_portable([lab.Grey(more=lambda: 1)])
    with pytest.raises(InputError, match="on: expected objects that other processes can import, got a: computed anew"):
        check_portable([local()], ["a: computed anew"])
    assert place_of("local:2").processes == 2


def test_a_saved_configuration_names_what_no_file_can_hold(lab: ModuleType) -> None:
    saved = config.inscribed({"method": lab.Grey(), "prior": GaussianPrior(), "path": Path("a")})
    assert saved["method"] == {"object": "my_lab.Grey", "level": 0.5, "more": None}
    assert saved["prior"] == {"name": "gaussian"} and saved["path"] == Path("a")
