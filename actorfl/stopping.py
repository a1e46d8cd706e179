"""Ctrl-C and SIGTERM of the commands that have nothing to end in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from actorfl.exitcodes import ExitCode

WITHIN: Final = 4.5
"""Seconds of real time after which a command that was interrupted ends, whatever it is at."""


class Stopping:
    """What a first signal does.

    Attributes:
        first: is called by it; None while KeyboardInterrupt is what it raises.
    """

    first: Callable[[], object] | None = None


@contextmanager
def interruptible(within: float = WITHIN) -> Iterator[Stopping]:
    """Let SIGTERM do what Ctrl-C does, and end the process in any case.

    Where nothing but this process is under way, what it leaves is as whole as after a kill. So who
    is interrupted once more, or takes longer than ``within`` seconds, ends at once with 130: a
    simulated shutdown takes virtual time, of which ten thousand nodes make minutes.
    """
    stopping = Stopping()
    limit: threading.Timer | None = None

    def at_once() -> None:
        os.write(2, b"actorfl: interrupted\n")
        os._exit(ExitCode.INTERRUPTED)

    def stopped(_number: int, _frame: FrameType | None) -> None:
        nonlocal limit
        if limit is not None:
            at_once()
        limit = threading.Timer(within, at_once)
        limit.daemon = True
        limit.start()
        if stopping.first is None:
            raise KeyboardInterrupt
        stopping.first()

    numbers = (signal.SIGINT, signal.SIGTERM)
    with handlers_kept(*numbers):
        if threading.current_thread() is threading.main_thread():  # which alone is interrupted
            for number in numbers:
                signal.signal(number, stopped)
        try:
            yield stopping
        finally:
            if limit is not None:
                limit.cancel()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Heed no Ctrl-C within the block: for the last lines of what was interrupted already."""
    with handlers_kept(signal.SIGINT):
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        yield


@contextmanager
def handlers_kept(*numbers: signal.Signals) -> Iterator[None]:
    """Put back, after the block, what the process did at these signals before it.

    In the main thread, which alone can; in another the block is only run.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(number, signal.getsignal(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            if handler is not None:  # else it was not set from Python
                signal.signal(number, handler)


@contextmanager
def terminable() -> Iterator[None]:
    """Within the block SIGTERM does what Ctrl-C does: what was begun is ended.

    A handler that somebody has set is left alone, and so is a thread that can have none.
    """
    number = signal.SIGTERM
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(number) is not signal.SIG_DFL
    ):
        yield
        return
    signal.signal(number, _as_interrupt)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def _as_interrupt(_number: int, frame: FrameType | None) -> None:
    # Whoever runs a loop has one of his own for Ctrl-C, which ends the loop's work in order.
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as in the background of a shell
        handler = signal.default_int_handler
    handler(signal.SIGINT, frame)
