"""What the transports need of ZeroMQ, as protocols: real sockets and simulated ones fit them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal, Protocol, cast, overload

import zmq
from zmq.utils.monitor import parse_monitor_message

from transports.address import Address
from transports.clock import Clock
from transports.errors import AddressError

_MONITOR_NUMBERS: Final = itertools.count()

_READABLE: Final = int(zmq.POLLIN)

_PORT_PATIENCE: Final = 0.5
"""Seconds for a port to become free: libzmq lets go of one in a thread of its own, some time after
it was unbound."""
_PORT_POLL: Final = 0.01

_ENDED: Final = (
    zmq.EVENT_CLOSED
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)


class Frame(Protocol):
    """A part of a message as it came. Asking it costs a third of asking the socket."""

    @property
    def bytes(self) -> bytes:
        """What it holds."""
        ...

    @property
    def more(self) -> bool:
        """Whether a further part of its message follows."""
        ...


class Socket(Protocol):
    """The calls of ``zmq.Socket`` that the transports make; nothing blocks.

    Numbers of options and flags, and errors, are those of ZeroMQ.
    """

    @property
    def closed(self) -> bool:
        """Whether the socket was closed."""
        ...

    def setsockopt(self, option: int, optval: int, /) -> None:
        """Set an option."""
        ...

    def getsockopt(self, option: int, /) -> int | bytes:
        """Read ``EVENTS`` or ``RCVMORE``."""
        ...

    def bind(self, addr: str, /) -> object:
        """Listen at an address.

        Raises:
            zmq.ZMQError: EADDRINUSE, or another reason why not.
        """
        ...

    def unbind(self, addr: str, /) -> object:
        """Listen there no longer."""
        ...

    def connect(self, addr: str, /) -> object:
        """Connect to an address; whether it succeeds shows later."""
        ...

    def send(self, data: Any, /, flags: int = ..., copy: bool = ...) -> object:
        """Send a part of a message.

        Raises:
            zmq.Again: there is no connection.
            zmq.ZMQError: EHOSTUNREACH, from a ROUTER whose first part names no connection.
        """
        ...

    # The next part of a message: its bytes, or the part as it came. Raises zmq.Again where there
    # is none.

    @overload
    def recv(self, flags: int = ..., /) -> bytes: ...

    @overload
    def recv(self, flags: int, /, *, copy: Literal[False]) -> Frame: ...

    def recv_into(self, buffer: Any, /, *, flags: int = ...) -> int:
        """Write the next part into memory and give its true size, which may exceed the memory's.

        Raises:
            zmq.Again: there is none.
        """
        ...

    def close(self, linger: int | None = ..., /) -> object:
        """Close; ``linger`` milliseconds may pass until what was sent has left."""
        ...


class Signals(Protocol):
    """A running watch over a socket."""

    def stop(self) -> None:
        """Watch no longer; called before the socket is closed."""
        ...


class Ticks(Protocol):
    """What counts the turns of a loop, or of a socket on it."""

    @property
    def tick(self) -> int:
        """Grows from one to the next."""
        ...


class Watched(Socket, Protocol):
    """A socket that calls back by itself instead of through a descriptor."""

    @property
    def ticks(self) -> Ticks:
        """The turns of its loop."""
        ...

    def watch(
        self,
        readable: Callable[[], None],
        ended: Callable[[], None] | None,
        take: Callable[[Any, bytes], None] | None = None,
    ) -> Signals:
        """Call back on the loop as ``watch`` of this module says."""
        ...

    def readable(self) -> bool:
        """Whether ``EVENTS`` says that there is something to read."""
        ...

    def head(self) -> tuple[bytes | None, bytes, bool]:
        """The connection of the next message (None of a DEALER), its first part, and whether more.

        As two calls of ``recv``, of which each would cost as much.

        Raises:
            zmq.Again: there is none.
        """
        ...

    def outlet(self, route: bytes | None) -> Callable[[bytes], bool] | None:
        """What sends messages of one part to a connection (None is that of a DEALER), if it is up.

        It raises what ``send`` does, and tells whether it has swallowed a signal.
        """
        ...


class Context(Protocol):
    """Where sockets come from: ``zmq.Context``, or a node of a simulated network."""

    def socket(self, socket_type: int, /) -> Socket:
        """A new ``Socket`` of type ``zmq.DEALER`` or ``zmq.ROUTER``."""
        ...


def check_scheme(context: Context, address: Address) -> None:
    """Refuse an address that the sockets of a context cannot have.

    Raises:
        AddressError: sim:// on ZeroMQ, or anything real on a simulated network.
    """
    real = isinstance(context, zmq.Context)
    if real and address.scheme == "sim":
        raise AddressError(
            f"{address} needs a simulated network and this endpoint is on ZeroMQ: give it a node "
            "of a SimNetwork as its context"
        )
    if not real and address.scheme not in {"sim", "inproc"}:
        raise AddressError(
            f"{address} is real and this endpoint is on a simulated network: use sim://name"
        )


async def bind(socket: Socket, address: str, clock: Clock) -> str:
    """Bind a socket; a port of tcp that is in use is tried again for a moment.

    Returns:
        Where it is bound: the address, or with the port that the system chose for "*".

    Raises:
        zmq.ZMQError: EADDRINUSE, or another reason why not.
    """
    if not address.startswith("tcp:"):
        socket.bind(address)
        return address
    patience = clock.now() + _PORT_PATIENCE
    while True:
        try:
            socket.bind(address)
            break
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or clock.now() >= patience:
                raise
        await clock.sleep(_PORT_POLL)
    last = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(last, bytes)
    return last.rstrip(b"\0").decode()


def plain_send(socket: Socket) -> Callable[..., object]:
    """``socket.send`` without what it asks for the sake of sockets that are no DEALER or ROUTER.

    Those questions cost as much as the sending.
    """
    return super(zmq.Socket, socket).send if isinstance(socket, zmq.Socket) else socket.send


def readable(socket: Socket) -> Callable[[], object]:
    """A question whether there is something to read, as cheap as can be: its truth answers.

    ``getsockopt(EVENTS)`` goes through pyzmq's enumerations in Python; its poll of one socket
    without waiting asks for the same events and takes three fifths of the time.
    """
    if isinstance(socket, zmq.Socket):
        return partial(zmq.zmq_poll, [(socket, _READABLE)], 0)
    return cast("Watched", socket).readable


def outlet(socket: Socket, route: bytes | None) -> Callable[[bytes], bool] | None:
    """What sends a message of one part faster than ``send`` does, where there is such a thing.

    It tells whether it has swallowed a signal: else nobody has to look for one.
    """
    return None if isinstance(socket, zmq.Socket) else cast("Watched", socket).outlet(route)


def watch(
    socket: Socket,
    readable: Callable[[], None],
    ended: Callable[[], None] | None,
    take: Callable[[Any, bytes], None] | None = None,
) -> Signals:
    """Have the running loop call back when something happens to a socket.

    Args:
        socket: real or simulated.
        readable: called when there is something to read after there was nothing; like the
            descriptor of ZeroMQ, once, until a read ends in ``zmq.Again`` or ``EVENTS`` says that
            nothing is left, and not at all when a send swallowed the signal.
        ended: called when a connection of the socket ended or could not be made, if given.
        take: on a simulated network, called with a message of one part and its connection (of a
            ROUTER) instead of ``readable``, where that would find nothing else to read and would
            be the only call of its turn; must leave nothing unread behind. Nothing has to be read.
    """
    if isinstance(socket, zmq.Socket):
        return _Descriptors(socket, readable, ended)
    return cast("Watched", socket).watch(readable, ended, take)


class _Descriptors:
    """Signals of a real socket, and of its monitor if the end of connections matters."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        readable: Callable[[], None],
        ended: Callable[[], None] | None,
    ) -> None:
        self._socket = socket
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._monitor: zmq.Socket[bytes] | None = None
        # pyzmq types every option as int | bytes.
        self._fd = cast("int", socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, readable)
        if ended is not None:
            # A name of our own: pyzmq's default is made from the descriptor, which is reused.
            address = f"inproc://transports-monitor-{next(_MONITOR_NUMBERS)}"
            socket.monitor(address, _ENDED)
            self._monitor = socket.context.socket(zmq.PAIR)
            self._monitor.linger = 0
            self._monitor.connect(address)
            self._monitor_fd = cast("int", self._monitor.getsockopt(zmq.FD))
            self._loop.add_reader(self._monitor_fd, self._on_monitor)
            self._loop.call_soon(self._on_monitor)

    def _on_monitor(self) -> None:
        ended = False
        while self._monitor is not None:
            try:
                message: Any = self._monitor.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                break
            ended |= bool(parse_monitor_message(message)["event"] & _ENDED)
        if ended and self._ended is not None:
            self._ended()

    def stop(self) -> None:
        self._loop.remove_reader(self._fd)
        if self._monitor is not None:
            self._loop.remove_reader(self._monitor_fd)
            self._socket.disable_monitor()
            self._monitor.close()
            self._monitor = None
