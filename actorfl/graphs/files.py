"""Graphs in files: lists of edges, and GraphML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from actorfl import config
from actorfl.errors import ConfigError, MissingFile, WrongValue
from actorfl.graphs.edges import EdgeListGraph
from actors.suggest import shown

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

#: Bytes. A run keeps the edges in its configuration, so a larger file could not become one anyway.
FILE_MAX: Final = 2**20
_GRAPHML: Final = ".graphml"
_DEFAULTS: Final = ("undirected", "directed")
#: What an edge may say of itself where the edges of its graph go both ways, and where one way.
_SAYING: Final = (("false", "0"), ("true", "1"))


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
        text = content.decode("utf-8-sig")  # some editors begin a file with the mark of its order
        if path.suffix == _GRAPHML:
            return _graphml(text, connected=connected)
        return EdgeListGraph(edges=_edges(text), connected=connected)
    except UnicodeDecodeError as error:
        raise WrongValue.saying(f"{path} is no text in UTF-8: {error.reason}") from error
    except ConfigError as error:
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


def _graphml(text: str, *, connected: bool) -> EdgeListGraph:
    """The graph of GraphML; what it says beside ids and edges (data, ports) plays no part."""
    import xml.etree.ElementTree as ET
    from xml.parsers.expat import ErrorString

    # Entities may stand for one another, and a page of them for gigabytes.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise WrongValue.saying("GraphML with a document type of its own is not read; take it out")
    try:
        root = ET.fromstring(text)  # noqa: S314  (its entities are refused above)
    except ET.ParseError as error:
        line, column = error.position
        raise WrongValue.saying(
            f"it is no GraphML: its XML is broken in line {line}, column {column + 1} "
            f"({ErrorString(error.code)})"
        ) from error
    graph = _only_graph(root)
    directed = _is_directed(graph)
    names = _ids(graph)
    # Ids are kept, or refused: whoever writes a file can give its nodes names.
    return EdgeListGraph(
        named=names, edges=_links(graph, set(names), directed=directed), directed=directed,
        connected=connected,
    )  # fmt: skip


def _only_graph(root: Element) -> Element:
    if _tag(root) != "graphml":
        raise WrongValue.saying(
            f"it is no GraphML: its outermost element is {_tag(root)}; write graphml, and a graph "
            "in it"
        )
    graphs = _each(root, "graph")
    if not graphs:
        raise WrongValue.saying("it is no GraphML: there is no graph in it; write one")
    if len(graphs) > 1:
        raise WrongValue.saying(
            f"it has {len(graphs)} graphs; leave one of them, or write a file for each"
        )
    if sum(1 for each in root.iter() if _tag(each) == "graph") > 1:
        raise WrongValue.saying(
            "it has a graph within a node or an edge of another one, as groups are written; write "
            "all nodes and edges into one graph"
        )
    return graphs[0]


def _is_directed(graph: Element) -> bool:
    default = graph.get("edgedefault")
    if default not in _DEFAULTS:
        says = "no edgedefault" if default is None else f"the edgedefault {shown(default)}"
        raise WrongValue.saying(
            f'its graph has {says}; say edgedefault="undirected", or "directed" where edges lead '
            "one way"
        )
    return default == "directed"


def _ids(graph: Element) -> tuple[str, ...]:
    """The ids of the nodes, each once, as they come."""
    nodes = _each(graph, "node")
    if not nodes:
        raise WrongValue.saying("there are no nodes in its graph; write one for each name")
    found: dict[str, None] = {}
    for number, node in enumerate(nodes, 1):
        name = node.get("id")
        if name is None:
            raise WrongValue.saying(
                f"node {number} of its {len(nodes)} has no id; give it one, which is its name"
            )
        found[name] = None
    return tuple(found)


def _links(graph: Element, declared: set[str], *, directed: bool) -> tuple[tuple[str, str], ...]:
    """The edges; refused where they would not come into the graph as they are written."""
    if _each(graph, "hyperedge"):
        raise WrongValue.saying(
            "it has a hyperedge, which may have more than two ends; write an edge for each two "
            "nodes that it links"
        )
    found = []
    for number, edge in enumerate(_each(graph, "edge"), 1):
        ends = []
        for end in ("source", "target"):
            name = edge.get(end)
            if name is None:
                raise WrongValue.saying(f"edge {number} has no {end}; say the id of a node")
            if name not in declared:
                raise WrongValue.saying(
                    f"edge {number} has the {end} {name}, and no node has this id; add the "
                    "node, or correct the edge"
                )
            ends.append(name)
        says = edge.get("directed")
        if says is not None and says not in _SAYING[directed]:
            kind = "directed" if directed else "undirected"
            raise WrongValue.saying(
                f'edge {number} says directed="{shown(says)[1:-1]}", and its graph is {kind}; take '
                "that out, or write a directed graph with an edge for each way"
            )
        found.append((ends[0], ends[1]))
    return tuple(found)


def _each(above: Element, tag: str) -> list[Element]:
    return [each for each in above if _tag(each) == tag]


def _tag(element: Element) -> str:
    """The tag of an element of GraphML, whose namespace may be left out."""
    return element.tag.removeprefix("{http://graphml.graphdrawing.org/xmlns}")
