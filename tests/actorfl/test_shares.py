"""``actorfl data show`` tells what every worker would train on, and trains nothing."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from actorfl import SGD, Dirichlet, FedAvg, Rounds, Run, Star, Who, cli
from actorfl.batches import labels_of, size_of
from actorfl.exitcodes import ExitCode
from actorfl.partition import worker_data
from actorfl.shares import ASCII, BLOCKS, Share, Shares, shares_of

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples/digits/run.toml"
BLOBS = ROOT / "examples/blobs/run.toml"
PAGE = (ROOT / "docs/partitions.md").read_text()

TASK = """
from dataclasses import dataclass
import numpy as np
from actorfl.task import Task

print("imported")

@dataclass(frozen=True)
class Odd(Task):
    how: str = "floats"

    def model(self): ...
    def loss(self, model, batch): ...
    def pool(self):
        if self.how == "broken":
            raise KeyError("no such table")
        if self.how == "none":
            return None
        return (np.zeros((12, 2)), np.linspace(0, 1, 12))

@dataclass(frozen=True)
class Own(Odd):
    def train(self, who):
        if who.index == 2:
            raise OSError("the disk of w2 is gone")
        return (np.arange(3),)

    pool = Task.pool
"""


def show(*arguments: str | Path) -> Result:
    words = ["data", "show", *map(str, arguments)]
    return CliRunner().invoke(cli.app, words, prog_name="actorfl")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    (tmp_path / "odd.py").write_text(TASK)
    file = tmp_path / "run.toml"
    file.write_text(BLOBS.read_text().replace('"blobs.py:Blobs", features = 4', '"odd.py:Odd"'))
    return file


def shares(*workers: Share) -> Shares:
    return Shares("Some", None, 0, None, None, workers)


def test_the_command_of_the_page_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    ((command, output),) = re.findall(r"```sh\n(.*?)\n```\n\n```\n(.*?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(ROOT)
    program, _, _, *arguments = shlex.split(command)
    assert program == "actorfl"
    assert show(*arguments).stdout == output


def test_every_kind_and_every_key_of_the_json_stands_on_the_page() -> None:
    from actorfl.registry import SLOTS

    rows = re.findall(r"^\| `(\w[\w-]*)` \|", PAGE, re.MULTILINE)
    told = json.loads(show(DIGITS, "--json").stdout)
    assert set(rows) == SLOTS["partition"].kinds.keys() | told.keys()
    assert {"name", "examples", "classes"} == told["workers"][0].keys()


def test_what_is_told_of_a_pool_is_what_the_workers_load() -> None:
    run = Run(
        "digits", Star(5), FedAvg(), local=SGD(lr=0.1), until=Rounds(1), seed=4,
        partition=Dirichlet(0.2),
    )  # fmt: skip
    found = shares_of(run)
    assert (found.pool, found.dealt) == (1437, 1437)
    assert found.partition == {"kind": "dirichlet", "alpha": 0.2, "min_size": 1}
    for index, share in enumerate(found.workers):
        data = worker_data(run.task, Who(share.worker, index, 5), run.partition, run.seed)
        labels = labels_of(data)
        assert labels is not None
        assert share.examples == size_of(data)
        assert share.classes == {n: int(np.sum(labels == n)) for n in set(labels.tolist())}


def test_workers_with_data_of_their_own_are_told_as_they_load_it() -> None:
    told = json.loads(show(BLOBS, "--json").stdout)
    assert (told["partition"], told["pool"], told["dealt"]) == (None, None, None)
    assert [(one["name"], one["examples"]) for one in told["workers"]] == [
        ("w0", 30), ("w1", 40), ("w2", 50), ("w3", 60),
    ]  # fmt: skip
    assert told["workers"][0]["classes"] == {"0": 15, "1": 15}
    lines = show(BLOBS).stdout.splitlines()
    assert lines[0] == "Blobs, 4 workers: data of their own, seed 0"
    assert lines[-1] == "each 30 to 60 examples, 2 classes; 180 together"


def test_examples_that_several_have_are_told() -> None:
    sampled = show(DIGITS, "--set", "partition={ kind = 'sampled', examples = 1000 }").stdout
    assert sampled.splitlines()[0] == "Digits, 8 workers: sampled examples=1000, seed 0"
    assert re.search(r"14\d\d of 1437 examples dealt out, some to several$", sampled.strip())


def test_data_without_classes_is_told_without_a_histogram(odd: Path) -> None:
    done = show(odd)
    assert done.stdout == (
        "Odd, 4 workers: iid, seed 0\nworker  examples\n"
        + "".join(f"w{index}             3\n" for index in range(4))
        + "each 3 examples; 12 of 12 examples dealt out\n"
    )
    assert "imported" in done.stderr
    told = json.loads(show(odd, "--json").stdout)
    assert told["workers"][0] == {"name": "w0", "examples": 3, "classes": None}


def test_bars_are_as_high_as_the_share_of_the_most_and_nothing_is_told_from_little() -> None:
    found = shares(
        Share("w0", 116, {3: 100, 4: 1, 7: 15}), Share("second", 50, {4: 50}), Share("none", 0, {})
    )
    assert found.lines() == [
        "Some, 3 workers: data of their own, seed 0",
        "worker  examples  classes 3 to 7",
        "w0           116  █▁▂",
        "second        50  ·▄·",
        "none           0  ···",
        "each 0 to 116 examples, 0 to 3 classes; 166 together",
    ]
    assert found.lines(ASCII)[2:5] == [
        "w0           116  812", "second        50  .4.", "none           0  ...",
    ]  # fmt: skip
    assert len(ASCII) == len(BLOCKS)


def test_many_classes_share_the_columns() -> None:
    found = shares(Share("a-long-name", 100, dict.fromkeys(range(100), 1)), Share("b", 1, {99: 1}))
    _, heading, first, second, _ = found.lines()
    assert heading == "worker       examples  classes 0 to 99, 3 a column"
    assert first == f"a-long-name       100  {'█' * 33}▃"
    assert second == f"b                   1  {'·' * 33}▃"


@pytest.mark.parametrize(
    ("settings", "code", "sentence"),
    [
        (["partition={ kind = 'label' }"], ExitCode.MISFIT, "by class, and this pool shows none"),
        (["topology.workers=13"], ExitCode.MISFIT, "13 workers cannot share 12 examples"),
        (["task.how=none"], ExitCode.CONFIG, "got NoneType as a dataset"),
        (["task.how=broken"], ExitCode.STEP_FAILED, "the task fails as it loads its data: KeyEr"),
        (["task.kind=odd.py:Own"], ExitCode.STEP_FAILED, "w2 fails as it loads its data: OSErro"),
        (["partition=shard"], ExitCode.UNKNOWN_KEY, "did you mean `shards`?"),
    ],
)
def test_what_cannot_be_shown_is_one_line_with_a_code(
    odd: Path, settings: list[str], code: ExitCode, sentence: str
) -> None:
    done = show(odd, *(word for one in settings for word in ("--set", one)))
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    last: Any = done.stderr.splitlines()[-1]
    assert last.startswith("actorfl: ")
    assert sentence in last


def test_the_partitioner_of_the_page_deals_as_it_says(odd: Path) -> None:
    *_, code = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (odd.parent / "mine.py").write_text(code)
    mine = ("--set", "partition=mine.py:Interleaved", "--set", "topology.workers=5")
    assert show(odd, *mine).stdout.splitlines()[-1] == (
        "each 2 to 3 examples; 12 of 12 examples dealt out"
    )


def test_where_blocks_cannot_be_written_digits_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from actorfl import saying

    assert saying.can_write(ASCII)
    done = CliRunner(charset="ascii").invoke(cli.app, ["data", "show", str(BLOBS)])
    assert done.stdout.splitlines()[2] == "w0            30  44"
