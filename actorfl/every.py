"""When and where the model is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from actorfl.errors import Misfit
from actorfl.ranges import check_count, check_word
from actorfl.task import Task

if TYPE_CHECKING:
    from actorfl.plan import At
    from actorfl.run import Run


@dataclass(frozen=True)
class Every:
    """Evaluate after every so many rounds, and after the last.

    Args:
        every: rounds between two evaluations, at least 1.
        at: "central", on the task's ``test()``; "workers", on what ``validate`` holds back there;
            without it central where the task has a test set, else at the workers. Where parts of
            the model are local, or the algorithm trains personal models, workers evaluate what is
            theirs; with local parts there is no central evaluation.

    Raises:
        WrongType: `every` is no whole number.
        WrongValue: a number below 1, or a place that does not exist.
    """

    every: int = 1
    at: Literal["central", "workers"] | None = None

    def __post_init__(self) -> None:
        check_count(self, "every", 1)
        if self.at is not None:
            check_word(self, "at", ("central", "workers"))


def evaluated_at(run: Run) -> At:
    """Where the versions of a run are evaluated.

    Raises:
        Misfit: the place asked for has no data.
    """
    has_test = type(run.task).test is not Task.test
    at = run.evaluate.at
    if at == "central" and not has_test:
        msg = (
            f"evaluate is central, but task {type(run.task).__name__} has no test(); add it, "
            "or evaluate at the workers"
        )
        raise Misfit(msg)
    if at == "central" and run.has_local_parts:
        msg = (
            "evaluate is central, but parts of the model are local, so only the workers have all "
            'of it; set `validate` and evaluate at the workers: evaluate = { at = "workers" }'
        )
        raise Misfit(msg)
    if at == "workers" and run.validate == 0.0:
        msg = (
            "evaluate is at the workers, but validate is 0, so they hold nothing back; set "
            "it, to 0.2 say"
        )
        raise Misfit(msg)
    if at is not None:
        return at
    if has_test and not run.has_local_parts:
        return "central"
    if run.baselines and not run.validate:
        msg = (
            "baselines are compared by what is measured, but there is nothing to measure on; set "
            f"validate, to 0.2 say, or give task {type(run.task).__name__} a test()"
        )
        raise Misfit(msg)
    return "workers" if run.validate else "nowhere"
