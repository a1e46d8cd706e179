"""Graphs in files: lists of edges, and GraphML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from actorfl import config
from actorfl.errors import MissingFile, WrongValue
from actorfl.graphs.edges import EdgeListGraph

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: Bytes. A run keeps the edges in its configuration, so a larger file could not become one anyway.
FILE_MAX: Final = 2**20
_GRAPHML: Final = ".graphml"


def read(path: Path, *, connected: bool = True) -> EdgeListGraph:
    """Make a graph of a file, see `EdgeListGraph.read`."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_MAX + 1)
    except OSError as error:
        raise MissingFile(path, (error.strerror or str(error)).lower()) from error
    if len(content) > FILE_MAX:
        raise MissingFile(path, f"it is larger than {FILE_MAX} bytes, the most that a graph may be")
    try:
        text = content.decode()
        if path.suffix == _GRAPHML:
            graph = _graphml(text)
            # Its ids are kept, or refused: whoever writes a file can give its nodes names.
            return EdgeListGraph(
                named=tuple(graph), edges=tuple(graph.edges()), directed=graph.is_directed(),
                connected=connected,
            )  # fmt: skip
        return EdgeListGraph(edges=_edges(text), connected=connected)
    except UnicodeDecodeError as error:
        raise WrongValue.saying(f"{path} is no text in UTF-8: {error.reason}") from error
    except WrongValue as error:
        error.args = (f"{path}: {error}",)
        raise


def table(path: Path) -> dict[str, object]:
    """The graph of a file as a configuration would write it."""
    return {"kind": "edges", **config.describe(read(path))}


def _edges(text: str) -> tuple[tuple[str, str], ...]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].replace(",", " ").split()
        if len(words) == 1:
            raise WrongValue.saying(f"line {number} has one name, {words[0]}; an edge has two")
        if words:
            found.append((words[0], words[1]))
    if not found:
        raise WrongValue.saying("there are no edges in it")
    return tuple(found)


def _graphml(text: str) -> Any:
    import xml.etree.ElementTree as ET

    import networkx as nx

    # Entities may stand for one another, and a page of them for gigabytes.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise WrongValue.saying("GraphML with a document type of its own is not read; take it out")
    try:
        _check_whole(ET.fromstring(text))  # noqa: S314  (its entities are refused above)
        return nx.parse_graphml(text)
    except WrongValue:
        raise
    except (ET.ParseError, nx.NetworkXError, KeyError, ValueError, TypeError) as error:
        raise WrongValue.saying(f"it is no GraphML: {error}") from error


def _check_whole(root: Element) -> None:
    """Refuse what would be left out of the graph, or come into it without having been declared.

    Raises:
        WrongValue: more than one graph, a node without an id, an edge of a node that is not there.
    """
    graphs = _each(root, "graph")
    everywhere = sum(1 for each in root.iter() if _tag(each) == "graph")
    if len(graphs) > 1:
        raise WrongValue.saying(
            f"it has {len(graphs)} graphs; leave one of them, or write a file for each"
        )
    if not graphs:
        return  # which the reader refuses
    if everywhere > 1:
        raise WrongValue.saying(
            "it has a graph within a node or an edge of another one, as groups are written; write "
            "all nodes and edges into one graph"
        )
    nodes = [node.get("id") for node in _each(graphs[0], "node")]
    if None in nodes:
        raise WrongValue.saying(
            f"node {nodes.index(None) + 1} of its {len(nodes)} has no id; give it one, which is "
            "its name"
        )
    declared = set(nodes)
    for number, edge in enumerate(_each(graphs[0], "edge"), 1):
        for end in ("source", "target"):
            name = edge.get(end)
            if name is None:
                raise WrongValue.saying(f"edge {number} has no {end}; say the id of a node")
            if name not in declared:
                raise WrongValue.saying(
                    f"edge {number} has the {end} {name}, and no node has this id; add the node, "
                    "or correct the edge"
                )


def _each(above: Element, tag: str) -> list[Element]:
    return [each for each in above if _tag(each) == tag]


def _tag(element: Element) -> str:
    """The tag of an element of GraphML, whose namespace may be left out."""
    return element.tag.removeprefix("{http://graphml.graphdrawing.org/xmlns}")
