from __future__ import annotations

import asyncio
import os
import random
import resource
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import StorageError
from actors.exits import Exit
from actors.memorydisk import MemoryDisk
from actors.spawner import PopenSpawner, ProcessSpec
from actors.storage import FileStorage, MemoryStorage, Storage

KINDS = ["memory", "process", "machine"]


def make(kind: str, root: Path) -> Storage:
    if kind == "memory":
        return MemoryStorage()
    return FileStorage(root, durability="machine" if kind == "machine" else "process")


@pytest.fixture(params=KINDS)
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    storage = make(request.param, tmp_path / "root")
    yield storage
    await storage.close()


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[FileStorage]:
    storage = FileStorage(tmp_path / "root")
    yield storage
    await storage.close()


def everything_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# --- what holds for every storage ---------------------------------------------------------------


async def test_what_is_written_is_read_and_replaced_whole(storage: Storage) -> None:
    assert await storage.read("a/b") is None
    assert await storage.size("a/b") is None
    await storage.write("a/b", [b"one", bytearray(b" two "), memoryview(b"three")])
    assert await storage.read("a/b") == b"one two three"
    await storage.write("a/b", [])
    assert await storage.read("a/b") == b""
    assert await storage.size("a/b") == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_appends_of_an_earlier_owner_go_nowhere(kind: str, tmp_path: Path) -> None:
    first = make(kind, tmp_path / "root")
    await first.claim("log")
    await first.append("log", b"one", 0)
    if isinstance(first, MemoryStorage):
        second: Storage = MemoryStorage(first.disk, owners=first.owners)
    else:
        second = make(kind, tmp_path / "root")
    await second.claim("log")
    await second.append("log", b"two", 3)
    await first.append("log", b"late", 3)  # it was frozen, and does not know
    assert await second.read("log") == b"onetwo"
    await second.append("log", b"three", 6)
    assert await second.read("log") == b"onetwothree"
    assert await second.size("log") == 11
    await first.claim("log")  # again its own, as it stands
    await first.append("log", b"!", 11)
    assert await first.read("log") == b"onetwothree!"
    await first.close()
    await second.close()


async def test_parts_of_any_item_size_are_written_as_their_bytes(storage: Storage) -> None:
    array = np.arange(300_000, dtype=np.float64)
    await storage.write("x", [array.data, np.zeros((0, 3)).data, b"end"])
    assert await storage.read("x") == array.tobytes() + b"end"
    await storage.append("y", array.data, 0)
    await storage.append("y", np.zeros((0, 3)).data, array.nbytes)
    assert await storage.read("y") == array.tobytes()


async def test_appending_at_an_offset_again_changes_nothing(storage: Storage) -> None:
    await storage.append("log", b"first ", 0)
    await storage.append("log", b"second", 6)
    await storage.append("log", b"second", 6)
    assert await storage.read("log") == b"first second"
    await storage.append("log", b"2", 6)
    assert await storage.read("log") == b"first 2"
    assert await storage.size("log") == 7


async def test_appending_behind_the_end_is_refused_and_changes_nothing(storage: Storage) -> None:
    await storage.append("log", b"abc", 0)
    for at in (4, -1):
        with pytest.raises(StorageError, match=f"at byte {at}: it has 3"):
            await storage.append("log", b"d", at)
    assert await storage.read("log") == b"abc"


async def test_names_are_listed_by_prefix_and_sorted(storage: Storage) -> None:
    for name in ("b/2", "b/10", "a", "bb", "b/c/d"):
        await storage.write(name, [name.encode()])
    assert await storage.list() == ("a", "b/10", "b/2", "b/c/d", "bb")
    assert await storage.list("b") == ("b/10", "b/2", "b/c/d", "bb")
    assert await storage.list("b/") == ("b/10", "b/2", "b/c/d")
    assert await storage.list("b/1") == ("b/10",)
    assert await storage.list("none/") == ()
    await storage.remove("b/10")
    await storage.remove("b/10")
    assert await storage.read("b/10") is None
    assert await storage.list("b/") == ("b/2", "b/c/d")


async def test_what_is_not_wanted_among_the_names_of_a_prefix_is_removed(storage: Storage) -> None:
    for name in ("b/2", "b/10", "a", "b/c/d"):
        await storage.write(name, [b"x"])
    seen: list[tuple[str, ...]] = []

    def odd(names: tuple[str, ...]) -> tuple[str, ...]:
        seen.append(names)
        return names[::2]

    assert await storage.tidy("b/", odd) == 2
    assert seen == [("b/10", "b/2", "b/c/d")]
    assert await storage.list() == ("a", "b/2")
    assert await storage.tidy("none/", odd) == 0
    with pytest.raises(StorageError):
        await storage.tidy("b/", lambda _: ["../outside"])


@pytest.mark.parametrize(
    "name",
    [
        *("", "/etc/passwd", "..", "../x", "a/../../x", "a//b", "a/", "./a", ".hidden", "a/.b"),
        *("a\0b", "x" * 161, "/".join(["x" * 100] * 11)),
    ],
)
async def test_a_name_that_could_leave_the_root_is_refused(storage: Storage, name: str) -> None:
    for attempt in (
        storage.read(name),
        storage.write(name, [b""]),
        storage.append(name, b"", 0),
        storage.size(name),
        storage.remove(name),
    ):
        with pytest.raises(StorageError, match="is no name for a storage"):
            await attempt


async def test_a_prefix_cannot_leave_the_root_either(storage: Storage) -> None:
    with pytest.raises(StorageError, match="no name"):
        await storage.list("../")


async def test_a_content_longer_than_expected_is_not_read(storage: Storage) -> None:
    await storage.write("big", [b"x" * 11])
    assert await storage.read("big", limit=11) == b"x" * 11
    with pytest.raises(StorageError, match="11 bytes, more than the 10"):
        await storage.read("big", limit=10)


async def test_parts_that_raise_leave_the_old_content(storage: Storage) -> None:
    def parts() -> Iterator[bytes]:
        yield b"new" * 1_000_000
        raise ZeroDivisionError

    await storage.write("x", [b"old"])
    with pytest.raises(ZeroDivisionError):
        await storage.write("x", parts())
    assert await storage.read("x") == b"old"
    assert await storage.list() == ("x",)


async def test_closing_finishes_what_was_called_and_refuses_the_rest(storage: Storage) -> None:
    writes = [
        asyncio.create_task(storage.write(str(number), [b"x" * 100_000])) for number in range(20)
    ]
    await asyncio.sleep(0)
    await storage.close()
    await asyncio.gather(*writes)
    await storage.close()
    for attempt in (storage.read("0"), storage.write("0", []), storage.list()):
        with pytest.raises(StorageError, match="closed"):
            await attempt


async def test_operations_happen_in_the_order_of_their_calls(storage: Storage) -> None:
    names = [str(number) for number in range(50)]
    results = await asyncio.gather(
        *(
            task
            for name in names
            for task in (storage.write("same", [name.encode()]), storage.read("same"))
        )
    )
    assert [result.decode() for result in results if result is not None] == names


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["write", "append", "remove"]),
        st.sampled_from(["a", "b/c", "b/d"]),
        st.binary(max_size=20),
        st.integers(0, 30),
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(operations=OPERATIONS, kind=st.sampled_from(KINDS))
def test_a_storage_is_a_dictionary_of_bytes(
    operations: list[tuple[str, str, bytes, int]], kind: str
) -> None:
    async def main(root: Path) -> None:
        storage = make(kind, root)
        model: dict[str, bytes] = {}
        for operation, name, data, at in operations:
            if operation == "write":
                await storage.write(name, [data[:3], data[3:]])
                model[name] = data
            elif operation == "remove":
                await storage.remove(name)
                model.pop(name, None)
            elif at <= len(old := model.get(name, b"")):
                await storage.append(name, data, at)
                model[name] = old[:at] + data
            else:
                with pytest.raises(StorageError):
                    await storage.append(name, data, at)
        assert await storage.list() == tuple(sorted(model))
        for name, content in model.items():
            assert await storage.read(name) == content
            assert await storage.size(name) == len(content)
        await storage.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(main(Path(folder)))


# --- memory ---------------------------------------------------------------------------------------


async def test_a_full_memory_storage_refuses_as_a_full_disk_does() -> None:
    storage = MemoryStorage(capacity=10)
    await storage.write("x", [b"12345"])
    for attempt in (storage.write("y", [b"123456"]), storage.append("x", b"123456", 5)):
        with pytest.raises(StorageError, match="no space left on device; free some space"):
            await attempt
    await storage.write("x", [b"1234567890"])
    assert storage.disk == {"x": b"1234567890"}
    assert storage.statistics().failures == 2


async def test_a_memory_disk_outlives_its_storage() -> None:
    first = MemoryStorage()
    await first.write("x", [b"kept"])
    await first.close()
    second = MemoryStorage(first.disk)
    assert await second.read("x") == b"kept"
    assert repr(first) == "<MemoryStorage 1 names closed>"
    assert repr(second) == "<MemoryStorage 1 names open>"


def test_a_memory_disk_finds_names_that_begin_alike_as_a_look_at_all_would() -> None:
    disk, names = MemoryDisk({"b/1": b"", "a": b"1"}), random.Random(0)
    for step in range(2000):
        name = f"{names.choice('ab')}/{names.randrange(30)}" if step % 7 else names.choice("ab")
        if names.random() < 0.4:
            disk.pop(name, None)
        else:
            disk[name] = b"%d" % step
        prefix = names.choice(("", "a", "a/", "b/1", "b/2", "c", "A"))
        assert disk.beginning(prefix) == tuple(sorted(n for n in disk if n.startswith(prefix)))
    disk.clear()
    assert disk.beginning("") == ()


# --- files ----------------------------------------------------------------------------------------


async def test_nothing_is_touched_on_the_loops_thread(files: FileStorage) -> None:
    threads = set()

    def parts() -> Iterator[bytes]:
        threads.add(threading.current_thread().name)
        yield b""

    for name in "abc":
        await files.write(name, parts())
    assert len(threads) == 1
    assert threading.current_thread().name not in threads


async def test_durability_machine_syncs_file_and_folder_and_process_does_not(
    tmp_path: Path,
) -> None:
    for durability, syncs in (("process", 0), ("machine", 2)):
        storage = make(durability, tmp_path)
        assert isinstance(storage, FileStorage)
        await storage.write("x", [b""])
        assert storage.statistics().syncs == syncs
        await storage.append("x", b"y", 0)
        assert storage.statistics().syncs == syncs + syncs // 2  # the folder knows it already
        await storage.close()


def test_an_unknown_durability_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="one of process, machine, got 'disk'"):
        FileStorage(tmp_path, durability="disk")  # type: ignore[arg-type]  # is what is tested


async def test_a_cancelled_write_lets_go_of_its_parts_before_it_ends(files: FileStorage) -> None:
    begun, go_on = threading.Event(), threading.Event()
    ended = []

    def parts() -> Iterator[bytes]:
        begun.set()
        go_on.wait(10)
        yield b"whole"
        ended.append(True)

    running = asyncio.create_task(files.write("running", parts()))
    waiting = asyncio.create_task(files.write("waiting", [b"never"]))
    await asyncio.to_thread(begun.wait, 10)
    running.cancel()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not running.done()
    running.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended == [True]
    assert await files.list() == ("running",)
    assert files.statistics().waiting == 0


async def test_a_refusal_of_the_system_is_one_sentence_that_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    below = FileStorage(tmp_path / "file" / "root")
    with pytest.raises(StorageError) as caught:
        await below.write("x", [b""])
    assert str(caught.value) == (
        f"cannot write {below.root}/x: file exists; "
        "a file stands where a folder is needed: move it away"
    )
    assert isinstance(caught.value.__cause__, OSError)
    assert below.statistics().failures == 1
    await below.close()

    storage = FileStorage(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*/folder: is a directory"):
        await storage.write("folder", [b""])
    assert everything_in(tmp_path) == ["file"]
    await storage.close()


async def test_a_write_that_the_system_breaks_off_leaves_the_old_and_no_rubbish(
    files: FileStorage,
) -> None:
    await files.write("x", [b"old"])
    await files.append("log", b"old", 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="file too large"):
            await files.write("x", [b"n" * 60_000, b"n" * 60_000])
        with pytest.raises(StorageError, match="file too large"):
            await files.append("log", b"n" * 120_000, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await files.read("x") == b"old"
    assert await files.read("log") == b"old"
    assert everything_in(files.root) == ["log", "x"]
    assert repr(files) == f"<FileStorage {files.root} durability=process 0 waiting>"


KILLED_WHILE_WRITING = """
import asyncio, os
from actors.storage import FileStorage
from actors import lifeline
root, moment = lifeline.attach().decode().split("|")

def parts():
    for number in range(4):
        if number == int(moment):
            os.kill(os.getpid(), 9)
        yield b"new" * 500_000

async def main():
    storage = FileStorage(root)
    await storage.write("x", parts())
    await storage.close()

asyncio.run(main())
"""


async def test_a_kill_at_any_part_leaves_the_old_and_the_next_start_clears_the_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "writes_and_dies.py").write_text(KILLED_WHILE_WRITING)
    monkeypatch.syspath_prepend(str(tmp_path))
    spawner = PopenSpawner()
    root = tmp_path / "root"
    old = FileStorage(root)
    await old.write("x", [b"old"])
    await old.close()
    for moment in range(5):
        child = await spawner.spawn(
            ProcessSpec(name="writer", module="writes_and_dies", config=f"{root}|{moment}".encode())
        )
        exit_ = await child.wait()
        assert exit_ == (Exit(signal=9) if moment < 4 else Exit(code=0)), child.last_lines()
        if moment < 4:
            assert len(everything_in(root)) == 2  # the old, and what the killed one left
        storage = FileStorage(root)
        assert await storage.list() == ("x",)
        assert everything_in(root) == ["x"]
        assert await storage.read("x") == (b"old" if moment < 4 else b"new" * 2_000_000)
        await storage.close()
    await spawner.close()


async def test_temporary_files_of_living_or_foreign_processes_are_left_alone(
    tmp_path: Path,
) -> None:
    here, other = FileStorage(tmp_path), FileStorage(tmp_path)
    seen: list[Any] = []

    def parts() -> Iterator[bytes]:
        seen.extend(path.name for path in tmp_path.iterdir())
        yield b""

    await here.write("x", parts())
    mine = seen[0]
    assert mine.startswith(".x~")
    machine, _, _, number = mine.removeprefix(".x~").split("-")
    keep = [
        mine,  # another storage of this process may be writing it
        f".x~{machine}-{os.getppid()}-00000000-{number}",  # our parent lives
        f".x~00000000-4194305-00000000-{number}",  # another machine: who knows
        ".x~rubbish.tmp",
        ".editor.tmp",
    ]
    drop = [
        f".x~{machine}-4194305-00000000-{number}",  # above the highest process id there is
        f".x~{machine}-{os.getpid()}-00000000-{number}",  # our number in an earlier life
    ]
    for name in keep + drop:
        (tmp_path / name).write_bytes(b"")
    assert await other.list() == ("x",)
    assert everything_in(tmp_path) == sorted([*keep, "x"])
    await here.close()
    await other.close()


async def test_closing_ends_the_writer_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    storage = FileStorage(tmp_path)
    await storage.write("x", [b""])
    assert len(set(threading.enumerate()) - before) == 1
    await storage.close()
    assert set(threading.enumerate()) == before
    assert repr(storage) == f"<FileStorage {tmp_path} durability=process closed>"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
async def test_files_are_closed_after_use(files: FileStorage) -> None:
    await files.write("x", [b"1"])
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  (the names alone)
    await files.write("x", [b"2"])
    await files.append("x", b"3", 1)
    await files.read("x")
    await files.remove("x")
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
