"""From when until when a fault holds, by timers: for what is begun and ended, and not asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from actors.faults.kinds import Timed
from actors.faults.moment import Moments


class Later(Protocol):
    """Sets a timer."""

    def __call__(self, delay: float, callback: Callable[[], object], /) -> object:
        """Call something in so many seconds."""


def span(  # noqa: PLR0917  (all of them are what it needs)
    fault: Timed,
    until: float,
    moments: Moments,
    later: Later,
    begin: Callable[[], object],
    end: Callable[[], object],
) -> None:
    """Begin and end a fault at its times; called at the start of the launcher.

    Args:
        fault: when.
        until: the end of its plan, in seconds after the start of the launcher.
        moments: tells of those that it waits for.
        later: sets timers, which whoever gives it may cancel.
        begin: is called once at most.
        end: is called once for each ``begin``, later.
    """
    _Span(fault, until, moments, later, begin, end).wait()


class _Span:
    def __init__(  # noqa: PLR0917  (made in one place)
        self,
        fault: Timed,
        until: float,
        moments: Moments,
        later: Later,
        begin: Callable[[], object],
        end: Callable[[], object],
    ) -> None:
        self._fault, self._until, self._moments, self._later = fault, until, moments, later
        self._begin, self._end = begin, end
        self._holds = self._over = False

    def wait(self) -> None:
        if self._fault.since is None:
            self._from(0.0)
        else:
            self._moments.when(self._fault.since, self._from)
        if self._fault.till is not None:
            self._moments.when(self._fault.till, lambda _: self._later(0.0, self._ends))

    def _from(self, came: float) -> None:
        begin, end = self._fault.span(came, self._until)
        if begin < end:
            self._later(begin - came, self._begins)
            self._later(end - came, self._ends)

    def _begins(self) -> None:
        if not self._over:
            self._holds = True
            self._begin()

    def _ends(self) -> None:
        self._over = True
        if self._holds:
            self._holds = False
            self._end()
