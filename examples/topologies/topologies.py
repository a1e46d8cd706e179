"""What the graph does to learning without a centre: time and traffic until a model is good.

python topologies.py [--nodes 16 64] [--rounds N] [--out DIR]

D-PSGD on eight graphs. Each node has some of the ten digits, and one uplink that it shares among
those that it sends to. Virtual time costs none.
"""

import argparse
import asyncio
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from actorfl import (
    SGD,
    CompleteGraph,
    Every,
    ExponentialGraph,
    Metropolis,
    OnePeerExponentialGraph,
    Peers,
    RegularGraph,
    RingGraph,
    Rounds,
    Run,
    Shards,
    SmallWorld,
    StarGraph,
    TorusGraph,
    Uniform,
)
from actorfl.algorithms.dpsgd import DPSGD
from actors import Simulated
from transports.sim import Net

#: Bytes a second that a node can send: a small radio. A model has 2,600 bytes.
UPLINK = 20_000.0
#: Seconds on the way, and of a local epoch.
DELAY, EPOCH = 0.02, 0.1
#: Of the accuracy that the complete graph ends with.
SHARE = 0.95

GRAPHS: Mapping[str, Callable[[int], Peers]] = {
    "ring": RingGraph,
    "star": StarGraph,
    "torus": TorusGraph,
    "small world": SmallWorld,
    "4-regular": lambda nodes: RegularGraph(nodes, degree=4),
    "exponential": ExponentialGraph,
    "one-peer exp.": OnePeerExponentialGraph,
    "complete": CompleteGraph,
}

#: Of each graph in the figure; colours that are told apart by everybody.
MARKS = (
    ("o", "#0072b2"), ("*", "#000000"), ("s", "#d55e00"), ("^", "#009e73"),
    ("D", "#cc79a7"), ("v", "#e69f00"), ("P", "#56b4e9"), ("X", "#882255"),
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """What the nodes of a graph came to.

    Attributes:
        rounds: after which they were evaluated.
        seconds: virtual, since the start.
        accuracy: on the test set, the mean of all nodes, 0 to 1.
        kilobytes: that a node had sent until then, on the average.
    """

    rounds: tuple[int, ...]
    seconds: tuple[float, ...]
    accuracy: tuple[float, ...]
    kilobytes: tuple[float, ...]

    def reaches(self, target: float) -> tuple[float, float] | None:
        """Seconds and kilobytes sent by a node until an accuracy is reached; None if it is not."""
        for place, accuracy in enumerate(self.accuracy):
            if accuracy >= target:
                return self.seconds[place], self.kilobytes[place]
        return None


def run_of(graph: Peers, rounds: int) -> Run:
    """The run on a graph; where links go one way only all nodes have the same degree."""
    mixing = Metropolis() if graph.symmetric else Uniform()
    return Run(
        "digits", graph, DPSGD(order="before", mixing=mixing), partition=Shards(4),
        local=SGD(lr=0.1, batch=10, epochs=1), until=Rounds(rounds), evaluate=Every(2),
        name="topologies",
    )  # fmt: skip


def curve(graph: Peers, rounds: int, out: Path) -> Curve:
    """Carry a run out in virtual time; node i is alone in the process pi."""
    sends = [len(graph.targets(name, 0)) for name in graph.names]
    found: list[tuple[int, float, float, float]] = []
    sent = 0

    def net(here: str, there: str) -> Net:
        if not (here.startswith("p") and there.startswith("p")):
            return Net()  # what only looks on costs nothing
        return Net(DELAY, bandwidth=UPLINK / max(1, sends[int(here[1:])]))

    def on_row(row: Mapping[str, Any]) -> None:
        nonlocal sent
        sent += row.get("bytes", 0)
        if row.get("accuracy") is not None:
            now = asyncio.get_running_loop().time()
            found.append((row["round"], now, row["accuracy"], sent / len(sends) / 1000))

    run = run_of(graph, rounds)
    run.start(on=Simulated(len(sends), net=net, compute=EPOCH), out=out, on_row=on_row)
    return Curve(*zip(*found, strict=True))


def drawn(curves: Mapping[int, Mapping[str, Curve]]) -> Figure:
    """A panel for each number of nodes: seconds against kilobytes, a mark for each graph."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (nodes, some) in zip(panels, curves.items(), strict=True):
        target = target_of(some)
        missed = []
        for (name, one), (marker, color) in zip(some.items(), MARKS, strict=True):
            reached = one.reaches(target)
            if reached is None:
                missed.append(name)
                reached = (math.nan, math.nan)
            seconds, kilobytes = reached
            axes.plot(kilobytes, seconds, marker, color=color, markersize=8, label=name)
        axes.set(
            xscale="log", yscale="log", title=f"{nodes} nodes, to {target:.3f}",
            xlabel="kilobytes sent by a node", ylabel="virtual seconds",
        )  # fmt: skip
        axes.margins(0.1)
        axes.grid(alpha=0.3, which="both")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        if missed:
            axes.text(
                0.98, 0.02, f"not reached: {', '.join(missed)}", transform=axes.transAxes,
                fontsize=8, color="#555", ha="right",
            )  # fmt: skip
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center")
    return figure


def target_of(curves: Mapping[str, Curve]) -> float:
    """The accuracy to reach."""
    return SHARE * curves["complete"].accuracy[-1]


def save(figure: Figure, file: Path) -> None:
    """Write an SVG file that holds neither a date nor random names: the same figure, same bytes."""
    with mpl.rc_context({"svg.hashsalt": "actorfl"}):
        figure.savefig(file, metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry the runs out, print a line for each graph, draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--nodes", type=int, nargs="+", default=[16, 64], help="at least 8, no prime; default 16 64"
    )
    parser.add_argument(
        "--rounds", type=int, default=160, help="of each node, at least 2; default 160"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="draw the figure into this folder; without it none"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are left")
    given = parser.parse_args(arguments)
    if given.out is not None and not given.out.is_dir():
        parser.error(f"--out {given.out} is no folder; make it first")
    if min(given.nodes) < 8 or given.rounds < 2:
        parser.error("--nodes are at least 8, --rounds at least 2")
    if prime := [n for n in given.nodes if all(n % k for k in range(2, n))]:
        parser.error(f"--nodes {prime[0]} is prime, and fills no rectangle, as the torus is")
    curves: dict[int, dict[str, Curve]] = {}
    for nodes in given.nodes:
        curves[nodes] = {}
        for name, make in GRAPHS.items():
            print(f"{name}, {nodes} nodes", file=sys.stderr)
            curves[nodes][name] = curve(make(nodes), given.rounds, given.runs)
        for name, one in curves[nodes].items():
            reached = one.reaches(target_of(curves[nodes]))
            spent = "not reached" if reached is None else "{:7.1f} s {:9.1f} kB".format(*reached)
            print(f"{nodes:>3} {name:<14} ends with {one.accuracy[-1]:.3f}  {spent}", flush=True)
    if given.out is not None:
        save(drawn(curves), given.out / "topologies.svg")


if __name__ == "__main__":
    main()
