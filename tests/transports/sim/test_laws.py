"""Whatever befalls a network: each message arrives once and in order, or is counted lost."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transports.sim.world import SimWorld
from tests.transports.world import Node, Note
from transports.sim.loop import SimLoop
from transports.sim.net import Net

nets = st.builds(
    Net,
    delay=st.floats(0, 0.3),
    jitter=st.floats(0, 0.3),
    bandwidth=st.floats(1e3, 1e6) | st.just(float("inf")),
)
faults = st.lists(
    st.tuples(
        st.sampled_from(["cut", "uncut", "freeze a", "freeze b", "thaw a", "thaw b", "slow", "ok"]),
        st.integers(0, 5),
        st.floats(0, 2),
    ),
    max_size=12,
)


async def play(seed: int, net: Net, story: list[tuple[str, int, float]]) -> None:
    world = SimWorld(seed, net)
    network = world.network
    one, two, there, back = await world.pair()
    sent = 0
    for fault, count, wait in story:
        what, _, who = fault.partition(" ")
        if what in {"cut", "uncut"}:
            getattr(network, what)("a", "b")
        elif what in {"freeze", "thaw"}:
            getattr(network, what)(who)
        elif what == "slow":
            network.shape("a", "b", Net(0.5, 0.5))
        for _ in range(count):
            sent += 1
            there.send(Note(sent), 50)
            back.send(Note(sent), 50)
        await asyncio.sleep(wait)
    network.uncut("a", "b")
    network.thaw("a")
    network.thaw("b")
    await asyncio.sleep(200)
    for source, target in ((one, two), (two, one)):
        numbers = target.recorder.numbers
        assert numbers == sorted(set(numbers)), "in order, none twice"
        assert set(range(1, sent + 1)) - set(numbers) <= lost(source), "a loss has a name"
        (link,) = source.endpoint.statistics().links
        assert (link.state, link.control.queued, link.control.unacknowledged) == ("up", 0, 0)
    statistics = network.statistics()
    assert statistics.sent == statistics.delivered + statistics.lost
    await world.close()
    await asyncio.sleep(10)
    assert network.statistics().connections == 0, "closed nodes leave no connection behind"
    assert world.loop.statistics().waiting == 0, "and no timer"


def lost(node: Node) -> set[int]:
    return {
        number
        for _, _, lost in node.recorder.downs
        for first, last in lost.control
        for number in range(first, last + 1)
    }


@settings(max_examples=60)
@given(st.integers(0, 2**32), nets, faults)
def test_every_message_arrives_once_and_in_order_or_is_counted_lost(
    seed: int, net: Net, story: list[tuple[str, int, float]]
) -> None:
    with asyncio.Runner(loop_factory=lambda: SimLoop(seed, shuffle=True)) as runner:
        runner.run(play(seed, net, story))
