"""Plants that share a soft sensor: exact by gossip, and by averaging what each has learned.

python industry.py [--rounds N] [--out DIR]

Six plants of one kind run at loads of their own. In each a laboratory measures the quality of what
leaves it; the sensor is to tell it from load, coolant and temperature alone. No series leaves its
plant, and there is no centre: each plant talks to two others.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from actorfl import (
    EchoStateTask,
    ReadoutConsensus,
    RidgeReadout,
    RingGraph,
    Rounds,
    Run,
    Star,
    Who,
    series,
)
from actorfl.task import Dataset
from actors import Simulated

Floats = NDArray[np.float64]
Share = Literal["moments", "readout"]

PLANTS = 6
PENALTY = 1e-4
#: What each plant runs at, as a share of the greatest load there is; the test runs through all.
LOADS = (0.15, 0.30, 0.45, 0.60, 0.75, 0.90)


@dataclass(frozen=True)
class SoftSensor(EchoStateTask):
    """Quality from load, coolant and temperature; `steps` measurements a plant."""

    layers: int = 2
    units: int = 30
    scale: float = 1.0
    washout: int = 50
    steps: int = 600

    def channels(self) -> tuple[int, int]:
        return 3, 1

    def train(self, who: Who) -> Dataset:
        return plant(np.full(self.steps, LOADS[who.index % PLANTS]), seed=who.index)

    def test(self) -> Dataset:
        levels = np.repeat(LOADS, 150)
        return plant(levels, seed=1000)


def plant(levels: Floats, seed: int) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """What sensors and laboratory measure where the load is about these levels.

    The temperature follows load and coolant with a lag, the stronger the hotter it is, and the
    quality what the temperature was some steps ago: best at one that no plant alone knows.
    """
    draw = np.random.default_rng(seed)
    load, coolant = (wander(draw, len(levels)) for _ in range(2))
    load = np.clip(levels + 0.06 * load, 0.0, 1.0)
    coolant = 0.5 + 0.2 * coolant
    temperature = np.empty(len(levels))
    now = levels[0]
    for step in range(len(levels)):
        now += 0.15 * (load[step] * (1 + 0.5 * now) - coolant[step] * now**2 - 0.4 * now)
        temperature[step] = now
    late = np.concatenate([np.full(5, temperature[0]), temperature[:-5]])
    quality = np.exp(-8 * (late - 0.5) ** 2) - 0.4 * load * late
    sensors = np.stack([load, coolant, temperature], axis=1)
    noise = 0.005 * draw.standard_normal(sensors.shape)
    return series(sensors + noise - 0.5, quality + 0.005 * draw.standard_normal(len(levels)))


def wander(draw: np.random.Generator, steps: int) -> Floats:
    """A signal that comes back to zero, with a standard deviation of about 1."""
    found, now = np.empty(steps), 0.0
    for step in range(steps):
        now = 0.95 * now + 0.31 * draw.standard_normal()
        found[step] = now
    return found


def gossip(share: Share, rounds: int) -> Run:
    """The plants in a ring, which average what `share` says."""
    return Run(
        SoftSensor(),
        RingGraph(PLANTS),
        ReadoutConsensus(PENALTY, share),
        until=Rounds(rounds),
        name="industry",
    )


RUN = gossip("moments", 24)


def curve(run: Run, out: Path) -> list[tuple[float, float]]:
    """NRMSE on the test series after each round: of the mean plant, and of the worst."""
    found: list[tuple[float, float]] = []

    def on_row(row: Mapping[str, Any]) -> None:
        if "round" in row:
            found.append((row["nrmse"], row.get("nrmse_worst_decile", row["nrmse"])))

    run.start(on=Simulated(1), out=out, on_row=on_row)
    return found


def picture(curves: Mapping[str, Sequence[tuple[float, float]]], centre: float) -> Figure:
    """Error by rounds of averaging: lines are the mean plant, dots the worst."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (name, errors) in zip(("#0072b2", "#d55e00"), curves.items(), strict=True):
        mean, worst = zip(*errors, strict=True)
        rounds = range(1, len(errors) + 1)
        axes.plot(rounds, mean, "-", color=colour, label=name)
        axes.plot(rounds, worst, ".", color=colour)
    axes.axhline(centre, color="#444", linestyle=":", label="all data in one place")
    axes.set(xlabel="rounds of averaging with two neighbours", yscale="log")
    axes.set(ylabel="NRMSE at the loads of all plants")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, got {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry the runs out, print a line for each way after the most rounds, draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=24, help="of averaging; default 24")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="draw the figure into this folder; without it none"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are left")
    given = parser.parse_args(arguments)
    if given.out is not None and not given.out.is_dir():
        parser.error(f"--out {given.out} is no folder; make it first")
    shares: Mapping[str, Share] = {"exact": "moments", "averaged readouts": "readout"}
    curves = {
        name: curve(gossip(share, given.rounds), given.runs) for name, share in shares.items()
    }
    ((centre, _),) = curve(
        Run(SoftSensor(), Star(PLANTS), RidgeReadout(PENALTY), until=Rounds(1)), given.runs
    )
    if given.out is not None:
        with mpl.rc_context({"svg.hashsalt": "actorfl"}):  # the same figure, the same bytes
            picture(curves, centre).savefig(given.out / "error.svg", metadata={"Date": None})
    for name, errors in curves.items():
        print(f"{name:<22}{errors[-1][0]:.3f} of the mean plant, {errors[-1][1]:.3f} of the worst")
    print(f"{'all data in one place':<22}{centre:.3f}")


if __name__ == "__main__":
    main()
