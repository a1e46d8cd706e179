"""The wire format: one MessagePack frame per batch, with a checksum; nothing is ever unpickled.

A frame is two MessagePack values in a row: a uint32, the crc32 of all bytes after it, and an array
whose first element is the frame's kind and whose second is the protocol version. Any MessagePack
reader reads it. New fields are added at the end only, with defaults.

On the bulk lane a ``Chunk`` frame is followed by one raw frame: the piece of the arrays itself. It
has a checksum only where its sender expects damage: TCP, the kernel and CURVE check it anyway.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from zlib import crc32

import msgspec

from transports.address import Lane
from transports.errors import DamagedFrame, ProtocolError
from transports.identity import NodeId
from transports.weights import TensorSpec

I = TypeVar("I")  # noqa: E741  (the item type of the floor above)

VERSION: Final = 2
"""Protocol version; only equal ones talk to each other."""

REFUSALS: Final = (
    "malformed",  # not a frame of this protocol, or a checksum that does not fit
    "no hello",  # the connection has not said who it is
    "version",  # another protocol version
    "cluster",  # another cluster
    "lane",  # a hello on the socket of the other lane
    "target",  # addressed to another node or incarnation
    "source",  # a hello whose sender cannot be one: bad name, or ourselves
    "epoch",  # from a connection that has been replaced
    "fenced",  # from an incarnation that was declared dead
    "admission",  # the floor above does not know this peer
    "crossed",  # both sides dialled; the lower node's connection stays
    "links",  # more peers than Limits.max_links
    "sequence",  # a sequence number or acknowledgement that cannot be
    "transfer",  # a transfer event that does not fit the transfer's state
    "layout",  # arrays that do not fit together
    "too large",  # more bytes or entries than the limits allow
    "handler",  # the floor above raised while it was asked
    "hand-over",  # a token of no waiting hand-over
)
"""Every reason under which something from the wire is refused and counted."""

MAX_SENTENCE: Final = 1024
"""Characters of a reason that a peer may send us; the rest is cut before it reaches a log."""


MAX_BATCH: Final = 65_536
"""Items in one batch. Stops a peer from making one decoding hold the loop for long."""


class Batch(msgspec.Struct, Generic[I], array_like=True, tag=0):
    """What one tick sends over one lane.

    Attributes:
        version: protocol version.
        epoch: number of the connection within this pair of incarnations and lane, from 1.
        to: incarnation of the receiver; libzmq may hand a frame to the successor of the dead.
        first: sequence number of ``items[0]``, from 1, continued over epochs.
        ack: sequence number up to which this side has received everything on this lane.
        items: messages, or transfer events on the bulk lane.
    """

    version: int
    epoch: int
    to: int
    first: int
    ack: int
    items: list[I]


class Hello(msgspec.Struct, array_like=True, tag=1):
    """First frame on a connection, from the dialler.

    Attributes:
        version: protocol version.
        cluster: name of the cluster; strangers on the same address are told so.
        lane: "control" or "bulk".
        source: who dials.
        target: who is meant.
        epoch: number of this connection, larger than any before.
        first: sequence number of the first item that will be sent.
        window: bytes the sender keeps unacknowledged at most.
        process: random token of the sender's process where memory can be shared, else empty.
    """

    version: int
    cluster: str
    lane: Lane
    source: NodeId
    target: NodeId
    epoch: int
    first: int
    window: int
    process: bytes = b""


class Welcome(msgspec.Struct, array_like=True, tag=2):
    """Answer to a hello; the fields mean what they mean there."""

    version: int
    source: NodeId
    target: NodeId
    epoch: int
    first: int
    window: int
    process: bytes = b""


class Refused(msgspec.Struct, array_like=True, tag=3):
    """Answer to a hello that is not welcome.

    Attributes:
        version: protocol version of the refusing side.
        code: one of ``REFUSALS``.
        sentence: why, for people.
    """

    version: int
    code: str
    sentence: str


class Bye(msgspec.Struct, array_like=True, tag=4):
    """The sender closes this link for good.

    Attributes:
        version: protocol version.
        epoch: as in ``Batch``.
        to: as in ``Batch``.
        reason: why, for people.
    """

    version: int
    epoch: int
    to: int
    reason: str


class Chunk(msgspec.Struct, array_like=True, tag=5):
    """Header of the raw frame that follows it.

    Attributes:
        version: protocol version.
        epoch: as in ``Batch``.
        to: as in ``Batch``.
        transfer: the transfer's number.
        offset: bytes of the transfer before this piece.
        checksum: crc32 of the piece; None where its sender takes none.
    """

    version: int
    epoch: int
    to: int
    transfer: int
    offset: int
    checksum: int | None = None


# Events of transfers; they travel as the items of bulk batches.


class Parcel(msgspec.Struct, Generic[I], array_like=True, tag=0):
    """A whole small transfer.

    Attributes:
        transfer: its number, from 1, growing with each transfer of this link and direction.
        item: the message the arrays belong to.
        layouts: one layout for each ``Weights``.
        body: the buffers of all, one after the other.
    """

    transfer: int
    item: I
    layouts: list[list[TensorSpec]]
    body: bytes


class Handover(msgspec.Struct, Generic[I], array_like=True, tag=1):
    """A transfer within one process: the arrays wait in a table under a random token."""

    transfer: int
    item: I
    token: bytes


class Open(msgspec.Struct, Generic[I], array_like=True, tag=2):
    """A large transfer begins: the receiver grants credit when it has memory for it.

    Attributes:
        transfer: its number.
        item: the message the arrays belong to.
        layouts: one layout for each ``Weights``.
        total: bytes of all buffers, one after the other.
    """

    transfer: int
    item: I
    layouts: list[list[TensorSpec]]
    total: int


class Again(msgspec.Struct, Generic[I], array_like=True, tag=7):
    """A whole small transfer of the same arrays as the last ``Parcel`` on this connection.

    Attributes:
        transfer: its number.
        item: the message the arrays belong to.
        of: the number of that parcel.
    """

    transfer: int
    item: I
    of: int


class Credit(msgspec.Struct, array_like=True, tag=3):
    """The receiver has a transfer up to ``received`` and takes it up to ``allowed`` (bytes)."""

    transfer: int
    received: int
    allowed: int


class Done(msgspec.Struct, array_like=True, tag=4):
    """The receiver has the whole transfer and has passed it on."""

    transfer: int


class Reject(msgspec.Struct, array_like=True, tag=5):
    """The receiver does not take this transfer."""

    transfer: int
    code: str
    sentence: str


class Cancel(msgspec.Struct, array_like=True, tag=6):
    """The sender gives this transfer up."""

    transfer: int


@dataclass(frozen=True, slots=True)
class Codec(Generic[I]):
    """Encodes and decodes the frames of one lane.

    Args:
        encoder: shared by all frames.
        decoder: of the union of this lane's frame types.
    """

    encoder: msgspec.msgpack.Encoder
    decoder: msgspec.msgpack.Decoder[Any]

    @staticmethod
    def control(item: type[Any]) -> Codec[Any]:
        """The codec of a control lane whose batches hold ``item``."""
        union: Any = Batch[item] | Hello | Welcome | Refused | Bye  # type: ignore[valid-type]  # made at run time from the floor above's type
        return Codec(msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(union))

    @staticmethod
    def bulk(item: type[Any]) -> Codec[Any]:
        """The codec of a bulk lane whose transfers carry ``item``."""
        event: Any = (
            Parcel[item]  # type: ignore[valid-type]  # made at run time from the floor above's type
            | Again[item]  # type: ignore[valid-type]
            | Handover[item]  # type: ignore[valid-type]
            | Open[item]  # type: ignore[valid-type]
            | Credit
            | Done
            | Reject
            | Cancel
        )
        union: Any = Batch[event] | Hello | Welcome | Refused | Bye | Chunk
        return Codec(msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(union))

    def encode(self, frame: msgspec.Struct) -> bytes:
        """The bytes of a frame, checksum first.

        Raises:
            TypeError: an item holds what MessagePack cannot carry.
        """
        # Joining costs a third of encoding into a buffer that was begun with the checksum.
        body = self.encoder.encode(frame)
        return _PREFIX.pack(CODE, crc32(body)) + body

    def decode(self, data: bytes) -> Any:
        """The frame in these bytes.

        Raises:
            DamagedFrame: its checksum does not fit.
            ProtocolError: reason "malformed" or "version".
        """
        size = len(data)
        if size < _LEAST:
            raise DamagedFrame(f"a frame of {size} bytes has no checksum")
        # Below some kilobytes a copy is faster than a view.
        body = data[5:] if size < 4096 else memoryview(data)[5:]
        if data[:5] != with_checksum(CODE, crc32(body)):
            raise DamagedFrame("a frame's checksum does not fit its bytes")
        # Header, kind and version take one byte each, so that any version's frames are told apart
        # before their fields are read.
        if body[2] != VERSION:
            raise ProtocolError(
                "version",
                f"a frame of protocol version {body[2]} met version {VERSION}: install the same "
                "actorfl on all nodes",
            )
        try:
            return self.decoder.decode(body)
        except Exception as error:  # msgspec lets through what text that is none raises, and depth
            raise ProtocolError("malformed", f"a frame cannot be read: {error}") from error


CODE: Final = 0xCE
"""MessagePack's type byte of a uint32, as which the checksum goes first."""
_PREFIX: Final = struct.Struct(">BI")
with_checksum: Final = _PREFIX.pack
CHECKSUM: Final = _PREFIX.size
"""Bytes that it takes."""
_LEAST: Final = CHECKSUM + 3
