from __future__ import annotations

import io
import tracemalloc
import zlib
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.transports.world import Note, arrays
from transports.errors import ProtocolError
from transports.identity import NodeId
from transports.wire import (
    REFUSALS,
    VERSION,
    Batch,
    Bye,
    Cancel,
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

CONTROL: Codec[Note] = Codec.control(Note)
BULK: Codec[Note] = Codec.bulk(Note)

LAYOUTS = [list(arrays(100).layout)]
HELLO = Hello(VERSION, "c", "bulk", NodeId("a", 1), NodeId("b", 2), 1, 1, 10, b"")
CONTROL_FRAMES = [
    Batch(VERSION, 1, 2**63, 1, 0, [Note(1, b"x"), Note(2)]),
    Batch(VERSION, 1, 2, 1, 0, []),
    HELLO,
    Welcome(VERSION, NodeId("b", 2), NodeId("a", 1), 1, 1, 10),
    Refused(VERSION, "cluster", "another one"),
    Bye(VERSION, 1, 2, "closing"),
]
EVENTS: list[Any] = [
    Parcel(1, Note(1), LAYOUTS, b"x" * 128),
    Handover(2, Note(2), b"t" * 16),
    Open(3, Note(3), LAYOUTS, 128),
    Credit(3, 0, 10),
    Done(1),
    Reject(2, "too large", "no"),
    Cancel(3),
]
BULK_FRAMES = [Batch(VERSION, 1, 2, 1, 0, EVENTS), Chunk(VERSION, 1, 2, 3, 0), HELLO]


@pytest.mark.parametrize("frame", CONTROL_FRAMES, ids=lambda frame: type(frame).__name__)
def test_control_frames_come_back_as_they_were(frame: msgspec.Struct) -> None:
    assert CONTROL.decode(CONTROL.encode(frame)) == frame


@pytest.mark.parametrize("frame", BULK_FRAMES, ids=lambda frame: type(frame).__name__)
def test_bulk_frames_come_back_as_they_were(frame: msgspec.Struct) -> None:
    assert BULK.decode(BULK.encode(frame)) == frame


@pytest.mark.parametrize("frame", [*CONTROL_FRAMES, *BULK_FRAMES])
def test_the_plain_msgpack_package_reads_every_frame(frame: msgspec.Struct) -> None:
    codec = BULK if frame in BULK_FRAMES else CONTROL
    data = codec.encode(frame)
    checksum, body = list(msgpack.Unpacker(io.BytesIO(data), max_buffer_size=1 << 20))
    assert checksum == zlib.crc32(data[5:])
    assert body[1] == VERSION
    if isinstance(frame, Batch) and frame in CONTROL_FRAMES:
        assert body[2:6] == [frame.epoch, frame.to, frame.first, frame.ack]
        assert body[6] == [[note.number, note.body] for note in frame.items]


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_refused(position: int, change: int) -> None:
    data = bytearray(CONTROL.encode(CONTROL_FRAMES[0]))
    data[position % len(data)] ^= change
    with pytest.raises(ProtocolError) as refusal:
        CONTROL.decode(bytes(data))
    assert refusal.value.reason == "malformed"


def checked(body: bytes) -> bytes:
    return b"\xce" + zlib.crc32(body).to_bytes(4, "big") + body


def outcome(codec: Codec[Note], data: bytes) -> str:
    try:
        codec.decode(data)
    except ProtocolError as error:
        return error.reason
    return "a frame"


values = st.recursive(
    st.none() | st.integers(-5, 2**64 - 1) | st.binary(max_size=8) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@given(st.binary(max_size=60) | values.map(msgspec.msgpack.encode))
def test_whatever_comes_is_a_frame_or_a_refusal_from_the_list(body: bytes) -> None:
    for codec in (CONTROL, BULK):
        for data in (body, checked(body)):
            assert outcome(codec, data) in {"a frame", *REFUSALS}


@given(st.sampled_from(CONTROL_FRAMES), st.integers(0, 10_000), st.integers(1, 255))
@example(HELLO, 5, 0xC3)  # text that is none
def test_a_changed_byte_under_a_fitting_checksum_is_a_frame_or_a_refusal(
    frame: msgspec.Struct, position: int, change: int
) -> None:
    body = bytearray(CONTROL.encode(frame)[5:])
    body[position % len(body)] ^= change
    assert outcome(CONTROL, checked(bytes(body))) in {"a frame", *REFUSALS}


@pytest.mark.parametrize("codec", [CONTROL, BULK], ids=["control", "bulk"])
def test_lengths_that_a_frame_only_claims_cost_no_memory(codec: Codec[Note]) -> None:
    """Array, map, text, bytes and extension of 2^32 - 1, wherever a value may stand."""
    tracemalloc.start()
    try:
        for claim in (b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"):
            for fields in range(8):
                claimed = b"\x01" * fields + claim + b"\xff" * 4 + b"\x01" * 20
                for body in (claimed, b"\x97\x00\x01" + claimed, b"\x99\x01\x01" + claimed):
                    assert outcome(codec, checked(body)) in REFUSALS
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=2000) | values.map(msgspec.msgpack.encode))
def test_what_a_frame_takes_is_bounded_by_its_size(body: bytes) -> None:
    data = checked(body)
    tracemalloc.start()
    try:
        outcome(CONTROL, data)
        # An item of one byte becomes an object; the worst of them take a hundred bytes.
        assert tracemalloc.get_traced_memory()[1] < 100 * len(data) + 20_000
    finally:
        tracemalloc.stop()


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ProtocolError):
        CONTROL.decode(checked(b"\x97\x00\x01" + b"\x91" * 100_000))


def test_another_version_is_told_apart_even_when_its_fields_are_unknown() -> None:
    for body in ([0, VERSION + 1, {"a": "map"}], [77, VERSION + 1]):
        with pytest.raises(ProtocolError, match="install the same actorfl") as refusal:
            CONTROL.decode(checked(msgspec.msgpack.encode(body)))
        assert refusal.value.reason == "version"


def test_fields_added_at_the_end_by_a_later_release_are_ignored() -> None:
    body = [4, VERSION, 1, 2, "closing", "a later field"]
    assert CONTROL.decode(checked(msgspec.msgpack.encode(body))) == Bye(VERSION, 1, 2, "closing")


def test_an_item_of_the_wrong_type_is_refused() -> None:
    body = [0, VERSION, 1, 2, 1, 0, [["no number", b""]]]
    with pytest.raises(ProtocolError, match="Expected `int`"):
        CONTROL.decode(checked(msgspec.msgpack.encode(body)))
