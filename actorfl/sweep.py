"""The same run under several seeds: what of a result is the configuration's, and what is luck."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from actorfl.errors import WrongType, WrongValue
from actorfl.run import Run
from actorfl.seeds import SEED_MAX

if TYPE_CHECKING:
    from actorfl.execute import Result
    from actors.deploy import Deployment

#: Runs one after the other; a number of seeds above this is a seed that was put in its place.
SEEDS_MAX = 1000

OnRow = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and how far single seeds lie from it.

    Attributes:
        mean: of the values.
        sd: standard deviation of a sample, with n - 1 in the denominator; 0 of one value.
    """

    mean: float
    sd: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        sd = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), sd)

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.sd:.4f}"


@dataclass(frozen=True)
class Swept:
    """How a sweep ended; printed, a line of means ± standard deviations.

    Attributes:
        seeds: in the order of the runs.
        results: of each run, each with a directory of its own.
    """

    seeds: tuple[int, ...]
    results: tuple[Result, ...]

    @cached_property
    def metrics(self) -> dict[str, Spread]:
        """The spread of each metric of the final model; those that a run lacks are left out."""
        return _spreads([result.metrics for result in self.results])

    @cached_property
    def baselines(self) -> dict[str, dict[str, Spread]]:
        """The same of ``centralised`` and ``local_only``; empty unless the run asks for them."""
        found = [result.baselines for result in self.results if result.baselines is not None]
        if len(found) < len(self.results):
            return {}
        return {
            "centralised": _spreads([one.centralised for one in found]),
            "local_only": _spreads([one.local_only for one in found]),
        }

    @property
    def mean(self) -> float | None:
        """Of the accuracy; None where the task measures none."""
        return self.metrics["accuracy"].mean if "accuracy" in self.metrics else None

    @property
    def sd(self) -> float | None:
        """Standard deviation of the accuracy; None where the task measures none."""
        return self.metrics["accuracy"].sd if "accuracy" in self.metrics else None

    def __str__(self) -> str:
        told = [_told(self.metrics) or "nothing measured"]
        told += [f"{name.replace('_', ' ')} {_told(one)}" for name, one in self.baselines.items()]
        seeds = f"{len(self.seeds)} seed{'s' if len(self.seeds) != 1 else ''}"
        return f"{'; '.join(told)} over {seeds}"


def _told(spreads: Mapping[str, Spread]) -> str:
    return ", ".join(f"{name} {spreads[name]}" for name in sorted(spreads))


def _spreads(runs: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """The spread of each metric that all runs have."""
    found: dict[str, Spread] = {}
    for name in runs[0]:
        values = [metrics.get(name) for metrics in runs]
        known = [value for value in values if value is not None]
        if len(known) == len(values):
            found[name] = Spread.of(known)
    return found


@dataclass(frozen=True)
class Sweep:
    """A run, once with each of several seeds, one after the other.

    Args:
        run: what to do; everything but the seed is the same in all.
        seeds: how many, 1 to 1000: those that follow from the run's own; or the seeds themselves,
            each 0 to 2^63 - 1 and none twice.

    Raises:
        WrongType: the seeds are neither a number nor several.
        WrongValue: too few or too many, or one out of range or twice.
    """

    run: Run
    seeds: int | tuple[int, ...] = 5

    def __post_init__(self) -> None:
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int | tuple):
            raise WrongType("`seeds` of Sweep", "a number of seeds, or a tuple of them", self.seeds)
        count = self.seeds if isinstance(self.seeds, int) else len(self.seeds)
        if not 1 <= count <= SEEDS_MAX:
            raise WrongValue("the number of seeds of Sweep", f"from 1 to {SEEDS_MAX}", count)
        if self.run.seed + count - 1 > SEED_MAX and isinstance(self.seeds, int):
            raise WrongValue(
                "the last seed of Sweep", "at most 2^63 - 1", self.run.seed + count - 1
            )
        twice = [seed for seed in self.each if self.each.count(seed) > 1]
        if twice:
            raise WrongValue("`seeds` of Sweep", "without a seed that is there twice", twice[0])
        _ = self.runs  # a seed that is refused is refused before anything starts

    @property
    def each(self) -> tuple[int, ...]:
        """The seeds themselves."""
        if isinstance(self.seeds, tuple):
            return self.seeds
        return tuple(range(self.run.seed, self.run.seed + self.seeds))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs, in the order of the seeds."""
        return tuple(replace(self.run, seed=seed) for seed in self.each)

    def start(
        self,
        on: Deployment | None = None,
        *,
        out: str | os.PathLike[str] = "runs",
        on_row: OnRow | None = None,
        on_result: Callable[[int, Result], None] | None = None,
        debug: bool = False,
    ) -> Swept:
        """Carry all runs out, from a script; see ``Run.start``.

        Args:
            on: where; without it in this process.
            out: where each run makes a directory of its own.
            on_row: called with the rows of each run, as ``Run.start`` does.
            on_result: called with seed and result as soon as a run has ended.
            debug: have the processes log at debug level.

        Raises:
            ConfigError: it was refused before anything started.
            RunDirectoryError: a directory cannot be used.
            RunFailed: a run gave up; the later ones are not started, the earlier are whole.
        """
        results: list[Result] = []
        for run in self.runs:
            results.append(run.start(on, out=out, on_row=on_row, debug=debug))
            if on_result is not None:
                on_result(run.seed, results[-1])
        return Swept(self.each, tuple(results))

    async def on(
        self,
        deployment: Deployment | None = None,
        *,
        out: str | os.PathLike[str] = "runs",
        on_row: OnRow | None = None,
        on_result: Callable[[int, Result], None] | None = None,
    ) -> Swept:
        """Carry all runs out, from a running event loop; like `start` otherwise."""
        results: list[Result] = []
        for run in self.runs:
            results.append(await run.on(deployment, out=out, on_row=on_row))
            if on_result is not None:
                on_result(run.seed, results[-1])
        return Swept(self.each, tuple(results))
