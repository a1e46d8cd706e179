"""Carries a run out: directory, graph, events, result."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from actorfl.attaching import Attachable
from actorfl.baselines import Baselines, compared
from actorfl.chaos import plans
from actorfl.compiling import graph_of
from actorfl.engine import Engine, engine_of
from actorfl.errors import (
    BeyondHelp,
    ConfigError,
    Misfit,
    MissingExtra,
    RunDirectoryError,
    RunFailed,
    refusal_of,
)
from actorfl.exitcodes import ExitCode
from actorfl.lane import lane_aside
from actorfl.outside import Outside
from actorfl.periods import length_of
from actorfl.protocol import Finished
from actorfl.resuming import checked
from actorfl.roles import USUAL, Roles
from actorfl.rows import Rows
from actorfl.rundir import RunDirectory
from actorfl.runlog import RunLog
from actorfl.stopping import handlers_kept
from actorfl.sync import Period
from actorfl.threads import deployed
from actorfl.topology import Peers
from actors import (
    ActorSystem,
    Deployment,
    GaveUp,
    Inline,
    Live,
    Processes,
    Simulated,
    Spawner,
    loop_factory,
)
from actors.liveness import INTERVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from actorfl.run import Run
    from actors.sim import Simulation

#: Seconds after which what has not stopped is killed: a frozen process would never answer, and
#: Ctrl-C is to end a run within 5 s. Longer than what an actor is given to stop (1 s) on a busy
#: machine.
_STOP_LIMIT = 2.5
#: Seconds after Ctrl-C at which this process ends whatever hangs; its children end with it.
_END_LIMIT = 4.5

_BEYOND_HELP = f"{BeyondHelp.__module__}:{BeyondHelp.__name__}"

# What is installed under another name than it is imported by.
_PACKAGES = {"sklearn": "scikit-learn"}

OnRow = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        accuracy: of the final model; None where the task measures none.
        sha256: of the final model's file, in hexadecimal.
        rounds: clocks of the root that were closed, over all starts of the run.
        restarts: actors restarted after an exception plus processes restarted after their death,
            in this start; where the run was complete before it, in the one that ended it.
        directory: what the run left.
        metrics: of the final model, by name.
        merged: whether at least one update was merged; else the final model is the initial one.
        unpromised: why another run may end with other bits, by worker; empty where the same bits
            are promised.
        faults: how often each kind of the deployment's fault plan took effect in this start, on
            all nodes; see ``Live.faults``.
        baselines: what the same budget reaches without federation; None unless the run asks for it.
        messages: models, updates and sums that aggregators sent and received, or that nodes without
            a centre sent, over all starts; as the lines of the metrics tell them.
        bytes: in these messages.
        seconds: of real time that this start took, from when its actors were there to its end;
            where the run was complete before it, those of the one that ended it.
        virtual_seconds: the same on the clock of a simulation; None where time is real.
    """

    accuracy: float | None
    sha256: str
    rounds: int
    restarts: int
    directory: Path
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    merged: bool = True
    unpromised: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    baselines: Baselines | None = None
    messages: int = 0
    bytes: int = 0
    seconds: float = field(default=0.0, compare=False)  # as long as it took
    virtual_seconds: float | None = None


class _Ended(msgspec.Struct, frozen=True):
    """What ``result.json`` tells of the start that brought a run to its end."""

    restarts: int
    seconds: float
    virtual_seconds: float | None
    faults: dict[str, int]


def _ended(directory: RunDirectory) -> _Ended | None:
    """The same of a run that was complete; None where that is not written there."""
    try:
        return msgspec.json.decode(directory.result.read_bytes(), type=_Ended)
    except (OSError, msgspec.DecodeError):
        return None


class Running:
    """A run under way; what tests and demonstrations look at and disturb.

    Attributes:
        directory: of the run.
        live: its graph: actors, processes, event stream.
        log: counts restarts.
        simulation: the simulated world, or None where the world is real.
    """

    def __init__(
        self,
        run: Run,
        directory: RunDirectory,
        live: Live,
        log: RunLog,
        finished: asyncio.Future[Finished],
        *,
        outside: Outside,
        rows: Rows,
        earlier: _Ended | None = None,
    ) -> None:
        self.directory = directory
        self.live = live
        self.log = log
        self.simulation = outside.simulation
        self._run = run
        self._world = outside.world
        self._rows = rows
        self._finished = finished
        self._earlier = earlier
        self._began = time.perf_counter(), asyncio.get_running_loop().time()

    async def result(self) -> Result:
        """Wait for the end.

        Raises:
            RunFailed: a supervisor gave up.
            ConfigError: what was to be done cannot be, as showed in the process that was to do it.
        """
        try:
            finished: Finished = await self.live.until(self._finished)
        except GaveUp as error:
            raise await _failed(error, self.log, self._rows, self.directory) from None
        real, virtual = time.perf_counter(), asyncio.get_running_loop().time()
        ended = self._earlier or _Ended(  # where nothing was done, that tells more
            self.log.restarts,
            round(real - self._began[0], 6),
            None if self.simulation is None else round(virtual - self._began[1], 6),
            await self.live.faults(),
        )
        written = await self._rows.written()
        result = Result(
            finished.accuracy,
            finished.sha256,
            finished.rounds,
            ended.restarts,
            self.directory.path,
            finished.metrics,
            # The lines of all starts tell whether any round merged an update.
            isinstance(self._run.topology, Peers) or any(row.get("updates") for row in written),
            finished.unpromised,
            ended.faults,
            None,
            sum(row.get("messages", 0) for row in written),
            sum(row.get("bytes", 0) for row in written),
            ended.seconds,
            ended.virtual_seconds,
        )
        self.directory.write(self.directory.result, _as_json(result))
        if self._run.baselines:
            self.log.tell("the run is over; computing its baselines")
            computing = compared(self._run, written, lane_aside(self._world, self._run.task))
            # Within a simulation not even a turn of the loop passes, so that nothing can happen.
            simulated = self.simulation is not None
            found = await (computing if simulated else self.live.until(computing))
            result = replace(result, baselines=found)
            self.directory.write(self.directory.result, _as_json(result))
        return result

    def __repr__(self) -> str:
        return f"<Running {self.directory.path.name} restarts={self.log.restarts}>"


async def _failed(
    error: GaveUp, log: RunLog, rows: Rows, directory: RunDirectory
) -> RunFailed | ConfigError:
    """What a graph that gave up, at its start or later, means to whoever started the run."""
    gave_up = log.gave_up
    who = gave_up.child.rpartition("/")[2] if gave_up else "the run"
    if who != "monitor":  # it fails where on_row raises, which would only raise again
        await rows.catch_up()  # the last line may have died with the aggregator
    reason = gave_up.error if gave_up else str(error)
    restarts = gave_up.restarts if gave_up else 0
    # What is refused here says it by itself: its class is in the exit code.
    sentence = reason.partition(": ")[2]
    if gave_up and _BEYOND_HELP in gave_up.kinds:
        return RunFailed.saying(sentence, who, error.remote_traceback, directory.log)
    refusal = refusal_of(gave_up.kinds, sentence) if gave_up else None
    return refusal or RunFailed(who, reason, restarts, error.remote_traceback, directory.log)


@asynccontextmanager
async def running(
    run: Run,
    on: Deployment | None = None,
    *,
    resume: Path | None = None,
    out: Path = Path("runs"),
    on_row: OnRow | None = None,
    debug: bool = False,
    spawner: Spawner | None = None,
    on_directory: Callable[[Path], None] = lambda _: None,
    on_system: Callable[[ActorSystem, Simulation | None], object] = lambda *_: None,
    roles: Roles = USUAL,
) -> AsyncIterator[Running]:
    """Start a run; leaving the block ends it, finished or not.

    Args:
        run: what to do.
        on: where; in this process if not given.
        resume: directory of an earlier start to continue.
        out: where a new directory is made.
        on_row: called with each line that this start adds to the metrics, once and in order, and
            with ``{"event": sentence}`` for each failure and restart.
        debug: have the processes log at debug level.
        spawner: starts the processes; for tests of what they may do to a run.
        on_directory: called with the run's directory as soon as the run can be resumed there.
        on_system: called with the launcher's system, and the simulated world if it is one, before
            anything is made in it.
        roles: the classes of its actors; for tests of what must hold whatever they do.

    Raises:
        ConfigError: refused before anything started.
        RunDirectoryError: the directory cannot be used.
    """
    engine = engine_of(run.task)
    for module, extra in engine.needs:
        if importlib.util.find_spec(module) is None:
            raise MissingExtra(_PACKAGES.get(module, module), extra, "training")
    on = _lasting(_unhurried(_preloading(deployed(on or Inline()), engine), run), run)
    # Built once before any directory is made, so that what does not fit leaves nothing behind.
    graph_of(run, "", _nowhere, _nowhere, roles, on=on).validate(on)
    frozen = on.faults.freezing if isinstance(on, Simulated) else None
    if frozen is not None and run.supervision.stuck_after is None:
        raise Misfit(
            f"nothing wakes a process that crash point {frozen.point!r} freezes (sigstop); set "
            "supervision.stuck_after, the seconds after which it is killed and replaced"
        )
    if resume is None:  # else it may be past them
        plans.check_ends(run, on)
    directory = RunDirectory.create(out, run.name) if resume is None else RunDirectory.open(resume)
    with directory:
        try:
            directory.begin(run)
            identity, starts = _count_start(directory)
        except RunDirectoryError:
            if (
                resume is None
            ):  # else it would be the newest run, which is what is shown and resumed
                directory.discard()
            raise
        on_directory(directory.path)
        loop = asyncio.get_running_loop()
        finished: asyncio.Future[Finished] = loop.create_future()
        with closing(RunLog(directory, on_row)) as log:
            outside = Outside(run, on, directory, spawner)
            rows = Rows(outside.storage, log.row)

            async def on_finished(message: Finished) -> None:
                await rows.catch_up()
                if not finished.done():
                    finished.set_result(message)

            graph = graph_of(
                run, identity, rows.told, on_finished, roles, on=on, gone=lambda: log.gone
            )
            attachable = Attachable(directory.path, on)

            def begun(system: ActorSystem) -> None:
                log.attach(system)
                on_system(system, outside.simulation)
                attachable.announce()

            limit: asyncio.TimerHandle | None = None
            earlier: _Ended | None = None
            try:
                if resume is not None:
                    resumed = await checked(directory, outside.storage, identity, run)
                    earlier = _ended(directory) if resumed.complete else None
                    await rows.resume(resumed.clock)
                    log.tell(resumed.sentence)
                async with graph.start(
                    on,
                    world=outside.world,
                    cluster=f"{run.name}-{identity}",
                    storage=directory.path,
                    durability=run.durability,
                    pass_fds=(directory.lock_fd,),
                    # Later starts of the run come after all incarnations of this one.
                    generation=starts << 20,
                    on_line=log.line,
                    debug=debug,
                    stuck_after=run.supervision.stuck_after,
                    before=begun,
                    observe=attachable.address,
                ) as live:
                    log.on_progress = live.progressed
                    loop.call_soon(rows.begin)  # when the caller's block has been entered
                    try:
                        yield Running(
                            run, directory, live, log, finished, outside=outside, rows=rows,
                            earlier=earlier,
                        )  # fmt: skip
                    finally:
                        limit = loop.call_later(_STOP_LIMIT, _kill_all, live)
            except GaveUp as error:  # some actor did not start
                raise await _failed(error, log, rows, directory) from None
            finally:
                attachable.close()
                if limit is not None:
                    limit.cancel()
                await outside.close()


async def on(
    run: Run,
    deployment: Deployment | None = None,
    *,
    resume: Path | None = None,
    out: Path = Path("runs"),
    on_row: OnRow | None = None,
) -> Result:
    """Carry a run out within a running loop; see ``Run.on``."""
    async with running(run, deployment, resume=resume, out=out, on_row=on_row) as under_way:
        return await under_way.result()


def start(
    run: Run,
    *,
    on: Deployment | None = None,
    resume: Path | None = None,
    out: Path = Path("runs"),
    on_row: OnRow | None = None,
    debug: bool = False,
) -> Result:
    """Carry a run out from a script; see ``Run.start``.

    Ctrl-C (and SIGTERM) ends it in order within 5 s, nothing durable is lost; a second one ends
    this process at once, and its processes with it.

    Raises:
        KeyboardInterrupt: Ctrl-C; its argument is the directory of the run, if there is one yet.
    """

    async def main() -> Result:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        interrupts = 0
        directories: list[Path] = []

        def interrupted() -> None:
            nonlocal interrupts
            interrupts += 1
            if interrupts == 1:
                task.cancel()
                loop.call_later(_END_LIMIT, os._exit, ExitCode.INTERRUPTED)
            else:
                os._exit(ExitCode.INTERRUPTED)

        signals = (signal.SIGINT, signal.SIGTERM)
        try:
            for number in signals:
                loop.add_signal_handler(number, interrupted)
        except (NotImplementedError, RuntimeError, ValueError):
            pass  # Windows, or not in the main thread: Ctrl-C raises KeyboardInterrupt as usual
        try:
            async with running(
                run, on, resume=resume, out=out, on_row=on_row, debug=debug,
                on_directory=directories.append,
            ) as under_way:  # fmt: skip
                return await under_way.result()
        except BaseException:
            if interrupts:  # whatever else went wrong in ending it
                raise KeyboardInterrupt(*directories) from None
            raise

    # uvloop leaves those of its closed loop, and the script would heed no SIGTERM any more.
    with (
        handlers_kept(signal.SIGINT, signal.SIGTERM),
        asyncio.Runner(loop_factory=loop_factory(on)) as runner,
    ):
        return runner.run(main())


def _unhurried(on: Deployment, run: Run) -> Deployment:
    """Of nodes that act once in minutes a simulation asks no more often whether they are frozen."""
    usual = isinstance(on, Simulated) and on.heartbeat == INTERVAL
    if not usual or not isinstance(run.sync, Period) or run.supervision.stuck_after is not None:
        return on
    assert isinstance(on, Simulated)
    return replace(on, heartbeat=max(INTERVAL, run.sync.seconds))


def _lasting(on: Deployment, run: Run) -> Deployment:
    """Where it is known how long a run lasts, so do faults whose plan does not say it."""
    if not isinstance(run.sync, Period) or isinstance(on, Inline) or not on.faults:
        return on
    length = length_of(run.until, run.sync.seconds)
    return replace(on, faults=on.faults.lasting(length))


async def _nowhere(*_: object) -> None:
    """Where what a run tells goes to while it is only looked at."""


def _kill_all(live: Live) -> None:
    if live.processes is None:
        return
    for process in live.processes.statistics():
        live.processes.kill(process.name)


class _Starts(msgspec.Struct, frozen=True):
    """What ``starts.json`` holds."""

    identity: str
    # 20 bits count the starts of processes, 20 more the restarts of actors, and 63 is the limit.
    starts: Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]


def _preloading(on: Deployment, engine: Engine) -> Deployment:
    """Spares load what every worker needs, beside what they are told to.

    An aggregator made of a spare holds it for nothing, which costs memory and no time.
    """
    if isinstance(on, Processes) and on.spare:
        return replace(on, preload=(*engine.loads, *on.preload))
    return on


def _count_start(directory: RunDirectory) -> tuple[str, int]:
    """The identity of the run, drawn at its first start, and the number of this start."""
    file = directory.path / "starts.json"
    identity, starts = secrets.token_hex(6), 0
    if file.is_file():
        try:
            known = msgspec.json.decode(file.read_bytes(), type=_Starts)
        except (OSError, msgspec.DecodeError) as error:
            # A new identity would refuse the snapshots; no count would fence nobody.
            msg = f"cannot read {file}: {error}; put back what stood there, or start a new run"
            raise RunDirectoryError(msg) from error
        identity, starts = known.identity, known.starts
    starts += 1
    directory.write(file, msgspec.json.encode(_Starts(identity, starts)))
    return identity, starts


def _as_json(result: Result) -> bytes:
    return json.dumps(
        {
            "accuracy": result.accuracy,
            "sha256": result.sha256,
            "rounds": result.rounds,
            "restarts": result.restarts,
            "metrics": dict(result.metrics),
            "merged": result.merged,
            "messages": result.messages,
            "bytes": result.bytes,
            "seconds": result.seconds,
            "virtual_seconds": result.virtual_seconds,
            "unpromised": dict(result.unpromised),
            "faults": dict(result.faults),
            **({} if result.baselines is None else {"baselines": asdict(result.baselines)}),
        },
        indent=2,
    ).encode()
