"""What the engines that compute with numpy have in common."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import random
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actorfl.arrays import needed, size_of
from actorfl.engine import Engine
from actorfl.errors import WrongValue
from actorfl.fingerprint import Fingerprint, settings
from actorfl.layout import Layout
from actorfl.local import SGD
from actorfl.parts import TensorInfo
from actorfl.seeds import seed_for
from actorfl.task import Dataset


class NumpyEngine(Engine):
    """Base of engines whose datasets are tuples of numpy arrays, and which never load torch.

    Attributes:
        tasks: whose data they are, for people: "an EstimatorTask".
    """

    tasks: ClassVar[str]

    def prepare(self, threads: int, seed: int) -> None:
        """Bound the threads of BLAS and OpenMP, where threadpoolctl can; seed numpy and random."""
        with contextlib.suppress(ImportError):
            from threadpoolctl import threadpool_limits

            threadpool_limits(limits=threads)
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Seed numpy and random."""
        random.seed(seed)
        # NPY002: a task may draw from numpy's global generator; it takes words of 32 bits.
        np.random.seed([seed & 0xFFFF_FFFF, seed >> 32])  # noqa: NPY002

    def subset(self, data: Dataset, indices: NDArray[np.int64]) -> Dataset:
        """Copies of the rows."""
        return tuple(column[indices] for column in needed(data, self.tasks))

    def split(self, data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Hold out a part, drawn by numpy; see ``batches.split``."""
        examples = size_of(data)
        held = held_out(examples, fraction)
        order = np.random.Generator(np.random.PCG64(seed)).permutation(examples)
        return self.subset(data, np.sort(order[held:])), self.subset(data, np.sort(order[:held]))

    def joined(self, datasets: Sequence[Dataset]) -> Dataset:
        """The rows of all, one after another."""
        columns = [needed(data, self.tasks) for data in datasets]
        return tuple(np.concatenate(parts) for parts in zip(*columns, strict=True))


def held_out(examples: int, fraction: float) -> int:
    """How many of so many examples are held out: never all of them.

    Raises:
        WrongValue: the fraction is out of range.
    """
    if not 0 <= fraction < 1:
        raise WrongValue("the fraction of the data to hold out", "at least 0, below 1", fraction)
    return max(0, min(round(fraction * examples), examples - 1))


def shape_of(layout: Layout) -> tuple[Layout, Callable[[], tuple[TensorInfo, ...]]]:
    """What ``Engine.shape`` returns of a layout whose tensors are all trained."""
    return layout, lambda: tuple(
        TensorInfo(name, (name,), name.partition(".")[0], False, True) for name in layout.names
    )


def fingerprint_of_numpy(
    threads: int, *, libraries: Sequence[str] = (), capability: str | None = None
) -> Fingerprint:
    """What decides the bits of a fit in numpy.

    Args:
        threads: that it uses.
        libraries: names and versions of what computes beside it.
        capability: of the processor, as BLAS sees it; without it what its variable says.
    """
    if capability is None:
        capability = os.environ.get("OPENBLAS_CORETYPE", "as numpy finds it")
    return Fingerprint(
        torch="none", numpy=", ".join([np.__version__, *libraries]), machine=platform.machine(),
        capability=capability, threads=threads, settings=settings(), probe=probe_of_numpy(),
    )  # fmt: skip


def orders(examples: int, local: SGD, seed: int) -> Iterator[NDArray[np.int64]]:
    """The examples of each step: epochs in fresh orders, cut into batches."""
    if examples == 0:
        return
    draw = np.random.Generator(np.random.PCG64(seed_for(seed, "", 0, "order")))
    left, size = local.steps_of(examples), local.batch_of(examples)
    while left > 0:
        order = draw.permutation(examples)
        for at in range(0, examples, size)[:left]:
            yield order[at : at + size]
            left -= 1


@functools.cache  # all nodes of a process have the same
def probe_of_numpy() -> str:
    """The hash of what numpy's kernels and BLAS make of fixed numbers."""
    draw = np.random.Generator(np.random.PCG64(20170217))
    tall, wide = draw.normal(size=(129, 257)), draw.normal(size=(257, 67))
    weights = np.zeros(67)
    for _ in range(3):
        hidden = np.tanh(tall @ wide)
        error = 1 / (1 + np.exp(-(hidden @ weights))) - (np.arange(129) % 2)
        weights -= 0.1 * (hidden.T @ error) / 129
    digest = hashlib.sha256()
    for array in (weights, hidden.sum(0), np.log(np.abs(tall)), tall.astype(np.float32) @ wide):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
