"""What the page about echo-state networks prints runs as it stands, with the errors that it tells."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actorfl
from actorfl import Inline, Run, Who
from tests.examples.test_docs import blocks
from tests.examples.test_programs import ROOT

PAGE = (ROOT / "docs" / "esn.md").read_text()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ([], ".047"),
        (["algorithm.kind=averaged-readout"], ".31"),
        (["algorithm.kind=averaged-readout", 'task={kind="mackey-glass",washout=100}'], ".209"),
    ],
)
def test_the_run_of_the_page_ends_with_its_error(
    changed: list[str], told: str, tmp_path: Path
) -> None:
    (toml,) = blocks("esn.md", "toml")
    (tmp_path / "run.toml").write_text(toml)
    result = Run.from_toml(tmp_path / "run.toml", changed).start(on=Inline(), out=tmp_path)
    assert f"{result.metrics['nrmse']:.{len(told) - 1}f}"[1:] == told
    assert f" {told}." in PAGE


def test_the_task_of_the_page_reads_its_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, graph = blocks("esn.md", "python")
    names: dict[str, Any] = {"__name__": __name__}
    exec(task, names)
    (tmp_path / "data").mkdir()
    table = np.arange(40.0).reshape(10, 4)
    np.savetxt(tmp_path / "data" / "w1.csv", table, delimiter=",")
    monkeypatch.chdir(tmp_path)
    inputs, targets, steps = names["Pumps"]().train(Who("w1", 1, 2))
    np.testing.assert_array_equal(np.hstack([inputs, targets]), table)
    assert steps.tolist() == list(range(10))
    exec(graph, names)
    assert isinstance(names["run"], Run)


def test_the_page_tells_every_field_of_a_task_with_its_default() -> None:
    fields = dataclasses.fields(actorfl.EchoStateTask)
    assert [f.name for f in fields if f"`{f.name}` ({f.default!r})" not in PAGE] == []
