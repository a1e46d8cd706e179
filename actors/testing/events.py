"""Events of a system as they come, for a test to expect."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from actors.events import Event
from actors.given import check_callable, check_class_of, check_kind
from actors.system import ActorSystem
from actors.testing.arrivals import KEPT, PATIENCE, Arrivals, condition, listed

E = TypeVar("E", bound=Event)


class Recorded(Generic[E]):
    """The events of one class since ``record`` was called.

    As a context manager it ends with its block; otherwise with ``close`` or its system.
    """

    def __init__(self, system: ActorSystem, kind: type[E]) -> None:
        check_kind(type(self).__name__, "an ActorSystem", system, ActorSystem)
        check_class_of("record", "events", kind, Event)
        self._system = system
        self._kind = kind
        self._arrivals = Arrivals(system.world.clock)
        self._all: deque[E] = deque(maxlen=KEPT)
        self._left: deque[E] = deque(maxlen=KEPT)
        self._unsubscribe = system.events.subscribe(kind, self._came)

    def _came(self, event: E) -> None:
        self._all.append(event)
        self._left.append(event)
        self._arrivals.came()

    @property
    def events(self) -> tuple[E, ...]:
        """All that came so far, in order; the newest 10,000."""
        return tuple(self._all)

    @property
    def left(self) -> tuple[E, ...]:
        """Those of them that ``next`` has not returned."""
        return tuple(self._left)

    async def next(
        self, *, timeout: float = PATIENCE, where: Callable[[E], bool] | None = None
    ) -> E:
        """The oldest event that was not returned yet and for which ``where`` holds.

        Args:
            timeout: seconds of the system's clock within which it comes.
            where: holds for it; others stay.

        Raises:
            AssertionError: none came in time.
        """
        return await self._next(where, timeout, f"{self._kind.__name__}{condition(where)}")

    async def _next(self, where: Callable[[E], bool] | None, timeout: float, expected: str) -> E:
        if where is not None:
            check_callable("next", "where=", where)

        def look() -> E | None:
            for event in self._left:
                if where is None or where(event):
                    self._left.remove(event)
                    return event
            return None

        found = await self._arrivals.wait(look, timeout)
        if found is None:
            msg = (
                f"node {self._system.name} expected {expected} within {timeout:.6g} s; it had "
                f"{listed(self._left)}"
            )
            raise AssertionError(msg)
        return found

    async def expect_none(
        self, *, for_: float = 0.0, where: Callable[[E], bool] | None = None
    ) -> None:
        """Nothing is left that ``next`` would return, and nothing comes for some time.

        Args:
            for_: seconds of the system's clock.
            where: holds for what shall not come.

        Raises:
            AssertionError: something was there, or came.
        """

        def look() -> list[E] | None:
            return [one for one in self._left if where is None or where(one)] or None

        found = await self._arrivals.wait(look, for_)
        if found is not None:
            msg = (
                f"node {self._system.name} expected no {self._kind.__name__}{condition(where)}, "
                f"but had {listed(found)}"
            )
            raise AssertionError(msg)

    def close(self) -> None:
        """Record no more; what was recorded stays."""
        self._unsubscribe()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self._kind.__name__} of {self._system.name} "
            f"left={len(self._left)}/{len(self._all)}>"
        )


def record(system: ActorSystem, kind: type[E]) -> Recorded[E]:
    """Record the events of a class from now on.

    Used as ``failures = record(system, ActorFailure)``, or as a context manager.

    Args:
        system: whose event stream; what other nodes publish reaches only their own, or their
            launcher.
        kind: the class; ``Event`` for all.
    """
    return Recorded(system, kind)
