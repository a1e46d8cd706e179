"""What holds of every view in every cycle, whatever is lost, and of all views together."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl.peersampling.descriptor import Descriptor
from actorfl.peersampling.protocols import (
    CyclonProtocol,
    GenericProtocol,
    NewscastProtocol,
    SamplingProtocol,
    UniformProtocol,
)
from actorfl.peersampling.uniform import membership
from tests.actorfl.peersampling.networks import Network


@st.composite
def generic(draw: st.DrawFn) -> GenericProtocol:
    view = draw(st.integers(2, 12))
    healing = draw(st.integers(0, view // 2))
    return GenericProtocol(
        view,
        draw(st.sampled_from(["rand", "tail"])),
        draw(st.sampled_from(["push", "pushpull"])),
        healing,
        draw(st.integers(0, view // 2 - healing)),
    )


@st.composite
def cyclon(draw: st.DrawFn) -> CyclonProtocol:
    view = draw(st.integers(1, 12))
    return CyclonProtocol(view, draw(st.integers(1, view)))


PROTOCOLS = st.one_of(st.builds(NewscastProtocol, st.integers(1, 12)), cyclon(), generic())


@given(
    protocol=PROTOCOLS,
    nodes=st.integers(1, 15),
    lost=st.sampled_from([0.0, 0.2, 0.9]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=50)
def test_no_view_holds_its_own_node_or_one_twice_or_too_many(
    protocol: SamplingProtocol, nodes: int, lost: float, seed: int
) -> None:
    network = Network(
        protocol, nodes, seed, lost=lost, contacts=lambda index: [f"w{(index + 1) % nodes}"]
    )
    for cycle in range(12):
        network.rounds(1)
        network.check()
        if cycle == 5:
            network.kill(nodes // 3)


descriptors = st.lists(
    st.builds(
        Descriptor,
        st.sampled_from(["me", "a", "b", "c", "d", "e"]),
        st.floats(0, 1e6),
        st.integers(0, 3),
    ),
    max_size=12,
)


@given(
    protocol=PROTOCOLS,
    words=st.lists(st.tuples(st.booleans(), descriptors, st.integers(0, 20)), max_size=12),
)
@settings(max_examples=50)
def test_the_laws_of_views_hold_whatever_others_say(
    protocol: SamplingProtocol, words: list[tuple[bool, list[Descriptor], int]]
) -> None:
    node = protocol.begin(Descriptor("me"), contacts=[Descriptor("a")], draw=random.Random(1))
    for time, (asks, said, number) in enumerate(words):
        node.cycle(time)
        if asks:
            assert len(node.requested(Descriptor("b"), said, number, time)) <= number
        else:
            node.answered(number, said, time)
        names = [one.name for one in node.view]
        assert "me" not in names
        assert len(set(names)) == len(names) <= protocol.view
        assert len({one.name for one in node.peers}) == len(node.peers) <= protocol.view


def test_cyclon_keeps_the_number_of_all_descriptors_where_nothing_is_lost() -> None:
    network = Network(CyclonProtocol(10, 4), 80, 1)
    for _ in range(20):
        network.rounds(1)
        assert network.measured(clustering=False).total == 80 * 10


def test_cyclon_has_no_more_descriptors_than_before_while_answers_are_on_their_way() -> None:
    network = Network(CyclonProtocol(10, 4), 100, 1)
    network.rounds(10)
    (request,) = network.nodes["w7"].cycle(11.0)
    other = network.nodes[request.to.name]
    answer = other.requested(Descriptor("w7"), request.descriptors, request.wants, 11.0)
    assert network.measured(clustering=False).total == 100 * 10 - 1
    assert request.to.name in {one.name for one in network.nodes["w7"].peers}
    network.nodes["w7"].answered(request.number, answer, 11.0)
    assert network.measured(clustering=False).total == 100 * 10


def test_an_answer_that_comes_twice_or_too_late_changes_nothing() -> None:
    network = Network(NewscastProtocol(4), 10, 2)
    node = network.nodes["w0"]
    (first,) = node.cycle(1.0)
    node.answered(first.number, [Descriptor("x")], 1.0)
    before = node.view
    assert "x" in {one.name for one in before}
    node.answered(first.number, [Descriptor("y")], 1.0)
    assert node.view == before
    (late,) = node.cycle(2.0)
    for time in range(3, 8):
        node.cycle(float(time))
    node.answered(late.number, [Descriptor("y")], 8.0)
    assert "y" not in {one.name for one in node.view}


def test_each_member_is_drawn_as_often_as_any_other() -> None:
    members = membership([Descriptor(f"w{k}") for k in range(50)], random.Random(3))
    counts = dict.fromkeys([f"w{k}" for k in range(50)], 0)
    asks = 4_000
    for _ in range(asks):
        drawn = [one.name for one in members.requested(Descriptor("w0"), 7, 0.0)]
        assert len(set(drawn)) == len(drawn) == 7
        for name in drawn:
            counts[name] += 1
    assert counts.pop("w0") == 0
    expected = asks * 7 / 49
    chi = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi < 93.2  # 48 degrees of freedom: one seed of ten thousand is above


def test_a_membership_forgets_who_is_silent_and_who_leaves() -> None:
    members = membership([Descriptor("a"), Descriptor("b"), Descriptor("c")], random.Random(0))
    members.left("c", 0)
    members.requested(Descriptor("a"), 0, 5.0)
    members.cycle(5.5)
    assert [one.name for one in members.entries] == ["a"]
    assert members.requested(Descriptor("d"), 5, 6.0)[0].name == "a"
    assert [one.name for one in members.entries] == ["a", "d"]


def test_a_uniform_sampler_keeps_its_sample_until_the_next_one_comes() -> None:
    node = UniformProtocol(3).begin(
        Descriptor("me"), contacts=[Descriptor("membership")], draw=random.Random(0)
    )
    assert node.alone
    (request,) = node.cycle(1.0)
    assert (request.to.name, request.wants) == ("membership", 3)
    node.answered(request.number, [Descriptor("a"), Descriptor("b"), Descriptor("me")], 1.0)
    node.cycle(2.0)
    assert [one.name for one in node.view] == ["a", "b"]
    assert not node.alone
