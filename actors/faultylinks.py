"""Messages between nodes that get lost, come twice, or come late: installed only by a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from actors.faults import FaultPlan
from transports import Clock, Rng, SeededRng

_BITS: Final = 53


@dataclass
class LinkFaults:
    """How often each fault took effect."""

    dropped: int = 0
    duplicated: int = 0
    delayed: int = 0


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
        self._links: dict[str, Rng] = {}
        self.counts = counts if counts is not None else LinkFaults()

    def deliver(self, source: str, deliver: Callable[..., None], *args: Any) -> None:
        """Call ``deliver(*args)`` once, twice, later or never.

        Args:
            source: name of the node that the message comes from.
            deliver: takes the message.
            *args: its arguments.
        """
        plan = self._plan
        if self._clock.now() - self._began > plan.until:
            deliver(*args)
            return
        rng = self._links.get(source)
        if rng is None:
            rng = self._links[source] = self._rng.derive(source)
        drawn = rng.bits(_BITS) / (1 << _BITS)
        if drawn < plan.drop:
            self.counts.dropped += 1
            return
        drawn -= plan.drop
        if drawn < plan.duplicate:
            self.counts.duplicated += 1
            deliver(*args)
            deliver(*args)
            return
        drawn -= plan.duplicate
        if drawn < plan.delay:
            self.counts.delayed += 1
            self._clock.call_later(rng.uniform(0.0, plan.delay_seconds), deliver, *args)
            return
        deliver(*args)

    def __repr__(self) -> str:
        return f"<FaultyLinks {self.counts}>"
