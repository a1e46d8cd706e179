"""Names that a run's own actors, supervisors and processes have: one name, one of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from actorfl.errors import WrongValue

if TYPE_CHECKING:
    from actorfl.run import Run

#: Of actors and supervisors beside the workers of a root, and in each process with a sum of them.
CENTRED: Final = re.compile(
    r"aggregators?|combiners|evaluator|monitor|root|workers|.*\.p[0-9]+-of-[0-9]+"
)
#: Of those beside nodes without a centre.
PEERS: Final = re.compile(r"gatherer|monitor|nodes|root")
# A level, and a group with a process of its own, has a process of its name, and workers live in p0,
# p1, ...
_PROCESS: Final = re.compile(r"p[0-9]+")
_NEED: Final = "another name than those of other processes and supervisors of a run"


def check_free(
    names: Iterable[str], where: str, *, taken: re.Pattern[str] = CENTRED, process: bool = False
) -> None:
    """Refuse names that a run's own actors or supervisors have.

    Args:
        names: of workers, nodes, groups or levels.
        where: for people: ``"a name in named of Star"``.
        taken: by the others.
        process: whether processes are called so, too.

    Raises:
        WrongValue: with the first one that is taken.
    """
    for name in names:
        if taken.fullmatch(name) or (process and _PROCESS.fullmatch(name)):
            raise WrongValue(where, _NEED, name)


def check_run_name(run: Run, processes: Iterable[str]) -> None:
    """Refuse a run that is called as one of its processes: its launcher has the run's name.

    Args:
        run: to be looked at.
        processes: what they are called, but for those of workers.

    Raises:
        WrongValue: the name is taken.
    """
    if run.name in processes or _PROCESS.fullmatch(run.name):
        raise WrongValue("`name` of Run", _NEED + " (without it the task's class)", run.name)
