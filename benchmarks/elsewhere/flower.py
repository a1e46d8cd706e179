"""Flower: rounds of its simulation, and its FedAvg over models that are there.

    PYTHON benchmarks/elsewhere/flower.py rounds CLIENTS PARAMETERS ROUNDS
    PYTHON benchmarks/elsewhere/flower.py merge MODELS PARAMETERS

Run as a file by the Python that has Flower: it wants versions of libraries that others do not, so
it lives in an environment of its own and nothing of actorfl is imported here. It is in a directory
of its own because Python looks for modules beside the file that it runs. The last line that is
printed is JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("RAY_DEDUP_LOGS", "0")

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.serverapp.strategy.strategy_utils import aggregate_arrayrecords
from flwr.simulation import run_simulation

_WARM = 2
"""Rounds before those that are counted."""


def rounds(clients: int, size: int, count: int) -> dict[str, float]:
    """Rounds per second of FedAvg, whose clients send back what came."""
    came: list[float] = []

    class Timed(FedAvg):
        def aggregate_train(self, *args: object, **kwargs: object) -> object:
            merged = super().aggregate_train(*args, **kwargs)
            came.append(time.perf_counter())
            return merged

    client, server = ClientApp(), ServerApp()

    @client.train()
    def train(message: Message, _context: Context) -> Message:
        content = RecordDict({
            "arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1}),
        })  # fmt: skip
        return Message(content=content, reply_to=message)

    @server.main()
    def main(grid: Grid, _context: Context) -> None:
        strategy = Timed(
            fraction_train=1.0, fraction_evaluate=0.0, min_train_nodes=clients,
            min_available_nodes=clients,
        )  # fmt: skip
        initial = ArrayRecord([np.zeros(size, dtype=np.float32)])
        strategy.start(grid=grid, initial_arrays=initial, num_rounds=count)

    run_simulation(server, client, num_supernodes=clients)
    if len(came) != count:
        raise RuntimeError(f"{count} rounds were asked for, and {len(came)} came")
    return {"rounds": (count - _WARM) / (came[-1] - came[_WARM - 1])}


def merge(models: int, size: int) -> dict[str, float]:
    """Gigabytes of models that its FedAvg merges in a second: the median of five times."""
    rng = np.random.default_rng(0)
    records = [
        RecordDict({
            "arrays": ArrayRecord([rng.standard_normal(size, dtype=np.float32)]),
            "metrics": MetricRecord({"num-examples": 100 + number}),
        })
        for number in range(models)
    ]  # fmt: skip
    took = []
    for _ in range(5):
        began = time.perf_counter()
        aggregate_arrayrecords(records, "num-examples")
        took.append(time.perf_counter() - began)
    return {"merge": models * size * 4 / 1e9 / sorted(took)[2]}


if __name__ == "__main__":
    work: dict[str, Callable[..., dict[str, float]]] = {"rounds": rounds, "merge": merge}
    found = work[sys.argv[1]](*map(int, sys.argv[2:]))
    print(json.dumps(found), flush=True)
