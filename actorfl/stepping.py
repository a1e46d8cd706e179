"""Where a worker is in its clocks: a pure state machine."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

P = TypeVar("P")

#: Parts of this many clocks are kept, so that an aggregator that was restarted, and re-enters the
#: clock before, is answered without computing again.
KEPT = 2


class Stepping(Generic[P]):
    """Asks for a clock, puts its part until that is settled, asks for the next.

    ``P`` is whatever is put. Events come in as calls; what is to be done is their result.

    Attributes:
        clock: the clock that the worker waits for or has put its part of.
        putting: what is to be put again until it is answered; None while asking.
        held: whether what is put is said to have come, and is no longer to be sent; asking tells
            what became of it.
    """

    def __init__(self) -> None:
        self.clock = 0
        self.putting: P | None = None
        self.held = False
        self._kept: OrderedDict[tuple[int, int], P] = OrderedDict()

    def go(self, clock: int, version: int, *, any_version: bool = False) -> P | None:
        """The aggregator says: this clock, this version.

        Args:
            clock: which.
            version: of the model.
            any_version: whether what was computed for the clock from another version does, too.

        Returns:
            What was computed for it before, to be put again; None: compute it.
        """
        self.clock = clock
        self.held = False
        kept = self._kept.get((clock, version))
        if kept is None and any_version:
            kept = next((self._kept[at] for at in self._kept if at[0] == clock), None)
        self.putting = kept
        return kept

    def computed(self, part: P, clock: int, version: int) -> None:
        """The part of a clock is there."""
        self._kept[clock, version] = part
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        self.clock = clock
        self.held = False
        self.putting = part

    def settled(self, clock: int) -> bool:
        """The part of a clock was taken or refused; whether that is news."""
        if self.putting is None or clock != self.clock:
            return False
        self.putting = None
        self.held = False
        self.clock = clock + 1
        return True

    def told(self, clock: int) -> None:
        """Wait: the clock that will come next is this one, or its part is there."""
        if self.putting is None:
            self.clock = max(self.clock, clock)
        elif clock == self.clock:
            self.held = True

    def __repr__(self) -> str:
        doing = "putting" if self.putting is not None else "asking for"
        return f"<Stepping {doing} clock {self.clock} kept={[c for c, _ in self._kept]}>"
