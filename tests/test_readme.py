"""What the README and the pages of the documentation print is what the examples hold."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def pages() -> list[Path]:
    return [
        path for glob in ("*.md", "docs/**/*.md", "examples/*/*.md") for path in ROOT.glob(glob)
    ]


def test_the_programs_of_the_readme_are_the_examples_that_the_tests_run() -> None:
    readme = (ROOT / "README.md").read_text()
    programs = re.findall(r"\]\((examples/\S+\.py)\).*?```python\n(.*?)```", readme, re.DOTALL)
    assert [path for path, _ in programs] == [
        *("examples/hospital/hospital.py", "examples/hello/hello.py"),
    ]
    for path, program in programs:
        assert program == (ROOT / path).read_text()


def test_the_programs_of_a_page_are_the_files_that_it_links_above_them() -> None:
    compared = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        # A program belongs to the link at the start of a paragraph right above it.
        for target, program in re.findall(
            r"^\[[^]]+\]\(((?:\.\./)+examples/[^)]+)\)[^\n]*\n\n```\w+\n(.*?)```",
            page.read_text(),
            re.DOTALL | re.MULTILINE,
        ):
            file = (page.parent / target).resolve()
            assert program == file.read_text(), f"{page.name} differs from {target}"
            compared.append(file.relative_to(ROOT).as_posix())
    examples = ROOT / "examples"
    collections = ("from_pykka", "patterns", "tutorial")
    assert sorted(compared) == sorted([
        *("examples/blobs/blobs.py", "examples/blobs/run.toml", "examples/blocking/blocking.py"),
        *("examples/counters/counters.py", "examples/hello/hello.py", "examples/jobs/jobs.py"),
        "examples/peer_sampling/rumour.py",
        *("examples/python/disturb.py", "examples/python/policies.py", "examples/python/runs.py"),
        *("examples/shop/shop.py", "examples/testing/test_parcels.py"),
        *("examples/own_algorithm/vote.py", "examples/own_nodes/ring.py"),
        "examples/own_nodes/run.toml",
        *(
            file.relative_to(ROOT).as_posix()
            for name in collections
            for file in (examples / name).glob("*.py")
        ),
    ])  # fmt: skip


def test_every_section_that_a_page_links_to_exists() -> None:
    for page in pages():
        for target, section in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
            text = (page.parent / target).read_text() if target else page.read_text()
            headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in headings]
            assert section in anchors, f"{page.name} links to {target}#{section}"


def test_every_file_that_a_page_links_to_exists() -> None:
    assert len(pages()) >= 5
    for page in pages():
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
