"""Moments that faults begin and end with: an actor is about to handle a message."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from actors.crashpoints import MOST_COUNT, TAKEN
from actors.errors import FaultError

Round = Annotated[int, Meta(ge=0, le=MOST_COUNT)]
Pattern = Annotated[str, Meta(min_length=1, max_length=256)]

ALL: Final = "*"


class Moment(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True,
    repr_omit_defaults=True,
):  # fmt: skip
    """When an actor is about to handle a message for the nth time, in any process of the launcher.

    It comes once, for all nodes: in the first process whose actors have had that many of them since
    it started. The launcher's own actors are not looked at. ``Moment(clock=3)`` is when clock 3,
    the fourth round, has begun for somebody; ``Moment(message="Put", nth=5)`` is the fifth ``Put``.

    Attributes:
        clock: what the message tells in a field ``clock``, at least, from 0; None for any, and for
            messages that tell none.
        message: name of the message's class; a pattern.
        nth: which of these messages, from 1.
        actor: path of the actor; a pattern.
        node: name of its process; a pattern.
    """

    clock: Round | None = None
    message: Pattern = ALL
    nth: Annotated[int, Meta(ge=1, le=MOST_COUNT)] = 1
    actor: Pattern = ALL
    node: Pattern = ALL

    def __post_init__(self) -> None:
        if self.clock is None and (self.message, self.actor) == (ALL, ALL):
            raise FaultError(
                f"{self} says nothing about a message; give clock=3 for when clock 3 begins, or "
                "message='Put'"
            )

    def fits(self, clock: int | None, actor: str, message: str) -> bool:
        """Whether a message that an actor is about to handle counts."""
        if self.clock is not None and (clock is None or clock < self.clock):
            return False
        return fnmatchcase(actor, self.actor) and fnmatchcase(message, self.message)


class Moments:
    """Which moments have come, and when; of one node, or of all nodes of a simulation."""

    def __init__(self) -> None:
        self._came: dict[Moment, float] = {}
        self._calls: dict[Moment, list[Callable[[float], object]]] = {}
        #: Tells the launcher of one that was seen here.
        self.tell: Callable[[Moment, float], object] | None = None

    def at(self, moment: Moment) -> float | None:
        """Seconds after the start of the launcher at which it came; None where it has not."""
        return self._came.get(moment)

    def all(self) -> dict[Moment, float]:
        """Those that have come, and when."""
        return dict(self._came)

    def came(self, moment: Moment, seconds: float) -> bool:
        """It comes so many seconds after the start of the launcher; whether that is news."""
        if moment in self._came:
            return False
        self._came[moment] = seconds
        for call in self._calls.pop(moment, ()):
            call(seconds)
        return True

    def seen(self, moment: Moment, seconds: float) -> None:
        """It comes here; where that is news, the launcher is told."""
        if self.came(moment, seconds) and self.tell is not None:
            self.tell(moment, seconds)

    def when(self, moment: Moment, call: Callable[[float], object]) -> None:
        """Have something called with its time: at once, where it has come already."""
        came = self._came.get(moment)
        if came is not None:
            call(came)
        else:
            self._calls.setdefault(moment, []).append(call)

    def __repr__(self) -> str:
        return f"<Moments {len(self._came)} came, {len(self._calls)} awaited>"


class Lookout:
    """Sees moments come at one start of a node.

    Args:
        moments: of the plan.
        node: its name.
        tell: called with each moment that comes.
    """

    def __init__(
        self, moments: Iterable[Moment], node: str, tell: Callable[[Moment], object]
    ) -> None:
        self._tell = tell
        self._seen = {moment: 0 for moment in moments if fnmatchcase(node, moment.node)}

    def passed(self, point: str, clock: int | None, actor: str, message: str) -> None:
        """A crash point was passed; see ``actors.crashpoints``."""
        if point != TAKEN or not self._seen:
            return
        for moment in [each for each in self._seen if each.fits(clock, actor, message)]:
            self._seen[moment] += 1
            if self._seen[moment] == moment.nth:
                del self._seen[moment]
                self._tell(moment)

    def __repr__(self) -> str:
        return f"<Lookout for {len(self._seen)} moments>"
