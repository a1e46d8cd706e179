"""A configuration in a folder, for tests of how it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actorfl.algorithms.fedavg import FedAvg
from actorfl.errors import (
    ConfigError,
)
from actorfl.local import SGD
from actorfl.run import Run
from actorfl.topology import Star
from actorfl.until import Rounds

SPAM = """
from dataclasses import dataclass
from pathlib import Path
from actorfl.task import Task

@dataclass(frozen=True)
class Spam(Task):
    path: str = "data/{name}.csv"
    cache: Path = Path("cache")
    depth: int = 2
    rates: tuple[float, ...] = (0.1, 0.2)

    def model(self): ...
    def loss(self, model, batch): ...
    def train(self, who): ...
"""

MINIMAL = """
task = "spam.py:Spam"
topology = { kind = "star", workers = 3 }
algorithm = "fedavg"
local = { kind = "sgd", lr = 0.5 }
until = { rounds = 4 }
"""


def made_in(tmp_path: Path) -> Path:
    """A folder with a task and a run."""
    (tmp_path / "spam.py").write_text(SPAM)
    (tmp_path / "run.toml").write_text(MINIMAL)
    return tmp_path


def run_of(**changes: Any) -> Run:
    values: dict[str, Any] = {
        "task": "digits",
        "topology": Star(8),
        "algorithm": FedAvg(),
        "local": SGD(lr=0.1, batch=10, epochs=5),
        "until": Rounds(20),
    }
    return Run(**{**values, **changes})


def refused(folder: Path, *settings: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Run.from_toml(folder / "run.toml", settings)
    return caught.value
