"""A picture of a graph, by matplotlib."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from actorfl.errors import MissingExtra, WrongValue
from actorfl.graphs.drawn import DrawnGraph
from actorfl.graphs.edges import EdgeListGraph
from actorfl.graphs.lattice import Lattice
from actorfl.graphs.vehicles import Vehicles
from actorfl.topology import Peers

#: Links of which anything can be seen, and which a picture takes a few seconds for.
_LINKS_MAX: Final = 50_000
#: Nodes that are moved about until linked ones are near each other; for more it takes too long.
_MOVED_MAX: Final = 400
_NAMED_MAX: Final = 40
_SUFFIXES: Final = (".png", ".svg")

_Places = np.ndarray[Any, np.dtype[np.float64]]


def check(path: Path) -> None:
    """Refuse a file that is no picture by its name, and a machine that cannot draw.

    Raises:
        WrongValue: another ending than .png and .svg, or no directory there.
        MissingExtra: matplotlib is not installed.
    """
    if path.suffix not in _SUFFIXES:
        raise WrongValue("the file of a picture", "one that ends with .png or .svg", str(path))
    if not path.absolute().parent.is_dir():
        raise WrongValue("the file of a picture", "in a directory that is there", str(path))
    try:
        import matplotlib as mpl
    except ModuleNotFoundError:
        raise MissingExtra("matplotlib", "plot", "a picture") from None
    del mpl


def draw(topology: Peers, path: Path, number: int = 0) -> None:
    """Draw a round of a graph.

    Args:
        topology: the graph.
        path: of the file to write, see `check`.
        number: of the round.

    Raises:
        WrongValue: it has too many links to be seen.
        OSError: the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    names = topology.names
    index = {name: place for place, name in enumerate(names)}
    links = [
        (place, index[other])
        for place, name in enumerate(names)
        for other in topology.targets(name, number)
    ]
    if len(links) > _LINKS_MAX:
        raise WrongValue("a graph in a picture", f"of {_LINKS_MAX} links at most", len(links))
    at = _places(topology, links, number)
    with mpl.rc_context({"svg.hashsalt": "actorfl"}):  # the same graph gives the same file
        figure = Figure(figsize=(6, 6), layout="constrained")
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.set_aspect("equal")
        if topology.symmetric or len(links) > _MOVED_MAX:
            lines = LineCollection(
                [(at[one], at[other]) for one, other in links],
                colors="tab:gray", linewidths=0.8, alpha=0.3 if len(links) > 500 else 0.6, zorder=1,
            )  # fmt: skip
            axes.add_collection(lines)
        else:
            arrow = {"arrowstyle": "->", "color": "tab:gray", "shrinkA": 5, "shrinkB": 5}
            for one, other in links:
                axes.annotate(
                    "", at[other], at[one],
                    arrowprops=arrow,
                )  # fmt: skip
        size = max(4.0, 1200 / len(names))
        axes.scatter(at[:, 0], at[:, 1], s=min(size, 80), color="tab:blue", zorder=2)
        if len(names) <= _NAMED_MAX:
            for name, (x, y) in zip(names, at, strict=True):
                axes.annotate(name, (x, y), (4, 4), textcoords="offset points", fontsize=8)
        axes.autoscale_view()
        made = {"Software": None} if path.suffix == ".png" else {"Date": None}
        figure.savefig(path, dpi=150, metadata=made)


def _places(topology: Peers, links: list[tuple[int, int]], number: int) -> _Places:
    """Where the nodes are drawn, shape (nodes, 2)."""
    count = len(topology.names)
    if isinstance(topology, Vehicles):
        return topology.positions(number)
    if isinstance(topology, Lattice):
        rows, columns = np.divmod(np.arange(count), topology.shape[1])
        return np.stack((columns, -rows), axis=1).astype(float)
    shapeless = isinstance(topology, DrawnGraph | EdgeListGraph)
    if shapeless and count <= _MOVED_MAX:
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(count))
        graph.add_edges_from(links)
        found = nx.spring_layout(graph, seed=0)
        return np.array([found[place] for place in range(count)])
    angle = 2 * math.pi * np.arange(count) / count
    return np.stack((np.sin(angle), np.cos(angle)), axis=1)
