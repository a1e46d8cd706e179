"""What happens to processes at times of a plan; the launcher carries it out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, Protocol

from actors.faults.churn import departures
from actors.faults.kinds import NO_MOMENTS, Churn, Freeze, Kill, Slow
from actors.faults.moment import Moment, Moments
from actors.faults.plan import FaultPlan
from actors.faults.span import span
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
        moments: tells of those that faults wait for.
    """

    def __init__(  # noqa: PLR0917  (all of them are what it is made of)
        self,
        plan: FaultPlan,
        names: Sequence[str],
        hands: Hands,
        clock: Clock,
        counts: Counter[str],
        moments: Moments = NO_MOMENTS,
    ) -> None:
        self._hands = hands
        self._clock = clock
        self._counts = counts
        self._moments = moments
        self._until = plan.until
        self._rng = SeededRng(plan.seed)
        self._timers: list[Timer] = []
        self._stopped = False
        self._frozen: Counter[str] = Counter()
        self._factors: dict[str, list[float]] = {name: [] for name in names}
        for fault in plan.faults:
            if not isinstance(fault, Kill | Freeze | Slow | Churn):
                continue
            for name in names:
                if fnmatchcase(name, fault.node):
                    self._arrange(fault, name)

    def _arrange(self, fault: Kill | Freeze | Slow | Churn, name: str) -> None:
        """Set the timers of one fault for one process, at once or when its moment comes."""
        if isinstance(fault, Slow):
            span(
                fault, self._until, self._moments, self._at,
                partial(self._slowed, name, fault.factor),
                partial(self._quickened, name, fault.factor),
            )  # fmt: skip
        elif fault.since is None:
            self._from(fault, name, 0.0)
        else:
            self._moments.when(fault.since, partial(self._from, fault, name))

    def _from(self, fault: Kill | Freeze | Churn, name: str, came: float) -> None:
        """The times of a fault count from now on, so many seconds after the start."""
        left = self._until - came
        if isinstance(fault, Churn):
            for kill in departures(fault, name, left, self._rng):
                self._at(kill.at, self._killed, "churn", kill, fault.till)
        elif fault.at > left:
            return  # all is over by then, as the plan says
        elif isinstance(fault, Kill):
            self._at(fault.at, self._killed, "kill", Kill(name, fault.at, fault.down))
        else:
            self._at(fault.at, self._froze, name)
            self._at(fault.at + fault.seconds, self._thawed, name)

    def stop(self) -> None:
        """Nothing more happens; what is frozen goes on."""
        self._stopped = True
        for timer in self._timers:
            timer.cancel()
        for name in tuple(self._frozen):
            self._hands.thaw(name)
        self._frozen.clear()

    def _at(self, seconds: float, what: Callable[..., object], *args: Any) -> None:
        if not self._stopped:
            self._timers.append(self._clock.call_later(seconds, what, *args))

    def _killed(self, kind: str, kill: Kill, till: Moment | None = None) -> None:
        if till is not None and self._moments.at(till) is not None:
            return
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
