"""The commands ``actorfl data ...``."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from actorfl.saying import EPILOG, Output, can_write, told_in_one_line

data = typer.Typer(name="data", help="Look at the data of a run.", no_args_is_help=True)


@data.command(epilog=EPILOG)
def show(
    file: Annotated[Path, typer.Argument(help="The configuration, a TOML file.", metavar="FILE")],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Override a value, as for run.", metavar="KEY=VALUE"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to standard output.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Tell what each worker has, examples and classes, without training."""
    # A task may print.
    with told_in_one_line(debug=debug), contextlib.redirect_stdout(sys.stderr):
        from actorfl import shares
        from actorfl.run import Run

        found = shares.shares_of(Run.from_toml(file, settings or []))
    say = Output(sys.stdout)
    if as_json:
        say.line(json.dumps(found.summary()))
        return
    for line in found.lines(shares.BLOCKS if can_write(shares.BLOCKS) else shares.ASCII):
        say.line(line)
