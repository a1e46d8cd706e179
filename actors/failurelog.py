"""What went wrong in a node, told where nobody listens: failures of actors, as log records.

Whoever decides about a failure tells of it, so that each is told once: the supervisor that restarts
or stops the actor, or the guardian, above which there is nobody. An actor in another process is
told of by the node that its supervisor lives on.
"""

from __future__ import annotations

import logging
from typing import Final

from actors.errors import GaveUp
from actors.signals import Failure
from transports import Clock

NAME: Final = "actors.failures"
"""Of the logger."""

PERIOD: Final = 60.0
"""Seconds in which so many are told:"""
OF_ONE: Final = 3
"""of one actor, and"""
OF_ALL: Final = 30
"""of all in this node; what is final is counted apart from what is remedied."""

_log = logging.getLogger(NAME)


class FailureLog:
    """Logs the failures that a node decides about, and no more than a person can read.

    A restart is a warning; an error is what nobody restarts any more, and a supervisor that gave
    up. What goes beyond the limits is counted, and told of when the period is over.

    Args:
        clock: of the node.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = 0.0
        #: By (level, path) within the period; by (level, "") of all.
        self._counts: dict[tuple[int, str], int] = {}
        self._hidden = 0

    def tell(self, path: str, failure: Failure, then: str, *, final: bool = False) -> None:
        """An actor failed.

        Args:
            path: of the actor.
            failure: why.
            then: what is done about it, as what a sentence says of it.
            final: nobody restarts it.
        """
        now = self._clock.now()
        if now - self._since >= PERIOD:
            self.end()
            self._since = now
        level = logging.ERROR if final or failure.kind == GaveUp.__name__ else logging.WARNING
        if not _log.isEnabledFor(level):
            return
        mine, every = self._counts.get((level, path), 0), self._counts.get((level, ""), 0)
        if mine >= OF_ONE or every >= OF_ALL:
            self._hidden += 1
            return
        self._counts[level, path], self._counts[level, ""] = mine + 1, every + 1
        silence = ""
        if mine + 1 == OF_ONE or every + 1 == OF_ALL:
            whose = "its" if mine + 1 == OF_ONE else "all"
            left = PERIOD - (now - self._since)
            silence = f" ({whose} further failures are only counted for {left:.0f} s)"
        # What a process printed last was shown when it was printed.
        text = "" if failure.during == "process" else failure.traceback.rstrip()
        whom = path if failure.kind == GaveUp.__name__ else "it"
        _log.log(
            level, "%s; %s %s%s%s",
            described(path, failure), whom, then, silence, f"\n{text}" if text else "",
        )  # fmt: skip

    def end(self) -> None:
        """Nothing more is told in this period: how many were left out."""
        self._counts.clear()
        hidden, self._hidden = self._hidden, 0
        if hidden:
            _log.warning(
                "%d more %s not logged; subscribe to ActorFailure on system.events to see each",
                hidden, "failures were" if hidden != 1 else "failure was",
            )  # fmt: skip

    def __repr__(self) -> str:
        return f"<FailureLog {sum(self._counts.values()) // 2} told, {self._hidden} left out>"


def described(path: str, failure: Failure) -> str:
    """What failed, at what, and of what, as the beginning of a sentence."""
    if failure.kind == GaveUp.__name__:
        at = f" (it was on {failure.handling})" if failure.handling else ""
        said = f"{failure.message}{at}"
        return said if f"{path} gives up" in said else f"{path} gave up: {said}"
    match failure.during:
        case "process":
            return f"{path} lost its process: {failure.message}"
        case "make":
            return f"{path} could not be made: {failure}"
        case "start":
            return f"{path} failed at its start: {failure}"
        case "stop":
            return f"{path} failed in on_stop: {failure}"
        case "handler" if failure.handling:
            return f"{path} failed on {failure.handling}: {failure}"
        case "handler":
            return f"{path} failed: {failure}"
        case during:
            return f"{path} failed in its {during}: {failure}"
