"""How links end over every transport: closed, fenced, with what never left."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.transports.world import LIMIT, Note, World, arrays, eventually, finished
from transports.errors import LinkClosed
from transports.identity import NodeId
from transports.limits import Limits


async def test_closing_says_goodbye_and_the_other_side_hears_it(world: World) -> None:
    one, two, there, back = await world.pair()
    there.send(Note(1), 10)
    dropped = await one.endpoint.close()
    assert not dropped
    await two.recorder.until(lambda: two.recorder.downs)
    assert two.recorder.numbers == [1], "what was sent before arrives before"
    ((state, reason, lost),) = two.recorder.downs
    assert state == "closed"
    assert f"{one.id} closed" in reason
    assert lost.messages == 0
    assert two.endpoint.link(one.id) is None
    with pytest.raises(LinkClosed, match=str(one.id)):
        back.send(Note(2), 10)
    with pytest.raises(LinkClosed):
        await back.drain()
    with pytest.raises(LinkClosed):
        back.transfer(Note(3), [], 10, pair=0)


async def test_what_was_sent_has_the_time_of_its_linger_to_arrive(world: World) -> None:
    one, two, there, _ = await world.pair()
    for number in range(500):
        there.send(Note(number, bytes(1000)), 1010)
    transfer = there.transfer(Note(7), [arrays(20_000_000)], 10, pair=0)
    dropped = await one.endpoint.close(linger=LIMIT)
    assert not dropped
    await finished(transfer.done)
    assert two.recorder.numbers == list(range(500))
    assert [item.number for item, _ in two.recorder.transfers] == [7]


async def test_closing_reports_what_never_left(world: World) -> None:
    one, two = await world.node("a"), await world.node("b")
    link = one.endpoint.dial(two.id, world.address("nobody"))
    for number in range(5):
        link.send(Note(number), 10)
    transfer = link.transfer(Note(9), [arrays(10)], 10, pair=0)
    dropped = await one.endpoint.close(linger=0.01)
    assert dropped.unsent == 5
    assert dropped.links == {two.id: 5}
    with pytest.raises(LinkClosed, match="during a transfer"):
        await transfer.done


async def test_a_waiting_drain_ends_with_its_link(world: World) -> None:
    one = await world.node("a", Limits(control_window=1000, max_message=500))
    link = one.endpoint.dial(NodeId("gone", 1), world.address("nobody"))
    for number in range(10):
        link.send(Note(number), 100)
    drain = asyncio.ensure_future(link.drain())
    await asyncio.sleep(0)
    one.endpoint.fence(NodeId("gone", 1), "its process ended")
    with pytest.raises(LinkClosed, match="its process ended"):
        await asyncio.wait_for(drain, LIMIT)


async def test_a_fenced_peer_is_refused_and_counted_and_told_once(world: World) -> None:
    one, two, there, back = await world.pair()
    transfer = back.transfer(Note(1), [arrays(10)], 10, pair=0)
    await finished(transfer.done)
    two.endpoint.fence(one.id, "its process ended")
    two.endpoint.fence(one.id, "its process ended")
    ((state, reason, _),) = two.recorder.downs
    assert (state, reason) == ("closed", "its process ended")
    assert two.endpoint.link(one.id) is None
    there.send(Note(1), 10)
    await one.recorder.until(lambda: one.recorder.downs)
    assert two.refused.get("fenced", 0) >= 1
    assert two.recorder.items == []
    assert one.recorder.downs[0][0] == "closed"
    with pytest.raises(LinkClosed, match="declared dead"):
        two.endpoint.expect(one.id)
    again = one.endpoint.dial(two.id, world.address("b"))
    await one.recorder.until(lambda: len(one.recorder.downs) == 2)
    assert again.state == "closed"
    assert "its process ended" in one.recorder.downs[1][1]


async def test_a_handler_may_end_the_link_it_is_called_for(world: World) -> None:
    one, two, there, _ = await world.pair()
    two.recorder.react = lambda link, items: two.endpoint.fence(link.peer, "enough")
    for number in range(100):
        there.send(Note(number), 10)
    await one.recorder.until(lambda: one.recorder.downs)
    assert two.endpoint.statistics().handler_errors == 0
    assert two.recorder.downs[0][1] == "enough"


async def test_closing_gives_every_descriptor_back(world: World) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def traffic() -> None:
        one, two, there, _ = await world.pair()
        there.send(Note(1), 10)
        await finished(there.transfer(Note(2), [arrays(200_000)], 10, pair=0).done)
        await one.endpoint.close()
        await two.endpoint.close()

    await traffic()
    # libzmq closes in its own time: what is open when nothing changed for a while is the base.
    samples = [descriptors()]
    while len(samples) < 50 or len(set(samples[-50:])) > 1:
        await asyncio.sleep(0.001)
        samples.append(descriptors())
    for _ in range(3):
        await traffic()
        await eventually(lambda: descriptors() <= samples[-1])


async def test_who_closes_waits_for_no_delay_of_acknowledgements(world: World) -> None:
    one, two, there, back = await world.pair(Limits(ack_delay=3600.0))
    there.send(Note(1), 10)
    back.send(Note(2), 10)
    there.send(Note(3), 10)
    await two.recorder.until(lambda: len(two.recorder.items) == 2)
    async with asyncio.timeout(LIMIT):
        dropped = await one.endpoint.close(linger=3600.0)
    assert dropped.unacknowledged == 0
