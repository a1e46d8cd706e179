"""The gate of an endpoint: which hellos cannot be welcome, and whose frames are turned away."""

from __future__ import annotations

from collections import OrderedDict

from transports.address import Lane
from transports.errors import AddressError, LinkClosed, ProtocolError
from transports.identity import NodeId
from transports.limits import Limits
from transports.wire import Hello

_TURNED_AWAY = "turned away"


class Gate:
    """Pure: remembers dead incarnations and connections that have no link any more.

    Both memories are bounded and forget the oldest first: a peer that dials without end costs
    nothing more.

    Args:
        node: this node.
        cluster: this cluster.
        limits: bounds.
    """

    def __init__(self, node: NodeId, cluster: str, limits: Limits) -> None:
        self._node = node
        self._cluster = cluster
        self._limits = limits
        self._fenced: OrderedDict[NodeId, str] = OrderedDict()
        self._codes: OrderedDict[tuple[Lane, bytes], str] = OrderedDict()

    @property
    def fenced(self) -> int:
        """Dead incarnations that are remembered."""
        return len(self._fenced)

    def fence(self, peer: NodeId, reason: str) -> None:
        """This incarnation is dead."""
        self._fenced[peer] = reason
        self._fenced.move_to_end(peer)
        while len(self._fenced) > self._limits.max_fenced:
            self._fenced.popitem(last=False)

    def check_alive(self, peer: NodeId) -> None:
        """Refuse to link up with the dead.

        Raises:
            LinkClosed: with the reason it was fenced for.
        """
        if peer in self._fenced:
            raise LinkClosed(f"{peer} was declared dead: {self._fenced[peer]}")

    def check(self, lane: Lane, hello: Hello) -> None:
        """Refuse a hello that cannot be welcome whatever the floor above says.

        Raises:
            ProtocolError: reason "cluster", "lane", "target", "source" or "fenced".
        """
        peer = hello.source
        if hello.cluster != self._cluster:
            raise ProtocolError(
                "cluster",
                f"{self._node} is of cluster {self._cluster!r}, not of {hello.cluster[:64]!r}",
            )
        if hello.lane != lane:
            raise ProtocolError("lane", f"this is the {lane} lane of {self._node}")
        if hello.target != self._node:
            raise ProtocolError("target", f"{self._node} listens here, not {hello.target}")
        try:
            peer.check()
        except AddressError as error:
            raise ProtocolError("source", str(error)) from error
        if peer == self._node:
            raise ProtocolError("source", f"this is {self._node} itself")
        if peer in self._fenced:
            raise ProtocolError("fenced", f"{peer} was declared dead: {self._fenced[peer]}")

    def retire(self, lane: Lane, route: bytes, code: str) -> None:
        """A connection has no link any more; its frames are refused as ``code``."""
        self._codes[lane, route] = code
        self._codes.move_to_end((lane, route))
        while len(self._codes) > self._limits.max_fenced:
            self._codes.popitem(last=False)

    def code(self, lane: Lane, route: bytes) -> str:
        """Under which reason a frame of a connection without a link is refused."""
        code = self._codes.get((lane, route), "no hello")
        return "no hello" if code == _TURNED_AWAY else code

    def turn_away(self, lane: Lane, route: bytes) -> bool:
        """Whether a connection without a link is to be told so: once."""
        if self._codes.get((lane, route)) == _TURNED_AWAY:
            return False
        self.retire(lane, route, _TURNED_AWAY)
        return True
