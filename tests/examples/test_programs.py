"""The other examples and the commands of the README, as a person runs them."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from actorfl import Run
from actorfl.compiling import graph_of
from actors import Processes

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_hello_says_hello(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/hello/hello.py"))
    assert (done.returncode, done.stdout) == (0, "hello world\n"), done.stderr


def test_an_office_hears_of_each_clerk_that_is_gone(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/jobs/jobs.py"))
    assert done.returncode == 0, done.stderr
    gone = "['/office/clerk1: stopped', '/office/clerk2: stopped']"
    assert done.stdout.splitlines() == ["42", "8", gone, "stopped"]


def test_a_blocking_actor_answers_from_its_thread(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/blocking/blocking.py"))
    assert (done.returncode, done.stdout) == (0, "49\n"), done.stderr


def test_a_counter_that_failed_begins_again_and_the_others_go_on(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/counters/counters.py"))
    assert done.returncode == 0, done.stderr
    before, total, failure, after = done.stdout.splitlines()
    assert (before, total, after) == ("105", "405", "400")
    assert failure.endswith("failed on Add: ValueError: -1 cannot be added; counters go up")


@pytest.mark.parametrize("on", ["inline", "processes", "simulated"])
def test_the_shop_packs_the_same_wherever_it_runs_and_draws_itself(on: str, tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/shop/shop.py"), on)
    assert done.returncode == 0, done.stderr
    packed = ["packed 40 tea", "packed 9 rice", "packed 50 tea", "no 20 tea left"]
    parcels = [f"packer{number}: {parcel}" for number, parcel in enumerate(packed)]
    assert done.stdout.splitlines() == [*parcels, "tea: 10"]
    assert ET.parse(tmp_path / "shop.svg").getroot().tag.endswith("svg")


@pytest.mark.timeout(180)
def test_a_run_in_python_is_started_resumed_and_awaited(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/python/runs.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"2 rounds, 0 restarts, in {tmp_path}/runs/start/digits-1\n" in done.stdout
    assert [line.split(":")[0] for line in done.stdout.splitlines()][-2:] == ["seed 1", "seed 2"]


@pytest.mark.timeout(180)
def test_a_run_whose_process_is_killed_ends_with_the_same_model(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/python/disturb.py"))
    assert (done.returncode, done.stdout) == (0, "1 restart, the same model\n"), done.stderr


@pytest.mark.timeout(180)
def test_the_demo_kills_twice_and_ends_with_equal_models(tmp_path: Path) -> None:
    demo = str(ROOT / "examples/digits/demo.py")
    done = run(tmp_path, demo, "--rounds", "4", "--processes", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("* SIGKILL to process") == 2
    assert done.stdout.count(" restarted (pid ") == 2
    assert done.stdout.endswith("the same model, bit for bit\n")


@pytest.mark.timeout(180)
def test_the_command_of_the_readme_gives_one_model_in_both_deployments(tmp_path: Path) -> None:
    found = []
    for deploy in ("inline", "processes=4"):
        command = ["-m", "actorfl", "run"]
        file = str(ROOT / "examples/digits/run.toml")
        done = run(
            tmp_path, *command, file, "--deploy", deploy, "--set", "until.rounds=2", "--json"
        )
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        found.append(json.loads(line))
    assert set(found[0]) == {"accuracy", "sha256", "rounds", "restarts", "run"}
    assert found[0]["sha256"] == found[1]["sha256"]
    assert [(one["rounds"], one["restarts"]) for one in found] == [(2, 0)] * 2


@pytest.mark.timeout(180)
def test_a_tree_ends_with_the_model_of_a_star(tmp_path: Path) -> None:
    done = run(tmp_path, str(ROOT / "examples/hierarchy/hierarchy.py"), "1")
    assert done.returncode == 0, done.stdout + done.stderr
    tree, star = done.stdout.splitlines()[-2:]
    assert tree.replace("tree", "star") == star


def test_the_tree_of_the_file_is_that_of_the_program_and_of_the_picture(tmp_path: Path) -> None:
    folder = ROOT / "examples/hierarchy"
    found = runpy.run_path(str(folder / "hierarchy.py"))
    read = Run.from_toml(folder / "run.toml")
    assert read.hash == found["tree"].hash
    assert found["star"].topology.names == read.topology.names

    async def nobody(*_: object) -> None:
        pass

    graph = graph_of(read, "identity", nobody, nobody)
    graph.draw(tmp_path / "drawn.svg", Processes(2))
    drawn = (tmp_path / "drawn.svg").read_text()
    assert drawn == (folder / "hierarchy.svg").read_text()
