"""The commands ``actorfl data ...``."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from actorfl.exitcodes import ExitCode
from actorfl.saying import EPILOG, Output, can_write, fail, sentence_and_code

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
    try:
        with contextlib.redirect_stdout(sys.stderr):  # a task may print
            from actorfl import shares
            from actorfl.run import Run

            found = shares.shares_of(Run.from_toml(file, settings or []))
    except KeyboardInterrupt:
        fail("interrupted", ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001  (every error ends as one line and a code)
        if debug:
            traceback.print_exc()
        fail(*sentence_and_code(error))
    say = Output(sys.stdout)
    if as_json:
        say.line(json.dumps(found.summary()))
        return
    for line in found.lines(shares.BLOCKS if can_write(shares.BLOCKS) else shares.ASCII):
        say.line(line)
