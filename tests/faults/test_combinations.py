"""Which algorithm goes with which policy on which topology: each cell runs, all others are refused.

The tables below are the ones that the pages promise, as data. A new algorithm is in none of them
until somebody says what it goes with, and a test below says so.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

import pytest

import actors
from actorfl import (
    ASP,
    BSP,
    SGD,
    SSP,
    Buffered,
    FedAdagrad,
    FedAdam,
    FedAsync,
    FedAvg,
    FedAvgM,
    FedBuff,
    FedNova,
    FedProx,
    FedSGD,
    FedYogi,
    GeometricMedian,
    Gradients,
    Krum,
    Median,
    MultiKrum,
    ParameterServer,
    Quorum,
    Rounds,
    Run,
    Scaffold,
    Star,
    Tree,
    TrimmedMean,
    registry,
)
from actorfl.algorithm import Algorithm, Mine, Reduce
from actorfl.algorithms.ditto import Ditto
from actorfl.algorithms.fedbn import FedBN
from actorfl.algorithms.fedrep import FedRep
from actorfl.algorithms.hierfavg import HierFAVG
from actorfl.algorithms.normclipping import NormClipping
from actorfl.chaos.laws import Seen
from actorfl.chaos.scenario import scenario_of
from actorfl.chaos.settings import Chaos
from actorfl.errors import Misfit
from actorfl.registry import SLOTS
from actorfl.sync import Sync
from actorfl.topology import Topology
from actors import FaultPlan, Processes
from actors.testing.chaos.scenario import Evidence
from tests.faults.runs import carry_out, small
from tests.faults.tasks import Counting

pytestmark = pytest.mark.timeout(120)

ROUNDS: Final = 2
STAR: Final = Star(5)
TREE: Final = Tree(root=1, edge=4, worker=8)

#: Columns: policies of a star, and of a tree's root.
POLICIES: Final[Mapping[str, Sync]] = {
    "BSP": BSP(), "Quorum": Quorum(0.6), "SSP": SSP(1), "ASP": ASP(), "Buffered": Buffered(3),
}  # fmt: skip
#: Policies of a tree's edges.
BELOW: Final[Mapping[str, Sync]] = {**POLICIES, "Quorum": Quorum(0.5)}

#: Rows: as they are written by whoever uses them.
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    "fedsgd": FedSGD(),
    "fedavg": FedAvg(),
    "fedavgm": FedAvgM(beta=0.5),
    "fedprox": FedProx(mu=0.1),
    "scaffold": Scaffold(),
    "fednova": FedNova(),
    "fedadagrad": FedAdagrad(),
    "fedadam": FedAdam(),
    "fedyogi": FedYogi(),
    "parameter-server": ParameterServer(lr=0.1),
    "fedbn": FedBN(),
    "fedrep": FedRep(head="3.*"),
    "ditto": Ditto(),
    "hierfavg": HierFAVG(kappa2=2),
    "fedasync": FedAsync(),
    "fedbuff": FedBuff(),
    "median": Median(),
    "trimmed-mean": TrimmedMean(),
    "norm-clipping": NormClipping(),
    "krum": Krum(f=0),
    "multi-krum": MultiKrum(f=0, m=2),
    "geometric-median": GeometricMedian(),
}

Pairs = frozenset[tuple[str, str]]


def over(roots: Iterable[str], edges: Iterable[str] = ("BSP", "Quorum")) -> Pairs:
    """Each of some policies at the root, over each of some at the edges."""
    return frozenset(itertools.product(roots, edges))


ALL: Final = frozenset(POLICIES)
TOGETHER: Final = frozenset({"BSP", "Quorum", "Buffered"})
ALONE: Final = frozenset({"ASP", "Buffered"})
NONE: Final = over(())


class Goes(NamedTuple):
    """What a row goes with.

    Attributes:
        star: policies of a star.
        both: (policy of the root, policy of the edges) of a tree with the algorithm at both levels.
        root: the same, with the algorithm at the root and FedAvg at the edges.
        edge: the same, with the algorithm at the edges and FedAvg at the root.
    """

    star: frozenset[str]
    both: Pairs = NONE
    root: Pairs = NONE
    edge: Pairs = NONE


SUMS: Final = Goes(ALL, over(ALL), over(ALL), over(ALL))
#: It keeps a state at the workers. Of an edge that sends updates nobody knows who is in them.
KEEPS: Final = Goes(ALL, over({"BSP", "Quorum"}), NONE, over(ALL - {"Quorum"}, {"BSP"}))
#: It looks at whole models: those of workers, which the edges forward, or one of each edge.
WHOLE: Final = Goes(
    TOGETHER, over({"BSP"}, {"BSP"}) | over({"Buffered"}), over(TOGETHER), over(ALL)
)
ROWS: Final[Mapping[str, Goes]] = {
    **dict.fromkeys(
        ("fedsgd", "fedavg", "fedavgm", "fedprox", "fedadagrad", "fedadam", "fedyogi"), SUMS
    ),
    # Its gradients are of a model that nobody moves before they are merged.
    "parameter-server": Goes(ALL, over(ALL), NONE, over(ALL)),
    "fednova": Goes(TOGETHER, over(TOGETHER), over(TOGETHER), over(ALL)),
    # Its c is of those at whose workers the c_k are: an edge that sends updates has none.
    "scaffold": KEEPS._replace(star=TOGETHER, edge=NONE),
    **dict.fromkeys(("fedbn", "fedrep", "ditto"), KEEPS),
    "hierfavg": Goes(frozenset(), over({"BSP"}, {"BSP"})),
    **dict.fromkeys(("fedasync", "fedbuff"), Goes(ALONE, NONE, over(ALONE))),
    **dict.fromkeys(("median", "norm-clipping", "geometric-median"), WHOLE),
    # An edge has two workers here, of whom they cannot leave any out.
    **dict.fromkeys(
        ("trimmed-mean", "krum", "multi-krum"),
        WHOLE._replace(both=over({"BSP"}, {"BSP"}), edge=NONE),
    ),
}
#: Kinds that at all levels of a tree go with little, tested at once in the other places too.
AT_ONCE: Final = {
    "root": ("fedasync", "fedbuff", "median", "trimmed-mean", "norm-clipping", "krum",
             "multi-krum", "geometric-median"),
    "edge": ("parameter-server", "ditto"),
}  # fmt: skip


class Cell(NamedTuple):
    """A row and a column.

    Attributes:
        algorithm: a kind.
        place: "star", or where in a tree the algorithm is, as in ``Goes``.
        sync: of the star, or of the tree's root.
        edge: of its edges; "" of a star.
    """

    algorithm: str
    place: str
    sync: str
    edge: str = ""

    def __str__(self) -> str:
        return "-".join(self[: 4 if self.edge else 3])

    @property
    def runs(self) -> bool:
        """Whether the table says so."""
        column: object = (self.sync, self.edge) if self.edge else self.sync
        return column in getattr(ROWS[self.algorithm], self.place)

    @property
    def at_once(self) -> bool:
        """Whether it is tested each time: what is slow is a variation of one that is."""
        if self.edge == "Quorum" and self.algorithm != "fedavg":
            return False
        return self.place in {"star", "both"} or self.algorithm in AT_ONCE[self.place]

    def run(self) -> Run:
        """As it is written.

        Raises:
            Misfit: it is refused.
        """
        own, other = ALGORITHMS[self.algorithm], FedAvg()
        algorithm: Algorithm | dict[str, Algorithm] = own
        sync: Sync | dict[str, Sync] = POLICIES[self.sync]
        if self.edge and (self.sync, self.edge) != ("BSP", "BSP"):
            sync = {"root": POLICIES[self.sync], "edge": BELOW[self.edge]}
        if self.place == "root":
            algorithm = {"root": own, "edge": other}
        elif self.place == "edge":
            algorithm = {"root": other, "edge": own}
        return small(
            task=Counting(), topology=TREE if self.edge else STAR, algorithm=algorithm, sync=sync,
            local=Gradients(batch=8) if own.gradients else SGD(lr=0.1), until=Rounds(ROUNDS),
        )  # fmt: skip


def cells() -> Iterator[Cell]:
    for kind, policy in itertools.product(ROWS, POLICIES):
        yield Cell(kind, "star", policy)
        for place, edge in itertools.product(("both", "root", "edge"), BELOW):
            yield Cell(kind, place, policy, edge)


RUNS: Final = [
    pytest.param(cell, id=str(cell), marks=() if cell.at_once else pytest.mark.slow)
    for cell in cells()
    if cell.runs
]
REFUSED: Final = [cell for cell in cells() if not cell.runs]


@pytest.mark.parametrize("cell", RUNS)
def test_every_cell_of_the_table_runs_and_keeps_the_laws_of_its_policy(cell: Cell) -> None:
    scenario = scenario_of(cell.run(), Chaos(rounds=ROUNDS))

    async def main() -> Seen:
        return await scenario.play(scenario.on)

    seen = actors.run(main(), on=scenario.on)
    found = Evidence(FaultPlan(), seen)
    wrong = [invariant(found) for invariant in scenario.invariants]
    assert [sentence for sentence in wrong if sentence] == []
    assert seen.rounds >= 1
    assert any(act.kind == "merged" for act in seen.acts)


@pytest.mark.parametrize(
    "cell",
    [
        Cell("fedadam", "both", "Quorum", "BSP"),
        Cell("parameter-server", "star", "SSP"),
        pytest.param(Cell("ditto", "edge", "ASP", "BSP"), marks=pytest.mark.slow),
        pytest.param(Cell("fedbuff", "root", "Buffered", "BSP"), marks=pytest.mark.slow),
        pytest.param(Cell("krum", "star", "Quorum"), marks=pytest.mark.slow),
        pytest.param(Cell("geometric-median", "root", "BSP", "Quorum"), marks=pytest.mark.slow),
    ],
    ids=str,
)
async def test_some_of_the_cells_run_on_processes(cell: Cell, tmp_path: Path) -> None:
    assert cell.runs
    result = await carry_out(cell.run(), tmp_path, Processes(1))
    assert (result.merged, result.restarts) == (True, 0)


def test_every_cell_outside_is_refused_with_a_sentence() -> None:
    started, terse = [], []
    for cell in REFUSED:
        try:
            cell.run()
        except Misfit as refusal:
            sentence = str(refusal)
            # What does not fit by name, and after it what does or what to change.
            kind = type(ALGORITHMS[cell.algorithm]).__name__
            told = any(name in sentence for name in (kind, cell.sync, cell.edge or cell.sync))
            if not told or not re.search(r"[,;:] \S", sentence):
                terse.append((str(cell), sentence))
        else:
            started.append(str(cell))
    assert (started, terse) == ([], [])


@dataclass(frozen=True)
class Gossip(Algorithm):
    """Merges pairs of models."""

    reduce: ClassVar[Reduce] = "pair"

    def merge(self, mine: Mine, theirs: Mine) -> Mine:
        return mine


@pytest.mark.parametrize("topology", [STAR, TREE], ids=repr)
@pytest.mark.parametrize("sync", POLICIES)
def test_what_merges_pairs_of_models_is_refused_wherever_there_is_a_centre(
    topology: Topology, sync: str
) -> None:
    """Its row of the table is of graphs without one, where none of the other rows stand."""
    with pytest.raises(Misfit, match="is computed between neighbours, and"):
        small(topology=topology, algorithm=Gossip(), sync=POLICIES[sync])


def test_no_kind_is_missing_from_the_table() -> None:
    pairs = {
        kind for kind in SLOTS["algorithm"].kinds
        if registry.resolve(SLOTS["algorithm"], kind, "the table", Path()).reduce == "pair"
    }  # fmt: skip
    # These are for echo-state networks alone, see test_readouts.py.
    readouts = {"ridge-readout", "averaged-readout"}
    assert SLOTS["algorithm"].kinds.keys() - pairs - readouts == ROWS.keys() == ALGORITHMS.keys()
    # Nodes that act once a period have no aggregator, and no row here.
    assert SLOTS["sync"].kinds.keys() - {"period"} == {name.lower() for name in POLICIES}
