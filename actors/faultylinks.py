"""Messages between nodes that get lost, come twice, late or in another order, as a plan says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from actors.faults import FaultPlan
from transports import Clock, Rng, SeededRng, Timer

_BITS: Final = 53

LONGEST_HOLD: Final = 1.0
"""Seconds after which one that is held back arrives even so: the last of a run has none behind it,
and a message that is never delivered was dropped, not reordered."""


@dataclass
class LinkFaults:
    """How often each fault took effect.

    Attributes:
        dropped: messages that vanished.
        duplicated: messages that came twice.
        delayed: messages that came late.
        reordered: messages that came after one which the same node had sent later, whether they
            were late or held back.
    """

    dropped: int = 0
    duplicated: int = 0
    delayed: int = 0
    reordered: int = 0


@dataclass
class _Pair:
    """What comes from one node to this one."""

    rng: Rng
    #: Of the last message that was sent, and the highest that was delivered.
    number: int = 0
    latest: int = 0
    held: dict[int, _Held] = field(default_factory=dict)


@dataclass
class _Held:
    deliver: Callable[..., None]
    args: tuple[Any, ...]
    timer: Timer


class FaultyLinks:
    """Decides about each message that comes in from another node.

    Args:
        plan: how likely what is.
        node: name of the receiving node.
        generation: its start; each has draws of its own, or a successor would lose the same.
        clock: of the node.
        counts: counters, shared by all nodes of a simulation.
    """

    def __init__(
        self,
        plan: FaultPlan,
        node: str,
        generation: int,
        clock: Clock,
        counts: LinkFaults | None = None,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._began = clock.now()
        self._rng: Rng = SeededRng(plan.seed).derive("links", node, generation)
        self._pairs: dict[str, _Pair] = {}
        self.counts = counts if counts is not None else LinkFaults()

    def deliver(self, source: str, deliver: Callable[..., None], *args: Any) -> None:
        """Call ``deliver(*args)`` once, twice, later or never.

        Args:
            source: name of the node that the message comes from.
            deliver: takes the message.
            *args: its arguments.
        """
        plan = self._plan
        pair = self._pairs.get(source)
        if pair is None:
            pair = self._pairs[source] = _Pair(self._rng.derive(source))
        pair.number = number = pair.number + 1
        if self._clock.now() - self._began > plan.until:
            self._passed(pair, number, deliver, args)
            return
        drawn = pair.rng.bits(_BITS) / (1 << _BITS)
        if drawn < plan.drop:
            self.counts.dropped += 1
            return
        drawn -= plan.drop
        if drawn < plan.duplicate:
            self.counts.duplicated += 1
            deliver(*args)
            self._passed(pair, number, deliver, args)
            return
        drawn -= plan.duplicate
        if drawn < plan.delay:
            self.counts.delayed += 1
            late = pair.rng.uniform(0.0, plan.delay_seconds)
            self._clock.call_later(late, self._passed, pair, number, deliver, args)
            return
        drawn -= plan.delay
        if drawn < plan.reorder:
            timer = self._clock.call_later(LONGEST_HOLD, self._let_go, pair, number)
            pair.held[number] = _Held(deliver, args, timer)
            return
        self._passed(pair, number, deliver, args)

    def _passed(
        self, pair: _Pair, number: int, deliver: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if number < pair.latest:
            self.counts.reordered += 1
        pair.latest = max(pair.latest, number)
        deliver(*args)
        for earlier in [each for each in pair.held if each < number]:
            self._let_go(pair, earlier)

    def _let_go(self, pair: _Pair, number: int) -> None:
        held = pair.held.pop(number, None)
        if held is not None:
            held.timer.cancel()
            self._passed(pair, number, held.deliver, held.args)

    def __repr__(self) -> str:
        return f"<FaultyLinks {self.counts}>"
