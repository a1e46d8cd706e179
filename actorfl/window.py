"""What came since the last line of the metrics, where there is no barrier."""

from __future__ import annotations

import msgspec

from actorfl.mean import Mean


class Window(msgspec.Struct, frozen=True, array_like=True):
    """Sums over the updates of a round's worth.

    Attributes:
        updates: that were merged.
        examples: behind them.
        loss: their training loss.
        stale: the sum of their staleness, in versions.
        stalest: the greatest staleness.
        rounded: values that were rounded to the grid.
        metrics: of the models that they were made from, on the workers' validation data.
    """

    updates: int = 0
    examples: int = 0
    loss: Mean = Mean()
    stale: int = 0
    stalest: int = 0
    rounded: int = 0
    metrics: dict[str, Mean] = msgspec.field(default_factory=dict)

    def plus(
        self, *, examples: int, loss: Mean, staleness: int, metrics: dict[str, Mean]
    ) -> Window:
        """This with one more update."""
        added = dict(self.metrics)
        for name, mean in metrics.items():
            added[name] = added.get(name, Mean()) + mean
        return Window(
            self.updates + 1,
            self.examples + examples,
            self.loss + loss,
            self.stale + staleness,
            max(self.stalest, staleness),
            self.rounded,
            added,
        )

    def rounding(self, rounded: int) -> Window:
        """This with so many more values that were rounded."""
        return msgspec.structs.replace(self, rounded=self.rounded + rounded)
