"""Which classes play the parts of a run."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.aggregator import Aggregator
from actorfl.worker import Worker


@dataclass(frozen=True)
class Roles:
    """The classes of a run's actors; others than these are for whoever tests what must hold.

    Attributes:
        aggregator: of the centre.
        worker: of each worker.
    """

    aggregator: type[Aggregator] = Aggregator
    worker: type[Worker] = Worker


USUAL = Roles()
