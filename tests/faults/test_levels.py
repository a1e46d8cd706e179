"""Trees whose levels have policies and algorithms of their own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import actors
from actorfl import (
    ASP,
    BSP,
    SGD,
    SSP,
    Buffered,
    Every,
    FedAsync,
    FedAvg,
    FedAvgM,
    HierFAVG,
    Krum,
    Quorum,
    Rounds,
    Run,
    Scaffold,
    Star,
    Tree,
    Updates,
    Versions,
    Who,
)  # fmt: skip
from actorfl.algorithms.ditto import Ditto
from actorfl.chaos.scenario import needed
from actorfl.errors import ConfigError, Misfit, MissingKey, UnknownKey
from actorfl.execute import Result
from actorfl.task import Dataset
from actors import Drop, Duplicate, FaultPlan, Inline, Kill, Processes, Reorder, Simulated
from tests.faults.runs import carry_out, rows, small
from tests.faults.tasks import Blobs, blobs

TREE = Tree(root=1, edge=2, worker=5)
ONE = Tree(root=1, edge=1, worker=5)


def played(out: Path, on: Any = None, **changed: Any) -> Result:
    run = small(**{"topology": TREE, "until": Rounds(3), **changed})
    on = Simulated(2) if on is None else on
    return actors.run(carry_out(run, out, on), on=on if isinstance(on, Simulated) else None)


def lines(out: Path) -> list[dict[str, Any]]:
    (directory,) = out.iterdir()
    return rows(directory)


def model(out: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    (file,) = out.glob("*/model.safetensors")
    return np.concatenate([array.ravel() for _, array in sorted(load_file(file).items())])


@pytest.mark.parametrize(
    ("root", "edge", "least"),
    [(Quorum(0.5), Quorum(0.5), 1), (Quorum(0.5), BSP(), 2), (BSP(), Quorum(0.5), 3),
     (Quorum(0.5), BSP(rounds=2), 1), (BSP(), BSP(), 5)],
)  # fmt: skip
def test_chaos_knows_how_few_parts_close_a_clock_of_a_tree(
    root: Any, edge: Any, least: int
) -> None:
    assert needed(small(topology=TREE, sync={"root": root, "edge": edge})) == least


# -- hierarchical averaging ------------------------------------------------------------------------


def test_kappa_2_of_1_is_fedavg_bit_for_bit(tmp_path: Path) -> None:
    one = played(tmp_path / "one", algorithm=HierFAVG(kappa2=1)).sha256
    assert one == played(tmp_path / "avg", topology=Star(5)).sha256


def test_a_single_edge_is_fedavg_bit_for_bit_in_groups_of_rounds(tmp_path: Path) -> None:
    grouped = played(tmp_path / "hier", topology=ONE, algorithm=HierFAVG(kappa2=3), until=Rounds(2))
    alone = played(tmp_path / "star", topology=Star(5), until=Rounds(6))
    assert grouped.sha256 == alone.sha256
    assert [row["round"] for row in lines(tmp_path / "hier")] == [1, 2]


def test_hierfavg_is_short_for_a_policy_of_each_level(tmp_path: Path) -> None:
    short = played(tmp_path / "short", algorithm=HierFAVG(kappa2=2))
    levels = {"root": BSP(), "edge": BSP(rounds=2)}
    assert short.sha256 == played(tmp_path / "long", sync=levels).sha256


@dataclass(frozen=True)
class Alike(Blobs):
    """All workers have the same data."""

    def train(self, who: Who) -> Dataset:
        return blobs(0, 40)


def test_with_the_same_data_everywhere_it_is_gradient_descent(tmp_path: Path) -> None:
    local = SGD(lr=0.2)  # one step over all
    task = Alike()
    played(tmp_path / "hier", task=task, local=local, algorithm=HierFAVG(kappa2=4), until=Rounds(3))
    played(tmp_path / "one", task=task, local=local, topology=Star(1), until=Rounds(12))
    np.testing.assert_allclose(model(tmp_path / "hier"), model(tmp_path / "one"), atol=1e-6)


def test_more_rounds_at_the_edge_are_another_model(tmp_path: Path) -> None:
    found = {
        kappa: played(tmp_path / str(kappa), algorithm=HierFAVG(kappa2=kappa)).sha256
        for kappa in (1, 2, 3)
    }
    assert len(set(found.values())) == 3


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"topology": Star(5)}, "HierFAVG is for a root, edges and workers"),
        ({"topology": Tree(root=1, fog=1, edge=2, worker=5)}, "HierFAVG is for a root, edges and"),
        ({"sync": {"root": BSP(), "edge": BSP()}}, "HierFAVG says itself how many rounds an edge"),
        ({"algorithm": {"root": HierFAVG(), "edge": FedAvg()}}, "HierFAVG says itself how many"),
        ({"algorithm": {"root": FedAvg(), "edge": HierFAVG()}}, "HierFAVG says itself how many"),
    ],
)
def test_hierfavg_is_refused_where_it_means_nothing(changed: Any, sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        small(**{"topology": TREE, "algorithm": HierFAVG(), **changed})


@pytest.mark.parametrize("level", ["root", "edge"])
def test_a_rule_that_needs_all_models_is_refused_where_some_may_be_missing(level: str) -> None:
    sync = {"root": BSP(), "edge": BSP(), level: Quorum(0.8)}
    sentence = "looks at each model by itself, .* under BSP and not under Quorum; use BSP at all"
    with pytest.raises(Misfit, match=sentence):
        small(topology=TREE, algorithm=Krum(f=0), sync=sync)


def test_a_rule_with_too_few_below_it_says_at_which_level() -> None:
    algorithm = {"root": Krum(f=1), "edge": FedAvg()}
    with pytest.raises(Misfit, match=r"there are 2; .* \(level `root` merges 2"):
        small(topology=TREE, algorithm=algorithm)


# -- levels ----------------------------------------------------------------------------------------

LEVELS: dict[str, dict[str, Any]] = {
    "rounds of their own": {"sync": {"root": BSP(), "edge": BSP(rounds=2)}},
    "algorithms of their own": {
        "topology": Tree(root=1, edge=3, worker=5),
        "algorithm": {"root": Krum(f=0), "edge": FedAvgM(beta=0.5)},
    },
    "three levels": {
        "topology": Tree(root=1, fog=2, edge=4, worker=8),
        "sync": {"root": BSP(), "fog": BSP(rounds=2), "edge": BSP()},
        "algorithm": {"root": FedAvgM(), "fog": FedAvg(), "edge": FedAvg()},
    },
    "own rounds at the innermost level": {
        "topology": Tree(root=1, fog=2, edge=4, worker=8),
        "sync": {"root": BSP(), "fog": BSP(), "edge": BSP(rounds=2)},
    },
    "models of edges, whole": {
        "topology": Tree(root=1, fog=2, edge=4, worker=8),
        "algorithm": {"root": Krum(f=0), "fog": Krum(f=0), "edge": FedAvg()},
    },
    "personal models below": {"algorithm": {"root": FedAvgM(), "edge": Ditto()}},
}


@pytest.mark.parametrize("kind", LEVELS)
def test_faults_change_no_bit_of_a_tree_whose_levels_differ(kind: str, tmp_path: Path) -> None:
    changed = LEVELS[kind]
    inline = played(tmp_path / "inline", Inline(), **changed)
    plan = FaultPlan(
        Drop(0.15), Duplicate(0.15), Reorder(0.15), Kill("edge", at=0.5), Kill("p0", at=0.8),
        Kill("aggregator", at=1.1), seed=4, until=20.0,
    )  # fmt: skip
    disturbed = played(tmp_path / "disturbed", Simulated(2, faults=plan), **changed)
    assert (disturbed.sha256, disturbed.rounds) == (inline.sha256, 3)
    assert disturbed.restarts >= 3
    assert all(row["updates"] >= 2 and not row["refused"] for row in lines(tmp_path / "inline"))


def test_processes_learn_what_one_process_learns(tmp_path: Path) -> None:
    changed = {"until": Rounds(2), **LEVELS["rounds of their own"]}
    inline = played(tmp_path / "inline", Inline(), **changed)
    assert played(tmp_path / "processes", Processes(1), **changed).sha256 == inline.sha256


@pytest.mark.parametrize("sync", [ASP(), SSP(1), Buffered(2), Quorum(0.5)], ids=repr)
def test_a_root_need_not_wait_for_all_edges(sync: Any, tmp_path: Path) -> None:
    result = played(tmp_path, sync={"root": sync, "edge": BSP(rounds=2)}, until=Updates(8))
    assert result.accuracy is not None
    assert result.accuracy > 0.8
    assert sum(row["updates"] for row in lines(tmp_path)) >= 8
    assert {name for row in lines(tmp_path) for name in row["refused"]} == set()


def test_program_b_runs(tmp_path: Path) -> None:
    """Synchronous at the edge, asynchronous above."""
    result = played(
        tmp_path, topology=Tree(root=1, edge=4, worker=8), until=Versions(10),
        algorithm={"edge": FedAvg(), "root": FedAsync(alpha=0.6)},
        sync={"edge": BSP(rounds=2), "root": ASP()},
    )  # fmt: skip
    assert lines(tmp_path)[-1]["version"] == 10
    assert result.accuracy is not None
    assert result.accuracy > 0.8


def test_the_workers_of_all_edges_are_measured_and_their_bytes_counted(tmp_path: Path) -> None:
    at_workers = {"validate": 0.3, "evaluate": Every(1, at="workers")}
    levels = {"sync": {"root": BSP(), "edge": BSP(rounds=2)}}
    played(tmp_path / "levels", **at_workers, **levels)
    played(tmp_path / "star", topology=Star(5), **at_workers)
    deep, flat = lines(tmp_path / "levels"), lines(tmp_path / "star")
    assert all({"accuracy", "accuracy_worst_decile"} <= row.keys() for row in deep)
    # Twice the rounds with the workers, and the edges' own way.
    assert deep[0]["bytes"] > 2 * flat[0]["bytes"]


def test_levels_stand_in_a_configuration_and_have_one_hash(tmp_path: Path) -> None:
    run = small(**LEVELS["three levels"])
    file = tmp_path / "run.toml"
    file.write_text(run.to_toml())
    again = Run.from_toml(file)
    assert (again, again.hash) == (run, run.hash)
    assert again.hash != small(topology=run.topology).hash
    assert isinstance(again.algorithm_at("root"), FedAvgM)
    assert again.sync_at("fog") == BSP(rounds=2)


@pytest.mark.parametrize(
    ("changed", "error", "sentence"),
    [
        ({"sync": {"root": BSP(), "egde": BSP()}}, UnknownKey, "level of sync `egde`.*`edge`"),
        ({"sync": {"edge": BSP()}}, MissingKey, "root"),
        (
            {"sync": Quorum(0.5), "algorithm": {"root": FedAvg(), "edge": Ditto()}},
            Misfit, "Ditto keeps a state at the workers, which a round that they missed must le",
        ),
        (
            {"sync": {"root": Buffered(2), "edge": Quorum(0.5)}, "algorithm": Ditto()},
            Misfit, "under Quorum nobody knows which those were where aggregators of a Tree send",
        ),
        ({"sync": {"root": BSP(), "edge": ASP()}}, Misfit, "ASP is for the root of a Tree"),
        ({"sync": {"root": BSP(rounds=2), "edge": BSP()}}, Misfit, "for aggregators below the ro"),
        ({"topology": Star(5), "sync": {"root": BSP()}}, Misfit, "Star has none"),
        ({"algorithm": {"root": Scaffold(), "edge": FedAvg()}}, Misfit, "the level `edge` keeps n"),
        (
            {"algorithm": {"root": FedAvg(), "edge": Scaffold()}},
            Misfit, "Scaffold keeps a state on the server that goes with those of the workers, and",
        ),
        (
            {"algorithm": Scaffold(), "sync": {"root": BSP(), "edge": BSP(rounds=3)}},
            Misfit, "Scaffold keeps a state at the workers",
        ),
        (
            {"algorithm": {"root": FedAvg(), "edge": FedAsync()}},
            Misfit, "FedAsync does not go with BSP",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(
    changed: Any, error: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        small(**{"topology": TREE, **changed})
