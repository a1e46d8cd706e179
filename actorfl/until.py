"""When a run is over."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Final

from actorfl.defined import Abstract
from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.ranges import check_count, check_number
from actorfl.records import Record

# Clocks travel as 64-bit integers; a mistyped bound should be refused long before that.
MOST = 1_000_000_000


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        rounds: clocks that the root has closed; without a barrier, updates divided by the number of
            workers, rounded down.
        clocks: clocks that the slowest worker has completed.
        versions: how often the model has moved, or could not since all of a round was refused.
        updates: parts of workers that were taken, or refused.
        seconds: from when the first worker was asked to when the model was made durable last; of
            the deployment's clock, and without the time in which the run was stopped.
        records: how each metric has fared over the evaluations, by name.
    """

    rounds: int
    clocks: int
    versions: int
    updates: int
    seconds: float = 0.0
    records: Mapping[str, Record] = field(default_factory=dict)


class Until(Abstract):
    """Base of all ends: frozen dataclasses of pure functions of the progress.

    ``first | second`` is the end that comes first, an ``AnyOf``.
    """

    @property
    def last(self) -> int | None:
        """How many clocks each worker computes at the most; None: as many as it can."""
        return None

    @property
    def metrics(self) -> frozenset[str]:
        """The metrics that it looks at, which the evaluation must have."""
        return frozenset()

    @abstractmethod
    def reached(self, progress: Progress) -> bool:
        """Say whether the run is over."""

    @abstractmethod
    def extends(self, earlier: Until) -> bool:
        """Say whether a run that was to end at `earlier` can be resumed to end here.

        It can when every run that follows the earlier end is a beginning of one that follows this.
        """

    def __or__(self, other: Until) -> AnyOf:
        """Whichever comes first."""
        return AnyOf((*ends_of(self), *ends_of(_end(other))))

    def __ror__(self, other: object) -> AnyOf:
        """As above: who asks is no end."""
        return _end(other) | self


@dataclass(frozen=True)
class OwnEnd(Until):
    """When the programs of the nodes have ended: the end of a run that has such programs."""

    def reached(self, progress: Progress) -> bool:
        """Never by progress."""
        return False

    def extends(self, earlier: Until) -> bool:
        """There is one such end."""
        return isinstance(earlier, OwnEnd)


@dataclass(frozen=True)
class _Count(Until):
    """After a number of something; a run to one number is the beginning of one to a larger."""

    def __post_init__(self) -> None:
        (field,) = fields(self)
        check_count(self, field.name, 1, MOST)

    @property
    def number(self) -> int:
        """How many."""
        (field,) = fields(self)
        number: int = getattr(self, field.name)
        return number

    def extends(self, earlier: Until) -> bool:
        """At least as many of the same."""
        return isinstance(earlier, type(self)) and self.number >= earlier.number


@dataclass(frozen=True)
class Rounds(_Count):
    """After a number of rounds; a round is a clock of the root.

    Without a barrier it is as many updates as there are workers, whoever they come from: so runs
    under different policies end after the same work.

    Args:
        rounds: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    rounds: int

    def reached(self, progress: Progress) -> bool:
        """That many rounds are closed."""
        return progress.rounds >= self.rounds


@dataclass(frozen=True)
class Clocks(_Count):
    """After each worker has computed a number of clocks; who has, waits for the others.

    Under a policy with a barrier a clock is a round.

    Args:
        clocks: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    clocks: int

    @property
    def last(self) -> int:
        """That many."""
        return self.clocks

    def reached(self, progress: Progress) -> bool:
        """The slowest worker has computed that many clocks."""
        return progress.clocks >= self.clocks


@dataclass(frozen=True)
class Versions(_Count):
    """After the model has moved a number of times: once a round, buffer or update.

    Args:
        versions: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    versions: int

    def reached(self, progress: Progress) -> bool:
        """The model has moved that often."""
        return progress.versions >= self.versions


@dataclass(frozen=True)
class Updates(_Count):
    """After a number of updates of workers were taken, or refused.

    A round under a policy with a barrier takes as many as it has; the run ends with the round in
    which the number is reached.

    Args:
        updates: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    updates: int

    def reached(self, progress: Progress) -> bool:
        """That many have come."""
        return progress.updates >= self.updates


@dataclass(frozen=True)
class _Time(Until):
    """After a time of the deployment's clock; a run to one time is the beginning of one to more."""

    def __post_init__(self) -> None:
        (field,) = fields(self)
        most = MOST // _SECONDS[field.name]
        need = f"above 0 and at most {most} {field.name}"
        check_number(self, field.name, need, lambda x: 0 < x <= most)

    @property
    def length(self) -> float:
        """It in seconds."""
        (field,) = fields(self)
        number: float = getattr(self, field.name)
        return number * _SECONDS[field.name]

    def __float__(self) -> float:
        """It in seconds: so it goes where seconds do, as in ``Churn(.1, session=Minutes(9))``."""
        return float(self.length)

    def reached(self, progress: Progress) -> bool:
        """That much time has passed."""
        return progress.seconds >= self.length

    def extends(self, earlier: Until) -> bool:
        """At least as long, in whatever unit."""
        return isinstance(earlier, _Time) and self.length >= earlier.length


@dataclass(frozen=True)
class Seconds(_Time):
    """With the first round, or version without a barrier, that ends after so many seconds.

    They are of the deployment's clock, virtual ones in a simulation, and count from when the first
    worker is asked to compute. The time in which a run is stopped does not count, nor that of what
    is lost with an aggregator that is killed. Which round is the last is a matter of speed, so no
    bits are promised, whatever the policy.

    Args:
        seconds: above 0, at most 10^9.

    Raises:
        WrongType: no number.
        WrongValue: a number out of range.
    """

    seconds: float


@dataclass(frozen=True)
class Minutes(_Time):
    """As ``Seconds``, in minutes.

    Args:
        minutes: above 0, at most 10^9 seconds.

    Raises:
        WrongType: no number.
        WrongValue: a number out of range.
    """

    minutes: float


@dataclass(frozen=True)
class Hours(_Time):
    """As ``Seconds``, in hours.

    Args:
        hours: above 0, at most 10^9 seconds.

    Raises:
        WrongType: no number.
        WrongValue: a number out of range.
    """

    hours: float


@dataclass(frozen=True)
class AnyOf(Until):
    """With the first of several ends; ``Rounds(100) | Minutes(5)``, in TOML a list.

    Args:
        ends: two of them or more, at most 16.

    Raises:
        WrongType: one is no end.
        WrongValue: there are too few or too many.
    """

    ends: tuple[Until, ...]

    def __post_init__(self) -> None:
        for end in self.ends:
            if not isinstance(end, Until):
                raise WrongType("an end of AnyOf", "an Until such as Rounds(20)", end)
        flat = tuple(one for end in self.ends for one in ends_of(end))
        if not 2 <= len(flat) <= _MOST_ENDS:
            raise WrongValue("the number of ends of AnyOf", f"from 2 to {_MOST_ENDS}", len(flat))
        object.__setattr__(self, "ends", flat)

    @property
    def last(self) -> int | None:
        """The fewest clocks that one of them lets a worker compute."""
        return min((end.last for end in self.ends if end.last is not None), default=None)

    @property
    def metrics(self) -> frozenset[str]:
        """Those of all of them."""
        return frozenset().union(*(end.metrics for end in self.ends))

    def reached(self, progress: Progress) -> bool:
        """One of them is."""
        return any(end.reached(progress) for end in self.ends)

    def extends(self, earlier: Until) -> bool:
        """None of its ends comes before all of the earlier ones."""
        return ends_no_earlier(self, earlier)


_SECONDS: Final = {"seconds": 1, "minutes": 60, "hours": 3600}
# Each is asked about after every version; nobody means more.
_MOST_ENDS: Final = 16


def check_measured(
    until: Until, measured: Mapping[str, object], known: Mapping[str, object]
) -> None:
    """Refuse an end by a metric that nobody measures: it would never come.

    Args:
        until: when the run is to be over.
        measured: metrics of an evaluation by name; where there are none, nobody had data for it.
        known: those of earlier ones.

    Raises:
        Misfit: there is another name for it, or none.
    """
    for name in sorted(until.metrics):
        if measured and name not in measured and name not in known:
            raise Misfit(
                f"`until` looks at the metric {name!r}, and what is measured is "
                f"{', '.join(sorted(measured))}; name one of these"
            )


def seconds_of(end: Until) -> float | None:
    """How many seconds a run lasts that ends after a time; None of other ends."""
    return end.length if isinstance(end, _Time) else None


def ends_no_earlier(until: Until, earlier: Until) -> bool:
    """Whether a run that was to end at `earlier` can be resumed to end at `until`.

    It can when each of the ends that `until` is made of extends one of those of `earlier`.
    """
    return all(any(one.extends(other) for other in ends_of(earlier)) for one in ends_of(until))


def _end(value: object) -> Until:
    """What stands beside a ``|``."""
    if not isinstance(value, Until):
        raise WrongType("what `|` joins", "two ends such as Rounds(20) | Minutes(5)", value)
    return value


def ends_of(until: Until) -> tuple[Until, ...]:
    """An end, or those that it is made of."""
    return until.ends if isinstance(until, AnyOf) else (until,)
