"""What a node sends to itself: in order, whole, within bounds, and at nobody's cost."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from tests.transports.world import LIMIT, Note, World, arrays, finished
from transports import Limits, Link, LinkClosed
from transports.handover import PROCESS


async def test_a_node_that_tells_itself_something_for_ever_leaves_the_loop_to_others(
    world: World,
) -> None:
    node = await world.node("a")
    local = node.endpoint.local
    node.recorder.react = lambda link, items: link.send(Note(items[-1].number + 1), 10)
    local.send(Note(0), 10)
    for _ in range(20):
        await asyncio.sleep(0)
    assert 0 < len(node.recorder.items) <= 40
    node.recorder.react = None
    await asyncio.wait_for(local.drain(), LIMIT)


async def test_much_at_once_is_handed_over_in_several_turns(ipc_world: World) -> None:
    node = await ipc_world.node("a")
    local, turns = node.endpoint.local, list[int]()
    for number in range(60):
        local.send(Note(number, bytes(50_000)), 50_000)
    while len(node.recorder.items) < 60:
        await asyncio.sleep(0)
        turns.append(len(node.recorder.items))
    assert node.recorder.numbers == list(range(60))
    assert len(set(turns) - {0}) > 5, "each turn has a share, so that others get theirs"
    assert local.statistics().control.held == 0


async def test_an_item_that_no_frame_can_hold_takes_none_along(world: World) -> None:
    node = await world.node("a")
    local = node.endpoint.local
    for number in range(5):
        body: Any = object() if number == 2 else b""
        local.send(Note(number, cast("bytes", body)), 10)
    await node.recorder.until(lambda: len(node.recorder.items) == 4)
    assert node.recorder.numbers == [0, 1, 3, 4]
    control = local.statistics().control
    assert (control.dropped, control.held) == (1, 0)


async def test_a_handler_that_ends_the_link_gets_nothing_more(world: World) -> None:
    node = await world.node("a")
    local = node.endpoint.local
    node.recorder.react = lambda link, items: link.close("enough")
    local.send(Note(1), 10)
    await node.recorder.until(lambda: node.recorder.items)
    with pytest.raises(LinkClosed, match="enough"):
        local.send(Note(2), 10)
    for _ in range(5):
        await asyncio.sleep(0)
    assert node.recorder.numbers == [1]


async def test_arrays_for_which_no_hand_over_is_left_are_sent(world: World) -> None:
    assert not PROCESS
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, fault: faults.append(fault))
    node = await world.node("a", Limits(max_handovers=1))
    local: Link[Note] = node.endpoint.local
    transfers = [local.transfer(Note(n), [arrays(1_000_000)], 10, pair=n) for n in range(3)]
    await finished(*(transfer.done for transfer in transfers))
    assert sorted(item.number for item, _ in node.recorder.transfers) == [0, 1, 2]
    assert node.recorder.pool.statistics().landed == 2
    assert not faults, "it reads as many messages as it has sent"
    for _, (weights,) in node.recorder.transfers:
        weights.release()
