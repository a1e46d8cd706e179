"""Which classes play the parts of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from actorfl.aggregator import Aggregator
from actorfl.combiner import Combiner
from actorfl.edge import Edge
from actorfl.shard import Shard
from actorfl.sharded import ShardedAggregator
from actorfl.shardedworker import ShardedWorker
from actorfl.worker import Worker

WORKERS: Final = "workers"
"""The supervisor of the workers."""

NODES: Final = "nodes"
"""The supervisor of the nodes of a run without a centre."""


@dataclass(frozen=True)
class Roles:
    """The classes of a run's actors; others than these are for whoever tests what must hold.

    Attributes:
        aggregator: of the root.
        edge: of each aggregator below it.
        combiner: of what adds up the parts of the workers of one process.
        worker: of each worker.
        sharded_aggregator: of the root of a model in shards.
        shard: of each of its shards.
        sharded_worker: of each worker there.
    """

    aggregator: type[Aggregator] = Aggregator
    edge: type[Edge] = Edge
    combiner: type[Combiner] = Combiner
    worker: type[Worker] = Worker
    sharded_aggregator: type[ShardedAggregator] = ShardedAggregator
    shard: type[Shard] = Shard
    sharded_worker: type[ShardedWorker] = ShardedWorker


USUAL = Roles()
