"""The hospital example: its data, its two spellings, and its run."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorfl import Inline, Run
from actors import code

HOME = Path(__file__).parents[2] / "examples" / "hospital"


def loaded(name: str) -> Any:
    return code.load(code.parse(name, HOME))


def run_of_the_script() -> Run:
    """What the script assigns to ``run``, without starting it."""
    tree = ast.parse((HOME / "hospital.py").read_text())
    guard = next(node for node in tree.body if isinstance(node, ast.If))
    assign = next(node for node in guard.body if isinstance(node, ast.Assign))
    assert isinstance(assign.value, ast.Call)
    assign.value.keywords.append(ast.keyword("base", ast.Constant(str(HOME))))
    expression = ast.fix_missing_locations(ast.Expression(assign.value))
    names = vars(sys.modules[loaded("hospital.py:Hospital").__module__])
    run = eval(compile(expression, "hospital.py", "eval"), names)
    assert isinstance(run, Run)
    return run


def test_script_and_toml_are_the_same_configuration() -> None:
    assert run_of_the_script().hash == Run.from_toml(HOME / "run.toml").hash


def test_the_data_are_what_make_data_writes(tmp_path: Path) -> None:
    loaded("make_data.py:main")(tmp_path)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in (HOME / "data").iterdir()}
    assert sorted(made) == [f"w{index}.csv" for index in range(8)]


def test_the_hospitals_hold_all_records_in_unequal_shares() -> None:
    sizes = [len(file.read_text().splitlines()) - 1 for file in (HOME / "data").iterdir()]
    assert sum(sizes) == 569
    assert len(set(sizes)) == 8


def test_a_few_rounds_learn_something(tmp_path: Path) -> None:
    run = Run.from_toml(HOME / "run.toml", ["until.rounds=4"])
    result = run.start(on=Inline(), out=tmp_path)
    assert result.accuracy is not None
    assert result.accuracy > 0.88


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_ends_with_the_same_model_inline_and_over_processes(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(HOME / "hospital.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("accuracy 0.9")
