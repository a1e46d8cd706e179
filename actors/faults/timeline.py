"""What happens to processes at times of a plan; the launcher carries it out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Protocol

from actors.faults.churn import departures
from actors.faults.kinds import Churn, Freeze, Kill, Slow
from actors.faults.plan import FaultPlan
from transports import Clock, SeededRng, Timer


class Hands(Protocol):
    """Who can do to a process what a plan says; each tells whether it took effect."""

    def kill(self, name: str, down: float = 0.0) -> bool:
        """End its process; the next one comes no sooner than in ``down`` seconds."""
        ...

    def freeze(self, name: str) -> bool:
        """Stop its process as SIGSTOP does."""
        ...

    def thaw(self, name: str) -> bool:
        """Let it go on."""
        ...

    def slow(self, name: str, factor: float) -> bool:
        """Have it compute slower; 1 is as fast as it can."""
        ...


class Timeline:
    """Sets a timer for each thing that happens to a process.

    Args:
        plan: what happens.
        names: of the processes that there are.
        hands: do it.
        clock: of the launcher, which has just started.
        counts: how often each kind took effect.
    """

    def __init__(
        self,
        plan: FaultPlan,
        names: Sequence[str],
        hands: Hands,
        clock: Clock,
        counts: Counter[str],
    ) -> None:
        self._hands = hands
        self._clock = clock
        self._counts = counts
        self._timers: list[Timer] = []
        self._frozen: Counter[str] = Counter()
        self._factors: dict[str, list[float]] = {name: [] for name in names}
        rng = SeededRng(plan.seed)
        for fault in plan.faults:
            if not isinstance(fault, Kill | Freeze | Slow | Churn):
                continue
            for name in names:
                if not fnmatchcase(name, fault.node):
                    continue
                if isinstance(fault, Churn):
                    for kill in departures(fault, name, plan.until, rng):
                        self._at(kill.at, self._killed, "churn", kill)
                elif isinstance(fault, Kill):
                    self._at(fault.at, self._killed, "kill", Kill(name, fault.at, fault.down))
                elif isinstance(fault, Freeze):
                    self._at(fault.at, self._froze, name)
                    self._at(fault.at + fault.seconds, self._thawed, name)
                else:
                    end = plan.until if fault.before is None else min(fault.before, plan.until)
                    if fault.after < end:
                        self._at(fault.after, self._slowed, name, fault.factor)
                        self._at(end, self._quickened, name, fault.factor)

    def stop(self) -> None:
        """Nothing more happens; what is frozen goes on."""
        for timer in self._timers:
            timer.cancel()
        for name in tuple(self._frozen):
            self._hands.thaw(name)
        self._frozen.clear()

    def _at(self, seconds: float, what: Callable[..., object], *args: Any) -> None:
        self._timers.append(self._clock.call_later(seconds, what, *args))

    def _killed(self, kind: str, kill: Kill) -> None:
        self._counts[kind] += self._hands.kill(kill.node, kill.down)

    def _froze(self, name: str) -> None:
        self._frozen[name] += 1
        self._counts["freeze"] += self._hands.freeze(name)

    def _thawed(self, name: str) -> None:
        self._frozen[name] -= 1
        if self._frozen[name] <= 0:  # where two overlap, the later one ends it
            del self._frozen[name]
            self._hands.thaw(name)

    def _slowed(self, name: str, factor: float) -> None:
        self._factors[name].append(factor)
        self._counts["slow"] += self._hands.slow(name, math.prod(self._factors[name]))

    def _quickened(self, name: str, factor: float) -> None:
        self._factors[name].remove(factor)
        self._hands.slow(name, math.prod(self._factors[name]))
