"""Exact merging against float64 accumulation: rows 24, 24b and 25 of docs/performance.md.

    python -m benchmarks.merging [--models 20] [--trials 7] [--json FILE]

Models have the shapes of ResNet-50 (161 tensors, 25.6 million float32). Twenty models are folded
per trial, taken in turn from four buffers of 102 MB each: more than any cache holds, less memory
than twenty. Ours and the yardstick alternate in one process on one thread; medians are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from actorfl.exact import BLOCK, ExactSum
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector

BUFFERS = 4


def resnet50() -> Layout:
    shapes: list[tuple[int, ...]] = [(64, 3, 7, 7), (64,), (64,)]
    width = 64
    for planes, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            for out, inner, kernel in (
                (planes, width, 1),
                (planes, planes, 3),
                (4 * planes, planes, 1),
            ):
                shapes += [(out, inner, kernel, kernel), (out,), (out,)]
            if block == 0:
                shapes += [(4 * planes, width, 1, 1), (4 * planes,), (4 * planes,)]
            width = 4 * planes
    shapes += [(1000, 2048), (1000,)]
    return Layout.build((f"t{i}", shape, "float32", "parameter") for i, shape in enumerate(shapes))


class Float64Sum:
    """The yardstick: acc += w * model in blocks, the division at the end in float64."""

    def __init__(self, size: int) -> None:
        self.total = np.zeros(size)
        self.scratch = np.empty(BLOCK)
        self.weight = 0

    def add(self, model: Vector, weight: int) -> None:
        for at in range(0, model.size, BLOCK):
            block = model[at : at + BLOCK]
            scratch = self.scratch[: block.size]
            np.copyto(scratch, block)  # faster than multiplying with a cast: the harder yardstick
            if weight != 1:
                np.multiply(scratch, float(weight), out=scratch)
            target = self.total[at : at + BLOCK]
            np.add(target, scratch, out=target)
        self.weight += weight

    def mean(self) -> Vector:
        out = np.empty(self.total.size, dtype=np.float32)
        for at in range(0, out.size, BLOCK):
            target = out[at : at + BLOCK]
            np.divide(
                self.total[at : at + BLOCK],
                float(self.weight),
                out=self.scratch[: target.size],
            )
            np.copyto(target, self.scratch[: target.size], casting="unsafe")
        return out

    def restart(self) -> None:
        self.total[:] = 0.0
        self.weight = 0


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def alternating(
    trials: int, ours: Callable[[], object], yardstick: Callable[[], object]
) -> tuple[float, float]:
    """Medians of both, in seconds; one trial of each comes first to touch all pages."""
    ours(), yardstick()
    times = [(seconds(ours), seconds(yardstick)) for _ in range(trials)]
    return statistics.median(t for t, _ in times), statistics.median(t for _, t in times)


def rows(models: int, trials: int) -> Iterator[dict[str, Any]]:
    layout = resnet50()
    rng = np.random.default_rng(0)
    buffers = [
        rng.standard_normal(layout.size, dtype=np.float32) * np.float32(0.05)
        for _ in range(BUFFERS)
    ]
    sizes = [100 + 7 * i for i in range(models)]
    exact = ExactSum(layout, Grid.of(buffers[0], layout, sum(sizes)))
    plain = Float64Sum(layout.size)
    gigabytes = models * layout.nbytes / 1e9

    def fold(weights: list[int], *, mean: bool) -> Callable[[], object]:
        def work() -> object:
            exact.restart(exact.grid)
            for i, weight in enumerate(weights):
                exact.add(buffers[i % BUFFERS], weight)
            return exact.mean() if mean else None

        return work

    def accumulate(weights: list[int], *, mean: bool) -> Callable[[], object]:
        def work() -> object:
            plain.restart()
            for i, weight in enumerate(weights):
                plain.add(buffers[i % BUFFERS], weight)
            return plain.mean() if mean else None

        return work

    what = f"{models} models x {layout.size / 1e6:.1f}M from {BUFFERS} buffers"
    for row, name, weights, mean in (
        ("24b", f"exact merging, {what}, weights n_k, with the mean, GB/s", sizes, True),
        ("24b", f"exact merging, {what}, weights n_k, sums alone, GB/s", sizes, False),
        ("24b", f"exact merging, {what}, weights 1, with the mean, GB/s", [1] * models, True),
    ):
        ours, yardstick = alternating(
            trials, fold(weights, mean=mean), accumulate(weights, mean=mean)
        )
        yield result(row, name, gigabytes / ours, gigabytes / yardstick)

    def read() -> object:
        return [
            np.maximum.reduce(buffer[at : at + BLOCK])
            for i in range(models)
            for buffer in (buffers[i % BUFFERS],)
            for at in range(0, layout.size, BLOCK)
        ]

    # Row 24 is a float64 sum, which actorfl does not have: it merges exactly only.
    for row, name, work in (
        ("24", "numpy's float64 accumulation against reading", accumulate(sizes, mean=True)),
        ("extra", "exact merging against reading", fold(sizes, mean=True)),
    ):
        ours, reading = alternating(trials, work, read)
        yield result(row, f"{name}, {what}, GB/s", gigabytes / ours, gigabytes / reading)

    tracemalloc.start()
    fresh = ExactSum(layout, exact.grid)
    for i, weight in enumerate(sizes):
        fresh.add(buffers[i % BUFFERS], weight)
    folding = tracemalloc.get_traced_memory()[1] / layout.nbytes
    tracemalloc.stop()
    yield result("25", "memory while folding besides landing buffers, model sizes", folding, 2.0)


def result(row: str, name: str, ours: float, yardstick: float) -> dict[str, Any]:
    return {
        "row": row,
        "name": name,
        "ours": round(ours, 3),
        "yardstick": round(yardstick, 3),
        "ratio": round(ours / yardstick, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="exact merging against float64 accumulation")
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--trials", type=int, default=7)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    found = []
    print(f"{'row':6}{'ours':>9}{'yardstick':>11}{'ratio':>8}  what")
    for row in rows(arguments.models, arguments.trials):
        found.append(row)
        print(
            f"{row['row']:6}{row['ours']:9.2f}{row['yardstick']:11.2f}{row['ratio']:8.2f}"
            f"  {row['name']}",
            flush=True,
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
