"""The command ``actorfl replay``."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from actorfl.exitcodes import ExitCode
from actorfl.saying import Output, fail, told_in_one_line
from actorfl.stopping import terminable


def replay(  # noqa: PLR0917  (typer turns parameters into arguments and options)
    run: Annotated[
        Path, typer.Argument(help="A run directory, or its name below --out.", metavar="RUN")
    ],
    worker: Annotated[str, typer.Option(help="Whose step: its name, such as w3.")],
    clock: Annotated[int, typer.Option(help="Which step, from 0: clock 17 is round 18.")],
    debugger: Annotated[
        bool, typer.Option("--pdb", help="Stop in pdb where the loss of the task is entered.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write one JSON object to standard output.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Where run directories are.")] = Path("runs"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Compute one clock of one worker again, and compare its bits with those of the run."""
    from actorfl.cli import _shown

    with told_in_one_line(debug=debug):
        aside = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
        with aside, terminable():
            from actorfl import replaying
            from actorfl.debugging import Left

            try:
                replayed = replaying.replay(_shown(run, out), worker, clock, debug=debugger)
            except Left:
                fail("the debugger was left before the step was over", ExitCode.INTERRUPTED)
    say = Output(sys.stdout)
    if as_json:
        say.line(json.dumps(replayed.summary()))
    else:
        for line in replayed.lines():
            say.line(line)
    if replayed.same is False:
        raise typer.Exit(int(ExitCode.OTHER_BITS))
