"""The parameter server example: its two spellings, its run, and its picture."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import actorfl
from actorfl import Inline, Run
from actors import code

HOME = Path(__file__).parents[2] / "examples" / "parameter_server"


def run_of_the_script() -> Run:
    """What the script assigns to ``run``, without starting it."""
    tree = ast.parse((HOME / "serve.py").read_text())
    guard = next(node for node in tree.body if isinstance(node, ast.If))
    assign = next(node for node in guard.body if isinstance(node, ast.Assign))
    names = {name: getattr(actorfl, name) for name in actorfl.__all__}
    run = eval(compile(ast.Expression(assign.value), "serve.py", "eval"), names)
    assert isinstance(run, Run)
    return run


def test_script_and_toml_are_the_same_configuration() -> None:
    assert run_of_the_script().hash == Run.from_toml(HOME / "run.toml").hash


def test_some_clocks_learn_something(tmp_path: Path) -> None:
    run = Run.from_toml(HOME / "run.toml", ["until.clocks=12", "evaluate.every=12"])
    result = run.start(on=Inline(), out=tmp_path)
    assert result.accuracy is not None
    assert result.accuracy > 0.75


def test_the_picture_shows_a_curve_for_each_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Callable[[list[str]], Any] = code.load(code.parse("picture.py:main", HOME))
    file = tmp_path / "picture.svg"
    main(["--clocks", "4", "--out", str(file), "--runs", str(tmp_path)])
    curves = ET.parse(file).getroot().findall("{http://www.w3.org/2000/svg}polyline")
    assert len(curves) == 3
    rates = {
        line.split()[0]: float(line.split()[1]) for line in capsys.readouterr().out.splitlines()
    }
    assert rates.keys() == {"BSP", "SSP(3)", "ASP"}
    assert rates["SSP(3)"] > rates["BSP"]


def test_without_a_file_the_tracked_picture_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Callable[[list[str]], Any] = code.load(code.parse("picture.py:main", HOME))
    before = (HOME / "accuracy.svg").read_bytes()
    monkeypatch.chdir(tmp_path)
    main(["--clocks", "1"])
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert (HOME / "accuracy.svg").read_bytes() == before
    assert list(tmp_path.rglob("*.svg")) == []
