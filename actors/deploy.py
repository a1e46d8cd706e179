"""Where a graph runs: the one argument that changes between a laptop and a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from actors.errors import UsageError


@dataclass(frozen=True)
class Process:
    """Places an actor, or all of a supervisor's children, in processes.

    Attributes:
        name: of the process; without it the actor goes to one of the n worker processes of
            ``Processes(n)``, dealt out in order.
    """

    name: str | None = None


@dataclass(frozen=True)
class Inline:
    """Everything in this process: placements are ignored."""

    def __str__(self) -> str:
        return "inline"


@dataclass(frozen=True)
class Processes:
    """n worker processes on this machine, plus one for each name that a placement gives.

    Args:
        n: worker processes, at least 1; they are named p0, p1, …
        env: environment variables by process or actor name, laid over the launcher's; an actor's
            go to the process that holds it.
    """

    n: int
    env: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.n < 1:
            msg = (
                f"Processes({self.n}) has no process for the workers; give at least 1, or Inline()"
            )
            raise UsageError(msg)

    def __str__(self) -> str:
        return f"processes={self.n}"


Deployment = Inline | Processes
