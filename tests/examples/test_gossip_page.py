"""The pages about gossip and about peer sampling: what they show runs, and is all that there is."""

from __future__ import annotations

import dataclasses
import tomllib
import typing
from pathlib import Path
from typing import Any

import pytest

import actorfl
from actorfl import SGD, Gossip, Period, RingGraph, Rounds, Run, Simulated, Stay
from actorfl.config import Place, build
from actorfl.registry import SLOTS, kind_of
from tests.examples.test_docs import blocks, cells
from tests.examples.test_programs import ROOT, run
from tests.faults.tasks import Blobs

pytestmark = pytest.mark.timeout(120)
PAGES = ("gossip.md", "peer-sampling.md")


def spam_of_the_page(folder: Path) -> None:
    (code,) = [each for each in blocks("gossip.md", "python") if "class Spam" in each]
    (folder / "spam.py").write_text(code)


def first(page: str, language: str) -> str:
    """The block of a page that says the whole run."""
    return next(each for each in blocks(page, language) if "spam.py:Spam" in each)


@pytest.mark.parametrize("page", PAGES)
def test_the_run_of_the_page_is_one_run_in_toml_and_in_python(page: str, tmp_path: Path) -> None:
    spam_of_the_page(tmp_path)
    (tmp_path / "run.toml").write_text(first(page, "toml"))
    (tmp_path / "compare.py").write_text(
        first(page, "python").partition("\n\nif __name__")[0]
        + "\nprint(run.hash == Run.from_toml('run.toml').hash)\n"
    )
    done = run(tmp_path, "compare.py")
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_the_run_of_the_page_learns_in_virtual_time(tmp_path: Path) -> None:
    spam_of_the_page(tmp_path)
    (tmp_path / "run.py").write_text(first("gossip.md", "python").replace("Hours(48)", "Hours(1)"))
    done = run(tmp_path, "run.py")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 0.7


def in_toml(cell: str, key: str = "") -> Any:
    table: Any = tomllib.loads(f"{key} = {cell.strip('`')}" if key else cell.strip("`"))
    return build(SLOTS["algorithm"], {"kind": "gossip", **table}, Place("the page"), ROOT)


def test_what_gossip_takes_is_the_same_in_toml_and_in_python_and_all_of_it() -> None:
    names: dict[str, Any] = {name: getattr(actorfl, name) for name in actorfl.__all__}
    found: dict[str, set[str]] = {}
    for python, toml, *_ in cells("gossip.md", "of `Gossip` \\| in TOML"):
        made = eval(f"Gossip({python.strip('`')})", names)
        assert in_toml(toml) == made, python
        field = python.strip("`").partition("=")[0]
        found.setdefault(field, set()).add(type(getattr(made, field)).__name__)
    for python, toml, *_ in cells("gossip.md", "`tokens=` \\| in TOML"):
        made = eval(python.strip("`"), names)
        assert in_toml(toml, "tokens") == Gossip(tokens=made), python
        found.setdefault("tokens", set()).add(type(made).__name__)
    hints = typing.get_type_hints(Gossip)
    for field in ("merge", "send", "tokens"):
        assert found[field] == {kind.__name__ for kind in typing.get_args(hints[field])}
    assert found.keys() == {each.name for each in dataclasses.fields(Gossip)}


def test_several_of_them_together_are_the_same_in_toml_and_in_python() -> None:
    (toml,) = [each for each in blocks("gossip.md", "toml") if each.startswith("[algorithm]")]
    (code,) = [each for each in blocks("gossip.md", "python") if "\nalgorithm = " in each]
    names: dict[str, Any] = {}
    exec(code, names)
    table = tomllib.loads(toml)["algorithm"]
    assert build(SLOTS["algorithm"], table, Place("the page"), ROOT) == names["algorithm"]


def test_the_other_algorithms_of_the_page_run_by_the_clock(tmp_path: Path) -> None:
    section = (ROOT / "docs" / "gossip.md").read_text().partition("## Other algorithms by the")[2]
    slot = SLOTS["algorithm"]
    for name in ("PushSum", "StochasticGradientPush", "EpidemicLearning"):
        kind = kind_of(slot, getattr(actorfl, name), ROOT)
        assert f"`{name}()`" in section
        assert f'`"{kind}"`' in section
        assert f"`{kind}`" in (ROOT / "docs" / "decentralised.md").read_text()
    (toml,) = [each for each in blocks("gossip.md", "toml") if "epidemic" in each]
    (tmp_path / "run.toml").write_text(
        'task = "digits"\ntopology = { kind = "complete", nodes = 4 }\nuntil = { rounds = 2 }\n'
        + toml
    )
    assert Run.from_toml(tmp_path / "run.toml").sync == Period(10)


def test_an_algorithm_that_says_so_runs_by_the_clock_while_nodes_come_and_go(
    tmp_path: Path,
) -> None:
    (code,) = [each for each in blocks("decentralised.md", "python") if "class NearMedian" in each]
    said = 'own model and its neighbours\'."""\n'
    assert said in code
    (tmp_path / "median.py").write_text(
        code.replace(said, f"{said}\n    periods = True\n    outlives = True\n")
    )
    learning = Run(
        Blobs(), RingGraph(3), "median.py:NearMedian", local=SGD(lr=0.1, batch=8), until=Rounds(8),
        sync=Period(5), stays=(Stay("w2", join=2),), base=tmp_path,
    )  # fmt: skip
    result = learning.start(on=Simulated(3), out=tmp_path)
    assert result.accuracy is not None
    assert result.accuracy > 0.7
