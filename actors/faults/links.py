"""Messages between nodes that get lost, come twice, late or in another order, as a plan says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from actors.faults.kinds import (
    NO_MOMENTS,
    Cut,
    Delay,
    Drop,
    Duplicate,
    Jitter,
    MessageFault,
    Partition,
    Reorder,
    Throttle,
)
from actors.faults.moment import Moments
from actors.faults.plan import FaultPlan, keyed
from actors.faults.selecting import Parcel, chosen
from transports import Clock, Rng, SeededRng, Timer

_BITS: Final = 53

LONGEST_HOLD: Final = 1.0
"""Seconds after which one that is held back arrives even so: the last of a run has none behind it,
and a message that is never delivered was dropped, not reordered."""

OUT_OF_ORDER: Final = "out_of_order"
"""Counted beside the faults: messages that came after one which the same node had sent later."""


@dataclass
class _Rule:
    """One fault on the way from one node to this one."""

    fault: MessageFault | Cut
    rng: Rng
    #: When the way is free again, for a throttle.
    free: float = 0.0

    def queued(self, now: float, nbytes: int) -> float:
        """Seconds that a message waits for its way."""
        assert isinstance(self.fault, Throttle)
        self.free = max(now, self.free) + nbytes / self.fault.bandwidth
        return self.free - now


@dataclass
class _Fate:
    """What becomes of one message."""

    #: The kind of fault that lost it, if any.
    lost: str = ""
    kinds: list[str] = field(default_factory=list)
    late: float = 0.0
    jitter: float = 0.0
    hold: bool = False
    twice: bool = False
    queues: list[_Rule] = field(default_factory=list)

    def decide(self, rule: _Rule, drawn: float, parcel: Parcel) -> None:
        """One fault that holds has its say."""
        fault = rule.fault
        if self.lost:
            return
        if isinstance(fault, Cut):
            self.lost = "cut"
            return
        if not chosen(fault, parcel):
            return
        if isinstance(fault, Throttle):
            self.queues.append(rule)
            self.kinds.append("throttle")
            return
        if drawn >= fault.p:
            return
        match fault:
            case Drop():
                self.lost = "drop"
            case Duplicate():
                self.twice = True
                self.kinds.append("duplicate")
            case Delay(seconds):
                self.late += seconds
                self.kinds.append("delay")
            case Jitter(seconds):
                self.jitter += seconds * drawn / fault.p  # uniform, given that it is below p
                self.kinds.append("jitter")
            case Reorder():
                self.hold = True


@dataclass
class _Pair:
    """What comes from one node to this one."""

    rules: list[_Rule]
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
        plan: what happens to which.
        node: name of the receiving node.
        generation: its start; each has draws of its own, or a successor would lose the same.
        clock: of the node.
        began: when the launcher started, by that clock.
        counts: how often each kind took effect, shared by all nodes of a simulation.
        moments: those of the plan that have come.
        silent: whether a partition is one that connections do not tell of, as between real
            machines at first: what is sent vanishes. A simulated network ends connections itself.
    """

    def __init__(  # noqa: PLR0917  (all of them are what it is made of)
        self,
        plan: FaultPlan,
        node: str,
        generation: int,
        clock: Clock,
        began: float,
        counts: Counter[str] | None = None,
        *,
        moments: Moments = NO_MOMENTS,
        silent: bool = False,
    ) -> None:
        self._moments = moments
        self._node = node
        self._partitions = plan.of(Partition) if silent else ()
        self._until = plan.until
        self._clock = clock
        self._began = began
        self._faults = [
            fault for fault in (*plan.on_messages, *plan.of(Cut)) if fnmatchcase(node, fault.target)
        ]
        self._rng: Rng = SeededRng(plan.seed).derive("links", node, generation)
        self._pairs: dict[str, _Pair] = {}
        self.counts: Counter[str] = counts if counts is not None else Counter()

    def deliver(
        self, source: str, parcel: Parcel, deliver: Callable[..., None], *args: Any
    ) -> None:
        """Call ``deliver(*args)`` once, twice, later or never.

        Args:
            source: name of the node that the message comes from.
            parcel: what it is.
            deliver: takes the message.
            *args: its arguments.
        """
        pair = self._pairs.get(source)
        if pair is None:
            pair = self._pairs[source] = _Pair(self._rules(source))
        pair.number = number = pair.number + 1
        now = self._clock.now() - self._began
        # Drawn for each message, so that what one fault does to it moves no draw of another.
        drawn = [rule.rng.bits(_BITS) / (1 << _BITS) for rule in pair.rules]
        fate = _Fate()
        if any(
            one.holds(now, self._until, self._moments) and one.parts(source, self._node)
            for one in self._partitions
        ):
            fate.lost = "partition"
        for rule, chance in zip(pair.rules, drawn, strict=True):
            if rule.fault.holds(now, self._until, self._moments):
                fate.decide(rule, chance, parcel)
        if fate.lost:
            self.counts[fate.lost] += 1
            return
        self.counts.update(fate.kinds)
        # What waits for its way when a throttle ends is not overtaken.
        late = max([0.0, *(rule.free - now for rule in pair.rules)])
        for rule in fate.queues:
            late = max(late, rule.queued(now, parcel.nbytes))
        late += fate.late
        arrive = (self._passed, pair, number, deliver, args)
        if fate.twice:
            self._after(late, *arrive)
            self._after(late + fate.jitter, deliver, *args)
        elif fate.hold and not late and not fate.jitter:
            timer = self._clock.call_later(LONGEST_HOLD, self._let_go, pair, number)
            pair.held[number] = _Held(deliver, args, timer)
        else:
            self._after(late + fate.jitter, *arrive)

    def _after(self, seconds: float, call: Callable[..., None], *args: Any) -> None:
        if seconds > 0.0:
            self._clock.call_later(seconds, call, *args)
        else:
            call(*args)

    def _rules(self, source: str) -> list[_Rule]:
        # Of the fault itself, not of its place in the plan: one less moves no draw of the others.
        return [
            _Rule(fault, self._rng.derive(source, key))
            for fault, key in keyed(self._faults)
            if fnmatchcase(source, fault.source)
        ]

    def _passed(
        self, pair: _Pair, number: int, deliver: Callable[..., None], args: tuple[Any, ...]
    ) -> None:
        if number < pair.latest:
            self.counts[OUT_OF_ORDER] += 1
        pair.latest = max(pair.latest, number)
        deliver(*args)
        for earlier in [each for each in pair.held if each < number]:
            self._let_go(pair, earlier)

    def _let_go(self, pair: _Pair, number: int) -> None:
        held = pair.held.pop(number, None)
        if held is not None:
            held.timer.cancel()
            self.counts["reorder"] += number < pair.latest
            self._passed(pair, number, held.deliver, held.args)

    def __repr__(self) -> str:
        return f"<FaultyLinks {dict(self.counts)}>"
