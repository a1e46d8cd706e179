"""Readouts of echo-state networks: the same predictions, whoever adds up, and whatever fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import actors
from actorfl import (
    BSP,
    SGD,
    AveragedReadout,
    CompleteGraph,
    Contiguous,
    Every,
    ExponentialGraph,
    FedAvg,
    Iid,
    Inline,
    Median,
    Quorum,
    ReadoutADMM,
    ReadoutConsensus,
    RidgeReadout,
    RingGraph,
    Rounds,
    Run,
    RunFailed,
    Supervision,
    Tree,
    Who,
)
from actorfl.algorithm import Algorithm
from actorfl.data.mackeyglass import MackeyGlass
from actorfl.errors import ConfigError, Misfit, WrongValue
from actorfl.esn.engine import Reservoirs
from actorfl.esn.moments import Moments, nrmse
from actorfl.esn.reservoir import Floats, washed
from actorfl.esn.task import Series
from actorfl.pairing import PairAlgorithm
from actorfl.saying import closing_line
from actors import Processes, Simulated
from tests.faults.plants import Alone, Plants
from tests.faults.runs import carry_out, small
from tests.faults.test_nodes import schedule as ring_schedule
from tests.faults.test_nodes import simulate
from tests.faults.test_simulated import schedule

TASK = MackeyGlass(ahead=10, train_steps=640, test_steps=200, units=10, washout=40, density=0.3)
ALONE = Alone(ahead=10, train_steps=640, test_steps=200, units=10, washout=40, density=0.3)
PENALTY = 1e-6


def reading(**changed: Any) -> Run:
    return small(**{
        "task": TASK, "algorithm": RidgeReadout(PENALTY), "local": None, "until": Rounds(1),
        "partition": Contiguous(), **changed,
    })  # fmt: skip


def around(algorithm: PairAlgorithm, rounds: int, **changed: Any) -> Run:
    return reading(
        topology=RingGraph(4), algorithm=algorithm, until=Rounds(rounds),
        evaluate=Every(rounds), **changed,
    )  # fmt: skip


def states_of(data: Series) -> tuple[Floats, Floats]:
    states, rows = washed(TASK.reservoir, data[0], data[2], TASK.washout)
    return states, data[1][rows]


def each_part() -> list[tuple[Floats, Floats]]:
    """The states and targets of each of four workers, washed out by itself."""
    pool = TASK.pool()
    cuts = np.array_split(np.arange(TASK.train_steps), 4)
    return [states_of((pool[0][rows], pool[1][rows], pool[2][rows])) for rows in cuts]


def test_federated_predictions_are_those_of_all_data_in_one_place(tmp_path: Path) -> None:
    parts = each_part()
    x, y = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    readout = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ y)
    states, wanted = states_of(TASK.test())
    result = reading().start(on=Inline(), out=tmp_path)
    assert result.metrics["nrmse"] == pytest.approx(nrmse(wanted, states @ readout), rel=1e-5)
    assert result.metrics["nrmse"] < 0.2  # type: ignore[operator]


def test_averaged_readouts_are_the_mean_of_those_of_each_and_worse(tmp_path: Path) -> None:
    states, wanted = states_of(TASK.test())
    mean = np.mean([Moments.of(x, y).solved(PENALTY) for x, y in each_part()], axis=0)
    result = reading(algorithm=AveragedReadout(PENALTY)).start(on=Inline(), out=tmp_path)
    exact = reading().start(on=Inline(), out=tmp_path)
    assert result.metrics["nrmse"] == pytest.approx(nrmse(wanted, states @ mean), rel=1e-4)
    assert result.metrics["nrmse"] > 1.2 * exact.metrics["nrmse"]  # type: ignore[operator]


def test_a_tree_has_the_readout_of_a_star_to_the_bit_and_a_ring_its_predictions(
    tmp_path: Path,
) -> None:
    star = reading().start(on=Inline(), out=tmp_path)
    tree = reading(topology=Tree(root=1, edge=2, worker=4)).start(on=Inline(), out=tmp_path)
    assert tree.sha256 == star.sha256
    ring = around(ReadoutConsensus(PENALTY), 24).start(on=Simulated(1), out=tmp_path)
    assert ring.metrics["nrmse"] == pytest.approx(star.metrics["nrmse"], rel=1e-3)
    assert ring.metrics["nrmse_worst_decile"] == pytest.approx(star.metrics["nrmse"], rel=1e-3)


def test_a_further_round_changes_nothing_and_combining_neither(tmp_path: Path) -> None:
    once = reading().start(on=Inline(), out=tmp_path)
    assert reading(until=Rounds(3)).start(on=Inline(), out=tmp_path).sha256 == once.sha256
    assert reading(combine=True).start(on=Simulated(1), out=tmp_path).sha256 == once.sha256


@pytest.mark.parametrize("algorithm", [RidgeReadout(PENALTY), AveragedReadout(PENALTY)], ids=str)
def test_no_fault_changes_a_bit_of_a_readout(algorithm: Algorithm, tmp_path: Path) -> None:
    run = reading(algorithm=algorithm, until=Rounds(2))
    expected = actors.run(carry_out(run, tmp_path)).sha256
    for seed in (1, 2):
        on = schedule(seed)
        assert actors.run(carry_out(run, tmp_path, on), on=on).sha256 == expected


@pytest.mark.parametrize(
    "algorithm",
    [
        ReadoutConsensus(1e-3),
        ReadoutConsensus(1e-3, "readout"),
        ReadoutADMM(1e-3, inner=2),
    ],
    ids=str,
)
def test_no_fault_changes_a_bit_of_a_consensus(algorithm: PairAlgorithm, tmp_path: Path) -> None:
    patient = Supervision(intensity=1000, outside=1000)
    run = around(algorithm, 6, supervision=patient)
    quiet, _ = simulate(run, Simulated(2, seed=1), tmp_path)
    hit, _ = simulate(run, ring_schedule(2), tmp_path)
    assert hit.restarts > 0
    assert hit.sha256 == quiet.sha256


def test_processes_without_torch_give_the_same_bits(tmp_path: Path) -> None:
    inline = reading().start(on=Inline(), out=tmp_path)
    with pytest.raises(RuntimeError, match="torch was loaded"):
        ALONE.pool()
    result = reading(task=ALONE).start(on=Processes(2), out=tmp_path)
    assert result.sha256 == inline.sha256
    assert result.metrics == inline.metrics
    assert not result.unpromised


def test_admm_between_neighbours_comes_nearer_to_the_readout_of_all(tmp_path: Path) -> None:
    star = reading(algorithm=RidgeReadout(1e-2)).start(on=Inline(), out=tmp_path)
    right = float(star.metrics["nrmse"] or 0.0)
    off = []
    for iterations in (5, 20):
        run = around(ReadoutADMM(1e-2, rho=0.1, inner=6), 6 * iterations)
        result = run.start(on=Simulated(1), out=tmp_path)
        off.append(float(result.metrics["nrmse_worst_decile"] or 0.0) / right - 1.0)
    assert off[1] < 0.05
    assert off[1] < off[0] / 2


def test_all_nodes_of_a_ring_come_to_one_readout(tmp_path: Path) -> None:
    def apart(rounds: int) -> float:
        result = around(ReadoutConsensus(1e-2), rounds).start(on=Simulated(1), out=tmp_path)
        files = sorted((result.directory / "models").iterdir())
        each = np.stack([load_file(file)["readout.high"] for file in files])
        assert len(each) == 4
        return float(np.ptp(each, axis=0).max() / np.abs(each).max())

    assert apart(1) > 0.1
    assert apart(24) < 1e-6


def test_what_is_validated_is_the_end_of_a_series_and_begins_from_rest(tmp_path: Path) -> None:
    train, held = Reservoirs().split(TASK.pool(), 0.25, 7)
    assert [len(part[2]) for part in (train, held)] == [480, 160]
    assert held[2][0] == 480
    run = reading(validate=0.4, evaluate=Every(1, at="workers"))
    result = run.start(on=Inline(), out=tmp_path)
    assert result.metrics["nrmse"] is not None
    assert result.metrics["nrmse"] < 0.6


@pytest.mark.parametrize(
    "run",
    [reading(validate=0.1), around(ReadoutConsensus(PENALTY), 2, validate=0.1)],
    ids=["star", "ring"],
)
def test_a_run_says_so_where_all_that_is_validated_is_washed_out(run: Run, tmp_path: Path) -> None:
    result = replace(run, evaluate=Every(1, at="workers")).start(on=Inline(), out=tmp_path)
    assert result.metrics.get("loss") is None
    assert "nothing was left to evaluate on: what `validate` holds back" in closing_line(result)


PLANTS = Plants(units=10, layers=2, density=0.3, washout=30)


def test_several_channels_are_learned_from_data_of_each_workers_own(tmp_path: Path) -> None:
    run = reading(task=PLANTS, partition=None)
    result = run.start(on=Inline(), out=tmp_path)
    assert result.metrics["nrmse"] is not None
    assert result.metrics["nrmse"] < 0.01


def test_averaged_readouts_weigh_by_their_steps(tmp_path: Path) -> None:
    def states(data: Any) -> tuple[Floats, Floats]:
        found, rows = washed(PLANTS.reservoir, data[0], data[2], PLANTS.washout)
        return found, data[1][rows]

    parts = [PLANTS.train(Who(f"w{k}", k, 4)) for k in range(4)]
    readouts = [Moments.of(*states(part)).solved(PENALTY) for part in parts]
    mean = np.average(readouts, axis=0, weights=[len(part[2]) for part in parts])
    found, wanted = states(PLANTS.test())
    run = reading(task=PLANTS, partition=None, algorithm=AveragedReadout(PENALTY))
    result = run.start(on=Inline(), out=tmp_path)
    assert result.metrics["nrmse"] == pytest.approx(nrmse(wanted, found @ mean), rel=1e-4)


@pytest.mark.parametrize(
    ("task", "sentence"),
    [
        (replace(PLANTS, short=True), "all 20 steps of a worker are washed out"),
        (replace(PLANTS, wild=True), "or scale them to about 1"),
    ],
)
def test_series_that_give_no_readout_end_the_run_with_a_sentence(
    task: Plants, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(RunFailed, match=sentence):
        reading(task=task, partition=None).start(on=Inline(), out=tmp_path)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        ("inputs", "the inputs of Plants at w1 hold inf in row 50, and a series is of finite num"),
        ("targets", "the targets of Plants at w1 hold inf in row 50, and a series is of finite n"),
        ("test", "the inputs of Plants hold nan in row 7, and a series is of finite numbers; put"),
    ],
)
def test_one_value_that_is_not_finite_ends_the_run_and_spoils_nobody_s_readout(
    broken: str, sentence: str, tmp_path: Path
) -> None:
    task = replace(PLANTS, broken=broken)
    with pytest.raises(ConfigError, match=sentence):
        reading(task=task, partition=None).start(on=Inline(), out=tmp_path / "star")
    if broken != "test":
        with pytest.raises(ConfigError, match=sentence):
            around(ReadoutConsensus(PENALTY), 3, task=task, partition=None).start(
                on=Inline(), out=tmp_path / "ring"
            )


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"algorithm": FedAvg(), "local": SGD(lr=0.1)}, "FedAvg merges what steps have trained"),
        ({"algorithm": Median(), "local": SGD(lr=0.1)}, "Median merges what steps have trained"),
        ({"partition": Iid()}, r"use partition=Contiguous\(\)"),
        ({"baselines": True}, "`baselines` train by steps"),
        ({"parts": {"readout.*": "local", "*": "shared"}}, "solved for as a whole"),
        ({"task": "digits", "partition": None}, "RidgeReadout solves for the readout"),
    ],
)
def test_what_does_not_go_with_a_readout_is_refused(changed: Any, sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        reading(**changed)


def test_a_consensus_on_readouts_needs_readouts() -> None:
    with pytest.raises(Misfit, match="ReadoutConsensus solves for the readout"):
        around(ReadoutConsensus(), 3, task="digits", partition=None)


@pytest.mark.parametrize(
    ("algorithm", "sentence"),
    [
        (ReadoutConsensus(PENALTY), "ReadoutConsensus needs links that go both ways, and those of"),
        (RidgeReadout(PENALTY), "give the nodes an algorithm between neighbours, such as Readout"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_is_said_of_a_graph_leads_to_a_readout(algorithm: Any, sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        replace(
            around(ReadoutConsensus(PENALTY), 1), algorithm=algorithm, topology=ExponentialGraph(4)
        )


def test_a_complete_graph_is_done_after_one_round(tmp_path: Path) -> None:
    star = reading().start(on=Inline(), out=tmp_path)
    run = replace(around(ReadoutConsensus(PENALTY), 1), topology=CompleteGraph(4))
    result = run.start(on=Simulated(1), out=tmp_path)
    assert result.metrics["nrmse"] == pytest.approx(star.metrics["nrmse"], rel=1e-6)


def test_a_run_that_takes_no_steps_needs_no_local_loop(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'task = { kind = "mackey-glass", units = 10 }\ntopology = { kind = "star", workers = 4 }\n'
        'algorithm = "ridge-readout"\nuntil = { rounds = 1 }\npartition = "contiguous"\n'
    )
    run = Run.from_toml(file)
    assert run == Run.from_toml(file, ["local.lr=0.1", "local.batch=10", "local.kind=sgd"])


@pytest.mark.parametrize("policy", [BSP(), Quorum(0.75)], ids=str)
def test_a_readout_is_that_of_whose_moments_came(policy: Any, tmp_path: Path) -> None:
    result = reading(sync=policy).start(on=Inline(), out=tmp_path)
    assert result.merged


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"washout": -1}, "`washout` of MackeyGlass"),
        ({"radius": 1.0}, "`radius` of Reservoir"),
        ({"ahead": 0}, "`ahead` of MackeyGlass"),
    ],
)
def test_a_task_out_of_range_is_refused(changed: Any, sentence: str) -> None:
    with pytest.raises(WrongValue, match=sentence):
        replace(TASK, **changed)


def test_data_that_are_no_series_are_refused() -> None:
    engine, start = Reservoirs(), np.zeros(1, np.float32)
    good = TASK.pool()
    wrong: list[tuple[Any, str]] = [
        (good[:2], r"return series\(inputs, targets\)"),
        ((good[0], np.ones((640, 2)), good[2]), "1 in and 1 out; make them agree"),
        ((good[0], good[1], good[1][:, 0]), "are no series"),
    ]
    for data, sentence in wrong:
        with pytest.raises(ConfigError, match=sentence):
            engine.fit(TASK, data, start, {}, local=SGD(lr=0.1), seed=0)


@pytest.mark.parametrize(
    ("rounds", "use"), [(5, "use 6 rounds"), (7, "the last 1 would be in vain; use 6 or 12 rounds")]
)
def test_rounds_that_are_no_whole_number_of_iterations_are_refused(rounds: int, use: str) -> None:
    with pytest.raises(Misfit, match=use):
        around(ReadoutADMM(inner=6), rounds)
