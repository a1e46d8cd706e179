"""What messages do over every transport: their order, their windows, when they leave."""

from __future__ import annotations

import asyncio
import os
import time

import pytest
import zmq

from tests.transports.world import LIMIT, Note, World, arrays, eventually, finished
from transports.errors import LinkFull, MessageTooLarge
from transports.identity import NodeId
from transports.limits import Limits
from transports.link import Link
from transports.port import Port


async def test_messages_arrive_once_and_in_order_both_ways(world: World) -> None:
    one, two, there, back = await world.pair()
    for number in range(5000):
        there.send(Note(number), 10)
        if number % 3 == 0:
            back.send(Note(number), 10)
        if number % 100 == 0:
            await there.drain()
    await two.recorder.until(lambda: len(two.recorder.items) == 5000)
    await one.recorder.until(lambda: len(one.recorder.items) == 1667)
    assert two.recorder.numbers == list(range(5000))
    assert one.recorder.numbers == list(range(0, 5000, 3))


async def test_a_dial_before_the_listener_is_there_connects_and_keeps_what_was_sent(
    world: World,
) -> None:
    one, two = await world.node("a"), await world.node("b")
    link = one.endpoint.dial(two.id, world.address("late"))
    for number in range(10):
        link.send(Note(number), 10)
    transfer = link.transfer(Note(10), [arrays(100)], 10, pair=0)
    assert "connecting" in repr(link)
    await two.endpoint.listen(world.address("late"))
    await two.recorder.until(lambda: len(two.recorder.items) == 10)
    await finished(transfer.done)
    assert two.recorder.numbers == list(range(10))
    assert link.state == "up"


async def test_dialling_again_gives_the_same_link(world: World) -> None:
    one, two, there, back = await world.pair()
    assert one.endpoint.dial(two.id, world.address("b")) is there
    assert two.endpoint.dial(one.id, world.address("nowhere")) is back
    assert one.endpoint.expect(two.id) is there
    assert one.endpoint.link(two.id) is there
    assert one.endpoint.link(NodeId("b", 10**9)) is None


async def test_an_expected_peer_gets_what_had_queued(world: World) -> None:
    one, two = await world.node("a"), await world.node("b")
    queued = two.endpoint.expect(one.id)
    for number in range(100):
        queued.send(Note(number), 10)
    address = await two.endpoint.listen(world.address("b"))
    one.endpoint.dial(two.id, address)
    await one.recorder.until(lambda: len(one.recorder.items) == 100)
    assert one.recorder.numbers == list(range(100))
    assert two.recorder.admitted == []


async def test_the_first_message_of_a_tick_leaves_at_once_and_the_rest_in_one_batch(
    world: World,
) -> None:
    _, two, there, _ = await world.pair()
    for number in range(50):
        there.send(Note(number), 10)
    assert there.statistics().control.batches_out == 1
    assert there.statistics().control.queued == 49
    await there.drain()
    assert there.statistics().control.batches_out == 2
    assert there.statistics().control.queued == 0
    await two.recorder.until(lambda: len(two.recorder.items) == 50)


async def test_one_message_in_each_tick_leaves_at_once_in_each_of_them(world: World) -> None:
    _, two, there, _ = await world.pair()
    for number in range(20):
        there.send(Note(number), 10)
        statistics = there.statistics().control
        assert (statistics.batches_out, statistics.queued) == (number + 1, 0)
        await asyncio.sleep(0)
    await two.recorder.until(lambda: len(two.recorder.items) == 20)
    assert two.recorder.numbers == list(range(20))


async def test_who_only_receives_holds_nothing_of_what_it_has_acknowledged(world: World) -> None:
    _, two, there, back = await world.pair()
    for number in range(20):
        there.send(Note(number), 10)
        await eventually(lambda: there.statistics().control.unacknowledged == 0)
    assert two.recorder.numbers == list(range(20))
    assert back.statistics().control.batches_out > 10
    assert len(back.channel("control").sending.marks) == 0


async def test_many_small_messages_are_acknowledged_before_their_time_by_their_bytes(
    world: World,
) -> None:
    # A quarter of the window is acknowledged at once; of time alone none ever would be here.
    _, two, there, _ = await world.pair(
        Limits(ack_delay=3600.0, control_window=4000, max_message=500)
    )
    for number in range(200):
        there.send(Note(number), 10)
        await asyncio.sleep(0)
    await two.recorder.until(lambda: len(two.recorder.items) == 200)
    await eventually(lambda: there.statistics().control.unacknowledged < 100)


async def test_a_full_window_refuses_and_drain_waits_for_the_receiver(world: World) -> None:
    limits = Limits(control_window=1000, max_message=500, batch_bytes=100)
    _, two, there, _ = await world.pair(limits)
    for sent in range(10):
        there.send(Note(sent), 100)
    with pytest.raises(LinkFull, match=r"await link\.drain"):
        there.send(Note(10), 1)
    statistics = there.statistics().control
    assert (statistics.held, statistics.window) == (1000, 1000)
    await asyncio.wait_for(there.drain(), LIMIT)
    assert there.statistics().control.held <= 500
    there.send(Note(10), 100)
    await two.recorder.until(lambda: len(two.recorder.items) == 11)
    assert two.recorder.numbers == list(range(11))


async def test_a_message_that_no_window_holds_is_refused_before_it_is_queued(world: World) -> None:
    limits = Limits(control_window=1000, max_message=500, batch_bytes=100)
    _, _, there, _ = await world.pair(limits)
    with pytest.raises(MessageTooLarge, match="501 bytes"):
        there.send(Note(0), 501)
    assert there.statistics().control.held == 0


async def test_many_drainers_all_wake_up(world: World) -> None:
    limits = Limits(control_window=1000, max_message=500, batch_bytes=100)
    _, two, there, _ = await world.pair(limits)

    async def produce(start: int) -> None:
        for number in range(start, start + 50):
            while True:
                try:
                    there.send(Note(number), 100)
                    break
                except LinkFull:
                    await there.drain()

    await asyncio.wait_for(asyncio.gather(*(produce(1000 * k) for k in range(5))), LIMIT)
    await two.recorder.until(lambda: len(two.recorder.items) == 250)
    for k in range(5):
        mine = [n for n in two.recorder.numbers if n // 1000 == k]
        assert mine == list(range(1000 * k, 1000 * k + 50))


async def test_a_node_reaches_itself_through_its_own_endpoint(world: World) -> None:
    node = await world.node("a")
    local = node.endpoint.local
    assert local.state == "up"
    for number in range(1000):
        local.send(Note(number), 10)
    await node.recorder.until(lambda: len(node.recorder.items) == 1000)
    assert node.recorder.numbers == list(range(1000))
    statistics = local.statistics().control
    assert (statistics.held, statistics.unacknowledged) == (0, 0)
    assert node.endpoint.link(node.id) is local
    assert node.endpoint.dial(node.id, "inproc://anywhere") is local


async def test_the_local_window_fills_and_drains_too(world: World) -> None:
    limits = Limits(control_window=1000, max_message=500, batch_bytes=100)
    node = await world.node("a", limits)
    for number in range(10):
        node.endpoint.local.send(Note(number), 100)
    with pytest.raises(LinkFull):
        node.endpoint.local.send(Note(10), 1)
    await asyncio.wait_for(node.endpoint.local.drain(), LIMIT)
    assert node.endpoint.local.statistics().control.held <= 500


def slow_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a loop wait for an answer as long as a busy machine takes for it: .05 s, not .15 ms."""
    monkeypatch.setattr("transports.port._EXCHANGE", LIMIT)
    monkeypatch.setattr("transports.port._AWAKE", 20_000)


async def test_a_loop_that_stays_awake_for_an_answer_sleeps_when_none_comes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_machine(monkeypatch)
    one, two, there, back = await world.pair()
    port = two.endpoint._listeners["control"]
    awake = 0
    for number in range(1, 51):
        there.send(Note(number), 10)
        await two.recorder.until(lambda: len(two.recorder.items) == number)  # noqa: B023
        back.send(Note(number), 10)
        await one.recorder.until(lambda: len(one.recorder.items) == number)  # noqa: B023
        awake += port._awake > 0
    if isinstance(port.socket, zmq.Socket) and (os.cpu_count() or 1) > 1:
        assert awake > 10
    else:
        assert not awake, "simulated time stands still, and one processor is needed elsewhere"
    await eventually(lambda: not port._awake and not port._exchange)
    used = time.process_time()
    await asyncio.sleep(0.3)
    assert time.process_time() - used < 0.15


async def test_who_sends_in_every_turn_waits_for_no_answer(
    ipc_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_machine(monkeypatch)
    # Nothing comes back while it sends, by itself: neither time nor bytes ask for it.
    one, two, there, back = await ipc_world.pair(Limits(ack_delay=LIMIT))
    port = there.channel("control").port
    assert isinstance(port, Port)
    number = 0
    waits = isinstance(port.socket, zmq.Socket) and (os.cpu_count() or 1) > 1
    while waits and not port._awake and number < 1000:
        number += 1
        there.send(Note(number), 10)
        back.send(Note(number), 10)
        await one.recorder.until(lambda: len(one.recorder.items) == number)  # noqa: B023
        await asyncio.sleep(0)
    assert (port._awake > 0) == waits, "it never waits"
    prolonged = 0
    for _ in range(1000):
        number += 1
        before = port._awake
        there.send(Note(number), 10)
        await asyncio.sleep(0)
        prolonged += port._awake > before
    await two.recorder.until(lambda: len(two.recorder.items) == number)
    assert prolonged <= 3, "every message sent prolongs the wait"


async def test_a_loop_whose_waits_for_an_answer_are_in_vain_waits_less_and_less(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transports.port._EXCHANGE", LIMIT)  # however slow the machine
    # What it sends are acknowledgements, to each of which an answer might come.
    _, two, there, _ = await world.pair(Limits(ack_delay=0.002))
    port = two.endpoint._listeners["control"]
    waits = 0
    for number in range(1, 201):
        there.send(Note(number), 10)
        await two.recorder.until(lambda: len(two.recorder.items) == number)  # noqa: B023
        await asyncio.sleep(0)
        waits += port._awake > 0
        async with asyncio.timeout(LIMIT):
            while port._awake:
                await asyncio.sleep(0)
    if isinstance(port.socket, zmq.Socket) and (os.cpu_count() or 1) > 1:
        assert 5 <= waits <= 40


async def test_an_exception_of_the_handler_is_counted_and_stops_nothing(world: World) -> None:
    _, two, there, _ = await world.pair()

    def fail(link: Link[Note], items: list[Note]) -> None:
        raise ValueError("a fault of the floor above")

    two.recorder.react = fail
    there.send(Note(1), 10)
    await two.recorder.until(lambda: two.recorder.items)
    there.send(Note(2), 10)
    await two.recorder.until(lambda: len(two.recorder.items) == 2)
    assert two.endpoint.statistics().handler_errors == 2
    await asyncio.wait_for(there.drain(), LIMIT)


async def test_representations_and_statistics_tell_the_state(world: World) -> None:
    one, two, there, _ = await world.pair()
    assert f"<Link {one.id} to {two.id} up epoch=" in repr(there)
    assert repr(one.endpoint) == f"<Endpoint {one.id} open links=1/1 fenced=0 refused=0>"
    there.send(Note(1), 10)
    await two.recorder.until(lambda: two.recorder.items)
    (mine,) = one.endpoint.statistics().links
    (theirs,) = two.endpoint.statistics().links
    assert mine.control.messages_out == theirs.control.messages_in == 1
    assert mine.control.bytes_out == theirs.control.bytes_in > 0
    await one.endpoint.close()
    assert "closed links=0/0" in repr(one.endpoint)
    assert one.endpoint.statistics().ended == 1
