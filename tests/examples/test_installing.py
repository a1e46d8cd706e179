"""What the page about installing says is what the distribution declares and an import does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.examples.test_programs import ENVIRONMENT, ROOT

PAGE = (ROOT / "docs" / "install.md").read_text()


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[>=<;]", one)[0].strip() for one in requirements}


def rows(heading: str) -> list[list[str]]:
    """The rows of the table under this first column's heading."""
    lines = PAGE[PAGE.index(f"| {heading} |") :].splitlines()[2:]
    table = lines[: next(n for n, line in enumerate(lines) if not line.startswith("|"))]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def printed() -> list[tuple[str, str]]:
    """(command, output) of each command of the page that is shown with what it prints."""
    return re.findall(r"```sh\n([^`]*?)\n```\n\n```\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("command", "output"), printed())
def test_a_command_prints_what_the_page_says(command: str, output: str, tmp_path: Path) -> None:
    python, *arguments = shlex.split(command)
    assert python == ".venv/bin/python"
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=ENVIRONMENT, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, output, "")


def test_all_commands_but_the_two_that_install_are_run() -> None:
    assert len(printed()) == 2
    others = [b for b in re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL) if "-c" not in b]
    assert others == ["python3 -m venv .venv\n.venv/bin/python -m pip install ."]


def test_the_packages_and_extras_of_the_page_are_those_that_are_declared() -> None:
    declared = project()
    assert declared["requires-python"] == ">=3.11"
    listed = {name for row in rows("Package") for name in row[0].split(", ")}
    assert listed == names(declared["dependencies"])
    extras = {row[0].strip("`"): set(row[1].split(", ")) for row in rows("Extra")}
    assert set(extras) == set(declared["optional-dependencies"])
    for extra in ("torch", "plot", "bench"):
        assert extras[extra] == names(declared["optional-dependencies"][extra])


ALONE = """
import runpy, sys
for name in ("torch", "safetensors", "sklearn", "matplotlib", "pykka", "msgpack", "networkx",
             "typer", "rich", "structlog", "uvloop", "actorfl"):
    sys.modules[name] = None  # importing it raises
runpy.run_path({path!r}, run_name="__main__")
"""


def test_actors_alone_need_nothing_that_the_page_gives_to_others(tmp_path: Path) -> None:
    path = str(ROOT / "examples" / "hello" / "hello.py")
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(path=path)], cwd=tmp_path, env=ENVIRONMENT,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "hello world\n", "")


def test_the_door_of_the_package_loads_nothing_else(tmp_path: Path) -> None:
    look = (
        "import actors, sys; "
        "print(sorted({'numpy', 'zmq', 'msgspec', 'torch', 'asyncio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=tmp_path, env=ENVIRONMENT, capture_output=True,
        text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"


def test_a_node_without_arrays_starts_without_numpy(tmp_path: Path) -> None:
    look = "import actors.node, actors.serving, actors.spare, sys; print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=tmp_path, env=ENVIRONMENT, capture_output=True,
        text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "False\n"
