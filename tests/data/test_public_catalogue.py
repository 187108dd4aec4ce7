"""The registry of public files is well formed, and names what configurations and papers need."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import diffusers
import pytest
from worlds.downloads import sha256

from recon import cli
from recon.data.public.catalogue import public_file, public_files
from recon.data.public.pipelines import FACTS, public_pipelines
from recon.priors.pipelines import FAMILIES
from recon.priors.schedules import schedule_of


def test_the_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "fetch", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in public_files())
    assert all(entry.licence in shown and entry.home in shown for entry in public_files().values())


def test_the_registry_is_well_formed() -> None:
    known = public_files()
    assert len({entry.url for entry in known.values()}) == len(known)
    assert len({(entry.folder, entry.file) for entry in known.values()}) == len(known)
    for name, entry in known.items():
        address = urlsplit(entry.url)
        assert name == entry.name == public_file(name).name and re.fullmatch(r"[a-z0-9-]+", name)
        assert address.scheme == "https" and address.hostname and not address.query and not address.username
        assert urlsplit(entry.home).scheme == "https" and len(entry.licence) > 2 and entry.about and entry.checked
        assert Path(entry.file).name == entry.file and entry.folder in ("recordings", "weights", "movies")
        assert entry.unpack == entry.file.endswith(".zip")
        assert entry.size is None or entry.size > 0
        if entry.checksum is not None:
            algorithm, _, digits = entry.checksum.partition(":")
            assert re.fullmatch(r"[0-9a-f]+", digits) and len(digits) == 2 * hashlib.new(algorithm).digest_size


def test_the_ten_mice_of_sensorium_2023_are_where_the_configurations_look() -> None:
    dynamic = [entry for entry in public_files().values() if entry.name.startswith("dynamic")]
    assert len(dynamic) == 10 and all("BY-NC-ND" in entry.licence for entry in dynamic)
    published = (Path(__file__).parents[2] / "configs/bauer2025/published.yaml").read_text()
    assert "recordings/${encoders.fold_0.mouse}-Video-9b4f6a1a067fe51e15306b9628efea20" in published
    first = public_file("dynamic29515-10-12")
    assert first.folder == "recordings" and first.name in published
    assert first.file == "dynamic29515-10-12-Video-9b4f6a1a067fe51e15306b9628efea20.zip"
    assert first.url == f"https://gin.g-node.org/pollytur/sensorium_2023_dataset/raw/master/{first.file}"


@pytest.mark.real
def test_the_shipped_checksums_are_those_of_the_published_encoders(real_data: Path) -> None:
    known = [entry for entry in public_files().values() if entry.name.startswith("sensorium2022-")]
    assert len(known) == 4
    for entry in known:
        content = (real_data / "sensorium2022_pretrained" / entry.file).read_bytes()
        assert entry.size == len(content) and entry.checksum == sha256(content)


def test_what_the_paper_needs_goes_where_its_configuration_looks() -> None:
    published = (Path(__file__).parents[2] / "configs/bauer2025/published.yaml").read_text()
    for fold in range(7):
        entry = public_file(f"bauer-fold-{fold}")
        assert f"{entry.folder}/{entry.file}" in published and f"/fold_{fold}/" in entry.url
    mask = public_file("bauer-mask-0")
    assert f"{mask.folder}/{mask.file}" in published


def test_pipelines_are_of_classes_that_are_loaded() -> None:
    known = public_pipelines()
    assert {item.kind for item in known.values()} == set(FAMILIES), "one of every family at least"
    for item in known.values():
        assert issubclass(getattr(diffusers, item.kind), diffusers.DiffusionPipeline)
        assert item.makes == ("movies" if FAMILIES[item.kind].video else "pictures")
        if item.scheduler is not None:
            said = "epsilon" if item.prediction is None else item.prediction.said
            options = {} if said == "flow" else {"prediction_type": said}
            made = getattr(diffusers, item.scheduler.said)(**options)
            assert schedule_of(made).predicts.startswith(said)


def test_every_fact_of_a_pipeline_names_its_page() -> None:
    for hub, item in public_pipelines().items():
        assert hub == item.hub and re.fullmatch(r"[\w.-]+/[\w.-]+", hub) and item.about
        facts = [getattr(item, name) for name in FACTS]
        assert any(facts) and item.licence is not None
        for fact in filter(None, facts):
            address = urlsplit(fact.page)
            assert address.scheme == "https" and address.hostname and fact.said.strip() == fact.said != ""


def test_pipelines_are_listed_beside_public_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "fetch", "--list"]) == 0
    shown = capsys.readouterr().out
    lines = shown[shown.index("Pretrained pipelines") :].splitlines()
    assert max(map(len, lines)) < 150
    for item in public_pipelines().values():
        (line,) = [line for line in lines if line.startswith(f"  {item.hub} ")]
        assert item.kind in line and f"{item.about}: {item.makes}, not run here" in shown and item.remark in shown
    assert cli.main(["data", "fetch", "stabilityai/sd-turbo"]) == 2
    assert "run `hf download stabilityai/sd-turbo --local-dir FOLDER`" in capsys.readouterr().err
