"""Networks of the pure state machines, in rounds: every word arrives at once, or never."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import networkx as nx
import numpy as np

from actorfl.peersampling.descriptor import Descriptor
from actorfl.peersampling.protocols import SamplingProtocol
from actorfl.peersampling.sampler import Sampler


class Network:
    """Samplers that have their turns in rounds, in a drawn order.

    Args:
        protocol: of all.
        nodes: how many.
        seed: what is drawn follows from it.
        first: others that each knows at first, drawn; None: as many as a view holds.
        lost: share of words that get lost.
        contacts: of the node with that index, by name.
        apart: whether no word goes from one node to another.
    """

    def __init__(
        self,
        protocol: SamplingProtocol,
        nodes: int,
        seed: int,
        *,
        first: int | None = None,
        lost: float = 0.0,
        contacts: Callable[[int], Iterable[str]] = lambda index: (),
    ) -> None:
        self.protocol = protocol
        self.draw = random.Random(seed)
        self.lost = lost
        self.now = 0.0
        self.nodes: dict[str, Sampler] = {}
        self.apart: Callable[[str, str], bool] = lambda one, other: False
        count = min(protocol.view if first is None else first, nodes - 1)
        for index in range(nodes):
            others = self.draw.sample([k for k in range(nodes) if k != index], count)
            self.join(f"w{index}", [f"w{k}" for k in others], contacts(index))

    def join(self, name: str, view: Iterable[str], contacts: Iterable[str] = ()) -> Sampler:
        """A node that knows these at first."""
        node = self.protocol.begin(
            Descriptor(name),
            view=[Descriptor(each) for each in view],
            contacts=[Descriptor(each) for each in contacts],
            draw=random.Random(self.draw.getrandbits(64)),
        )
        self.nodes[name] = node
        return node

    def kill(self, count: int) -> None:
        """So many nodes are gone, without a word."""
        for name in self.draw.sample(sorted(self.nodes), count):
            del self.nodes[name]

    def rounds(self, count: int) -> None:
        """Each node has its turn so often."""
        for _ in range(count):
            self.now += 1.0
            names = sorted(self.nodes)
            self.draw.shuffle(names)
            for name in names:
                self._turn(name)

    def _turn(self, name: str) -> None:
        node = self.nodes[name]
        for request in node.cycle(self.now):
            other = self.nodes.get(request.to.name)
            if other is None or self.apart(name, request.to.name) or self._loses():
                continue
            answer = other.requested(node.me, request.descriptors, request.wants, self.now)
            if request.wants and not self._loses():
                node.answered(request.number, answer, self.now)

    def _loses(self) -> bool:
        return self.draw.random() < self.lost

    def sees(self, name: str) -> set[str]:
        """Whom a node knows."""
        return {one.name for one in self.nodes[name].view}

    def seen(self, name: str) -> int:
        """In how many views a node is."""
        return sum(name in self.sees(each) for each in self.nodes)

    def oldest(self) -> float:
        """Age of the oldest entry of a node that lives."""
        return max(
            self.now - one.said
            for node in self.nodes.values()
            for one in node.view
            if one.name in self.nodes
        )

    def measured(self, *, clustering: bool = True) -> Measured:
        """What its graph is like."""
        graph: nx.Graph[str] = nx.Graph()
        graph.add_nodes_from(self.nodes)
        inward = dict.fromkeys(self.nodes, 0)
        dead = total = 0
        for name in self.nodes:
            for other in self.sees(name):
                total += 1
                if other in inward:
                    inward[other] += 1
                    graph.add_edge(name, other)
                else:
                    dead += 1
        degrees = np.array(list(inward.values()))
        return Measured(
            total,
            float(degrees.std()),
            int(degrees.min()),
            int(degrees.max()),
            nx.average_clustering(graph) if clustering else 0.0,
            dead / max(1, total),
            nx.number_connected_components(graph),
        )

    def check(self) -> None:
        """No view holds its own node, or another one twice, or too many."""
        for name, node in self.nodes.items():
            names = [one.name for one in node.view]
            assert name not in names
            assert len(set(names)) == len(names) <= node.size


@dataclass(frozen=True)
class Measured:
    """The graph of who knows whom among those that live.

    Attributes:
        total: descriptors in all views.
        spread: standard deviation of the views that a node is in.
        least, most: views that a node is in.
        clustering: mean clustering coefficient, of the graph without directions.
        dead: share of descriptors whose node is gone.
        parts: components of that graph.
    """

    total: int
    spread: float
    least: int
    most: int
    clustering: float
    dead: float
    parts: int
