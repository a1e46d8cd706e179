"""How fast models become alike on a graph: eigenvalues of the mixing matrix, to their digits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from actorfl import (
    ExponentialGraph,
    Metropolis,
    PathGraph,
    Peers,
    RegularGraph,
    RingGraph,
    ScaleFreeGraph,
    SmallWorld,
    StarGraph,
    TorusGraph,
    Uniform,
)
from actorfl.spectrum import slem
from benchmarks.reproduce.gates import Row

#: The last digit that is known: ours is rounded to as many.
DIGIT = 1e-6

#: Drawn graphs are those of networkx with seed 42.
KINDS: dict[str, Callable[[int], Peers]] = {
    "ring": RingGraph,
    "path": PathGraph,
    "star": StarGraph,
    "torus": TorusGraph,
    "random 4-regular": lambda n: RegularGraph(n, degree=4, seed=42),
    "small world, degree 4, .1 rewired": lambda n: SmallWorld(n, p=0.1, seed=42),
    "scale free, 2 links": lambda n: ScaleFreeGraph(n, links=2, seed=42),
    "static exponential": ExponentialGraph,
}
#: The second largest eigenvalue modulus, and the rounds in which deviations shrink by 1e6.
REFERENCES: dict[int, tuple[tuple[float, int], ...]] = {
    8: ((0.804738, 64), (0.949253, 266), (0.875, 104), (0.5, 20), (0.482843, 19), (0.717455, 42),
        (0.760259, 51), (0.5, 20)),
    16: ((0.949253, 266), (0.987190, 1072), (0.9375, 215), (0.6, 28), (0.738416, 46),
         (0.819961, 70), (0.896296, 127), (0.6, 28)),
    32: ((0.987190, 1072), (0.996790, 4297), (0.96875, 436), (0.882843, 111), (0.817779, 69),
         (0.924976, 178), (0.939776, 223), (0.666667, 35)),
    100: ((0.998684, 10496), (0.999671, 41991), (0.99, 1375), (0.923607, 174), (0.864375, 95),
          (0.977758, 615), (0.958789, 329), (0.75, 49)),
}  # fmt: skip


def rows(jobs: int) -> list[Row]:
    """Compute the table; it takes seconds, in one process."""
    del jobs
    found: list[Row] = []
    for nodes, references in REFERENCES.items():
        for (kind, make), (eigenvalue, rounds) in zip(KINDS.items(), references, strict=True):
            graph = make(nodes)
            ours = slem(graph, Metropolis() if graph.symmetric else Uniform())
            row = Row(
                f"{kind}, {nodes} nodes", round(ours.value, 6), eigenvalue, DIGIT / 2, form=".6f"
            )
            until = float(ours.rounds() or "inf")
            what = f"{row.name}, rounds to 1e-6"
            found += [
                row,
                dataclasses.replace(
                    row, name=what, ours=until, reference=float(rounds), within=0.0, form=".0f"
                ),
            ]
    return found
