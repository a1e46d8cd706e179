"""``actorfl top``: what it draws, and what it sees of a run and of an actor graph elsewhere."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from actorfl import cli
from actorfl.exitcodes import ExitCode
from actorfl.top import drawn, duration, rates, size
from actors import LiveActor, LiveNode, LiveState
from transports import NodeId
from transports.statistics import LaneStatistics, LinkStatistics

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

pytestmark = pytest.mark.timeout(120)


def top(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, ["top", *map(str, arguments)], prog_name="actorfl")


def process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actorfl", "top", *map(str, arguments)]
    return subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=50, check=False
    )


# -- drawing -----------------------------------------------------------------------------------------


def lane(messages: int, nbytes: int) -> LaneStatistics:
    return LaneStatistics(
        "up", 1, messages, 2 * messages, 0, 0, nbytes, 2 * nbytes, 0, 0, 7, 99, 0, 0, 0
    )


def seen(now: float, handled: int, *, workers: int = 2, state: str = "running") -> LiveState:
    def actor(path: str, kind: str, **told: Any) -> LiveActor:
        values: dict[str, Any] = {
            "node": "shop", "state": "running", "mailbox": 0, "bound": 100, "oldest": None,
            "handled": handled, "restarts": 0, "failures": 0, "children": 0, "watchers": 0, **told,
        }  # fmt: skip
        return LiveActor(path, kind, **values)

    link = LinkStatistics(
        NodeId("p0", 5), "up", None, lane(handled, 1000 * handled), lane(0, 0), 0, 0, 0, 0, 0, {}
    )
    return LiveState(
        wall=0.0,
        now=now,
        nodes=(
            LiveNode("shop", 1, 11, "up", 1, 0.0, 1 + workers, 0, 4, 2, (link,)),
            LiveNode("p0", 5, 12, "stuck", 2, 7.5),
        ),
        actors=(
            actor("/root", "Supervisor"),
            *(actor(f"/root/w{i}", "Worker") for i in range(workers - 1)),
            actor("/root/last", "Worker", state=state, mailbox=3, oldest=2.5, restarts=6),
        ),
    )


def lines(state: LiveState, before: LiveState | None = None, **options: Any) -> list[str]:
    console = Console(width=150, file=io.StringIO(), no_color=True)
    console.print(drawn(state, rates(before, state), **options))
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def cells(shown: list[str], first: str) -> list[str]:
    """Of the one row that begins with that; the heading is none."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in shown]
    (row,) = [row for row in rows[1:] if row[0] == first]
    return row


def test_a_look_is_drawn_as_a_tree_with_nodes_links_and_lanes() -> None:
    shown = lines(seen(10.0, 4))
    assert shown[0] == "shop  nodes 1/2 up  actors 3  restarts 6  dead letters 4"
    assert cells(shown, "last") == [
        "last", "Worker", "shop", "running", "3/100", "2.5 s", "6", "4",
    ]  # fmt: skip
    assert any(line.startswith("  w0") for line in shown)
    assert cells(shown, "p0") == ["p0", "stuck", "12", "2"]
    assert cells(shown, "shop") == ["shop", "up", "11", "1", "3", "1", "4", "2"]
    assert cells(shown, "shop - p0")[:6] == ["shop - p0", "control", "up", "7 B", "4 kB", "8 kB"]
    assert cells(shown, "bulk")[:2] == ["bulk", "up"]


def test_rates_are_the_difference_of_two_looks_and_start_anew_after_a_restart() -> None:
    shown = lines(seen(12.0, 24), seen(10.0, 4))
    assert cells(shown, "last")[-1] == "10"
    assert cells(shown, "shop - p0")[-4:] == ["10 kB", "20 kB", "10", "20"]
    shown = lines(seen(12.0, 6), seen(10.0, 40))
    assert cells(shown, "last")[-1] == "3"


def test_a_screen_shows_what_is_in_trouble_first_and_counts_the_rest() -> None:
    for height in (10, 24, 50):
        shown = lines(seen(1.0, 1, workers=1000, state="failed"), lines=height)
        assert len(shown) <= max(height, 18)
        assert any("last" in line and "failed" in line for line in shown)
        (more,) = [int(n) for n in re.findall(r"and (\d+) more", "\n".join(shown)) if int(n) > 900]
        assert more + sum("Worker" in line or "Supervisor" in line for line in shown) == 1001
    assert sum("Worker" in line for line in lines(seen(1.0, 1, workers=1000))) == 1000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 ms"), (0.0042, "4 ms"), (2.5, "2.5 s"), (720, "12 min"), (11160, "3.1 h")],
)
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (0, 999, 1500, 2.5e6, 7e15)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.5 MB",
        "7e+03 TB",
    ]


# -- of a graph --------------------------------------------------------------------------------------


@contextmanager
def begun(
    *command: str | Path, cwd: Path | None = None, until: str
) -> Iterator[subprocess.Popen[str]]:
    """A process that has written a line which holds that; ended at the end as Ctrl-C would."""
    child = subprocess.Popen(
        [sys.executable, *map(str, command)], cwd=cwd, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        said = []
        try:
            for line in child.stdout:
                said.append(line)
                if until in line:
                    break
            else:
                pytest.fail(f"it ended: {''.join(said)}")
            yield child
        finally:
            child.send_signal(signal.SIGINT)
            child.stdout.read()


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    private = tmp_path_factory.mktemp("private")
    address = f"ipc://{private}/look"
    with begun(ROOT / "examples/watched/watched.py", address, until="actorfl top"):
        yield address


@pytest.mark.parametrize("once", [True, False])
def test_json_is_a_line_for_each_look(once: bool, graph: str) -> None:
    if once:
        done = process(graph, "--json", "--once")
        assert (done.returncode, done.stderr) == (0, "")
        looks = done.stdout.splitlines()
        assert len(looks) == 1
    else:
        command = [sys.executable, "-m", "actorfl", "top", graph, "--json", "--interval", "0.1"]
        with subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            looks = [child.stdout.readline() for _ in range(3)]
            child.stdout.close()  # as `| head -3`
            assert child.wait(30) == 0
    for look in looks:
        state = msgspec.json.decode(look, type=LiveState)
        assert [actor.name for actor in state.actors] == [
            "root", "listener", "pool", *(f"clock{i}" for i in range(4)),
        ]  # fmt: skip
        assert [node.name for node in state.nodes] == ["clocks", "p0", "p1"]


def test_once_shows_everything_with_rates(graph: str) -> None:
    done = process(graph, "--once", "--interval", "0.2")
    assert (done.returncode, done.stderr) == (0, "")
    shown = done.stdout.splitlines()
    assert shown[0].startswith("clocks  nodes 3/3 up  actors 7")
    clock = cells(shown, "clock3")
    assert clock[:4] == ["clock3", "Clock", "p1", "running"]
    assert 1 < float(clock[-1]) < 100  # 20 a second, where nothing holds it up
    assert {"clocks - p0", "p1 - clocks"} <= {re.split(r"\s{2,}", line)[0] for line in shown}
    assert "\x1b" not in done.stdout


def test_ctrl_c_ends_it_without_a_word(graph: str) -> None:
    with begun("-m", "actorfl", "top", graph, "--interval", "0.1", until="clocks") as child:
        child.send_signal(signal.SIGINT)
        assert child.stdout is not None
        assert "Traceback" not in child.stdout.read()
        assert child.wait(30) == ExitCode.INTERRUPTED


# -- of a run ----------------------------------------------------------------------------------------


def test_a_run_over_processes_is_seen_until_it_ends_and_not_after(tmp_path: Path) -> None:
    run = ("-m", "actorfl", "run", ROOT / "examples/blobs/run.toml", "--deploy", "processes=2")
    settings = ("--out", tmp_path, "--set", "until.rounds=100000")
    directory = tmp_path / "blobs-1"
    with begun(*run, *settings, until="round") as child:
        notice = directory / "observe.json"
        assert notice.stat().st_mode & 0o777 == 0o600
        private = Path(json.loads(notice.read_text())["address"].removeprefix("ipc://")).parent
        assert private.stat().st_mode & 0o777 == 0o700

        done = process(directory, "--json", "--once")
        assert done.returncode == 0, done.stderr
        state = msgspec.json.decode(done.stdout, type=LiveState)
        assert {"aggregator", "p0", "p1"} <= {node.name for node in state.nodes}
        assert state.nodes[0].pid == child.pid
        assert {a.state for a in state.actors} == {"running"}
        done = process("blobs-1", "--out", tmp_path, "--once")
        assert done.returncode == 0, done.stderr
        assert "aggregator" in done.stdout

        with begun(
            "-m", "actorfl", "top", directory, "--interval", "0.1", until="aggregator"
        ) as onlooker:
            child.send_signal(signal.SIGINT)
            assert onlooker.stdout is not None
            onlooker.stdout.read()
            assert onlooker.wait(30) == 0  # what it looked at has ended
    assert child.returncode == ExitCode.INTERRUPTED
    assert not notice.exists()
    assert not private.exists()
    assert_refused(top(directory), ExitCode.NOT_RUNNING, "is not running", "actorfl show")


def assert_refused(result: Result, code: ExitCode, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert (result.stderr.startswith("actorfl: "), result.stderr.count("\n")) == (True, 1)
    for word in words:
        assert word in result.stderr


def left(directory: Path, notice: str) -> Path:
    directory.mkdir()
    for name in ("configuration.json", "run.toml"):
        (directory / name).touch()
    (directory / "observe.json").write_text(notice)
    return directory


def test_what_cannot_be_looked_at_is_refused_in_one_line(tmp_path: Path) -> None:
    assert_refused(top(tmp_path / "none"), ExitCode.RUN_DIRECTORY, "is no directory of a run")
    assert_refused(top(f"ipc://{tmp_path}/none"), ExitCode.NO_ANSWER, "nobody answers at")
    assert_refused(top("http://here"), ExitCode.NO_ANSWER, "is none of")
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    gone = left(tmp_path / "gone-1", json.dumps({"pid": killed.pid, "address": "ipc:///a/b"}))
    assert_refused(top(gone), ExitCode.NOT_RUNNING, "was killed")
    simulated = left(tmp_path / "sim-1", json.dumps({"pid": os.getpid(), "address": ""}))
    assert_refused(top(simulated), ExitCode.NOT_RUNNING, "simulation")
    damaged = left(tmp_path / "bad-1", "{")
    assert_refused(top(damaged), ExitCode.RUN_DIRECTORY, "cannot read")


@pytest.mark.parametrize("arguments", [[], ["run", "--interval", "0"], ["run", "--often"]])
def test_a_command_that_is_not_understood_ends_with_usage(arguments: list[str]) -> None:
    assert top(*arguments).exit_code == ExitCode.USAGE
