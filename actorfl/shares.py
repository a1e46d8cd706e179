"""What each worker of a run has, examples and classes, told without training."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actorfl import arrays, config, registry
from actorfl.engine import engine_of
from actorfl.errors import ActorflError, StepFailed
from actorfl.lane import in_place
from actorfl.partition import deal, worker_data
from actorfl.registry import SLOTS
from actorfl.saying import counted
from actorfl.step import load_seed
from actorfl.task import Task, Who, who_of

if TYPE_CHECKING:
    from actorfl.run import Run

# Columns of a histogram: with more classes than this, neighbours share one.
_COLUMNS = 40
# Levels of a histogram, from none to the most that any worker has in a column.
BLOCKS = "·▁▂▃▄▅▆▇█"
ASCII = ".12345678"


@dataclass(frozen=True)
class Share:
    """What one worker has.

    Attributes:
        worker: its name.
        examples: how many.
        classes: how many of each class, in the order of classes; None where the data shows none.
    """

    worker: str
    examples: int
    classes: Mapping[int, int] | None


@dataclass(frozen=True)
class Shares:
    """What the workers of a run have, before `validate` holds any of it back.

    Attributes:
        task: its class.
        partition: how the pool is dealt out, its kind and fields; None where there is no pool.
        seed: of the run.
        pool: examples in the pool; None where there is none.
        dealt: examples of the pool that some worker has; None where there is none.
        workers: one share each, in roster order.
    """

    task: str
    partition: Mapping[str, Any] | None
    seed: int
    pool: int | None
    dealt: int | None
    workers: tuple[Share, ...]

    def summary(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        return {
            "task": self.task,
            "partition": self.partition,
            "seed": self.seed,
            "pool": self.pool,
            "dealt": self.dealt,
            "workers": [
                {"name": one.worker, "examples": one.examples, "classes": one.classes}
                for one in self.workers
            ],
        }

    def lines(self, levels: str = BLOCKS) -> list[str]:
        """The same for people, with a histogram of each worker's classes.

        Args:
            levels: characters of the histogram, from none to the most.
        """
        labels = sorted({label for one in self.workers for label in one.classes or ()})
        width = -(-len(labels) // _COLUMNS) or 1
        rows = [_columns(one, labels, width) for one in self.workers]
        most = max((count for row in rows for count in row), default=0)
        across = max(len("worker"), *(len(one.worker) for one in self.workers))
        heading = f"{'worker':<{across}}  examples"
        return [
            self._headline(),
            f"{heading}  {_classes(labels, width)}" if labels else heading,
            *(
                f"{one.worker:<{across}}  {one.examples:>8}  {_drawn(row, most, levels)}".rstrip()
                for one, row in zip(self.workers, rows, strict=True)
            ),
            self._closing(),
        ]

    def _headline(self) -> str:
        if self.partition is None:
            how = "data of their own"
        else:
            kind = self.partition["kind"]
            fields = [f"{key}={value}" for key, value in self.partition.items() if key != "kind"]
            how = " ".join(fields if kind in self.partition else [kind, *fields])
        return f"{self.task}, {counted(len(self.workers), 'worker')}: {how}, seed {self.seed}"

    def _closing(self) -> str:
        sizes = [one.examples for one in self.workers]
        said = [_range(sizes, "example")]
        if any(one.classes for one in self.workers):
            said.append(
                _range([len(one.classes or ()) for one in self.workers], "class", "classes")
            )
        if self.pool is None:
            return f"each {', '.join(said)}; {sum(sizes)} together"
        of = f"{self.dealt} of {counted(self.pool, 'example')} dealt out"
        again = "" if sum(sizes) == self.dealt else ", some to several"
        return f"each {', '.join(said)}; {of}{again}"


def shares_of(run: Run) -> Shares:
    """Load what the workers of a run would train on, as they would load it.

    In the calling thread, from the state in which the training lane runs its jobs.

    Raises:
        ConfigError: The pool cannot be dealt out so, or the task returned no dataset.
        StepFailed: The task raised as it loaded the data.
    """
    names = run.topology.names
    task = run.resolved_task
    engine = engine_of(task)
    if not task.pooled:
        shares = tuple(
            in_place(
                _own,
                run,
                task,
                who_of(run.topology, index),
                seed=load_seed(run, name),
                engine=engine,
            )
            for index, name in enumerate(names)
        )
        return Shares(type(task).__name__, None, run.seed, None, None, shares)
    with _told("the task"):
        pool, parts = in_place(deal, task, len(names), run.partition, run.seed, engine=engine)
        labels = arrays.labels_of(pool)
    slot = SLOTS["partition"]
    kind = registry.kind_of(slot, type(run.partition), run.base)
    return Shares(
        type(task).__name__,
        {"kind": kind, **config.describe_slot(slot, run.partition, run.base)},
        run.seed,
        arrays.size_of(pool),
        len(np.unique(np.concatenate(parts))),
        tuple(
            Share(name, len(part), _counts(None if labels is None else labels[part]))
            for name, part in zip(names, parts, strict=True)
        ),
    )


def _own(run: Run, task: Task, who: Who) -> Share:
    with _told(who.name):
        data = worker_data(task, who, run.partition, run.seed)
        return Share(who.name, arrays.size_of(data), _counts(arrays.labels_of(data)))


@contextmanager
def _told(worker: str) -> Iterator[None]:
    try:
        yield
    except ActorflError:
        raise
    except Exception as error:
        text = traceback.format_exc()
        raise StepFailed(worker, "as it loads its data", error, text) from error


def _counts(labels: NDArray[np.int64] | None) -> dict[int, int] | None:
    if labels is None:
        return None
    classes, counts = np.unique(labels, return_counts=True)
    return dict(zip(classes.tolist(), counts.tolist(), strict=True))


def _columns(share: Share, labels: list[int], width: int) -> list[int]:
    counts = [(share.classes or {}).get(label, 0) for label in labels]
    return [sum(counts[start : start + width]) for start in range(0, len(counts), width)]


def _classes(labels: list[int], width: int) -> str:
    first, last = labels[0], labels[-1]
    named = f"class {first}" if first == last else f"classes {first} to {last}"
    return named if width == 1 else f"{named}, {width} a column"


def _drawn(row: list[int], most: int, levels: str) -> str:
    steps = len(levels) - 1
    return "".join(levels[-(-count * steps // most)] if count else levels[0] for count in row)


def _range(numbers: list[int], noun: str, nouns: str = "") -> str:
    low, high = min(numbers), max(numbers)
    return counted(low, noun, nouns) if low == high else f"{low} to {counted(high, noun, nouns)}"
