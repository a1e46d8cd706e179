"""Fault plans: those that the command line names, and what of one no run survives."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from actorfl.errors import Misfit, MissingFile
from actorfl.topology import Centred
from actors import Deployment
from actors.faults.kinds import Full
from actors.faults.moment import Moment
from actors.faults.plan import FaultPlan

if TYPE_CHECKING:
    from actorfl.run import Run

_ROOT = "aggregator"


def read(path: Path) -> FaultPlan:
    """The plan in a TOML file.

    Raises:
        MissingFile: it is not there, or cannot be read.
        UsageError: it holds no plan; the sentence says which file, and why.
    """
    try:
        path.open("rb").close()
    except OSError as error:
        raise MissingFile(path, (error.strerror or str(error)).lower()) from error
    return FaultPlan.from_file(path)


def check_ends(run: Run, on: Deployment) -> None:
    """Refuse a full disk of the root that ends with a clock which it keeps from beginning.

    Args:
        run: which begins with clock 0.
        on: where, with the plan.

    Raises:
        Misfit: there is one.
    """
    if not isinstance(run.topology, Centred) or not run.sync.barrier:
        return
    plan: FaultPlan = getattr(on, "faults", None) or FaultPlan()
    for fault in plan.of(Full):
        if _never_ends(fault) and fnmatchcase(_ROOT, fault.node):
            raise Misfit(
                f"{fault} never ends: the {_ROOT} saves each clock before it begins, and this "
                "lets it save none; let it end with before=..., in seconds, or give it a p below 1"
            )


def _never_ends(fault: Full) -> bool:
    """Whether it begins before the clock with which it ends, and refuses every write."""
    since, till = fault.since, fault.till
    if fault.p < 1 or fault.after > 0 or fault.before is not None:
        return False
    if till is None or till.clock is None:
        return False
    # Of any other moment it is not known in which clock it comes.
    return since is None or (
        since.clock is not None and since == Moment(clock=since.clock) and since.clock < till.clock
    )
