"""Tasks of echo-state networks for runs in tests; nothing here loads torch."""

import sys
from dataclasses import dataclass

import numpy as np

from actorfl import EchoStateTask, Who, series
from actorfl.data.mackeyglass import MackeyGlass
from actorfl.esn.reservoir import Floats
from actorfl.task import Dataset


@dataclass(frozen=True)
class Alone(MackeyGlass):
    """Refuses to generate its series where torch is loaded."""

    def values(self, steps: int) -> Floats:
        if "torch" in sys.modules:
            raise RuntimeError("torch was loaded in this process")
        return super().values(steps)


@dataclass(frozen=True)
class Plants(EchoStateTask):
    """Two channels in and two out, of each worker's own; too short, or far too large, if asked.

    What is broken holds an infinite value: "inputs" or "targets" of w1, or "test".
    """

    short: bool = False
    wild: bool = False
    broken: str = ""

    def channels(self) -> tuple[int, int]:
        return 2, 2

    def train(self, who: Who) -> Dataset:
        t = np.arange(20 if self.short else 200 + 50 * who.index) / (3 + who.index)
        u = np.stack([np.sin(t), np.cos(t)], axis=1) * (1e30 if self.wild else 1)
        y = u[:, ::-1].copy()
        if who.index == 1 and self.broken in {"inputs", "targets"}:
            (u if self.broken == "inputs" else y)[50, 1] = np.inf
        return series(u, y)

    def test(self) -> Dataset:
        t = np.arange(100) / 3.5
        u = np.stack([np.sin(t), np.cos(t)], axis=1)
        if self.broken == "test":
            u[7, 0] = np.nan
        return series(u, u[:, ::-1])
