"""Random schedules of faults: a few of all kinds, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from actors.crashpoints import HANDLED, TAKEN, CrashPoint
from actors.errors import UsageError
from actors.faults.kinds import (
    Churn,
    Corrupt,
    Cut,
    Delay,
    Drop,
    Duplicate,
    Fault,
    Freeze,
    Full,
    Jitter,
    Kill,
    Partition,
    Reorder,
    Skew,
    Slow,
    Throttle,
    Timed,
    Torn,
)
from actors.faults.plan import FaultPlan
from transports import Rng, SeededRng

FEWEST: Final = 2
MOST: Final = 8
"""Faults of a schedule: with more of them each run is the same noise, and shrinking takes long."""

_MESSAGES: Final = (TAKEN, HANDLED)
"""Every node passes these: before a message is handled, and before its reply leaves."""

NO_POINTS: Final[Mapping[str, Sequence[str]]] = {}

_LATEST_PASSAGE: Final = 6
"""A crash point is due at one of its first passages: a short run passes few."""

_LATEST_MESSAGE: Final = 60
"""Messages are many: an actor's first ones are those of its start."""

_WRITE: Final = "storage.write"

_SHORTEST: Final = 1e-3
"""Seconds: what a time is rounded to, so that a schedule can be read."""


class _Draw:
    """What the kinds draw from."""

    def __init__(
        self, rng: Rng, nodes: Sequence[str], seconds: float, points: Mapping[str, Sequence[str]]
    ) -> None:
        self._rng = rng
        self.nodes = nodes
        self.seconds = seconds
        self.points = points

    def between(self, low: float, high: float) -> float:
        return round(max(_SHORTEST, self._rng.uniform(low, high)), 3)

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + min(int(self._rng.uniform(0.0, 1.0) * (high - low + 1)), high - low)

    def one(self, things: Sequence[str]) -> str:
        return things[self.whole(0, len(things) - 1)]

    def node(self) -> str:
        return self.one(self.nodes)

    def anyone(self) -> str:
        """A node, or all of them."""
        return self.one((*self.nodes, "*"))

    def when(self, shortest: float = 0.2, longest: float = 1.0) -> dict[str, Any]:
        """A part of the time: ``after`` and ``before``."""
        length = self.seconds * self._rng.uniform(shortest, longest)
        after = self._rng.uniform(0.0, max(self.seconds - length, 0.0))
        before = max(after + length, after + 2 * _SHORTEST)
        return {"after": round(after, 3), "before": round(before, 3)}

    def passage(self) -> int:
        """The number of a passage: the first ones more often, since some points have no other."""
        return 1 + int(self._rng.uniform(0.0, 1.0) ** 2 * _LATEST_PASSAGE)

    def moment(self) -> float:
        return self.between(0.0, self.seconds)


def _kill(draw: _Draw) -> Fault:
    down = draw.between(0.1, draw.seconds / 5) if draw.whole(0, 1) else 0.0
    return Kill(draw.node(), draw.moment(), down)


def _crash(draw: _Draw) -> Fault:
    # Killed mostly: an exception costs the actor of its budget, a kill the process.
    action = draw.one(("sigkill", "sigkill", "sigkill", "segfault", "exit:3", "raise"))
    point = draw.one(tuple(draw.points))
    passage = draw.passage() if point not in _MESSAGES else draw.whole(1, _LATEST_MESSAGE)
    return CrashPoint(point, action, passage, node=draw.one(draw.points[point]))


def _churn(draw: _Draw) -> Fault:
    # Sessions of a part of the horizon, else most of a short run is spent on starting again.
    mean = draw.between(draw.seconds / 3, draw.seconds)
    table = (round(mean / 2, 3), mean, 2 * mean)
    return Churn(
        offline=draw.between(0.05, 0.2), session=table if draw.whole(0, 1) else mean,
        node=draw.node(),
        **draw.when(0.3, 0.7),
    )  # fmt: skip


def _slow(draw: _Draw) -> Fault:
    return Slow(node=draw.anyone(), factor=draw.between(1.5, 5.0), **draw.when())


def _skew(draw: _Draw) -> Fault:
    return Skew(draw.node(), draw.between(0.0, 120.0) - 60.0)


def _throttle(draw: _Draw) -> Fault:
    return Throttle(
        bandwidth=draw.between(2e4, 1e6), source=draw.anyone(), target=draw.anyone(),
        **draw.when(0.1, 0.4),
    )  # fmt: skip


def _delay(draw: _Draw) -> Fault:
    return Delay(
        seconds=draw.between(0.001, 0.5), p=draw.between(0.05, 1.0), source=draw.anyone(),
        target=draw.anyone(), **draw.when(0.1, 0.5),
    )  # fmt: skip


def _jitter(draw: _Draw) -> Fault:
    return Jitter(
        seconds=draw.between(0.01, 1.0), p=draw.between(0.05, 1.0), source=draw.anyone(),
        target=draw.anyone(), **draw.when(),
    )  # fmt: skip


def _corrupt(draw: _Draw) -> Fault:
    return Corrupt(p=draw.between(0.005, 0.1), source=draw.anyone(), **draw.when())


def _cut(draw: _Draw) -> Fault:
    return Cut(source=draw.node(), target="*", **draw.when(0.05, 0.2))


def _partition(draw: _Draw) -> Fault:
    return Partition(groups=((draw.node(),),), **draw.when(0.05, 0.2))


def _drop(draw: _Draw) -> Fault:
    return Drop(p=draw.between(0.01, 0.3), source=draw.anyone(), **draw.when())


def _duplicate(draw: _Draw) -> Fault:
    return Duplicate(p=draw.between(0.01, 0.5), source=draw.anyone(), **draw.when())


def _reorder(draw: _Draw) -> Fault:
    return Reorder(p=draw.between(0.01, 0.5), target=draw.anyone(), **draw.when())


def _freeze(draw: _Draw) -> Fault:
    # Shorter than what a launcher takes for death, so that it wakes up among those it knew.
    return Freeze(draw.node(), draw.moment(), draw.between(0.05, 1.5))


def _full(draw: _Draw) -> Fault:
    return Full(p=draw.between(0.05, 0.4), node="*", **draw.when(0.2, 0.6))


def _torn(draw: _Draw) -> Fault:
    return Torn(p=1.0, node="*", **draw.when(0.8, 1.0))


KINDS: Final[dict[str, Callable[[_Draw], Fault]]] = {
    "drop": _drop,
    "duplicate": _duplicate,
    "delay": _delay,
    "jitter": _jitter,
    "reorder": _reorder,
    "throttle": _throttle,
    "corrupt": _corrupt,
    "cut": _cut,
    "partition": _partition,
    "kill": _kill,
    "freeze": _freeze,
    "slow": _slow,
    "skew": _skew,
    "full": _full,
    "torn": _torn,
    "churn": _churn,
    "crash": _crash,
}
"""What draws a fault of each kind, by its name in TOML."""


def refuse_seed(seed: int) -> None:
    """Refuse a seed that no plan can have.

    Raises:
        UsageError: it takes more than 64 bits.
    """
    if not -(2**63) <= seed < 2**63:
        raise UsageError(
            f"seed {seed} of a schedule takes more than 64 bits; give one below {2**63}"
        )


def generate(
    seed: int,
    nodes: Sequence[str],
    seconds: float,
    *,
    points: Mapping[str, Sequence[str]] = NO_POINTS,
    kinds: Sequence[str] = (),
    fewest: int = FEWEST,
    most: int = MOST,
) -> FaultPlan:
    """Draw a schedule of faults that ends.

    The same arguments give the same plan, on any machine.

    Args:
        seed: from which all is drawn; also the plan's own.
        nodes: names of the nodes that faults may happen to.
        seconds: within which they begin, above 0; the plan ends with them, a little later.
        points: crash points that may be due, and the nodes whose code passes them; without any
            there is no fault of kind ``crash``.
        kinds: of faults to draw from, see ``KINDS``; all by default.
        fewest: faults of a schedule at least, 1 or more.
        most: faults of a schedule at most.

    Raises:
        UsageError: no such kind, no nodes, or numbers that cannot be.
    """
    if not nodes or seconds <= 0 or not 1 <= fewest <= most:
        raise UsageError(
            f"no schedule can be drawn for nodes {tuple(nodes)!r}, {seconds:g} s, {fewest} to "
            f"{most} faults; give a node, a time above 0, and 1 <= fewest <= most"
        )
    refuse_seed(seed)
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"there is no kind of fault {kind!r}; there are {', '.join(KINDS)}")
    chosen = [kind for kind in kinds or KINDS if kind != "crash" or points]
    draw = _Draw(SeededRng(seed).derive("chaos"), nodes, seconds, points)
    faults: list[Fault] = []
    for _ in range(draw.whole(fewest, most)):
        kind = draw.one(chosen)
        faults.append(KINDS[kind](draw))
        if kind == "torn":
            # A tear shows only where a crash comes in the middle of a write.
            node = draw.one(points.get(_WRITE, nodes))
            faults.append(CrashPoint(_WRITE, "sigkill", draw.passage(), node=node))
    ends = [fault.before or 0.0 for fault in faults if isinstance(fault, Timed)]
    return FaultPlan(*dict.fromkeys(faults), seed=seed, until=round(max([seconds, *ends]), 3))
