"""The command ``actorfl simulate``."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from actorfl.saying import Output, row_line, told_in_one_line
from actorfl.stopping import interruptible


def simulate(  # noqa: PLR0917  (typer turns parameters into arguments and options)
    file: Annotated[Path, typer.Argument(help="The configuration, a TOML file.", metavar="FILE")],
    nodes: Annotated[
        int | None,
        typer.Option(
            help="Worker nodes, one worker on each; without it as many as the file says.",
            min=1,
            show_default=False,
        ),
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(help="Tell when the model reaches this accuracy.", show_default=False),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value, as for run.", metavar="KEY=VALUE"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on standard output.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where the run directory is made.")] = Path("runs"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Train in simulated time on many nodes, and tell what it took."""
    progress, say = Output(sys.stderr), Output(sys.stdout)
    with told_in_one_line(debug=debug):
        from actorfl.simulate import playing, report

        with (
            interruptible() as stopping,
            contextlib.redirect_stdout(sys.stderr),  # a task may print
        ):
            run, described = playing.read(file, settings or [], nodes=nodes, accuracy=accuracy)
            progress.line(report.heading(run, described))
            outcome = playing.simulate(
                run, described, out=out, say=progress.line, row_line=row_line, stopping=stopping
            )
    for line in report.lines(outcome):
        (progress if as_json else say).line(line)
    if as_json:
        say.line(json.dumps(report.summary(outcome)))
