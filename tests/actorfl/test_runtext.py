"""A run arrives with the code that it was started with, or is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from actorfl import FedAvg, Star
from actorfl.errors import CodeImportError, TaskImportError
from actorfl.plan import Plan, plan_of
from actorfl.runtext import RunText
from tests.faults.runs import small
from tests.faults.tasks import Blobs, Tally


def test_a_run_that_travelled_is_the_run() -> None:
    run = small()
    assert RunText.of(run, "me").read() == run


def changed(code: dict[str, dict[str, str]], slot: str) -> dict[str, dict[str, str]]:
    return {**code, slot: {**code[slot], "source": "0" * 64}}


def test_a_task_whose_file_is_another_one_is_refused_by_its_name() -> None:
    text = RunText.of(small(), "me")
    other = RunText(text.toml, text.base, changed(text.code, "task"), text.identity)
    with pytest.raises(TaskImportError, match=r"task Blobs: .*tasks.* is not what the run was"):
        other.read()


def test_an_aggregator_refuses_an_algorithm_whose_file_is_another_one() -> None:
    text = plan_of(small(algorithm=Tally()), "me", "nowhere", Star(1).root)
    assert isinstance(Plan.read(text).algorithm, Tally)
    text = msgspec.structs.replace(text, code=changed(text.code, "algorithm"))
    with pytest.raises(CodeImportError, match=r"algorithm Tally: .* is not what the run was"):
        Plan.read(text)


def test_what_is_ours_is_known_by_its_name(tmp_path: Path) -> None:
    assert RunText.of(small(algorithm=FedAvg()), "me").code["algorithm"] == {"kind": "fedavg"}
    assert RunText.of(small(), "me").code["task"]["kind"] == Blobs.__name__
