"""The monitor: an actor in the launcher that hears of lines of the metrics and of the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from actorfl.protocol import Finished, Row
from actors import Actor


class Monitor(Actor):
    """Hands on what the aggregator tells, message by message; it remembers nothing.

    What was told before must outlive this actor, which is restarted where a callback raises.

    Args:
        on_row: awaited with round and text of each line told; also doubled and out of order.
        on_finished: awaited at the end, maybe more than once.
    """

    def __init__(
        self,
        on_row: Callable[[int, str], Awaitable[None]],
        on_finished: Callable[[Finished], Awaitable[None]],
    ) -> None:
        self._on_row = on_row
        self._on_finished = on_finished

    async def row(self, message: Row) -> None:
        """A line that is written."""
        await self._on_row(message.round, message.json)

    async def finished(self, message: Finished) -> None:
        """The final model is written."""
        await self._on_finished(message)
