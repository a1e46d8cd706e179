"""Events and log of a run: restarts equal kills, and a full disk ends nothing."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import msgpack
import pytest

from actorfl.errors import Misfit, RunDirectoryError
from actorfl.rundir import RunDirectory
from actorfl.runlog import RunLog
from actors import (
    ActorFailure,
    ActorRestarted,
    ActorSystem,
    Custom,
    DeadLetter,
    NodeDied,
    NodeStarted,
    SupervisorGaveUp,
)
from actors.signals import kinds_of

Said = list[Mapping[str, Any]]


@pytest.fixture
async def system() -> Any:
    async with ActorSystem("launcher") as made:
        yield made


@pytest.fixture
def said() -> Said:
    return []


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory.create(tmp_path) as made:
        yield made


@pytest.fixture
def log(system: ActorSystem, said: Said, directory: RunDirectory) -> Iterator[RunLog]:
    made = RunLog(directory, said.append)
    made.attach(system)
    yield made
    made.close()


def started(node: str, starts: int) -> NodeStarted:
    return NodeStarted(node=node, incarnation=starts, pid=100 + starts, starts=starts)


def failed(*, outside: bool) -> ActorFailure:
    return ActorFailure(
        path="/root/w1", node="p0", error="ValueError: no", traceback="the traceback\n",
        outside=outside,
    )  # fmt: skip


def restarted(*, outside: bool) -> ActorRestarted:
    return ActorRestarted(
        path="/root/w1", node="p0", restarts=1, error="ValueError: no", outside=outside
    )


async def test_restarts_are_those_of_actors_and_those_of_processes(
    system: ActorSystem, log: RunLog
) -> None:
    for event in (started("p0", 1), started("p1", 1), restarted(outside=False)):
        system.events.publish(event)
    assert log.restarts == 1
    # The actors of a process that died are restarted with it, not besides.
    for event in (started("p0", 2), restarted(outside=True)):
        system.events.publish(event)
    assert log.restarts == 2


async def test_a_process_that_died_again_before_it_was_up_counts_twice(
    system: ActorSystem, log: RunLog
) -> None:
    for event in (started("p0", 1), started("p0", 3)):
        system.events.publish(event)
    assert log.restarts == 2


async def test_failures_restarts_and_refusals_are_told_in_a_sentence(
    system: ActorSystem, log: RunLog, said: Said
) -> None:
    for event in (
        failed(outside=False),
        restarted(outside=False),
        NodeDied(node="p1", incarnation=1, pid=7, reason="killed by signal 9", lines=[]),
        started("p1", 2),
        Custom(source="a", kind="refused", fields={"sentence": "w0 is refused"}),
        Custom(source="a", kind="fit", fields={"worker": "w0"}),
        failed(outside=True),
    ):
        system.events.publish(event)
    assert [row["event"] for row in said] == [
        "w1 failed: ValueError: no",
        "w1 restarted after ValueError: no",
        "process p1 (pid 7) died: killed by signal 9",
        "process p1 restarted (pid 102)",
        "w0 is refused",
    ]


async def test_the_log_holds_the_remote_traceback_and_what_processes_print(
    system: ActorSystem, log: RunLog, directory: RunDirectory
) -> None:
    system.events.publish(failed(outside=False))
    log.line("p0", "hello from p0")
    text = directory.log.read_text()
    assert "the traceback\n" in text
    assert "hello from p0" in text


@pytest.mark.parametrize("name", ["actors.cell", "transports", "actorfl.aggregator"])
def test_warnings_of_the_launcher_stand_in_the_log_and_not_on_the_screen(
    name: str, log: RunLog, directory: RunDirectory
) -> None:
    logger = logging.getLogger(name)
    logger.warning("%s hung in on_stop for %d s; left", "/root/w1", 1)
    logger.info("restored at clock 3")
    log.close()
    logger.warning("too late")
    (line,) = directory.log.read_text().splitlines()
    assert f"WARNING {name}: /root/w1 hung in on_stop for 1 s; left" in line
    assert line.endswith("node=launcher")


async def test_the_plain_msgpack_package_reads_the_events(
    system: ActorSystem, log: RunLog, directory: RunDirectory
) -> None:
    system.events.publish(started("p0", 1))
    log.row({"round": 1, "accuracy": 0.5})
    with directory.events.open("rb") as file:
        found = list(msgpack.Unpacker(file, max_buffer_size=1 << 20))
    assert [event["event"] for event in found] == ["node_started", "round"]
    assert all(event["time"] > 1e9 for event in found)


async def test_a_row_carries_the_restarts_so_far_and_is_progress(
    system: ActorSystem, log: RunLog, said: Said
) -> None:
    progress: list[int] = []
    log.on_progress = lambda: progress.append(1)
    system.events.publish(restarted(outside=False))
    said.clear()
    log.row({"round": 1})
    assert said == [{"round": 1, "restarts": 1}]
    assert progress == [1]


async def test_the_first_supervisor_that_gave_up_is_remembered(
    system: ActorSystem, log: RunLog
) -> None:
    for child in ("/root/workers/w1", "/root/workers"):
        system.events.publish(SupervisorGaveUp(supervisor="s", child=child, restarts=3, error="no"))
    assert log.gave_up is not None
    assert log.gave_up.child == "/root/workers/w1"


async def test_dead_letters_are_bounded(
    system: ActorSystem, log: RunLog, directory: RunDirectory
) -> None:
    for _ in range(1_200):
        system.events.publish(DeadLetter(to="x", message="Ready", reason="unreachable"))
    with directory.events.open("rb") as file:
        assert sum(1 for _ in msgpack.Unpacker(file)) == 1_000
    assert "dead_letters=1200" in repr(log)


async def test_a_full_disk_is_told_once_and_ends_nothing(
    system: ActorSystem, log: RunLog, said: Said
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        for number in range(5):
            system.events.publish(started(f"p{number}", 1))
            log.line("p0", "x" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [row["event"] for row in said] == [
        "events and log are incomplete from here on: File too large"
    ]
    system.events.publish(started("p0", 2))
    assert log.restarts == 1


def kinds(directory: RunDirectory) -> list[str]:
    with directory.events.open("rb") as file:
        return [event["event"] for event in msgpack.Unpacker(file)]


async def test_what_a_full_disk_cut_short_spoils_none_of_the_events_after_it(
    system: ActorSystem, log: RunLog, directory: RunDirectory
) -> None:
    log.row({"round": 1})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (directory.events.stat().st_size + 20, before[1]))
    try:
        system.events.publish(started("p0", 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kinds(directory) == ["round"]
    log.row({"round": 2})
    assert kinds(directory) == ["round", "round"]


RECORD = msgpack.packb({"event": "x" * 50})


@pytest.mark.parametrize("torn", [b"", RECORD[:1], RECORD[:20], RECORD[:-1], bytes(100)])
def test_what_a_kill_cut_short_is_taken_off_by_the_next_start(
    torn: bytes, directory: RunDirectory
) -> None:
    with closing(RunLog(directory, None)) as log:
        log.row({"round": 1})
    whole = directory.events.read_bytes()
    directory.events.write_bytes(whole + torn)
    with closing(RunLog(directory, None)) as log:
        assert directory.events.read_bytes() == whole
        log.row({"round": 2})
    assert kinds(directory) == ["round", "round"]


@pytest.mark.parametrize("name", ["events.msgpack", "log.txt"])
def test_a_file_that_cannot_be_opened_is_refused_by_name(
    name: str, directory: RunDirectory
) -> None:
    (directory.path / name).mkdir()
    with pytest.raises(RunDirectoryError, match=f"cannot write .*{name}: Is a directory"):
        RunLog(directory, None)


def test_the_same_failure_of_many_workers_is_told_three_times_and_logged_each_time(
    system: ActorSystem, log: RunLog, said: Said, directory: RunDirectory
) -> None:
    for number in range(100):
        error = f"KeyError: example {number}"
        system.events.publish(ActorFailure(path=f"/root/w{number}", node="p0", error=error))
        system.events.publish(
            ActorRestarted(path=f"/root/w{number}", node="p0", restarts=1, error=error)
        )
    assert [line["event"] for line in said] == [
        "w0 failed: KeyError: example 0",
        "w0 restarted after KeyError: example 0",
        "w1 failed: KeyError: example 1",
        "further ones like these are in log.txt",
    ]
    assert directory.log.read_text().count("KeyError: example") == 200


def test_the_same_refusal_is_told_three_times(system: ActorSystem, log: RunLog, said: Said) -> None:
    for number in range(100):
        fields = {"sentence": f"the update of w{number} was refused (shape): it has {number} rows"}
        system.events.publish(Custom(source="a", kind="refused", fields=fields))
    assert len(said) == 4
    assert said[-1]["event"] == "further ones like these are in log.txt"


def test_what_a_run_ends_with_is_not_told_besides(
    system: ActorSystem, log: RunLog, said: Said
) -> None:
    kinds = kinds_of(Misfit)
    system.events.publish(
        ActorFailure(path="/root/w1", node="p0", error="Misfit: too many", kinds=kinds)
    )
    system.events.publish(SupervisorGaveUp(supervisor="s", child="w1", restarts=0, error="no"))
    for path in ("/root/workers", "/root"):
        system.events.publish(ActorFailure(path=path, node="run", error="GaveUp: w1 failed again"))
    # Nor what becomes of its processes when it is ended.
    system.events.publish(
        NodeDied(node="p1", incarnation=1, pid=7, reason="killed by signal 9", lines=[])
    )
    assert said == []


def test_errors_that_are_all_different_are_told_each_in_bounded_memory(
    system: ActorSystem, log: RunLog, said: Said
) -> None:
    for number in range(2_500):
        error = "x" * number
        system.events.publish(ActorFailure(path="/root/w1", node="p0", error=error))
    assert len(said) == 2_500
    assert len(log._told) <= 1_000
