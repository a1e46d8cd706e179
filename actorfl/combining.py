"""Adding up where workers live: one sum leaves a process instead of the update of each worker.

A combiner is an aggregator below the one that its workers have, in their own process. Sums are
exact, so the model has the same bits with it and without. It keeps nothing: whoever is killed, a
worker or the process with all of them, its clock is put again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from actorfl.topology import Node, Star
from actors import Deployment, Inline

if TYPE_CHECKING:
    from actorfl.run import Run

#: The level of combiners, which no topology has.
COMBINERS: Final = "combiners"

# A sum takes 8 bytes an element and an update 4, so two updates take as much as their sum.
# From three on it is less, and of those two it still takes one model down instead of two.
_SAVES_FROM: Final = 3
_AT_LEAST: Final = 2


def combined(run: Run, on: Deployment, root: Node) -> Node:
    """The tree of a run with a combiner in each process where workers are to be combined.

    Args:
        run: says whether.
        on: says which workers live together.
        root: of the run's topology.
    """
    if run.combine is False or isinstance(on, Inline) or misfit(run) is not None:
        return root
    least = _SAVES_FROM if run.combine == "auto" else _AT_LEAST
    # As the runtime deals out what may live in any process: in the order of declaration.
    process = {name: index % on.n for index, name in enumerate(run.topology.names)}
    return _with_combiners(root, process, on.n, least)


def misfit(run: Run) -> str | None:
    """Why the workers of a run cannot be combined; None: they can be."""
    name = type(run.algorithm).__name__
    if run.algorithm.reduce != "sum":
        return f"{name} looks at each update by itself"
    if type(run.sync).__name__ != "BSP" or run.sync.inner > 1:
        return f"{type(run.sync).__name__} does not wait for all workers, and a sum does"
    if run.sync_of or run.algorithm_of or run.algorithm.edge_rounds is not None:
        return "its levels have different policies or algorithms"
    if run.select is not None:
        return "`select` has some of the workers compute, and a sum waits for all"
    if run.stays or run.supervision.exhausted == "leave":
        return "workers join or leave it, and a sum is of the same ones to the end"
    if isinstance(run.topology, Star) and run.topology.shards is not None:
        return "its model lies in shards, which each take a slice of every update"
    if run.compress is not None:
        return "`compress` makes updates smaller than their sum"
    return None


def process_of(combiner: Node) -> str:
    """The process in which a combiner lives."""
    return combiner.name.rpartition(".")[2].partition("-")[0]


def _with_combiners(node: Node, process: dict[str, int], n: int, least: int) -> Node:
    groups: defaultdict[int, list[Node]] = defaultdict(list)
    for each in node.below:
        if not each.below:
            groups[process[each.name]].append(each)
    made: dict[str, Node] = {}
    for number, workers in groups.items():
        if len(workers) >= least:
            # Another number of processes is another set of workers, and another name.
            combiner = Node(f"{node.name}.p{number}-of-{n}", COMBINERS, tuple(workers))
            made.update(dict.fromkeys((each.name for each in workers), combiner))
    below = dict.fromkeys(
        made.get(each.name) or _with_combiners(each, process, n, least) for each in node.below
    )
    return replace(node, below=tuple(below))
