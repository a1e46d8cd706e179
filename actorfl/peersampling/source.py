"""Peers from the view that a sampler has told last."""

from __future__ import annotations

import numpy as np

from actorfl.peersampling.words import PresentView
from actors import ActorRef, ActorSystem


class SampledPeers:
    """Whom a node can talk to, as its sampler has told last.

    A view is a sample of all nodes, and each peer of it is picked with the same chance.
    """

    def __init__(self) -> None:
        self._view = PresentView((), (), alone=True)
        self._places: dict[str, int] = {}

    def told(self, view: PresentView) -> None:
        """The sampler tells its view."""
        self._view = view
        self._places = {name: place for place, name in enumerate(view.names)}

    @property
    def alone(self) -> bool:
        """Whether nobody is known, or has been heard for some time."""
        return self._view.alone

    def pick(self, draw: np.random.Generator, number: int) -> str | None:
        """The name of a peer; None where nobody is known. See ``gossip.peers.PeerSource``."""
        names = self._view.names
        return names[int(draw.random() * len(names))] if names else None

    def ref(self, system: ActorSystem, name: str) -> ActorRef | None:
        """The actor of a peer; None where it is not in the view any more.

        Args:
            system: of the node that asks.
            name: of the peer.
        """
        place = self._places.get(name)
        return None if place is None else system.ref(self._view.addresses[place])

    def __repr__(self) -> str:
        return f"<SampledPeers {len(self._places)}{' alone' if self.alone else ''}>"
