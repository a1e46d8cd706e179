"""An endpoint whose incoming frames get damaged on purpose, to test what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from transports.address import Lane
from transports.endpoint import Endpoint
from transports.errors import ProtocolError
from transports.link import Link
from transports.reading import Part
from transports.sockets import Socket
from transports.wire import (
    Again,
    Batch,
    Cancel,
    Chunk,
    Credit,
    Done,
    Handover,
    Hello,
    Open,
    Parcel,
    Reject,
)

I = TypeVar("I")  # noqa: E741  (the item type of the floor above)


class Noise(Protocol):
    """What damages frames."""

    def strike(
        self, source: str, lane: Lane, nbytes: int, items: Sequence[Any]
    ) -> tuple[int, int] | None:
        """Whether one byte of a frame arrives changed.

        A checksum tells each such change, so that no damage goes unnoticed.

        Args:
            source: name of the node that sent it.
            lane: on which it came.
            nbytes: how long it is, above 0.
            items: the messages in it, or the one whose arrays it holds a piece of; none in the
                frames of a connection's own.

        Returns:
            The byte's position and which of its bits are inverted, 1 to 255; None for no damage.
        """
        ...


class NoisyEndpoint(Endpoint[I], Generic[I]):
    """Damages what comes from other nodes before it looks at it; its own pieces have checksums.

    A piece of a transfer is damaged only if it has a checksum itself.

    Args:
        *args: as of ``Endpoint``.
        noise: what damages frames.
        **named: as of ``Endpoint``.
    """

    def __init__(self, *args: Any, noise: Noise, **named: Any) -> None:
        super().__init__(*args, **named, checksums=True)
        self._noise = noise

    def _receive(
        self, lane: Lane, link: Link[I] | None, route: bytes | None, part: Part, socket: Socket
    ) -> int:
        data, more = part
        try:
            frame = self._codecs[lane].decode(data)
        except ProtocolError:
            frame = None
        source = frame.source.name if isinstance(frame, Hello) else None
        if link is not None:
            source = None if link.local else link.peer.name
        if source is not None:
            items = _items_of(frame, link)
            struck = self._noise.strike(source, lane, len(data), items)
            if struck is not None:
                damaged = bytearray(data)
                _invert(damaged, *struck)
                part = bytes(damaged), more
            elif isinstance(frame, Chunk) and frame.checksum is not None:
                socket = _NoisySocket(socket, lambda n: self._noise.strike(source, lane, n, items))
        return super()._receive(lane, link, route, part, socket)

    def _take(
        self, lane: Lane, link: Link[I] | None, route: bytes | None, data: bytes, socket: Socket
    ) -> int:
        return self._receive(lane, link, route, (data, False), socket)


def _items_of(frame: Any, link: Link[Any] | None) -> list[Any]:
    if isinstance(frame, Chunk) and link is not None:
        item = link.arriving(frame.transfer)
        return [] if item is None else [item]
    if not isinstance(frame, Batch):
        return []
    found = []
    for each in frame.items:
        if isinstance(each, Parcel | Again | Handover | Open):
            found.append(each.item)
        elif not isinstance(each, Credit | Done | Reject | Cancel):
            found.append(each)
    return found


class _NoisySocket:
    """The socket, while a piece is read from it."""

    def __init__(self, socket: Socket, strike: Callable[[int], tuple[int, int] | None]) -> None:
        self._socket = socket
        self._strike = strike

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv_into(self, buffer: Any, /, *, flags: int = 0) -> int:
        nbytes = self._socket.recv_into(buffer, flags=flags)
        memory = memoryview(buffer).cast("B")
        # One that does not fit is refused as that.
        if 0 < nbytes <= memory.nbytes:
            struck = self._strike(nbytes)
            if struck is not None:
                _invert(memory, *struck)
        return nbytes


def _invert(memory: bytearray | memoryview, position: int, bits: int) -> None:
    memory[position] ^= bits
