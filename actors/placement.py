"""Which node each actor of a graph lives on, under a deployment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from actors.crashpoints import CrashPoint
from actors.deploy import Deployment, Inline, Processes, check_deployment
from actors.errors import GraphError
from actors.faults.churn import MOST_SESSIONS, sessions
from actors.faults.kinds import Churn, Freeze, Full, Kill, Skew, Slow, Torn
from actors.suggest import among

if TYPE_CHECKING:
    from actors.declared import ActorNode

_ON_PROCESSES = (Churn, CrashPoint, Freeze, Full, Kill, Skew, Slow, Torn)


class UnknownProcess(GraphError):  # noqa: N818  (the sentence is the name, as in the field's APIs)
    """A fault plan that names a process which does not exist."""


_WORKER = re.compile(r"p(0|[1-9][0-9]*)\Z")


def placed(graph: str, actors: Mapping[str, ActorNode], on: Deployment) -> dict[str, str]:
    """Name of the node of each actor; the launcher's is named as the graph.

    Args:
        graph: its name.
        actors: by name, in the order in which they were declared.
        on: the deployment.

    Raises:
        GraphError: a placement that does not exist.
        UsageError: what is no deployment.
    """
    check_deployment(on)
    nodes: dict[str, str] = {}
    index = 0
    for name, actor in actors.items():
        if actor.place is None or isinstance(on, Inline):
            nodes[name] = graph
        elif actor.place.name is None:
            nodes[name] = f"p{index % on.n}"
            index += 1
            if nodes[name] == graph:
                msg = (
                    f"graph {graph!r} is named like one of the worker processes of {on}, where "
                    f"{name!r} is placed; name the graph otherwise"
                )
                raise GraphError(msg)
        else:
            nodes[name] = _named(graph, name, actor.place.name, on.n, on)
    return nodes


def _named(graph: str, actor: str, place: str, n: int, on: Deployment) -> str:
    if place == graph:
        msg = (
            f"{actor!r} is placed in a process {place!r}, but that is the name of the launcher's "
            "own, which is named as the graph; leave place= out, or name the process otherwise"
        )
        raise GraphError(msg)
    worker = _WORKER.match(place)
    # The number is text of any length, and Python reads no integer of 5,000 digits.
    if worker and (len(worker[1]) > len(str(n)) or int(worker[1]) >= n):
        workers = "p0" if n == 1 else "p0 and p1" if n == 2 else f"p0 to p{n - 1}"
        msg = (
            f"{actor!r} is placed in process {place!r}, which does not exist: {on} has the worker "
            f"{'process' if n == 1 else 'processes'} {workers}; take one of them, Process() for "
            "any, or a name that is not a worker's"
        )
        raise GraphError(msg)
    return place


def check_names(graph: str, nodes: Mapping[str, str], on: Deployment) -> None:
    """Refuse faults and environments for processes that do not exist.

    Raises:
        UnknownProcess: the fault plan names one.
        GraphError: ``env=`` names one.
    """
    places = sorted(set(nodes.values()) - {graph})
    faults = None if isinstance(on, Inline) else on.faults
    if faults is not None:
        for fault, name in faults.nodes():
            # The launcher is a node, but no process that anything could be done to.
            _check_there(name, places if isinstance(fault, _ON_PROCESSES) else [graph, *places])
        for moment in faults.moments:
            _check_there(moment.node, places)
        for churn in faults.of(Churn):
            names = sum(fnmatchcase(place, churn.node) for place in places)
            count = names * sessions(churn, faults.until)
            if count > MOST_SESSIONS:
                msg = (
                    f"{churn} has about {count:.0f} sessions, more than {MOST_SESSIONS}; give "
                    "longer ones, or an earlier end"
                )
                raise GraphError(msg)
    if isinstance(on, Processes):
        for name in on.env:
            if name not in nodes and name not in places:
                msg = (
                    f"env= names {name!r}, which is neither a process nor an actor; "
                    f"{among(name, sorted({*places, *nodes}))}"
                )
                raise GraphError(msg)


def _check_there(name: str, there: Sequence[str]) -> None:
    if not any(fnmatchcase(place, name) for place in there):
        msg = f"the fault plan names process {name!r}, which does not exist; {among(name, there)}"
        raise UnknownProcess(msg)
