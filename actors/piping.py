"""What an actor awaits beside its mailbox, and receives as a message."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from actors.message import Message
from actors.signals import Failure

T = TypeVar("T")


class Pipes:
    """The work of one incarnation: all of it is cancelled with that, and none outlives it.

    Args:
        name: of the actor.
        deliver: takes an outcome.
        failed: takes what fails the actor.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[Message[Any]], None],
        failed: Callable[[Failure], None],
    ) -> None:
        self._name = name
        self._deliver = deliver
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()

    def start(
        self,
        work: Awaitable[T],
        done: Callable[[T], Message[Any]],
        failed: Callable[[Exception], Message[Any]] | None,
    ) -> None:
        """See ``Actor.pipe_to_self``."""

        async def pipe() -> None:
            try:
                result = await work
            except Exception as error:
                if failed is None:
                    raise
                outcome = failed(error)
            else:
                outcome = done(result)
            if asyncio.current_task() in self._tasks:
                self._deliver(outcome)  # else it caught its cancellation, and is nobody's any more

        def ended() -> None:
            if asyncio.iscoroutine(work):
                work.close()  # one that was cancelled before its first step would be missed

        self.run(pipe(), ended)

    def run(
        self, work: Coroutine[Any, Any, None], ended: Callable[[], None] = lambda: None
    ) -> None:
        """Run something beside the mailbox; what it raises fails the actor.

        Args:
            work: cancelled with this incarnation.
            ended: called in any case.
        """

        async def run() -> None:
            try:
                await work
            except BaseException as error:
                if task not in self._tasks:  # its incarnation has ended
                    return
                if isinstance(error, asyncio.CancelledError) and task.cancelling():
                    raise  # the loop ends
                self._failed(Failure.of(error, "background work"))

        task = asyncio.get_running_loop().create_task(run(), name=f"work of {self._name}")
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            work.close()
            ended()

        task.add_done_callback(done)

    def cancel_all(self) -> None:
        """The incarnation ends."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()

    def __repr__(self) -> str:
        return f"<Pipes of {self._name} {len(self._tasks)} under way>"
