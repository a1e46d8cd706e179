"""The tasks of a simulated loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator, Iterable
from typing import Any, Final, TypeVar

T = TypeVar("T")

_NAMED: Final = 20
"""Tasks that a sentence names at most; thousands would bury the first."""


class SimTask(asyncio.Task[T]):
    """A task whose hash is its number: asyncio's task groups and waits keep tasks in sets.

    The default hash is the address in memory, so the order in which a task group cancels its tasks
    would change from process to process.

    Args:
        number: of the task on its loop.
        owner: the node that it belongs to.
        coro: what it runs.
        loop: on which.
        **kwargs: for ``asyncio.Task``.
    """

    def __init__(
        self,
        number: int,
        owner: str | None,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        loop: asyncio.AbstractEventLoop,
        **kwargs: Any,
    ) -> None:
        self.owner = owner
        self._number = number
        super().__init__(coro, loop=loop, **kwargs)

    def __hash__(self) -> int:
        return self._number


def in_order(tasks: Iterable[asyncio.Task[Any]]) -> list[asyncio.Task[Any]]:
    """Tasks in the order they were made; those of a task factory come first, by name."""
    return sorted(
        tasks, key=lambda task: (hash(task) if isinstance(task, SimTask) else 0, task.get_name())
    )


def describe(task: asyncio.Task[Any]) -> str:
    """A task's name and the innermost line of its own that it waits at."""
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    stack = task.get_stack(limit=1)
    where = f" at {stack[-1].f_code.co_filename}:{stack[-1].f_lineno}" if stack else ""
    return f"{task.get_name()} ({name}{where})"


def who_waits(loop: asyncio.AbstractEventLoop) -> str:
    """The tasks of a loop that are not done, for the sentence about why it ended."""
    tasks = in_order(asyncio.all_tasks(loop))
    more = f" and {len(tasks) - _NAMED} more" if len(tasks) > _NAMED else ""
    return (", ".join(map(describe, tasks[:_NAMED])) + more) or "no task"
