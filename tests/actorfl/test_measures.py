"""Metrics of all workers: their weighted mean, and the worst tenth."""

from __future__ import annotations

import itertools
import math

import pytest

from actorfl.mean import Mean
from actorfl.measures import added, worst_deciles


def of(*values: float, name: str = "accuracy") -> dict[str, dict[str, Mean]]:
    return {f"w{n}": {name: Mean.of(value, weight=n + 1)} for n, value in enumerate(values)}


def test_the_mean_is_weighted_by_examples_and_the_decile_counts_workers() -> None:
    metrics = of(*(n / 20 for n in range(20)))
    assert added(metrics)["accuracy"].value == pytest.approx(
        sum(n * (n + 1) for n in range(20)) / 4200
    )
    assert worst_deciles(metrics) == {"accuracy_worst_decile": pytest.approx(0.025)}


def test_a_tenth_is_rounded_up_to_whole_workers() -> None:
    assert worst_deciles(of(0.5, 0.25, 0.75)) == {"accuracy_worst_decile": 0.25}
    assert worst_deciles(of(*range(11))) == {"accuracy_worst_decile": 0.5}


@pytest.mark.parametrize("name", ["loss", "nrmse"])
def test_the_worst_loss_is_the_highest(name: str) -> None:
    assert worst_deciles(of(0.5, 2.0, name=name)) == {f"{name}_worst_decile": 2.0}


def test_the_order_of_the_workers_changes_no_bit() -> None:
    metrics = of(*(0.1 * n for n in range(12)))
    some = list(itertools.islice(itertools.permutations(metrics), 0, 5000, 499))
    found = {
        worst_deciles({w: metrics[w] for w in order})["accuracy_worst_decile"] for order in some
    }
    assert len(found) == 1


def test_who_measured_nothing_does_not_count_and_what_is_no_number_is_told() -> None:
    assert worst_deciles({"w0": {}, "w1": {"accuracy": Mean()}}) == {}
    assert math.isnan(worst_deciles(of(0.5, math.nan))["accuracy_worst_decile"])
