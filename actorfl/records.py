"""How a metric has fared over the evaluations of a run: what an end by a metric looks at."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Best(msgspec.Struct, frozen=True, array_like=True):
    """The best value of a metric, for one meaning of better.

    Attributes:
        value: the best so far; None: there is none that is finite.
        since: evaluations since it was reached.
        longest: the most evaluations in a row that have not improved it, so that what was too many
            once stays too many, whatever a later evaluation finds.
    """

    value: float | None = None
    since: int = 0
    longest: int = 0

    def plus(self, value: float | None, *, sign: int) -> Best:
        """This with one more evaluation; ``sign`` is 1 where more is better, else -1."""
        if value is not None and (self.value is None or sign * value > sign * self.value):
            return Best(value, 0, self.longest)
        since = self.since + 1
        return Best(self.value, since, max(self.longest, since))


class Record(msgspec.Struct, frozen=True, array_like=True):
    """A metric's evaluations so far; an equal value is no improvement.

    Attributes:
        highest: where more is better.
        lowest: where less is.
    """

    highest: Best = Best()
    lowest: Best = Best()

    def plus(self, value: float | None) -> Record:
        """This with one more evaluation; None: its value was not finite."""
        return Record(self.highest.plus(value, sign=1), self.lowest.plus(value, sign=-1))


def with_evaluation(
    records: Mapping[str, Record], metrics: Mapping[str, float | None]
) -> dict[str, Record]:
    """Records with the metrics of one more version, by name."""
    added = {name: records.get(name, Record()).plus(value) for name, value in metrics.items()}
    return {**records, **added}
