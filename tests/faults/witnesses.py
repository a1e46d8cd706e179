"""FedAvg whose aggregator writes down what it does, for tests of real processes; no torch."""

import os
from contextlib import ExitStack
from dataclasses import dataclass

import msgspec

from actorfl import FedAvg
from actorfl.witness import Act, witnessed_by

ACTS = "ACTORFL_TEST_ACTS"
"""Environment variable of the aggregator's process: the file to write to."""


@dataclass(frozen=True)
class Witnessed(FedAvg):
    """Its module has the process write its acts, which every aggregator of a run must load."""


def _write(act: Act) -> None:
    # One write each, at the end of the file: whatever was told of survives the kill that follows.
    descriptor = os.open(os.environ[ACTS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(act) + b"\n")
    finally:
        os.close(descriptor)


#: For as long as the process lives.
_WATCHING = ExitStack()
if ACTS in os.environ:
    _WATCHING.enter_context(witnessed_by(_write))
