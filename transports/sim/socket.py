"""A simulated socket: what the transports use of a DEALER or a ROUTER, as ZeroMQ behaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final, Literal, NamedTuple, Protocol, overload

import zmq

from transports.sim.connection import Connection
from transports.sim.errors import RealWorldError
from transports.sim.flow import Message, Part, size_of
from transports.sim.handles import SimHandle
from transports.sim.medium import Host, Medium

_MORE: Final = int(zmq.SNDMORE)
_NOBLOCK: Final = int(zmq.NOBLOCK)
_READABLE: Final = int(zmq.POLLIN)
_WRITABLE: Final = int(zmq.POLLOUT)
_ANY_SIZE: Final = 1 << 62


class Registry(Protocol):
    """Where sockets find each other."""

    def bind(self, socket: SimSocket, address: str) -> None:
        """Listen at an address."""
        ...

    def unbind(self, socket: SimSocket, address: str) -> None:
        """Listen there no longer."""
        ...

    def connect(self, socket: SimSocket, address: str) -> Connection:
        """Set out to an address."""
        ...

    def closed(self, socket: SimSocket) -> None:
        """A socket was closed."""
        ...


class SimFrame(NamedTuple):
    """A part of a message; see ``transports.sockets.Frame``."""

    bytes: bytes
    more: bool


class SimSocket:
    """A DEALER with one connection, or a ROUTER with many.

    Like the descriptor of a real one, its signal comes once when something can be read, again only
    after a read ended in ``zmq.Again`` or ``EVENTS`` told that nothing is left, and is swallowed
    by any call in between: what misses a wake-up on real sockets misses it here.

    Args:
        medium: of the network.
        host: the node.
        registry: where sockets find each other.
        kind: ``zmq.DEALER`` or ``zmq.ROUTER``.
    """

    def __init__(self, medium: Medium, host: Host, registry: Registry, kind: int) -> None:
        if kind not in {zmq.DEALER, zmq.ROUTER}:
            raise RealWorldError(
                f"socket type {zmq.SocketType(kind).name} is not simulated: use DEALER or ROUTER"
            )
        self.host = host
        self.router = kind == zmq.ROUTER
        self.closed = False
        self._medium = medium
        self._registry = registry
        self._options: dict[int, int] = {}
        self._connection: Connection | None = None
        self._routes: dict[bytes, Connection] = {}
        self._route_count = 0
        self._inbox: deque[Message] = deque()
        self._reading: deque[Part] = deque()
        self._writing: list[Part] = []
        self._to: Connection | None = None
        self._routed = False
        self._watch: _Watch | None = None
        #: The call that tells its watch, until that is made or swallowed.
        self.pending: SimHandle | None = None
        self._armed = True
        self._most = _ANY_SIZE
        self._loop = self.ticks = medium.loop

    # Options and addresses

    def setsockopt(self, option: int, optval: int, /) -> None:
        """Set an option; those that only tune real sockets change nothing."""
        self._check()
        self._options[int(option)] = optval
        if option == zmq.MAXMSGSIZE:
            self._most = optval if optval >= 0 else _ANY_SIZE

    def getsockopt(self, option: int, /) -> int:
        """``EVENTS``, ``RCVMORE``, or what was set.

        Raises:
            zmq.ZMQError: EINVAL, neither.
        """
        self._check()
        if option == zmq.RCVMORE:
            return int(bool(self._reading))
        if option == zmq.EVENTS:
            return _READABLE | _WRITABLE if self.readable() else _WRITABLE
        try:
            return self._options[int(option)]
        except KeyError:
            raise zmq.ZMQError(zmq.EINVAL) from None

    def readable(self) -> bool:
        """Whether ``EVENTS`` says that there is something to read."""
        if self.closed:
            self._check()
        if self.pending is not None:
            self.swallow()
        if self._reading or self._inbox:
            return True
        self._armed = True
        return False

    def bind(self, addr: str, /) -> None:
        """Listen at "sim://name" or "inproc://name".

        Raises:
            zmq.ZMQError: EADDRINUSE; EPROTONOSUPPORT, another scheme.
        """
        self._check()
        self._registry.bind(self, addr)

    def unbind(self, addr: str, /) -> None:
        """Listen there no longer; connections stay."""
        self._check()
        self._registry.unbind(self, addr)

    def connect(self, addr: str, /) -> None:
        """Set out to "sim://name" or "inproc://name".

        Raises:
            zmq.ZMQError: EPROTONOSUPPORT, another scheme; EINVAL, a second connection.
        """
        self._check()
        if self.router or self._connection is not None:
            raise zmq.ZMQError(zmq.EINVAL)
        self._connection = self._registry.connect(self, addr)

    # Sending

    def send(self, data: Any, /, flags: int = 0, copy: bool = True) -> None:
        """Send a part; see ``transports.sockets.Socket``. Without ``copy`` memory is not copied."""
        if self.closed:
            self._check()
        if self.pending is not None:
            self.swallow()
        if not self._writing and not self._routed:
            if self.router:
                self._to = self._routes.get(bytes(data))
                if self._to is None and self._options.get(zmq.ROUTER_MANDATORY) and self._alive:
                    raise zmq.ZMQError(zmq.EHOSTUNREACH)
                self._routed = bool(flags & _MORE)
                return
            if self._connection is None and self._alive:
                raise zmq.Again
            self._to = self._connection
            if copy and not flags & _MORE:  # mostly it is one part
                if self._to is not None:
                    self._to.send(self, (data if type(data) is bytes else bytes(data),))
                return
        self._writing.append(memoryview(data).cast("B") if not copy else bytes(data))
        if flags & _MORE:
            return
        message, self._writing, self._routed = tuple(self._writing), [], False
        if self._to is not None:
            self._to.send(self, message)

    def outlet(self, route: bytes | None) -> Callable[[bytes], bool] | None:
        """See ``transports.sockets.Watched.outlet``."""
        connection = self._connection if route is None else self._routes.get(route)
        if connection is None or (flow := connection.way_from(self)) is None:
            return None

        def otherwise(data: bytes) -> None:
            if self.router:
                self.send(connection.route, _MORE)
            self.send(data)

        return flow.outlet(self, otherwise)

    # Receiving

    def head(self) -> tuple[bytes | None, bytes, bool]:
        """See ``transports.sockets.Watched.head``."""
        if self.closed:
            self._check()
        if self.pending is not None:
            self.swallow()
        message: Any
        if self._reading:  # left over
            message = tuple(self._reading)
            self._reading.clear()
        elif self._inbox and not self.host.crashed:
            message = self._inbox.popleft()
        else:
            self._armed = True
            raise zmq.Again
        route, first = (message[0], 1) if self.router else (None, 0)
        data = message[first]
        if type(data) is not bytes:
            data = bytes(data)
        if len(message) == first + 1:  # as nearly always
            return route, data, False
        self._reading.extend(message[first + 1 :])
        return route, data, True

    @overload
    def recv(self, flags: int = 0, /) -> bytes: ...

    @overload
    def recv(self, flags: int, /, *, copy: Literal[False]) -> SimFrame: ...

    def recv(self, flags: int = 0, /, *, copy: bool = True) -> bytes | SimFrame:
        """The next part; see ``transports.sockets.Socket``."""
        data = self._next(flags)
        if type(data) is not bytes:
            data = bytes(data)
        return data if copy else SimFrame(data, bool(self._reading))

    def recv_into(self, buffer: Any, /, *, flags: int = 0) -> int:
        """Write the next part into memory; see ``transports.sockets.Socket``."""
        part = self._next(flags)
        memory = memoryview(buffer).cast("B")
        size = size_of(part)
        fits = min(size, memory.nbytes)
        memory[:fits] = memoryview(part)[:fits]
        return size

    def _next(self, flags: int) -> Part:
        if self.closed:
            self._check()
        if self.pending is not None:
            self.swallow()
        if not self._reading:
            if not self._inbox or not self._alive:
                self._armed = True
                if not flags & _NOBLOCK:
                    raise RealWorldError(
                        "a receive that blocks would stop simulated time: pass zmq.NOBLOCK"
                    )
                raise zmq.Again
            self._reading.extend(self._inbox.popleft())
        return self._reading.popleft()

    # Connections

    def accepted(self, connection: Connection) -> None:
        """A dialler's connection is there."""
        self._route_count += 1
        connection.route = b"\0" + self._route_count.to_bytes(4, "big")
        self._routes[connection.route] = connection

    def arrived(self, connection: Connection, message: Message, nbytes: int) -> SimHandle | None:
        """A message arrived; of all parts it has so many bytes.

        Returns:
            The call that tells of it, to be made by the loop next, if anybody is to be told.
        """
        if self.closed or self.host.crashed:
            return None
        if nbytes > self._most and not connection.local and max(map(size_of, message)) > self._most:
            connection.cut()  # as libzmq does
            return None
        self._inbox.append((connection.route, *message) if self.router else message)
        if not self._armed or (watch := self._watch) is None:
            return None
        self._armed = False
        self.pending = handle = watch.handle or watch.prepare()
        return handle

    def take(self, connection: Connection, message: Message, nbytes: int) -> bool:
        """A message arrived, and this is the last thing that a callback does.

        Returns:
            Whether it was handed to who reads, as if that had been told of it and were the only
            call of the next round: if not, it has yet to arrive.
        """
        watch, data, loop = self._watch, message[0], self._loop
        near = loop._timers.near  # noqa: SLF001  (this and what follows: as loop.skip, without the call)
        if (
            not self._armed or watch is None or (take := watch.take) is None or len(message) > 1
            or type(data) is not bytes or nbytes > self._most or self.closed or self.host.crashed
            or loop._ready or loop._trace or loop._stopping  # noqa: SLF001
            or (near and near[0][0] <= loop.now_ns)
        ):  # fmt: skip
            return False
        loop.tick += 1
        # Armed: nothing is unread. It stays so, since nothing else arrives meanwhile.
        watch.context.run(take, connection.route if self.router else None, data)
        return True

    def gone(self, connection: Connection) -> None:
        """A connection ended, or could not be made."""
        self._routes.pop(connection.route, None)
        if self._connection is connection:
            self._connection = None
        # libzmq's monitor knows nothing of connections within a process.
        if not connection.local and self._watch is not None and not self.host.crashed:
            self._watch.tell_ended()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Those that have not ended."""
        mine = () if self._connection is None else (self._connection,)
        return (*mine, *self._routes.values())

    # Signals

    def watch(
        self,
        readable: Callable[[], None],
        ended: Callable[[], None] | None,
        take: Callable[[Any, bytes], None] | None = None,
    ) -> _Watch:
        """See ``transports.sockets.watch``."""
        self._watch = _Watch(self, self._medium, readable, ended, take)
        if self._inbox:
            self._signal()
        return self._watch

    def thaw(self) -> None:
        """The node goes on: signals that it could not hear come now."""
        if self._watch is not None:
            self._watch.thaw()

    def _signal(self) -> None:
        if self._armed and self._watch is not None:
            self._armed = False
            self.pending = self._watch.handle or self._watch.prepare()
            self._loop.enqueue(self.pending)

    def swallow(self) -> None:
        """Have the signal that is under way not come."""
        if self.pending is not None:
            self.pending.cancel()
            self.pending = None
            if self._watch is not None:
                self._watch.handle = None

    def unwatch(self) -> None:
        """Signal no longer."""
        self.swallow()
        self._watch = None
        self._armed = True

    # The end

    @property
    def _alive(self) -> bool:
        return not self.host.crashed

    def _check(self) -> None:
        if self.closed:
            raise zmq.ZMQError(zmq.ENOTSOCK)

    def close(self, linger: int | None = None, /) -> None:
        """Close.

        Args:
            linger: milliseconds in which what was sent may leave; default is the option, or none.
        """
        if self.closed:
            return
        self.closed = True
        if linger is None:
            linger = self._options.get(zmq.LINGER, 0)
        nanoseconds = 1_000_000 * linger if linger >= 0 else 1 << 62
        for connection in self.connections:
            connection.close(self, nanoseconds)
        self._connection = None
        self._routes.clear()
        self._inbox.clear()
        self._reading.clear()
        self._registry.closed(self)

    def __repr__(self) -> str:
        kind = "ROUTER" if self.router else "DEALER"
        state = "closed" if self.closed else f"connections={len(self.connections)}"
        return f"<SimSocket {kind} of {self.host.name} {state} inbox={len(self._inbox)}>"


class _Watch:
    """Signals of one socket, in the context of who watches."""

    def __init__(
        self,
        socket: SimSocket,
        medium: Medium,
        readable: Callable[[], None],
        ended: Callable[[], None] | None,
        take: Callable[[Any, bytes], None] | None,
    ) -> None:
        self.take = take
        self._socket = socket
        self._loop = medium.loop
        self._readable = readable
        self._ended = ended
        self.context: Context = copy_context()
        #: The call that tells it, until one is swallowed.
        self.handle: SimHandle | None = None
        self._has_ended = False
        self._stopped = False

    def prepare(self) -> SimHandle:
        self.handle = handle = self._loop.handle(self.call_readable, self.context)
        return handle

    def call_readable(self) -> None:
        self._socket.pending = None
        if not self._stopped:
            readable = self._readable
            readable()

    def tell_ended(self) -> None:
        if self._ended is not None:
            self._has_ended = True
            self._loop.call_soon(self._call_ended, context=self.context)

    def _call_ended(self) -> None:
        if self._has_ended and not self._stopped and not self._socket.host.frozen:
            self._has_ended = False
            if self._ended is not None:
                self._ended()

    def thaw(self) -> None:
        if self._has_ended:
            self._loop.call_soon(self._call_ended, context=self.context)

    def stop(self) -> None:
        self._stopped = True
        self._socket.unwatch()
