"""The outline of a graph: a row for each supervisor and actor, or for many alike; as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from actors.declared import ActorNode, SupervisorNode
from actors.deploy import Deployment, Process
from actors.graphcheck import check_links
from actors.placement import placed
from actors.supervision import Strategy

if TYPE_CHECKING:
    from actors.graph import ActorGraph

#: So many actors in a row that differ in a number alone take one line: fewer are read sooner one
#: by one.
_ALIKE = 6
#: Processes that a row names one by one.
_PLACES = 4

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)\Z")


@dataclass(eq=False)
class Row:
    """A supervisor, an actor, or many actors alike.

    Attributes:
        title: its name; of many alike with ``{}`` for the number.
        about: the strategy or the class, and what is not usual.
        place: where it lives; empty for the launcher's process.
        names: of the actors in it; none for a supervisor.
        children: of a supervisor.
        links: (parameters, row) of what its actors are given references to.
    """

    title: str
    about: str
    place: str = ""
    names: tuple[str, ...] = ()
    children: list[Row] = field(default_factory=list)
    links: list[tuple[str, Row]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Row]:
        yield self
        for child in self.children:
            yield from child

    @property
    def heading(self) -> str:
        """The title, with the number of those alike."""
        count = len(self.names)
        return f"{self.title} × {count}" if count > 1 else self.title  # noqa: RUF001  (times)

    @property
    def details(self) -> str:
        """What it is and where."""
        return f"{self.about}, {self.place}" if self.place else self.about


@dataclass(frozen=True)
class Outline:
    """What `text` and a drawing of a graph show.

    Attributes:
        name: of the graph.
        about: how many there are of what, and under which deployment.
        roots: the rows that stand at the top.
    """

    name: str
    about: str
    roots: tuple[Row, ...]

    def rows(self) -> Iterator[Row]:
        """All rows, each before its children."""
        for root in self.roots:
            yield from root

    def text(self) -> str:
        """The rows as a tree of lines."""
        lines = [f"{self.name}: {self.about}"]

        def add(rows: list[Row], indent: str) -> None:
            for row in rows:
                last = row is rows[-1]
                links = "".join(f"  {given} -> {to.heading}" for given, to in row.links)
                elbow = "└─ " if last else "├─ "
                lines.append(f"{indent}{elbow}{row.heading}  {row.details}{links}")
                add(row.children, indent + ("   " if last else "│  "))

        add(list(self.roots), "")
        return "\n".join(lines)


def outline(graph: ActorGraph, on: Deployment | None) -> Outline:
    """The outline of a graph.

    Args:
        graph: as declared.
        on: whose processes are shown; what was declared where None.

    Raises:
        GraphError: a link or a placement that does not exist.
    """
    check_links(graph)
    nodes = None if on is None else placed(graph.name, graph.declared, on)
    row_of: dict[str, Row] = {}

    def rows_below(supervisor: SupervisorNode) -> Row:
        row = Row(supervisor.name, strategy_text(supervisor.strategy))
        for alike, run in groupby(supervisor.children, key=_likeness):
            if alike is None:
                row.children.extend(
                    rows_below(one) for one in run if isinstance(one, SupervisorNode)
                )
                continue
            actors = [one for one in run if isinstance(one, ActorNode)]
            groups = [actors] if len(actors) >= _ALIKE else [[one] for one in actors]
            row.children.extend(_row(group, nodes, graph.name) for group in groups)
        for child in row.children:
            row_of.update(dict.fromkeys(child.names, child))
        return row

    roots = tuple(rows_below(root) for root in graph.roots)
    for row in (one for root in roots for one in root if one.names):
        _add_links(row, graph, row_of)
    supervisors = sum(1 for root in graph.roots for _ in root.supervisors())
    about = f"{_number(len(graph.declared), 'actor')}, {_number(supervisors, 'supervisor')}"
    return Outline(graph.name, about if on is None else f"{about}, {on}", roots)


def strategy_text(strategy: Strategy) -> str:
    """A strategy in a few words."""
    period = "until progress" if strategy.until_progress else f"in {strategy.per:g} s"
    return f"{strategy.kind}, {strategy.intensity} {period}"


def _likeness(child: SupervisorNode | ActorNode) -> Any:
    """Equal for actors that differ in a number of their name alone; None for supervisors."""
    if isinstance(child, SupervisorNode):
        return None
    links = tuple((parameter, handle.name) for parameter, handle in child.links())
    return (_pattern(child.name), child.cls, child.place, child.restart, links)


def _pattern(name: str) -> str:
    found = _NUMBERED.match(name)
    return f"{found[1]}{{}}{found[3]}" if found else name


def _row(actors: list[ActorNode], nodes: dict[str, str] | None, graph: str) -> Row:
    first = actors[0]
    names = tuple(actor.name for actor in actors)
    about = getattr(first.cls, "__qualname__", None) or repr(first.cls)
    if first.restart != "permanent":
        about += f", {first.restart}"
    place = (
        _declared(first.place) if nodes is None else _processes([nodes[n] for n in names], graph)
    )
    return Row(names[0] if len(names) == 1 else _pattern(names[0]), about, place, names)


def _declared(place: Process | None) -> str:
    if place is None:
        return ""
    return "any process" if place.name is None else f"process {place.name}"


def _processes(nodes: list[str], graph: str) -> str:
    places = sorted({node for node in nodes if node != graph}, key=_counted)
    if not places:
        return ""
    if len(places) > _PLACES:
        return f"{len(places)} processes {places[0]} … {places[-1]}"
    return f"{'process' if len(places) == 1 else 'processes'} {' '.join(places)}"


def _counted(name: str) -> tuple[str, int, str]:
    """Sorts p2 before p10."""
    found = _NUMBERED.match(name)
    return (found[1], int(found[2]), name) if found else (name, -1, name)


def _add_links(row: Row, graph: ActorGraph, row_of: dict[str, Row]) -> None:
    found: dict[Row, dict[str, None]] = {}
    for name in row.names:
        for parameter, handle in graph.declared[name].links():
            found.setdefault(row_of[handle.name], {})[parameter] = None
    row.links.extend((", ".join(parameters), to) for to, parameters in found.items())


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
