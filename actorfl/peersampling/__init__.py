"""Peer sampling: each node knows a few others, drawn anew all the time from all there are.

Jelasity, Voulgaris, Guerraoui, Kermarrec, van Steen, "Gossip-based peer sampling", ACM TOCS 25(3),
2007. The protocols are pure state machines (``sampler``); ``PeerSampler`` is the actor around one.
"""

from __future__ import annotations

from actorfl.peersampling.actor import Membership, PeerSampler
from actorfl.peersampling.descriptor import Descriptor
from actorfl.peersampling.protocols import (
    CyclonProtocol,
    GenericProtocol,
    NewscastProtocol,
    UniformProtocol,
)
from actorfl.peersampling.words import Join, Leave, Neighbour, PickPeers, PresentView, Waits

__all__ = [
    "CyclonProtocol",
    "Descriptor",
    "GenericProtocol",
    "Join",
    "Leave",
    "Membership",
    "Neighbour",
    "NewscastProtocol",
    "PeerSampler",
    "PickPeers",
    "PresentView",
    "UniformProtocol",
    "Waits",
]
