"""Fault plans that the command line names."""

from __future__ import annotations

from pathlib import Path

from actorfl.errors import MissingFile
from actors.faults.plan import FaultPlan


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
