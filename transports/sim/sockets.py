"""Which sockets a simulated network has, where they listen, and what connects them."""

from __future__ import annotations

from functools import partial
from typing import Final

import zmq

from transports.rng import derive_seed
from transports.sim.connection import Call, Connection, End
from transports.sim.draws import Draws
from transports.sim.links import Links
from transports.sim.medium import Host, Medium
from transports.sim.socket import SimSocket

_LANES: Final = {".c": "control", ".b": "bulk"}
"""What the suffix of an endpoint's address means; only labels of the trace depend on it."""


class Sockets:
    """All sockets and connections of one network.

    Args:
        medium: of the network.
        links: what lies between its nodes.
        seed: of the jitter.
    """

    def __init__(self, medium: Medium, links: Links, seed: int) -> None:
        self._medium = medium
        self._links = links
        self._seed = seed
        self._names: dict[str, SimSocket] = {}
        self._local: dict[tuple[Host, str], SimSocket] = {}
        # By node, and by socket: a crash among thousands of nodes looks at what is its own alone.
        self._sockets: dict[Host, dict[SimSocket, None]] = {}
        self._listens: dict[SimSocket, list[str]] = {}
        self._of_hosts: dict[Host, dict[int, Connection]] = {}
        self._connections: dict[int, Connection] = {}
        self._connection_count = 0
        self._dialled: dict[tuple[str, str], int] = {}

    def make(self, host: Host, kind: int) -> SimSocket:
        """A new socket of a node."""
        socket = SimSocket(self._medium, host, self, kind)
        self._sockets.setdefault(host, {})[socket] = None
        return socket

    def of(self, host: Host) -> list[SimSocket]:
        """The open sockets of a node, in the order they were made."""
        return list(self._sockets.get(host, ()))

    def connections_of(self, host: Host) -> list[Connection]:
        """The connections that end in a node at either side, in the order they were made."""
        return [each for _, each in sorted(self._of_hosts.get(host, {}).items())]

    @property
    def connections(self) -> list[Connection]:
        """The connections that exist now, in the order they were made."""
        return list(self._connections.values())

    def __len__(self) -> int:
        """Connections that exist now."""
        return len(self._connections)

    def bind(self, socket: SimSocket, address: str) -> None:
        """A socket listens; see ``SimSocket.bind``."""
        name, local = _parse(address)
        if local:
            taken = self._local.setdefault((socket.host, name), socket)
        elif socket.host.crashed:
            return
        else:
            taken = self._names.setdefault(name, socket)
        if taken is not socket:
            raise zmq.ZMQError(zmq.EADDRINUSE)
        self._listens.setdefault(socket, []).append(address)

    def unbind(self, socket: SimSocket, address: str) -> None:
        """A socket listens no longer; see ``SimSocket.unbind``."""
        name, local = _parse(address)
        if local and self._local.get((socket.host, name)) is socket:
            del self._local[socket.host, name]
        elif not local and self._names.get(name) is socket:
            del self._names[name]

    def connect(self, socket: SimSocket, address: str) -> Connection:
        """A socket sets out; see ``SimSocket.connect``."""
        name, local = _parse(address)
        source = socket.host.name
        base, lane = name, "sim"
        for suffix, label in _LANES.items():
            if name.endswith(suffix):
                base, lane = name.removesuffix(suffix), label
        if local:
            base, lane = source, "local"
        elif name in self._names:
            base = self._names[name].host.name
        nth = self._dialled[source, address] = self._dialled.get((source, address), 0) + 1
        purpose = (source, address, nth)
        self._connection_count += 1
        call = Call(
            self._connection_count,
            lane,
            local,
            base,
            partial(self._listener, socket.host, name, local, self._connection_count),
            self._links.net,
            (
                Draws(derive_seed(self._seed, "delay", *purpose, "there")),
                Draws(derive_seed(self._seed, "delay", *purpose, "back")),
            ),
        )
        connection = Connection(self._medium, socket, call, self._over)
        self._connections[connection.number] = connection
        self._of_hosts.setdefault(socket.host, {})[connection.number] = connection
        connection.dial()
        return connection

    def _listener(self, source: Host, name: str, local: bool, number: int) -> End | None:
        socket = self._local.get((source, name)) if local else self._names.get(name)
        if socket is None:
            return None
        if not local and self._links.separated(source.name, socket.host.name):
            return None
        self._of_hosts.setdefault(socket.host, {})[number] = self._connections[number]
        return socket

    def _over(self, connection: Connection) -> None:
        self._connections.pop(connection.number, None)
        for end in (connection.dialler, connection.listener):
            if end is not None:
                here = self._of_hosts.get(end.host, {})
                here.pop(connection.number, None)
                if not here:
                    self._of_hosts.pop(end.host, None)

    def closed(self, socket: SimSocket) -> None:
        """A socket was closed: it listens nowhere any more."""
        here = self._sockets.get(socket.host, {})
        here.pop(socket, None)
        if not here:
            self._sockets.pop(socket.host, None)
        self._forget(socket)

    def unplug(self, host: Host) -> None:
        """A node is no more: it listens nowhere, and its connections end."""
        for socket in self._sockets.pop(host, {}):
            self._forget(socket)
        for connection in self.connections_of(host):
            if connection.dialler.host is host:
                connection.close(connection.dialler, 0)
            if connection.listener is not None and connection.listener.host is host:
                connection.close(connection.listener, 0)

    def _forget(self, socket: SimSocket) -> None:
        for address in self._listens.pop(socket, ()):
            name, local = _parse(address)
            if local and self._local.get((socket.host, name)) is socket:
                del self._local[socket.host, name]
            elif not local and self._names.get(name) is socket:
                del self._names[name]

    def __repr__(self) -> str:
        sockets = sum(map(len, self._sockets.values()))
        return f"<Sockets {sockets} connections={len(self)} names={len(self._names)}>"


def _parse(address: str) -> tuple[str, bool]:
    """Name and whether it is within the node.

    Raises:
        zmq.ZMQError: EPROTONOSUPPORT, this scheme is not simulated.
    """
    scheme, _, name = address.partition("://")
    if scheme not in {"sim", "inproc"} or not name:
        raise zmq.ZMQError(zmq.EPROTONOSUPPORT)
    return name, scheme == "inproc"
