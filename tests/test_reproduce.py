"""The command that puts our numbers beside those to reproduce, and what it must find."""

from __future__ import annotations

import asyncio
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actorfl import SGD, Every, Minutes, Newscast, Rounds, Run
from actorfl.data.fashion import DEBIAN, FashionMNIST
from actors import Simulated
from benchmarks.reproduce import dpsgd, gates, spambase
from benchmarks.reproduce.__main__ import EXPERIMENTS
from benchmarks.reproduce.gates import Row
from tests.actors.launched import until_gone
from tests.faults.runs import rows as lines_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reproducing.md"
PLACE = Path(os.environ.get("FASHION_MNIST", DEBIAN))
NEEDS_FASHION = pytest.mark.skipif(
    not (PLACE / "train-images-idx3-ubyte.gz").exists(),
    reason=f"needs the files of Debian's dataset-fashion-mnist in {DEBIAN}, or in $FASHION_MNIST",
)


def reproduce(
    *arguments: str, limit: float = 50, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.reproduce", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


BUSY = """
import os, sys, time
from benchmarks.reproduce.running import spread_over

def busy(case):
    with open(os.path.join(sys.argv[1], str(os.getpid())), "w"):
        time.sleep(60)

if __name__ == "__main__":
    spread_over(busy, range(4), 2)
"""


async def test_what_is_computed_beside_one_another_ends_with_whoever_wants_it(
    tmp_path: Path,
) -> None:
    program, started = tmp_path / "busy.py", tmp_path / "started"
    program.write_text(BUSY)
    started.mkdir()
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(program), str(started), env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        async with asyncio.timeout(30):
            while len(pids := [int(each.name) for each in started.iterdir()]) < 2:
                await asyncio.sleep(0.01)
    finally:
        child.kill()  # it cannot tell them
        await child.wait()
    assert await until_gone(pids, 10.0) == []


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (Row("x", 0.92, 0.9, within=0.02 + 1e-9), True),
        (Row("x", 0.93, 0.9, within=0.02), False),
        (Row("x", 0.87, 0.9, within=0.02), False),
        (Row("x", math.nan, 0.9, within=0.02), False),
        (Row("x", 0.01, 0.01, at_least=True), True),
        (Row("x", 0.5, 0.01, at_least=True), True),
        (Row("x", 0.009, 0.01, at_least=True), False),
        (Row("x", math.nan, 0.01, at_least=True), False),
        (Row("x", 0.1, 0.9), True),
    ],
)
def test_a_gate_holds_where_ours_is_where_it_must_be(row: Row, holds: bool) -> None:
    assert row.holds == holds


def test_the_report_says_which_gates_are_missed(capsys: pytest.CaptureFixture[str]) -> None:
    gates.report(
        [
            Row("near", 0.91, 0.9, within=0.02, sd=0.004),
            Row("far", 0.5, 0.9, within=0.02),
            Row("more", 0.3, 0.2, at_least=True),
            Row("early", 0.5, 0.9),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["near", "0.910", "±", "0.004", "0.900", "±", "0.02", "holds"]
    assert lines[2].split() == ["far", "0.500", "0.900", "±", "0.02", "MISSED"]
    assert lines[3].split() == ["more", "0.300", "0.200", ">=", "0.200", "holds"]
    assert lines[4].split() == ["early", "0.500", "0.900", "shown"]
    assert lines[5:] == ["2 of 3 gates hold"]


def test_the_rows_can_be_read_by_scripts(tmp_path: Path) -> None:
    rows = [Row("x", math.nan, 0.9, within=0.1), Row("y", 0.5, 0.9), Row("z", 0.5)]
    gates.write(rows, tmp_path / "rows.json")
    first, second, third = json.loads((tmp_path / "rows.json").read_text())
    assert (first["ours"], first["gated"], first["holds"]) == (None, True, False)
    assert (second["ours"], second["gated"], second["holds"]) == (0.5, False, True)
    assert (third["ours"], third["reference"], third["gated"]) == (0.5, None, False)
    assert rows[2].line(3).split() == ["z", "0.500", "-", "shown"]


def test_a_command_line_that_is_not_understood_ends_with_2(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no" / "rows.json")
    done = reproduce("drift", "--json", nowhere)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no directory" in done.stderr


def test_where_the_data_are_missing_it_says_what_to_install(tmp_path: Path) -> None:
    done = reproduce("fashion", FASHION_MNIST=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "install Debian's package dataset-fashion-mnist" in done.stderr


def test_the_page_names_every_experiment() -> None:
    text = PAGE.read_text()
    assert [name for name in EXPERIMENTS if f"benchmarks.reproduce {name}" not in text] == []


def test_the_table_of_topologies_has_its_digits() -> None:
    done = reproduce("topology-table")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "64 of 64 gates hold"


def found_by_dpsgd(
    monkeypatch: pytest.MonkeyPatch, measured: Callable[[dpsgd.Case], tuple[float, ...]]
) -> dict[str, Row]:
    """The rows by their names, of runs of which each gives what is said instead."""

    def spread(_: object, cases: Sequence[dpsgd.Case], jobs: int) -> list[tuple[float, ...]]:
        return [measured(case) for case in cases]

    monkeypatch.setattr(dpsgd, "spread_over", spread)
    monkeypatch.setattr(FashionMNIST, "test", lambda _: None)
    return {row.name: row for row in dpsgd.rows(1, rounds=3)}


def as_known(case: dpsgd.Case) -> tuple[float, ...]:
    if not case.iid:
        return dpsgd.SHARDS[case.graph]
    (averaged, _), (node, _) = dpsgd.IID[case.graph]
    return averaged, node, 0.7, 0.1


def test_every_graph_and_none_has_rows_with_shards_and_iid(monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_by_dpsgd(monkeypatch, as_known)
    assert all(row.holds for row in found.values())
    assert found["none shard2, distance"].reference == 3.06
    assert found["none IID, averaged"].reference == 0.827
    assert found["none IID, mean node"].reference == 0.801
    for name in dpsgd.GRAPHS:
        assert f"{name} shard2, worst node" in found
        assert found[f"{name} IID, averaged"].gated
        # There all nodes are equal when they have mixed.
        assert found[f"{name} IID, mean node"].gated == (name != "complete")


def test_gates_of_iid_data_are_missed_by_a_graph_that_spoils_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measured(case: dpsgd.Case) -> tuple[float, ...]:
        averaged, *others = as_known(case)
        spoilt = case == dpsgd.Case("torus", True, 3)
        return (averaged - 0.02 if spoilt else averaged, *others)

    found = found_by_dpsgd(monkeypatch, measured)
    assert [row.name for row in found.values() if not row.holds] == ["torus IID, averaged"]


def test_nodes_without_links_train_and_send_nothing(tmp_path: Path) -> None:
    topology, algorithm = dpsgd.GRAPHS["none"]
    result = Run(
        "digits", topology, algorithm, local=SGD(lr=0.1, batch=10, steps=1), until=Rounds(2),
        evaluate=Every(1),
    ).start(Simulated(1, compute=0.0), out=tmp_path)  # fmt: skip
    models = {file.read_bytes() for file in (result.directory / "models").iterdir()}
    assert len(models) == dpsgd.NODES
    assert [line["messages"] for line in lines_of(result.directory)] == [0, 0]


@pytest.fixture
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four drawn examples for each node instead of Spambase."""
    draw = np.random.default_rng(0)
    points = draw.normal(size=(4 * spambase.NODES, 57)).astype(np.float32)
    data = points, (points[:, 0] > 0).astype(np.int64)
    monkeypatch.setattr(spambase.Spam, "pool", lambda _: data)
    monkeypatch.setattr(spambase.Spam, "test", lambda _: data)
    monkeypatch.setattr(spambase, "_data", lambda: data)


@pytest.mark.usefixtures("few_examples")
@pytest.mark.parametrize("partition", spambase.PARTITIONS)
@pytest.mark.parametrize(("method", "rounds"), [("FL plain", 10), ("FL x0.1", 104)])
def test_clients_send_what_the_equations_say(method: str, rounds: int, partition: str) -> None:
    found = spambase.Case(method, partition, 0, hours=1).found()
    assert found.messages == rounds == int(spambase.messages_of(method, 1))
    each = found.content / found.messages
    assert each == pytest.approx(spambase.bytes_of(method), abs=0.1)


def traffic(spoil: Callable[[spambase.Case, spambase.Found], spambase.Found]) -> list[Row]:
    found = {}
    for method in spambase.ERRORS:
        sent = spambase.messages_of(method, spambase.HOURS[-1])
        known = spambase.Found({}, 0.0, sent, sent * spambase.bytes_of(method))
        for partition in spambase.PARTITIONS:
            case = spambase.Case(method, partition, 0)
            found[case] = spoil(case, known)
    return list(spambase._traffic(found))


def test_messages_and_bytes_are_held_against_the_equations_with_both_partitions() -> None:
    rows = traffic(lambda case, found: found)
    assert len(rows) == 3 * len(spambase.ERRORS) * len(spambase.PARTITIONS)
    assert all(row.holds for row in rows)


@pytest.mark.parametrize("partition", spambase.PARTITIONS)
@pytest.mark.parametrize("method", spambase.ERRORS)
@pytest.mark.parametrize(
    ("what", "spoilt"),
    [
        ("messages of a node", {"messages": 0.9, "content": 0.9}),
        ("bytes of a message", {"content": 0.9}),
    ],
)
def test_who_sends_something_else_misses_a_gate(
    what: str, spoilt: dict[str, float], method: str, partition: str
) -> None:
    def spoil(case: spambase.Case, found: spambase.Found) -> spambase.Found:
        if (case.method, case.partition) != (method, partition):
            return found
        changes: dict[str, Any] = {key: getattr(found, key) * by for key, by in spoilt.items()}
        return replace(found, **changes)

    missed = [row.name for row in traffic(spoil) if not row.holds]
    assert missed == [f"{method} {partition}: {what}"]


@pytest.mark.usefixtures("few_examples")
def test_gossip_meets_its_peers_by_newscast(tmp_path: Path) -> None:
    run = spambase.Case("GL plain", "single class", 0).run()
    assert isinstance(run.topology, Newscast)
    assert (run.topology.count, run.topology.view) == (spambase.NODES, 20)
    brief = replace(run, until=Minutes(9), evaluate=Every(1))
    result = brief.start(Simulated(1, compute=0.0), out=tmp_path)
    lines = lines_of(result.directory)
    messages = sum(line["messages"] for line in lines)
    # What samplers send is not among them.
    assert 0 < messages <= spambase.NODES * len(lines)
    assert sum(line["bytes"] for line in lines) == messages * spambase.bytes_of("GL plain")


@pytest.mark.slow
@pytest.mark.timeout(10_800)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=NEEDS_FASHION) if name == "fashion" else name
        for name in EXPERIMENTS
    ],
)
def test_ours_are_the_numbers_to_reproduce(name: str, tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    done = reproduce(name, "--json", str(rows), limit=10_700)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(row["holds"] for row in json.loads(rows.read_text()))
