"""One thread at a time: a blocking actor of a simulation runs while the loop waits for it.

The loop hands its turn to the actor's thread and takes it back when the call has ended, or when the
thread wants something of the loop (to tell, to ask): so what happens, and in which order, is up to
the simulation alone. Real time passes meanwhile, virtual time does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import queue
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from actors.errors import UsageError

T = TypeVar("T")

REAL_SECONDS: Final = 60.0
"""Real seconds after which a thread that keeps the turn is given up, and the simulation with it."""

ATTEMPTS: Final = 100
"""Times that a call which is not waited for any more is told so; one that catches all that and
goes on asking (a bare ``except:`` in a loop) would keep the loop's thread busy for ever."""

_log = logging.getLogger("actors.baton")

Step = Callable[[], Awaitable[Any]]


class _Abandoned(BaseException):
    """The call that this thread makes is not waited for any more: its node has crashed."""


class _Outcome:
    def __init__(self, value: Any, error: BaseException | None) -> None:
        self.value = value
        self.error = error

    def take(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Turn:
    """One call into a thread, and what the thread wants of the loop meanwhile.

    Args:
        call: what the thread does; gets what `run` is given.
    """

    def __init__(self, call: Callable[[Any], Any]) -> None:
        self._call = call
        #: The thread has not given the turn back in time, and nobody waits for it any more.
        self.kept = False
        self._abandoned = False
        self._to_loop: queue.SimpleQueue[_Outcome | Step] = queue.SimpleQueue()
        self._to_thread: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()

    # -- in the thread -----------------------------------------------------------------------------

    def run(self, instance: Any) -> None:
        """Make the call; its outcome, whatever it is, goes to the loop with the turn."""
        _here.turn = self
        try:
            outcome = _Outcome(self._call(instance), None)
        except BaseException as error:  # noqa: BLE001  (pykka would stop all actors of the process)
            outcome = _Outcome(None, error)
        finally:
            _here.turn = None
        self._to_loop.put(outcome)

    def on_loop(self, step: Callable[[], Awaitable[T]]) -> T:
        """Have the loop carry this out, and wait for its result."""
        self._to_loop.put(step)
        result: T = self._to_thread.get().take()
        return result

    # -- on the loop -------------------------------------------------------------------------------

    async def outcome(self) -> Any:
        """Give the turn away until the call has ended; its result, or what it raised."""
        while True:
            wanted = self._next()
            if isinstance(wanted, _Outcome):
                return wanted.take()
            # What a thread sends has no sender, as from a thread of the real world.
            context = contextvars.copy_context()
            context.run(_forget_sender)
            try:
                answer = _Outcome(await self._carry_out(wanted, context), None)
            except asyncio.CancelledError:
                with contextlib.suppress(UsageError):  # it does not come back even so
                    self.abandon()
                raise
            except Exception as error:  # noqa: BLE001  (it is raised in the thread)
                answer = _Outcome(None, error)
            if self._abandoned:
                raise UsageError("the simulation of this blocking actor has ended")
            self._to_thread.put(answer)

    async def _carry_out(self, step: Step, context: contextvars.Context) -> Any:
        async def carry_out() -> Any:
            return await step()

        return await asyncio.get_running_loop().create_task(carry_out(), context=context)

    def abandon(self) -> None:
        """Have the call end in the thread, which waits for the loop, or keeps the turn for good."""
        if self._abandoned or self.kept:
            return
        self._abandoned = True
        for _ in range(ATTEMPTS):
            self._to_thread.put(_Outcome(None, _Abandoned()))
            if isinstance(self._next(), _Outcome):
                return
        # Left where it waits for the loop.
        self.kept = True
        _log.error(
            "a blocking actor whose node has ended caught that %d times and went on; "
            "have its code catch Exception instead of everything",
            ATTEMPTS,
        )

    def _next(self) -> _Outcome | Step:
        try:
            return self._to_loop.get(timeout=REAL_SECONDS)
        except queue.Empty:
            self.kept = True
            msg = (
                f"a blocking actor has not come back for {REAL_SECONDS:g} s of real time; in a "
                "simulation nothing happens while it runs, so it must not wait for others but by "
                "ref.ask_blocking(…)"
            )
            raise UsageError(msg) from None


class _Here(threading.local):
    turn: Turn | None = None


_here = _Here()


def current_turn() -> Turn | None:
    """The call that this thread makes under a baton, if it does."""
    return _here.turn


def _forget_sender() -> None:
    from actors.cell import CURRENT

    CURRENT.set(None)
