"""A run becomes an actor graph: who supervises whom, who knows whom, where each lives."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from actorfl.combining import COMBINERS, combined, process_of
from actorfl.errors import BeyondHelp, ConfigError, Misfit, NothingToResume
from actorfl.evaluator import Evaluator
from actorfl.every import evaluated_at
from actorfl.gatherer import Gatherer
from actorfl.gossipgraph import graph_of_gossip
from actorfl.monitor import Monitor
from actorfl.pairrounds import rounds_of
from actorfl.peer import Peer
from actorfl.plan import plan_of
from actorfl.protocol import Finished
from actorfl.roles import NODES, USUAL, WORKERS, Roles
from actorfl.run import Run
from actorfl.runtext import RunText
from actorfl.supervision import Supervision
from actorfl.sync import Period
from actorfl.topology import Centred, Node, Peers, Star
from actors import (
    ActorGraph,
    Backoff,
    Deployment,
    Handle,
    Inline,
    Process,
    Strategy,
    one_for_one,
)
from actors.supervision import Exhausted

#: Seconds that a fit, a merge or an evaluation may go on after stop; then it is cancelled. Ctrl-C
#: is to end a run within 5 s, and nothing durable is lost by it.
_STOP = 1.0

#: Messages that an aggregator's mailbox holds, at least; and for each worker: a question and an
#: update, each of them once more if it was not answered soon.
_MAILBOX = 10_000
_SAID_AT_ONCE = 4


def graph_of(
    run: Run,
    identity: str,
    on_row: Callable[[int, str], Awaitable[None]],
    on_finished: Callable[[Finished], Awaitable[None]],
    roles: Roles = USUAL,
    *,
    on: Deployment | None = None,
    gone: Callable[[], Mapping[str, str]] = dict,
) -> ActorGraph:
    """The graph of a run.

    A root supervisor, one for the root's group, one for the shards where the model lies in some,
    one for each level of aggregators below the root, one for the pool of workers. Supervisors and
    the monitor live in the launcher, so the death of an aggregator takes no worker along. The
    aggregators of a level share a process, and each shard has its own.

    Args:
        run: what is to be learned.
        identity: of this run, the same over all its starts.
        on_row: awaited in the launcher with round and text of each line of the metrics that the
            aggregator tells; it may miss some, and hear of others twice.
        on_finished: awaited in the launcher at the end, maybe more than once.
        roles: the classes of its actors.
        on: where it will be carried out, which says whose workers live together; without it none
            are combined.
        gone: called in the launcher for the workers that nobody restarts any more, and why.
    """
    if isinstance(run.sync, Period):
        return graph_of_gossip(
            run, identity, on_row, on_finished, strategy=strategy_of(run.supervision), stop=_STOP,
            on=on, gone=gone,
        )  # fmt: skip
    if isinstance(run.topology, Peers):
        return graph_of_peers(run, identity, on_row, on_finished)
    if not isinstance(run.topology, Centred):
        msg = f"a {type(run.topology).__name__} has no root and cannot be run yet; use Star or Tree"
        raise Misfit(msg)
    top = combined(run, on or Inline(), run.topology.root)
    if run.algorithm.reduce not in {"sum", "all"}:
        msg = (
            f"{type(run.algorithm).__name__} merges by {run.algorithm.reduce!r}, which cannot be "
            "run yet; use an algorithm that merges by 'sum' or 'all'"
        )
        raise Misfit(msg)
    text, at = RunText.of(run, identity), evaluated_at(run)
    strategy = strategy_of(run.supervision)
    graph = ActorGraph(run.name, closed=True)
    with graph.supervisor("root", strategy):
        monitor = graph.actor(
            "monitor", Monitor, stop_timeout=_STOP, on_row=on_row, on_finished=on_finished,
            gone=gone,
        )  # fmt: skip
        plan = plan_of(run, identity, at, top)
        shards: list[Handle[Any]] = []
        names = run.topology.shard_names if isinstance(run.topology, Star) else ()
        if names:
            with graph.supervisor("shards", strategy):
                shards = [
                    graph.actor(
                        name, roles.shard, place=Process(name), stop_timeout=_STOP,
                        plan=plan, index=index, mailbox=_mailbox(top),
                    )
                    for index, name in enumerate(names)
                ]  # fmt: skip
        sharded: dict[str, Any] = {"shards": tuple(shards)} if names else {}
        with graph.supervisor("aggregators", strategy):
            aggregator: Handle[Any] = graph.actor(
                "aggregator", roles.sharded_aggregator if names else roles.aggregator,
                place=Process("aggregator"), stop_timeout=_STOP,
                plan=plan, monitor=monitor, mailbox=_mailbox(top), **sharded,
            )  # fmt: skip
            graph.actor(
                "evaluator", Evaluator, place=Process("evaluator"), stop_timeout=_STOP,
                run=text, aggregator=aggregator,
            )  # fmt: skip
        above: dict[str, Handle[Any]] = dict.fromkeys((node.name for node in top.below), aggregator)
        parents = dict.fromkeys((node.name for node in top.below), top)
        for nodes in levels_between(top):
            level = nodes[0].level
            with graph.supervisor(level, strategy, place=Process(level)):
                for node in nodes:
                    near = node.level == COMBINERS
                    edge = graph.actor(
                        node.name, roles.combiner if near else roles.edge,
                        place=_place(node),
                        stop_timeout=_STOP, name=node.name,
                        plan=plan_of(run, identity, at, node, parents[node.name]),
                        above=above[node.name],
                        mailbox=_mailbox(node),
                    )  # fmt: skip
                    above.update(dict.fromkeys((each.name for each in node.below), edge))
                    parents.update(dict.fromkeys((each.name for each in node.below), node))
        exhausted: Exhausted = "stop" if run.supervision.exhausted == "leave" else "escalate"
        pool = dataclasses.replace(strategy, exhausted=exhausted)
        with graph.supervisor(WORKERS, pool, place=Process()):
            for index, name in enumerate(run.topology.names):
                graph.actor(
                    name, roles.sharded_worker if names else roles.worker, stop_timeout=_STOP,
                    name=name, index=index, run=text, aggregator=above[name], **sharded,
                )  # fmt: skip
    return graph


def graph_of_peers(
    run: Run,
    identity: str,
    on_row: Callable[[int, str], Awaitable[None]],
    on_finished: Callable[[Finished], Awaitable[None]],
) -> ActorGraph:
    """The graph of a run without a centre; arguments as those of `graph_of`.

    A node knows its neighbours, and the gatherer, which writes the metrics and is in nobody's way.
    """
    assert isinstance(run.topology, Peers)
    text, at = RunText.of(run, identity), evaluated_at(run)
    strategy = strategy_of(run.supervision)
    graph = ActorGraph(run.name, closed=True)
    names = run.topology.names
    with graph.supervisor("root", strategy):
        monitor = graph.actor(
            "monitor", Monitor, stop_timeout=_STOP, on_row=on_row, on_finished=on_finished
        )
        gatherer = graph.actor(
            "gatherer", Gatherer, place=Process("gatherer"), stop_timeout=_STOP,
            identity=identity, nodes=names, strict=run.strict, monitor=monitor,
            rounds=rounds_of(run), mailbox=max(_MAILBOX, _SAID_AT_ONCE * len(names)),
        )  # fmt: skip
        with graph.supervisor(NODES, strategy, place=Process()):
            for index, name in enumerate(names):
                graph.actor(
                    name, Peer, stop_timeout=_STOP, name=name, index=index, run=text,
                    gatherer=gatherer, at=at,
                    neighbours={
                        each: graph.link(each, Peer, mutual=True)
                        for each in _wired(run.topology, name)
                    },
                )  # fmt: skip
    return graph


def _wired(topology: Peers, name: str) -> tuple[str, ...]:
    """Whom a node sends to, and whom it hears from: these it answers."""
    return tuple(dict.fromkeys((*topology.neighbours(name), *topology.senders(name))))


def levels_between(root: Node) -> list[tuple[Node, ...]]:
    """The aggregators below the root, level by level, outermost first."""
    levels: list[tuple[Node, ...]] = []
    nodes = tuple(node for node in root.below if node.below)
    while nodes:
        levels.append(nodes)
        nodes = tuple(each for node in nodes for each in node.below if each.below)
    return levels


def _place(node: Node) -> Process | None:
    """Where an aggregator lives that does not share the process of its level."""
    if node.level == COMBINERS:
        return Process(process_of(node))
    return Process(node.name) if node.own else None


def _mailbox(node: Node) -> int:
    return max(_MAILBOX, _SAID_AT_ONCE * len(node.below))


def strategy_of(supervision: Supervision) -> Strategy:
    """The runtime's words for a run's supervision."""
    return one_for_one(
        supervision.intensity,
        per=supervision.per,
        outside=supervision.outside,
        backoff=Backoff(initial=supervision.backoff, maximum=supervision.backoff_max),
        decide={ConfigError: "escalate", BeyondHelp: "escalate", NothingToResume: "escalate"},
        # A clock may take hours, and what fails at its end each time never ends otherwise.
        until_progress=True,
    )
