"""What the README prints is what the examples hold."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_programs_of_the_readme_are_the_examples_that_the_tests_run() -> None:
    readme = (ROOT / "README.md").read_text()
    programs = re.findall(r"\]\((examples/\S+\.py)\).*?```python\n(.*?)```", readme, re.DOTALL)
    assert [path for path, _ in programs] == [
        *("examples/hospital/hospital.py", "examples/hello/hello.py"),
    ]
    for path, program in programs:
        assert program == (ROOT / path).read_text()


def test_every_file_that_a_page_links_to_exists() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    assert len(pages) >= 5
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
