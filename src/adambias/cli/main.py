"""The command line: arguments and options of every command."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from adambias import __version__
from adambias.config import Params, load_params
from adambias.core.entry import find_code_in, guard
from adambias.core.errors import ABSENT, AdambiasError, ConfigError
from adambias.core.flows import FLOW_NAMES
from adambias.core.output import outlive_readers

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def _complete_grid(context: click.Context, argument: click.Parameter, typed: str) -> list[str]:
    """Return the grids that a shell may complete a word to; none if the parameters are wrong."""
    given = context.params
    try:
        params = load_params(given.get("path") or "params.yaml", given.get("scale"))
    except (AdambiasError, OSError):
        return []
    named = given.get("grids") or ()
    return [name for name in params.scale.grids if name.startswith(typed) and name not in named]


GRIDS = click.argument("grids", nargs=-1, metavar="[GRID]...", shell_complete=_complete_grid)
SCALE = click.option("--scale", help="Use this scale instead of the one params.yaml names.")
PARAMS = click.option(
    "--params",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("params.yaml"),
    show_default=True,
    help="The parameters.",
)
TIME = click.option(
    "--time",
    "time",
    metavar="TIME",
    help="End within this time, as 9m or 1h30m; with exit code 75 if trials are left.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
YES = click.option(
    "--yes",
    is_flag=True,
    help="Go on with more than 10,000 trials; so does ADAMBIAS_YES=1.",
)


def _executor(default: str) -> Any:
    """Return the option that says what trains."""
    return click.option(
        "--executor",
        type=click.Choice(["ray", "inline"]),
        default=default,
        show_default=True,
        help="Ray Tune (this machine, or the cluster at RAY_ADDRESS), or this process alone.",
    )


class _Commands(click.Group):
    """Commands whose errors are one line, unless ``--debug`` is given."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        outlive_readers()  # before click itself writes, as a help's text
        return super().main(*arguments, **settings)

    def invoke(self, context: click.Context) -> Any:
        debug = bool(context.params.get("debug"))
        code = guard(functools.partial(super().invoke, context), debug=debug)
        if code:
            context.exit(code)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.pass_context
def main(context: click.Context, debug: bool) -> None:
    """Find out what an optimizer secretly regularises.

    Sweeps of full-batch trainings, checked against the modified flows of their optimizers. Without
    a command it shows where the project stands, and the next step.

    \b
    Example:
      adambias new mine        # a project to begin with
      adambias plan            # what would run, and for how long
      adambias sweep beta2     # run it
      adambias status --watch  # from another terminal
    """
    if os.environ.get("NO_COLOR"):  # Rich looks for it itself, click does not.
        context.color = False
    if context.invoked_subcommand is None:
        _show_standing(Path("params.yaml"))


def _show_standing(path: Path) -> None:
    from adambias.cli.standing import NOTHING_HERE, print_standing

    if path.exists():
        print_standing(_load(path), path)
    else:
        click.echo(NOTHING_HERE)


def _load(path: Path, scale: str | None = None) -> Params:
    """Read the parameters; what they name may be code beside them, from wherever one asks."""
    params = load_params(path, scale)
    find_code_in(params.root)
    return params


def _grids(params: Params, names: Iterable[str]) -> list[str]:
    return list(names) or list(params.scale.grids)


def _confirm(params: Params, names: list[str], yes: bool) -> bool:
    """Ask before planning very many trials; without a terminal to ask on, ``--yes`` is needed."""
    from adambias.ledger.plan import LARGE, count_trials, is_confirmed

    yes = yes or is_confirmed()
    largest = max(count_trials(params, [name]) for name in names)
    if yes or largest <= LARGE or not sys.stdin.isatty():
        return yes
    click.confirm(f"a grid holds {largest:,} trials: go on?", abort=True, err=True)
    return True


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="FOLDER")
def new(folder: Path) -> None:
    """Lay out a project of your own in a new folder.

    A pipeline for dvc repro, parameters with a word on each, a network of your own in mine.py.

    \b
    Example:
      adambias new mine
    """
    from adambias.cli.new import lay_out, next_commands

    files = lay_out(folder)
    click.echo(f"{folder}: a project of {len(files)} files; next:")
    for command in next_commands(folder):
        click.echo(f"  {command}")


@main.command()
@GRIDS
@SCALE
@PARAMS
@YES
@click.option("--list", "listing", is_flag=True, help="List every trial with its key and state.")
@click.option("--slots", type=click.IntRange(min=1), help="Trials at a time, for the estimate.")
@JSON
def plan(
    grids: tuple[str, ...],
    scale: str | None,
    path: Path,
    yes: bool,
    listing: bool,
    slots: int | None,
    as_json: bool,
) -> None:
    """Show what a sweep would run; starts nothing.

    \b
    Example:
      adambias plan beta2 beta1
      adambias plan --scale paper --slots 8
    """
    from adambias.cli.plan import print_plan

    params = _load(path, scale)
    names = _grids(params, grids)
    confirmed = _confirm(params, names, yes)
    print_plan(*(params, names), confirmed=confirmed, listing=listing, slots=slots, as_json=as_json)


@main.command()
@GRIDS
@SCALE
@PARAMS
@YES
@click.option("--watch", is_flag=True, help="Show what is under way until every trial is finished.")
@JSON
def status(
    grids: tuple[str, ...], scale: str | None, path: Path, yes: bool, watch: bool, as_json: bool
) -> None:
    """Show the state of each trial.

    It is read from the ledger, so any terminal and machine that sees it will do.

    \b
    Example:
      adambias status beta2
      adambias status --watch
    """
    from adambias.cli.status import print_status, watch_status

    if watch and as_json:
        raise ConfigError("--watch", ABSENT, "does not go with --json: leave one of them out")
    params = _load(path, scale)
    names = _grids(params, grids)
    confirmed = _confirm(params, names, yes)
    if not watch:
        print_status(params, names, confirmed=confirmed, as_json=as_json)
        return
    try:
        watch_status(params, names, confirmed=confirmed)
    except KeyboardInterrupt:  # the way to end it, which needs no word
        raise click.exceptions.Exit(INTERRUPTED) from None


@main.command()
@GRIDS
@SCALE
@PARAMS
@YES
@_executor("ray")
@click.option("--track/--no-track", default=True, help="Mirror the ledger into MLflow.")
@TIME
def sweep(
    grids: tuple[str, ...],
    scale: str | None,
    path: Path,
    yes: bool,
    executor: Any,
    track: bool,
    time: str | None,
) -> None:
    """Run the trials that are not finished.

    \b
    Example:
      adambias sweep beta2 --executor inline
      adambias sweep --time 9m
    """
    from adambias.cli.plan import pipeline_notes
    from adambias.ledger.plan import against_matrix
    from adambias.sweep import run as sweeping

    params = _load(path, scale)
    names = _grids(params, grids)
    confirmed = _confirm(params, names, yes)
    for line in pipeline_notes(params, *against_matrix(params, names)):
        click.echo(line, err=True)
    done = sweeping.run(
        params, names, executor=executor, confirmed=confirmed, track=track, time=time
    )
    counts = done.count(done.jobs)
    click.echo(f"{counts['done']} done, {counts['diverged']} diverged")


@main.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@YES
@_executor("inline")
@click.option("--track/--no-track", default=True, help="Show everything in MLflow too.")
def run(path: Path, yes: bool, executor: Any, track: bool) -> None:
    """Prepare, train, analyse and draw one experiment, a file with grids of its own.

    Makes data/ and runs/ beside the file, and a folder of its name with tables, figures and a
    report. Given again it trains what is not finished.

    \b
    Example:
      adambias run mine.yaml
    """
    from adambias.cli import experiment

    params = _load(path)
    confirmed = _confirm(params, list(params.scale.grids), yes)
    experiment.run(params, path, executor=executor, confirmed=confirmed, track=track)


@main.command()
@SCALE
@PARAMS
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Set a field of the scale's trial; may be repeated.",
)
@click.option(
    "--law",
    "laws",
    multiple=True,
    type=click.Choice(tuple(FLOW_NAMES)),
    default=("leading_order", "moment"),
    show_default=True,
    help="A flow to integrate; may be repeated.",
)
@click.option("--every", type=click.IntRange(min=1), default=1, help="Steps between rows.")
@click.option("--substeps", type=click.IntRange(min=1), default=1, help="Runge-Kutta steps per h.")
@click.option("--device", help="A device of torch's; CUDA if there is one, else the CPU.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write all rows to this Parquet file.",
)
def follow(
    scale: str | None,
    path: Path,
    assignments: tuple[str, ...],
    laws: tuple[str, ...],
    every: int,
    substeps: int,
    device: str | None,
    out: Path | None,
) -> None:
    """Train a network and integrate its optimizer's flows beside it.

    From the same weights, one step of h after the other; shows loss and norm of each flow against
    the optimizer's, and the distance between them.

    \b
    Example:
      adambias follow --set dataset=digits --set beta1=0.9 --set epochs=30 --law moment
    """
    from adambias.cli import follow as following

    params = _load(path, scale)
    trial = following.trial_from(params, assignments)
    following.run(params, trial, laws, out=out, every=every, substeps=substeps, device=device)


@main.command()
@SCALE
@PARAMS
@JSON
def doctor(scale: str | None, path: Path, as_json: bool) -> None:
    """Check what a sweep needs and say how to mend it.

    Looks at the installation, data, ledger, tracking store and cluster.

    \b
    Example:
      adambias doctor
    """
    from adambias.cli.doctor import examine

    problems = examine(path, scale, as_json=as_json)
    if problems:
        raise AdambiasError(f"{problems} of the checks above failed")


@main.command()
@SCALE
@PARAMS
@YES
def sync(scale: str | None, path: Path, yes: bool) -> None:
    """Rebuild the MLflow view from the ledger.

    What is there already is left as it is.

    \b
    Example:
      rm mlflow.db && adambias sync
    """
    from adambias.cli.notes import print_notes
    from adambias.ledger.ledger import Ledger
    from adambias.ledger.plan import make_plan
    from adambias.tracking import tracker_for

    params = _load(path, scale)
    ledger = Ledger.open(params.store)
    names = list(params.scale.grids)
    confirmed = _confirm(params, names, yes)
    found = make_plan(params, names, ledger, strict=False, confirmed=confirmed)
    click.echo(tracker_for(params).sync(ledger, found.grids))
    print_notes(found, ledger)


if __name__ == "__main__":
    main()
