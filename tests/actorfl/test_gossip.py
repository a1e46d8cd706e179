"""Gossip learning as pure functions: merges, parts, accounts, the update, and three nodes by hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from actorfl import (
    SGD,
    ByAge,
    CompleteGraph,
    Generalised,
    Gossip,
    LogisticTask,
    Overwrite,
    Partitioned,
    Proactive,
    Randomised,
    Rounds,
    Simple,
    SingleClass,
    SubSampled,
)
from actorfl.engine import engine_of
from actorfl.errors import ConfigError, Misfit, WrongType, WrongValue
from actorfl.gossip.learner import BadParcel, Learned, Learner, Parcel
from actorfl.gossip.merges import Merge
from actorfl.gossip.peers import GraphPeers
from actorfl.gossip.sends import Coordinates
from actorfl.gossip.tokens import Account, granted, reaction
from actorfl.layout import Layout
from actorfl.logistic import Logistic
from actorfl.periods import length_of
from actorfl.task import Dataset
from actorfl.until import Hours, Seconds, Versions

ages = st.floats(0, 1e9)
ACCOUNTS: tuple[Account, ...] = (
    Proactive(), Simple(0), Simple(3), Generalised(5, 2), Generalised(20, 10), Randomised(5, 1),
    Randomised(20, 10),
)  # fmt: skip


def layout(weights: int = 4, biases: int = 1) -> Layout:
    return Layout.build(
        [
            ("weight", (weights,), "float32", "parameter"),
            ("bias", (biases,), "float32", "parameter"),
        ]
    )


def floats(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(values, np.float32)


class Script:
    """Draws that are written down: numbers in [0, 1) and permutations, one after the other."""

    def __init__(self, numbers: Iterable[float] = (), orders: Iterable[Sequence[int]] = ()) -> None:
        self._numbers, self._orders = iter(numbers), iter(orders)

    def random(self) -> float:
        return next(self._numbers)

    def permutation(self, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        order = next(self._orders)
        assert len(order) == count
        return np.array(order)


def learner(gossip: Gossip, values: Sequence[float], age: float = 0, draw: Any = None) -> Learner:
    shape = layout(len(values) - 1)
    parts = gossip.send.parts
    learned = replace(Learned.begun(floats(*values), parts), ages=np.full(parts + 1, float(age)))
    draw = np.random.default_rng(0) if draw is None else draw
    return Learner(gossip, Coordinates(shape, parts), learned, draw)


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


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=6), ages)
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


# -- token accounts --------------------------------------------------------------------------------


@given(
    st.sampled_from(ACCOUNTS),
    st.lists(st.tuples(st.booleans(), st.booleans(), st.floats(0, 1, exclude_max=True))),
)
def test_a_balance_stays_between_nothing_and_the_capacity(
    account: Account, events: list[tuple[bool, bool, float]]
) -> None:
    balance = periods = sent = 0
    for is_period, useful, drawn in events:
        before = balance
        if is_period:
            balance, sends = granted(account, balance, drawn)
            periods += 1
            sent += sends
        else:
            balance, messages = reaction(account, balance, useful, drawn)
            assert 0 <= messages <= before
            sent += messages
        assert 0 <= balance <= account.capacity
        # So in any time, counted from whatever balance: a token a period, and what was saved.
        assert sent + balance == periods
    for start in range(len(events)):
        count = within = 0
        balance = account.capacity
        for is_period, useful, drawn in events[start:]:
            if is_period:
                balance, sends = granted(account, balance, drawn)
                count, within = count + sends, within + 1
            else:
                balance, messages = reaction(account, balance, useful, drawn)
                count += messages
            assert count <= within + account.capacity


def test_the_strategies_are_those_of_the_table() -> None:
    assert [Simple(2).proactive(a) for a in range(4)] == [0, 0, 0, 1]
    assert [Simple(2).reactive(a, False) for a in range(3)] == [0, 1, 1]
    generalised = Generalised(20, 10)
    assert [generalised.reactive(a, True) for a in (0, 1, 10, 11, 20)] == [0, 1, 1, 2, 2]
    assert [generalised.reactive(a, False) for a in (0, 1, 10, 11, 20)] == [0, 0, 0, 1, 1]
    randomised = Randomised(20, 10)
    assert [randomised.proactive(a) for a in (0, 10, 21)] == [0, 0, 1]
    assert randomised.proactive(16) == pytest.approx(6 / 11)
    assert randomised.reactive(15, True) == 1.5
    assert Proactive().proactive(1) == 1
    assert granted(Proactive(), 0, 0.999) == (0, True)


@given(st.integers(0, 20), st.floats(0, 1, exclude_max=True))
def test_what_is_of_no_use_is_not_answered_by_the_randomised_account(a: int, drawn: float) -> None:
    assert reaction(Randomised(20, 10), a, False, drawn) == (a, 0)


def test_rounding_is_by_chance_and_exact_in_the_mean() -> None:
    draws = (np.arange(1000) + 0.5) / 1000
    sent = [reaction(Randomised(20, 10), 13, True, drawn)[1] for drawn in draws]
    assert np.mean(sent) == pytest.approx(1.3)


def test_what_could_not_be_sent_costs_no_token() -> None:
    mine = learner(Gossip(tokens=Simple(1)), [1, 2], draw=Script([0.5] * 3))
    assert [mine.period(), mine.period()] == [None, 0]
    mine.unsent(0)
    assert mine.learned.tokens == [1]


# -- three nodes, by hand --------------------------------------------------------------------------


class Three:
    """Nodes 0, 1 and 2, whose training adds 1 to each coordinate and 1 to each age."""

    def __init__(self, gossip: Gossip, draws: Sequence[Script]) -> None:
        self.nodes = [
            learner(gossip, [4.0 * place] * 3, 0, draw) for place, draw in enumerate(draws)
        ]

    def train(self, place: int) -> None:
        learned = self.nodes[place].learned
        learned.weights = learned.weights + np.float32(1)
        learned.ages = learned.ages + 1

    def deliver(self, parcel: Parcel, to: int) -> int:
        """How many messages answer it."""
        useful = self.nodes[to].merge(parcel)
        self.train(to)
        return self.nodes[to].reaction(parcel.part, useful)

    def say(self) -> Iterator[tuple[list[float], list[float], list[int]]]:
        for node in self.nodes:
            learned = node.learned
            yield learned.weights.tolist(), learned.ages.tolist(), learned.tokens


def always(numbers: int = 9) -> list[Script]:
    return [Script([0.5] * numbers) for _ in range(3)]


def scripted(gossip: Gossip) -> Three:
    """0 sends to 1, 1 to 2, 2 to 0, 0 to 1."""
    three = Three(gossip, always())
    for sender, receiver in ((0, 1), (1, 2), (2, 0), (0, 1)):
        assert three.nodes[sender].period() == 0
        assert three.deliver(three.nodes[sender].parcel(0), receiver) == 0
    return three


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        # 1: (4, age 0) with (0, 0) stays 4, trains to 5, age 1. 2: (8, 0) takes (5, 1): 6, age 2.
        # 0: (0, 0) takes (6, 2): 7, age 3. 1: (5, 1) with (7, 3): 5/4 + 21/4 = 6.5, to 7.5, age 4.
        (ByAge(), [(7, 3), (7.5, 4), (6, 2)]),
        # As before; at the end the ages 1 and 3 are more than 1 apart: 7 is kept, to 8, age 4.
        (ByAge(limit=1), [(7, 3), (8, 4), (6, 2)]),
        # 1 takes 0's: 0, to 1. 2 takes it: 2, age 2. 0 takes it: 3, age 3. 1 takes it: 4, age 4.
        (Overwrite(), [(3, 3), (4, 4), (2, 2)]),
    ],
    ids=["by age", "limited", "overwriting"],
)
def test_three_nodes_that_push_whole_models(
    merge: Merge, expected: list[tuple[float, float]]
) -> None:
    found = [(weights, age) for weights, age, _ in scripted(Gossip(merge=merge)).say()]
    assert found == [([weight] * 3, [age] * 2) for weight, age in expected]


def test_three_nodes_that_push_samples() -> None:
    # Half of two coordinates: one, and the bias. Draws: rounding, then the order of coordinates.
    draws = [Script([0.5] * 3, [[1, 0]]), Script([0.5] * 2, [[0, 1]]), Script([0.5])]
    three = Three(Gossip(send=SubSampled(0.5)), draws)
    for sender, receiver in ((0, 1), (1, 2)):
        three.nodes[sender].period()
        three.deliver(three.nodes[sender].parcel(0), receiver)
    # 1 has age 0 and receives age 0: it stays [4, 4, 4], trains to 5, age 1; 2 takes 5 in the
    # coordinate 0 and in the bias: [5, 8, 5], trains to [6, 9, 6], age 2.
    assert list(three.say()) == [
        ([0, 0, 0], [0, 0], [0]), ([5, 5, 5], [1, 1], [0]), ([6, 9, 6], [2, 2], [0])
    ]  # fmt: skip


def test_three_nodes_that_push_parts() -> None:
    draws = [Script([0.5], [[1, 0]]), Script([0.5] * 2, [[0, 1]]), Script([0.5])]
    three = Three(Gossip(send=Partitioned(2)), draws)
    sent = []
    for sender, receiver in ((0, 1), (1, 2), (1, 0)):
        part = three.nodes[sender].period()
        assert part is not None
        sent.append(part)
        three.deliver(three.nodes[sender].parcel(part), receiver)
    assert sent == [1, 0, 1]
    # 1: all ages 0, stays 4, to 5, ages 1. 2: part 0 and the bias are 5 of age 1, part 1 is its
    # own 8 of age 0: [6, 9, 6], ages [2, 1, 2]. 0 takes part 1 and the bias: [1, 6, 6], [1, 2, 2].
    assert [(weights, age) for weights, age, _ in three.say()] == [
        ([1, 6, 6], [1, 2, 2]), ([5, 5, 5], [1, 1, 1]), ([6, 9, 6], [2, 1, 2])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("account", "tokens", "messages", "expected"),
    [
        # The account of 0 is full, so it sends of itself; 1 has a token, and passes it on.
        (Simple(1), [1, 1, 0], 1, [1, 0, 0]),
        # 1 answers floor((A - 1 + a) / A) = floor(3 / 2) times.
        (Generalised(2, 2), [2, 2, 0], 1, [2, 1, 0]),
        # 1 answers a / A = 2 times.
        (Randomised(2, 1), [2, 2, 0], 2, [2, 0, 0]),
    ],
    ids=["simple", "generalised", "randomised"],
)
def test_three_nodes_with_token_accounts(
    account: Account, tokens: list[int], messages: int, expected: list[int]
) -> None:
    three = Three(Gossip(tokens=account), always())
    for node, balance in zip(three.nodes, tokens, strict=True):
        node.learned.tokens = [balance]
    assert three.nodes[0].period() == 0
    assert three.deliver(three.nodes[0].parcel(0), 1) == messages
    for _ in range(messages):
        assert three.deliver(three.nodes[1].parcel(0), 2) == 0
    # 1 trains to 5, age 1. 2 takes it and trains to 6, age 2; the same once more with weight 1/3
    # gives 6 * 2/3 + 5/3, to 6 2/3, age 3.
    assert [node.learned.weights[0] for node in three.nodes] == [
        0, 5, pytest.approx(6 if messages == 1 else 6 + 2 / 3)
    ]  # fmt: skip
    assert [node.learned.tokens[0] for node in three.nodes] == expected


def test_three_nodes_that_push_and_pull() -> None:
    three = Three(Gossip(exchange="push-pull"), always())
    three.nodes[1].learned.ages = np.array([3.0, 3.0])
    three.nodes[0].learned.ages = np.array([1.0, 1.0])
    pushed = three.nodes[0].parcel(0)
    pulled = three.nodes[1].parcel(pushed.part)  # as it was before it merged
    three.deliver(pushed, 1)
    three.deliver(pulled, 0)
    three.deliver(three.nodes[1].parcel(0), 2)
    # 1: 4 * 3/4 + 0 = 3, to 4, age 4. 0: 0 * 1/4 + 4 * 3/4 = 3, to 4, age 4. 2 takes 4: 5, age 5.
    assert [(weights[0], age[0]) for weights, age, _ in three.say()] == [(4, 4), (4, 4), (5, 5)]


# -- the update ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tiny(LogisticTask):
    kinds: int = 2

    def features(self) -> int:
        return 3

    def classes(self) -> int:
        return self.kinds

    def pool(self) -> Dataset:
        return examples(self.kinds)


def examples(kinds: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    labels = np.arange(40) % kinds
    points = np.random.default_rng(0).normal(size=(40, 3)) + 2 * np.eye(3)[labels % 3]
    return points.astype(np.float32), labels


def by_the_book(
    weights: Any, t: float, points: Any, labels: Any, order: Any, lr: float, decay: float, size: int
) -> tuple[Any, float]:
    """Section 1.1 of the reference, in float64, one class."""
    w, b = weights[:-1].astype(np.float64), float(weights[-1])
    for at in range(0, len(order), size):
        batch = order[at : at + size]
        t += len(batch)
        p = 1 / (1 + np.exp(-np.clip(points[batch] @ w + b, -500, 500)))
        missed = p - labels[batch]
        w, b = (
            w - lr / t * (decay * len(batch) * w + missed @ points[batch]),
            b - lr / t * (decay * len(batch) * b + missed.sum()),
        )
    return np.append(w, b), t


def test_the_update_is_that_of_the_equations() -> None:
    task = Tiny()
    points, labels = examples(task.kinds)
    part_of = Coordinates(engine_of(task).initial(task, 0).layout, 1).part_of
    update = engine_of(task).update(
        task, (points, labels), SGD(2.0, batch=7, weight_decay=0.01), part_of
    )
    start = floats(0.3, -0.2, 0.1, 0.5)
    after, ages = update(start, np.array([5.0, 5.0]), np.random.default_rng(3))
    order = np.random.default_rng(3).permutation(40)
    expected, t = by_the_book(start, 5, points, labels, order, 2.0, 0.01, 7)
    np.testing.assert_allclose(after, expected, rtol=2e-5, atol=1e-6)
    assert ages.tolist() == [t, t] == [45, 45]
    assert start.tolist() == floats(0.3, -0.2, 0.1, 0.5).tolist()


def test_each_coordinate_has_the_rate_of_its_part() -> None:
    task = Tiny()
    data = task.pool()
    cut = Coordinates(engine_of(task).initial(task, 0).layout, 3)
    local = SGD(1.0, weight_decay=0.0)
    moved = []
    for ages in ([0.0, 0, 0, 0], [40, 0, 0, 0], [0, 360, 0, 0], [0, 0, 0, 120]):
        update = engine_of(task).update(task, data, local, cut.part_of)
        start = floats(0.3, -0.2, 0.1, 0.5)
        moved.append(update(start, np.array(ages), np.random.default_rng(0))[0] - start)
    ratios = [one / moved[0] for one in moved[1:]]
    np.testing.assert_allclose(ratios, [[0.5, 1, 1, 1], [1, 0.1, 1, 1], [1, 1, 1, 0.25]], rtol=1e-3)


def test_equal_ages_of_parts_are_one_age() -> None:
    task = Tiny()
    found = []
    for parts in (1, 3):
        cut = Coordinates(engine_of(task).initial(task, 0).layout, parts)
        update = engine_of(task).update(task, task.pool(), SGD(10.0, batch=10), cut.part_of)
        found.append(update(floats(1, 2, 3, 4), np.full(parts + 1, 9.0), np.random.default_rng(1)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)


def test_scores_beyond_all_exponents_stay_finite() -> None:
    task = Tiny()
    part_of = Coordinates(engine_of(task).initial(task, 0).layout, 1).part_of
    update = engine_of(task).update(task, task.pool(), SGD(1e30, batch=10), part_of)
    after, _ = update(floats(1e20, -1e20, 1e20, 0), np.zeros(2), np.random.default_rng(0))
    assert np.isfinite(after).all()


def test_of_more_classes_each_has_a_model_of_its_own() -> None:
    task = Tiny(kinds=3)
    points, labels = examples(task.kinds)
    engine = engine_of(task)
    shape = engine.initial(task, 0).layout
    assert [(part.name, part.shape) for part in shape] == [("weight", (3, 3)), ("bias", (3,))]
    update = engine.update(task, (points, labels), SGD(5.0, batch=8), Coordinates(shape, 1).part_of)
    after, _ = update(shape.zeros(), np.zeros(2), np.random.default_rng(2))
    order = np.random.default_rng(2).permutation(40)
    for kind in range(3):
        one, _ = by_the_book(np.zeros(4), 0, points, labels == kind, order, 5.0, 0.0, 8)
        found = [*after[3 * kind : 3 * kind + 3], after[9 + kind]]
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-5)
    assert engine.evaluate(task, after, {}, (points, labels))["accuracy"].value > 0.7


def test_in_a_star_a_step_is_that_of_plain_descent() -> None:
    task = Tiny()
    points, labels = examples(task.kinds)
    start = floats(0.3, -0.2, 0.1, 0.5)
    result = Logistic().fit(task, (points, labels), start, {}, local=SGD(0.5), seed=0)
    p = 1 / (1 + np.exp(-(points @ start[:3] + start[3])))
    gradient = np.append((p - labels) @ points, (p - labels).sum()) / 40
    np.testing.assert_allclose(result.vector, start - 0.5 * gradient, rtol=1e-5)
    assert (result.steps, result.examples) == (1, 40)
    assert result.loss.value == pytest.approx(
        float(np.mean(-np.log(np.where(labels == 1, p, 1 - p)))), rel=1e-5
    )


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
        (lambda: Gossip(exchange="pull", tokens=Simple()), Misfit, "pays for messages"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(make: Any, kind: type[ConfigError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        make()
