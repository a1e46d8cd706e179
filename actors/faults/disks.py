"""Writes that are refused, or torn by a crash, as a plan says."""

from __future__ import annotations

from collections import Counter
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from actors.faults.kinds import Full, Torn
from actors.faults.plan import FaultPlan
from transports import Clock, Rng, SeededRng

_BITS: Final = 53


class DiskFaults:
    """Decides about each write of one node.

    Args:
        plan: what happens.
        node: its name.
        generation: its start; each has draws of its own.
        clock: of the node.
        began: when the launcher started, by that clock.
        counts: how often each kind took effect.
    """

    def __init__(  # noqa: PLR0917  (all of them are what it is made of)
        self,
        plan: FaultPlan,
        node: str,
        generation: int,
        clock: Clock,
        began: float,
        counts: Counter[str],
    ) -> None:
        self._until = plan.until
        self._clock = clock
        self._began = began
        self._counts = counts
        rng = SeededRng(plan.seed).derive("disk", node, generation)
        self._rules: list[tuple[Full | Torn, Rng]] = [
            (fault, rng.derive(msgspec.json.encode(fault).decode()))
            for fault in plan.faults
            if isinstance(fault, Full | Torn) and fnmatchcase(node, fault.node)
        ]
        self._part = rng.derive("part")

    def refuses(self) -> bool:
        """Whether a write finds no space; counted."""
        return self._drawn(Full)

    def tears(self, size: int) -> int | None:
        """How many bytes a write of so many leaves that a crash interrupts; None for all or none.

        Counted where it is not None.
        """
        return int(self._part.uniform(0, size)) if self._drawn(Torn) else None

    def _drawn(self, kind: type[Full | Torn]) -> bool:
        now = self._clock.now() - self._began
        taken = False
        for fault, rng in self._rules:
            if isinstance(fault, kind):
                drawn = rng.bits(_BITS) / (1 << _BITS)
                taken = taken or (fault.holds(now, self._until) and drawn < fault.p)
        if taken:
            self._counts["full" if kind is Full else "torn"] += 1
        return taken

    def __repr__(self) -> str:
        return f"<DiskFaults {len(self._rules)} rules>"
