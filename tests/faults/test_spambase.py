"""Gossip learning on Spambase reaches what it is known to reach, simulated and on real sockets."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest

from actorfl import Every, Period, Rounds
from actorfl.data.spambase import DEBIAN
from actors import Processes
from benchmarks.reproduce.spambase import AT_SIX, PEERS, SEEDS_6, WITHIN_6, Case
from tests.faults.runs import rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not Path(os.environ.get("SPAMBASE", DEBIAN)).exists(),
        reason="needs the file of Debian's r-cran-kernlab, or $SPAMBASE",
    ),
]


@pytest.mark.parametrize(("method", "partition"), AT_SIX)
def test_the_error_after_six_hours_is_that_of_the_reference(method: str, partition: str) -> None:
    found = [Case(method, partition, seed, 6).found() for seed in range(SEEDS_6)]
    error = fmean(one.errors[6] for one in found)
    assert error == pytest.approx(AT_SIX[method, partition], abs=WITHIN_6)
    # Nobody is left behind.
    assert max(one.worst for one in found) < error + 0.05


def test_the_same_program_on_real_sockets_reaches_the_same_error(tmp_path: Path) -> None:
    simulated = Case("GL plain", "IID", 0, 6).run()
    real = replace(
        simulated, topology=replace(PEERS, period=0.05), sync=Period(0.05, save=100),
        until=Rounds(125), evaluate=Every(25),
    )  # fmt: skip
    result = real.start(on=Processes(4), out=tmp_path)
    assert result.accuracy is not None
    assert 1 - result.accuracy == pytest.approx(AT_SIX["GL plain", "IID"], abs=WITHIN_6)
    lines = rows(result.directory)
    assert [row["round"] for row in lines] == [25, 50, 75, 100, 125]
    # A machine that is busy sends less, and nothing twice.
    assert 100 * 60 < sum(row["messages"] for row in lines) <= 100 * 126
