"""The scripts of the examples refuse what they cannot do before they do anything."""

from __future__ import annotations

import runpy
import sys

import pytest

from tests.examples.test_programs import ROOT

STRAGGLERS = "stragglers/stragglers.py"
PICTURE = "parameter_server/picture.py"
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
