"""What tests of configurations share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.actorfl.configs import made_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a task and a run."""
    return made_in(tmp_path)
