"""A failure names the line of the user's own code."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from actorfl.errors import RunFailed
from actorfl.places import own_place


def failing() -> str:
    try:
        json.loads("{")
    except ValueError:
        return traceback.format_exc()
    raise AssertionError


def test_the_innermost_line_of_ones_own_is_found_below_those_of_libraries() -> None:
    place = own_place(failing())
    assert place.startswith("test_places.py, line ")
    assert place.endswith(", in failing")


@pytest.mark.parametrize("folder", ["site-packages", "dist-packages"])
def test_packages_of_any_interpreter_are_nobodys_own(folder: str) -> None:
    text = (
        'Traceback (most recent call last):\n  File "/home/me/shape.py", line 18, in loss\n'
        f'  File "/home/me/.local/lib/python3/{folder}/nn.py", line 7, in forward\nValueError: no'
    )
    assert own_place(text) == "shape.py, line 18, in loss"


def test_a_traceback_without_a_line_of_ones_own_names_none() -> None:
    assert own_place('Traceback:\n  File "<string>", line 1, in <module>\nValueError') == ""
    assert own_place("") == ""


def test_a_failed_run_says_where_and_what_to_read() -> None:
    error = RunFailed("w0", "ValueError: no.", 3, failing(), Path("runs/a-1/log.txt"))
    assert str(error).startswith("w0 failed: ValueError: no (test_places.py, line ")
    assert str(error).endswith("; gave up after restarting it 3 times; see runs/a-1/log.txt")
    assert error.__notes__ == [f"In the process of w0:\n{failing()}"]
