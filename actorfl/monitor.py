"""The monitor: an actor in the launcher that hears of lines of the metrics and of the end."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from actorfl.protocol import Finished, Gone, Row, WhoIsGone
from actors import Actor
from transports import LinkFull


class Monitor(Actor):
    """Hands on what the aggregator tells, message by message; it remembers nothing.

    What was told before must outlive this actor, which is restarted where a callback raises.

    Args:
        on_row: awaited with round and text of each line told; also doubled and out of order.
        on_finished: awaited at the end, maybe more than once.
        gone: returns the workers that nobody restarts any more, and why; by default none.
    """

    def __init__(
        self,
        on_row: Callable[[int, str], Awaitable[None]],
        on_finished: Callable[[Finished], Awaitable[None]],
        gone: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._on_row = on_row
        self._on_finished = on_finished
        self._gone = gone

    async def row(self, message: Row) -> None:
        """A line that is written."""
        await self._on_row(message.round, message.json)

    def who_is_gone(self, message: WhoIsGone) -> None:
        """The aggregator asks again and again, so nothing is lost where one of us is restarted."""
        if gone := dict(self._gone()):
            with contextlib.suppress(LinkFull):
                message.me.tell(Gone(message.run, gone))

    async def finished(self, message: Finished) -> None:
        """The final model is written."""
        await self._on_finished(message)
