"""Who waits for stragglers, and what it costs not to: accuracy by virtual time, and by staleness.

python stragglers.py [--clocks N] [--seeds N] [--out DIR]

Eight workers, each with two of the ten digits. The time of a local training is drawn anew each
time, exponentially; some workers are slower on the average than others. Virtual time costs none.
"""

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from actorfl import ASP, BSP, SGD, SSP, Clocks, FedAvg, Run, Shards, Star, Sync
from actors import Simulated

#: Mean seconds of a local training, by worker: the slowest takes twice as long as the fastest.
MEANS = (1.0, 1.0, 1.0, 1.2, 1.2, 1.5, 1.5, 2.0)

POLICIES: Mapping[str, Sync] = {
    "BSP": BSP(),
    "SSP(1)": SSP(1),
    "SSP(3)": SSP(3),
    "SSP(10)": SSP(10),
    "ASP": ASP(),
}

RUN = Run(
    "digits",
    Star(len(MEANS)),
    FedAvg(),
    partition=Shards(2),
    local=SGD(lr=0.1, batch=10, epochs=2),
    until=Clocks(30),
    name="stragglers",
)


@dataclass(frozen=True)
class Curve:
    """What a run came to after each round's worth of updates.

    Attributes:
        seconds: virtual, since the start, ascending.
        accuracy: on the test set, 0 to 1.
    """

    seconds: tuple[float, ...]
    accuracy: tuple[float, ...]

    @property
    def final(self) -> float:
        """The accuracy in the end: the mean of the last three measurements."""
        return fmean(self.accuracy[-3:])

    def at(self, second: float) -> float:
        """The accuracy of the newest model at a virtual second; 0 before the first measurement."""
        found = 0.0
        for since, accuracy in zip(self.seconds, self.accuracy, strict=True):
            if since > second:
                break
            found = accuracy
        return found


def times(seed: int) -> Callable[[str, float | None], float]:
    """Seconds of a job by node: worker i is alone on the node pi; all but training takes none.

    The n-th training of a worker takes the same time under each policy.
    """
    draws = {f"p{number}": random.Random(f"{seed} {number}") for number in range(len(MEANS))}

    def seconds(node: str, _size: float | None) -> float:
        return draws[node].expovariate(1 / MEANS[int(node[1:])]) if node in draws else 0.0

    return seconds


def curve(run: Run, out: Path) -> Curve:
    """Carry a run out in virtual time."""
    seconds: list[float] = []
    accuracy: list[float] = []

    def on_row(row: Mapping[str, Any]) -> None:
        if "round" in row:
            seconds.append((seconds[-1] if seconds else 0.0) + row["seconds"])
            accuracy.append(row["accuracy"])

    on = Simulated(len(MEANS), seed=run.seed, compute=times(run.seed))
    run.start(on=on, out=out, on_row=on_row)
    return Curve(tuple(seconds), tuple(accuracy))


def by_time(curves: Mapping[str, Sequence[Curve]]) -> Figure:
    """A line for each policy: the mean over seeds, up to where the slowest policy ends."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    last = max(one.seconds[-1] for some in curves.values() for one in some)
    moments = [last * part / 200 for part in range(201)]
    for name, some in curves.items():
        end = min(one.seconds[-1] for one in some)
        shown = [moment for moment in moments if moment <= end]
        axes.plot(shown, [fmean(one.at(moment) for one in some) for moment in shown], label=name)
    axes.set(xlabel="virtual seconds", ylabel="accuracy on the test set", ylim=(0.0, 1.0))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    return figure


def by_staleness(curves: Mapping[str, Sequence[Curve]]) -> Figure:
    """The accuracy after equal work against how far workers may run ahead; a dot for each seed."""
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    places = range(len(curves))
    for place, some in zip(places, curves.values(), strict=True):
        axes.plot([place] * len(some), [one.final for one in some], "o", color="#bbb")
    means = [fmean(one.final for one in some) for some in curves.values()]
    axes.plot(places, means, "o-", color="#0072b2")
    bounds = {"BSP": "0 (BSP)", "SSP(1)": "1", "SSP(3)": "3", "SSP(10)": "10", "ASP": "∞ (ASP)"}
    axes.set_xticks(list(places), [bounds[name] for name in curves])
    axes.set(xlabel="staleness bound s, clocks", ylabel="final accuracy")
    axes.grid(alpha=0.3)
    return figure


def save(figure: Figure, file: Path) -> None:
    """Write an SVG file that holds neither a date nor random names: the same figure, same bytes."""
    with mpl.rc_context({"svg.hashsalt": "actorfl"}):
        figure.savefig(file, metadata={"Date": None})


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, got {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry the runs out, print a line for each policy, draw both figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clocks", type=positive, default=30, help="of each worker")
    parser.add_argument("--seeds", type=positive, default=3, help="of each policy; default 3")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="draw the figures into this folder; without it none"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are left")
    given = parser.parse_args(arguments)
    if given.out is not None and not given.out.is_dir():
        parser.error(f"--out {given.out} is no folder; make it first")
    curves = {
        name: [
            curve(replace(RUN, sync=sync, until=Clocks(given.clocks), seed=seed), given.runs)
            for seed in range(given.seeds)
        ]
        for name, sync in POLICIES.items()
    }
    if given.out is not None:
        save(by_time(curves), given.out / "time.svg")
        save(by_staleness(curves), given.out / "staleness.svg")
    for name, some in curves.items():
        spent = fmean(one.seconds[-1] for one in some)
        print(f"{name:<8}{spent:6.1f} s  final accuracy {fmean(one.final for one in some):.3f}")


if __name__ == "__main__":
    main()
