"""Peers from the view that a sampler has told last."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from actorfl.gossip.peers import one_there
from actorfl.peersampling.words import PresentView
from actors import ActorRef, ActorSystem


class SampledPeers:
    """Whom a node can talk to, as its sampler has told last.

    A view is a sample of all nodes, and each peer of it is picked with the same chance.

    Args:
        system: of the node.
        is_of_run: says of a name whether that node takes part now, whatever the view has.
    """

    def __init__(
        self, system: ActorSystem, is_of_run: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._system = system
        self._is_of_run = is_of_run
        self._view = PresentView((), (), alone=True)
        #: Whether the sampler has told anything yet.
        self.heard = False
        self._places: dict[str, int] = {}

    def told(self, view: PresentView) -> None:
        """The sampler tells its view."""
        self._view = view
        self.heard = True
        self._places = {name: place for place, name in enumerate(view.names)}

    @property
    def alone(self) -> bool:
        """Whether nobody is known, or has been heard for some time."""
        return self._view.alone

    @property
    def refs(self) -> list[ActorRef]:
        """The actors of all peers that take part."""
        return [
            self._system.ref(address)
            for name, address in zip(self._view.names, self._view.addresses, strict=True)
            if self._is_of_run(name)
        ]

    def pick(self, draw: np.random.Generator, number: int) -> str | None:
        """The name of a peer; None where nobody is there. See ``gossip.peers.PeerSource``."""
        return one_there(self._view.names, self._there, draw)

    def ref(self, name: str) -> ActorRef | None:
        """The actor of a peer; None where it is not in the view any more."""
        place = self._places.get(name)
        return None if place is None else self._system.ref(self._view.addresses[place])

    def _there(self, name: str) -> bool:
        """Whether a peer takes part, and is not known to be dead, which nobody has to know."""
        ref = self.ref(name)
        return ref is not None and ref.node_is_up and self._is_of_run(name)

    def __repr__(self) -> str:
        return f"<SampledPeers {len(self._places)}{' alone' if self.alone else ''}>"
