"""A supervisor's children: who is stopped and started, in which order. A pure state machine.

Events go in as method calls, effects come out as lists; a child's number is its uid. Terms are
those of the Erlang/OTP supervisor ("Supervisor Behaviour" in its design principles).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from actors.signals import Cause, Failure
from actors.supervision import Budget, GiveUp, RestartType, Strategy

_EARLY = 1e-6
"""Seconds by which a timer may come early."""


class Stage(enum.Enum):
    """Where a child is, as its supervisor knows it."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"
    FAILED = "failed"
    HALTING = "halting"
    HALTED = "halted"
    ENDING = "ending"


@dataclass(frozen=True)
class Make:
    """Make the child: there is nothing of it."""

    child: int


@dataclass(frozen=True)
class Renew:
    """Give the child, which is halted, a new instance."""

    child: int


@dataclass(frozen=True)
class Halt:
    """End the child's instance, but keep its address and its mailbox."""

    child: int


@dataclass(frozen=True)
class End:
    """Stop the child for good."""

    child: int


@dataclass(frozen=True)
class Wait:
    """Call ``due`` with this round after so many seconds."""

    round: int
    delay: float


@dataclass(frozen=True)
class Escalate:
    """The supervisor is at its end, and fails.

    Attributes:
        child: whose failure it was.
        failure: which.
        restarts: of that child, within the period where that was too much.
        beyond_help: the decider said so; else intensity is exhausted.
    """

    child: int
    failure: Failure
    restarts: int
    beyond_help: bool = False


Effect = Make | Renew | Halt | End | Wait | Escalate


@dataclass
class _Member:
    uid: int
    name: str
    restart: RestartType
    stage: Stage = Stage.DOWN
    restarts: int = 0
    #: Why it is being restarted, and whether that came from outside; None where it is not.
    why: Failure | None = None


@dataclass
class _Round:
    """Some children on their way down, through the back-off, and up again."""

    number: int
    members: list[int]
    halting: bool = True
    waiting: bool = False
    until: float = 0.0


@dataclass
class Family:
    """The children of one supervisor.

    Args:
        strategy: who goes with whom, and how often.
        now: reads the clock, in seconds.
        draw: gives a number in [0, 1] for the jitter of back-offs.
    """

    strategy: Strategy
    now: Callable[[], float]
    draw: Callable[[], float]
    _members: dict[int, _Member] = field(default_factory=dict)
    _rounds: dict[int, _Round] = field(default_factory=dict)
    _made: int = 0

    def __post_init__(self) -> None:
        self._budget = Budget(self.strategy)

    # -- looking -------------------------------------------------------------------------------

    def __contains__(self, child: int) -> bool:
        return child in self._members

    def __iter__(self) -> Iterator[int]:
        """In the order of their start."""
        return iter(self._members)

    def stage(self, child: int) -> Stage:
        """Where it is."""
        return self._members[child].stage

    def restarts(self, child: int) -> int:
        """How often it was restarted."""
        return self._members[child].restarts

    @property
    def settled(self) -> bool:
        """Whether nobody is on the way."""
        # From behind: of thousands the last are the last to come up, and this is asked for each.
        last_first = reversed(self._members.values())
        return not self._rounds and not any(m.stage is Stage.STARTING for m in last_first)

    # -- events --------------------------------------------------------------------------------

    def add(self, children: list[tuple[int, str, RestartType]]) -> list[Effect]:
        """These (uid, name, restart type) are to be started, in this order."""
        for uid, name, restart in children:
            self._members[uid] = _Member(uid, name, restart)
        added = [uid for uid, _, _ in children]
        if not self.strategy.ordered:
            for uid in added:
                self._members[uid].stage = Stage.STARTING
            return [Make(uid) for uid in added]
        if self._rounds:  # they come up behind those that are on their way
            (round_,) = self._rounds.values()
            round_.members += added
            return []
        return self._advance(self._begin(added, halting=False))

    def started(self, child: int) -> tuple[Failure | None, list[Effect]]:
        """A child is up; what it had failed of, where this was a restart."""
        member = self._members.get(child)
        if member is None or member.stage is not Stage.STARTING:
            return None, []
        member.stage = Stage.UP
        why, member.why = member.why, None
        return why, self._advance_that_of(child)

    def failed(self, child: int, failure: Failure, *, gone: bool) -> list[Effect]:
        """A child failed.

        Args:
            child: which.
            failure: why.
            gone: nothing is left of it: its process died, or it could not be made.
        """
        member = self._members[child]
        if member.stage is Stage.ENDING:
            return self._remove(child) if gone else []
        verdict = self.strategy.verdict(failure.kinds)
        if verdict == "escalate":
            return [Escalate(child, failure, member.restarts, beyond_help=True)]
        if verdict == "stop" or member.restart == "temporary":
            return self._let_go(child, gone=gone)
        round_ = self._round_of(child)
        if round_ is not None and (round_.halting or round_.waiting):
            # It goes down anyway, or had just gone down when its process went, too.
            if gone:
                member.stage = Stage.DOWN
            elif member.stage in (Stage.STARTING, Stage.UP):
                member.stage = Stage.FAILED
            return self._advance(round_)
        member.stage = Stage.DOWN if gone else Stage.FAILED
        decided = self._budget.failed(child, self.now(), self.draw(), outside=failure.outside)
        if isinstance(decided, GiveUp):
            if self.strategy.exhausted == "escalate":
                return [Escalate(child, failure, decided.restarts)]
            return self._let_go(child, gone=gone)
        return self._restart(child, failure, decided.delay)

    def _let_go(self, child: int, *, gone: bool) -> list[Effect]:
        """A child that failed is not restarted."""
        if gone:
            return self._remove(child)
        self._members[child].stage = Stage.ENDING
        return [End(child), *self._advance_that_of(child)]

    def halted(self, child: int) -> list[Effect]:
        """A child's instance has ended as it was told to."""
        member = self._members.get(child)
        if member is None or member.stage is not Stage.HALTING:
            return []
        member.stage = Stage.HALTED
        return self._advance_that_of(child)

    def stopped(self, child: int, reason: str, cause: Cause) -> list[Effect]:
        """A child is gone for good: by itself, because it was told to, or given up."""
        member = self._members.get(child)
        if member is None:
            return []
        ordinary = cause == "stopped" and member.restart == "transient"
        if member.stage is Stage.ENDING or member.restart == "temporary" or ordinary:
            return self._remove(child)
        how = "stopped by itself" if cause == "stopped" else "is gone"
        failure = Failure("Stopped", f"it {how} ({reason})", during="make")
        return self.failed(child, failure, gone=True)

    def due(self, number: int) -> list[Effect]:
        """The back-off of a round is over."""
        round_ = self._rounds.get(number)
        if round_ is None or not round_.waiting:
            return []
        left = round_.until - self.now()
        if left > _EARLY:  # it was prolonged meanwhile
            return [Wait(number, left)]
        round_.waiting = False
        return self._advance(round_)

    def restart(self, child: int, failure: Failure) -> list[Effect]:
        """Somebody wants it restarted, with those that its strategy takes along, at once."""
        return self._restart(child, failure, 0.0)

    def terminate(self, child: int, *, gone: bool = False) -> list[Effect]:
        """Somebody wants it gone for good; ``gone`` where nothing is left of it already."""
        member = self._members[child]
        if gone or member.stage is Stage.DOWN:
            return self._remove(child)
        member.stage = Stage.ENDING
        return [End(child)]

    def progressed(self, child: int) -> None:
        """It got something done: its earlier failures no longer count."""
        self._budget.progressed(child)

    # -- rounds --------------------------------------------------------------------------------

    def _restart(self, child: int, failure: Failure, delay: float) -> list[Effect]:
        order = list(self._members)
        if self.strategy.kind == "one_for_one":
            affected = [child]
        elif self.strategy.kind == "one_for_all":
            affected = order
        else:
            affected = order[order.index(child) :]
        round_ = self._round_of(child)
        if round_ is None and self.strategy.ordered and self._rounds:
            (round_,) = self._rounds.values()
        if round_ is None:
            round_ = self._begin(affected, halting=True)
        else:
            # Another one failed on the way: down again, with all that either takes along.
            wider = set(round_.members) | set(affected)
            round_.members = [uid for uid in order if uid in wider]
            round_.halting, round_.waiting = True, False
        round_.until = max(round_.until, self.now() + delay)
        for uid in round_.members:
            member = self._members[uid]
            if member.why is None:
                member.why = failure if uid == child else self._taken_along(child, failure)
        return self._advance(round_)

    def _begin(self, members: list[int], *, halting: bool) -> _Round:
        self._made += 1
        round_ = self._rounds[self._made] = _Round(self._made, list(members), halting)
        return round_

    def _round_of(self, child: int) -> _Round | None:
        return next((r for r in self._rounds.values() if child in r.members), None)

    def _advance_that_of(self, child: int) -> list[Effect]:
        round_ = self._round_of(child)
        return [] if round_ is None else self._advance(round_)

    def _advance(self, round_: _Round) -> list[Effect]:
        if round_.halting:
            effects = self._halt_next(round_)
            if effects is not None:
                return effects
            round_.halting = False
            delay = round_.until - self.now()
            if delay > 0:
                round_.waiting = True
                return [Wait(round_.number, delay)]
        if round_.waiting:
            return []
        return self._start_next(round_)

    def _halt_next(self, round_: _Round) -> list[Effect] | None:
        """Halt the last that lives; None when none does."""
        for uid in reversed(round_.members):
            member = self._members[uid]
            if member.stage in (Stage.STARTING, Stage.HALTING, Stage.ENDING):
                return []  # a start cannot be called back: it is halted when it is through
            if member.stage in (Stage.UP, Stage.FAILED):
                if member.restart == "temporary":
                    member.stage = Stage.ENDING
                    return [End(uid)]
                member.stage = Stage.HALTING
                return [Halt(uid)]
        return None

    def _start_next(self, round_: _Round) -> list[Effect]:
        for uid in round_.members:
            member = self._members[uid]
            if member.stage in (Stage.STARTING, Stage.ENDING):
                return []
            if member.stage in (Stage.DOWN, Stage.HALTED):
                effect = Make(uid) if member.stage is Stage.DOWN else Renew(uid)
                member.stage = Stage.STARTING
                if member.why is not None:
                    member.restarts += 1
                return [effect]
        del self._rounds[round_.number]
        return []

    def _taken_along(self, child: int, failure: Failure) -> Failure:
        return Failure("Sibling", f"restarted with {self._members[child].name}: {failure}")

    def _remove(self, child: int) -> list[Effect]:
        round_ = self._round_of(child)
        del self._members[child]
        self._budget.progressed(child)
        if round_ is None:
            return []
        round_.members.remove(child)
        return self._advance(round_)

    def __repr__(self) -> str:
        stages = ", ".join(f"{m.name} {m.stage.value}" for m in self._members.values())
        return f"<Family {self.strategy.kind} {stages or 'without children'}>"
