"""A run whose nodes act once a period becomes an actor graph."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from actorfl.every import evaluated_at
from actorfl.gossiper import Gossiper
from actorfl.monitor import Monitor
from actorfl.protocol import Finished
from actorfl.run import Run
from actorfl.runtext import RunText
from actorfl.sync import Period
from actorfl.topology import Peers
from actorfl.watcher import Watcher
from actors import ActorGraph, Process, Strategy

#: Messages that the gatherer's mailbox holds, at least; and for each node.
_MAILBOX: Final = 10_000
_SAID_AT_ONCE: Final = 4


def graph_of_gossip(
    run: Run,
    identity: str,
    on_row: Callable[[int, str], Awaitable[None]],
    on_finished: Callable[[Finished], Awaitable[None]],
    *,
    strategy: Strategy,
    stop: float,
) -> ActorGraph:
    """The graph of a run under ``Period``.

    A node knows its neighbours, and the gatherer, which writes the metrics and is in nobody's way.

    Args:
        run: what is to be learned.
        identity: of this run, the same over all its starts.
        on_row: awaited in the launcher with round and text of each line of the metrics.
        on_finished: awaited in the launcher at the end, maybe more than once.
        strategy: of all supervisors.
        stop: seconds that an actor is given to end.
    """
    topology = run.topology
    assert isinstance(topology, Peers)
    assert isinstance(run.sync, Period)
    text, at = RunText.of(run, identity), evaluated_at(run)
    graph = ActorGraph(run.name, closed=True)
    names = topology.names
    with graph.supervisor("root", strategy):
        monitor = graph.actor(
            "monitor", Monitor, stop_timeout=stop, on_row=on_row, on_finished=on_finished
        )
        gatherer = graph.actor(
            "gatherer", Watcher, place=Process("gatherer"), stop_timeout=stop,
            identity=identity, nodes=names, every=run.evaluate.every, seconds=run.sync.seconds,
            strict=run.strict, monitor=monitor,
            mailbox=max(_MAILBOX, _SAID_AT_ONCE * len(names)),
        )  # fmt: skip
        with graph.supervisor("nodes", strategy, place=Process()):
            for index, name in enumerate(names):
                known = dict.fromkeys((*topology.neighbours(name), *topology.senders(name)))
                graph.actor(
                    name, Gossiper, stop_timeout=stop, name=name, index=index, run=text,
                    gatherer=gatherer, at=at,
                    neighbours={each: graph.link(each, Gossiper, mutual=True) for each in known},
                )  # fmt: skip
    return graph
