"""A run whose nodes act once a period becomes an actor graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from actorfl.algorithms.gossip import Gossip
from actorfl.cyclic import Cyclic
from actorfl.every import evaluated_at
from actorfl.gossiper import Gossiper
from actorfl.monitor import Monitor
from actorfl.pairfit import leaves
from actorfl.pairperiods import PairGossiper
from actorfl.peersampling.actor import Membership, PeerSampler
from actorfl.peersampling.contacts import Contacts
from actorfl.peersampling.protocols import UniformProtocol
from actorfl.peersampling.topologies import Sampled
from actorfl.periods import length_of
from actorfl.protocol import Finished
from actorfl.roles import NODES
from actorfl.run import Run
from actorfl.runtext import RunText
from actorfl.seeds import seed_for
from actorfl.stay import by_worker
from actorfl.sync import Period
from actorfl.topology import Peers
from actorfl.watcher import Watcher
from actors import ActorGraph, Deployment, Handle, Inline, Process, Strategy

#: Messages that the gatherer's mailbox holds, at least; and for each node.
_MAILBOX: Final = 10_000
_SAID_AT_ONCE: Final = 4

#: Deaths of the gatherer, or of a membership, that are borne: nodes go on without them, so they
#: are started again however often. The back-off grows to its longest.
_ANY: Final = 1 << 31


def graph_of_gossip(
    run: Run,
    identity: str,
    on_row: Callable[[int, str], Awaitable[None]],
    on_finished: Callable[[Finished], Awaitable[None]],
    *,
    strategy: Strategy,
    stop: float,
    on: Deployment | None = None,
    gone: Callable[[], Mapping[str, str]] = dict,
) -> ActorGraph:
    """The graph of a run under ``Period``.

    A node knows its neighbours, and the gatherer, which writes the metrics and is in nobody's way.

    Args:
        run: what is to be learned.
        identity: of this run, the same over all its starts.
        on_row: awaited in the launcher with round and text of each line of the metrics.
        on_finished: awaited in the launcher at the end, maybe more than once.
        strategy: of all supervisors; but whoever only looks on is started again however often its
            process dies.
        stop: seconds that an actor is given to end.
        on: where it will be carried out: a node's sampler lives where the node does.
        gone: called in the launcher for the nodes that nobody restarts any more, and why.
    """
    topology = run.topology
    assert isinstance(topology, Peers)
    assert isinstance(run.sync, Period)
    text, at = RunText.of(run, identity), evaluated_at(run)
    kind: type[Cyclic] = Gossiper if isinstance(run.algorithm, Gossip) else PairGossiper
    sampled = topology if isinstance(topology, Sampled) else None
    # Whoever may come to talk to anybody needs to know where all processes are.
    graph = ActorGraph(run.name, closed=sampled is None)
    names = topology.names
    with graph.supervisor("root", dataclasses.replace(strategy, outside=_ANY)):
        monitor = graph.actor(
            "monitor", Monitor, stop_timeout=stop, on_row=on_row, on_finished=on_finished,
            gone=gone,
        )  # fmt: skip
        gatherer = graph.actor(
            "gatherer", Watcher, place=Process("gatherer"), stop_timeout=stop,
            identity=identity, nodes=names, every=run.evaluate.every, seconds=run.sync.seconds,
            strict=run.strict, monitor=monitor,
            length=length_of(run.until, run.sync.seconds), stays=run.stays,
            mailbox=max(_MAILBOX, _SAID_AT_ONCE * len(names)),
        )  # fmt: skip
        pool = dataclasses.replace(strategy, exhausted="stop" if leaves(run) else "escalate")
        with graph.supervisor(NODES, pool, place=Process()):
            for index, name in enumerate(names):
                known: dict[str, None] = {}
                if sampled is None:
                    known = dict.fromkeys((*topology.neighbours(name), *topology.senders(name)))
                more: dict[str, Any] = {"sampled": sampled is not None} if kind is Gossiper else {}
                graph.actor(
                    name, kind, stop_timeout=stop, name=name, index=index, run=text,
                    gatherer=gatherer, at=at,
                    neighbours={each: graph.link(each, kind, mutual=True) for each in known},
                    **more,
                )  # fmt: skip
        if sampled is not None:
            _sample(graph, run, identity, sampled, strategy=pool, stop=stop, on=on)
    return graph


def _sample(
    graph: ActorGraph,
    run: Run,
    identity: str,
    topology: Sampled,
    *,
    strategy: Strategy,
    stop: float,
    on: Deployment | None,
) -> None:
    """Give each node a sampler, in the process that it lives in."""
    assert isinstance(run.sync, Period)
    protocol, names = topology.protocol, topology.names
    places = 0 if on is None or isinstance(on, Inline) else on.n
    numbers = {name: index for index, name in enumerate(names)}
    period = topology.period or run.sync.seconds
    common: dict[str, Any] = {"period": period, "group": identity}
    uniform = isinstance(protocol, UniformProtocol)
    if uniform:
        graph.actor(
            "membership", Membership, place=Process("membership"), stop_timeout=stop,
            seed=seed_for(run.seed, "", 0, "membership"),
            mailbox=max(_MAILBOX, _SAID_AT_ONCE * len(names)), **common,
        )  # fmt: skip
    known = Contacts(topology, run.seed, by_worker(run.stays, names))
    if run.stays:  # the nodes know when to begin
        common["waits"] = True
    with graph.supervisor("samplers", strategy):
        for index, name in enumerate(names):
            first = known.of(name)
            contacts: dict[str, Handle[Any]] = {
                each: graph.link(f"sampler{numbers[each]}", PeerSampler, mutual=True)
                for each in first
            }
            if uniform:
                contacts = {"membership": graph.link("membership", Membership)}
            graph.actor(
                f"sampler{index}", PeerSampler, stop_timeout=stop,
                place=Process(f"p{index % places}") if places else Process(),
                name=name, owner=graph.link(name, Gossiper), contacts=contacts,
                owners={each: graph.link(each, Gossiper) for each in first},
                protocol=protocol, tells=True, seed=seed_for(run.seed, name, 0, "sampler"),
                **common,
            )  # fmt: skip
