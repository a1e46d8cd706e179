"""Where a node listens: one socket for each lane, at as many addresses as are wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import zmq

from transports.address import LANES, Address, Lane, clear, prepare
from transports.clock import Clock
from transports.dialler import ask_for_life, configure
from transports.errors import AddressError, AddressInUse
from transports.identity import NodeId
from transports.limits import Limits
from transports.port import Port
from transports.reading import Routed
from transports.sockets import Context, bind, check_scheme


class Listeners:
    """The listening sockets of one endpoint; ``listeners[lane]`` is a lane's port.

    Args:
        node: whose.
        context: of the sockets.
        clock: for the patience with ports that are not free yet.
        limits: bounds.
    """

    def __init__(self, node: NodeId, context: Context, clock: Clock, limits: Limits) -> None:
        self._node = node
        self._context = context
        self._clock = clock
        self._limits = limits
        self._ports: dict[Lane, Port] = {}
        #: Where they listen, in the order of ``listen``.
        self.addresses: list[Address] = []

    def open(self, readings: Mapping[Lane, Routed[Any]], ended: Callable[[Lane], None]) -> None:
        """Make the sockets.

        Args:
            readings: what reads the socket of each lane.
            ended: told that some connection of a lane has ended.
        """
        for lane in LANES:
            socket = self._context.socket(zmq.ROUTER)
            configure(socket, self._limits)
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            reading, told = readings[lane], partial(ended, lane)
            self._ports[lane] = Port(
                socket, reading.read, told, reading.take, stays_awake=lane == "control"
            )

    async def listen(self, address: str) -> str:
        """See ``Endpoint.listen``."""
        parsed = Address.parse(address, self._node)
        check_scheme(self._context, parsed)
        prepare(parsed)
        bound: dict[Lane, str] = {}
        try:
            for lane in LANES:
                socket = self[lane].socket
                ask_for_life(socket, parsed, self._limits)
                bound[lane] = await bind(socket, parsed.endpoint(lane), self._clock)
        except zmq.ZMQError as error:
            for lane, where in bound.items():
                self[lane].socket.unbind(where)
            if error.errno == zmq.EADDRINUSE:
                raise AddressInUse(
                    f"{parsed} is in use by a live listener: choose another"
                ) from error
            raise AddressError(f"{parsed} cannot be listened at: {error.strerror}") from error
        for lane in LANES:
            self[lane].touched()
        if parsed.scheme == "tcp":
            parsed = parsed.with_ports([bound[lane].rpartition(":")[2] for lane in LANES])
        self.addresses.append(parsed)
        return str(parsed)

    def leave(self) -> None:
        """Listen nowhere any more; connections stay."""
        for address in self.addresses:
            # While it is still listened at, so that no successor's sockets can be in the place.
            clear(address)
            for lane in LANES:
                self[lane].socket.unbind(address.endpoint(lane))

    def close(self, linger: float) -> None:
        """Close the sockets; see ``Port.close``."""
        for port in self._ports.values():
            port.close(linger)

    def __getitem__(self, lane: Lane) -> Port:
        return self._ports[lane]

    def __repr__(self) -> str:
        return f"<Listeners of {self._node} at {', '.join(map(str, self.addresses)) or 'nothing'}>"
