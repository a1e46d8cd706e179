"""Exact merging against reading and float64 accumulation: rows 23 to 25 of docs/performance.md.

    python -m benchmarks.merging [--models 20] [--repetitions 7] [--json FILE]

Models have the shapes of ResNet-50 (161 tensors, 25.6 million float32). Twenty models are folded
per trial, taken in turn from four buffers of 102 MB each: more than any cache holds, less memory
than twenty. Ours and the yardstick alternate in one process on one thread; medians are compared.
actorfl merges exactly and in no other way, so the sums of float32 and of float64 that rows 23 and
24 ask for are these. ``benchmarks.flower`` has the line of row 23 against Flower.

The exit code is 1 where a floor was missed, 2 where an option is wrong, else 0.
"""

from __future__ import annotations

import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator

import numpy as np

from actorfl.exact import BLOCK, ExactSum
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from benchmarks import report
from benchmarks.report import Row

BUFFERS = 4
# Sums take 8 bytes where a model takes 4, and two updates land at a time.
SUM, LANDING = 2, 2


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


def rows(models: int, trials: int) -> Iterator[Row]:
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

    what = f"{models} models x {layout.size / 1e6:.1f}M"
    for name, weights, mean in (
        ("weights n_k, with the mean", sizes, True),
        ("weights n_k, sums alone", sizes, False),
        ("weights 1, with the mean", [1] * models, True),
    ):
        ours, yardstick = alternating(
            trials, fold(weights, mean=mean), accumulate(weights, mean=mean)
        )
        yield Row(
            "24b", f"exact merging, {what}, {name}, GB/s", gigabytes / ours, gigabytes / yardstick,
            ">= 0.4", 0.8,
        )  # fmt: skip

    def read() -> object:
        return [
            np.maximum.reduce(buffer[at : at + BLOCK])
            for i in range(models)
            for buffer in (buffers[i % BUFFERS],)
            for at in range(0, layout.size, BLOCK)
        ]

    ours, reading = alternating(trials, fold(sizes, mean=True), read)
    for row, floor, goal in (("23", ">= 0.45", 0.65), ("24", ">= 0.15", 0.25)):
        yield Row(
            row, f"exact merging against reading, {what}, GB/s", gigabytes / ours,
            gigabytes / reading, floor, goal,
        )  # fmt: skip
    ours, reading = alternating(trials, accumulate(sizes, mean=True), read)
    yield Row(
        "extra", f"numpy's float64 accumulation against reading, {what}, GB/s", gigabytes / ours,
        gigabytes / reading,
    )  # fmt: skip

    # An update lands whole before it is folded, in one of two buffers as a rule.
    for clients in (2, models):
        tracemalloc.start()
        landing = [np.empty_like(buffers[0]) for _ in range(LANDING)]
        fresh = ExactSum(layout, exact.grid)
        for i, weight in enumerate(sizes[:clients]):
            np.copyto(landing[i % LANDING], buffers[i % BUFFERS])
            fresh.add(landing[i % LANDING], weight)
        held = tracemalloc.get_traced_memory()[1] / layout.nbytes
        tracemalloc.stop()
        yield Row(
            "25", f"memory while {clients} models are merged, in models", held, SUM + LANDING,
            "<= 1.25", 1.0,
        )  # fmt: skip


def main() -> int:
    parser = report.parser(__doc__, repetitions=7)
    parser.add_argument("--models", type=int, default=20, help="that are merged")
    arguments = parser.parse_args()
    found = []
    report.head(76)
    for row in rows(arguments.models, arguments.repetitions):
        found.append(row)
        report.line(row, 76)
    report.write(found, arguments.json)
    return report.status(found)


if __name__ == "__main__":
    sys.exit(main())
