"""Who a node is: a name that people choose and an incarnation that is new at each start."""

from __future__ import annotations

import msgspec

from transports.errors import AddressError
from transports.rng import Rng

MAX_NAME_BYTES = 128
"""Longest node name, UTF-8 bytes. Names come from the network in every hello and are kept in
tables; much longer ones would let a peer make those tables heavy."""

INCARNATION_BITS = 48
"""Two starts of one name collide with probability 2**-48: a dead incarnation never comes back."""


class NodeId(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A node's identity. Ordered by name, then incarnation, which fixes who dials whom.

    Attributes:
        name: 1 to 128 bytes of UTF-8 without '#', '/' and control characters.
        incarnation: random, drawn at each start of the process, ``[0, 2**64)``.
    """

    name: str
    incarnation: int

    @staticmethod
    def fresh(name: str, rng: Rng) -> NodeId:
        """The identity of a node that starts now.

        Raises:
            AddressError: the name cannot be a node's name.
        """
        node = NodeId(name, rng.bits(INCARNATION_BITS))
        node.check()
        return node

    def check(self) -> None:
        """Refuse what cannot be a node's identity.

        Raises:
            AddressError: with the sentence that says why.
        """
        if not self.name or len(self.name.encode(errors="replace")) > MAX_NAME_BYTES:
            raise AddressError(
                f"a node's name has 1 to {MAX_NAME_BYTES} bytes, this one has "
                f"{len(self.name.encode(errors='replace'))}: choose another"
            )
        if not self.name.isprintable() or "#" in self.name or "/" in self.name:
            raise AddressError(
                f"node name {self.name!r} holds '#', '/' or a character that cannot be printed: "
                "choose another"
            )
        if not 0 <= self.incarnation < 2**64:
            raise AddressError(
                f"incarnation {self.incarnation} of node {self.name!r} is not in [0, 2**64)"
            )

    def __str__(self) -> str:
        return f"{self.name}#{self.incarnation:06x}"
