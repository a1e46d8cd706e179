"""When a supervisor restarts, and when it gives up: a pure state machine.

Terms and defaults follow the Erlang/OTP supervisor (OTP design principles, "Supervisor
Behaviour"): intensity restarts within a period are tolerated, one more is not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from actors.errors import UsageError
from actors.signals import kinds_of

RestartType = Literal["permanent", "transient", "temporary"]


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
        if self.initial < 0 or self.factor < 1 or self.maximum < 0 or not 0 <= self.jitter <= 1:
            msg = (
                f"{self!r} cannot be: initial and maximum are at least 0 s, factor at least "
                "1, jitter from 0 to 1"
            )
            raise UsageError(msg)

    def delay(self, attempt: int, draw: float) -> float:
        """Seconds before restart number ``attempt`` (0-based) within the period.

        Args:
            attempt: restarts so far within the period.
            draw: uniform in [0, 1].
        """
        # 2**64 overflows no float but 2**2000 does; beyond 64 doublings the maximum holds anyway.
        base = min(self.initial * self.factor ** min(attempt, 64), self.maximum)
        return base * (1 - self.jitter * draw)


@dataclass(frozen=True)
class Strategy:
    """What a supervisor does about failures.

    Attributes:
        kind: "one_for_one": only the child that failed is restarted.
        intensity: restarts of one child after exceptions that are tolerated within ``per``.
        per: the period, in seconds.
        outside: the same for deaths from outside (its process was killed).
        backoff: waits before restarts.
        escalate: exceptions that a restart cannot help, such as a wrong configuration: the
            supervisor gives up at the first one.
    """

    kind: Literal["one_for_one"] = "one_for_one"
    intensity: int = 3
    per: float = 60.0
    outside: int = 10
    backoff: Backoff = field(default_factory=Backoff)
    escalate: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.intensity < 0 or self.outside < 0 or not self.per > 0:
            msg = f"{self!r} cannot be: intensity and outside are at least 0, per is above 0 s"
            raise UsageError(msg)

    def escalates(self, kinds: Sequence[str]) -> bool:
        """Whether an exception of these classes is one that a restart cannot help."""
        return any(kinds_of(cls)[0] in kinds for cls in self.escalate)


def one_for_one(
    intensity: int = 3,
    *,
    per: float = 60.0,
    outside: int = 10,
    backoff: Backoff | None = None,
    escalate: tuple[type[BaseException], ...] = (),
) -> Strategy:
    """Only the child that failed is restarted; arguments as in ``Strategy``."""
    return Strategy("one_for_one", intensity, per, outside, backoff or Backoff(), escalate)


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


@dataclass(frozen=True)
class Drop:
    """The child is not to be restarted."""

    child: int


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
        self, child: int, restart: RestartType, now: float, draw: float, *, outside: bool
    ) -> RestartAfter | GiveUp | Drop:
        """A child failed at ``now`` (seconds); ``draw`` in [0, 1] is for the jitter."""
        if restart == "temporary":
            return Drop(child)
        strategy = self._strategy
        history = (self._outside if outside else self._inside).setdefault(child, deque())
        while history and history[0] <= now - strategy.per:
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

    def forget(self, child: int) -> None:
        """The child is no longer supervised."""
        self.progressed(child)

    def __repr__(self) -> str:
        counts = {c: len(h) for c, h in {**self._outside, **self._inside}.items() if h}
        return f"<Budget {self._strategy.kind} restarts={counts}>"
