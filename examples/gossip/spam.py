"""Which of 4601 e-mails are spam, by a linear model that a hundred nodes learn by gossip.

python spam.py [HOURS]

A small world, in which a tenth of the nodes is away at any time. The hours are simulated: 48 unless
given, of which six take about a minute. The data come with Debian's package r-cran-kernlab;
`SPAMBASE` names the file spam.rda where that is not installed.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import ClassVar

from actorfl import (
    SGD,
    ByAge,
    Every,
    Gossip,
    Hours,
    LogisticTask,
    PerExample,
    Period,
    Run,
    SmallWorld,
)
from actorfl.data.spambase import Spambase
from actorfl.errors import MissingFile, WrongValue
from actorfl.task import Dataset
from actors import Churn, FaultPlan, Simulated


@dataclass(frozen=True)
class Spam(LogisticTask):
    """57 frequencies of words and characters, standardised; 1 is spam."""

    #: A step is this learning rate divided by the age of the model, as gossip learning has it. So
    #: large a one makes scores large, and a loss of some hundred nats where nine of ten are right:
    #: the few that are wrong are wrong by thousands. What counts is the accuracy.
    default_local: ClassVar[SGD] = SGD(lr=1e4, batch=10, weight_decay=1e-6)

    def features(self) -> int:
        return 57

    def pool(self) -> Dataset:
        return Spambase().pool()

    def test(self) -> Dataset:
        return Spambase().test()


def hours(text: str) -> Hours:
    """Read how long the run is."""
    try:
        return Hours(float(text))
    except WrongValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("hours", type=hours, nargs="?", default="48", help="simulated; default 48")
    until = parser.parse_args().hours
    run = Run(
        "spam.py:Spam",
        SmallWorld(100, k=4, p=0.1, seed=1),
        Gossip(merge=ByAge()),
        sync=Period(172, transfer=172),  # a model takes a whole period to its peer
        until=until,
        # About once an hour. The gatherer is away for a tenth of the time, too, and then a line is
        # left out, or has fewer nodes; Churn(..., node="p*") takes nodes alone.
        evaluate=Every(21),
        seed=0,
        name="spam",
    )
    away = FaultPlan(Churn(offline=0.10, session=6000))
    on = Simulated(100, compute=PerExample(1e-4), faults=away)
    try:
        result = run.start(on, on_row=lambda row: print(row) if "round" in row else None)
    except MissingFile as missing:  # the data are not installed: it says what brings them
        sys.exit(f"spam.py: {missing}")
    error, worst = (1 - (result.metrics[name] or 0) for name in ("accuracy", "accuracy_worst"))
    print(f"after {until.hours:g} hours: mean error {error:.3f}, of the worst node {worst:.3f}")
