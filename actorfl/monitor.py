"""The monitor: an actor in the launcher that hears of each line of the metrics and of the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from actorfl.protocol import Finished, Row
from actors import Actor


class Monitor(Actor):
    """Hands on what the aggregator tells; what it tells again after a restart is not doubled.

    Args:
        on_row: called with each line, once.
        on_finished: called at the end.
    """

    def __init__(
        self, on_row: Callable[[dict[str, Any]], None], on_finished: Callable[[Finished], None]
    ) -> None:
        self._on_row = on_row
        self._on_finished = on_finished
        self._seen = 0

    def row(self, message: Row) -> None:
        """A line that is written."""
        if message.round > self._seen:
            self._seen = message.round
            self._on_row(json.loads(message.json))

    def finished(self, message: Finished) -> None:
        """The final model is written."""
        self._on_finished(message)
