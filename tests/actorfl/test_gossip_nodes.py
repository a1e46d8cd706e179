"""Three nodes of gossip learning, computed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from actorfl import (
    ByAge,
    Generalised,
    Gossip,
    Overwrite,
    Partitioned,
    Randomised,
    Simple,
    SubSampled,
)
from actorfl.gossip.learner import Parcel
from actorfl.gossip.merges import Merge
from actorfl.gossip.tokens import Account
from tests.actorfl.gossiping import Script, learner


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


@pytest.mark.parametrize("merge", [ByAge(), ByAge(limit=1)], ids=["by age", "limited"])
def test_a_model_that_is_not_finite_takes_what_comes_whole_and_its_age(merge: Merge) -> None:
    node = learner(Gossip(merge=merge), [np.nan, 1.0, np.inf], 20)
    node.merge(learner(Gossip(), [1.0, 2.0, 3.0], 4).parcel(0))
    assert node.learned.weights.tolist() == [1, 2, 3]
    assert node.learned.ages.tolist() == [4, 4]


def test_a_model_that_is_not_finite_is_whole_again_when_each_part_has_come() -> None:
    gossip = Gossip(send=Partitioned(2))
    node = learner(gossip, [np.nan] * 3, 20)
    other = learner(gossip, [1.0, 2.0, 3.0], 4)
    for part in range(2):
        assert not node.finite
        node.merge(other.parcel(part))
    assert node.finite
    assert node.learned.weights[:2].tolist() == [1, 2]
    assert node.learned.ages[:2].tolist() == [4, 4]
