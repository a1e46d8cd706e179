"""The rows of a run as the launcher gives them on: each once and in order, whatever got lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from actorfl.checkpoint import METRICS
from actors import Storage, StorageError


class Rows:
    """Gives each line of the metrics once, in order.

    The aggregator tells a line once; on the way it may be lost, doubled or overtaken by later ones,
    or end with the aggregator's process. It is in the metrics before it is told, so what is missed
    is read there.

    Args:
        storage: of the run.
        give: called with each line.

    Attributes:
        given: the round of the last line that was given, or needs not be.
    """

    def __init__(self, storage: Storage, give: Callable[[dict[str, Any]], None]) -> None:
        self._storage = storage
        self._give = give
        self.given = 0
        self._begun = asyncio.Event()

    def begin(self) -> None:
        """Whoever started the run has it in hand: from now on lines are given.

        The first workers may be through with a round before the last actor is up.
        """
        self._begun.set()

    async def resume(self, clock: int) -> None:
        """Take what the metrics hold as given by an earlier start.

        Args:
            clock: rounds that the run goes on after; lines of later ones are made again.

        Raises:
            StorageError: the metrics cannot be read.
        """
        rounds = [row["round"] for row in await self.written()]
        self.given = max((number for number in rounds if number <= clock), default=0)

    async def told(self, number: int, text: str) -> None:
        """The aggregator told the line of a round; those missed before it are given first."""
        await self._begun.wait()
        if number > self.given + 1 and not await self.catch_up():
            return  # it is given with a later one, or at the end
        self._next(number, text)

    async def catch_up(self) -> bool:
        """Give what the metrics hold and was not given yet.

        Returns:
            Whether they could be read.
        """
        try:
            rows = await self.written()
        except StorageError:
            # The end of the run reads them, too, and says so; what people read is not worth a run.
            return False
        for row in rows:
            self._next(row["round"], row)
        return True

    async def written(self) -> list[dict[str, Any]]:
        """The lines that the metrics hold, of all starts of the run.

        Raises:
            StorageError: they cannot be read.
        """
        return whole_rows(await self._storage.read(METRICS) or b"")

    def _next(self, number: int, row: dict[str, Any] | str) -> None:
        """Give a line unless it was, also while the metrics were read."""
        if number <= self.given:
            return
        self.given = number  # before the call: one that raises is not given again
        self._give(json.loads(row) if isinstance(row, str) else row)

    def __repr__(self) -> str:
        return f"<Rows given={self.given}>"


def whole_rows(content: bytes) -> list[dict[str, Any]]:
    """The lines of a metrics file; one that is being written, or that a kill cut off, ends them."""
    rows: list[dict[str, Any]] = []
    for line in content.splitlines(keepends=True):
        try:
            row = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not _is_row(row):
            break
        rows.append(row)
    return rows


def _is_row(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("round"), int)
