"""Carries a run out on thousands of simulated nodes, and tells what it took."""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from actorfl import config
from actorfl.config import Place
from actorfl.errors import Misfit
from actorfl.execute import Result, running
from actorfl.memo import Memo, memoised
from actorfl.run import Run
from actorfl.simulate.fleet import Fleet
from actorfl.simulate.measuring import Curve, Meter, Staleness
from actorfl.simulate.settings import Simulate
from actorfl.stopping import Stopping
from actorfl.topology import Peers, Star, Topology
from actorfl.tree import Tree
from actorfl.witness import Act, witnessed_by
from actors import ActorSystem, Custom, Event, Simulated
from actors.events import NodeStarted
from actors.sim import Simulation, SimulationStatistics

EVERY: Final = 5.0
"""Seconds of real time between two lines of progress, where no round ends."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Outcome:
    """What came of a simulated run.

    Attributes:
        result: of the training, as ``actorfl run`` has it.
        nodes: of workers, by class.
        simulation: what happened in it.
        links: messages and bytes by class of link.
        staleness: merged parts by how many versions the model had moved on; None without a centre,
            where each node has a model of its own.
        target: the accuracy whose time was wanted.
        reached: virtual seconds at which the first version that has it was made.
        wall: seconds of real time.
        memory: most MiB that this process has held.
    """

    result: Result
    nodes: Mapping[str, int]
    simulation: SimulationStatistics
    links: Mapping[str, Mapping[str, int]]
    staleness: Mapping[int, int] | None
    target: float | None
    reached: float | None
    wall: float
    memory: float


def read(
    file: str | Path,
    settings: Iterable[str] = (),
    *,
    nodes: int | None = None,
    accuracy: float | None = None,
) -> tuple[Run, Simulate]:
    """The run of a configuration with one worker on each node, and the section ``[simulate]``.

    Args:
        file: the configuration.
        settings: as for ``actorfl run --set``.
        nodes: how many; instead of those that the file says.
        accuracy: the target; instead of that in the file.

    Raises:
        ConfigError: the configuration is refused.
    """
    path = Path(file)
    table, paths = config.override(config.read(path), settings)
    given = table.get("simulate", {})
    if isinstance(given, dict):
        given = {
            **given,
            **({} if nodes is None else {"nodes": nodes}),
            **({} if accuracy is None else {"accuracy": accuracy}),
        }
    simulate: Simulate = config.convert(given, Simulate, Place(str(path), ("simulate",), paths))
    run = Run.from_table(table, path.absolute().parent, source=str(path), settings=paths)
    run = sized(run, simulate.nodes)
    Fleet(simulate, len(run.topology.names))  # refused here if the classes do not add up
    return run, simulate


def sized(run: Run, nodes: int | None) -> Run:
    """The same run with so many workers.

    Raises:
        Misfit: its topology cannot have another number.
        WrongValue: more than a topology takes.
    """
    if nodes is None or len(run.topology.names) == nodes:
        return run
    topology = run.topology
    if not isinstance(topology, (Star, Tree)):
        raise Misfit(
            f"--nodes is for a star or a tree, and {type(topology).__name__} says itself how many "
            f"nodes it has; leave --nodes out, and say --set topology.nodes={nodes} or the like"
        )
    if topology.named:
        raise Misfit(
            f"the topology names its {len(topology.names)} workers, so there cannot be {nodes} "
            "nodes; leave --nodes out, or name none"
        )
    return dataclasses.replace(run, topology=_with(topology, nodes))


def _with(topology: Star | Tree, workers: int) -> Topology:
    """With so many workers; the aggregators of a tree stay as many as they are."""
    if isinstance(topology, Star):
        return Star(workers, shards=topology.shards)
    *between, (last, _) = topology.levels
    level, least = between[-1]
    if workers < least:
        raise Misfit(
            f"each of the {least} aggregators of level `{level}` needs a worker, so there cannot "
            f"be {workers} nodes; give --nodes {least} or more"
        )
    return Tree([*between, (last, workers)])


@dataclass
class _Clocks:
    """Both clocks."""

    began: float = field(default_factory=time.perf_counter)

    @property
    def wall(self) -> float:
        return time.perf_counter() - self.began

    @staticmethod
    def virtual() -> float:
        return asyncio.get_running_loop().time()

    def __str__(self) -> str:
        return f"virtual {self.virtual():.3f} s, wall {self.wall:.1f} s"


def simulate(
    run: Run,
    settings: Simulate,
    *,
    out: Path,
    say: Say = lambda _: None,
    row_line: Callable[[Mapping[str, Any]], str] = str,
    stopping: Stopping | None = None,
) -> Outcome:
    """Carry a run out in simulated time.

    Args:
        run: with one worker for each node, as ``read`` gives it.
        settings: of the simulation.
        out: where the directory of the run is made.
        say: takes lines for people: progress, with both clocks.
        row_line: a line of the metrics for people.
        stopping: of the command that is interrupted.

    Raises:
        KeyboardInterrupt: it was.
        ConfigError: it was refused before anything started.
        RunDirectoryError: its directory cannot be used.
        RunFailed: it gave up.
    """
    workers = len(run.topology.names)
    fleet = Fleet(settings, workers)
    on = Simulated(
        workers, seed=settings.seed, net=fleet.net, start=settings.start, compute=fleet.compute
    )
    clocks, meter, staleness, curve = _Clocks(), Meter(fleet.link), Staleness(), Curve()
    progress = _Progress(workers, clocks, say)

    def on_system(system: ActorSystem, simulation: Simulation | None) -> None:
        assert simulation is not None
        simulation.network.metered_by(meter)
        system.events.subscribe(Event, progress.event)
        system.events.subscribe(Custom, on_custom)

    def on_custom(event: Custom) -> None:
        if event.kind == "version":
            curve.version(event.fields)

    def on_act(act: Act) -> None:
        staleness(act)
        progress.look()

    def on_row(row: Mapping[str, Any]) -> None:
        curve.row(row)
        progress.line(row_line(row))

    interrupted = False

    def interrupt(task: asyncio.Task[Any]) -> None:
        nonlocal interrupted
        interrupted = progress.over = True
        task.cancel()

    async def main() -> tuple[Result, SimulationStatistics, dict[str, dict[str, int]]]:
        task = asyncio.current_task()
        if stopping is not None and task is not None:
            stopping.first = partial(interrupt, task)
        async with running(run, on, out=out, on_row=on_row, on_system=on_system) as under_way:
            result = await under_way.result()
            assert under_way.simulation is not None
            progress.over = True
            # Of one moment, so that they add up: ending it takes messages, too.
            return result, under_way.simulation.statistics(), meter.table()

    memo = memoised(Memo()) if settings.memo else nullcontext()
    try:
        with memo, witnessed_by(on_act), asyncio.Runner(loop_factory=on.loop) as runner:
            result, statistics, links = runner.run(main())
    except BaseException:
        if interrupted:  # whatever else went wrong in ending it
            raise KeyboardInterrupt from None
        raise
    target = settings.accuracy
    return Outcome(
        result, fleet.counts, statistics, links,
        None if isinstance(run.topology, Peers) else staleness.histogram, target,
        None if target is None else curve.reached(target), clocks.wall, _most_memory(),
    )  # fmt: skip


class _Progress:
    """Lines for people: rounds as they end, and something now and then in between."""

    def __init__(self, nodes: int, clocks: _Clocks, say: Say) -> None:
        self._nodes = nodes
        self._clocks = clocks
        self._say = say
        self._up = self._fits = 0
        self._last = clocks.wall
        #: Whether the result is there: that every node ends now is no news.
        self.over = False

    def event(self, event: Event) -> None:
        """Something happened."""
        if isinstance(event, NodeStarted):
            self._up += 1
        elif isinstance(event, Custom) and event.kind == "fit":
            self._fits += 1
        self.look()

    def look(self) -> None:
        """Say where it is, if nothing was said for a while."""
        if self._clocks.wall - self._last >= EVERY:
            self.line(f"{self._up} nodes up, {self._fits} fits begun")

    def line(self, text: str) -> None:
        """Say something, with both clocks."""
        if self.over:
            return
        self._last = self._clocks.wall
        self._say(f"{text}  ({self._clocks})")


def _most_memory() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
