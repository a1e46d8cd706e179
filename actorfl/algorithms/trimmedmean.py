"""The coordinate-wise trimmed mean of the workers' models."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithm import Closed, ServerState
from actorfl.algorithms import coordinates
from actorfl.algorithms.median import Median
from actorfl.errors import Misfit
from actorfl.local import SGD
from actorfl.merging import Merged
from actorfl.ranges import check_count


@dataclass(frozen=True)
class TrimmedMean(Median):
    """The mean of each coordinate without its lowest and highest values.

    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML
    2018, Algorithm 1, option II, with models in place of gradients: in each coordinate the ``trim``
    lowest and the ``trim`` highest values are left out. It withstands ``trim`` workers that send
    anything. All workers weigh the same, and the aggregator holds all models of a clock.

    Degenerate values: trim=0 is the mean of equal weights; the largest trim that there is, is
    ``Median``. Where workers were refused or have left and fewer than 2 * trim + 1 are left, as
    many are trimmed as can be, and it says so.

    Attributes:
        trim: values left out on each side, at least 0; 2 * trim is less than the number of workers.

    Raises:
        WrongType: trim is no whole number.
        WrongValue: trim is negative.
        Misfit: by ``check_run``, where nothing would be left.
    """

    trim: int = 1

    def __post_init__(self) -> None:
        check_count(self, "trim", 0)

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse to trim everybody."""
        if 2 * self.trim >= workers:
            raise Misfit(
                f"TrimmedMean leaves out {self.trim} values on each side, which needs at least "
                f"{2 * self.trim + 1} workers, and there are {workers}; lower `trim`"
            )

    def shortfall(self, updates: int) -> str:
        """With fewer than 2 * trim + 1 it trims fewer."""
        trim = self._trimmed(updates)
        if trim == self.trim:
            return ""
        return (
            f"TrimmedMean with trim={self.trim} needs {2 * self.trim + 1} updates, and {updates} "
            f"came; it went on with trim={trim}"
        )

    def _trimmed(self, models: int) -> int:
        return min(self.trim, (models - 1) // 2)

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The trimmed mean replaces the model."""
        models = terms.models["model"]
        trim = self._trimmed(len(models))
        return state.replaced(coordinates.trimmed_mean(models, trim))
