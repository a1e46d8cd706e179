"""The simulated loop: asyncio in virtual time, where one seed decides what runs when."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import weakref
from asyncio import events
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, Final, TypeVar, TypeVarTuple

from transports.rng import derive_seed
from transports.sim.calling import CallingLoop
from transports.sim.draws import Draws
from transports.sim.errors import SimulatedDeadlock, SimulationRunaway
from transports.sim.loopstatistics import LoopStatistics
from transports.sim.owner import OWNER, owner_of
from transports.sim.tasks import SimTask, in_order, who_waits
from transports.sim.turns import take_turns
from transports.sim.units import SECOND, nanoseconds

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_STEPS: Final = 100_000_000
"""Default budget: minutes of real time, so that a loop that spins ends a test run by itself."""

_MAX_SECONDS: Final = 10 * 365 * 86_400.0
"""Default limit of virtual time: a periodic timer alone reaches it in no time, training never."""

_TEARDOWN_STEPS: Final = 1_000_000
_TEARDOWN_SECONDS: Final = 3600.0
"""What a runaway simulation gets on top, so that its tasks can be cancelled."""

_LOOK_FOR: Final = 50
"""Timers per node that has ended, above which one more look at all of them is not worth it yet."""


class SimLoop(CallingLoop):
    """An event loop whose time is virtual: it jumps to the next timer when nothing is ready.

    Time is an integer number of nanoseconds from 0. Timers run in the order of (time, order of
    setting them), so equal deadlines are first in, first out. Callbacks that are ready run first
    in, first out. With ``shuffle`` the callbacks of different nodes take turns in an order drawn
    from the seed, as processes do on a machine, while each node keeps its own order, as asyncio
    promises. What was started under ``owned(name)`` belongs to that node.

    Whatever a seed cannot decide (sockets, threads, processes, signals) raises ``RealWorldError``.

    Args:
        seed: decides how the nodes take turns; unused without ``shuffle``.
        shuffle: whether that is drawn.
        max_steps: callbacks after which the simulation is ended as a runaway; >= 1.
        max_seconds: virtual seconds after which it is ended.
        trace: called as ``trace(nanoseconds, handle)`` before each callback.

    Raises:
        ValueError: a limit is not positive.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        shuffle: bool = False,
        max_steps: int = MAX_STEPS,
        max_seconds: float = _MAX_SECONDS,
        trace: Callable[[int, asyncio.Handle], object] | None = None,
    ) -> None:
        if max_steps < 1 or not max_seconds > 0:
            raise ValueError(
                f"a simulation of {max_steps} steps and {max_seconds} s does nothing: give both "
                "a positive limit"
            )
        super().__init__()
        self._draws = Draws(derive_seed(seed, "turns of nodes")) if shuffle else None
        self._max_steps = max_steps
        self._max_ns = nanoseconds(max_seconds)
        self._trace = trace
        self._held: dict[str, list[asyncio.Handle]] = {}
        self._discarded: dict[str, None] = {}
        self._owners: dict[str, int] = {}
        #: Of these, whose timers have not been looked for yet.
        self._undropped: set[str | None] = set()
        self._task_count = 0
        #: Weakly, as asyncio holds them; by node, since each one that ends asks for its own.
        self._tasks: dict[str | None, weakref.WeakSet[SimTask[Any]]] = {}
        self._steps = 0
        self._jumps = 0
        self._running = False

    # Futures and tasks

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[T]:
        """A task that runs ``coro``.

        Args:
            coro: the coroutine.
            name: of the task, for people.
            context: to run in; default is a copy of the current one.
            **kwargs: what later versions of asyncio pass on to ``asyncio.Task``.

        Raises:
            RuntimeError: the loop is closed.
        """
        self._check_closed()
        if self._task_factory is None:
            self._task_count += 1
            number = self._task_count
            # asyncio's own names count the tasks of all loops of the process.
            kwargs |= {"name": name or f"Task-{number}", "context": context}
            owner = OWNER.get() if context is None else context.get(OWNER)
            made = SimTask(number, owner, coro, self, **kwargs)
            self._tasks.setdefault(owner, weakref.WeakSet()).add(made)
            return made
        if context is not None:
            kwargs["context"] = context
        task: asyncio.Task[T] = self._task_factory(self, coro, **kwargs)
        if name is not None:
            task.set_name(name)
        return task

    # Running

    def run_until_complete(self, future: Any) -> Any:
        """Run until ``future`` is done.

        Args:
            future: a future of this loop, or a coroutine.

        Returns:
            Its result.

        Raises:
            SimulatedDeadlock: nothing is ready and no timer is set.
            SimulationRunaway: the budget of steps or virtual time is used up.
            RuntimeError: the loop is closed or runs already.
        """
        self._check_closed()
        self._check_not_running()
        is_new = not asyncio.isfuture(future)
        future = asyncio.ensure_future(future, loop=self)
        future.add_done_callback(self._stop_with)
        try:
            self._run()
        except BaseException:
            if is_new and future.done() and not future.cancelled():
                future.exception()  # the caller sees the error of the loop instead
            raise
        finally:
            future.remove_done_callback(self._stop_with)
        if not future.done():
            raise RuntimeError("the loop was stopped before the future was done")
        return future.result()

    def run_forever(self) -> None:
        """Run until ``stop`` is called.

        Raises:
            SimulatedDeadlock: nothing is ready and no timer is set: it would never end.
            SimulationRunaway: the budget of steps or virtual time is used up.
            RuntimeError: the loop is closed or runs already.
        """
        self._check_closed()
        self._check_not_running()
        self._run()

    def stop(self) -> None:
        """End the run after this round of callbacks."""
        self._stopping = True

    def is_running(self) -> bool:
        """Whether the loop runs."""
        return self._running

    def is_closed(self) -> bool:
        """Whether the loop was closed."""
        return self._closed

    def new_owner(self, name: str) -> str:
        """A name for the next node of that name, which no other node of this loop has had.

        One loop may run one network after the other, with nodes of the same names.
        """
        self._owners[name] = self._owners.get(name, 0) + 1
        return f"{name}/{self._owners[name]}"

    def freeze(self, owner: str) -> None:
        """Run no callback of a node until ``thaw``, as a process under SIGSTOP runs none.

        Time goes on for it: timers that come due wait too.
        """
        self._held.setdefault(owner, [])

    def thaw(self, owner: str) -> None:
        """Let a node go on; what has waited runs next, in its order."""
        self._ready.extend(self._held.pop(owner, ()))

    def discard(self, owner: str) -> None:
        """Run nothing of a node ever again: its callbacks and timers are dropped.

        Its tasks must be done: others would wait for ever for one that is not.
        """
        self._discarded[owner] = None
        self._held.pop(owner, None)
        self._tasks.pop(owner, None)
        self._undropped.add(owner)
        # Each look goes over all timers. So it waits for a share of the nodes that have some: of
        # thousands that end, a few looks find all, and what waits for its turn is bounded by it.
        if len(self._undropped) * _LOOK_FOR > len(self._timers):
            self._drop_timers()

    def _drop_timers(self) -> None:
        for _, _, timer in self._timers:
            if not timer.cancelled() and owner_of(timer) in self._undropped:
                timer.cancel()
        self._undropped.clear()

    def tasks(self, owner: str | None) -> list[asyncio.Task[Any]]:
        """The tasks of a node that are not done, in the order they were made."""
        return in_order(task for task in self._tasks.get(owner, ()) if not task.done())

    def close(self) -> None:
        """Forget all callbacks and timers.

        Raises:
            RuntimeError: the loop runs.
        """
        if self._running:
            raise RuntimeError("a running loop cannot be closed: stop it first")
        self._closed = True
        self._ready.clear()
        self._held.clear()
        self._timers.clear()

    def _stop_with(self, future: asyncio.Future[Any]) -> None:
        if not future.cancelled():
            error = future.exception()
            if isinstance(error, SystemExit | KeyboardInterrupt):
                return  # it ends the run by itself
        self._stopping = True

    def _run(self) -> None:
        with self._current():
            self._run_rounds()

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        hooks = sys.get_asyncgen_hooks()
        depth = sys.get_coroutine_origin_tracking_depth()
        self._thread = threading.get_ident()
        self._running = True
        sys.set_asyncgen_hooks(firstiter=self._begin, finalizer=self._finalize)
        if self._debug:
            sys.set_coroutine_origin_tracking_depth(10)
        events._set_running_loop(self)  # noqa: SLF001  (documented for authors of loops)
        try:
            yield
        finally:
            events._set_running_loop(None)  # noqa: SLF001  (documented for authors of loops)
            sys.set_coroutine_origin_tracking_depth(depth)
            sys.set_asyncgen_hooks(*hooks)
            self._running = False
            self._stopping = False

    def _run_rounds(self) -> None:
        # In one place, without calls: most rounds have one callback, and each message several.
        ready, timers, near = self._ready, self._timers, self._timers.near
        draws, trace, dropped = self._draws, self._trace, self._undropped
        held, discarded = self._held, self._discarded
        steps, most_steps, now, end = self._steps, self._max_steps, self.now_ns, self._max_ns
        handle: Any  # what asyncio keeps in its handles is typed in part
        if self._stopping and not ready:
            return
        while True:
            self.tick += 1
            if self._crowded:
                self._forget_cancelled()
            if ready:
                count = len(ready)
                if near and near[0][0] <= now:
                    count += self._add_due(now)
                if count > 1 and draws is not None:
                    take_turns(ready, draws)
                handle = ready.popleft()
            elif near or timers.refill():
                ns, number, handle = heappop(near)
                # As cancelled(), without the call.
                if handle._cancelled or (dropped and self._is_off(handle)):  # noqa: SLF001
                    self._cancelled -= 1
                    self._forgotten += 1
                    continue
                if ns > now:
                    if ns > end:
                        heappush(near, (ns, number, handle))
                        self._run_away(f"{self._max_ns / SECOND:.9g} virtual seconds")
                    self.now_ns = now = ns
                    self._jumps += 1
                handle._scheduled = False  # noqa: SLF001  (as asyncio does)
                count = 1
                if near and near[0][0] <= now:
                    ready.append(handle)
                    count += self._add_due(now)
                    if count > 1 and draws is not None:
                        take_turns(ready, draws)
                    handle = ready.popleft()
                elif not (held or discarded):
                    # As below: most rounds have one timer, and nothing else.
                    self._steps = steps = steps + 1
                    if steps > most_steps:
                        ready.append(handle)
                        self._run_away(f"{steps - 1} steps")
                    if trace is not None:
                        trace(now, handle)
                    try:
                        if args := handle._args:  # noqa: SLF001  (as asyncio)
                            handle._context.run(handle._callback, *args)  # noqa: SLF001
                        else:
                            handle._context.run(handle._callback)  # noqa: SLF001
                    except BaseException as error:  # noqa: BLE001  (what ends the run is raised again)
                        self._failed(handle, error)
                    if self._stopping:
                        return
                    continue
            else:
                raise SimulatedDeadlock(self._deadlock())
            while True:
                # As cancelled(), without the call.
                if not (handle._cancelled or ((held or discarded) and self._withheld(handle))):  # noqa: SLF001
                    self._steps = steps = steps + 1
                    if steps > most_steps:
                        ready.appendleft(handle)
                        self._run_away(f"{steps - 1} steps")
                    if trace is not None:
                        trace(now, handle)
                    try:  # as handle._run(), without the call
                        if args := handle._args:  # noqa: SLF001  (as asyncio)
                            handle._context.run(handle._callback, *args)  # noqa: SLF001
                        else:
                            handle._context.run(handle._callback)  # noqa: SLF001
                    except BaseException as error:  # noqa: BLE001  (what ends the run is raised again)
                        self._failed(handle, error)
                count -= 1
                if not count:
                    break
                handle = ready.popleft()
            if self._stopping:
                return

    def _add_due(self, now: int) -> int:
        """Put the timers that are due behind what is ready; how many there are."""
        near = self._timers.near
        count = 0
        while near and near[0][0] <= now:
            timer: Any = heappop(near)[2]
            if self._is_off(timer):
                self._cancelled -= 1
                self._forgotten += 1
            else:
                timer._scheduled = False  # noqa: SLF001  (as asyncio does)
                self._ready.append(timer)
                count += 1
        return count

    def _failed(self, handle: asyncio.Handle, error: BaseException) -> None:
        """A callback raised."""
        if isinstance(error, SystemExit | KeyboardInterrupt):
            raise error
        context = {
            "message": f"Exception in callback of {handle!r}", "exception": error, "handle": handle,
        }  # fmt: skip
        traceback = getattr(handle, "_source_traceback", None)
        if traceback:
            context["source_traceback"] = traceback
        self.call_exception_handler(context)

    def _is_off(self, timer: asyncio.TimerHandle) -> bool:
        """Whether a timer was cancelled, by whoever set it or with its node."""
        if not timer.cancelled() and self._undropped and owner_of(timer) in self._undropped:
            timer.cancel()
        return timer.cancelled()

    def _withheld(self, handle: asyncio.Handle) -> bool:
        owner = owner_of(handle) or ""
        if owner in self._held:
            self._held[owner].append(handle)
            return True
        return owner in self._discarded

    def _run_away(self, limit: str) -> None:
        steps, now = self._steps, self.time()
        self._max_steps = steps + _TEARDOWN_STEPS
        self._max_ns = self.now_ns + nanoseconds(_TEARDOWN_SECONDS)
        raise SimulationRunaway(
            f"the simulation used up its {limit} (step {steps} at {now:.9g} s): something repeats "
            f"without end, or it needs more; waiting: {who_waits(self)}"
        )

    def _deadlock(self) -> str:
        frozen = f" (frozen: {', '.join(self._held)})" if self._held else ""
        for owner in list(self._held):
            self.thaw(owner)  # or nobody could cancel its tasks
        return (
            f"deadlock in simulated time: at {self.time():.9g} s nothing is ready and no timer is "
            f"set, so nothing will ever wake: {who_waits(self)}{frozen}"
        )

    # Checks

    def _check_not_running(self) -> None:
        if self._running:
            raise RuntimeError(f"{self!r} runs already")
        try:
            other = asyncio.get_running_loop()
        except RuntimeError:
            return
        raise RuntimeError(f"{other!r} runs in this thread: give a simulation a thread of its own")

    def statistics(self) -> LoopStatistics:
        """What the loop did and holds."""
        return LoopStatistics(
            seconds=self.time(),
            steps=self._steps,
            timers=self._timer_count,
            fired=self._timer_count - len(self._timers) - self._forgotten,
            jumps=self._jumps,
            ready=len(self._ready),
            held=sum(map(len, self._held.values())),
            waiting=len(self._timers) - self._cancelled,
        )

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "idle"
        return (
            f"<SimLoop {state} at {self.time():.9g} s steps={self._steps} "
            f"ready={len(self._ready)} timers={len(self._timers) - self._cancelled}>"
        )
