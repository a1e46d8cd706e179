"""The command ``actorfl chaos``."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from actorfl.exitcodes import ExitCode
from actorfl.saying import Output, told_in_one_line
from actorfl.stopping import interruptible


def chaos(  # noqa: PLR0917  (typer turns parameters into arguments and options)
    file: Annotated[Path, typer.Argument(help="The configuration, a TOML file.", metavar="FILE")],
    seeds: Annotated[
        int, typer.Option(help="Fault schedules to play.", min=1, max=10_000_000)
    ] = 100,
    first: Annotated[int, typer.Option(help="Seed of the first one.", min=0)] = 0,
    jobs: Annotated[
        int, typer.Option(help="Processes that play; about as many as cores.", min=1, max=256)
    ] = 2,
    replay: Annotated[
        Path | None,
        typer.Option(
            help="Play this schedule, a TOML file, and tell its story.",
            metavar="SCHEDULE",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value, as for run.", metavar="KEY=VALUE"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on standard output.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Where the schedules of seeds that failed are left.")
    ] = Path("runs"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Play a run in simulated time under generated faults, and check what must always hold."""
    progress, say = Output(sys.stderr), Output(sys.stdout)
    with told_in_one_line(debug=debug):
        from actorfl.chaos import command

        with interruptible(), contextlib.redirect_stdout(sys.stderr):  # a task may print
            if replay is not None:
                shown = progress if as_json else say
                told = command.again(file, settings or [], replay, shown.line)
                broken, lines = bool(told["broken"]), []
            else:
                report, trouble = command.chaos(
                    file, settings or [], range(first, first + seeds),
                    jobs=jobs, out=out, say=progress.line,
                )  # fmt: skip
                told, broken = report.summary(), bool(report.failed or trouble)
                lines = command.summary_lines(report, trouble)
    for line in lines:
        (progress if as_json else say).line(line)
    if as_json:
        say.line(json.dumps(told))
    if broken:
        raise typer.Exit(int(ExitCode.BROKEN))
