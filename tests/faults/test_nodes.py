"""Nodes that send and receive for themselves: whoever dies on the way, nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import (
    BSP,
    SGD,
    Every,
    NodeLoop,
    Result,
    RingGraph,
    Rounds,
    Run,
    RunFailed,
    Star,
    Supervision,
    Task,
)
from actorfl.chaos.scenario import shortened
from actorfl.chaos.settings import Chaos
from actorfl.errors import Misfit
from actorfl.execute import running
from actorfl.exitcodes import ExitCode
from actorfl.memo import Memo, memoised
from actors import (
    CrashPoint,
    Deployment,
    Drop,
    Duplicate,
    FaultPlan,
    Full,
    Inline,
    Jitter,
    Kill,
    Processes,
    Reorder,
    Simulated,
    Torn,
)
from actors.sim import SimulationStatistics
from tests.faults.programs import (
    MUCH,
    Bursting,
    Handing,
    Hurrying,
    Leading,
    Pairing,
    Slipping,
    Waiting,
)
from tests.faults.runs import carry_out, rows, thorough
from tests.faults.tasks import Blobs, Counting

pytestmark = pytest.mark.timeout(300)

NODES = ("p0", "p1", "gatherer")
PATIENT = Supervision(intensity=1000, outside=1000)


def ring(node: NodeLoop | None = None, count: int = 4, **changed: Any) -> Run:
    values: dict[str, Any] = {"seed": 3, "name": "ring", "supervision": PATIENT, **changed}
    task = values.pop("task", Blobs())
    return Run(task, RingGraph(count), node=node or Handing(), **values)


def left(result: Result) -> dict[str, bytes]:
    """The model of each node, their mean, and the lines, as they lie on the disk."""
    files = [*(result.directory / "models").iterdir(), result.directory / "model.safetensors"]
    # The restarts of a start are in its lines, and none of the learning.
    lines = [{k: v for k, v in row.items() if k != "restarts"} for row in rows(result.directory)]
    return {
        **{file.name: file.read_bytes() for file in files},
        "lines": json.dumps(lines).encode(),
        "metrics": json.dumps(dict(result.metrics)).encode(),
    }


def simulate(run: Run, on: Simulated, out: Path) -> tuple[Result, SimulationStatistics]:
    async def main() -> tuple[Result, SimulationStatistics]:
        async with running(run, on, out=out) as under_way:
            result = await asyncio.wait_for(under_way.result(), 3000)
            assert under_way.simulation is not None
            return result, under_way.simulation.statistics()

    return actors.run(main(), on=on)


def schedule(seed: int) -> Simulated:
    draw = random.Random(seed)
    kills = [Kill(draw.choice(NODES), draw.uniform(0.1, 4.0)) for _ in range(draw.randint(2, 5))]
    # A kill at a time hardly ever falls between what was sent and the save after it.
    write = CrashPoint(
        point="storage.write", action="sigkill", at=draw.randint(1, 9), node=f"p{seed % 2}"
    )
    faults = (
        write, Drop(0.05), Duplicate(0.05), Jitter(0.05, p=0.1), Reorder(0.05), Torn(1.0), *kills,
        *((Full(0.02),) if seed % 2 else ()),
    )  # fmt: skip
    return Simulated(2, seed=seed, faults=FaultPlan(*faults, seed=seed, until=20.0))


@pytest.fixture(scope="module")
def memo() -> Iterator[Memo]:
    with memoised(Memo()) as one:
        yield one


@pytest.mark.parametrize("seeds", [3, thorough(200)])
@pytest.mark.parametrize(
    ("program", "task"),
    [(Handing(), Counting()), (Handing(every=2), Blobs()), (Pairing(), Blobs())],
    ids=["each round is saved", "every second is saved", "two rounds share a tag"],
)
def test_no_schedule_of_faults_changes_a_bit_of_any_node(
    program: NodeLoop, task: Task, seeds: int, memo: Memo, tmp_path: Path
) -> None:
    run = ring(program, task=task)
    undisturbed = left(actors.run(carry_out(run, tmp_path, Inline())))
    assert len(undisturbed) == 4 + 3
    told = []
    for seed in range(seeds):
        result, statistics = simulate(run, schedule(seed), tmp_path / str(seed))
        assert left(result) == undisturbed, f"seed {seed}"
        told.append(statistics)
    # A fault that never took effect would prove nothing.
    for kind in ("drop", "duplicate", "jitter", "reorder"):
        assert sum(s.faults.get(kind, 0) for s in told) > seeds
    assert sum(s.started - len(NODES) for s in told) > seeds


@pytest.mark.parametrize("on", [Simulated(2), Processes(2)], ids=["simulated", "processes"])
def test_a_ring_gives_the_same_bits_wherever_it_runs(on: Deployment, tmp_path: Path) -> None:
    expected = left(ring(Handing(2)).start(on=Inline(), out=tmp_path))
    assert left(ring(Handing(2)).start(on=on, out=tmp_path)) == expected


def test_a_node_waits_while_much_is_kept_for_a_slow_neighbour(tmp_path: Path) -> None:
    result, _ = simulate(ring(Hurrying(), 2), schedule(1), tmp_path)
    assert result.rounds == 100


@pytest.mark.parametrize("kills", [(), (Kill("gatherer", 3.0),)], ids=["calm", "killed"])
def test_a_node_that_is_far_ahead_of_the_lines_does_not_hold_up_the_end(
    kills: tuple[Kill, ...], tmp_path: Path
) -> None:
    on = Simulated(2, faults=FaultPlan(*kills))
    result, statistics = simulate(ring(Leading(), 2), on, tmp_path)
    assert result.rounds == MUCH
    assert [row["nodes"] for row in rows(result.directory)] == [2, *[1] * (MUCH - 1)]
    assert statistics.started == len(NODES) + len(kills)


def test_more_than_is_kept_for_a_neighbour_that_does_not_save_ends_the_run_with_a_sentence(
    tmp_path: Path,
) -> None:
    run = ring(Bursting(), 2, supervision=Supervision(intensity=1))
    with pytest.raises(
        RunFailed, match=r"w\d waited 5 s to send w\d more, which has saved none of"
    ):
        simulate(run, Simulated(2), tmp_path)


@pytest.mark.parametrize(
    ("slip", "sentence"),
    [
        ("tag", r"a tag of a node's send must be one that nothing is kept under .* in run"),
        (
            "name",
            r"a neighbour of w\d must be one of w\d, got 'w9' \(programs\.py, line \d+, in run",
        ),
        ("fit", r"`lr` of SGD must be finite and above 0, got -1"),
    ],
)
def test_a_call_that_a_program_slips_in_is_a_failure_of_its_node_and_no_configuration(
    slip: str, sentence: str, tmp_path: Path
) -> None:
    run = ring(Slipping(slip), 2, supervision=Supervision(intensity=1))
    with pytest.raises(RunFailed, match=rf"^w\d failed: .*{sentence}") as caught:
        simulate(run, Simulated(2), tmp_path)
    assert caught.value.exit_code == ExitCode.RUN_FAILED
    assert "programs.py, line" in str(caught.value)


@pytest.mark.parametrize("timeout", [2, 100])
def test_what_nobody_sends_ends_the_run_with_a_sentence(timeout: int, tmp_path: Path) -> None:
    run = ring(Waiting(timeout), 2, supervision=Supervision(intensity=1, per=60))
    sentence = rf"w\d waited {timeout} s for tag 'never' of any neighbour"
    with pytest.raises(RunFailed, match=sentence):
        simulate(run, Simulated(2), tmp_path)


def test_a_run_that_was_stopped_is_resumed_by_each_node_after_its_last_save(
    tmp_path: Path,
) -> None:
    expected = left(ring().start(on=Inline(), out=tmp_path / "whole"))

    first = asyncio.Event()

    def hear(row: Mapping[str, Any]) -> None:
        if row.get("round") == 1:
            first.set()

    async def stopped() -> Path:
        async with running(ring(), Inline(), out=tmp_path / "cut", on_row=hear) as under_way:
            await first.wait()
            return under_way.directory.path

    directory = actors.run(stopped())
    again: list[int] = []
    result = ring().start(
        on=Inline(), resume=directory, on_row=lambda row: again.append(row.get("round", 0))
    )
    assert left(result) == expected
    assert again[-1] == 4
    assert 1 not in again


@pytest.mark.parametrize("on", [Inline(), Simulated(2)], ids=["inline", "simulated"])
def test_a_run_one_of_whose_nodes_has_lost_its_saves_is_not_resumed(
    on: Deployment, tmp_path: Path
) -> None:
    directory = ring().start(on=on, out=tmp_path).directory
    shutil.rmtree(directory / "snapshots" / "worker-w1")
    sentence = "the lines of 4 rounds are written, and w1 has the saves of 0; put the others back"
    with pytest.raises(RunFailed, match=sentence):
        actors.run(carry_out(ring(), tmp_path, on, resume=directory), on=on)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"topology": Star(2)}, "Star has a centre, and Handing is a program for nodes that"),
        ({"sync": BSP(rounds=2)}, "Handing says itself when each node goes on; remove `sync`"),
        ({"algorithm": "fedavg"}, "say what is computed and when it ends; remove `algorithm`"),
        ({"until": "rounds"}, "say what is computed and when it ends; remove `until`"),
        ({"local": "gradients"}, "the nodes of Handing train by themselves; use local=SGD"),
        ({"evaluate": Every(1, at="workers")}, "evaluate is at the workers, but validate is 0"),
        ({"record": True}, "`record` is for runs with a centre, and RingGraph has none"),
        ({"baselines": True}, "`baselines` is for runs with a centre, and RingGraph has none"),
        ({"parts": {"*": "local"}}, "Handing says itself what a node sends of its model"),
        ({"node": None, "algorithm": "fedavg", "local": "sgd"}, "RingGraph has no centre"),
    ],
)
def test_what_does_not_fit_a_program_of_nodes_is_refused(
    changed: dict[str, Any], sentence: str
) -> None:
    values: dict[str, Any] = {"topology": RingGraph(2), "node": Handing(), **changed}
    if values.get("local") == "sgd":
        values |= {"local": SGD(lr=0.1), "until": Rounds(1)}
    with pytest.raises(Misfit, match=sentence):
        Run(Blobs(), values.pop("topology"), **values)


def test_chaos_refuses_a_program_of_nodes_with_a_sentence() -> None:
    with pytest.raises(Misfit, match="`actorfl chaos` judges what an aggregator does"):
        shortened(ring(), Chaos())
