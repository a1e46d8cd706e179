"""Who computes a clock: what is drawn, from what alone, and what is refused."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl import (
    ASP,
    SSP,
    Buffered,
    FedBuff,
    Krum,
    Quorum,
    Run,
    Sample,
    Selection,
    Star,
    Tree,
)
from actorfl.errors import ConfigError, Misfit, UnknownKey, WrongType, WrongValue
from actorfl.sampling import drawn, selected
from tests.actorfl.configs import made_in, run_of

ROSTER = tuple(f"w{index}" for index in range(20))
EXAMPLES = {name: 10 + index for index, name in enumerate(ROSTER)}


PINNED = [
    ["w0", "w10", "w7"],
    ["w11", "w12", "w6"],
    ["w15", "w17", "w2"],
    ["w16", "w19", "w7"],
]
PINNED_BY_EXAMPLES = ["w0", "w15", "w18"]


def test_the_workers_of_a_clock_follow_from_seed_clock_and_roster_alone() -> None:
    """These are the workers on every machine and version: a run that is resumed draws them."""
    three = Sample(count=3)
    found = [selected(three, ROSTER, EXAMPLES, 7, clock) for clock in range(4)]
    assert found == [selected(three, ROSTER, dict(EXAMPLES), 7, clock) for clock in range(4)]
    assert [sorted(names) for names in found] == PINNED
    weighted = selected(Sample(count=3, by="examples"), ROSTER, EXAMPLES, 7, 0)
    assert sorted(weighted) == PINNED_BY_EXAMPLES
    assert selected(three, ROSTER, EXAMPLES, 8, 0) != found[0]


@given(
    weights=st.lists(st.integers(0, 5), min_size=1, max_size=12),
    size=st.integers(0, 12),
    seed=st.integers(0, 2**63 - 1),
)
@settings(max_examples=40)
def test_each_is_drawn_at_most_once_and_who_weighs_nothing_last(
    weights: list[int], size: int, seed: int
) -> None:
    size = min(size, len(weights))
    order = drawn(weights, size, seed)
    assert len(order) == len(set(order)) == size
    positive = [weights[index] > 0 for index in order]
    assert positive == sorted(positive, reverse=True)
    # A longer draw begins as a shorter one does.
    assert drawn(weights, len(weights), seed)[:size] == order


def inclusion(weights: Sequence[int], size: int) -> list[float]:
    """With which probability each is among the first that are drawn, by counting all orders."""
    found = [Fraction(0)] * len(weights)
    for order in itertools.permutations(range(len(weights)), size):
        probability, left = Fraction(1), sum(weights)
        for index in order:
            probability *= Fraction(weights[index], left)
            left -= weights[index]
        for index in order:
            found[index] += probability
    return [float(one) for one in found]


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (1, 2, 3, 10), (50, 1, 1, 3)])
def test_draws_have_the_probabilities_of_drawing_one_after_the_other(
    weights: tuple[int, ...],
) -> None:
    times, size = 4000, 2
    counts = Counter(index for seed in range(times) for index in drawn(weights, size, seed))
    for index, expected in enumerate(inclusion(weights, size)):
        deviation = (expected * (1 - expected) / times) ** 0.5
        assert abs(counts[index] / times - expected) <= 4.5 * deviation


@pytest.mark.parametrize(
    ("sample", "workers", "size"),
    [
        (Sample(0.1), 100, 10),
        (Sample(0.1), 3, 1),
        (Sample(0.25), 10, 3),
        (Sample(1.0), 7, 7),
        (Sample(1e-9), 5, 1),
        (Sample(count=4), 9, 4),
    ],
)
def test_a_fraction_is_rounded_up_to_whole_workers_and_never_nobody(
    sample: Sample, workers: int, size: int
) -> None:
    assert sample.size(workers) == size
    roster = [f"w{index}" for index in range(workers)]
    assert len(selected(sample, roster, dict.fromkeys(roster, 0), 3, 5)) == size


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "must be given as fraction or as count, got 'fraction=None and count=None'"),
        ({"fraction": 0.1, "count": 2}, "must be given as fraction or as count"),
        ({"fraction": 0}, "`fraction` of Sample must be above 0 and at most 1, got 0"),
        ({"fraction": 1.1}, "`fraction` of Sample must be above 0 and at most 1"),
        ({"count": 0}, "`count` of Sample must be from 1 to 65536, got 0"),
        ({"count": 2, "by": "size"}, """`by` of Sample must be "uniform" or "examples\""""),
    ],
)
def test_a_sample_out_of_range_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(WrongValue, match=sentence):
        Sample(**values)
    with pytest.raises(WrongType):
        Sample(count=True)


@dataclass(frozen=True)
class Drawing(Selection):
    """Draws what it is told to."""

    names: tuple[str, ...] = ()

    def size(self, workers: int) -> int:
        return 2

    def draw(
        self, roster: Sequence[str], examples: Mapping[str, int], seed: int
    ) -> Collection[str]:
        return self.names


def test_what_a_selection_of_ones_own_draws_is_checked() -> None:
    assert selected(Drawing(("w1", "w0")), ROSTER, EXAMPLES, 0, 0) == {"w0", "w1"}
    with pytest.raises(Misfit, match="Drawing drew spam, who is not in the roster"):
        selected(Drawing(("w1", "spam")), ROSTER, EXAMPLES, 0, 0)
    for names in ((), ROSTER[:3]):
        with pytest.raises(Misfit, match=rf"drew {len(names)} workers for clock 4; draw 2"):
            selected(Drawing(names), ROSTER, EXAMPLES, 0, 4)


# -- in a configuration ----------------------------------------------------------------------------


def test_a_selection_is_written_and_read_and_counts_in_the_hash(tmp_path: Path) -> None:
    folder = made_in(tmp_path)
    plain = Run.from_toml(folder / "run.toml")
    assert plain.select is None
    assert "select" not in plain.table()
    assert "select" not in plain.canonical()
    run = Run.from_toml(folder / "run.toml", ["select.kind=sample", "select.fraction=0.5"])
    assert run.select == Sample(0.5)
    assert '\nselect = { kind = "sample", fraction = 0.5' in run.to_toml()
    (folder / "again.toml").write_text(run.to_toml())
    assert Run.from_toml(folder / "again.toml") == run
    hashes = {
        plain.hash,
        run.hash,
        Run.from_toml(folder / "run.toml", ["select={kind='sample', count=2}"]).hash,
        Run.from_toml(folder / "run.toml", ["select={kind='sample', fraction=0.5, by='examples'}"]
        ).hash,
    }  # fmt: skip
    assert len(hashes) == 4


def test_what_cannot_be_selected_is_refused_with_its_place(tmp_path: Path) -> None:
    folder = made_in(tmp_path)
    for setting, kind, sentence in (
        ("select='spam'", UnknownKey, "unknown kind of select `spam`"),
        ("select='sample'", WrongValue, "the size of Sample must be given as fraction or as count"),
        ("select={kind='sample', part=1}", UnknownKey, "unknown key `part` in `select`"),
    ):
        with pytest.raises(kind, match=sentence):
            Run.from_toml(folder / "run.toml", [setting])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sync": ASP()}, "`select` draws who computes a round, and under ASP there are none"),
        ({"sync": SSP(2)}, "under SSP there are none; remove it, or use BSP or Quorum"),
        ({"sync": Buffered(2), "algorithm": FedBuff()}, "under Buffered there are none"),
        (
            {"topology": Tree(root=1, edge=2, worker=8)},
            r"between them and the root \(`edge`\) each wait for their own; remove it, or use Star",
        ),
        ({"topology": Star(3)}, "`count` of Sample must be at most 3, the workers, got 4"),
        ({"algorithm": Krum(f=1)}, "Krum with f=1 needs at least 5 workers, and there are 4"),
    ],
)
def test_what_does_not_go_with_a_selection_is_refused(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError, match=sentence):
        run_of(select=Sample(count=4), **changes)


def test_what_has_rounds_goes_with_a_selection() -> None:
    for changes in (
        {"sync": Quorum(0.5, deadline=1.0)},
        {"sync": SSP(0)},
        {"topology": Tree(root=1, worker=8)},
    ):
        assert run_of(select=Sample(0.5), **changes).select == Sample(0.5)
