"""How often what fails is restarted before the run gives up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actorfl.ranges import check_count, check_number, check_word


@dataclass(frozen=True)
class Supervision:
    """The restart budgets of each child, as in Erlang/OTP (intensity, period), and the back-off.

    A completed clock resets both budgets: a run that gets on is not given up for old failures.
    Exceptions count until then, however long ago, for a fit of an hour that fails at its end each
    time must end the run, too; deaths from outside count for a period.

    Args:
        intensity: restarts after exceptions that are allowed between two clocks completed; 0 gives
            up at once.
        per: the period, in seconds.
        outside: restarts within the period after deaths from outside (a signal, no memory left).
        backoff: seconds before the first restart, doubled with each further one.
        backoff_max: seconds that a back-off never exceeds.
        stuck_after: seconds after which a process that lives but answers nothing is killed and
            replaced; without it such a one is only told of, since a long computation that holds
            the interpreter's lock looks the same; an import of torch takes seconds, so 10 is a good
            value. At least 2.
        exhausted: what becomes of the run when a worker has failed once more than is allowed: "end"
            it, or "leave": the worker is of the run no more, and the others go on. None: "leave"
            where nodes gossip by clocks of their own (``Gossip`` and ``EpidemicLearning`` under
            ``Period``), else "end". Whatever else fails too often ends it.

    Raises:
        WrongType: a value that is no number.
        WrongValue: a negative or non-finite value, or an unknown word.
    """

    intensity: int = 3
    per: float = 60.0
    outside: int = 10
    backoff: float = 0.05
    backoff_max: float = 5.0
    stuck_after: float | None = None
    exhausted: Literal["end", "leave"] | None = None

    def __post_init__(self) -> None:
        for name in ("intensity", "outside"):
            check_count(self, name, 0)
        for name in ("backoff", "backoff_max"):
            check_number(self, name, "finite and at least 0 s", lambda seconds: seconds >= 0)
        if self.stuck_after is not None:
            need = "finite and at least 2 s"
            check_number(self, "stuck_after", need, lambda seconds: seconds >= 2)
        check_number(self, "per", "finite and above 0 s", lambda seconds: seconds > 0)
        if self.exhausted is not None:
            check_word(self, "exhausted", ("end", "leave"))
