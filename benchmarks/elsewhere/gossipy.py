"""gossipy: exchanges of its simulation of gossip learning.

    PYTHON benchmarks/elsewhere/gossipy.py [NODES DEGREE ROUNDS EVERY EXAMPLES]

A hundred nodes in a 20-regular graph push logistic regression of 57 features, 100 rounds, and a
tenth of the nodes is evaluated in each; EVERY is how many nodes there are to one that is, EXAMPLES
how many each has to learn from. Run as a file by the Python that has gossipy-dfl 0.0.1
(``pip install --no-deps gossipy-dfl==0.0.1``, then torch, scikit-learn, networkx, pandas,
matplotlib, dill and rich): it wants versions of libraries that others do not, so nothing of actorfl
is imported here. Of torchvision, of which gossipy only
loads data sets, there is a stand-in, and what scikit-learn tells as a plain number becomes one of
numpy, as gossipy expects. The last line that is printed is JSON.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
import types

# This file has the name of the library: what it imports is not to be itself.
sys.path = [place for place in sys.path if place != __file__.rpartition("/")[0]]
sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))

import networkx as nx  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from gossipy.core import AntiEntropyProtocol, CreateModelMode, StaticP2PNetwork  # noqa: E402
from gossipy.data import DataDispatcher  # noqa: E402
from gossipy.data.handler import ClassificationDataHandler  # noqa: E402
from gossipy.model import handler  # noqa: E402
from gossipy.model.handler import TorchModelHandler  # noqa: E402
from gossipy.model.nn import LogisticRegression  # noqa: E402
from gossipy.node import GossipNode  # noqa: E402
from gossipy.simul import GossipSimulator, SimulationEventReceiver, SimulationReport  # noqa: E402

FEATURES, EXAMPLES, TEST = 57, 41, 461
STEPS = 100
"""Of time in a round; its own examples have as many."""

_roc_auc_score = handler.roc_auc_score
handler.roc_auc_score = lambda *args, **kwargs: np.float64(_roc_auc_score(*args, **kwargs))


class Sent(SimulationEventReceiver):
    """Counts the messages."""

    def __init__(self) -> None:
        self.count = 0

    def update_message(self, failed: bool, msg: object = None) -> None:
        self.count += not failed

    def update_evaluation(self, *_: object) -> None: ...

    def update_timestep(self, t: int) -> None: ...

    def update_end(self) -> None: ...


def made(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of two classes that a linear model tells apart with some errors."""
    rng = np.random.default_rng(0)
    points = rng.standard_normal((rows, FEATURES), dtype=np.float32)
    scores = points @ rng.standard_normal(FEATURES) + 4.0 * rng.standard_normal(rows)
    return torch.from_numpy(points), torch.from_numpy((scores > 0).astype(np.int64))


def gossip(nodes: int, degree: int, rounds: int, every: int, examples: int) -> dict[str, float]:
    """What an exchange takes of a processor in us, the whole in wall seconds and MiB; accuracy."""
    first = time.perf_counter()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (gossipy draws from it)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    points, labels = made(TEST + nodes * examples)
    dispatcher = DataDispatcher(
        ClassificationDataHandler(
            points[TEST:], labels[TEST:], points[:TEST], labels[:TEST], test_size=0.1
        ),
        n=nodes, eval_on_user=False,
    )  # fmt: skip
    # A byte for each pair: it wants the whole matrix, and more would end it sooner.
    graph = nx.to_numpy_array(nx.random_regular_graph(degree, nodes, seed=1), dtype=np.uint8)
    network = StaticP2PNetwork(nodes, graph)
    each = {
        number: GossipNode(
            number, dispatcher[number], STEPS,
            TorchModelHandler(
                LogisticRegression(FEATURES, 2), torch.optim.SGD, {"lr": 0.1, "weight_decay": 1e-3},
                torch.nn.CrossEntropyLoss(), local_epochs=1, batch_size=10,
                create_model_mode=CreateModelMode.MERGE_UPDATE,
            ),
            network,
        )
        for number in range(nodes)
    }  # fmt: skip
    simulator = GossipSimulator(
        each, dispatcher, STEPS, AntiEntropyProtocol.PUSH, sampling_eval=1 / every
    )
    sent, report = Sent(), SimulationReport()
    simulator.add_receiver(sent)
    simulator.add_receiver(report)
    simulator.init_nodes(seed=0)
    began = time.process_time()
    simulator.start(n_rounds=rounds)
    seconds = time.process_time() - began
    accuracy = report.get_evaluation(False)[-1][1]["accuracy"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "nodes": nodes,
        "microseconds": seconds / sent.count * 1e6,
        "seconds": time.perf_counter() - first,
        "memory": peak / (2**20 if sys.platform == "darwin" else 2**10),
        "accuracy": float(accuracy),
    }


if __name__ == "__main__":
    asked = map(int, sys.argv[1:] or (100, 20, 100, 10, EXAMPLES))
    print(json.dumps(gossip(*asked)), flush=True)
