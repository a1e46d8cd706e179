"""The debugger within a step: it stops where the user's own code is entered."""

from __future__ import annotations

import inspect
import pdb  # noqa: T100  (it is what is asked for)
import signal
import traceback
from collections.abc import Callable
from typing import TypeVar

from actorfl.errors import ConfigError
from actorfl.stopping import handlers_kept
from actorfl.task import Task

T = TypeVar("T")


class Left(Exception):  # noqa: N818  (it is what happened)
    """Whoever debugged left before the end."""


def debugged(task: Task, function: Callable[[], T]) -> T:
    """Call a function under pdb, which stops where the task's ``loss`` is first entered.

    Breakpoints that are set there hold for all that follows. Where the function raises, the
    debugger stops once more, at what raised.

    Args:
        task: whose ``loss`` it calls.
        function: called in this thread.

    Raises:
        ConfigError: there is no source of ``loss`` to stop in.
        Left: the debugger was left before the function returned.
        Exception: what the function raises.
    """
    code = inspect.unwrap(type(task).loss).__code__
    debugger = pdb.Pdb()
    # A breakpoint of a function holds at its first line that does something.
    refused = debugger.set_break(
        code.co_filename, code.co_firstlineno, temporary=True, funcname=code.co_name
    )
    if refused:
        raise ConfigError(f"--pdb finds no source of loss of {type(task).__name__}: {refused}")
    debugger.rcLines.append("continue")  # from here, where pdb begins, to there
    returned: list[T] = []

    def call() -> None:
        returned.append(function())

    try:
        with handlers_kept(signal.SIGINT):  # pdb sets its own where it continues
            debugger.runcall(call)
    except Exception as error:
        traceback.print_exception(error)
        debugger.reset()
        debugger.interaction(None, error.__traceback__)
        raise
    if not returned:
        raise Left
    return returned[0]
