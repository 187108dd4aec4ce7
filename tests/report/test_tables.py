"""The Markdown table of a run."""

from pathlib import Path

import numpy as np
import pytest

from recon.metrics.statistics import bootstrap_interval, paired_difference
from recon.report.tables import markdown

HEAD = "method,trial,oracle,video_correlation,ssim,frame_correlation,motion_energy_correlation,judge_correlation"
RIDGE, MAP = [0.5, 0.6, 0.4], [0.6, 0.65, 0.55]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    lines = [f"{HEAD},response_correlation,evaluations,seconds"]
    for name, values in {"ridge": RIDGE, "map": MAP}.items():
        lines += [f"{name},{i},False,{v},0.2,0.3,0.1,,0.4,20,3.21" for i, v in enumerate(values)]
    path = tmp_path / "results.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_means_intervals_and_paired_differences(results: Path) -> None:
    head, rule, ridge, mapped = markdown(results).splitlines()
    assert head.count("|") == rule.count("|") == ridge.count("|") == mapped.count("|")
    low, high = bootstrap_interval(MAP, generator=np.random.default_rng(0))
    assert f"0.600 [{low:.3f}, {high:.3f}]" in mapped
    found = paired_difference(MAP, RIDGE, generator=np.random.default_rng(0))
    assert f"+0.100 [{found.low:+.3f}, {found.high:+.3f}]" in mapped
    assert "Δ" not in ridge and "+0.000" not in ridge
    assert "| – |" in mapped
    assert mapped.endswith("| 20 | 3.2 |")


def test_without_the_baseline_there_are_no_differences(results: Path) -> None:
    assert "Δ" not in markdown(results, baseline="nothing")


def test_poolings_take_the_place_of_other_scores(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("method,trial,oracle,evaluations,seconds,frame_correlation_9x9\nridge,0,True,1,1,0.25\n")
    assert "9x9" in markdown(path)
    assert "ridge (oracle) | 0.250" in markdown(path)


def test_a_last_column_says_what_methods_saw_beside_responses(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    head = "method,trial,oracle,evaluations,seconds,ssim,behavior,text,animals,pretrained\n"
    path.write_text(f"{head}mean,0,False,1,1,0.1,False,,,\nrefined,0,False,1,1,0.2,True,decoded,,prior movies\n")
    head, _, mean, refined = markdown(path).splitlines()
    assert head.endswith("| also saw |") and mean.endswith("|  |")
    assert refined.endswith("| behavior, text (decoded), pretrained (prior movies) |")


def test_an_empty_table_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("method,trial\n")
    with pytest.raises(ValueError, match="at least one row"):
        markdown(path)


def test_seeds_are_averaged_before_clips_are(results: Path) -> None:
    text = results.read_text()
    again = "\n".join(f"map,{i},False,{v + 0.2},0.4,0.3,0.1,,0.4,40,5.21" for i, v in enumerate(MAP))
    results.write_text(text + again + "\n")
    mapped = markdown(results).splitlines()[-1]
    found = paired_difference([v + 0.1 for v in MAP], RIDGE, generator=np.random.default_rng(0))
    assert f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}]" in mapped
    assert "| 0.700 [" in mapped and mapped.endswith("| 30 | 4.2 |")


def test_runs_of_several_recordings_are_pooled(tmp_path: Path) -> None:
    head = f"recording,{HEAD},response_correlation,evaluations,seconds"
    values = {"a": (RIDGE, MAP), "b": ([0.1, 0.2], [0.3, 0.4])}
    paths = []
    for recording, (ridge, mapped) in values.items():
        lines = [f"{recording},ridge,{i},False,{v},0.2,0.3,0.1,,0.4,1,1" for i, v in enumerate(ridge)]
        lines += [f"{recording},map,{i},False,{v},0.2,0.3,0.1,,0.4,1,1" for i, v in enumerate(mapped)]
        paths.append(tmp_path / f"{recording}.csv")
        paths[-1].write_text("\n".join([head, *lines]) + "\n")
    paths[0].write_text(paths[0].read_text() + "a,only here,0,False,0.9,0.2,0.3,0.1,,0.4,1,1\n")
    _, _, ridge, mapped = markdown(*paths).splitlines()
    assert ridge.startswith("| ridge | 0.325 [") and mapped.startswith("| map | 0.475 [") and "| +0.150 [" in mapped
    paths[1].write_text(f"{head}\nb,other,0,False,0.9,0.2,0.3,0.1,,0.4,1,1\n")
    with pytest.raises(ValueError, match=r"a method that all of \['a', 'b'\] have, got none"):
        markdown(*paths)
