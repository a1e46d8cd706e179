"""The scenario of ``actorfl chaos``: a short run, and what must hold of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from actorfl import config, step
from actorfl.algorithms.fedavg import FedAvg
from actorfl.chaos import laws
from actorfl.chaos.laws import Seen
from actorfl.chaos.scratch import scratch, sweep
from actorfl.chaos.settings import Chaos
from actorfl.combining import combined
from actorfl.compiling import levels_between
from actorfl.config import Place
from actorfl.contributors import contributors
from actorfl.engine import engine_of
from actorfl.errors import Misfit
from actorfl.execute import running
from actorfl.lane import in_place
from actorfl.memo import Memo, memoised
from actorfl.roles import USUAL, Roles
from actorfl.run import Run
from actorfl.sampling import selected
from actorfl.stay import Stay, by_worker, members
from actorfl.switch import Switch
from actorfl.sync import SSP
from actorfl.task import who_of
from actorfl.topology import Centred, Node, Peers, Star
from actorfl.until import MOST, Rounds
from actorfl.witness import Act, witnessed_by
from actors import CrashPoint, FaultPlan, Simulated
from actors.crashpoints import HANDLED, TAKEN
from actors.faults.kinds import Freeze, Kill, Skew, Timed
from actors.testing.chaos import Evidence, Scenario

_BUDGET: Final = 10_000
"""Restarts that are allowed: a schedule of faults must never be what makes a run give up."""

_CENTRAL: Final = ("aggregator",)

_WORKER_POINTS: Final = ("worker.start", "worker.fit", "worker.put")
_WORKER_WRITES: Final = ("worker.saved",)
_AGGREGATOR_POINTS: Final = (
    "aggregator.start", "aggregator.merge", "aggregator.merged", "aggregator.saved",
)  # fmt: skip
_EDGE_POINTS: Final = ("edge.start", "edge.merged")
_SHARD_POINTS: Final = ("shard.start", "shard.merged", "shard.saved")
_STORAGE_POINTS: Final = ("storage.begin", "storage.part", "storage.write", "storage.placed")


def read(file: str | Path, settings: Iterable[str] = ()) -> tuple[Run, Chaos]:
    """The run of a configuration as chaos plays it, and the section ``[chaos]``.

    Raises:
        ConfigError: the configuration is refused.
    """
    path = Path(file)
    table, paths = config.override(config.read(path), settings)
    place = Place(str(path), ("chaos",), paths)
    chaos: Chaos = config.convert(table.get("chaos", {}), Chaos, place)
    run = Run.from_table(table, path.absolute().parent, source=str(path), settings=paths)
    return shortened(run, chaos), chaos


def shortened(run: Run, chaos: Chaos) -> Run:
    """The same run with a near end, and a budget of restarts that no schedule exhausts.

    Raises:
        Misfit: it has no centre, of whose laws nothing is known here.
    """
    if isinstance(run.topology, Peers):
        what = run.algorithm if run.node is None else run.node
        raise Misfit(
            f"`actorfl chaos` judges what an aggregator does, and {type(what).__name__} has "
            "none; use `actorfl run FILE --deploy simulated=2 --faults PLAN`, or in a program "
            "on=Simulated(2, faults=FaultPlan(...)), and compare"
        )
    rounds = chaos.rounds
    if isinstance(run.until, Rounds):
        rounds = min(rounds, run.until.rounds)
    supervision = dataclasses.replace(run.supervision, intensity=_BUDGET, outside=_BUDGET)
    stays = tuple(_in_time(one, rounds - 1) for one in run.stays)
    return dataclasses.replace(
        run, until=Rounds(rounds), supervision=supervision, baselines=False, stays=stays
    )


def _in_time(stay: Stay, last: int) -> Stay:
    """Who would join after the last clock joins in it."""
    if stay.join <= last:
        return stay
    leave = MOST if last == 0 and stay.leave is None else stay.leave
    return dataclasses.replace(stay, join=last, leave=leave)


def scenario(file: str, *settings: str) -> Scenario[Seen]:
    """The scenario of a configuration, for ``actors.testing.chaos.explore``.

    Raises:
        ConfigError: the configuration is refused.
    """
    return scenario_of(*read(file, settings))


def scenario_of(run: Run, chaos: Chaos, roles: Roles = USUAL) -> Scenario[Seen]:
    """The scenario of a run that was shortened, with these classes of actors."""
    workers = tuple(f"p{number}" for number in range(chaos.processes))
    levels = _levels_of(run)
    shards = run.topology.shard_names if isinstance(run.topology, Star) else ()
    central = (*_CENTRAL, *levels, *shards)
    points = dict.fromkeys(_WORKER_POINTS, workers)
    points.update(dict.fromkeys((*_AGGREGATOR_POINTS, *_STORAGE_POINTS), _CENTRAL))
    points.update(dict.fromkeys((TAKEN, HANDLED), (*workers, *central, "evaluator")))
    if shards:
        points.update(dict.fromkeys(_SHARD_POINTS, shards))
        points.update(dict.fromkeys(_STORAGE_POINTS, (*_CENTRAL, *shards)))
    if levels:
        points.update(dict.fromkeys(_EDGE_POINTS, levels))
        points["aggregator.merge"] = central
    if _is_combined(run, Simulated(chaos.processes)):
        points.update(dict.fromkeys(_EDGE_POINTS, (*levels, *workers)))
    feeds_back = run.compress is not None and run.compress.stateful
    # Its workers may keep something, and write it.
    if feeds_back or type(run.algorithm).up is not FedAvg.up:
        points.update(dict.fromkeys(_WORKER_WRITES, workers))
        points.update(dict.fromkeys(_STORAGE_POINTS, (*workers, *_CENTRAL, *shards)))
    return Scenario(
        _player(run, roles),
        (*workers, *central, "evaluator"),
        (
            *_of_policy(run),
            nothing_is_merged_after_its_fence,
            tables_stay_small,
            _ends_in_time(run),
        ),
        on=Simulated(chaos.processes),
        points=points,
        seconds=chaos.seconds,
    )


def _levels_of(run: Run) -> tuple[str, ...]:
    """The processes of aggregators below the root."""
    if not isinstance(run.topology, Centred):
        return ()
    return tuple(nodes[0].level for nodes in levels_between(run.topology.root))


def _is_combined(run: Run, on: Simulated) -> bool:
    """Whether workers are added up in their own processes."""
    if not isinstance(run.topology, Centred):
        return False
    return combined(run, on, run.topology.root) != run.topology.root


def _parts_at_root(run: Run) -> tuple[str, ...]:
    """Whose parts the root merges: the workers', or those of aggregators with own updates."""
    topology = run.topology
    if not isinstance(topology, Centred):
        return topology.names
    return contributors(run, topology.root)


def needed(run: Run, node: Node | None = None) -> int:
    """Parts without which an aggregator closes no clock: of the root, if no other is given."""
    if not isinstance(run.topology, Centred):
        return len(run.topology.names)
    node = node or run.topology.root
    parts = sorted(
        needed(run, each) if each.below and not run.sends_updates(each.level, node.level) else 1
        for each in node.below
    )
    return sum(parts[: run.sync_at(node.level).least(len(parts))])


def _of_policy(run: Run) -> tuple[Callable[[Evidence[Seen]], str | None], ...]:
    """What must hold under its policies, beside what must hold under each."""
    sync = run.sync
    partial = sync.partial or any(each.partial for _, each in run.sync_of)
    if sync.barrier and not partial:
        return same_bits, each_part_is_merged_once

    def it_is_never_too_far_ahead(evidence: Evidence[Seen]) -> str | None:
        seen = _seen(evidence)
        assert isinstance(sync, SSP)
        return laws.staleness_is_bounded(
            laws.steps(seen.acts), seen.roster, sync.staleness, seen.stays
        )

    def enough_are_in(evidence: Evidence[Seen]) -> str | None:
        seen = _seen(evidence)
        least = needed(run)
        if seen.selected:  # of a star
            least = sync.least(min(map(len, seen.selected)))
        return laws.each_part_is_merged_at_most_once(
            seen.acts, seen.roster, seen.rounds, least, seen.selected
        )

    if sync.barrier:
        return (enough_are_in,)
    if isinstance(sync, SSP):
        return each_clock_follows_the_last, it_is_never_too_far_ahead
    if isinstance(sync, Switch):
        return (each_clock_follows_the_last,)
    return each_clock_follows_the_last, nobody_waits


def _player(run: Run, roles: Roles) -> Callable[[Simulated], Awaitable[Seen]]:
    sweep()  # what processes left that were killed in the middle of a play
    memo = Memo()
    chosen = _selected(run)

    async def play(on: Simulated) -> Seen:
        acts: list[Act] = []
        with (
            scratch() as out,
            memoised(memo),
            witnessed_by(acts.append),
        ):
            async with running(run, on, out=out, roles=roles) as under_way:
                result = await under_way.result()
        return Seen(
            result.sha256, result.rounds, _parts_at_root(run), result.restarts, tuple(acts), chosen,
            by_worker(run.stays, run.topology.names),
        )  # fmt: skip

    return play


def _selected(run: Run) -> tuple[frozenset[str], ...]:
    """Who is to compute each clock of a run, whatever goes wrong in it."""
    if run.select is None and not run.stays:
        return ()
    assert isinstance(run.until, Rounds)
    names, task = run.topology.names, run.resolved_task
    stays = by_worker(run.stays, names)
    there = [members(stays, names, clock) for clock in range(run.until.rounds)]
    if run.select is None:
        return tuple(frozenset(each) for each in there)
    examples = {
        name: in_place(
            step.load,
            run,
            task,
            who_of(run.topology, index),
            seed=step.load_seed(run, name),
            engine=engine_of(task),
        ).examples
        for index, name in enumerate(names)
    }
    return tuple(
        selected(run.select, each, examples, run.seed, clock) for clock, each in enumerate(there)
    )


def same_bits(evidence: Evidence[Seen]) -> str | None:
    """Under BSP the final model has the SHA-256 of the undisturbed run."""
    if evidence.reference is None:
        return None
    seen, expected = _seen(evidence), _seen(evidence.reference)
    return laws.same_bits(seen.sha256, expected.sha256)


def each_part_is_merged_once(evidence: Evidence[Seen]) -> str | None:
    """Every (worker, clock) is in the model exactly once."""
    seen = _seen(evidence)
    return laws.each_part_is_merged_once(seen.acts, seen.roster, seen.rounds, seen.selected)


def each_clock_follows_the_last(evidence: Evidence[Seen]) -> str | None:
    """Every (worker, clock) that was acknowledged is in the model exactly once."""
    seen = _seen(evidence)
    return laws.each_clock_follows_the_last(seen.acts, seen.roster, seen.stays)


def nobody_waits(evidence: Evidence[Seen]) -> str | None:
    """Nobody is told to wait for slower ones."""
    return laws.nobody_waits(laws.steps(_seen(evidence).acts))


def nothing_is_merged_after_its_fence(evidence: Evidence[Seen]) -> str | None:
    """In the aggregator's own order."""
    return laws.nothing_is_merged_after_its_fence(_seen(evidence).acts)


def tables_stay_small(evidence: Evidence[Seen]) -> str | None:
    """What the aggregator remembers of its workers does not grow with what goes wrong."""
    seen = _seen(evidence)
    return laws.tables_stay_small(seen.acts, seen.roster)


def _ends_in_time(run: Run) -> Callable[[Evidence[Seen]], str | None]:
    given = run.supervision

    def it_ends_in_time(evidence: Evidence[Seen]) -> str | None:
        if evidence.reference is None:
            return None
        limit = laws.longest(
            evidence.reference.seconds,
            last_end(evidence.plan),
            _seen(evidence).restarts,
            crashes=sum(isinstance(fault, CrashPoint) for fault in evidence.plan.faults),
            backoff=given.backoff,
            backoff_max=given.backoff_max,
        )
        if evidence.seconds <= limit:
            return None
        return (
            f"it took {evidence.seconds:.1f} s of virtual time, and was to end by {limit:.1f} s "
            f"({evidence.reference.seconds:.1f} s undisturbed)"
        )

    return it_ends_in_time


def last_end(plan: FaultPlan) -> float:
    """When the last fault of a plan that has a time of its own is over, in seconds.

    What waits for a moment may begin as late as the plan ends.
    """
    until = plan.until
    ends = [0.0]
    for fault in plan.faults:
        match fault:
            case Kill(_, at, down, since):
                ends.append((at if since is None else until) + down)
            case Freeze(_, at, seconds, since):
                ends.append((at if since is None else until) + seconds)
            case Skew() if fault.always:
                pass  # has none
            case Timed():
                ends.append(until if fault.since is not None else fault.span(0.0, until)[1])
            case _:
                pass
    return max(ends)


def _seen(evidence: Evidence[Seen]) -> Seen:
    assert evidence.result is not None
    return evidence.result
