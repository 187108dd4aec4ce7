"""Parser of the command line; imports nothing heavy, so that `recon --help` does not wait for torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from recon import __version__

OVERRIDES = "section.key=value"


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="recon", description="Reconstruct the movie an animal saw from brain activity.")
    top.set_defaults(computes=False)
    top.add_argument("--version", action="version", version=f"recon {__version__}")
    top.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    _data(commands)
    _simulate(commands)
    _train(commands)
    _encoders(commands)
    _map(commands)
    for name, about in (("reconstruct", "same as benchmark"), ("benchmark", "run the methods of a YAML file")):
        _add_place(_configured(commands.add_parser(name, help=about, description=about), "benchmark:benchmark"))
    about = "ablate a method's prior, text and activity, and report the contribution of the prior"
    _add_place(_configured(commands.add_parser("ablate", help=about, description=about), "ablate:ablate"))
    _configured(commands.add_parser("tune", help="choose a method's settings on validation clips"), "tune:tune")
    about = "identify held-out segments from responses, and responses from segments"
    _configured(commands.add_parser("identify", help=about, description=about), "identify:identify")
    about = "predict neurons from captions of the movies, and compare the captioners"
    _configured(commands.add_parser("language", help=about, description=about), "language:language")
    _captions(commands)
    about = "sample clips from a prior, with and without captions"
    _configured(commands.add_parser("sample", help=about, description=about), "sample:sample")
    report = commands.add_parser("report", help="rewrite the page of a run")
    several = "the folder of a run, for example runs/demo; several are allowed with --markdown"
    report.add_argument("run", type=Path, nargs="+", help=several)
    report.add_argument("--markdown", action="store_true", help="print the table of results instead")
    report.add_argument("--baseline", default="ridge", help="reference method for differences (ridge)")
    report.add_argument("--strip", type=Path, metavar="PNG", help="draw a film strip instead")
    report.add_argument("--heatmap", type=Path, metavar="PNG", help="draw heat maps over stimulus scales instead")
    report.add_argument("--methods", nargs="+", metavar="METHOD", help="methods on the strip (all)")
    report.add_argument("--clips", type=int, default=2, help="clips on the strip (2)")
    report.add_argument("--frames", type=int, default=8, help="frames of a clip on the strip (8)")
    report.set_defaults(command="report:report")
    _runs(commands)
    listing = commands.add_parser("list", help="list methods, encoders, priors, fidelities and metrics")
    listing.set_defaults(command="listing:listing")
    return top


def _configured(command: argparse.ArgumentParser, target: str) -> argparse.ArgumentParser:
    command.add_argument(
        "config", type=Path, metavar="CONFIG", help="a YAML file, or the name of a packaged one, for example demo"
    )
    command.add_argument("overrides", nargs="*", metavar=OVERRIDES, help="change single settings")
    command.set_defaults(command=target, computes=True)
    return command


def _add_place(command: argparse.ArgumentParser) -> None:
    about = "here (sequentially, the default), local (one process per core or GPU), local:N, ray or ray://…"
    command.add_argument("--on", default="here", metavar="WHERE", help=about)


def _runs(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "list, show, remove and export runs"
    verbs = commands.add_parser("runs", help=about).add_subparsers(required=True, metavar="WHAT")
    found = verbs.add_parser("list", help="one line per run")
    found.add_argument("root", type=Path, nargs="?", default=Path("runs"), help="the folder of the runs (runs)")
    found.set_defaults(command="runs:list_runs")
    shown = verbs.add_parser("show", help="environment of a run and status of its tasks")
    shown.add_argument("run", type=Path, help="the run's folder")
    shown.set_defaults(command="runs:show")
    gone = verbs.add_parser("rm", help="remove runs")
    gone.add_argument("run", type=Path, nargs="+", help="the runs' folders")
    gone.add_argument("--yes", action="store_true", help="delete; without this flag, dry run")
    gone.add_argument("--leftovers", action="store_true", help="only tasks that are unfinished or no longer configured")
    gone.set_defaults(command="runs:rm")
    packed = verbs.add_parser("export", help="write a run to an archive for sharing")
    packed.add_argument("run", type=Path, help="the run's folder")
    packed.add_argument("archive", type=Path, metavar="FILE.zip", help="the archive")
    packed.add_argument("--movies", action="store_true", help="include the clips and their reconstructions")
    packed.set_defaults(command="runs:export_run")
    about = "repeat a run from its stored configuration and compare all numbers; exit code 1 if any differ"
    again = commands.add_parser("rerun", help=about, description=about)
    again.add_argument("run", type=Path, help="the run's folder")
    again.add_argument("--to", type=Path, help="the folder of the new run (`NAME again`, next to the old one)")
    _add_place(again)
    again.set_defaults(command="runs:rerun", computes=True)


def _captions(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "describe movies in words"
    verbs = commands.add_parser("captions", help=about).add_subparsers(required=True, metavar="WHAT")
    verb = verbs.add_parser(
        "make", help="caption a recording with an image-to-text model; resumes an interrupted table"
    )
    verb.add_argument("folder", type=Path, help="the recording")
    verb.add_argument("table", type=Path, help="the table to write or resume, for example captions.csv")
    verb.add_argument("--model", required=True, help="folder or Hugging Face id, for example microsoft/git-base-coco")
    verb.add_argument("--name", default="", help="name of the captioner in the table (the model's name)")
    verb.add_argument("--every", type=int, default=30, help="frames per caption (30)")
    verb.add_argument("--frames", type=int, default=1, help="frames per input, for video models (1)")
    verb.add_argument("--batch", type=int, default=8, help="batch size (8)")
    verb.add_argument("--longest", type=int, default=30, help="maximum number of tokens per caption (30)")
    verb.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    verb.set_defaults(command="captions:make")


def _train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    about = "train an encoder, a decoder, an autoencoder, a prior or a mask"
    train = commands.add_parser("train", help=about).add_subparsers(required=True, metavar="WHAT")
    _add_sweep(_configured(train.add_parser("encoder", help="train an encoder"), "train:encoder"))
    _add_sweep(_configured(train.add_parser("decoder", help="train a decoder of responses"), "train:decoder"))
    _add_sweep(_configured(train.add_parser("autoencoder", help="train an autoencoder of movies"), "train:autoencoder"))
    _add_sweep(_configured(train.add_parser("prior", help="train a text-conditioned prior of movies"), "train:prior"))
    _configured(train.add_parser("mask", help="learn the transparency mask of a population"), "train:mask")


def _add_sweep(command: argparse.ArgumentParser) -> None:
    about = (
        "train once per value, for example training.seed=0,1,2; {each} in the configuration is replaced by the value"
    )
    command.add_argument("--each", metavar="KEY=V,V", help=about)
    _add_place(command)
    command.add_argument("--cpus", type=float, default=1.0, help="CPUs per training on Ray (1)")
    command.add_argument("--gpus", type=float, default=0.0, help="GPUs per training on Ray, may be a fraction (0)")


def _map(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    mapping = commands.add_parser("map", help="map receptive fields").add_subparsers(required=True, metavar="WHAT")
    _configured(mapping.add_parser("fields", help="map the receptive fields of an encoder's neurons"), "mapping:fields")


def _encoders(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    verbs = commands.add_parser("encoders", help="convert published weights").add_subparsers(required=True)
    about = "convert a published .pth to .safetensors with a card, or back, without executing pickled code"
    verb = verbs.add_parser("convert", help=about)
    verb.add_argument("source", type=Path, metavar="IN")
    verb.add_argument("target", type=Path, metavar="OUT")
    verb.set_defaults(command="encoders:convert")


def _simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    simulate = commands.add_parser("simulate", help="make a simulated recording with known truth")
    simulate.add_argument("folder", type=Path, help="the recording's folder, for example recordings/simulated")
    simulate.add_argument("overrides", nargs="*", metavar="key=value", help="settings, for example neurons=1000")
    simulate.set_defaults(command="simulate:simulate")


def _data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    data = commands.add_parser("data", help="fetch, import, check or describe a recording")
    verbs = data.add_subparsers(required=True, metavar="WHAT")
    for name, about in (("check", "check a recording for errors"), ("info", "summarise a recording")):
        verb = verbs.add_parser(name, help=about)
        verb.add_argument("folder", type=Path)
        verb.set_defaults(command=f"data:{name}")
        if name == "check":
            verb.add_argument("--json", action="store_true", help="print findings and facts as JSON")
    _ceiling(verbs.add_parser("ceiling", help="measure noise ceilings from repeated clips"))
    verb = verbs.add_parser("duplicates", help="find trials with the same content")
    verb.add_argument("folder", type=Path, nargs="+", help="one or several recordings")
    verb.add_argument("--write", action="store_true", help="save the groups to meta/trials/content_groups.json")
    verb.set_defaults(command="duplicates:duplicates")
    _fetch(verbs.add_parser("fetch", help="download public recordings, weights and stimuli"))
    _import(verbs.add_parser("import", help="convert plain arrays (.npy, .npz, .h5) to a recording"))
    _convert(verbs.add_parser("convert", help="convert experanto, Allen, MICrONS or other NWB files to a recording"))


def _convert(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("source", type=Path, help="an experanto folder or an .nwb file")
    verb.add_argument("folder", type=Path, help="the folder of the new recording")
    verb.add_argument("overrides", nargs="*", metavar="key=value", help="settings, for example lag=0.1")
    verb.add_argument("--format", choices=("experanto", "allen", "nwb"), help="format of the source (detected)")
    verb.add_argument("--mapping", type=Path, metavar="YAML", help="locations of responses and movie in an NWB 2 file")
    verb.add_argument("--overwrite", action="store_true")
    verb.set_defaults(command="convert:convert")


def _fetch(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("names", nargs="*", metavar="NAME", help="for example dynamic29515-10-12; see --list")
    verb.add_argument("--to", type=Path, metavar="FOLDER", help="target folder (recordings, weights or movies)")
    verb.add_argument("--accept-licence", action="store_true", help="confirm that you have read and accept the licence")
    verb.add_argument("--list", action="store_true", help="list names, licences and addresses; download nothing")
    verb.set_defaults(command="data:fetch")


def _ceiling(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("folder", type=Path, nargs="?", help="a recording; or give arrays with --responses")
    several = "FILE:NAME (units, repeats, bins); several arrays are clips of the same units"
    verb.add_argument("--responses", nargs="+", metavar="FILE", help=several)
    verb.add_argument("--areas", metavar="FILE", help="FILE:NAME, one area per unit")
    verb.add_argument("--unit-ids", metavar="FILE", help="FILE:NAME, one id per unit of --responses")
    verb.add_argument(
        "--output", type=Path, metavar="FOLDER", help="folder of ceiling.csv and .png (the recording, or here)"
    )
    verb.add_argument("--halves", type=int, default=100, metavar="N", help="number of random splits into halves (100)")
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(command="data:ceiling")


def _import(verb: argparse.ArgumentParser) -> None:
    files, form, tiers = (verb.add_argument_group(name) for name in ("arrays: FILE, or FILE:NAME", "form", "tiers"))
    verb.add_argument("folder", type=Path, help="the folder of the new recording")
    files.add_argument("--movie", required=True, metavar="FILE", help="(T,H,W), or (R,T,H,W) in trials")
    files.add_argument("--responses", required=True, metavar="FILE", help="(N,T) or (T,N)")
    files.add_argument("--behavior", metavar="FILE", help="(2,T): pupil dilation, running speed")
    files.add_argument("--pupil", metavar="FILE", help="(2,T): pupil centre x, y")
    files.add_argument("--unit-ids", metavar="FILE", help="(N,)")
    files.add_argument("--coordinates", metavar="FILE", help="(N,3) in micrometres")
    form.add_argument("--frame-rate", type=float, required=True, metavar="HZ")
    form.add_argument("--degrees-per-pixel", type=float, required=True, metavar="DEGREES")
    form.add_argument("--axes", default="thw", help="the movie's axes: t time, h rows, w columns, r trials (thw)")
    form.add_argument("--response-axes", default="", help="nt or tn, with r for trials (inferred from the lengths)")
    form.add_argument("--packed", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="frames are packed bits")
    form.add_argument("--movie-range", type=float, nargs=2, metavar=("BLACK", "WHITE"))
    form.add_argument("--frame-size", type=int, nargs=2, metavar=("ROWS", "COLUMNS"), help="resize to this")
    form.add_argument("--trial-frames", type=int, default=300, metavar="T", help="frames per trial (300)")
    form.add_argument("--name", default="")
    form.add_argument("--overwrite", action="store_true")
    tiers.add_argument("--train-frames", type=int, metavar="T", help="train on the first T frames, test on the rest")
    tiers.add_argument("--validation", type=float, default=0.1, metavar="SHARE")
    tiers.add_argument("--test", type=float, default=0.1, metavar="SHARE")
    tiers.add_argument("--seed", type=int, default=0)
    verb.set_defaults(command="data:import_arrays")
