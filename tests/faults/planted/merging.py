"""Bugs of who is merged, and how."""

from __future__ import annotations

from actorfl.aggregator import Aggregator
from actorfl.exact import ExactSum
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.merging import Merger
from actorfl.plan import PlanText
from actorfl.roster import Phase, Verdict
from actorfl.rounds import Rounds
from actorfl.sync import Sync
from actorfl.terms import Terms
from actors import ActorRef

# -- merge twice on duplicate ----------------------------------------------------------------------


class Unaware(Rounds):
    """Of a part that came it remembers the clock alone: the same part again is another part."""

    def put(self, worker: str, incarnation: int, clock: int, version: int) -> Verdict:
        if clock == self.clock and self.phase is Phase.OPEN:
            self.arrived.discard(worker)
        return super().put(worker, incarnation, clock, version)


class Gullible(Merger):
    """Adds what is in it already."""

    def _check_contributions(self, terms: Terms) -> None:
        pass


class MergesTwice(Aggregator):
    """A part that comes twice is added twice."""

    def __init__(self, plan: PlanText, monitor: ActorRef) -> None:
        super().__init__(plan, monitor)
        self._rounds = Unaware(self._plan.roster, self._plan.sync)

    def _begin_merging(self, layout: Layout, grid: Grid, clock: int) -> Merger:
        return Gullible(layout, grid, clock)


# -- unbounded dedup table -------------------------------------------------------------------------


class Hoarding(Rounds):
    """Remembers every incarnation that it ever heard of, not the latest."""

    def __init__(self, roster: tuple[str, ...], sync: Sync) -> None:
        super().__init__(roster, sync)
        self.heard_of: set[tuple[str, int]] = set()

    def _heard(self, worker: str, incarnation: int) -> Verdict | None:
        known = super()._heard(worker, incarnation)
        if known is not Verdict.UNKNOWN:
            self.heard_of.add((worker, incarnation))
        return known


class NeverForgets(Aggregator):
    """Its table of incarnations grows with every restart of a worker."""

    def __init__(self, plan: PlanText, monitor: ActorRef) -> None:
        super().__init__(plan, monitor)
        self._rounds = Hoarding(self._plan.roster, self._plan.sync)


# -- sum depends on order --------------------------------------------------------------------------


class RunningSum(ExactSum):
    """Adds up in float32, as everybody does: each addition rounds."""

    _total: Vector | None = None

    def restart(self, grid: Grid) -> None:
        super().restart(grid)
        self._total = None

    def add(self, vector: Vector, weight: int = 1) -> int:
        rounded = super().add(vector, weight)
        term = vector * vector.dtype.type(weight)
        self._total = term if self._total is None else self._total + term
        return rounded

    def mean(self, total: int | None = None) -> Vector:
        assert self._total is not None
        divisor = self.weight if total is None else total
        return self._total / self._total.dtype.type(divisor)


class AddsFloats(Merger):
    """Its sums are running sums."""

    def _sum_for(self, name: str) -> ExactSum:
        return self._sums.get(name) or RunningSum(self.layout, self.grid)


class SumsAsTheyCome(Aggregator):
    """Which model comes out depends on who came first."""

    def _begin_merging(self, layout: Layout, grid: Grid, clock: int) -> Merger:
        return AddsFloats(layout, grid, clock)
