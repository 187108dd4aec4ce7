"""Check and info: planted faults are found, all of them in one walk, and a sound recording stays quiet."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recon import cli
from recon.data.check import check, info
from recon.data.findings import neuron_moments, repeat_sets
from recon.data.open import open_recording
from recon.data.survey import survey
from recon.data.writer import RecordingWriter

TIERS = ("train", "train", "train", "oracle", "live_test_main", "none")


def _edit(root, variable, index, change):
    file = root / f"data/{variable}/{index}.npy"
    np.save(file, change(np.load(file)))


def _texts(recording, level):
    return [finding.text for finding in check(recording).findings if finding.level == level]


def test_a_sound_recording_has_no_findings(published):
    report = check(open_recording(published(tiers=TIERS)))
    assert report.ok and report.findings == ()
    text = str(report)
    assert text.startswith("mouse: usable") and len(text.splitlines()) <= 10
    for part in (
        "format    layout of Sensorium 2023, as published",
        "signal    unknown",
        "rate      30 Hz, assumed (Sensorium 2023's): the source states none",
        "angle     1.45° per pixel, assumed",
        "tiers     3 train, 1 oracle, 1 live_test_main",
        "missing   nothing",
    ):
        assert part in text, part


def test_every_bad_file_is_collected_in_one_walk(published):
    root = published(tiers=TIERS)
    (root / "data/videos/0.npy").write_bytes(b"\x93NUMPY")
    _edit(root, "responses", 1, lambda array: array[:5])
    (root / "data/behavior/2.npy").write_bytes(b"")

    def spoil(array):
        array[:, 3] = np.inf
        return array

    _edit(root, "pupil_center", 3, spoil)
    report = check(open_recording(root))
    errors = [finding.text for finding in report.findings if finding.level == "error"]
    assert not report.ok and "has errors" in str(report) and len(errors) == 4
    for text, name in zip(errors, ("videos/0", "responses/1", "behavior/2", "pupil_center/3"), strict=True):
        assert f"{name}.npy: expected" in text and "got" in text and ";" in text


def test_withheld_leaking_constant_and_negative(published):
    root = published(tiers=TIERS)
    _edit(root, "responses", 4, lambda array: np.where(np.isnan(array), array, 0))
    np.save(root / "data/videos/3.npy", np.load(root / "data/videos/1.npy"))

    def flatten(array):
        array[2, :40] = 1.0
        array[3, 5] = -4.0
        return array

    for index in (0, 1, 2, 3):
        _edit(root, "responses", index, flatten)
    recording = open_recording(root)
    warnings, notes = _texts(recording, "warning"), _texts(recording, "note")
    assert any(
        "1 training videos also occur, exactly or nearly, in another tier (1 in oracle 3)" in text for text in warnings
    )
    assert any("1 neurons are constant" in text for text in warnings)
    assert any("withheld in trials 1 (4)" in text for text in notes)
    assert any("4 responses are clearly negative" in text for text in notes)


def test_training_without_responses_unknown_tiers_and_stray_files(published):
    root = published(tiers=TIERS)
    (root / "data/responses/0.npy").unlink()
    np.save(root / "data/videos/9.npy", np.load(root / "data/videos/0.npy"))
    np.save(root / "meta/trials/tiers.npy", np.array(["train", "train", "tset", "oracle", "live_test_main", "none"]))
    (root / "data/behavior/1.npy").unlink()
    warnings = _texts(open_recording(root), "warning")
    running = "running speed: unknown in 100% of the frames of 1 trials (1)"
    for part in ("'tset'", "first: 9.npy", "training trials without responses: 1 (0)", running):
        assert any(part in text for text in warnings), part


def test_videos_in_another_range_and_no_responses_at_all(published):
    root = published(tiers=("oracle", "oracle"))
    for index in (0, 1):
        _edit(root, "videos", index, lambda array: array / 255)
        (root / f"data/responses/{index}.npy").unlink()
    recording = open_recording(root)
    errors, warnings = _texts(recording, "error"), _texts(recording, "warning")
    assert any("expected grey levels 0–255" in text for text in errors)
    assert "no trial has responses" in errors and any("no trial has tier 'train'" in text for text in warnings)
    assert "unknown: no repeats" in info(recording)


def test_moments_equal_numpy(published):
    recording = open_recording(published(tiers=TIERS))
    joined = np.concatenate([recording.trial(i).responses.numpy() for i in range(5)], 1).astype(np.float64)
    mean, deviation = neuron_moments(survey(recording))
    np.testing.assert_allclose(mean, joined.mean(1))
    np.testing.assert_allclose(deviation, joined.std(1))


def test_progress_sees_every_trial_with_files(published):
    seen = []

    def watch(trials):
        for trial in trials:
            seen.append(trial)
            yield trial

    check(open_recording(published(tiers=TIERS)), progress=watch)
    assert seen == [0, 1, 2, 3, 4]


@pytest.fixture
def repeated(tmp_path):
    """Twelve repeats of one clip with signal and noise of equal variance: oracle r = 1/√(2 (1 + 1/11))."""
    rng = np.random.default_rng(0)
    clip, signal = rng.integers(0, 256, (200, 9, 16), dtype=np.uint8), 10 + rng.normal(size=(8, 200))
    with RecordingWriter(tmp_path / "w", unit_ids=range(8)) as writer:
        for i in range(3):
            video = rng.integers(0, 256, (200, 9, 16), dtype=np.uint8)
            writer.write_trial(i, tier="train", video=video, responses=10 + rng.normal(size=(8, 200)))
        for i in range(3, 15):
            writer.write_trial(i, tier="oracle", video=clip, responses=signal + rng.normal(size=(8, 200)))
    return open_recording(tmp_path / "w")


def test_info_is_one_screen_with_the_true_figures(repeated):
    text = info(repeated)
    lines = text.splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 120
    for part in (
        "neurons     8",
        "9×16 pixels (13×23°) at 30 Hz",
        "3 train, 12 oracle",
        "15 × 200 frames; 3000 in total",
        "1 videos shown 12–12 times; 4 different videos",
        "videos, responses",
        "note: pupil dilation, running speed, pupil x, pupil y: in no trial",
    ):
        assert part in text, part
    oracle = float(next(line for line in lines if line.startswith("oracle r")).split()[2])
    assert oracle == pytest.approx(1 / np.sqrt(2 * (1 + 1 / 11)), abs=0.02)


def test_info_of_a_damaged_recording_says_so(published):
    root = published(tiers=("train",) * 14)
    for index in range(12):
        (root / f"data/responses/{index}.npy").write_bytes(b"")
    text = info(open_recording(root))
    assert text.count("error: ") == 10 and "and 2 more" in text
    for index in (12, 13):
        (root / f"data/responses/{index}.npy").write_bytes(b"")
    assert "error: " in info(open_recording(root))


def test_the_report_as_json(repeated, capsys):
    assert cli.main(["data", "check", str(repeated.path), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report.pop("decided")["missing"] == "behavior in all trials, pupil_center in all trials"
    assert report["facts"].pop("clock")["trials"] == 15
    absent, clock = report.pop("findings")
    assert absent["level"] == "note" and "pupil y: in no trial" in absent["text"]
    assert clock["level"] == "note" and "no relation of the responses to the movie was found" in clock["text"]
    assert report == {
        "recording": "w",
        "usable": True,
        "facts": {
            "neurons": 8,
            "trials": {"train": 3, "oracle": 12},
            "stimuli": {},
            "lengths": {"200": 15},
            "repeats": [list(range(3, 15))],
            "withheld": [],
        },
        "foreseen": [
            "no test clip (tier 'live_test_main'): the null takes the activity of another clip",
            "no test clip was shown twice: no noise ceiling, and no rows that average or join repeats",
            "no captions (meta/trials/captions.jsonl): text decoders cannot be trained, and ablations leave out their "
            "text rows",
        ],
    }


def test_json_of_a_damaged_recording_has_its_findings_and_the_exit_code(published, capsys):
    root = published(tiers=TIERS)
    (root / "data/videos/0.npy").write_bytes(b"")
    _edit(root, "responses", 4, lambda array: np.where(np.isnan(array), array, 0))
    assert cli.main(["data", "check", str(root), "--json"]) == 2
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert not report["usable"] and "got the errors above" in err
    (damaged, withheld, tier) = (one for one in report["findings"] if "clocks" not in one["text"])
    assert "every response of live_test_main is zero: taken as withheld" in tier["text"]
    assert damaged["level"] == "error" and "videos/0.npy: expected" in damaged["text"]
    assert withheld == {"level": "note", "text": "responses are withheld in trials 1 (4)"}
    assert report["facts"]["withheld"] == [4] and report["facts"]["trials"]["train"] == 3
    assert report["facts"]["lengths"] == {"40": 4}


def test_excerpts_of_equal_length_that_start_elsewhere_are_no_repeats(tmp_path):
    film = np.random.default_rng(0).integers(0, 256, (90, 9, 16), dtype=np.uint8)
    with RecordingWriter(tmp_path / "w", unit_ids=range(2)) as writer:
        for i, first in enumerate((0, 20, 0, 20)):
            video, responses = film[first : first + 60], np.random.default_rng(i).random((2, 60))
            writer.write_trial(i, tier="oracle", video=video, responses=responses)
    recording = open_recording(tmp_path / "w")
    found = survey(recording)
    assert set(found.groups.values()) == {0} and repeat_sets(recording, found) == [(0, 2), (1, 3)]
