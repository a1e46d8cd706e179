from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from actorfl.attaching import Attachable, address_of
from actorfl.errors import NotRunning
from actors import Processes


def test_a_full_disk_leaves_no_half_a_notice_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attachable = Attachable(tmp_path, Processes(1))
    descriptor = os.open("/dev/full", os.O_WRONLY)
    opening = os.open

    def onto_a_full_disk(path: Any, *args: Any) -> int:
        os.close(opening(path, *args))
        return descriptor

    try:
        with monkeypatch.context() as patch:
            patch.setattr("actorfl.attaching.os.open", onto_a_full_disk)
            attachable.announce()
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
            os.fstat(descriptor)
        attachable.announce()
        assert address_of(tmp_path) == attachable.address
    finally:
        attachable.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_gone_from_the_start_of_the_next(tmp_path: Path) -> None:
    # That process lives, but is not the run's launcher.
    (tmp_path / "observe.json").write_text('{"pid": 1, "address": "ipc:///gone/look"}')
    (tmp_path / ".observe.json.77").write_text("{")
    attachable = Attachable(tmp_path, Processes(1))
    try:
        with pytest.raises(NotRunning):
            address_of(tmp_path)
        assert list(tmp_path.iterdir()) == []
    finally:
        attachable.close()
