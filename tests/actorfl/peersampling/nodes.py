"""Actors that have samplers, for tests on every deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from actorfl.peersampling import Membership, PeerSampler, PresentView, UniformProtocol
from actorfl.peersampling.protocols import SamplingProtocol
from actors import (
    Actor,
    ActorGraph,
    Handle,
    Inline,
    Message,
    Process,
    Processes,
    Simulated,
    one_for_one,
)
from actors.supervision import RestartType


class Hello(Message[None]):
    """From a peer."""

    sender: str


class Seen(Message[tuple[str, ...]]):
    """Whom does your sampler know?"""


class Node(Actor):
    """Works with a sampler: publishes ``known`` once it knows so many, ``greeted`` once it is."""

    def __init__(self, name: str, wants: int) -> None:
        self._name = name
        self._wants = wants
        self._view: tuple[str, ...] = ()
        self._known = self._greeted = False

    def view(self, message: PresentView) -> None:
        """The sampler tells."""
        self._view = message.names
        if not self._known and len(self._view) >= self._wants > 0:
            self._known = True
            self.publish("known", node=self._name)
        for address in message.addresses if self._wants else ():
            self.system.ref(address).tell(Hello(self._name))

    def seen(self, message: Seen) -> tuple[str, ...]:
        """A test asks."""
        return self._view

    def hello(self, message: Hello) -> None:
        """A peer has this node in its view."""
        if not self._greeted:
            self._greeted = True
            self.publish("greeted", node=self._name)


def network(
    nodes: int,
    protocol: SamplingProtocol,
    on: Inline | Processes | Simulated,
    contacts: Callable[[int], Iterable[int]],
    *,
    period: float = 1.0,
    wants: int = 0,
    restart: RestartType = "permanent",
) -> ActorGraph:
    """Nodes n0, n1, ... with samplers beside them, dealt out to the processes."""
    graph = ActorGraph("network")
    count = 1 if isinstance(on, Inline) else on.n
    with graph.supervisor("root", one_for_one(100)):
        if isinstance(protocol, UniformProtocol):
            graph.actor(
                "membership", Membership, place=Process("membership"), period=period,
                group="test",
            )  # fmt: skip
        for index in range(nodes):
            name, place = f"n{index}", Process(f"p{index % count}")
            owner = graph.actor(name, Node, place=place, restart=restart, name=name, wants=wants)
            others = [f"n{k}" for k in contacts(index) if k != index]
            refs: dict[str, Handle[Any]]
            if isinstance(protocol, UniformProtocol):
                refs = {"membership": graph.link("membership", Membership)}
            else:
                refs = {
                    each: graph.link(f"{each}.peers", PeerSampler, mutual=True) for each in others
                }
            graph.actor(
                f"{name}.peers", PeerSampler, place=place, restart=restart,
                name=name, owner=owner, contacts=refs, protocol=protocol,
                owners={each: graph.link(each, Node, mutual=True) for each in others}, period=period,
                tells=True, group="test", seed=index,
            )  # fmt: skip
    return graph
