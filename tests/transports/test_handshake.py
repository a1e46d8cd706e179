"""Hellos that are not welcome, and strangers who send anything at all."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import msgspec
import pytest
import zmq

from tests.transports.world import LIMIT, Node, Note, World, arrays, eventually, finished
from transports.address import LANES, Address, Lane
from transports.gate import Gate
from transports.identity import NodeId
from transports.limits import Limits
from transports.port import Port
from transports.sockets import Socket
from transports.weights import TensorSpec
from transports.wire import (
    VERSION,
    Batch,
    Bye,
    Chunk,
    Codec,
    Credit,
    Done,
    Handover,
    Hello,
    Open,
    Parcel,
    Refused,
    Reject,
    Welcome,
)

CODECS: dict[Lane, Codec[Note]] = {"control": Codec.control(Note), "bulk": Codec.bulk(Note)}
STRANGER = NodeId("stranger", 99)


class Stranger:
    """A raw socket that speaks as much of the protocol as a test wants."""

    def __init__(self, world: World, lane: Lane) -> None:
        self.lane: Lane = lane
        self.socket = world.context("stranger").socket(zmq.DEALER)
        self.socket.connect(Address.parse(world.address("b")).endpoint(lane))
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()
        self._port = Port(self.socket, self._read)
        world.opened.append(self._port)

    def _read(self, socket: Socket) -> int:
        self._answers.put_nowait(socket.recv(zmq.NOBLOCK))
        return 1

    def send(self, frame: msgspec.Struct, *more: bytes) -> None:
        self.send_raw([CODECS[self.lane].encode(frame), *more])

    def send_raw(self, parts: list[bytes]) -> None:
        for part in parts[:-1]:
            self.socket.send(part, zmq.SNDMORE)
        self.socket.send(parts[-1])
        self._port.touched()

    async def receive(self) -> Any:
        return CODECS[self.lane].decode(await asyncio.wait_for(self._answers.get(), LIMIT))

    def hello(self, target: NodeId, epoch: int = 1, lane: Lane | None = None) -> Hello:
        return Hello(VERSION, "test", lane or self.lane, STRANGER, target, epoch, 1, 1000)

    async def greet(self, target: NodeId) -> None:
        self.send(self.hello(target))
        assert isinstance(await self.receive(), Welcome)

    async def refusal(self) -> str:
        frame = await self.receive()
        assert isinstance(frame, Refused), frame
        assert frame.sentence
        return frame.code


@pytest.fixture
async def listener(world: World) -> Node:
    node = await world.node("b")
    await node.endpoint.listen(world.address("b"))
    return node


def strangers(world: World) -> tuple[Stranger, Stranger]:
    return Stranger(world, "control"), Stranger(world, "bulk")


async def still_works(world: World, listener: Node) -> None:
    """A well-behaved node links up and gets both kinds of traffic through."""
    node = await world.node("good")
    link = node.endpoint.dial(listener.id, world.address("b"))
    link.send(Note(4711), 10)
    await listener.recorder.until(lambda: 4711 in listener.recorder.numbers)
    await finished(link.transfer(Note(1), [arrays(200_000)], 10, pair=0).done)


async def test_another_cluster_is_told_so(world: World, listener: Node) -> None:
    node = await world.node("a", cluster="another")
    link = node.endpoint.dial(listener.id, world.address("b"))
    await node.recorder.until(lambda: node.recorder.downs)
    ((state, reason, _),) = node.recorder.downs
    assert (state, link.state) == ("closed", "closed")
    assert "is of cluster 'test', not of 'another'" in reason
    assert node.refused == {"cluster": 1}
    assert listener.refused["cluster"] >= 1
    assert node.endpoint.link(listener.id) is None


async def test_another_incarnation_is_told_who_listens_there(world: World, listener: Node) -> None:
    node = await world.node("a")
    before = NodeId("b", 10**6)
    node.endpoint.dial(before, world.address("b"))
    await node.recorder.until(lambda: node.recorder.downs)
    assert f"{listener.id} listens here, not {before}" in node.recorder.downs[0][1]
    assert listener.recorder.ups == []


async def test_the_floor_above_may_refuse_a_peer(world: World, listener: Node) -> None:
    listener.recorder.refusal = "this run has no node of that name"
    node = await world.node("a")
    node.endpoint.dial(listener.id, world.address("b"))
    await node.recorder.until(lambda: node.recorder.downs)
    assert "this run has no node of that name" in node.recorder.downs[0][1]
    assert set(listener.recorder.admitted) == {node.id}
    assert listener.endpoint.statistics().links == ()


async def test_links_are_bounded(world: World) -> None:
    listener = await world.node("b", Limits(max_links=1))
    await listener.endpoint.listen(world.address("b"))
    first = await world.node("a")
    first.endpoint.dial(listener.id, world.address("b"))
    await first.recorder.until(lambda: first.recorder.ups)
    second = await world.node("c")
    second.endpoint.dial(listener.id, world.address("b"))
    await second.recorder.until(lambda: second.recorder.downs)
    assert "its limit" in second.recorder.downs[0][1]


async def test_crossed_dials_end_in_one_link(world: World) -> None:
    for order in (False, True):
        one, two = await world.node("a"), await world.node("b")
        where = {
            node.id: await node.endpoint.listen(world.address(f"{node.id.name}{order:d}"))
            for node in (one, two)
        }
        pairs = [(one, two), (two, one)]
        for node, peer in reversed(pairs) if order else pairs:
            node.endpoint.dial(peer.id, where[peer.id])
        await one.recorder.until(lambda: one.recorder.ups)  # noqa: B023  (awaited in the loop)
        await two.recorder.until(lambda: two.recorder.ups)  # noqa: B023
        for node, peer in pairs:
            link = node.endpoint.link(peer.id)
            assert link is not None
            await finished(link.transfer(Note(2), [arrays(100)], 10, pair=0).done)
            link.send(Note(1), 10)
            link.send(Note(2), 10)
            await asyncio.wait_for(link.drain(), LIMIT)
        await one.recorder.until(lambda: one.recorder.numbers == [1, 2])  # noqa: B023
        await two.recorder.until(lambda: two.recorder.numbers == [1, 2])  # noqa: B023
        await one.endpoint.close()
        await two.endpoint.close()


async def test_frames_before_hello_are_refused_and_answered_once(
    world: World, listener: Node
) -> None:
    control, bulk = strangers(world)
    for stranger in (control, bulk):
        for _ in range(10):
            stranger.send(Batch(VERSION, 1, listener.id.incarnation, 1, 0, []))
        assert await stranger.refusal() == "no hello"
        await stranger.greet(listener.id)
    assert listener.refused == {"no hello": 20}
    assert listener.recorder.items == []
    await still_works(world, listener)


@pytest.mark.parametrize("lane", ["control", "bulk"])
async def test_hellos_that_cannot_be_are_refused_by_reason(
    world: World, listener: Node, lane: Lane
) -> None:
    stranger = strangers(world)[lane == "bulk"]
    good = stranger.hello(listener.id)
    other: Lane = "bulk" if lane == "control" else "control"
    for hello, code in (
        (msgspec.structs.replace(good, cluster="x" * 100_000), "cluster"),
        (msgspec.structs.replace(good, lane=other), "lane"),
        (msgspec.structs.replace(good, target=STRANGER), "target"),
        (msgspec.structs.replace(good, source=NodeId("", 1)), "source"),
        (msgspec.structs.replace(good, source=NodeId("n" * 129, 1)), "source"),
        (msgspec.structs.replace(good, source=NodeId("x", -1)), "source"),
        (msgspec.structs.replace(good, source=listener.id), "source"),
        (msgspec.structs.replace(good, epoch=0), "epoch"),
        (msgspec.structs.replace(good, first=0), "sequence"),
    ):
        stranger.send(hello)
        assert await stranger.refusal() == code
    await stranger.greet(listener.id)


async def test_another_version_is_refused_with_what_to_do(world: World, listener: Node) -> None:
    control, _ = strangers(world)
    hello = control.hello(listener.id)
    control.send(msgspec.structs.replace(hello, version=VERSION + 1))
    frame = await control.receive()
    assert isinstance(frame, Refused)
    assert frame.code == "version"
    assert "install the same actorfl" in frame.sentence
    assert listener.refused == {"version": 1}


async def test_an_epoch_counts_once(world: World, listener: Node) -> None:
    first, _ = strangers(world)
    await first.greet(listener.id)
    replay, _ = strangers(world)
    replay.send(replay.hello(listener.id))
    assert await replay.refusal() == "epoch"
    newer, _ = strangers(world)
    newer.send(newer.hello(listener.id, epoch=2))
    assert isinstance(await newer.receive(), Welcome)
    await listener.recorder.until(lambda: len(listener.recorder.ups) == 2)
    assert listener.recorder.downs[0][0] == "down"
    first.send(Batch(VERSION, 1, listener.id.incarnation, 1, 0, [Note(1)]))
    assert await first.refusal() == "epoch"
    assert listener.recorder.items == []


@pytest.mark.parametrize("lane", ["control", "bulk"])
async def test_frames_of_another_epoch_or_for_another_incarnation_are_refused(
    world: World, listener: Node, lane: Lane
) -> None:
    stranger = strangers(world)[lane == "bulk"]
    await stranger.greet(listener.id)
    to = listener.id.incarnation
    item: Any = Note(1) if lane == "control" else Parcel(1, Note(1), [], b"")
    stranger.send(Batch(VERSION, 2, to, 1, 0, [item]))
    stranger.send(Batch(VERSION, 1, to + 1, 1, 0, [item]))
    stranger.send(Bye(VERSION, 1, to + 1, "for another"))
    stranger.send(Batch(VERSION, 1, to, 1, 0, [item]))
    await listener.recorder.until(lambda: listener.recorder.items or listener.recorder.transfers)
    assert listener.refused == {"epoch": 1, "target": 2}
    assert len(listener.recorder.items) + len(listener.recorder.transfers) == 1


async def test_receipts_are_acknowledged_when_a_quarter_of_the_senders_window_is_used(
    world: World,
) -> None:
    listener = await world.node("b", Limits(ack_delay=3600.0))
    await listener.endpoint.listen(world.address("b"))
    control, _ = strangers(world)
    await control.greet(listener.id)  # with a window of 1000 bytes
    for number in range(1, 4):
        control.send(Batch(VERSION, 1, listener.id.incarnation, number, 0, [Note(1, bytes(90))]))
    acknowledgement = await control.receive()
    assert isinstance(acknowledgement, Batch)
    assert (acknowledgement.items, acknowledgement.ack) == ([], 3)


async def test_an_empty_batch_that_acknowledges_nothing_asks_for_what_is_not_acknowledged(
    world: World,
) -> None:
    listener = await world.node("b", Limits(ack_delay=3600.0))
    await listener.endpoint.listen(world.address("b"))
    control, _ = strangers(world)
    await control.greet(listener.id)
    control.send(Batch(VERSION, 1, listener.id.incarnation, 1, 0, [Note(1)]))
    control.send(Batch(VERSION, 1, listener.id.incarnation, 2, 0, []))
    acknowledgement = await control.receive()
    assert isinstance(acknowledgement, Batch)
    assert (acknowledgement.items, acknowledgement.ack) == ([], 1)


async def test_who_is_told_that_dials_crossed_waits_for_the_other_side(world: World) -> None:
    node = await world.node("b")
    await node.endpoint.listen(world.address("b"))
    elsewhere = Address.parse(world.address("s"))
    routers: list[Socket] = []
    for lane in LANES:
        router = world.context("stranger").socket(zmq.ROUTER)
        router.bind(elsewhere.endpoint(lane))
        routers.append(router)
    link = node.endpoint.dial(STRANGER, str(elsewhere))
    await eventually(lambda: int(routers[0].getsockopt(zmq.EVENTS)) & zmq.POLLIN)
    route, hello = routers[0].recv(zmq.NOBLOCK), routers[0].recv(zmq.NOBLOCK)
    assert CODECS["control"].decode(hello).source == node.id
    routers[0].send(route, zmq.SNDMORE)
    routers[0].send(CODECS["control"].encode(Refused(VERSION, "crossed", "I dial you")))
    control, _ = strangers(world)
    await eventually(lambda: node.refused == {"crossed": 1})
    await control.greet(node.id)
    assert link.state == "up"
    assert node.recorder.downs == []
    for router in routers:
        router.close(0)


GARBAGE: list[list[bytes]] = [
    [b""],
    [b"", b"", b""],
    [b"x"],
    [b"\xce\x00\x00\x00\x00\x97"],
    [b"y" * 100_000],
    [b"a", b"b", b"c", b"d"],
    [b"a", b"\x00\x00\x00\x00\x01", CODECS["control"].encode(Bye(VERSION, 1, 2, "spoofed"))],
    [CODECS["control"].encode(Bye(VERSION, 1, 1, "x"))],
    [CODECS["control"].encode(Refused(VERSION, "cluster", "x"))],
    [CODECS["control"].encode(Welcome(VERSION, STRANGER, STRANGER, 1, 1, 1))],
    [CODECS["bulk"].encode(Chunk(VERSION, 1, 1, 1, 0)), b"z" * 1000],
]


@pytest.mark.parametrize("greeted", [False, True])
async def test_garbage_is_refused_and_crashes_nothing(
    world: World, listener: Node, greeted: bool
) -> None:
    sent = 0
    for garbage in GARBAGE:
        for stranger in strangers(world):
            sent += 1
            if greeted:
                stranger.send(stranger.hello(listener.id, epoch=sent))
                assert isinstance(await stranger.receive(), Welcome)
            stranger.send_raw(garbage)
            if not greeted:
                assert await stranger.refusal()
    await eventually(lambda: sum(listener.refused.values()) == sent)
    await still_works(world, listener)
    assert listener.endpoint.statistics().handler_errors == 0
    assert listener.recorder.numbers == [4711]


LAYOUT = [TensorSpec("x", "uint8", (640,), 0)]
TOO_LONG = [TensorSpec("x", "uint8", (2**40,), 0)]


async def test_transfer_events_that_cannot_be_are_refused_one_by_one(world: World) -> None:
    listener = await world.node("b", Limits(chunk=256, inline=64))
    await listener.endpoint.listen(world.address("b"))
    _, bulk = strangers(world)
    await bulk.greet(listener.id)
    refused = [
        (Parcel(1, Note(1), [LAYOUT], b"short"), "layout"),
        (Parcel(2, Note(1), [[]], b"x" * 64), "layout"),
        (Handover(3, Note(1), b"no such token"), "hand-over"),
        (Open(4, Note(1), [TOO_LONG], 2**40), "too large"),
        (Open(5, Note(1), [LAYOUT], 64), "layout"),
    ]
    harmless = [Credit(77, 0, 10), Done(77), Reject(77, "nonsense", "x" * 10_000)]
    events = [event for event, _ in refused]
    bulk.send(Batch(VERSION, 1, listener.id.incarnation, 1, 0, [*events, *harmless]))
    answers: list[Any] = []
    while len(answers) < len(refused):
        frame = await bulk.receive()
        assert isinstance(frame, Batch)
        answers += frame.items
    assert [(a.transfer, a.code) for a in answers] == [
        (number, code) for number, (_, code) in enumerate(refused, 1)
    ]
    # An honest transfer, then pieces that do not fit it.
    to = listener.id.incarnation
    opened = Batch(VERSION, 1, to, 9, 0, [Open(9, Note(9), [LAYOUT], 640)])
    bulk.send(opened)
    frame = await bulk.receive()
    assert isinstance(frame, Batch)
    assert frame.items == [Credit(9, 0, 640)]
    bulk.send(Chunk(VERSION, 1, to, 9, 64), b"x" * 64)  # not where it left off
    bulk.send(Chunk(VERSION, 1, to, 8, 0), b"x" * 64)  # no such transfer
    bulk.send(Chunk(VERSION, 1, to, 9, 0), b"x" * 641)  # too many
    frame = await bulk.receive()
    assert isinstance(frame, Batch)
    assert [(e.transfer, e.code) for e in frame.items] == [(9, "transfer")]
    bulk.send(Chunk(VERSION, 1, to, 9, 0))  # a header without a piece: begin anew
    assert await bulk.refusal() == "malformed"
    assert listener.recorder.transfers == []
    await still_works(world, listener)


def test_the_memory_of_the_gate_is_bounded() -> None:
    gate = Gate(NodeId("a", 1), "test", Limits(max_fenced=3))
    for n in range(10):
        gate.fence(NodeId("x", n), "dead")
        gate.retire("control", bytes([n]), "fenced")
    assert gate.fenced == 3
    assert gate.code("control", bytes([9])) == "fenced"
    assert gate.code("control", bytes([0])) == "no hello"
    assert gate.turn_away("control", bytes([9]))
    assert not gate.turn_away("control", bytes([9]))
    assert gate.code("bulk", bytes([9])) == "no hello"


@pytest.mark.parametrize("lane", ["control", "bulk"])
async def test_parts_behind_a_frame_are_refused_with_it(
    world: World, listener: Node, lane: Lane
) -> None:
    stranger = strangers(world)[lane == "bulk"]
    await stranger.greet(listener.id)
    to = listener.id.incarnation
    item: Any = Note(1) if lane == "control" else Parcel(1, Note(1), [], b"")
    stranger.send(Batch(VERSION, 1, to, 1, 0, [item]), b"more", b"and more")
    await eventually(lambda: listener.refused == {"malformed": 1})
    assert not listener.recorder.items
    assert not listener.recorder.transfers
    await still_works(world, listener)


async def test_text_that_is_none_is_refused_and_the_bulk_lane_begins_anew(
    world: World, listener: Node
) -> None:
    _, bulk = strangers(world)
    await bulk.greet(listener.id)
    broken = bytearray(CODECS["bulk"].encode(bulk.hello(listener.id))[5:])
    at = broken.index(b"test")
    broken[at] = 0xFF
    bulk.send_raw([b"\xce" + zlib.crc32(broken).to_bytes(4, "big") + bytes(broken)])
    assert await bulk.refusal() == "malformed"
    await still_works(world, listener)


async def test_a_new_connection_does_not_hide_that_the_one_before_lost_something(
    world: World, listener: Node
) -> None:
    stranger = Stranger(world, "control")
    await stranger.greet(listener.id)
    link = listener.recorder.ups[0]
    link.send(Note(1), 10)
    await stranger.receive()
    # In one turn of the loop: a send fails, and the peer is back before that is told.
    link.channel("control")._break("the connection is gone")
    again = stranger.hello(listener.id, epoch=2)
    listener.endpoint._on_hello("control", b"\0another", again)
    ((state, _, lost),) = listener.recorder.downs
    assert (state, lost.control) == ("down", ((1, 1),))
    assert link.statistics().control.unacknowledged == 0
