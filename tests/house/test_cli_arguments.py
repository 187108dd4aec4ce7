"""Arguments of the command line: errors say expected, got and remedy; dry runs write nothing; shells complete."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from worlds.bench import make_world

from recon import __version__, cli, config
from recon.commands.completion import SHELLS, script
from recon.commands.parser import parser
from recon.commands.usage import parsers_of

ERRORS = {
    "benchmrk": "recon: COMMAND: expected one of data, .*mean 'benchmark'.*, got 'benchmrk'; see `recon --help`",
    "data chek x": "recon data: WHAT: expected one of check, .*mean 'check'.*, got 'chek'; see `recon data --help`",
    "benchmark": r"recon benchmark: expected CONFIG \(a YAML file.*\), got none; see `recon benchmark --help`",
    "data": r"recon data: expected WHAT \(check, .*\), got none; see `recon data --help`",
    "encoders": r"recon encoders: expected WHAT \(convert, .*\), got none; .*",
    "runs rm": r"recon runs rm: expected run \(the runs' folders\), got none; .*",
    "data import x": r"recon data import: expected --movie .*and --responses .*and --frame-rate.*, got none; .*",
    "benchmark demo --dry-rum": "recon benchmark: expected known options .*'--dry-run'.*, got --dry-rum; .*",
    "simulate made --neurons 4": "recon simulate: expected known options, got --neurons 4; .*",
    "list ridge sta": "recon list: expected no further argument, got sta; .*",
    "data ceiling x --seed one": "recon data ceiling: --seed: expected a whole number, got 'one'; .*",
    "data ceiling x --seed": "recon data ceiling: --seed: expected one value, got none; .*",
    "data import x --packed 1 --movie m": "recon data import: --packed: expected 2 values, got another number.*; .*",
    "data convert a b --format nbw": "recon data convert: --format: expected one of .*'nwb'.*, got 'nbw'; .*",
    "data check x --json=yes": "recon data check: --json: expected no value, got 'yes'; .*",
    "report x --m": "recon report: --m: expected one option, got the beginning of --markdown, --methods; .*",
    "--print-completion bsh": "recon: --print-completion: expected one of bash, .*'bash'.*, got 'bsh'; .*",
}


@pytest.mark.parametrize("line", ERRORS)
def test_an_error_says_expected_got_and_remedy_in_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(line.split())
    shown = capsys.readouterr()
    assert stopped.value.code == 2 and not shown.out and shown.err.count("\n") == 1
    assert re.fullmatch(ERRORS[line], shown.err.strip()), shown.err


def test_recon_alone_names_three_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([])
    shown = capsys.readouterr().err
    lines = [line.split() for line in shown.splitlines() if line.startswith("  recon ")]
    known = next(iter(action.choices for action in parser()._actions if action.choices and action.nargs == "A..."))
    assert stopped.value.code == 2 and len(lines) == 3 and all(words[1] in known for words in lines)


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0 and capsys.readouterr().out == f"recon {__version__}\n"


def test_every_configured_command_has_a_dry_run_and_prints_its_configuration() -> None:
    configured = [each.prog for each in parsers_of(parser()) if any(a.dest == "config" for a in each._actions)]
    having = [each.prog for each in parsers_of(parser()) if "--dry-run" in each.format_usage()]
    assert configured == having and len(configured) == 13


def test_a_printed_configuration_can_be_loaded_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", "demo", "clips.count=2", "--print-config"]) == 0
    printed = capsys.readouterr().out
    (tmp_path / "mine.yaml").write_text(printed)
    assert config.load(tmp_path / "mine.yaml") == config.load("demo", ["clips.count=2"])
    assert "preset" not in printed and "optimiser" in printed
    assert cli.main(["benchmark", str(tmp_path / "mine.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "recording" not in path.parts}


def test_a_dry_run_says_what_is_left_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["benchmark", str(make_world(tmp_path)), "clips.count=2"]
    before = files(tmp_path)
    assert cli.main([*command, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert files(tmp_path) == before
    assert "[1/2] ridge: 2 clips, 1 encoder pass per clip" in shown and "tasks: 2 to do, 0 done already" in shown
    assert "learnt first: ridge-" in shown and shown.endswith("nothing was computed or written\n")
    assert cli.main([*command, "rows[1].method.iterations=1"]) == 0
    capsys.readouterr()
    assert cli.main([*command, "rows[1].method.iterations=1", "--dry-run"]) == 0
    assert "[2/2] map: done already" in (shown := capsys.readouterr().out) and "tasks: 0 to do, 2 done" in shown
    assert cli.main([*command, "rows[1].method.iterations=9", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "[1/2] ridge: done already" in shown and "about 20 encoder" in shown and "learnt already: spectrum-" in shown


def test_a_printed_ablation_has_the_typed_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ablate", "demo_prior", "--typed", "a large disc", "--print-config"]) == 0
    assert "typed: a large disc" in capsys.readouterr().out


def test_a_dry_run_of_the_demo_does_not_simulate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", "demo", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "recordings/demo, simulated first, with neurons 1000" in shown and "ridge: 6 clips" in shown
    assert not list(tmp_path.iterdir())


def test_a_dry_run_refuses_what_the_run_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["benchmark", str(make_world(tmp_path)), "clips.count=99", "--dry-run"]) == 2
    assert "clips: expected 99 videos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "name", "shown"),
    [
        ("train encoder", "train/v1_seed0", "training: "),
        ("sample", "sample", "denoiser passes"),
        ("identify", "identify_static", "steps of training"),
        ("language", "language", "penalties"),
    ],
)
def test_dry_runs_of_other_commands_name_files_and_costs(
    command: str,
    name: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*command.split(), name, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert shown in told and "writes " in told and not list(tmp_path.iterdir())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_and_options(shell: str) -> None:
    assert all(word in script(parser(), shell) for word in ("benchmark", "ceiling", "print-config"))


def test_bash_completes_verbs_and_options_in_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "complete.sh").write_text(script(parser(), "bash"))
    ask = "source complete.sh; COMP_WORDS=({}); COMP_CWORD={}; _shtab_recon; echo ${{COMPREPLY[@]}}"
    for typed, expected in (
        ("recon bench", "benchmark"),
        ("recon data che", "check"),
        ("recon tune --dry", "--dry-run"),
    ):
        line = ask.format(typed, len(shlex.split(typed)) - 1)
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ))
        assert expected in done.stdout.split(), (typed, done.stdout, done.stderr)
