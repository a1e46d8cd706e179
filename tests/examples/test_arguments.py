"""The scripts of the examples refuse what they cannot do before they do anything."""

from __future__ import annotations

import runpy
import sys

import pytest

from tests.examples.test_programs import ROOT

STRAGGLERS = "stragglers/stragglers.py"
PICTURE = "parameter_server/picture.py"
FIGURES = [
    "driving/driving.py", "industry/industry.py", PICTURE, STRAGGLERS, "topologies/topologies.py",
]  # fmt: skip
AT_LEAST_1 = "it must be at least 1, got "


@pytest.mark.parametrize(
    ("script", "words", "sentence"),
    [
        (STRAGGLERS, "--seeds 0", f"argument --seeds: {AT_LEAST_1}0"),
        (STRAGGLERS, "--clocks 0", f"argument --clocks: {AT_LEAST_1}0"),
        (STRAGGLERS, "--clocks many", "argument --clocks: invalid positive value: 'many'"),
        (STRAGGLERS, "--out nowhere", "--out nowhere is no folder; make it first"),
        ("ehealth/ehealth.py", "--rounds 0", f"argument --rounds: {AT_LEAST_1}0"),
        ("ehealth/ehealth.py", "--seeds -1", f"argument --seeds: {AT_LEAST_1}-1"),
        (PICTURE, "--clocks 0", f"argument --clocks: {AT_LEAST_1}0"),
        (PICTURE, "--out nowhere/a.svg", "--out nowhere/a.svg lies in no folder; make it first"),
        ("topologies/topologies.py", "--rounds 1", "--nodes are at least 8, --rounds at least 2"),
        ("topologies/topologies.py", "--out nowhere", "--out nowhere is no folder; make it first"),
        ("topologies/topologies.py", "--nodes 7", "--nodes are at least 8, --rounds at least 2"),
        ("driving/driving.py", "--vehicles 1", "--vehicles are 2 to 1024, any of which"),
        ("driving/driving.py", "--vehicles 2000", "--vehicles are 2 to 1024, any of which"),
        ("topologies/topologies.py", "--nodes 8 11", "--nodes 11 is prime, and fills no rectangle"),
        ("gossip/algorithm1.py", "abc", "argument periods: invalid int value: 'abc'"),
        ("gossip/algorithm1.py", "0", "periods are at least 1, got 0"),
        ("gossip/algorithm1.py", "-5", "periods are at least 1, got -5"),
        ("gossip/spam.py", "x", "argument hours: invalid hours value: 'x'"),
        ("gossip/spam.py", "-1", "argument hours: `hours` of Hours must be above 0 and at most"),
        ("digits/demo.py", "--processes 0", f"argument --processes: {AT_LEAST_1}0"),
    ],
)
def test_arguments_that_cannot_be_are_refused_by_the_parser(
    script: str,
    words: str,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = ROOT / "examples" / script
    monkeypatch.setattr(sys, "argv", [script, *words.split()])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(SystemExit) as no:
        runpy.run_path(str(path), run_name="__main__")
    assert no.value.code == 2
    assert sentence in capsys.readouterr().err


def help_of(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    path = ROOT / "examples" / script
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(SystemExit) as no:
        runpy.run_path(str(path), run_name="__main__")
    assert no.value.code == 0
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("script", FIGURES)
def test_a_figure_is_drawn_where_out_says_and_nowhere_else(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Those of the pages are tracked: a run to try it out must not draw over them.
    assert "; without it none" in help_of(script, monkeypatch, capsys)
    path = ROOT / "examples" / script
    assert f"python {path.name} " in (readme := (path.parent / "README.md").read_text())
    assert [line for line in readme.splitlines() if path.name in line and "--out " in line]


@pytest.mark.parametrize(
    ("script", "least"),
    [
        (
            "topologies/topologies.py",
            ("at least 8, no prime; default 16 64", "at least 2; default 160"),
        ),
        ("driving/driving.py", ("of a fleet, 2 to 1024; default 60",)),
    ],
)
def test_the_help_of_a_script_tells_its_least_sizes(
    script: str,
    least: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = help_of(script, monkeypatch, capsys)
    assert [each for each in least if each not in shown] == []
