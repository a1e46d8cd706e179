"""What transfers do over every transport: whole models, their order, room for them."""

from __future__ import annotations

import asyncio
from functools import partial

import numpy as np
import pytest

from tests.transports.world import LIMIT, Node, Note, Recorder, World, arrays, eventually, finished
from transports.errors import LinkClosed, LinkFull, TransferRefused
from transports.identity import NodeId
from transports.limits import Limits
from transports.link import Link
from transports.weights import Weights

SMALL = Limits(chunk=4096, chunk_window=2, inline=256)


async def test_transfers_arrive_whole_whatever_their_size(world: World) -> None:
    _, two, there, _ = await world.pair(SMALL)
    models = [
        [],
        [Weights.of({})],
        [arrays(10)],
        [arrays(256)],
        [arrays(300)],
        [arrays(4096)],
        [arrays(100_000), arrays(0), arrays(5000)],
        [arrays(300_000)],
    ]
    transfers = [
        there.transfer(Note(number), weights, 10, pair="one")
        for number, weights in enumerate(models)
    ]
    two.recorder.pool.buffers = len(models)
    await finished(*(transfer.done for transfer in transfers))
    received = two.recorder.transfers
    assert [item.number for item, _ in received] == list(range(len(models)))
    for (_, got), sent in zip(received, models, strict=True):
        assert got == sent
        for weights in got:
            for name in weights:
                assert weights[name].ctypes.data % 64 == 0 or not weights[name].size
                assert not weights[name].flags.writeable
    for transfer, sent in zip(transfers, models, strict=True):
        assert transfer.progress == transfer.total == sum(weights.nbytes for weights in sent)


async def test_what_goes_to_many_arrives_at_each_and_is_released_by_each(world: World) -> None:
    _, two, there, _ = await world.pair()
    model = arrays(3000)
    before = there.statistics().bulk.bytes_out
    transfers = [there.transfer(Note(n), [model], 10, pair=n) for n in range(20)]
    await finished(*(transfer.done for transfer in transfers))
    # It went once, whoever got it: to a node as bytes, within a process as it is.
    assert there.statistics().bulk.bytes_out - before < 3 * model.nbytes
    received = [weights for _, (weights,) in two.recorder.transfers]
    while received:
        assert all(each == model for each in received)
        received.pop().release()
    await finished(there.transfer(Note(20), [arrays(3000, 1)], 10, pair=0).done)
    assert two.recorder.transfers[-1][1] == [arrays(3000, 1)]


async def test_a_layout_of_many_arrays_arrives_as_it_was(world: World) -> None:
    _, two, there, _ = await world.pair()
    rng = np.random.default_rng(0)
    sent = Weights.of(
        {
            # Odd lengths, so that each array begins somewhere else within a cache line.
            f"layer{index}.weight": rng.random((index % 7 + 1, index % 11)).astype(
                [np.float32, np.float64, np.int8, np.uint16][index % 4]
            )
            for index in range(2000)
        }
    )
    await finished(there.transfer(Note(1), [sent, sent], 10, pair="one").done)
    ((_, got),) = two.recorder.transfers
    assert got == [sent, sent]
    assert [list(weights) for weights in got] == [list(sent)] * 2


def answer_all(link: Link[Note], items: list[Note]) -> None:
    for item in items:
        link.send(item, 10)


async def test_200_mb_arrive_and_small_messages_are_not_held_up(world: World) -> None:
    _, two, there, back = await world.pair()
    two.recorder.react = answer_all
    model = arrays(200_000_000)
    transfer = there.transfer(Note(1), [model], 10, pair="one")
    answers = world.nodes[0].recorder
    asked = 0

    def answered() -> bool:
        return len(answers.items) == asked

    while not transfer.done.done():
        there.send(Note(asked), 10)
        asked += 1
        await answers.until(answered)
    await finished(transfer.done)
    ((_, (got,)),) = two.recorder.transfers
    assert got == model
    assert answers.numbers == two.recorder.numbers == list(range(asked))
    assert back.statistics().control.lost == there.statistics().control.lost == 0


def has_items(recorder: Recorder, count: int) -> bool:
    return len(recorder.items) == count


async def test_both_lanes_under_load_keep_their_orders_both_ways(world: World) -> None:
    one, two, there, back = await world.pair(SMALL)
    for node in (one, two):
        node.recorder.pool.buffers = 40
    transfers = []
    for number in range(40):
        for link in (there, back):
            for small in range(25):
                link.send(Note(25 * number + small), 10)
            transfers.append(
                link.transfer(Note(number), [arrays(30_000, number)], 10, pair=number % 3)
            )
        await asyncio.sleep(0)
    await finished(*(transfer.done for transfer in transfers))
    for node in (one, two):
        await eventually(partial(has_items, node.recorder, 1000))
        assert node.recorder.numbers == list(range(1000))
        arrived = [item.number for item, _ in node.recorder.transfers]
        for pair in range(3):
            mine = [number for number in arrived if number % 3 == pair]
            assert mine == sorted(mine)
        assert sorted(arrived) == list(range(40))
        for item, (got,) in node.recorder.transfers:
            assert got == arrays(30_000, item.number)


async def test_pairs_take_turns_and_each_keeps_its_order(ipc_world: World) -> None:
    _, two, there, _ = await ipc_world.pair(SMALL)
    two.recorder.pool.buffers = 20
    large = there.transfer(Note(0), [arrays(1_000_000)], 10, pair="large")
    small = [there.transfer(Note(n), [arrays(100 * n)], 10, pair="small") for n in range(1, 8)]
    await finished(*(transfer.done for transfer in small))
    assert not large.done.done()
    assert 0 < large.progress < large.total
    await finished(large.done)
    assert [item.number for item, _ in two.recorder.transfers] == [*range(1, 8), 0]


async def test_a_transfer_waits_at_its_first_byte_until_a_landing_buffer_is_free(
    ipc_world: World,
) -> None:
    _, two, there, _ = await ipc_world.pair(SMALL)
    two.recorder.pool.buffers = 1
    first = there.transfer(Note(1), [arrays(50_000, 1)], 10, pair=1)
    second = there.transfer(Note(2), [arrays(50_000, 2)], 10, pair=2)
    await finished(first.done)
    # A round trip on the same lane: the second one has been asked for by now.
    await finished(there.transfer(Note(3), [], 10, pair=3).done)
    assert second.progress == 0
    assert two.recorder.pool.statistics().waiting == 1
    view = two.recorder.transfers[0][1][0]["first"]
    two.recorder.transfers[0][1][0].release()
    assert two.recorder.pool.statistics().leased == 1, "a view holds the buffer"
    del view
    await finished(second.done)
    two.recorder.transfers[-1][1][0].release()
    statistics = two.recorder.pool.statistics()
    assert (statistics.landed, statistics.allocated) == (2, 1)


async def test_releasing_within_the_handler_frees_the_buffer_there_and_then(
    ipc_world: World,
) -> None:
    _, two, there, _ = await ipc_world.pair(SMALL)
    leased: list[int] = []

    def on_transfer(link: Link[Note], item: Note, weights: list[Weights]) -> None:
        for each in weights:
            each.release()
        leased.append(two.recorder.pool.statistics().leased)

    two.recorder.on_transfer = on_transfer  # type: ignore[method-assign]  # a handler of its own
    await finished(there.transfer(Note(1), [arrays(50_000)], 10, pair=1).done)
    assert leased == [0]


async def test_a_transfer_over_the_limit_is_refused_to_its_sender(ipc_world: World) -> None:
    _, two, there, _ = await ipc_world.pair(SMALL, Limits(max_transfer=20_000))
    fits = there.transfer(Note(1), [arrays(19_000)], 10, pair=0)
    too_large = there.transfer(Note(2), [arrays(30_000)], 10, pair=0)
    after = there.transfer(Note(3), [arrays(100)], 10, pair=0)
    with pytest.raises(TransferRefused, match="max_transfer = 20000"):
        await asyncio.wait_for(too_large.done, LIMIT)
    await finished(fits.done, after.done)
    assert [item.number for item, _ in two.recorder.transfers] == [1, 3]
    assert two.refused == {"too large": 1}
    assert there.statistics().transfers_refused == 1


async def test_a_pool_that_is_too_small_refuses(ipc_world: World) -> None:
    _, two, there, _ = await ipc_world.pair(SMALL)
    two.recorder.pool.max_bytes = 1000
    with pytest.raises(TransferRefused, match="landing pool"):
        await asyncio.wait_for(there.transfer(Note(1), [arrays(5000)], 10, pair=0).done, LIMIT)


async def test_within_a_process_the_same_memory_is_handed_over(world: World) -> None:
    if world.scheme != "inproc":
        node = await world.node("alone")
        link: Link[Note] = node.endpoint.local
        receiver: Node = node
    else:
        _, receiver, link, _ = await world.pair()
    weights = arrays(1_000_000)
    await finished(link.transfer(Note(1), [weights], 10, pair=0).done)
    ((_, (got,)),) = receiver.recorder.transfers
    assert got["first"].ctypes.data == weights["first"].ctypes.data
    got.release()
    assert weights["first"].size == 500_000, "the receiver's release is its own"


async def test_a_cancelled_transfer_frees_its_landing_buffer(ipc_world: World) -> None:
    _, two, there, _ = await ipc_world.pair(SMALL)
    two.recorder.pool.buffers = 1
    held = there.transfer(Note(1), [arrays(50_000)], 10, pair=1)
    await finished(held.done)
    waiting = there.transfer(Note(2), [arrays(50_000)], 10, pair=2)
    behind = there.transfer(Note(3), [arrays(60_000)], 10, pair=2)
    await finished(there.transfer(Note(4), [], 10, pair=3).done)
    waiting.done.cancel()
    await asyncio.sleep(0)  # the cancellation is told in the next tick
    await finished(there.transfer(Note(5), [], 10, pair=3).done)
    two.recorder.transfers[0][1][0].release()
    await finished(behind.done)
    assert [item.number for item, _ in two.recorder.transfers] == [1, 4, 5, 3]
    assert two.recorder.pool.statistics().landed == 2, "the cancelled one had left the queue"


async def test_too_many_transfers_fill_the_link(world: World) -> None:
    one, two = await world.node("a", Limits(max_transfers=3)), await world.node("b")
    link = one.endpoint.dial(two.id, world.address("b"))
    for number in range(3):
        link.transfer(Note(number), [arrays(10)], 10, pair=number)
    with pytest.raises(LinkFull, match="3 transfers"):
        link.transfer(Note(4), [arrays(10)], 10, pair=4)


async def test_who_waits_for_room_among_the_transfers_gets_it_when_one_is_done(
    world: World,
) -> None:
    one = await world.node("a", Limits(max_transfers=2))
    there = one.endpoint.dial(NodeId("b", 1), world.address("nobody"))
    transfers = [there.transfer(Note(n), [arrays(300_000)], 10, pair=n) for n in range(2)]
    with pytest.raises(LinkFull):
        there.transfer(Note(2), [], 10, pair=2)
    await asyncio.wait_for(there.drain(), LIMIT)  # the control lane has room all the time
    drains = [asyncio.ensure_future(there.drain("bulk")) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(drain.done() for drain in drains)
    transfers[0].done.cancel()
    await finished(*drains)
    there.transfer(Note(2), [], 10, pair=2)
    late = asyncio.ensure_future(there.drain("bulk"))
    await asyncio.sleep(0)
    await one.endpoint.close(linger=0.0)
    with pytest.raises(LinkClosed):
        await asyncio.wait_for(late, LIMIT)
