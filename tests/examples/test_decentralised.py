"""The page about learning without a centre: what it shows is what there is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import actorfl
from actorfl import SGD, RingGraph, Rounds, Run
from actorfl.registry import SLOTS, resolve
from actors import Simulated
from tests.examples.test_docs import blocks
from tests.faults.tasks import Blobs
from tests.faults.test_simulated import simulate

pytestmark = pytest.mark.timeout(120)

KINDS = (
    "dpsgd", "ad-psgd", "choco-sgd", "dfedavg", "consensus", "push-sum", "sgp", "epidemic",
    "consensus-admm",
)  # fmt: skip


def test_the_run_of_the_page_is_one_run_in_toml_and_in_python(tmp_path: Path) -> None:
    (toml,) = blocks("decentralised.md", "toml")
    (tmp_path / "run.toml").write_text(toml)
    (code,) = [each for each in blocks("decentralised.md", "python") if "Run(" in each]
    (call,) = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Run"
    ]
    names = {name: getattr(actorfl, name) for name in actorfl.__all__}
    assert eval(call, names).hash == Run.from_toml(tmp_path / "run.toml").hash


def test_the_algorithm_of_the_page_learns(tmp_path: Path) -> None:
    (code,) = [each for each in blocks("decentralised.md", "python") if "class NearMedian" in each]
    (tmp_path / "median.py").write_text(code)
    run = Run(
        Blobs(), RingGraph(3), "median.py:NearMedian", local=SGD(lr=0.1, batch=8), until=Rounds(8),
        base=tmp_path,
    )  # fmt: skip
    result, _ = simulate(run, Simulated(2), tmp_path)
    assert result.accuracy is not None
    assert result.accuracy > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_between_neighbours_is_named_in_toml(kind: str, tmp_path: Path) -> None:
    sync = '"asp"' if kind == "ad-psgd" else '"bsp"'
    (tmp_path / "run.toml").write_text(
        f'task = "digits"\ntopology = {{ kind = "ring", nodes = 4 }}\nalgorithm = "{kind}"\n'
        f'local = {{ kind = "sgd", lr = 0.1 }}\nuntil = {{ rounds = 2 }}\nsync = {sync}\n'
    )
    run = Run.from_toml(tmp_path / "run.toml")
    assert type(run.algorithm) is resolve(SLOTS["algorithm"], kind, "a test", tmp_path)
    (tmp_path / "again.toml").write_text(run.to_toml())
    assert Run.from_toml(tmp_path / "again.toml").hash == run.hash
