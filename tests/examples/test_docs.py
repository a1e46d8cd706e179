"""What the pages of the documentation print runs as it stands."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actorfl
from actorfl import ASP, BSP, SGD, Every, Quorum, Result, Rounds, Run, Star, Stay, Supervision
from actorfl.config import Place, build
from actorfl.registry import SLOTS, kind_of
from actors import (
    Corrupt,
    CrashPoint,
    Event,
    FaultPlan,
    LiveActor,
    LiveNode,
    Moment,
    Processes,
    Simulated,
    UsageError,
)
from actors.crashpoints import HANDLED, TAKEN
from actors.faults.kinds import Fault, OnMessages
from actors.testing import Asked, DeadLetters, Nodes, Recorded, TestProbe, When
from examples.shop.shop import declared
from tests.actorfl.clocks import KINDS
from tests.examples.test_programs import ENVIRONMENT, ROOT
from tests.faults.runs import rows, small
from tests.faults.test_simulated import simulate

pytestmark = pytest.mark.timeout(120)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(cwd: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_programs_of_the_page_about_actors_are_the_files_that_it_names() -> None:
    text = (ROOT / "docs" / "actors.md").read_text()
    shown = re.findall(
        r"^\[(examples/\S+\.py)\].*?```python\n(.*?)```", text, re.DOTALL | re.MULTILINE
    )
    assert len(shown) == 5
    for file, code in shown:
        assert code == (ROOT / file).read_text(), file
    assert f"```\n{declared().text()}\n```" in text


def printed() -> list[tuple[str, str, str]]:
    """(page, program, output) of each program that a page shows with what it prints."""
    found = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for file, output in re.findall(
            r"^\[(examples/\S+\.py)\]\([^)]*\):\n\n```python\n(?:.*?)```\n\nIt prints:\n\n```\n(.*?)```",
            page.read_text(),
            re.DOTALL | re.MULTILINE,
        ):
            found.append((page.relative_to(ROOT / "docs").as_posix(), file, output))
    return found


@pytest.mark.parametrize(("page", "file", "output"), printed(), ids=lambda one: one.split("\n")[0])
def test_a_program_prints_what_its_page_says(
    page: str, file: str, output: str, tmp_path: Path
) -> None:
    assert run(tmp_path, str(ROOT / file)) == output


def test_every_program_of_the_tutorial_the_patterns_and_for_pykka_is_shown_with_its_output() -> (
    None
):
    programs = [
        file.relative_to(ROOT).as_posix()
        for name in ("from_pykka", "patterns", "tutorial")
        for file in (ROOT / "examples" / name).glob("*.py")
    ]
    programs += ["examples/python/policies.py", "examples/peer_sampling/rumour.py"]
    assert sorted(file for _, file, _ in printed()) == sorted(programs)


def test_the_kill_of_the_tutorial_is_the_same_in_a_simulation(tmp_path: Path) -> None:
    file = "examples/tutorial/step6_kill.py"
    (output,) = [output for _, shown, output in printed() if shown == file]
    assert run(tmp_path, str(ROOT / file), "simulated") == output


def test_every_pattern_has_its_three_parts_and_stands_in_the_list() -> None:
    patterns = ROOT / "docs" / "patterns"
    pages = sorted(page.name for page in patterns.glob("*.md") if page.name != "index.md")
    assert (
        sorted(
            re.findall(
                r"^- \[.*?\]\((\w+\.md)\)", (patterns / "index.md").read_text(), re.MULTILINE
            )
        )
        == pages
    )
    for page in pages:
        headings = re.findall(r"^## (.+)$", (patterns / page).read_text(), re.MULTILINE)
        assert headings == ["Useful when", "Problems"], page
        assert page.replace(".md", ".py") in {
            file.name for file in (ROOT / "examples/patterns").iterdir()
        }


def test_the_tests_that_prove_the_guarantees_exist() -> None:
    page = ROOT / "docs" / "guarantees.md"
    named = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", page.read_text())
    assert len(named) > 40
    for name, file in named:
        assert re.search(rf"def {name}\(", (page.parent / file).read_text()), f"{name} in {file}"


@pytest.mark.parametrize("deploy", ["inline", "processes=2", "simulated=2"])
def test_the_task_of_the_guide_trains(deploy: str, tmp_path: Path) -> None:
    home = shutil.copytree(ROOT / "examples" / "blobs", tmp_path / "blobs")
    out = run(home, "-m", "actorfl", "run", "run.toml", "--deploy", deploy)
    assert "after 5 rounds, 0 restarts" in out


def test_the_simulation_of_the_guide_ends_with_the_same_model(tmp_path: Path) -> None:
    code, *_ = blocks("simulation.md", "python")
    (tmp_path / "simulate.py").write_text(code)
    out = run(tmp_path, "simulate.py")
    assert re.fullmatch(r"[1-9]\d* restarts?, the same model\n", out)


def test_the_crash_points_of_the_guide_are_some(tmp_path: Path) -> None:
    *_, code = blocks("simulation.md", "python")
    (tmp_path / "points.py").write_text(code + "print(len(on.faults.points))")
    assert run(tmp_path, "points.py") == "2\n"


def test_the_tests_of_the_guide_pass() -> None:
    home = ROOT / "examples" / "testing"
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-c", "/dev/null")
    out = run(home, "-m", "pytest", *options, "test_parcels.py")
    assert out.splitlines()[-1].startswith("7 passed")


def test_the_reference_of_testing_names_what_there_is() -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    others = {"close", "ref", "simulation", "unexpected"}
    for cls in (TestProbe, Asked, When, Recorded, DeadLetters, Nodes):
        for name in vars(cls).keys() - others:
            if not name.startswith("_"):
                assert re.search(rf"\b{name}\b", page), f"{cls.__name__}.{name}"
    plugin = (ROOT / "actors" / "testing" / "pytest_plugin.py").read_text()
    fixtures = re.findall(r"^@pytest\.fixture.*\ndef (\w+)", plugin, re.MULTILINE)
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(fixtures)


def first_column(page: str, head: str) -> list[str]:
    """What stands in code in the first column of the table that begins so."""
    text = (ROOT / "docs" / page).read_text()
    (table,) = re.findall(rf"^\| {head} \|.*?(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    cells = re.findall(r"^\|(.*?)\|", table, re.MULTILINE)
    return [name.strip('"') for cell in cells for name in re.findall(r"`(.*?)`", cell)]


SELECTORS = ("source", "target", "actor", "message", "rounds")
TIMES = ("after", "before")
MOMENTS = ("since", "till")


def test_the_reference_of_faults_names_every_kind_with_its_fields_and_where_it_can_be() -> None:
    text = (ROOT / "docs" / "simulation.md").read_text()
    (table,) = re.findall(r"^\| kind \| its fields.*?\n\n", text, re.DOTALL | re.MULTILINE)
    shown = {
        kind: (re.findall(r"`(\w+)`", fields), where)
        for kind, fields, where in re.findall(
            r"^\| `(\w+)` \| (.*?) \| .* \| (.*?) \|$", table, re.MULTILINE
        )
    }
    # Its fields have a table of their own.
    assert shown.pop("CrashPoint") == (["point", "action"], "everywhere")
    kinds = {kind.__name__: kind for kind in Fault.__args__ if kind is not CrashPoint}
    assert shown.keys() == kinds.keys()
    for name, kind in kinds.items():
        known = set(kind.__struct_fields__)
        if issubclass(kind, OnMessages | Corrupt):
            known -= set(SELECTORS)
        fields, where = shown[name]
        assert "since" in known, name
        assert set(fields) == known - {*TIMES, *MOMENTS}, name
        assert where == possible(name, kind), name
    assert first_column("simulation.md", "selector \\| what it chooses") == list(SELECTORS)
    timeless = {name for name, kind in kinds.items() if not set(TIMES) <= {*kind.__struct_fields__}}
    assert "All but `Kill`, `Freeze` and `CrashPoint` hold for a time" in text
    assert timeless == {"Kill", "Freeze"}
    assert first_column("simulation.md", "field of a moment \\| what it chooses") == list(
        Moment.__struct_fields__
    )


def test_the_moments_of_the_reference_are_some() -> None:
    _, code, _ = blocks("simulation.md", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    assert len(names["plan"].moments) == 4
    Processes(2, faults=names["plan"])


def possible(name: str, kind: type[Fault]) -> str:
    """Where a fault of a kind is not refused."""
    needed: dict[str, Any] = {"seconds": 1.0, "bandwidth": 1.0, "source": "a", "target": "b", "groups": (("a",),),
              "node": "p0", "at": 1.0, "factor": 2.0, "offline": 0.1, "session": 1.0}  # fmt: skip
    fault = kind(**{name: needed[name] for name in kind.__struct_fields__ if name in needed})
    taken = []
    for on in (Simulated, Processes):
        with contextlib.suppress(UsageError):
            on(1, faults=FaultPlan(fault))
            taken.append(on)
    return {2: "everywhere", 1: "simulation", 0: "nowhere yet: refused"}[len(taken)]


def test_the_plan_of_the_reference_is_one_and_can_be_carried_out() -> None:
    (toml,) = blocks("simulation.md", "toml")
    plan = FaultPlan.from_toml(toml)
    assert [type(fault).__name__ for fault in plan.faults] == [
        "Drop", "Partition", "Kill", "Churn", "CrashPoint"
    ]  # fmt: skip
    assert FaultPlan.from_toml(plan.to_toml()) == plan
    Simulated(2, faults=plan)
    Processes(2, faults=plan)


def test_the_reference_of_crash_points_names_every_field_and_action() -> None:
    points = CrashPoint.__struct_fields__
    assert first_column("simulation.md", "field \\| what it takes") == list(points)
    optional = dict(zip(points[::-1], CrashPoint.__struct_defaults__[::-1], strict=False))
    shown = ", ".join(f"{one}={optional[one]!r}" if one in optional else one for one in points)
    assert f"`CrashPoint({shown})`" in (ROOT / "docs" / "simulation.md").read_text()
    with pytest.raises(ValueError, match="is none of") as no:
        CrashPoint("a", "spam")
    (actions,) = re.findall(r"is none of (.*) \(N", str(no.value))
    assert set(first_column("simulation.md", "action")) == set(actions.split(", "))


def test_the_reference_of_crash_points_names_every_place_and_whether_it_tells_its_clock() -> None:
    passed = {
        name: "yes" if rest else "no"
        for package in ("actorfl", "actors")
        for file in (ROOT / package).rglob("*.py")
        if file.name != "crashpoints.py"
        for name, rest in re.findall(r'crash_point\("([\w.]+)"(, [^)]+)?\)', file.read_text())
    }
    text = (ROOT / "docs" / "simulation.md").read_text()
    (table,) = re.findall(r"^\| place \| when.*?\n\n", text, re.DOTALL | re.MULTILINE)
    shown = dict(re.findall(r"^\| `([\w.]+)` \| .* \| (.*?) \|$", table, re.MULTILINE))
    assert shown.pop(TAKEN).startswith("if the message does")
    assert shown.pop(HANDLED) == "likewise"
    assert shown == passed


def test_the_run_of_the_reference_is_one_run_in_toml_and_in_python(tmp_path: Path) -> None:
    ((toml,), (code,)) = (blocks("configuration.md", language) for language in ("toml", "python"))
    (tmp_path / "run.toml").write_text(toml)
    (tmp_path / "compare.py").write_text(
        code.replace("\nRun(", "\nrun = Run(") + "print(run.hash == Run.from_toml('run.toml').hash)"
    )
    assert run(tmp_path, "compare.py") == "True\n"


def cells(page: str, head: str) -> list[list[str]]:
    """The rows of the table that begins so, below its head."""
    text = (ROOT / "docs" / page).read_text()
    (table,) = re.findall(rf"^\| {head} \|.*?(?:\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in table.split("\n")[2:] if row
    ]


def test_the_reference_of_keys_names_every_kind_and_no_other() -> None:
    named: dict[str, set[str]] = {}
    key = ""
    for row in cells("configuration.md", "key \\| kinds"):
        if found := re.match(r"`(\w+)`", row[0]):
            key = found[1]
        named.setdefault(key, set()).update(re.findall(r"`([\w-]+)`", row[1]))
    assert named == {name: set(slot.kinds) for name, slot in SLOTS.items()}


@pytest.mark.parametrize(("head", "slot"), [("in TOML", "sync"), ("`until`", "until")])
def test_the_policies_and_ends_of_the_page_are_the_same_in_toml_and_in_python(
    head: str, slot: str, tmp_path: Path
) -> None:
    base = {
        "task": '"digits"', "topology": '{ kind = "star", workers = 2 }', "algorithm": '"fedavg"',
        "local": '{ kind = "sgd", lr = 0.1 }', "until": "{ rounds = 10 }", "sync": '"bsp"',
    }  # fmt: skip
    shown = cells("synchronisation.md", head)
    names = {name: getattr(actorfl, name) for name in actorfl.__all__}
    for toml, python, *_ in shown:
        lines = {**base, slot: toml.strip("`")}
        if "period" in toml:  # for nodes without a centre
            lines |= {"topology": '{ kind = "complete", nodes = 2 }', "algorithm": '"gossip"'}
        (tmp_path / "run.toml").write_text("".join(f"{k} = {v}\n" for k, v in lines.items()))
        value = eval(python.strip("`"), names)
        assert getattr(Run.from_toml(tmp_path / "run.toml"), slot) == value
    kinds = {type(eval(python.strip("`"), names)).__name__.lower() for _, python, *_ in shown}
    assert kinds == SLOTS[slot].kinds.keys()


def test_the_compressors_of_the_page_are_the_same_in_toml_and_in_python() -> None:
    names = {name: getattr(actorfl, name) for name in actorfl.__all__}
    slot, found = SLOTS["compress"], set()
    for toml, python, share, _ in cells("compression.md", "in TOML \\| in Python"):
        table = tomllib.loads(f"compress = {toml.strip('`')}")["compress"]
        value = eval(python.strip("`"), names)
        assert build(slot, table, Place("the page"), ROOT) == value
        found.add(kind_of(slot, type(value), ROOT))
        vector = np.arange(100_000, dtype=np.float32)
        payload, _ = value.encode(vector, {}, np.random.default_rng(1))
        factor = value.fraction * 2 if "fraction" in share else float(share)
        assert sum(array.nbytes for array in payload.values()) == pytest.approx(
            factor * vector.nbytes, rel=0.01
        )
    assert found == slot.kinds.keys()


def test_the_compressor_of_the_page_trains(tmp_path: Path) -> None:
    (code,) = [each for each in blocks("compression.md", "python") if "class" in each]
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom dataclasses import dataclass\nfrom actorfl import Compression\n"
        f"from actorfl.compression import check_fields, field\n\n\n{code}"
    )
    half = small(compress="mine.py:Half", base=tmp_path)
    result, _ = simulate(half, Simulated(2), tmp_path)
    assert all(row["refused"] == {} for row in rows(result.directory))
    assert result.accuracy is not None
    assert result.accuracy > 0.8


def test_the_page_of_synchrony_says_of_each_algorithm_what_it_goes_with() -> None:
    shown = {}
    for names, policies in cells("synchronisation.md", "algorithm \\| goes with"):
        for name in names.split(", "):
            shown[name.lower().replace(" ", "-")] = policies
    told = {
        kind: "all" if len(each.policies) == 5 else ", ".join(each.policies)
        for kind, each in KINDS.items()
    }
    assert shown == told


def test_the_fields_that_the_page_of_synchrony_names_are_those_of_a_line(tmp_path: Path) -> None:
    named = {
        name
        for cell, *_ in cells("synchronisation.md", "key \\| where")
        for name in re.findall(r"`(\w+)`", cell)
    }
    lines: dict[str, set[str]] = {}
    changing = (Stay("w1", join=1), Stay("w2", leave=1))
    for sync in (BSP(), Quorum(0.5), ASP()):
        stays = () if sync == BSP() else changing
        run = small(sync=sync, stays=stays, until=Rounds(2))
        result, _ = simulate(run, Simulated(4), tmp_path)
        lines[sync.family] = {key for row in rows(result.directory) for key in row}
    beside = lines["Quorum"] | lines["ASP"]
    assert beside - lines["BSP"] == named - {"updates", "refused"}


def test_the_command_of_the_reference_finds_the_failure_in_the_log(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "run-directory.md").read_text()
    (command,) = re.findall(r"`(grep -E [^`]* log\.txt)`", text)
    home = shutil.copytree(ROOT / "examples" / "blobs", tmp_path / "blobs")
    task = (home / "blobs.py").read_text()
    (home / "blobs.py").write_text(
        task.replace("return F.cross_entropy(", "return F.cross_entropi(")
    )
    failed = subprocess.run(
        [sys.executable, "-m", "actorfl", "run", "run.toml", "--deploy", "processes=2"],
        cwd=home, env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert failed.returncode == 30, failed.stderr
    found = subprocess.run(
        command, shell=True, cwd=home / "runs" / "blobs-1", capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    kinds = {line.split()[1] for line in found.stdout.splitlines() if re.match(r"\d{4}-", line)}
    assert {"actor_failed", "gave_up"} <= kinds
    assert re.search(r'blobs\.py", line \d+, in loss\n', found.stdout)


def test_the_reference_of_the_log_names_every_kind_of_event() -> None:
    (table,) = re.findall(
        r"^\| kind \|.*?\n\n",
        (ROOT / "docs/run-directory.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    kinds = {str(event.__struct_config__.tag) for event in Event.__subclasses__()}
    assert kinds <= set(re.findall(r"`(\w+)`", table))


def test_the_reference_of_runs_in_python_names_every_field() -> None:
    page = (ROOT / "docs/python.md").read_text()
    named = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert named == {one.name for cls in (Run, Result) for one in dataclasses.fields(cls)}
    for part in (Star, SGD, Every, Supervision):
        (shown,) = re.findall(rf"`{part.__name__}\((\w+[,=][^`]*)\)`", page)
        assert re.findall(r"(\w+)(?:=|,|$)", re.sub(r"=[^,]*", "", shown)) == [
            one.name for one in dataclasses.fields(part)
        ]


def test_the_page_of_top_names_every_field_of_the_live_state() -> None:
    page = (ROOT / "docs/top.md").read_text()
    for row, cls in (("`nodes`", LiveNode), ("`actors`", LiveActor)):
        (cell,) = re.findall(rf"^\| {row} \| .*?: (.*) \|$", page, re.MULTILINE)
        assert tuple(re.findall(r"`(\w+)`", cell)) == cls.__struct_fields__


def test_the_commands_and_the_program_of_the_page_of_top_show_the_example(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    address = f"ipc://{tmp_path}/private/look"
    page = (ROOT / "docs/top.md").read_text()
    (shown,) = re.findall(r"^    actorfl top (ipc://\S+)$", page, re.MULTILINE)
    _, code = blocks("top.md", "python")
    assert shown in code
    body = code.replace(shown, address).split("\n\n", 1)[1].replace("\n", "\n    ")
    (tmp_path / "look.py").write_text(
        f"import actors\nfrom actors import observe\n\nasync def main():\n    {body}\nactors.run(main())\n"
    )
    command = [sys.executable, str(ROOT / "examples/watched/watched.py"), address]
    with subprocess.Popen(command, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE) as watched:
        try:
            assert watched.stdout is not None
            assert f"actorfl top {address}" in watched.stdout.readline()
            assert re.fullmatch(r"\d+ up\n", run(tmp_path, "look.py"))
            assert "clock3" in run(tmp_path, "-m", "actorfl", "top", address, "--once")
        finally:
            watched.send_signal(signal.SIGINT)
    assert watched.returncode == 0
