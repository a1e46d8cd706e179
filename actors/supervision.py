"""When a supervisor restarts, and when it gives up: a pure state machine.

Terms and defaults follow the Erlang/OTP supervisor (OTP design principles, "Supervisor
Behaviour"): intensity restarts within a period are tolerated, one more is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from actors.code import Unguarded
from actors.errors import GaveUp, UsageError
from actors.quantities import is_count, is_finite
from actors.signals import kinds_of

RestartType = Literal["permanent", "transient", "temporary"]
StrategyKind = Literal["one_for_one", "one_for_all", "rest_for_one"]
Verdict = Literal["restart", "stop", "escalate"]
Decider = Mapping[type[BaseException], Verdict]
Exhausted = Literal["escalate", "stop"]


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a restart: ``initial * factor ** n``, at most ``maximum``, jittered.

    Attributes:
        initial: seconds before the first restart within the period; 0 restarts at once.
        factor: growth with each further one; at least 1.
        maximum: seconds that it never exceeds.
        jitter: share of the delay that is drawn at random, 0 to 1, so that many children that
            died together do not all come back at the same moment.
    """

    initial: float = 0.05
    factor: float = 2.0
    maximum: float = 5.0
    jitter: float = 0.2

    def __post_init__(self) -> None:
        numbers = (self.initial, self.factor, self.maximum, self.jitter)
        if (
            not all(map(is_finite, numbers))
            or self.initial < 0 or self.factor < 1 or self.maximum < 0 or not 0 <= self.jitter <= 1
        ):  # fmt: skip
            msg = (
                f"{self!r} cannot be: initial and maximum are at least 0 s, factor at least "
                "1, jitter from 0 to 1, and all of them finite numbers"
            )
            raise UsageError(msg)

    def delay(self, attempt: int, draw: float) -> float:
        """Seconds before restart number ``attempt`` (0-based) within the period.

        Args:
            attempt: restarts so far within the period.
            draw: uniform in [0, 1].
        """
        # 2**64 overflows no float but 2**2000 does; beyond 64 doublings the maximum holds anyway.
        try:
            base = min(self.initial * float(self.factor) ** min(attempt, 64), self.maximum)
        except OverflowError:
            base = self.maximum if self.initial else 0.0
        return base * (1 - self.jitter * draw)


@dataclass(frozen=True)
class Strategy:
    """What a supervisor does about failures.

    Attributes:
        kind: who is restarted with a child that failed. "one_for_one": nobody; "one_for_all": all
            children; "rest_for_one": those that were declared after it. With others, those that
            live are stopped in reverse order first and started in order again, each when the one
            before it has started.
        intensity: restarts of one child after exceptions that are tolerated within ``per``.
        per: the period, in seconds.
        outside: the same for deaths from outside (its process was killed).
        backoff: waits before restarts.
        decide: what to do about an exception of a class or of one derived from it, the nearest
            class first: "restart"; "stop" the child for good; or "escalate", for what a restart
            cannot help, such as a wrong configuration: the supervisor gives up at the first one.
            What it does not name is restarted, but for `GaveUp`: a supervisor below that is at
            its end is passed on, lest budgets multiply.
        exhausted: what to do about a child that fails once more than is tolerated: "escalate", the
            supervisor gives up, or "stop" the child for good, and the others go on.
        until_progress: exceptions of a child count until it is told that it got something done
            (``Live.progressed``), however long ago they are: for work that takes longer than
            ``per`` before it fails. Deaths from outside count for ``per`` seconds in any case.
    """

    kind: StrategyKind = "one_for_one"
    intensity: int = 3
    per: float = 60.0
    outside: int = 10
    backoff: Backoff = field(default_factory=Backoff)
    decide: Decider = field(default_factory=dict)
    exhausted: Exhausted = "escalate"
    until_progress: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(StrategyKind):
            msg = f"{self.kind!r} is no strategy; use {', '.join(get_args(StrategyKind))}"
            raise UsageError(msg)
        per: object = self.per
        if (
            not (is_count(self.intensity) and is_count(self.outside))
            or not isinstance(per, int | float) or type(per) is bool or not per > 0
        ):  # fmt: skip
            msg = (
                f"{self!r} cannot be: intensity and outside are whole numbers, at least 0, and "
                "per is above 0 s"
            )
            raise UsageError(msg)
        backoff: object = self.backoff
        if not isinstance(backoff, Backoff):
            msg = f"backoff={backoff!r} is no Backoff; write backoff=Backoff(…) with its seconds"
            raise UsageError(msg)
        decide: object = self.decide
        if not isinstance(decide, Mapping):
            msg = f"decide={decide!r} is no mapping; write decide={{ValueError: 'stop'}}"
            raise UsageError(msg)
        if self.exhausted not in get_args(Exhausted):
            msg = f"exhausted={self.exhausted!r} says neither 'escalate' nor 'stop'"
            raise UsageError(msg)
        given: Mapping[Any, Any] = decide
        for kind, verdict in given.items():
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                msg = f"decide={{{kind!r}: …}} does not name an exception class"
                raise UsageError(msg)
            if verdict not in get_args(Verdict):
                msg = (
                    f"decide={{{kind.__name__}: {verdict!r}}} says neither 'restart' nor 'stop' "
                    "nor 'escalate'"
                )
                raise UsageError(msg)

    @property
    def ordered(self) -> bool:
        """Whether children depend on those before them."""
        return self.kind != "one_for_one"

    def verdict(self, kinds: Sequence[str]) -> Verdict:
        """What to do about an exception of these classes, nearest first (see ``kinds_of``)."""
        named = {kinds_of(cls)[0]: verdict for cls, verdict in self.decide.items()}
        for beyond_help in (GaveUp, Unguarded):
            named.setdefault(kinds_of(beyond_help)[0], "escalate")
        return next((named[kind] for kind in kinds if kind in named), "restart")


#: What the strategies take where nothing is given; neither can be altered.
_BACKOFF = Backoff()
_RESTART_ALL: Decider = MappingProxyType({})


def one_for_one(
    intensity: int = 3,
    *,
    per: float = 60.0,
    outside: int = 10,
    backoff: Backoff = _BACKOFF,
    decide: Decider = _RESTART_ALL,
    exhausted: Exhausted = "escalate",
    until_progress: bool = False,
) -> Strategy:
    """Only the child that failed is restarted; arguments as in ``Strategy``."""
    return Strategy(
        "one_for_one", intensity, per, outside, backoff, decide, exhausted, until_progress
    )  # fmt: skip


def one_for_all(
    intensity: int = 3,
    *,
    per: float = 60.0,
    outside: int = 10,
    backoff: Backoff = _BACKOFF,
    decide: Decider = _RESTART_ALL,
    exhausted: Exhausted = "escalate",
    until_progress: bool = False,
) -> Strategy:
    """All children are restarted with the one that failed; arguments as in ``Strategy``."""
    return Strategy(
        "one_for_all", intensity, per, outside, backoff, decide, exhausted, until_progress
    )  # fmt: skip


def rest_for_one(
    intensity: int = 3,
    *,
    per: float = 60.0,
    outside: int = 10,
    backoff: Backoff = _BACKOFF,
    decide: Decider = _RESTART_ALL,
    exhausted: Exhausted = "escalate",
    until_progress: bool = False,
) -> Strategy:
    """The child that failed and those declared after it are restarted; see ``Strategy``."""
    return Strategy(
        "rest_for_one", intensity, per, outside, backoff, decide, exhausted, until_progress
    )  # fmt: skip


@dataclass(frozen=True)
class RestartAfter:
    """Restart this child after so many seconds."""

    child: int
    delay: float


@dataclass(frozen=True)
class GiveUp:
    """Intensity is exhausted: the supervisor fails in turn."""

    child: int
    restarts: int


class Budget:
    """Which children were restarted when: decides on each failure.

    Failures by exception and deaths from outside are counted apart, so that a machine that kills
    processes does not use up the patience meant for bugs. Progress resets both.
    """

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._inside: dict[int, deque[float]] = {}
        self._outside: dict[int, deque[float]] = {}

    def failed(
        self, child: int, now: float, draw: float, *, outside: bool
    ) -> RestartAfter | GiveUp:
        """A child failed at ``now`` (seconds); ``draw`` in [0, 1] is for the jitter."""
        strategy = self._strategy
        history = (self._outside if outside else self._inside).setdefault(child, deque())
        lasting = strategy.until_progress and not outside
        while history and not lasting and history[0] <= now - strategy.per:
            history.popleft()
        allowed = strategy.outside if outside else strategy.intensity
        if len(history) >= allowed:
            return GiveUp(child, len(history))
        delay = strategy.backoff.delay(len(history), draw)
        history.append(now)
        return RestartAfter(child, delay)

    def progressed(self, child: int) -> None:
        """The child got something done: its earlier failures no longer count."""
        self._inside.pop(child, None)
        self._outside.pop(child, None)

    def __repr__(self) -> str:
        counts = {c: len(h) for c, h in {**self._outside, **self._inside}.items() if h}
        return f"<Budget {self._strategy.kind} restarts={counts}>"
