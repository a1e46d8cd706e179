"""What an aggregator needs of a run: all but the task, whose code may import torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import msgspec

from actorfl import config, registry
from actorfl.algorithm import Algorithm
from actorfl.compression import Compression
from actorfl.config import Place
from actorfl.contributors import contributors, missed_in_tree
from actorfl.grid import Grid
from actorfl.holding import Holder, check_held
from actorfl.layout import Layout
from actorfl.merging import Merger
from actorfl.registry import SLOTS
from actorfl.run import Run
from actorfl.sampling import Selection, selected
from actorfl.stay import Stay, by_worker
from actorfl.sync import Sync
from actorfl.topology import Node
from actorfl.until import Until

At = Literal["central", "workers", "nowhere"]


class PlanText(msgspec.Struct, frozen=True):
    """A plan as it travels: each slot as TOML holds it.

    Attributes:
        algorithm, sync, until: tables of the slots.
        base: directory that relative code paths start from.
        roster: names of what is directly below it: workers, or aggregators.
        below: the workers below each aggregator in the roster, by its name; empty above workers.
        parts: whose parts are in what each aggregator in the roster sends, by its name; where it is
            not told, all the workers below it.
        missed: whether the root tells those below which workers' parts are missing.
        sums: whether the aggregators in the roster send the sums of their workers' parts, or these
            parts whole, not updates of their own.
        above: the algorithm of the level above, where this aggregator sends updates of its own.
        select: table of the slot; None: everybody computes each clock.
        seed: of the run, from which is drawn who is selected.
        compress: table of the slot, where workers are directly below and compress.
        stays: from when to when workers are of the run; the first that fits one decides.
        outlives: whether the run goes on without workers that nobody restarts any more.
        every: rounds between two evaluations.
        at: where versions are evaluated.
        landing: buffers in which updates land.
        identity: of the run.
        lr: learning rate of the local loop.
        strict: whether workers that do not compute alike end the run.
        record: whether the checkpoint of each clock is kept.
        code: what the classes of the slots are where the run was started.
    """

    algorithm: dict[str, Any]
    sync: dict[str, Any]
    until: dict[str, Any] | list[dict[str, Any]]
    base: str
    roster: tuple[str, ...]
    every: int
    at: At
    landing: int
    identity: str
    lr: float
    strict: bool
    record: bool
    code: dict[str, dict[str, str]]
    below: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    sums: bool = True
    above: dict[str, Any] | None = None
    select: dict[str, Any] | None = None
    seed: int = 0
    # Left out where there is none, so that a plan without it travels as it always did.
    compress: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    stays: tuple[Stay, ...] | msgspec.UnsetType = msgspec.UNSET
    outlives: bool | msgspec.UnsetType = msgspec.UNSET
    parts: dict[str, tuple[str, ...]] | msgspec.UnsetType = msgspec.UNSET
    missed: bool | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Plan:
    """A plan in an aggregator's hands; attributes as in ``PlanText``."""

    algorithm: Algorithm
    sync: Sync
    until: Until
    roster: tuple[str, ...]
    every: int
    at: At
    landing: int
    identity: str
    lr: float
    strict: bool
    record: bool
    below: Mapping[str, tuple[str, ...]]
    sums: bool
    above: Algorithm | None
    select: Selection | None
    seed: int
    compress: Compression | None
    stays: Mapping[str, Stay]
    outlives: bool
    parts: Mapping[str, tuple[str, ...]]
    missed: bool

    @classmethod
    def read(cls, text: PlanText) -> Plan:
        """Build what the tables name.

        Raises:
            ConfigError: a class does not import here, or its source is another one.
        """
        base = Path(text.base)

        def slot(key: str, table: Any, code: str = "") -> Any:
            built = config.build(SLOTS[key], table, Place("the plan", (key,)), base)
            registry.check_value(SLOTS[key], built, text.code, code or key)
            return built

        return cls(
            slot("algorithm", text.algorithm),
            slot("sync", text.sync),
            slot("until", text.until),
            text.roster,
            text.every,
            text.at,
            text.landing,
            text.identity,
            text.lr,
            text.strict,
            text.record,
            text.below,
            text.sums,
            None if text.above is None else slot("algorithm", text.above, "above"),
            None if text.select is None else slot("select", text.select),
            text.seed,
            None if text.compress is msgspec.UNSET else slot("compress", text.compress),
            {} if text.stays is msgspec.UNSET else by_worker(text.stays, text.roster),
            text.outlives is True,
            text.below if text.parts is msgspec.UNSET else text.parts,
            text.missed is True,
        )

    @cached_property
    def workers(self) -> tuple[str, ...]:
        """Whose parts it adds up: all workers below it, or aggregators with updates; sorted."""
        if not self.below or not self.sums:
            return tuple(sorted(self.roster))
        # Beside aggregators there may be single workers.
        return tuple(sorted(part for name in self.roster for part in self.parts.get(name, (name,))))

    @property
    def forwarded(self) -> bool:
        """Whether the aggregators in the roster send the updates of their workers whole."""
        return self.algorithm.reduce == "all" and bool(self.below) and self.sums

    def selected(
        self, clock: int, members: Sequence[str], examples: Mapping[str, int]
    ) -> frozenset[str]:
        """Who computes a clock.

        Args:
            clock: from 0.
            members: who is of the run in it, in the order of the roster.
            examples: training examples by name.
        """
        if self.select is None:
            return frozenset(members)
        return selected(self.select, members, examples, self.seed, clock)

    def merger(self, layout: Layout, grid: Grid, clock: int, kept: int = 0) -> Merger:
        """What the algorithm's clocks are merged in.

        Args:
            layout: of the model.
            grid: of the first clock.
            clock: the first clock.
            kept: how many of its results are kept, to be sent again.

        Raises:
            Misfit: it is to hold more models than fit.
        """
        if self.algorithm.reduce != "all":
            return Merger(layout, grid, clock)
        asked = len(self.workers)
        if self.select is not None:
            asked = self.select.size(asked)
        most = max(asked, self.sync.buffer)
        # Those below put all their models at once, into each of the landing buffers.
        landing = self.landing * max(map(len, self.parts.values())) if self.forwarded else 0
        check_held(type(self.algorithm).__name__, layout, most, landing + kept * asked)
        return Holder(layout, grid, clock)


def plan_of(run: Run, identity: str, at: At, node: Node, above: Node | None = None) -> PlanText:
    """The plan of one aggregator of a run.

    Args:
        run: what is to be learned.
        identity: of the run.
        at: where versions are evaluated.
        node: the aggregator.
        above: the one above it; None: it is the root.
    """
    sync, algorithm = run.sync_at(node.level), run.algorithm_at(node.level)
    own = above is not None and run.sends_updates(node.level, above.level)
    outer = run.algorithm_at(above.level) if own and above is not None else None
    below = [each for each in node.below if each.below]
    compress = run.compress if len(below) < len(node.below) else None
    workers = {each.name: each.workers for each in below}
    parts = {each.name: contributors(run, each) for each in below}
    sums = not any(run.sends_updates(each.level, node.level) for each in below)

    def code(slot: str, value: object) -> dict[str, str]:
        return registry.identity_of(SLOTS[slot], type(value))

    return PlanText(
        algorithm=config.describe_slot(SLOTS["algorithm"], algorithm, run.base),
        sync=config.describe_slot(SLOTS["sync"], sync, run.base),
        until=config.describe_slot(SLOTS["until"], run.until, run.base),
        base=str(run.base),
        roster=tuple(each.name for each in node.below),
        below=workers,
        every=run.evaluate.every,
        at=at,
        landing=run.landing,
        identity=identity,
        lr=run.local.lr,
        strict=run.strict,
        record=run.record,
        code={
            "algorithm": code("algorithm", algorithm),
            "sync": code("sync", sync),
            **registry.identities(SLOTS["until"], run.until, "until"),
            **({} if outer is None else {"above": code("algorithm", outer)}),
            **({} if run.select is None else {"select": code("select", run.select)}),
            **({} if compress is None else {"compress": code("compress", compress)}),
        },
        sums=sums,
        above=None if outer is None else config.describe_slot(SLOTS["algorithm"], outer, run.base),
        select=(
            None
            if run.select is None
            else config.describe_slot(SLOTS["select"], run.select, run.base)
        ),
        seed=run.seed,
        compress=(
            msgspec.UNSET
            if compress is None
            else config.describe_slot(SLOTS["compress"], compress, run.base)
        ),
        stays=run.stays or msgspec.UNSET,
        outlives=run.supervision.exhausted == "leave" or msgspec.UNSET,
        parts=parts if sums and parts != workers else msgspec.UNSET,
        missed=missed_in_tree(run) or msgspec.UNSET,
    )
