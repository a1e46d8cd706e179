"""Tasks that predict one series some steps ahead."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from actorfl.defined import check_defined
from actorfl.esn.reservoir import Floats
from actorfl.esn.task import EchoStateTask, Series, series
from actorfl.ranges import check_count

_STEPS_MAX = 1 << 20


@dataclass(frozen=True)
class ForecastTask(EchoStateTask):
    """Base of tasks that predict a series of single values from itself; see ``EchoStateTask``.

    A subclass defines `values`. The series is cut once: the steps to train on, which
    ``partition=Contiguous()`` deals out, and after them those to test on, with `washout` before
    them that only the reservoir sees. Values are less the mean of those to train on.

    Attributes:
        ahead: steps from what goes in to what is to come out, 1 to 2^20.
        train_steps: steps to train on, 1 to 2^20.
        test_steps: steps to test on, 1 to 2^20.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range.
    """

    ahead: int = 1
    train_steps: int = 4000
    test_steps: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ahead", "train_steps", "test_steps"):
            check_count(self, name, 1, _STEPS_MAX)

    @abstractmethod
    def values(self, steps: int) -> Floats:
        """Load or generate the first values of the series, shape ``(steps,)``."""

    def channels(self) -> tuple[int, int]:
        """One value in, one out."""
        return 1, 1

    def pool(self) -> Series:
        """Cut out the steps to train on."""
        return self._between(0, self.train_steps)

    def test(self) -> Series:
        """Cut out the steps to test on, and `washout` before them."""
        start = max(0, self.train_steps - self.washout)
        return self._between(start, self.train_steps + self.test_steps)

    def check(self) -> None:
        """Verify that the class defines what a task needs, see ``Task.check``."""
        check_defined(self, ForecastTask, "values")
        super().check()

    def _between(self, start: int, stop: int) -> Series:
        values = self.values(self.train_steps + self.test_steps + self.ahead)
        values = values - values[: self.train_steps].mean()
        return series(values[start:stop], values[start + self.ahead : stop + self.ahead])
