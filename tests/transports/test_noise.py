"""Frames that arrive with a byte changed: nothing of them gets through, and the sender knows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.transports.world import Node, Note, World, arrays, eventually, finished
from transports.address import LANES, Lane
from transports.limits import KIB, Limits
from transports.link import Link

SMALL = Limits(inline=KIB, chunk=16 * KIB, reconnect_max=0.02)


class Striking:
    """Damages some frames of some lanes, drawn by chance, each in another place."""

    def __init__(self, p: float, *lanes: Lane, smallest: int = 0) -> None:
        self.p, self.lanes, self.smallest = p, lanes, smallest
        self.on = False
        self.struck = 0
        self.seen: list[tuple[Lane, list[int]]] = []
        self._random = random.Random(1)

    def strike(
        self, source: str, lane: Lane, nbytes: int, items: Sequence[object]
    ) -> tuple[int, int] | None:
        self.seen.append((lane, [item.number for item in items if isinstance(item, Note)]))
        if not self.on or lane not in self.lanes or nbytes < self.smallest:
            return None
        if self._random.random() >= self.p:
            return None
        self.struck += 1
        return self.struck * 7919 % nbytes, 1 + self.struck % 255


async def settled(link: Link[Note]) -> None:
    """What was sent arrived, or is known as lost."""
    await eventually(lambda: link.state == "up" and not link.statistics().control.unacknowledged)


async def noisy(world: World, striking: Striking) -> tuple[Node, Node, Link[Note], Link[Note]]:
    world.noise = striking
    pair = await world.pair(SMALL)
    striking.on = True
    return pair


async def test_what_a_damaged_frame_held_is_lost_and_its_sender_is_told(ipc_world: World) -> None:
    striking = Striking(0.2, "control")
    one, two, link, _ = await noisy(ipc_world, striking)
    bodies: dict[int, bytes] = {}
    while striking.struck < 5:
        number = len(bodies)
        bodies[number] = f"{number}".encode() * 20
        link.send(Note(number, bodies[number]), 100)
        await settled(link)
    striking.on = False
    await settled(link)
    came = two.recorder.items
    assert all(item.body == bodies[item.number] for item in came)
    assert two.recorder.numbers == sorted(set(two.recorder.numbers)), "in order, none twice"
    lost = {
        number - 1  # sequence numbers begin with 1
        for _, _, lost in one.recorder.downs
        for first, last in lost.control
        for number in range(first, last + 1)
    }
    missing = bodies.keys() - set(two.recorder.numbers)
    assert missing
    assert missing <= lost
    assert link.statistics().control.lost == len(lost)
    assert one.refused["malformed"] + two.refused["malformed"] >= striking.struck
    assert one.endpoint.statistics().handler_errors == 0


async def test_a_transfer_whose_pieces_are_damaged_arrives_whole_and_once(
    ipc_world: World,
) -> None:
    # Pieces alone: each is cut out of a message that goes on.
    striking = Striking(0.15, "bulk", smallest=4 * KIB)
    _, two, link, back = await noisy(ipc_world, striking)
    models = [arrays(300_000, 1), arrays(200, 2), arrays(150_000, 3), arrays(50_000, 4)]
    two.recorder.pool.buffers = len(models)
    transfers = [link.transfer(Note(n), [model], 10, pair=0) for n, model in enumerate(models)]
    await finished(*(transfer.done for transfer in transfers))
    assert [item.number for item, _ in two.recorder.transfers] == [0, 1, 2, 3]
    for (_, (got,)), model in zip(two.recorder.transfers, models, strict=True):
        assert got == model
    assert striking.struck > 3
    assert two.refused["malformed"] == striking.struck
    assert back.statistics().bulk.bytes_in < 1_000_000, "it went on where it was"
    assert link.state == "up", "the other lane never noticed"


async def test_what_is_in_a_frame_is_told_with_it(ipc_world: World) -> None:
    striking = Striking(0.0)
    _, two, link, _ = await noisy(ipc_world, striking)
    await finished(link.transfer(Note(4), [arrays(50_000)], 10, pair=0).done)
    link.send(Note(5), 10)
    await two.recorder.until(lambda: two.recorder.numbers == [5])
    told = {lane: [numbers for each, numbers in striking.seen if each == lane] for lane in LANES}
    assert [5] in told["control"]
    # That it comes, the head of each piece of it and what the piece holds: each is told as its own.
    pieces = -(-arrays(50_000).nbytes // SMALL.chunk)
    assert told["bulk"].count([4]) == 1 + 2 * pieces
    assert [] in told["control"], "a handshake holds no message"


async def test_damage_anywhere_on_the_bulk_lane_changes_no_byte(ipc_world: World) -> None:
    striking = Striking(0.15, "bulk")
    _, two, link, _ = await noisy(ipc_world, striking)
    models = [arrays(size, size) for size in (200_000, 500, 100_000)]
    two.recorder.pool.buffers = len(models)
    transfers = [link.transfer(Note(n), [model], 10, pair=n) for n, model in enumerate(models)]
    await finished(*(transfer.done for transfer in transfers))
    got = {item.number: weights for item, (weights,) in two.recorder.transfers}
    assert len(two.recorder.transfers) == len(models)
    assert [got[number] for number in range(3)] == models
    assert striking.struck > 3


async def test_a_handshake_that_is_damaged_is_made_again(ipc_world: World) -> None:
    striking = Striking(0.5, "control", "bulk")
    striking.on = True
    ipc_world.noise = striking
    one, two = await ipc_world.node("a", SMALL), await ipc_world.node("b", SMALL)
    address = await two.endpoint.listen(ipc_world.address("b"))
    link = one.endpoint.dial(two.id, address)
    await one.recorder.until(lambda: one.recorder.ups)
    while striking.struck < 5:
        link.send(Note(0), 10)
        await settled(link)
    striking.on = False
    await finished(link.transfer(Note(0), [arrays(100_000)], 10, pair=0).done)
    await settled(link)
    link.send(Note(1), 10)
    await two.recorder.until(lambda: two.recorder.numbers[-1:] == [1])


@pytest.mark.parametrize("noisy", ["a", "b"])
async def test_a_piece_without_a_checksum_is_never_damaged(ipc_world: World, noisy: str) -> None:
    striking = Striking(1.0, "bulk", smallest=4 * KIB)
    nodes = {}
    for name in ("a", "b"):
        ipc_world.noise = striking if name == noisy else None
        nodes[name] = await ipc_world.node(name, SMALL)
    address = await nodes["b"].endpoint.listen(ipc_world.address("b"))
    link = nodes["a"].endpoint.dial(nodes["b"].id, address)
    striking.on = True
    model = arrays(100_000)
    await finished(link.transfer(Note(0), [model], 10, pair=0).done)
    ((_, (got,)),) = nodes["b"].recorder.transfers
    assert got == model
    assert striking.struck == 0
