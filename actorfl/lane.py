"""The training lane: the one thread of a process in which torch computes.

torch's generators, thread counts and switches belong to the process or to the thread, so two fits
at once would draw from each other and round differently. In the lane jobs run one at a time, each
from the same state of the thread, and so give the same bits whatever ran before them.
"""

from __future__ import annotations

import asyncio
import atexit
import ctypes
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, TypeVarTuple

from actorfl.engine import Engine, engine_of
from actorfl.errors import ActorflError, Misfit, WrongValue
from actorfl.threads import threads_per_fit
from actorfl.torchengine import TorchEngine
from actors.work import Work
from actors.world import World

if TYPE_CHECKING:
    from actorfl.task import Task

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

# Exit is held up for this long (seconds) by a running job: a step of training usually ends within
# it, and nobody notices it after Ctrl-C.
_EXIT_GRACE = 0.25

# Held while a job runs, so that even two lanes of one process (tests) do not compute at once.
_process_lock = threading.Lock()


class JobExited(ActorflError):  # noqa: N818  (an exit is no error of ours; the sentence tells)
    """A job ended by an exception that would end the process: SystemExit, KeyboardInterrupt, ...

    It reaches the awaiter in this form because the original would end the event loop.
    """


class LaneClosed(ActorflError):  # noqa: N818  (named like its kin in asyncio and trio)
    """The lane was closed before the job ran."""


@dataclass(frozen=True)
class LaneStatistics:
    """What a lane has done.

    Attributes:
        threads: Threads that torch uses within a job.
        queued: Jobs that wait.
        running: Whether a job runs now.
        completed: Jobs that returned, whether or not somebody still waited.
        failed: Jobs that raised.
        dropped: Jobs whose waiter was cancelled before they started; they never ran.
        unclaimed: Jobs that ended after their waiter was cancelled or its loop closed.
        busy_seconds: Time spent in jobs that have ended.
    """

    threads: int
    queued: int
    running: bool
    completed: int
    failed: int
    dropped: int
    unclaimed: int
    busy_seconds: float


class Lane(Protocol):
    """Where jobs compute, one at a time and each from the same state."""

    async def run(
        self, function: Callable[[*Ts], T], *args: *Ts, seed: int = 0, examples: float | None = None
    ) -> T:
        """Run a function and wait for what it returns; see ``TrainingLane.run``."""
        ...


def lane_of(world: World, task: Task) -> Lane:
    """The lane in which the actors of a node compute: this process's own, or a simulated one.

    Args:
        world: of the node.
        task: what is computed, and therefore with which library.
    """
    engine = engine_of(task)
    if world.work is not None:
        return SimLane(world.work, engine)
    return EngineLane(shared_lane(threads_per_fit()), engine)


def lane_aside(world: World, task: Task) -> Lane:
    """The lane for what is computed beside a run, which takes none of a simulation's time.

    Args:
        world: of the process that asks.
        task: as for ``lane_of``.
    """
    engine = engine_of(task)
    return lane_of(world, task) if world.work is None else _AsideLane(engine)


def in_place(
    function: Callable[[*Ts], T], *args: *Ts, seed: int = 0, engine: Engine | None = None
) -> T:
    """Run a function in the calling thread, from the state in which a lane runs its jobs.

    Args:
        function: Called with `args`.
        *args: Its arguments.
        seed: As for ``TrainingLane.run``.
        engine: Prepares the thread; torch's where not given.

    Raises:
        MissingExtra: torch is not installed.
    """
    with _process_lock:
        (engine or TorchEngine()).prepare(threads_per_fit(), seed)
        return function(*args)


class SimLane:
    """Computes as ``TrainingLane`` does, and therefore the same bits, but in virtual time.

    Args:
        work: of the node.
        engine: prepares each job; torch's where not given.
    """

    def __init__(self, work: Work, engine: Engine | None = None) -> None:
        self._work = work
        self._engine = engine

    async def run(
        self, function: Callable[[*Ts], T], *args: *Ts, seed: int = 0, examples: float | None = None
    ) -> T:
        """See ``TrainingLane.run``."""
        return await self._work.run(
            lambda: in_place(function, *args, seed=seed, engine=self._engine), examples
        )


class _AsideLane:
    """Computes at once, between two moments of a simulated world."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def run(
        self, function: Callable[[*Ts], T], *args: *Ts, seed: int = 0, examples: float | None = None
    ) -> T:
        """See ``TrainingLane.run``."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            await asyncio.sleep(0)  # here it is cancelled; else no moment passes
        return self._at_once(function, *args, seed=seed)

    def _at_once(self, function: Callable[[*Ts], T], *args: *Ts, seed: int) -> T:
        return in_place(function, *args, seed=seed, engine=self._engine)


class EngineLane:
    """The lane of a process, for jobs of one engine.

    Args:
        lane: of the process.
        engine: prepares each job.
    """

    def __init__(self, lane: TrainingLane, engine: Engine) -> None:
        self._lane = lane
        self._engine = engine

    async def run(
        self, function: Callable[[*Ts], T], *args: *Ts, seed: int = 0, examples: float | None = None
    ) -> T:
        """See ``TrainingLane.run``."""
        return await self._lane.run(
            function, *args, seed=seed, examples=examples, engine=self._engine
        )


class TrainingLane:
    """One thread that runs jobs one at a time, in the order in which they came.

    Before each job, in that very thread: torch uses `threads` threads and deterministic algorithms,
    gradients are on, and torch, numpy and random are seeded. The thread is a daemon and starts with
    the first job; exit does not wait for a long one. Use `shared_lane` unless you test.

    Args:
        threads: Threads that torch uses within a job, >= 1. Other counts may give other bits.
    """

    def __init__(self, threads: int = 1) -> None:
        if threads < 1:
            raise WrongValue("threads of the training lane", "at least 1", threads)
        self._threads = threads
        self._changed = threading.Condition(threading.Lock())  # guards all below
        self._jobs: deque[_Job] = deque()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._running = False
        self._completed = 0
        self._failed = 0
        self._dropped = 0
        self._unclaimed = 0
        self._busy_seconds = 0.0

    async def run(
        self,
        function: Callable[[*Ts], T],
        *args: *Ts,
        seed: int = 0,
        examples: float | None = None,
        engine: Engine | None = None,
    ) -> T:
        """Run a function in the lane and wait for what it returns.

        Cancelling the waiter drops the job if it has not started, and its result if it has: torch
        cannot be interrupted.

        Args:
            function: Called with `args` in the lane's thread.
            *args: Its arguments; do not change them meanwhile.
            seed: From which torch, numpy and random start, in [0, 2^63).
            examples: That a fit goes through, each as often as it does; None for what is no fit.
                It decides how long the fit takes in simulated time, and nothing here.
            engine: Prepares the thread for the job; torch's where not given.

        Returns:
            What `function` returns.

        Raises:
            Exception: What `function` raises, with its traceback.
            JobExited: `function` raised SystemExit, KeyboardInterrupt or the like.
            MissingExtra: torch is not installed.
            LaneClosed: The lane is closed.
        """
        del examples
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        job = _Job(lambda: function(*args), seed, loop, future, engine or TorchEngine())
        with self._changed:
            if self._closed:
                raise LaneClosed(
                    "the training lane of this process is closed; it runs nothing more"
                )
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="actorfl-training-lane", daemon=True
                )
                self._thread.start()
                atexit.register(self._at_exit)
            self._jobs.append(job)
            self._changed.notify()
        try:
            return await future
        except asyncio.CancelledError:
            with self._changed:
                if job in self._jobs:  # frees at once what it holds, a model perhaps
                    self._jobs.remove(job)
                    self._dropped += 1
            raise

    def close(self, timeout: float = 1.0) -> bool:
        """Refuse further jobs and end the thread; jobs that wait end in `LaneClosed`.

        Args:
            timeout: How long to block for the job that runs, in seconds.

        Returns:
            Whether the thread has ended.
        """
        with self._changed:
            self._closed = True
            waiting = list(self._jobs)
            self._jobs.clear()
            self._changed.notify()
            thread = self._thread
        for job in waiting:
            self._deliver(job, None, LaneClosed("the lane was closed before the job ran"))
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    @property
    def closed(self) -> bool:
        """Whether the lane refuses further jobs."""
        return self._closed

    def statistics(self) -> LaneStatistics:
        """Tell what the lane has done so far."""
        with self._changed:
            return LaneStatistics(
                threads=self._threads,
                queued=len(self._jobs),
                running=self._running,
                completed=self._completed,
                failed=self._failed,
                dropped=self._dropped,
                unclaimed=self._unclaimed,
                busy_seconds=self._busy_seconds,
            )

    def __repr__(self) -> str:
        now = self.statistics()
        state = "closed" if self._closed else "running" if now.running else "idle"
        return (
            f"<TrainingLane {state} threads={now.threads} queued={now.queued} "
            f"completed={now.completed} failed={now.failed}>"
        )

    def _work(self) -> None:
        while (job := self._next()) is not None:
            began = time.perf_counter()
            result, error = self._compute(job)
            with self._changed:
                self._running = False
                self._busy_seconds += time.perf_counter() - began
                self._completed += error is None
                self._failed += error is not None
            self._deliver(job, result, error)
            # Nothing of a job may live on in this frame while the thread waits: models are large.
            del job, result, error

    def _next(self) -> _Job | None:
        with self._changed:
            while not self._jobs:
                if self._closed:
                    return None
                self._changed.wait()
            self._running = True
            return self._jobs.popleft()

    def _compute(self, job: _Job) -> tuple[Any, Exception | None]:
        with _process_lock:
            try:
                job.engine.prepare(self._threads, job.seed)
                return job.call(), None
            except StopIteration as error:
                # A future takes none: it would end the coroutine that awaits it.
                wrapped = RuntimeError("a job of the training lane raised StopIteration")
                wrapped.__cause__ = error
                return None, wrapped
            except Exception as error:  # noqa: BLE001  (it is the awaiter's, not the thread's)
                return None, error
            except BaseException as error:  # noqa: BLE001  (it would kill the thread, or the loop)
                exited = JobExited(f"a job of the training lane raised {error!r}")
                exited.__cause__ = error
                return None, exited

    def _deliver(self, job: _Job, result: object, error: Exception | None) -> None:
        def settle() -> None:
            if job.future.done():
                self._count_unclaimed()
            elif error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)

        try:
            job.loop.call_soon_threadsafe(settle)
        except RuntimeError:  # the loop was closed meanwhile, and with it whoever waited
            self._count_unclaimed()

    def _count_unclaimed(self) -> None:
        with self._changed:
            self._unclaimed += 1

    def _at_exit(self) -> None:
        """End the process in peace while a job runs.

        Before Python 3.14 a daemon thread that asks for the interpreter after its end is unwound by
        pthread_exit. Within torch that meets a frame that must not be unwound, C++ calls terminate,
        and the process aborts with SIGABRT after all its work is done (measured: 12 times of 12).
        So the job is interrupted between two of its steps, and where it computes on, terminate is
        made to park the thread.
        """
        if self.close(timeout=0.0) or sys.version_info >= (3, 14):
            return
        thread = self._thread
        assert thread is not None
        assert thread.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
        )
        thread.join(_EXIT_GRACE)
        if thread.is_alive():
            _park_on_terminate()


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    call: Callable[[], Any]
    seed: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    engine: Engine


_shared: TrainingLane | None = None
_shared_lock = threading.Lock()


def shared_lane(threads: int = 1) -> TrainingLane:
    """Return the lane of this process; all its workers and evaluators compute there.

    Args:
        threads: Threads that torch uses within a job; all callers of a process agree.

    Raises:
        Misfit: The lane has another number of threads.
    """
    global _shared  # noqa: PLW0603  (one per process is what a lane is)
    with _shared_lock:
        if _shared is None or _shared.closed:
            _shared = TrainingLane(threads)
        has = _shared.statistics().threads
        if has != threads:
            raise Misfit(
                f"this process trains with {has} threads of torch a job, {threads} were asked for; "
                "give all its workers the same number, or other processes"
            )
        return _shared


def _park_on_terminate() -> None:
    """Let a thread that would abort the process wait for its end instead."""
    for library in ("libstdc++.so.6", "libc++abi.dylib"):
        try:
            set_terminate = ctypes.CDLL(library)["_ZSt13set_terminatePFvvE"]
            pause = ctypes.cast(ctypes.CDLL(None).pause, ctypes.c_void_p)
        except (OSError, AttributeError):
            continue  # another C++ runtime: the process may abort, its work is done all the same
        set_terminate.argtypes = [ctypes.c_void_p]
        set_terminate.restype = ctypes.c_void_p
        set_terminate(pause)
        return
