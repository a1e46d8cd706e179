"""Coordinated shutdown: what has to happen before a system is gone, phase by phase, once."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.cell import CURRENT
from actors.errors import UsageError
from actors.events import ShutdownTaskFailed
from actors.given import check_callable, check_text
from actors.quantities import is_seconds

if TYPE_CHECKING:
    from actors.system import ActorSystem

_log = logging.getLogger("actors.shutdown")

PHASES: Final[dict[str, float]] = {
    "unbind": 5.0,
    "requests_done": 10.0,
    "before_stop": 10.0,
    "stop_actors": 60.0,
    "stop_processes": 30.0,
    "after_stop": 10.0,
    "close": 10.0,
}
"""The phases in their order, and the seconds that each may take unless told otherwise.

============== ================================================================================
unbind         take nothing new: deregister, close what listens to the outside
requests_done  let what is under way come to its end
before_stop    flush, save, say good-bye; all actors are alive up to here
stop_actors    the system stops all actors, in reverse order of their start
stop_processes a graph ends its child processes
after_stop     release what the actors used: files, pools of connections
close          the system closes its endpoint
============== ================================================================================
"""

MAX_TASKS: Final = 1_000
"""Of one phase: they run at the same time."""

_GRACE: Final = 1.0
"""Seconds that a task which took too long is given to notice its cancellation; it is left then."""

Task = Callable[[], Awaitable[Any]]

_running: contextvars.ContextVar[CoordinatedShutdown | None] = contextvars.ContextVar(
    "actors_shutdown", default=None
)


class ShutdownStatistics(msgspec.Struct, frozen=True):
    """What a shutdown tells about itself.

    Attributes:
        state: "waiting", "running" or "done".
        phase: that is running, or was the last one; "" before.
        reason: why it was started; "" before.
        tasks: that were added, the system's own included.
        failed: tasks that raised or took too long so far.
    """

    state: str
    phase: str
    reason: str
    tasks: int
    failed: int


class CoordinatedShutdown:
    """The phases of one system's end: ``system.shutdown``.

    It runs once, however often it is asked for: by ``run``, by the end of the system's ``async
    with`` block, or by ``system.close()``. The tasks of a phase run at the same time; one that
    raises or takes too long is told of (``ShutdownTaskFailed``, log), and the shutdown goes on.
    It takes no longer than its phases together, and a second for each.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._tasks: dict[str, dict[str, Task]] = {phase: {} for phase in PHASES}
        self._timeouts = dict(PHASES)
        self._running: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()
        self._phase = ""
        self._failed = 0
        #: Why it was started; "" before.
        self.reason = ""

    def add_task(self, phase: str, name: str, task: Task) -> None:
        """Have something done in a phase.

        Args:
            phase: "unbind", "requests_done", "before_stop", "stop_actors", "stop_processes",
                "after_stop" or "close".
            name: for the log and the event.
            task: a coroutine function without parameters; all tasks of a phase run at once.

        Raises:
            UsageError: no such phase, a name that is taken, a phase that is over, too many tasks,
                or a node that its launcher ends.
        """
        self._check_phase(phase)
        check_text("add_task", "a name", name)
        check_callable("add_task", "the task", task)
        launcher = self._system.router.launcher
        if launcher is not None:
            msg = (
                f"node {self._system.name} is ended by its launcher and runs no shutdown task "
                f"{name!r}; add it on the launcher's system, or do it in the actor's on_stop"
            )
            raise UsageError(msg)
        if name in self._tasks[phase]:
            msg = f"phase {phase} has a task named {name!r} already; choose another name"
            raise UsageError(msg)
        if len(self._tasks[phase]) >= MAX_TASKS:
            msg = f"phase {phase} has {MAX_TASKS} tasks already; do several things in one task"
            raise UsageError(msg)
        self._check_to_come(phase, f"task {name!r}")
        self._tasks[phase][name] = task

    def remove_task(self, phase: str, name: str) -> None:
        """No longer do that, if it has not begun."""
        self._check_phase(phase)
        self._tasks[phase].pop(name, None)

    def set_timeout(self, phase: str, seconds: float) -> None:
        """Give the tasks of a phase that much time.

        Raises:
            UsageError: no such phase, it has begun, or no seconds above 0.
        """
        self._check_phase(phase)
        if not is_seconds(seconds):
            msg = f"the timeout of phase {phase} is seconds above 0, not {seconds!r}"
            raise UsageError(msg)
        self._check_to_come(phase, "timeout")
        self._timeouts[phase] = seconds

    def run(self, reason: str) -> asyncio.Future[None]:
        """Start the shutdown, unless it runs already.

        Args:
            reason: why, for people; that of the first call counts.

        Returns:
            What its end resolves; it need not be awaited. Cancelling it cancels no shutdown. For a
            task of the shutdown itself it is resolved at once.
        """
        if self._running is None:
            self.reason = reason
            context = contextvars.copy_context()
            context.run(_running.set, self)
            context.run(CURRENT.set, None)  # an actor may start it, and is not who carries it out
            self._running = asyncio.get_running_loop().create_task(
                self._run(), name=f"shutdown of {self._system.name}", context=context
            )
        if _running.get() is self:  # it would wait for itself
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        return asyncio.shield(self._running)

    def hurry(self) -> None:
        """Cancel what is under way, and go on with the next phase."""
        for task in tuple(self._under_way):
            task.cancel()

    async def _run(self) -> None:
        for phase in PHASES:
            self._phase = phase
            if self._tasks[phase]:
                await self._run_phase(phase, self._timeouts[phase])

    async def _run_phase(self, phase: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        named = {
            loop.create_task(_awaited(task), name=f"shutdown {phase} {name}"): name
            for name, task in self._tasks[phase].items()
        }
        self._under_way = set(named)
        try:
            _, late = await asyncio.wait(named, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_GRACE)
        finally:
            self._under_way = set()
            for task in named:
                task.cancel()  # without effect but where the loop ends
        for task, name in named.items():
            if task in late:
                self._tell(phase, name, f"it took longer than {seconds:g} s")
            elif task.cancelled():
                self._tell(phase, name, "it was cancelled")
            elif (error := task.exception()) is not None:
                self._tell(phase, name, f"{type(error).__name__}: {error}", error)

    def _tell(self, phase: str, name: str, why: str, error: BaseException | None = None) -> None:
        self._failed += 1
        _log.error(
            "task %r of phase %s failed, the shutdown of %s goes on: %s",
            name, phase, self._system.name, why, exc_info=error,
        )  # fmt: skip
        text = "".join(traceback.format_exception(error)) if error is not None else ""
        self._system.events.publish(
            ShutdownTaskFailed(
                node=self._system.name, phase=phase, task=name, error=why, traceback=text
            )
        )

    def _check_phase(self, phase: str) -> None:
        if phase not in PHASES:
            msg = f"there is no phase {phase!r} of a shutdown; there are {', '.join(PHASES)}"
            raise UsageError(msg)

    def _check_to_come(self, phase: str, what: str) -> None:
        order: Sequence[str] = tuple(PHASES)
        if self._running is not None and order.index(phase) <= order.index(self._phase or order[0]):
            msg = (
                f"the {what} comes too late for phase {phase}: the shutdown of "
                f"{self._system.name} is there already ({self.reason})"
            )
            raise UsageError(msg)

    def statistics(self) -> ShutdownStatistics:
        """Its state as a frozen record."""
        running = self._running
        return ShutdownStatistics(
            "waiting" if running is None else "done" if running.done() else "running",
            self._phase,
            self.reason,
            sum(map(len, self._tasks.values())),
            self._failed,
        )

    def __repr__(self) -> str:
        s = self.statistics()
        where = f" {s.phase} ({s.reason})" if s.state != "waiting" else ""
        return f"<CoordinatedShutdown of {self._system.name} {s.state}{where} tasks={s.tasks}>"


async def _awaited(task: Task) -> None:
    try:
        await task()
    except (asyncio.CancelledError, Exception):
        raise
    except BaseException as error:
        # A SystemExit would leave the loop, and with it all that is still to be done.
        msg = f"it raised {type(error).__name__}: {error}"
        raise RuntimeError(msg) from error
