"""Jobs whose times are drawn: their distribution, and that a seed decides them."""

from __future__ import annotations

import math
import statistics

import pytest

from actors import Exponential, Simulated, UsageError
from actors.sim.simulation import _seconds
from transports import SeededRng


def times(seed: int, jobs: int, mean: float = 2.0) -> list[float]:
    draw = Exponential(mean).drawn(SeededRng(seed))
    return [draw(None if job % 2 else 7.0) for job in range(jobs)]


def test_the_times_have_the_mean_and_the_quantiles_of_the_distribution() -> None:
    drawn = sorted(times(1, 20_000))
    assert statistics.fmean(drawn) == pytest.approx(2.0, rel=0.02)
    assert statistics.stdev(drawn) == pytest.approx(2.0, rel=0.03)
    for quantile in (0.1, 0.5, 0.9):
        expected = -2.0 * math.log(1 - quantile)
        assert drawn[int(quantile * len(drawn))] == pytest.approx(expected, rel=0.05)
    assert drawn[0] >= 0


def test_equal_seeds_give_equal_times_and_each_node_has_its_own() -> None:
    assert times(3, 5) == times(3, 5)
    assert times(3, 5) != times(4, 5)
    root = SeededRng(0)
    p0, p1 = (_seconds(Exponential(), name, root.derive("node", name, 0)) for name in ("p0", "p1"))
    assert callable(p0)
    assert callable(p1)
    assert p0(None) != p1(None)


@pytest.mark.parametrize("mean", [0, -1.0, math.inf, math.nan, True, "1"])
def test_what_is_no_mean_is_refused(mean: float) -> None:
    with pytest.raises(UsageError, match=r"Exponential\(.*\) is no mean; give seconds, above 0"):
        Exponential(mean)


def test_a_simulation_takes_it_for_its_jobs() -> None:
    assert Simulated(2, compute=Exponential(0.5)).compute == Exponential(0.5)
