"""Joins, leaves, crashes, returns and partitions, in rounds."""

from __future__ import annotations

import pytest

from actorfl.errors import WrongType, WrongValue
from actorfl.peersampling.descriptor import Descriptor
from actorfl.peersampling.newscast import OLDEST
from actorfl.peersampling.protocols import (
    CyclonProtocol,
    GenericProtocol,
    NewscastProtocol,
    SamplingProtocol,
)
from actorfl.peersampling.sampler import NEVER_HEARD, SILENT
from tests.actorfl.peersampling.networks import Network

TWO_SIDED: list[SamplingProtocol] = [
    NewscastProtocol(6),
    CyclonProtocol(6, 3),
    GenericProtocol(6, "rand", "pushpull", 3, 0),
    GenericProtocol(6, "tail", "pushpull", 1, 1),
]
ALL = [*TWO_SIDED, GenericProtocol(6, "tail", "push", 1, 1)]


@pytest.mark.parametrize("protocol", TWO_SIDED, ids=str)
def test_nodes_that_know_one_contact_find_all_others(protocol: SamplingProtocol) -> None:
    network = Network(protocol, 20, 1, first=0, contacts=lambda index: ["w0"] if index else [])
    network.rounds(40)
    assert network.measured(clustering=False).parts == 1
    assert all(len(node.view) >= protocol.view - 1 for node in network.nodes.values())
    assert all(network.seen(name) for name in network.nodes)
    assert not any(node.alone for node in network.nodes.values())


@pytest.mark.parametrize("protocol", TWO_SIDED, ids=str)
def test_a_node_whose_one_contact_is_dead_asks_it_again_until_it_is_back(
    protocol: SamplingProtocol,
) -> None:
    network = Network(protocol, 8, 2)
    node = network.join("new", ["w8"], ["w8"])
    asked = 0
    for _ in range(OLDEST + 30):
        network.now += 1
        asked += sum(request.to.name == "w8" for request in node.cycle(network.now))
        assert node.alone == (node.silent >= NEVER_HEARD)
    assert asked >= OLDEST
    network.join("w8", ["w0"], ["w0"])
    network.rounds(20)
    assert not node.alone
    assert network.seen("new") > 0


@pytest.mark.parametrize("nodes", [5, 12])
@pytest.mark.parametrize("protocol", ALL, ids=str)
def test_a_node_that_has_crashed_is_forgotten_and_one_that_returns_is_known_again(
    protocol: SamplingProtocol, nodes: int
) -> None:
    network = Network(protocol, nodes, 3, contacts=lambda index: ["w0", "w1"])
    network.rounds(20)
    del network.nodes["w3"]
    assert network.seen("w3") > 0
    # A network that fits into a view forgets by age alone.
    network.rounds(OLDEST + 2)
    assert network.seen("w3") == 0
    network.join("w3", ["w1"], ["w1"])
    network.rounds(20)
    assert network.seen("w3") > 0


@pytest.mark.parametrize("protocol", TWO_SIDED, ids=str)
def test_two_islands_that_have_forgotten_each_other_find_together_by_their_contacts(
    protocol: SamplingProtocol,
) -> None:
    network = Network(protocol, 20, 4, contacts=lambda index: ["w0", "w19"])
    network.rounds(20)
    network.apart = lambda one, other: (int(one[1:]) < 10) != (int(other[1:]) < 10)
    network.rounds(OLDEST + 10)
    assert network.measured(clustering=False).parts == 2
    network.apart = lambda one, other: False
    network.rounds(30)
    assert network.measured(clustering=False).parts == 1
    crossing = sum(
        (int(name[1:]) < 10) != (int(other[1:]) < 10)
        for name in network.nodes
        for other in network.sees(name)
    )
    assert crossing > network.measured(clustering=False).total / 4


@pytest.mark.parametrize("lost", [0.0, 0.2])
def test_what_newscast_says_of_nodes_that_live_is_far_younger_than_what_it_forgets(
    lost: float,
) -> None:
    network = Network(NewscastProtocol(10), 11, 5, lost=lost)
    oldest = 0.0
    for _ in range(60):
        network.rounds(1)
        oldest = max(oldest, network.oldest())
    assert oldest < OLDEST / 3


def test_a_node_that_nobody_talks_to_any_more_counts_as_alone_and_one_that_is_heard_does_not() -> (
    None
):
    network = Network(NewscastProtocol(6), 10, 6)
    network.rounds(5)
    node, alone = network.nodes["w0"], []
    for _ in range(SILENT):
        network.now += 1
        node.cycle(network.now)
        alone.append(node.alone)
    assert alone == [*[False] * (SILENT - 1), True]
    node.requested(Descriptor("w1"), [Descriptor("w1")], 7, network.now)
    assert not node.alone


def test_a_network_of_one_node_runs_and_a_second_one_is_taken_in() -> None:
    network = Network(NewscastProtocol(6), 1, 7)
    network.rounds(5)
    assert network.nodes["w0"].alone
    assert network.nodes["w0"].view == ()
    network.join("w1", [], ["w0"])
    network.rounds(2)
    assert network.sees("w0") == {"w1"}
    assert not network.nodes["w0"].alone


@pytest.mark.parametrize("protocol", ALL, ids=str)
def test_who_says_that_it_leaves_is_forgotten_at_once_but_for_a_later_life(
    protocol: SamplingProtocol,
) -> None:
    network = Network(protocol, 5, 8)
    node = network.nodes["w0"]
    node.requested(Descriptor("x"), [Descriptor("x", incarnation=1)], 0, 0.0)
    assert "x" in network.sees("w0")
    node.left("x", 0)
    assert "x" in network.sees("w0")
    node.left("x", 1)
    assert "x" not in network.sees("w0")


def test_what_is_said_of_a_later_life_replaces_younger_words_on_an_earlier_one() -> None:
    network = Network(NewscastProtocol(5), 5, 9, first=0)
    node = network.nodes["w0"]
    node.requested(Descriptor("x"), [Descriptor("x", 0.0, 0)], 0, 10.0)
    node.requested(Descriptor("y"), [Descriptor("x", 7.0, 1)], 0, 10.0)
    assert [(one.incarnation, one.told(10.0).age) for one in node.view] == [(1, 7.0)]
    node.requested(Descriptor("y"), [Descriptor("x", 0.0, 0)], 0, 11.0)
    assert [one.incarnation for one in node.view] == [1]


def test_ages_count_the_time_that_words_are_on_their_way() -> None:
    network = Network(NewscastProtocol(5), 3, 10)
    node = network.nodes["w0"]
    (request,) = node.cycle(1.0)
    node.answered(request.number, [Descriptor("x", 2.0)], 3.0)
    (age,) = [one.told(3.0).age for one in node.view if one.name == "x"]
    assert age == 3.0  # half of the two periods that passed since it asked


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in (
        lambda: NewscastProtocol(0),
        lambda: CyclonProtocol(5, 6),
        lambda: GenericProtocol(6, healing=2, swap=2),
        lambda: GenericProtocol(6, "head"),  # type: ignore[arg-type]
        lambda: GenericProtocol(6, "rand", "pull"),  # type: ignore[arg-type]
    ):
        with pytest.raises(WrongValue, match="must be"):
            wrong()
    with pytest.raises(WrongType):
        NewscastProtocol("20")  # type: ignore[arg-type]
