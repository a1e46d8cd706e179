"""Graphs in files: lists of edges, and GraphML."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from actorfl import config
from actorfl.errors import MissingFile, WrongValue
from actorfl.graphs.edges import EdgeListGraph

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
            return EdgeListGraph.of(_graphml(text), connected=connected)
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


def _graphml(text: str) -> object:
    import xml.etree.ElementTree as ET

    import networkx as nx

    # Entities may stand for one another, and a page of them for gigabytes.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise WrongValue.saying("GraphML with a document type of its own is not read; take it out")
    try:
        return nx.parse_graphml(text)
    except (ET.ParseError, nx.NetworkXError, KeyError, ValueError, TypeError) as error:
        raise WrongValue.saying(f"it is no GraphML: {error}") from error
