"""Every result tells how many messages went to and fro, their bytes, and how long it took."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from actorfl import (
    ASP,
    BSP,
    Gradients,
    ParameterServer,
    Result,
    RingGraph,
    Rounds,
    Run,
    Star,
    Tree,
)
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.traffic import Traffic
from actors import Deployment, Inline, Simulated
from tests.faults.runs import ROUNDS, rows, small
from tests.faults.test_pair_rounds import graph

pytestmark = pytest.mark.timeout(300)

MODEL = 4 * (4 * 6 + 6 + 6 * 2 + 2)
"""Bytes of the parameters of ``Blobs``."""


def played(run: Run, out: Path, on: Deployment | None = None) -> Result:
    return run.start(on or Simulated(2), out=out)


@pytest.mark.parametrize(
    ("run", "each"),
    [
        (small(), 4 + 4),
        (small(sync=ASP()), 4 + 4),
        # Two edges, each with the model of the root and its sum, and four workers below them.
        (small(topology=Tree(root=1, edge=2, worker=4)), 2 * (2 + 4)),
        (
            small(
                topology=Tree(root=1, edge=2, worker=4),
                sync={"edge": BSP(rounds=3), "root": BSP()},
            ),
            2 * (2 + 3 * 4),
        ),
    ],
    ids=["star", "asp", "tree", "inner rounds"],
)
def test_a_round_counts_each_model_that_goes_down_and_each_part_that_comes_up(
    run: Run, each: int, tmp_path: Path
) -> None:
    result = played(run, tmp_path)
    told = rows(result.directory)
    # The first line without a barrier has what is under way when it is written, too.
    assert sum(row["messages"] for row in told) == result.messages
    if isinstance(run.sync, ASP):
        assert each * ROUNDS - 4 <= result.messages <= each * ROUNDS + 4
    else:
        assert [row["messages"] for row in told] == [each] * ROUNDS
    assert sum(row["bytes"] for row in told) == result.bytes
    assert result.bytes >= result.messages * MODEL


def test_of_a_model_in_pieces_each_slice_is_a_message(tmp_path: Path) -> None:
    run = small(algorithm=ParameterServer(lr=0.1), local=Gradients(batch=8))
    one, two = (
        played(replace(run, topology=Star(4, shards=shards)), tmp_path) for shards in (None, 2)
    )
    assert two.sha256 == one.sha256
    assert two.messages == 2 * one.messages


@pytest.mark.parametrize("on", [Simulated(2), Inline()], ids=["simulated", "inline"])
def test_between_neighbours_each_letter_counts_once(on: Deployment, tmp_path: Path) -> None:
    result = played(graph(DPSGD(), RingGraph(4), until=Rounds(3)), tmp_path, on)
    told = rows(result.directory)
    assert [row["messages"] for row in told] == [4 * 2] * 3
    assert len({row["bytes"] for row in told}) == 1
    assert result.messages == 24
    assert result.bytes == 3 * told[0]["bytes"] >= 24 * MODEL


@pytest.mark.parametrize("on", [Simulated(2), Inline()], ids=["simulated", "inline"])
def test_the_file_of_a_result_tells_all_of_it(on: Deployment, tmp_path: Path) -> None:
    result = played(small(), tmp_path, on)
    written = json.loads((result.directory / "result.json").read_text())
    for key in ("messages", "bytes", "seconds", "virtual_seconds"):
        assert written[key] == getattr(result, key)
    assert result.seconds > 0
    assert (result.virtual_seconds is None) == isinstance(on, Inline)


def test_what_was_counted_is_added_and_told_in_parts() -> None:
    traffic = Traffic()
    traffic.count(100)
    told = Traffic(traffic.messages, traffic.nbytes)
    traffic.count(7)
    assert traffic == Traffic(2, 107)
    assert traffic.without(told) == Traffic(1, 7)
    told.add(traffic)
    assert told == Traffic(3, 207)
