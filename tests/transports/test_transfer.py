"""The pure state of transfers, driven without sockets: any sizes, pairs, orders and cuts."""

from __future__ import annotations

import gc
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transports.world import Note
from transports.errors import ProtocolError
from transports.limits import Limits
from transports.transfer import (
    Inbound,
    Incoming,
    Outbound,
    Outgoing,
    Piece,
)
from transports.weights import TensorSpec, Weights
from transports.wire import Again, Handover, Open, Parcel

LIMITS = Limits(chunk=128, chunk_window=3, inline=64, max_transfers=50)


def weights(nbytes: int) -> Weights:
    return Weights.of({"x": np.arange(nbytes, dtype=np.uint8)})


@dataclass
class Wire:
    """Both ends of a link's bulk lane, with the frames between them in two queues."""

    outbound: Outbound[Note] = field(default_factory=lambda: Outbound(LIMITS))
    inbound: Inbound[Note] = field(default_factory=lambda: Inbound(LIMITS))
    forth: deque[Any] = field(default_factory=deque)
    back: deque[Any] = field(default_factory=deque)
    delivered: list[tuple[int, list[Weights]]] = field(default_factory=list)
    most_in_flight: int = 0

    def pump(self) -> None:
        while (step := self.outbound.next()) is not None:
            if isinstance(step, Piece):
                self.forth.append((step.transfer.number, step.offset, bytes(step.data)))
            else:
                self.forth.append(step)
        in_flight = sum(len(f[2]) for f in self.forth if isinstance(f, tuple))
        self.most_in_flight = max(self.most_in_flight, in_flight)

    def receive(self) -> None:
        frame = self.forth.popleft()
        if isinstance(frame, tuple):
            number, offset, data = frame
            incoming, memory = self.inbound.expect(number, offset)
            memory[: len(data)] = data
            if self.inbound.received(incoming, len(data)):
                self.deliver(number, incoming.item, incoming.weights())
            else:
                for each in self.inbound.pay(LIMITS.transfer_window):
                    self.back.append(("credit", each.number, each.received, each.allowed))
            return
        known = self.inbound.known(frame.transfer)
        if known == "delivered":
            if isinstance(frame, Parcel):
                self.inbound.parcel(frame)
            self.back.append(("done", frame.transfer))
        elif isinstance(frame, Parcel):
            self.deliver(frame.transfer, frame.item, self.inbound.parcel(frame))
        elif isinstance(frame, Again):
            self.deliver(frame.transfer, frame.item, self.inbound.again(frame))
        elif isinstance(frame, Open):
            incoming = known if isinstance(known, Incoming) else self.inbound.open(frame)
            buffer = incoming.buffer or memoryview(bytearray(incoming.total))
            self.inbound.landed(incoming, buffer)
            self.back.append(("credit", frame.transfer, incoming.received, incoming.allowed))

    def deliver(self, number: int, item: Note, arrays: list[Weights]) -> None:
        self.inbound.delivered(number)
        self.delivered.append((item.number, arrays))
        self.back.append(("done", number))

    def answer(self) -> None:
        kind, number, *rest = self.back.popleft()
        if kind == "credit":
            self.outbound.credit(number, *rest)
        else:
            self.outbound.end(number)

    def cut(self) -> None:
        self.forth.clear()
        self.back.clear()
        self.outbound.cut()
        self.inbound.cut()


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.lists(st.sampled_from([0, 1, 64, 65, 300, 1000]), max_size=2)
        ),
        max_size=12,
    ),
    st.lists(st.sampled_from("rrrraaaa") | st.just("cut"), max_size=60),
)
def test_every_transfer_arrives_once_whole_and_in_the_order_of_its_pair(
    transfers: list[tuple[int, list[int]]], schedule: list[str]
) -> None:
    wire = Wire()
    # Of equal sizes they are the same objects, which may go by what went before.
    made = {size: weights(size) for size in (0, 1, 64, 65, 300, 1000)}
    models = [[made[size] for size in sizes] for _, sizes in transfers]
    for number, ((pair, _), model) in enumerate(zip(transfers, models, strict=True)):
        wire.outbound.add(Note(number), model, pair)
    steps = deque(schedule)
    for _ in range(10_000):
        wire.pump()
        if steps and steps[0] == "cut":
            steps.popleft()
            wire.cut()
            continue
        choice = steps.popleft() if steps else "r" if wire.forth else "a"
        if choice == "r" and wire.forth:
            wire.receive()
        elif choice == "a" and wire.back:
            wire.answer()
        elif not wire.forth and not wire.back and not steps:
            break
    assert len(wire.outbound) == 0
    assert len(wire.inbound) == 0
    assert sorted(number for number, _ in wire.delivered) == list(range(len(transfers)))
    for number, got in wire.delivered:
        assert got == models[number]
    for pair in range(3):
        mine = [number for number, _ in wire.delivered if transfers[number][0] == pair]
        assert mine == sorted(mine)
    assert wire.most_in_flight <= LIMITS.transfer_window


def test_a_large_transfer_goes_on_where_the_receiver_has_it() -> None:
    wire = Wire()
    wire.outbound.add(Note(0), [weights(1024)], "pair")
    for _ in range(8):
        wire.pump()
        if wire.forth:
            wire.receive()
        if wire.back:
            wire.answer()
    (incoming,) = wire.inbound._open.values()
    had = incoming.received
    assert 0 < had < 1024
    wire.cut()
    wire.pump()
    wire.receive()
    wire.answer()
    wire.pump()
    assert wire.forth[0][1] == had


def test_a_hand_over_is_asked_for_once_and_keeps_its_place() -> None:
    asked: list[int] = []

    def hand_over(transfer: Outgoing[Note]) -> bytes | None:
        asked.append(transfer.number)
        return b"token" if transfer.number == 2 else None

    outbound: Outbound[Note] = Outbound(LIMITS, hand_over)
    for number in range(3):
        outbound.add(Note(number), [weights(10)], "pair")
    events = [outbound.next() for _ in range(3)]
    assert [type(event) for event in events] == [Parcel, Handover, Parcel]
    outbound.cut()
    assert isinstance(outbound.next(), Parcel)
    assert isinstance(outbound.next(), Handover)
    assert asked.count(2) == 1


def test_small_transfers_wait_for_room_too() -> None:
    outbound: Outbound[Note] = Outbound(LIMITS)
    for number in range(20):
        outbound.add(Note(number), [weights(64)], number)
    sent = 0
    while outbound.next() is not None:
        sent += 1
    assert sent == LIMITS.transfer_window // 64
    outbound.end(1)
    assert outbound.next() is not None
    assert outbound.next() is None


def test_withdrawing_lets_the_next_of_the_pair_pass() -> None:
    outbound: Outbound[Note] = Outbound(LIMITS)
    first = outbound.add(Note(0), [weights(1000)], "pair")
    second = outbound.add(Note(1), [weights(1000)], "pair")
    third = outbound.add(Note(2), [weights(10)], "pair")
    assert isinstance(outbound.next(), Open)
    assert outbound.next() is None
    assert outbound.withdraw(first), "it had begun"
    assert not outbound.withdraw(second), "it had not"
    assert not outbound.withdraw(second)
    event = outbound.next()
    assert isinstance(event, Parcel)
    assert event.transfer == third.number
    assert len(outbound) == 1


def test_closing_tells_which_transfers_had_begun() -> None:
    outbound: Outbound[Note] = Outbound(LIMITS)
    for number in range(4):
        outbound.add(Note(number), [weights(1000)], number)
    outbound.add(Note(4), [weights(1000)], 0)
    for _ in range(4):
        assert isinstance(outbound.next(), Open)
    outbound.end(3)
    transfers, ranges, over = outbound.close()
    assert (ranges, over) == (((1, 2), (4, 4)), ((3, 3),))
    assert {transfer.number for transfer in transfers} == {1, 2, 4, 5}
    assert len(outbound) == 0


@pytest.mark.parametrize(("received", "allowed"), [(-1, 100), (2000, 2000), (1000, 1000)])
def test_credit_for_what_was_never_sent_is_refused(received: int, allowed: int) -> None:
    outbound: Outbound[Note] = Outbound(LIMITS)
    outbound.add(Note(0), [weights(960)], "pair")
    outbound.next()
    with pytest.raises(ProtocolError) as refusal:
        outbound.credit(1, received, allowed)
    assert refusal.value.reason == "transfer"
    assert outbound.credit(99, 0, 0) is None, "a transfer that is over"


def test_pieces_that_do_not_fit_are_refused() -> None:
    inbound: Inbound[Note] = Inbound(LIMITS)
    layout = [TensorSpec("x", "uint8", (640,), 0)]
    with pytest.raises(ProtocolError):
        inbound.expect(1, 0)
    incoming = inbound.open(Open(1, Note(0), [layout], 640))
    with pytest.raises(ProtocolError):
        inbound.expect(1, 0)  # no memory, so no credit yet
    inbound.landed(incoming, memoryview(bytearray(640)))
    for offset in (-1, 64, 640):
        with pytest.raises(ProtocolError):
            inbound.expect(1, offset)
    _, memory = inbound.expect(1, 0)
    assert memory.nbytes == LIMITS.transfer_window
    for nbytes in (0, LIMITS.transfer_window + 1):
        with pytest.raises(ProtocolError):
            inbound.received(incoming, nbytes)


def test_what_a_peer_opens_is_bounded_and_checked() -> None:
    limits = Limits(max_transfers=2, max_transfer=1000, max_arrays=3)
    inbound: Inbound[Note] = Inbound(limits)
    layout = [TensorSpec("x", "uint8", (640,), 0)]
    inbound.open(Open(1, Note(0), [layout], 640))
    for event, reason in (
        (Open(2, Note(0), [layout], 704), "layout"),
        (Open(2, Note(0), [layout], 576), "layout"),
        (Open(2, Note(0), [layout, layout], 1280), "too large"),
        (Open(2, Note(0), [layout, [], [], []], 640), "too large"),
        (Open(2, Note(0), [], 0), "transfer"),
        (Open(2, Note(0), [layout], -640), "transfer"),
    ):
        with pytest.raises(ProtocolError) as refusal:
            inbound.open(event)
        assert refusal.value.reason == reason
    assert len(inbound) == 1
    inbound.open(Open(2, Note(0), [layout], 640))
    with pytest.raises(ProtocolError, match="more than 2 transfers"):
        inbound.open(Open(3, Note(0), [layout], 640))


def test_the_memory_of_what_was_delivered_is_bounded() -> None:
    inbound: Inbound[Note] = Inbound(Limits(max_transfers=5))
    for number in range(100):
        inbound.delivered(number)
    assert inbound.known(99) == "delivered"
    assert len(inbound._delivered) == 10


def kinds(outbound: Outbound[Note]) -> list[str]:
    """What it sends now."""
    found = []
    while (step := outbound.next()) is not None:
        found.append(type(step).__name__)
    return found


def test_arrays_that_went_last_go_by_their_number_as_long_as_the_peer_has_them() -> None:
    outbound: Outbound[Note] = Outbound(LIMITS)
    model, other = weights(64), weights(64)
    equal = weights(64)
    for number, sent in enumerate([[model], [model], [equal], [other], [model], [model, model]]):
        outbound.add(Note(number), sent, pair=number)
    assert kinds(outbound) == ["Parcel", "Again", "Parcel", "Parcel", "Parcel", "Open"]
    outbound.cut()
    assert kinds(outbound) == ["Parcel", "Again", "Parcel", "Parcel", "Parcel", "Open"]
    outbound.add(Note(6), [model], pair=6)
    outbound.add(Note(7), [], pair=7)
    assert kinds(outbound) == ["Again", "Parcel"]
    outbound.add(Note(8), [], pair=8)
    outbound.add(Note(9), [model], pair=9)
    outbound.parcel.forget()
    assert kinds(outbound) == ["Parcel", "Parcel"]


def test_arrays_that_are_not_the_last_that_came_are_refused() -> None:
    inbound: Inbound[Note] = Inbound(LIMITS)
    layout = [list(weights(64).layout)]
    with pytest.raises(ProtocolError, match="transfer 1 is not the last that came whole"):
        inbound.again(Again(2, Note(2), 1))
    (first,) = inbound.parcel(Parcel(1, Note(1), layout, bytes(range(64))))
    (second,) = inbound.again(Again(2, Note(2), 1))
    first.release()
    assert second["x"].tolist() == list(range(64))
    assert second["x"].ctypes.data % 64 == 0
    inbound.parcel(Parcel(3, Note(3), layout, bytes(64)))
    assert second["x"].tolist() == list(range(64))
    with pytest.raises(ProtocolError, match="transfer 1 is not the last"):
        inbound.again(Again(4, Note(4), 1))
    with pytest.raises(ProtocolError):
        inbound.parcel(Parcel(5, Note(5), layout, b"short"))
    for number in (3, 5):
        with pytest.raises(ProtocolError, match="not the last"):
            inbound.again(Again(6, Note(6), number))
    inbound.parcel(Parcel(7, Note(7), layout, bytes(64)))
    inbound.cut()
    with pytest.raises(ProtocolError, match="not the last"):
        inbound.again(Again(8, Note(8), 7))


def test_a_sender_holds_no_arrays_that_nobody_else_holds() -> None:
    outbound: Outbound[Note] = Outbound(LIMITS)
    model = weights(64)
    alive = weakref.ref(model)
    transfer = outbound.add(Note(0), [model], pair=0)
    assert kinds(outbound) == ["Parcel"]
    outbound.end(transfer.number)
    del model, transfer
    gc.collect()
    assert alive() is None
