from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from actors.spawner import PopenSpawner
from tests.actors.launched import ATTACHED


@pytest.fixture
def attached_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that exists on this process's sys.path only, so children need it handed over."""
    (tmp_path / "attached.py").write_text(ATTACHED)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
async def spawner(attached_program: None) -> AsyncIterator[PopenSpawner]:
    spawner = PopenSpawner()
    yield spawner
    await spawner.close()
