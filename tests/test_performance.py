"""The page about performance names the rows and targets that the benchmarks measure."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gossip import largest
from benchmarks.report import Row, status

ROOT = Path(__file__).parents[1]
NAMES = sorted(
    file.stem for file in (ROOT / "benchmarks").glob("*.py") if "\ndef main(" in file.read_text()
)
ROW = re.compile(r"\d+b?|extra|recovery|simulation|tree")
TARGET = re.compile(r"[<>]= [\d.]+(?: (?:ms|us|KiB|fds))?")


def strings(name: str) -> list[str]:
    """The constant strings of a benchmark, without those in f-strings, such as widths."""
    tree = ast.parse((ROOT / "benchmarks" / f"{name}.py").read_text())
    nodes = list(ast.walk(tree))
    parts = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    return [
        node.value
        for node in set(nodes) - parts
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def table(name: str) -> list[list[str]]:
    page = (ROOT / "docs" / "performance.md").read_text()
    section = page[page.index(f"`benchmarks.{name}`:") :].partition("\n## ")[0]
    lines = re.findall(r"^\|(.+)\|$", section, re.MULTILINE)[2:]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_rows_of_the_benchmark(name: str) -> None:
    measured = {text for text in strings(name) if ROW.fullmatch(text)}
    assert {cells[0] for cells in table(name)} == measured


@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_the_targets_of_the_benchmark(name: str) -> None:
    targets = {text for text in strings(name) if TARGET.fullmatch(text)}
    assert {cells[3] for cells in table(name) if cells[3]} == targets


@pytest.mark.parametrize("name", NAMES)
def test_make_bench_runs_the_benchmark_and_it_has_the_options_of_the_page(name: str) -> None:
    assert f"-m benchmarks.{name}\n" in (ROOT / "Makefile").read_text()
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    page = (ROOT / "docs" / "performance.md").read_text()
    section = page[page.index(f"`benchmarks.{name}`:") :].partition("\n## ")[0]
    for option in ["--json", *re.findall(r"`(--\w+)`", section)]:
        assert option in done.stdout


@pytest.mark.parametrize(
    ("ours", "yardstick", "floor", "met"),
    [(3.0, 10.0, ">= 0.3", True), (2.9, 10.0, ">= 0.3", False), (5.0, 4.0, "<= 1.25", True),
     (5.1, 4.0, "<= 1.25", False), (5.0, 100.0, "<= 4 ms", False), (4.0, 0.1, "<= 4 ms", True),
     (1.0, 2.0, "", None)],
)  # fmt: skip
def test_a_floor_is_of_the_ratio_or_of_ours_where_it_has_a_unit(
    ours: float, yardstick: float, floor: str, met: bool | None
) -> None:
    row = Row("19", "what", ours, yardstick, floor)
    assert row.met is met
    assert status([Row("1", "what", 1.0, 1.0, ">= 1"), row]) == (met is False)


@pytest.mark.parametrize(
    ("seconds_of_a_node", "power", "memory", "most"),
    [(0.05, 1.0, 10**6, 12_000), (0.05, 1.2, 10**6, 2_518), (1e-6, 2.0, 10**6, 24_494),
     (7.0, 1.0, 10**6, 0), (1e-3, 1.0, 5_000, 5_000), (0.1, 1.0, 5_900, 5_900)],
)  # fmt: skip
def test_the_largest_size_that_is_done_in_time_is_found_to_a_fifth(
    seconds_of_a_node: float, power: float, memory: int, most: int
) -> None:
    tried: list[float] = []

    def carry_out(nodes: int) -> dict[str, float] | None:
        tried.append(seconds := seconds_of_a_node * nodes**power)
        done = seconds < 720 and nodes <= memory
        return {"nodes": nodes, "seconds": seconds} if done else None

    found = largest(carry_out, 100, 600.0)
    assert sum(tried) < 3_000
    if most:
        assert found is not None
        assert 0.8 * most <= found["nodes"] <= most
    else:
        assert found is None
