"""Gossip learning as pure functions: merges, parts, what is refused, and what surrounds it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl import (
    ByAge,
    CompleteGraph,
    Generalised,
    Gossip,
    Overwrite,
    Partitioned,
    Randomised,
    Rounds,
    Simple,
    SingleClass,
    SubSampled,
)
from actorfl.errors import ConfigError, Misfit, WrongType, WrongValue
from actorfl.gossip.learner import BadParcel, Parcel
from actorfl.gossip.peers import GraphPeers
from actorfl.gossip.sends import Coordinates
from actorfl.periods import length_of
from actorfl.until import Hours, Seconds, Versions
from tests.actorfl.gossiping import Script, floats, layout, learner

ages = st.floats(0, 1e9)


# -- merges ----------------------------------------------------------------------------------------


def test_two_models_that_have_seen_nothing_leave_each_other_alone() -> None:
    mine = learner(Gossip(), [1, 2, 3])
    mine.merge(learner(Gossip(), [5, 6, 7]).parcel(0))
    assert mine.learned.weights.tolist() == [1, 2, 3]
    assert mine.learned.ages.tolist() == [0, 0]


def test_one_that_has_seen_nothing_takes_the_other_bit_for_bit() -> None:
    theirs = learner(Gossip(), [0.1, 1e30, -0.3], 7)
    mine = learner(Gossip(), [1, 2, 3])
    mine.merge(theirs.parcel(0))
    assert mine.learned.weights.tobytes() == theirs.learned.weights.tobytes()
    assert mine.age == 7


# Half of the smallest subnormal number is 0, so twice that is no longer the number.
@given(
    st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=2, max_size=6),
    ages,
)
def test_merging_a_model_with_itself_changes_nothing(values: list[float], age: float) -> None:
    mine = learner(Gossip(), values, age)
    before = mine.learned.weights.tobytes()
    mine.merge(mine.parcel(0))
    assert np.frombuffer(before, np.float32).tolist() == mine.learned.weights.tolist()
    assert mine.age == age


@given(ages, ages)
def test_the_age_never_falls_and_the_weight_is_a_share(mine: float, theirs: float) -> None:
    for merge in (ByAge(), ByAge(limit=100)):
        assert merge.age(mine, theirs) >= max(mine, theirs)
        assert 0 <= merge.weight(mine, theirs) <= 1
        # Both sides together give one whole, unless both have seen nothing.
        if mine + theirs and (merge.limit is None or mine != theirs):
            both = merge.weight(mine, theirs) + merge.weight(theirs, mine)
            assert both == pytest.approx(1)


@given(st.floats(1, 1e9))
def test_models_of_one_age_are_averaged(age: float) -> None:
    mine = learner(Gossip(), [1, 2, -3], age)
    mine.merge(learner(Gossip(), [3, 4, 5], age).parcel(0))
    assert mine.learned.weights.tolist() == [2, 3, 1]


def test_beyond_the_limit_the_older_model_is_kept() -> None:
    limited = ByAge(limit=10)
    assert [limited.weight(0, 11), limited.weight(11, 0), limited.weight(20, 9)] == [1, 0, 0]
    assert limited.weight(10, 20) == pytest.approx(2 / 3)
    assert ByAge(limit=0).weight(3, 3) == 0.5


def test_overwriting_takes_model_and_age_whatever_they_are() -> None:
    gossip = Gossip(merge=Overwrite())
    mine = learner(gossip, [1, 2], 100)
    mine.merge(learner(gossip, [5, 6], 3).parcel(0))
    assert (mine.learned.weights.tolist(), mine.age) == ([5, 6], 3)


# -- parts -----------------------------------------------------------------------------------------


def test_coordinate_i_is_in_part_i_mod_s_and_a_bias_in_none() -> None:
    cut = Coordinates(layout(7, 2), 3)
    assert [part.tolist() for part in cut.parts] == [[0, 3, 6], [1, 4], [2, 5]]
    assert cut.biases.tolist() == [7, 8]
    assert cut.part_of.tolist() == [0, 1, 2, 0, 1, 2, 0, 3, 3]


@given(st.integers(1, 90), st.floats(0.01, 1), st.integers(0, 2**32))
def test_a_sample_has_the_number_of_coordinates_that_its_share_says(
    count: int, share: float, seed: int
) -> None:
    found = SubSampled(share).drawn(count, np.random.default_rng(seed))
    assert len(found) in {math.floor(share * count), math.ceil(share * count)}
    assert sorted(set(found.tolist())) == found.tolist()


def test_the_mean_size_of_samples_is_exact_and_no_coordinate_is_preferred() -> None:
    draw = np.random.default_rng(1)
    samples = [SubSampled(0.1).drawn(57, draw) for _ in range(4000)]
    assert np.mean([len(one) for one in samples]) == pytest.approx(5.7, abs=0.03)
    counts = np.bincount(np.concatenate(samples), minlength=57) / 4000
    assert counts.min() > 0.08
    assert counts.max() < 0.12


def test_a_sample_merges_its_coordinates_and_the_biases_alone() -> None:
    gossip = Gossip(send=SubSampled(0.5))
    theirs = learner(gossip, [10, 20, 30, 40, 50], 3, Script([0.9], [[2, 0, 1, 3]]))
    parcel = theirs.parcel(0)
    assert parcel.size == 3 * 4 + 1 + 8
    mine = learner(gossip, [0, 0, 0, 0, 0], 1)
    mine.merge(parcel)
    assert mine.learned.weights.tolist() == [7.5, 0, 22.5, 0, 37.5]
    assert mine.age == 3


def test_a_part_merges_by_its_own_age_and_biases_by_that_of_the_model() -> None:
    gossip = Gossip(send=Partitioned(2))
    mine, theirs = learner(gossip, [0, 0, 0, 0, 0]), learner(gossip, [8, 8, 8, 8, 8])
    mine.learned.ages = np.array([1.0, 6.0, 3.0])
    theirs.learned.ages = np.array([5.0, 2.0, 5.0])
    parcel = theirs.parcel(1)
    assert (parcel.part, parcel.age, parcel.total, parcel.size) == (1, 2, 5, 3 * 4 + 16)
    mine.merge(parcel)
    assert mine.learned.weights.tolist() == [0, 2, 0, 2, 5]
    assert mine.learned.ages.tolist() == [1, 6, 5]


@given(st.integers(0, 2**32))
def test_one_part_is_the_whole_model_bit_for_bit(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(2, 5)).astype(np.float32)
    first, second = draw.integers(0, 100, 2)
    found = []
    for gossip in (Gossip(), Gossip(send=Partitioned(1))):
        mine = learner(gossip, values[0].tolist(), float(first))
        mine.merge(learner(gossip, values[1].tolist(), float(second)).parcel(0))
        found.append((mine.learned.weights.tobytes(), mine.learned.ages.tolist()))
    assert found[0] == found[1]


def test_each_part_has_its_turn_in_a_random_order() -> None:
    mine = learner(
        Gossip(send=Partitioned(3)), [1] * 7, draw=Script([0.5] * 6, [[2, 0, 1], [1, 0, 2]])
    )
    assert [mine.period() for _ in range(6)] == [2, 0, 1, 1, 0, 2]


# -- what is no model ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {"values": b"\0" * 16}, {"values": b"\0" * 24}, {"part": 1}, {"total": 3.0},
        {"places": b"\0"}, {"age": math.inf}, {"age": math.nan},
        {"values": floats(1, math.nan, 2, 3, 4).tobytes()},
    ],
    ids=["short", "long", "part", "total", "places", "infinite", "no age", "nan"],
)  # fmt: skip
def test_what_is_no_such_model_is_refused_and_changes_nothing(changed: dict[str, Any]) -> None:
    mine = learner(Gossip(), [1, 2, 3, 4, 5], 1)
    good = mine.parcel(0)
    values = {name: getattr(good, name) for name in good.__struct_fields__}
    with pytest.raises(BadParcel):
        mine.merge(Parcel(**{**values, **changed}))
    assert (mine.learned.weights.tolist(), mine.age) == ([1, 2, 3, 4, 5], 1)


def test_a_sample_of_places_that_do_not_fit_is_refused() -> None:
    mine = learner(Gossip(send=SubSampled(0.5)), [1, 2, 3, 4, 5])
    for places in (b"", b"\0\0", b"\xf0"):
        with pytest.raises(BadParcel):
            mine.merge(Parcel(floats(1, 2).tobytes(), 1.0, 0, None, places))


# -- what surrounds it -----------------------------------------------------------------------------


def test_a_worker_of_the_partition_by_single_classes_has_one_class() -> None:
    labels = np.array([0] * 10 + [1] * 7 + [2] * 3)
    parts = SingleClass().split(20, 7, 0, labels)
    assert [sorted(set(labels[part].tolist())) for part in parts] == [
        [0], [1], [2], [0], [1], [2], [0]
    ]  # fmt: skip
    assert sorted(np.concatenate(parts).tolist()) == list(range(20))
    assert [len(part) for part in parts] == [4, 4, 2, 3, 3, 1, 3]
    for workers, sentence in ((2, "at least 3 workers"), (12, "class 2 has 3 examples for its 4")):
        with pytest.raises(Misfit, match=sentence):
            SingleClass().split(20, workers, 0, labels)


def test_a_peer_that_is_there_is_picked_and_nobody_where_none_is() -> None:
    there = {"w1", "w3"}
    peers = GraphPeers(CompleteGraph(5), "w0", there.__contains__)
    draw = np.random.default_rng(0)
    picked = [peers.pick(draw, 0) for _ in range(400)]
    assert set(picked) == there
    assert 150 < picked.count("w1") < 250
    there.clear()
    assert peers.pick(draw, 0) is None


def test_a_run_lasts_as_long_as_its_end_says() -> None:
    assert length_of(Rounds(5), 0.5) == 2.5
    assert length_of(Hours(1) | Rounds(10), 172) == 1720
    assert length_of(Seconds(3), 172) == 3
    with pytest.raises(Misfit, match="Versions is no end"):
        length_of(Versions(3), 1)


@pytest.mark.parametrize(
    ("make", "kind", "sentence"),
    [
        (lambda: ByAge(limit=-1), WrongValue, "limit"),
        (lambda: SubSampled(0.0), WrongValue, "share"),
        (lambda: Partitioned(0), WrongValue, "parts"),
        (lambda: Simple(True), WrongType, "capacity"),
        (lambda: Randomised(5, 6), WrongValue, "at most `capacity`"),
        (lambda: Generalised(0, 1), WrongValue, "capacity"),
        (lambda: Gossip(exchange="shove"), WrongValue, "exchange"),  # type: ignore[arg-type]
        (lambda: Gossip(useful="never"), WrongValue, "useful"),  # type: ignore[arg-type]
        (lambda: Gossip(merge=5), WrongType, "expected ByAge.+ or Overwrite.+, got int 5"),  # type: ignore[arg-type]
        (lambda: Gossip(send="whole"), WrongType, "SubSampled.+ or Partitioned.+, got str"),  # type: ignore[arg-type]
        (lambda: Gossip(tokens=Simple), WrongType, "`tokens` of Gossip"),  # type: ignore[arg-type]
        (lambda: Gossip(exchange="pull", tokens=Simple()), Misfit, "pays for messages"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make: Any, kind: type[ConfigError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        make()
