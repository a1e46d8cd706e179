"""The end of a run by what it has learned: a metric that is good enough, or gets no better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actorfl.errors import WrongType, WrongValue
from actorfl.measures import lower_is_better
from actorfl.ranges import check_count, check_number, check_word
from actorfl.records import Best, Record
from actorfl.until import MOST, Progress, Until


@dataclass(frozen=True)
class Target(Until):
    """With the evaluation in which a metric is good enough, or has not improved for too long.

    The latter is early stopping (Prechelt, "Early Stopping - But When?", 1998, his UP criterion
    with the best value so far for the strip before). Under a policy with a barrier the final model
    is the version that was evaluated so, whatever is under way then is dropped, and the run has the
    same bits whatever was killed: metrics are summed exactly. Without a barrier the model has moved
    on meanwhile, and the newest version is the final one. It is the last model, not the best.

    Args:
        metric: as a line of the metrics names it: ``accuracy``, ``loss``, those of the task, each
            also with ``_worst_decile`` where workers evaluate.
        value: that is good enough, finite; None: none is.
        patience: evaluations in a row without a new best value, 1 to 10^9; None: any number. Give
            this or ``value``, or both. An equal value is none, and neither is one that is not
            finite.
        mode: "max" where more is better, "min" where less is; None: "min" for ``loss``,
            ``nrmse`` and those of the worst tenth, "max" for all others.

    Raises:
        WrongType: a value has another type.
        WrongValue: a value is out of range, or neither ``value`` nor ``patience`` is given.
    """

    metric: str
    value: float | None = None
    patience: int | None = None
    mode: Literal["max", "min"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.metric, str):
            raise WrongType(
                "`metric` of Target", 'the name of a metric, such as "accuracy"', self.metric
            )
        if not self.metric:
            raise WrongValue("`metric` of Target", "the name of one, such as accuracy", self.metric)
        if self.value is None and self.patience is None:
            raise WrongValue(
                "the end of Target", "given as value, as patience or as both", "neither"
            )
        if self.value is not None:
            check_number(self, "value", "finite", lambda _: True)
        if self.patience is not None:
            check_count(self, "patience", 1, MOST)
        if self.mode is not None:
            check_word(self, "mode", ("max", "min"))

    @property
    def metrics(self) -> frozenset[str]:
        """The one that it looks at."""
        return frozenset({self.metric})

    @property
    def less(self) -> bool:
        """Whether less is better."""
        return lower_is_better(self.metric) if self.mode is None else self.mode == "min"

    def reached(self, progress: Progress) -> bool:
        """Some evaluation was good enough, or too many in a row have brought nothing new."""
        record = progress.records.get(self.metric, Record())
        best: Best = record.lowest if self.less else record.highest
        if self.patience is not None and best.longest >= self.patience:
            return True
        if self.value is None or best.value is None:
            return False
        return best.value <= self.value if self.less else best.value >= self.value

    def extends(self, earlier: Until) -> bool:
        """The same metric, to a value that is no easier, with at least the patience."""
        if not isinstance(earlier, Target) or self.metric != earlier.metric:
            return False
        if self.less != earlier.less:
            return False
        sign = -1 if self.less else 1
        return _at_least(self.patience, earlier.patience, 1) and _at_least(
            self.value, earlier.value, sign
        )


def _at_least(number: float | None, than: float | None, sign: int) -> bool:
    """Whether a bound is no nearer than another; None is none at all."""
    return number is None or (than is not None and sign * number >= sign * than)
