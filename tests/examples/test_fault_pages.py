"""The pages about chaos and about replaying say what the commands do, and their commands run."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner, Result

from actorfl.chaos.scenario import read, scenario_of
from actorfl.chaos.settings import Chaos
from actorfl.cli import app
from actorfl.errors import NotRecorded, StepFailed
from actorfl.exitcodes import ExitCode
from actorfl.replaying import Replayed
from actors.testing.chaos.scenario import name_of
from tests.examples.test_docs import blocks, first_column
from tests.examples.test_programs import ROOT


def commands(page: str) -> Iterator[list[str]]:
    """The words of each command of a page, without ``actorfl``."""
    for block in blocks(page, "sh"):
        for line in block.splitlines():
            program, *words = shlex.split(line)
            assert program == "actorfl"
            yield words


def options(command: str) -> set[str]:
    """What a command takes, less what is for all of them."""
    found = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    return {option for param in found for option in param.opts if option.startswith("--")} - {
        "--debug"
    }


@pytest.fixture
def beside_the_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory in which ``examples/...`` is there, as in a clone."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)


# -- chaos; its command is run by tests/faults/test_chaos.py, its example by tests/actors ----------


def test_the_page_of_chaos_names_every_option_with_its_default() -> None:
    text = (ROOT / "docs/chaos.md").read_text()
    shown = dict(re.findall(r"^\| `(--[\w-]+)[^`]*` \|(.*?)\|", text, re.MULTILINE))
    assert shown.keys() == options("chaos")
    params = typer.main.get_command(app).commands["chaos"].params  # type: ignore[attr-defined]
    defaults = {param.opts[0]: param.default for param in params}
    for option, default in shown.items():
        if default.strip():
            assert default.strip(" `") == str(defaults[option]), option


def test_the_section_of_the_page_is_the_default() -> None:
    (toml,) = blocks("chaos.md", "toml")
    table = tomllib.loads(toml)
    assert Chaos(**table.pop("chaos")) == Chaos()
    assert not table


def test_the_page_names_all_that_must_hold() -> None:
    text = (ROOT / "docs/chaos.md").read_text()
    (table,) = re.findall(r"^\| name \| what is checked.*?\n\n", text, re.DOTALL | re.MULTILINE)
    named = re.findall(r"^\| ([a-z ]+) \|", table, re.MULTILINE)[1:]
    held: set[str] = set()
    for policy in ('"bsp"', '"quorum"', '{ kind = "ssp", staleness = 1 }', '"asp"'):
        scenario = scenario_of(*read(ROOT / "examples/digits/run.toml", [f"sync={policy}"]))
        names = [name_of(one) for one in (*scenario.always, *scenario.invariants)]
        assert [name for name in named if name in names] == names
        held.update(names)
    assert held == set(named)


def test_the_program_of_the_page_is_a_part_of_the_example() -> None:
    (code,) = blocks("chaos.md", "python")
    example = (ROOT / "examples/replicated_counter/counter.py").read_text()
    parts = code.split("\n\n\n")
    assert len(parts) == 3
    assert all(part in example for part in parts)


# -- replay ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("beside_the_examples")
def test_the_commands_of_the_page_of_replay_print_what_it_says() -> None:
    training, plain, debugged = commands("replay.md")

    def run(words: list[str], typed: str = "") -> Result:
        done = CliRunner().invoke(app, words, input=typed)
        assert done.exit_code == 0, done.output
        return done

    run([*training, "--set", "local.epochs=1"])  # a fifth of the time, and other numbers
    (shown,) = re.findall(
        r"^```\n(w3 .*?)```", (ROOT / "docs/replay.md").read_text(), re.DOTALL | re.MULTILINE
    )
    form = re.compile(r"\b[0-9a-f]{64}\b|\d+\.\d+")
    printed = run(plain).stdout
    assert form.sub("#", printed) == form.sub("#", shown)
    stopped = run(debugged, "continue\n").stdout
    assert re.search(r"> .*/digits\.py\(\d+\)loss\(\)\n", stopped)
    assert stopped.endswith(printed)
    assert json.loads(run([*plain, "--json"]).stdout)["same"] is True


def test_the_page_of_replay_names_every_option_field_and_code() -> None:
    text = (ROOT / "docs/replay.md").read_text()
    assert {word.split()[0] for word in first_column("replay.md", "option")} == options("replay")
    (cell,) = re.findall(r"^\| `--json` \| (.*) \|$", text, re.MULTILINE)
    one = Replayed("r", "w0", 0, 1, None, {}, "i", "d", "x", (), "")
    assert set(re.findall(r"`(\w+)`", cell)) == one.summary().keys()
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert codes == {
        ExitCode.WRONG_VALUE, ExitCode.RUN_DIRECTORY, ExitCode.DIFFERENT_CONFIGURATION,
        ExitCode.OTHER_BITS, NotRecorded.exit_code, StepFailed.exit_code,
    }  # fmt: skip
