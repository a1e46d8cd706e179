"""Every refusal has an exit code, and the page about them is complete."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorfl import errors, saying
from actorfl.exitcodes import ExitCode
from actors.blocking import EXIT_HUNG
from actors.errors import GaveUp, StorageError, UsageError
from actors.lifeline import ORPHANED
from actors.serving import EXIT_CUT_OFF

ROOT = Path(__file__).parents[2]


def subclasses(error: type[errors.ActorflError]) -> Iterator[type[errors.ActorflError]]:
    for child in error.__subclasses__():
        yield child
        yield from subclasses(child)


def test_the_documentation_lists_every_exit_code_with_its_meaning_and_no_other() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(str(int(code)), code.name, code.meaning) for code in ExitCode]


def test_the_foot_of_each_help_says_all_that_ends_with_34() -> None:
    meaning = ExitCode.STEP_FAILED.meaning.replace("step that was replayed", "replayed step")
    assert f"34 {meaning}," in saying.EPILOG


def test_the_documentation_lists_the_exit_codes_of_a_runs_processes() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text()
    rows = re.findall(r"^\| (\d+) \| [^`\n]+ \|$", page, re.MULTILINE)
    assert rows == [str(code) for code in (0, 1, EXIT_HUNG, EXIT_CUT_OFF, ORPHANED)]


def test_the_tree_at_the_head_of_the_errors_is_the_tree_of_the_classes() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__)
    here = {one for one in subclasses(errors.ActorflError) if one.__module__ == errors.__name__}
    assert sorted(drawn) == sorted(one.__name__ for one in here)


def test_every_refusal_has_an_exit_code_of_its_range() -> None:
    for error in subclasses(errors.ConfigError):
        assert 10 <= error.exit_code < 20
    for error in subclasses(errors.RunDirectoryError):
        assert 20 <= error.exit_code < 30


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("a lambda cannot travel"), ExitCode.CONFIG),
        (StorageError("no space left on runs"), ExitCode.RUN_DIRECTORY),
        (GaveUp("w3 gave up", child="w3", restarts=3), ExitCode.RUN_FAILED),
        (errors.RunFailed("w3", "ValueError: no", 3), ExitCode.RUN_FAILED),
        (ZeroDivisionError("division by zero"), ExitCode.INTERNAL),
    ],
)
def test_an_error_of_any_floor_becomes_a_sentence_and_a_code(
    error: Exception, code: ExitCode
) -> None:
    sentence, ended = saying.sentence_and_code(error)
    assert ended == code
    assert str(error) in sentence


def test_a_run_that_failed_names_the_worker_the_exception_and_the_restarts() -> None:
    error = errors.RunFailed("worker w3", "ValueError: no data", 3, "Traceback ...")
    sentence = "worker w3 failed: ValueError: no data; gave up after restarting it 3 times"
    assert str(error) == sentence
    assert error.remote_traceback == "Traceback ..."


def test_a_remote_traceback_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (
        errors.RunFailed("w3", "no", 3, "trace of it"),
        GaveUp("no", child="w3", restarts=3, remote_traceback="trace of it"),
    ):
        traceback.print_exception(error)
        saying.print_remote(error)
        assert capsys.readouterr().err.count("trace of it") == 1
