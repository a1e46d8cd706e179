from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.errors import StorageError
from actors.exits import Exit
from actors.memorydisk import MemoryDisk
from actors.snapshot import Snapshot, Snapshots
from actors.spawner import PopenSpawner, ProcessSpec
from actors.storage import FileStorage, MemoryStorage


def content(snapshot: Snapshot | None) -> tuple[int, int, bytes, list[bytes]] | None:
    if snapshot is None:
        return None
    arrays = [bytes(array) for array in snapshot.arrays]
    return snapshot.counter, snapshot.incarnation, snapshot.header, arrays


def newest_file(storage: MemoryStorage) -> str:
    return max(storage.disk)


class Breaking(MemoryStorage):
    """A disk that refuses every operation from the n-th on, as after a crash of the machine."""

    def __init__(self, disk: MemoryDisk, good: int) -> None:
        super().__init__(disk)
        self.left = good

    def _step(self) -> None:
        if self.left == 0:
            raise StorageError("broken")
        self.left -= 1

    async def read(self, name: str, *, limit: int | None = None) -> bytes | None:
        self._step()
        return await super().read(name, limit=limit)

    async def write(self, name: str, parts: Iterable[Any]) -> None:
        self._step()
        await super().write(name, parts)

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        self._step()
        return await super().list(prefix)

    async def remove(self, name: str) -> None:
        self._step()
        await super().remove(name)


@settings(max_examples=50)
@given(
    counter=st.integers(0, 2**63 - 1),
    incarnation=st.integers(0, 2**63 - 1),
    header=st.binary(max_size=200),
    arrays=st.lists(st.binary(max_size=200), max_size=5),
)
def test_what_is_saved_comes_back(
    counter: int, incarnation: int, header: bytes, arrays: list[bytes]
) -> None:
    async def main() -> None:
        storage = MemoryStorage()
        await Snapshots(storage, "agg/0", incarnation).save(counter, header, arrays)
        found = await Snapshots(storage, "agg/0", incarnation).latest()
        assert content(found) == (counter, incarnation, header, arrays)

    asyncio.run(main())


async def test_numpy_arrays_come_back_read_only_and_each_at_a_multiple_of_64_bytes() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "w", 1)
    arrays: list[np.ndarray[Any, Any]] = [
        np.arange(7, dtype=np.float64),
        np.zeros((0, 3)),
        np.ones((3, 5), dtype=np.float32),
    ]
    await snapshots.save(1, b"header", [array.data for array in arrays])
    found = await snapshots.latest()
    assert found is not None
    for array, view in zip(arrays, found.arrays, strict=True):
        back = np.frombuffer(view, dtype=array.dtype).reshape(array.shape)
        np.testing.assert_array_equal(back, array)
        assert view.readonly
    file = storage.disk[newest_file(storage)]
    assert file.index(arrays[0].tobytes()) % 64 == 0
    assert file.index(arrays[2].tobytes()) % 64 == 0


async def test_nothing_saved_is_none() -> None:
    snapshots = Snapshots(MemoryStorage(), "w", 0)
    assert await snapshots.latest() is None
    assert repr(snapshots) == "<Snapshots w incarnation=0 newest=None saved=0 skipped=0>"


async def test_the_last_two_are_kept() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "w", 3)
    for counter in (1, 2, 3, 10):
        await snapshots.save(counter, b"", [])
    assert [name.split("/")[1].split("-")[0].lstrip("0") for name in sorted(storage.disk)] == [
        "3",
        "10",
    ]
    statistics = snapshots.statistics()
    assert (statistics.saved, statistics.removed, statistics.newest) == (4, 2, 10)
    assert statistics.bytes_saved == 4 * len(storage.disk[newest_file(storage)])


async def test_the_same_counter_again_replaces_it() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "w", 3)
    await snapshots.save(1, b"first", [])
    await snapshots.save(1, b"again", [])
    assert content(await snapshots.latest()) == (1, 3, b"again", [])
    assert len(storage.disk) == 1


async def test_the_highest_counter_wins_then_the_later_incarnation() -> None:
    storage = MemoryStorage()
    old, new = Snapshots(storage, "w", 1), Snapshots(storage, "w", 2)
    await old.save(5, b"old", [])
    await new.save(4, b"behind", [])
    assert content(await new.latest()) == (5, 1, b"old", [])
    await new.save(5, b"new", [])
    assert content(await new.latest()) == (5, 2, b"new", [])
    # A process that was replaced wakes up and saves once more.
    await old.save(5, b"stale", [])
    assert content(await new.latest()) == (5, 2, b"new", [])
    assert content(await old.latest()) == (5, 2, b"new", [])


async def test_names_do_not_mix() -> None:
    storage = MemoryStorage()
    outer, inner = Snapshots(storage, "w", 1), Snapshots(storage, "w/x", 1)
    for counter in range(3):
        await outer.save(counter, b"outer", [])
        await inner.save(counter + 10, b"inner", [])
    assert content(await outer.latest()) == (2, 1, b"outer", [])
    assert content(await inner.latest()) == (12, 1, b"inner", [])
    assert len(storage.disk) == 4


async def test_a_snapshot_torn_at_any_byte_is_passed_over_for_the_one_before(
    caplog: pytest.LogCaptureFixture,
) -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "w", 1)
    await snapshots.save(1, b"old", [b"x" * 100])
    await snapshots.save(2, b"new", [b"y" * 100, b"z" * 10])
    newest = newest_file(storage)
    whole = storage.disk[newest]
    assert content(await snapshots.latest()) == (2, 1, b"new", [b"y" * 100, b"z" * 10])
    for length in range(len(whole)):
        storage.disk[newest] = whole[:length]
        assert content(await snapshots.latest()) == (1, 1, b"old", [b"x" * 100])
    storage.disk[newest] = whole + b"\0"
    assert content(await snapshots.latest()) == (1, 1, b"old", [b"x" * 100])
    assert snapshots.statistics().skipped == len(whole) + 1
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    assert "is passed over: it has" in caplog.messages[-1]


async def test_a_snapshot_with_any_byte_changed_is_passed_over() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "w", 1)
    await snapshots.save(1, b"old", [])
    await snapshots.save(2, b"new", [b"y" * 70])
    newest = newest_file(storage)
    whole = storage.disk[newest]
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 0x40
        storage.disk[newest] = bytes(changed)
        assert content(await snapshots.latest()) == (1, 1, b"old", [])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(rubbish=st.binary(max_size=200), keep_head=st.booleans())
def test_rubbish_under_our_name_never_raises(rubbish: bytes, keep_head: bool) -> None:
    async def main() -> None:
        storage = MemoryStorage()
        snapshots = Snapshots(storage, "w", 1)
        await snapshots.save(1, b"", [])
        file = newest_file(storage)
        storage.disk[file] = storage.disk[file][:12] * keep_head + rubbish
        assert await snapshots.latest() is None

    asyncio.run(main())


async def test_a_file_copied_from_elsewhere_is_foreign(caplog: pytest.LogCaptureFixture) -> None:
    storage = MemoryStorage()
    other, ours = Snapshots(storage, "other", 1), Snapshots(storage, "ours", 1)
    await ours.save(1, b"ours", [])
    await other.save(9, b"other", [])
    file = newest_file(storage)
    assert file.startswith("ours")
    copied = storage.disk[min(storage.disk)]
    storage.disk[file.replace("0000000001-", "0000000009-")] = copied
    assert content(await ours.latest()) == (1, 1, b"ours", [])
    assert "it belongs to another name" in caplog.messages[-1]
    storage.disk[file.replace("0000000001-", "0000000009-")] = storage.disk[file]
    assert content(await ours.latest()) == (1, 1, b"ours", [])
    assert "its file name says otherwise" in caplog.messages[-1]
    storage.disk["ours/notes.txt"] = b"a person's"
    await ours.save(20, b"", [])
    await ours.save(21, b"", [])
    assert "ours/notes.txt" in storage.disk


async def test_a_torn_one_does_not_count_among_the_two_that_are_kept() -> None:
    storage = MemoryStorage()
    first = Snapshots(storage, "w", 1)
    await first.save(1, b"one", [])
    await first.save(2, b"two", [])
    torn = newest_file(storage)
    storage.disk[torn] = storage.disk[torn][:-1]
    second = Snapshots(storage, "w", 2)
    assert content(await second.latest()) == (1, 1, b"one", [])
    await second.save(2, b"two again", [])
    assert torn not in storage.disk
    assert len(storage.disk) == 2
    newest = newest_file(storage)
    storage.disk[newest] = b""
    assert content(await second.latest()) == (1, 1, b"one", [])


async def test_a_crash_at_any_operation_leaves_the_old_or_the_new() -> None:
    seen = set()
    for good in range(8):
        disk = MemoryDisk()
        before = Snapshots(MemoryStorage(disk), "w", 1)
        for counter in (1, 2):
            await before.save(counter, b"old", [b"x"])
        breaking = Snapshots(Breaking(disk, good), "w", 2)
        saved = True
        try:
            await breaking.latest()
            await breaking.save(3, b"new", [b"y"])
        except StorageError:
            saved = False
        found = content(await Snapshots(MemoryStorage(disk), "w", 3).latest())
        assert found == ((3, 2, b"new", [b"y"]) if saved else (2, 1, b"old", [b"x"]))
        seen.add(saved)
        # Whatever was left behind, the next save clears it.
        await Snapshots(MemoryStorage(disk), "w", 3).save(4, b"", [])
        assert len(disk) == 2
    assert seen == {True, False}


async def test_a_full_disk_leaves_what_was_saved_before() -> None:
    storage = MemoryStorage(capacity=1000)
    snapshots = Snapshots(storage, "w", 1)
    await snapshots.save(1, b"old", [b"x" * 500])
    with pytest.raises(StorageError, match="no space left"):
        await snapshots.save(2, b"new", [b"y" * 500])
    assert content(await snapshots.latest()) == (1, 1, b"old", [b"x" * 500])
    assert snapshots.statistics().saved == 1


async def test_a_storage_that_cannot_be_read_is_an_error_not_an_older_state() -> None:
    disk = MemoryDisk()
    await Snapshots(MemoryStorage(disk), "w", 1).save(1, b"", [])
    with pytest.raises(StorageError, match="broken"):
        await Snapshots(Breaking(disk, 1), "w", 2).latest()


async def test_whoever_goes_back_removes_what_came_after() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "model", 0, keep=None)
    for counter in (1, 2, 3):
        await snapshots.save(counter, b"first", [])
    later = Snapshots(storage, "model", 1)
    await later.remove_newer(1)
    assert await later.counters() == (1,)
    await later.save(2, b"again", [])
    # Else what is left of the future that did not come would push this one out.
    assert await later.counters() == (1, 2)
    found = await later.latest(1)
    assert found is not None
    assert (found.counter, found.header) == (1, b"first")
    assert later.statistics().removed == 2
    await later.remove_newer(5)
    assert await later.counters() == (1, 2)


async def test_old_ones_that_cannot_be_removed_do_not_fail_the_save(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = MemoryDisk()
    for counter in (1, 2):
        await Snapshots(MemoryStorage(disk), "w", 1).save(counter, b"", [])
    await Snapshots(Breaking(disk, 2), "w", 1).save(3, b"", [])
    assert len(disk) == 3
    assert "old snapshots of w stay: broken" in caplog.messages


async def test_what_cannot_be_saved_is_refused_before_anything_is_touched() -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "w", 1)
    with pytest.raises(ValueError, match=r"array 1 cannot be saved: .*; copy it first"):
        await snapshots.save(1, b"", [b"", np.zeros((4, 4))[:, ::2].data])
    for counter in (-1, 2**63):
        with pytest.raises(ValueError, match="counter must be from 0"):
            await snapshots.save(counter, b"", [])
    with pytest.raises(ValueError, match="incarnation must be from 0"):
        Snapshots(storage, "w", -1)
    with pytest.raises(ValueError, match=r"at most .* 65536 arrays, got 0 and 65537"):
        await snapshots.save(1, b"", [b""] * 65537)
    assert storage.disk == {}


SAVES_UNTIL_KILLED = """
import asyncio
from actors import lifeline
from actors.snapshot import Snapshots
from actors.storage import FileStorage
root, incarnation = lifeline.attach().decode().split("|")

async def main():
    snapshots = Snapshots(FileStorage(root), "w", int(incarnation))
    found = await snapshots.latest()
    counter = found.counter if found else 0
    while True:
        counter += 1
        await snapshots.save(counter, b"%d" % counter, [counter.to_bytes(8, "little") * 50_000])
        print(counter)

asyncio.run(main())
"""


async def test_a_process_killed_while_it_saves_leaves_whole_snapshots_and_loses_none_it_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "saves_until_killed.py").write_text(SAVES_UNTIL_KILLED)
    monkeypatch.syspath_prepend(str(tmp_path))
    spawner = PopenSpawner()
    root = tmp_path / "root"
    reported = 0
    for incarnation in range(6):
        some_saved = asyncio.Event()

        def on_line(line: str, event: asyncio.Event = some_saved) -> None:
            if int(line) % 7 == 0:
                event.set()

        child = await spawner.spawn(
            ProcessSpec(
                name="saver",
                module="saves_until_killed",
                config=f"{root}|{incarnation}".encode(),
                on_line=on_line,
            )
        )
        await some_saved.wait()
        await asyncio.sleep(incarnation * 0.0004)  # another moment of the save each time
        child.kill()
        assert await child.wait() == Exit(signal=9)
        reported = max(reported, int(child.last_lines(1)[0]))
        storage = FileStorage(root)
        snapshots = Snapshots(storage, "w", 100)
        found = await snapshots.latest()
        assert found is not None
        assert snapshots.statistics().skipped == 0
        assert found.counter in (reported, reported + 1)
        assert found.incarnation == incarnation
        assert found.header == b"%d" % found.counter
        assert bytes(found.arrays[0]) == found.counter.to_bytes(8, "little") * 50_000
        assert not [path for path in root.rglob(".*") if path.is_file()]
        await storage.close()
    await spawner.close()


@pytest.mark.parametrize("keep", [2, 4, None])
async def test_as_many_snapshots_are_left_as_are_to_be_kept(keep: int | None) -> None:
    storage = MemoryStorage()
    snapshots = Snapshots(storage, "agg", 0, keep=keep)
    for counter in range(6):
        await snapshots.save(counter, b"", [])
    assert await snapshots.counters() == tuple(range(6))[-(keep or 6) :]
    # Who keeps fewer removes the others.
    await Snapshots(storage, "agg", 1).save(6, b"", [])
    assert await snapshots.counters() == (5, 6)


async def test_an_older_snapshot_is_read_by_its_counter() -> None:
    storage = MemoryStorage()
    for incarnation in (0, 1):
        snapshots = Snapshots(storage, "agg", incarnation, keep=None)
        for counter in (2, 4):
            await snapshots.save(counter, b"%d %d" % (counter, incarnation), [])
    found = [await snapshots.latest(upto=upto) for upto in (1, 2, 3, 4, 9, None)]
    headers = [None if each is None else each.header for each in found]
    assert headers == [None, b"2 1", b"2 1", b"4 1", b"4 1", b"4 1"]


def test_fewer_than_two_snapshots_are_refused() -> None:
    with pytest.raises(ValueError, match="keep must be at least 2, or None for all, got 1"):
        Snapshots(MemoryStorage(), "agg", 0, keep=1)
