"""The public doors: complete, sorted, documented, and the right `transports` behind them."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def offered(package: str) -> dict[str, str]:
    """Name to home module, as the imports of the package's __init__ say."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text())
    return {
        alias.asname or alias.name: node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and "." in (node.module or "")
        for alias in node.names
    }


@pytest.mark.parametrize("package", ["transports", "actors", "actorfl"])
def test_all_names_what_the_package_offers_and_each_name_is_documented(package: str) -> None:
    module = importlib.import_module(package)
    homes = offered(package)
    assert set(module.__all__) == set(homes)
    for name in module.__all__:
        value = getattr(module, name)
        assert value is getattr(importlib.import_module(homes[name]), name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), f"{package}.{name} has no docstring"


@pytest.mark.parametrize("package", ["actors", "actorfl"])
def test_the_lazy_doors_lead_where_the_type_checker_looks(package: str) -> None:
    assert offered(package) == importlib.import_module(package)._HOMES


def test_warnings_go_to_stderr_unless_asked_for_where_actors_are_used_alone() -> None:
    script = """
import logging, actorfl, actors, transports
for name in ("actorfl.aggregator", "actors.failures", "transports"):
    logging.getLogger(name).warning("%s unasked", name)
    logging.getLogger(name).info("%s quiet", name)
logging.basicConfig(format="%(name)s: %(message)s")
logging.getLogger("actors.cell").warning("asked")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    # A run tells what its log says by itself; nobody but logging tells of actors alone.
    assert done.stderr == "actors.failures unasked\nactors.cell: asked\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    import actors

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        actors.nonsense  # noqa: B018


def test_another_distributions_transports_is_found_out_at_import(tmp_path: Path) -> None:
    (tmp_path / "transports").mkdir()
    (tmp_path / "transports" / "__init__.py").write_text("")
    run = subprocess.run(
        [sys.executable, "-c", "import actorfl"],
        cwd=tmp_path,  # where -c looks first
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 1
    assert "pip uninstall transports" in run.stderr
    assert str(tmp_path) in run.stderr
