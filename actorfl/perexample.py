"""How long a fit takes in a simulation: so long for each example that it goes through."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.ranges import check_number


@dataclass(frozen=True)
class PerExample:
    """For ``Simulated(compute=…)``: virtual seconds by the size of a job.

    Args:
        seconds: for each example of a fit, as often as it is gone through; >= 0.
        other: of a job that is no fit: loading data, an evaluation; >= 0.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range.
    """

    seconds: float
    other: float = 0.0

    def __post_init__(self) -> None:
        check_number(self, "seconds", "finite and at least 0", lambda x: x >= 0)
        check_number(self, "other", "finite and at least 0", lambda x: x >= 0)

    def __call__(self, node: str, examples: float | None) -> float:
        """Virtual seconds of a job.

        Args:
            node: its name; all are alike.
            examples: that a fit goes through; None of another job.
        """
        del node
        return self.other if examples is None else self.seconds * examples
