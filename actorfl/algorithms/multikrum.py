"""The mean of the models that lie nearest to their neighbours."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithms.krum import Krum
from actorfl.errors import Misfit
from actorfl.local import SGD
from actorfl.ranges import check_count


@dataclass(frozen=True)
class MultiKrum(Krum):
    """The mean of the m models with the best scores of Krum.

    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
    NeurIPS 2017, section 4. It averages out what is by chance in one model alone, which Krum does
    not. See `Krum` for scores, ties, buffers and too few models.

    Degenerate values: m=1 is Krum, bit for bit; f=0 with m of all workers is the mean of equal
    weights.

    Attributes:
        f: workers that may send anything, at least 0; there are more than 2f + 2 in all.
        m: models that are averaged, 1 to n - f; without it n - f - 2, the most for which it is
            known that f workers do no harm.

    Raises:
        WrongType: f or m is no whole number.
        WrongValue: f is negative, or m below 1.
        Misfit: by ``check_run``, where there are too few workers, or m is above n - f.
    """

    m: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m is not None:
            check_count(self, "m", 1)

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse to tell liars among too few, or to average some of them for sure."""
        super().check_run(local, workers)
        if self.m is not None and self.m > workers - self.f:
            raise Misfit(
                f"MultiKrum averages m={self.m} models, but of {workers} workers {self.f} may send "
                f"anything; lower `m` to at most {workers - self.f}"
            )

    def shortfall(self, updates: int) -> str:
        """With fewer it withstands fewer, or averages fewer."""
        if (less := super().shortfall(updates)) or self.m is None:
            return less
        chosen = self._chosen(updates, self.f)
        if chosen == self.m:
            return ""
        return (
            f"MultiKrum averages m={self.m} models, and {updates} updates came, of which {self.f} "
            f"may be anything; it averaged {chosen}"
        )

    def _chosen(self, models: int, f: int) -> int:
        if self.m is None:
            return max(1, models - f - 2)
        return max(1, min(self.m, models - f))
