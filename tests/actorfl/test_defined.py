"""Code of the user's own that lacks something is refused before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import pytest

from actorfl import BSP, SSP, FedAvg, NodeLoop, RingGraph, Star, Sync
from actorfl.algorithm import Algorithm, Reduce
from actorfl.compression import Compression
from actorfl.errors import ConfigError
from actorfl.estimator import EstimatorTask
from actorfl.run import Run
from actorfl.sampling import Selection
from actorfl.switch import Switch
from actorfl.topology import Topology
from actorfl.until import Until
from tests.faults.runs import small
from tests.faults.tasks import Blobs


@dataclass(frozen=True)
class Endless(Algorithm):
    def up(self, ctx: Any, mine: Any) -> Any:
        return {}, {}


@dataclass(frozen=True)
class AllEndless(Endless):
    reduce: ClassVar[Reduce] = "all"


@dataclass(frozen=True)
class Silent(Algorithm):
    def close(self, state: Any, terms: Any, closed: Any) -> Any:
        return state


@dataclass(frozen=True)
class Short(FedAvg):
    def close(self, state: Any, terms: Any) -> Any:  # type: ignore[override]  # what is tested  # type: ignore[override]  # what is tested
        return state


@dataclass(frozen=True)
class OneWay(Compression):
    def encode(self, vector: Any, state: Any, rng: Any) -> Any:
        return {}, {}


@dataclass(frozen=True)
class NoCtx(Blobs):
    def fit(self) -> None:  # type: ignore[override]  # what is tested
        """Trains nothing."""


class Every(NodeLoop):
    def run(self, me: Any) -> Any:
        return None


@dataclass(frozen=True)
class Hasty(Switch):
    def choose(self, progress: Any) -> Sync:  # type: ignore[override]  # what is tested
        return SSP(1)


@dataclass(frozen=True)
class Later(Switch):
    async def choose(self, progress: Any, metrics: Any) -> Sync:  # type: ignore[override]  # what is tested
        return SSP(1)


@dataclass(frozen=True)
class Fixed(Selection):
    def size(self, workers: int) -> int:
        return 1

    def draw(self, roster: Any) -> Any:  # type: ignore[override]  # what is tested
        return roster[:1]


@dataclass(frozen=True)
class Undrawn(Selection):
    def size(self, workers: int) -> int:
        return 1


class Unchosen(Switch):
    pass


class Idle(NodeLoop):
    pass


class Nothing(EstimatorTask):
    def pool(self) -> Any:
        return ()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: small(algorithm=Endless()), "^Endless does not define close; add it$"),
        (lambda: small(algorithm=AllEndless()), "^AllEndless does not define close; add it$"),
        (lambda: small(algorithm=Silent()), "^Silent does not define up; add it$"),
        (
            lambda: small(algorithm=Short()),
            r"^close of Short takes \(.*\) -> .*; write def close\(self, state, terms, closed\)$",
        ),
        (lambda: small(compress=OneWay()), "^OneWay does not define decode; add it$"),
        (
            lambda: small(task=NoCtx()),
            r"^fit of NoCtx takes \(\) -> .*; write def fit\(self, ctx\)$",
        ),
        (
            lambda: Run(Blobs(), RingGraph(3), node=Every()),
            r"^run of Every is no coroutine; write async def run\(self, me\)$",
        ),
        (lambda: small(sync=Hasty()), r"write def choose\(self, progress, metrics\)$"),
        (
            lambda: small(sync=Later()),
            r"^choose of Later is a coroutine; write def choose\(self, progress, metrics\)$",
        ),
        (lambda: small(select=Fixed()), r"write def draw\(self, roster, examples, seed\)$"),
        (Undrawn, "^Undrawn does not define draw; add it$"),
        (Unchosen, "^Unchosen does not define choose; add it$"),
        (Idle, "^Idle does not define run; add it$"),
        (Topology, "^Topology does not define names"),
        (Until, "^Until does not define "),
        (Nothing, "^Nothing does not define estimator and features; add it$"),
    ],
)
def test_a_class_that_lacks_something_is_refused_by_its_name_and_the_methods(
    make: Callable[[], object], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        make()


@dataclass(frozen=True)
class Wide(FedAvg):
    """Takes what it is given."""

    def close(self, *args: Any, **options: Any) -> Any:
        return super().close(*args, **options)


def test_what_can_be_called_is_fine() -> None:
    assert small(algorithm=Wide(), sync=BSP()).algorithm == Wide()
    assert not fields(Idle)
    assert Star(2).names == ("w0", "w1")
