"""Frames between nodes that arrive with some of their bits inverted, as a plan says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Literal

from actors.faults.kinds import NO_MOMENTS, Corrupt
from actors.faults.moment import Moments
from actors.faults.parcel import Parcel
from actors.faults.plan import FaultPlan, keyed
from actors.faults.selecting import chooses, chosen
from transports import Clock, Rng, SeededRng

_BITS: Final = 53
_PLACE: Final = 64
_MASK: Final = 8


@dataclass
class _Rule:
    """One fault on one lane from one node to this one."""

    fault: Corrupt
    rng: Rng


class Corruption:
    """Decides about each frame that comes in from another node.

    Exactly one byte of a frame changes, so that its checksum always tells.

    Args:
        plan: what happens to which.
        node: name of the receiving node.
        generation: its start; each has draws of its own, or a successor would lose the same.
        clock: of the node.
        began: when the launcher started, by that clock.
        counts: how often each kind took effect.
        moments: those of the plan that have come.
    """

    def __init__(  # noqa: PLR0917  (all of them are what it is made of)
        self,
        plan: FaultPlan,
        node: str,
        generation: int,
        clock: Clock,
        began: float,
        counts: Counter[str],
        *,
        moments: Moments = NO_MOMENTS,
    ) -> None:
        self._moments = moments
        #: Path of the actor of a uid; the node's router knows it.
        self.path: Callable[[int], str] = lambda _: ""
        self._node = node
        self._until = plan.until
        self._clock = clock
        self._began = began
        self._counts = counts
        self._faults = [each for each in plan.of(Corrupt) if fnmatchcase(node, each.target)]
        self._rng: Rng = SeededRng(plan.seed).derive("noise", node, generation)
        self._rules: dict[tuple[str, str], list[_Rule]] = {}

    @property
    def node(self) -> str:
        """Name of the receiving node."""
        return self._node

    def strike(
        self, source: str, lane: Literal["control", "bulk"], nbytes: int, items: Sequence[Any] = ()
    ) -> tuple[int, int] | None:
        """See ``transports.Noise.strike``."""
        rules = self._rules.get((source, lane))
        if rules is None:
            rules = self._rules[source, lane] = self._rules_for(source, lane)
        now = self._clock.now() - self._began
        struck = None
        for rule in rules:
            # Drawn for each frame, so that what one fault does moves no draw of another.
            chance = rule.rng.bits(_BITS) / (1 << _BITS)
            place, mask = rule.rng.bits(_PLACE), rule.rng.bits(_MASK)
            fault = rule.fault
            if (
                struck is None
                and fault.holds(now, self._until, self._moments)
                and chance < fault.p
                and self._falls_on(fault, items)
            ):
                struck = place % nbytes, mask or 0xFF
        if struck is not None:
            self._counts["corrupt"] += 1
        return struck

    def _falls_on(self, fault: Corrupt, items: Sequence[Any]) -> bool:
        return not chooses(fault) or any(
            chosen(fault, Parcel(item, (), self.path)) for item in items
        )

    def _rules_for(self, source: str, lane: str) -> list[_Rule]:
        return [
            _Rule(fault, self._rng.derive(source, lane, key))
            for fault, key in keyed(self._faults)
            if fnmatchcase(source, fault.source)
        ]

    def __repr__(self) -> str:
        return f"<Corruption at {self._node} corrupt={self._counts['corrupt']}>"
