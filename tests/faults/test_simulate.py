"""``actorfl simulate``: what it measures, what it refuses, what it prints."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import pytest
from typer.testing import CliRunner

from actorfl import ConfigError
from actorfl.cli import app
from actorfl.errors import Misfit
from actorfl.exitcodes import ExitCode
from actorfl.simulate.fleet import Fleet, counted
from actorfl.simulate.measuring import Curve, Staleness
from actorfl.simulate.playing import read, simulate
from actorfl.simulate.settings import Link, NodeClass, Simulate
from actorfl.stopping import Stopping
from actorfl.witness import Act

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
PHONES = ROOT / "examples/simulate/phones.toml"
SMALL = f"""
task = {{ kind = "{ROOT / "tests/faults/tasks.py"}:Blobs" }}
topology = {{ kind = "star", workers = 4 }}
algorithm = "fedavg"
local = {{ kind = "sgd", lr = 0.1, batch = 8, epochs = 1 }}
until = {{ rounds = 2 }}
name = "small"

[simulate]
accuracy = 0.5
"""
CLASSES = """
[[simulate.classes]]
name = "fast"
share = 0.67
compute = 0.1

[[simulate.classes]]
name = "slow"
share = 0.33
latency = 0.5
compute = 7.0
"""
# Neither real time nor what belongs to this process is the seed's to decide.
REAL = {"wall", "memory", "run"}


def invoke(file: Path, *arguments: str) -> Any:
    words = ["simulate", str(file), "--out", str(file.parent / "runs"), *arguments]
    return CliRunner().invoke(app, words, prog_name="actorfl")


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(SMALL)
    return file


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, Any], str]:
    """One simulation of three nodes of two classes, for all tests that only look at it."""
    file = tmp_path_factory.mktemp("simulate") / "run.toml"
    file.write_text(SMALL + CLASSES)
    done = invoke(file, "--nodes", "3", "--json")
    assert done.exit_code == 0, done.output
    return file, json.loads(done.stdout), done.stderr


# -- what is measured ------------------------------------------------------------------------------


def test_the_json_is_one_object_with_what_the_page_lists(
    played: tuple[Path, Mapping[str, Any], str],
) -> None:
    _, told, _ = played
    page = (ROOT / "docs/simulate.md").read_text().partition("## What is told")[2]
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == told.keys()
    assert told["nodes"] == {"fast": 2, "slow": 1}
    assert told["rounds"] == 2
    assert told["restarts"] == 0
    assert told["memory"] > 0 < told["wall"]


def test_progress_has_both_clocks(played: tuple[Path, Mapping[str, Any], str]) -> None:
    rounds = re.findall(
        r"^round +\d+ .*\(virtual [\d.]+ s, wall [\d.]+ s\)$", played[2], re.MULTILINE
    )
    assert len(rounds) == 2


def test_the_traffic_of_all_classes_of_links_adds_up_to_that_of_the_network(
    played: tuple[Path, Mapping[str, Any], str],
) -> None:
    _, told, _ = played
    links = told["links"]
    assert links.keys() == {
        *("central to central", "fast to central", "central to fast"),
        *("slow to central", "central to slow", "within a node"),
    }
    assert sum(one["messages"] for one in links.values()) == told["messages"]
    assert sum(one["bytes"] for one in links.values()) == told["bytes"]
    fast, slow = links["central to fast"]["bytes"], links["central to slow"]["bytes"]
    assert fast > slow > 2 * 44 * 4  # two nodes and one; each was sent a model of 44 floats twice


def test_a_round_takes_as_long_as_its_slowest_class(
    played: tuple[Path, Mapping[str, Any], str],
) -> None:
    _, told, _ = played
    rows = (Path(told["run"]) / "metrics.jsonl").read_text().splitlines()
    # The model there and back is at least three ways of half a second each, the fit 7 seconds.
    assert all(8 < json.loads(row)["seconds"] < 11 for row in rows)


def test_under_bsp_every_part_is_merged_fresh(
    played: tuple[Path, Mapping[str, Any], str],
) -> None:
    assert played[1]["staleness"] == {"0": 3 * 2}


def test_the_time_to_accuracy_is_that_of_the_event_log(
    played: tuple[Path, Mapping[str, Any], str],
) -> None:
    _, told, _ = played
    where = Path(told["run"])
    rows = [json.loads(row) for row in (where / "metrics.jsonl").read_text().splitlines()]
    first = min(row["round"] for row in rows if row["accuracy"] >= told["target"])
    with (where / "events.msgpack").open("rb") as file:
        made = {
            event["fields"]["version"]: event["fields"]["at"]
            for event in msgpack.Unpacker(file)
            if event.get("kind") == "version"
        }
    assert told["time_to_accuracy"] == made[first]
    assert made.keys() == {1, 2}
    # Between the fits that it was made of and the result, which takes an evaluation more.
    assert 0.1 < told["virtual"] - made[2] < 1.0


def test_the_same_seed_gives_the_same_object_and_the_bits_of_a_run_inline(
    played: tuple[Path, Mapping[str, Any], str],
) -> None:
    file, told, _ = played
    again = json.loads(invoke(file, "--nodes", "3", "--json").stdout)
    assert {k: v for k, v in again.items() if k not in REAL} == {
        k: v for k, v in told.items() if k not in REAL
    }
    words = ["run", str(file), "--set", "topology.workers=3", "--json"]
    inline = CliRunner().invoke(app, [*words, "--out", str(file.parent / "runs")])
    assert json.loads(inline.stdout)["sha256"] == told["sha256"]


def test_an_accuracy_that_is_not_reached_has_no_time(toml: Path, tmp_path: Path) -> None:
    settings = ["until.rounds=1", "simulate.memo=true"]
    run, described = read(toml, settings, nodes=1, accuracy=1.0)
    outcome = simulate(run, described, out=tmp_path / "runs")
    assert (outcome.target, outcome.reached) == (1.0, None)


def test_another_seed_moves_messages_and_no_bit_of_the_model(toml: Path, tmp_path: Path) -> None:
    outcomes = []
    for seed in (1, 2):
        run, described = read(toml, ["until.rounds=1", f"simulate.seed={seed}"], nodes=2)
        outcomes.append(simulate(run, described, out=tmp_path / "runs"))
    one, other = outcomes
    assert one.simulation.digest != other.simulation.digest
    assert one.result.sha256 == other.result.sha256


def test_staleness_is_of_what_was_durable_alone() -> None:
    staleness = Staleness()
    for act in (
        Act("opened", 0, 4),
        Act("merged", 0, 4, "w0", staleness=1),
        Act("opened", 0, 4),  # begun anew on a wider grid
        Act("merged", 0, 4, "w0", staleness=2),
        Act("merged", 0, 4, "w1", staleness=0),
        Act("closed", 0, 4),
        Act("saved", 0, 5),
        Act("opened", 0, 5),
        Act("merged", 0, 5, "w0", staleness=7),  # it died before that was durable
        Act("opened", 1, 5),
        Act("merged", 1, 5, "w0", staleness=2),
        Act("saved", 1, 6),
    ):
        staleness(act)
    assert staleness.histogram == {0: 1, 2: 2}


def test_the_first_version_that_reaches_the_target_counts() -> None:
    curve = Curve()
    for number, at, accuracy in ((1, 2.0, 0.4), (2, 3.5, 0.7), (3, 5.0, 0.6), (4, 6.0, 0.9)):
        curve.version({"version": number, "at": at})
        curve.row({"round": number, "accuracy": accuracy})
    assert [curve.reached(target) for target in (0.4, 0.65, 0.8, 0.95)] == [2.0, 3.5, 6.0, None]


def test_without_a_barrier_the_time_is_that_of_the_version_which_was_measured() -> None:
    curve = Curve()
    for version in range(1, 9):
        curve.version({"version": version, "at": float(version)})
    for number, version, accuracy in ((1, 4, 0.4), (2, 8, 0.7)):
        curve.row({"round": number, "version": version, "accuracy": accuracy})
    assert [curve.reached(target) for target in (0.3, 0.6)] == [4.0, 8.0]


# -- classes of nodes ------------------------------------------------------------------------------


def test_shares_are_rounded_to_all_nodes() -> None:
    thirds = tuple(NodeClass(name=name, share=1 / 3) for name in "abc")
    assert counted(thirds, 10) == {"a": 4, "b": 3, "c": 3}
    assert counted((NodeClass(name="a", count=2), NodeClass(name="b", count=1)), 3) == {
        "a": 2,
        "b": 1,
    }


def test_each_node_draws_its_own_from_a_table_and_keeps_it() -> None:
    phones = NodeClass(name="phone", latency=(0.0, 1.0, 10.0), per_example=(1.0, 2.0))
    fleet, again = (Fleet(Simulate(classes=(phones,)), 200) for _ in range(2))
    latencies = [fleet.of(f"p{number}").latency for number in range(200)]
    assert latencies == [again.of(f"p{number}").latency for number in range(200)]
    assert len(set(latencies)) == 200
    # The median stands in the middle of the table.
    assert 80 < sum(latency < 1.0 for latency in latencies) < 120
    assert 10.0 <= fleet.compute("p0", 10.0) <= 20.0
    assert fleet.compute("p0", None) == 0.0


def test_two_ends_add_their_delays_and_the_smaller_bandwidth_counts() -> None:
    near = NodeClass(name="near", latency=1.0, jitter=2.0, bandwidth=3.0)
    fleet = Fleet(Simulate(classes=(near,)), 1)
    net = fleet.net("p0", "aggregator")
    central = fleet.of("aggregator")
    assert net.delay == 1.0 + central.latency
    assert net.jitter == 2.0 + central.jitter
    assert net.bandwidth == 3.0
    assert fleet.link("aggregator", "p0") == "central to near"
    assert fleet.link("p0", "p0") == "within a node"


def test_who_is_interrupted_is_told_of_no_node_that_ends(toml: Path, tmp_path: Path) -> None:
    stopping, said = Stopping(), list[str]()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 1:
            assert stopping.first is not None
            stopping.first()

    run, settings = read(toml, nodes=2)
    with pytest.raises(KeyboardInterrupt):
        simulate(run, settings, out=tmp_path / "runs", say=say, stopping=stopping)
    assert len(said) == 1


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("added", "arguments", "said", "code"),
    [
        ("latency = -1", [], "latency must be finite and at least 0, got -1.0", 14),
        ("bandwidth = 0", [], "bandwidth must be finite and above 0, got 0.0", 14),
        ("compute = inf", [], "compute must be finite and at least 0, got inf", 14),
        ("compute = nan", [], "compute must be finite and at least 0, got nan", 14),
        ("latency = [2.0, 1.0]", [], "must be in ascending order", 14),
        ("latency = [2.0]", [], "must be from 2 to 1001 quantiles", 14),
        ("latency = [15, 300]", [], "in seconds, and so small that an answer takes less", 14),
        ("share = 0.5", [], "add up to 0.5, not to 1", 15),
        ("share = 1.5", [], "share must be above 0 and at most 1", 14),
        ("count = 3", [], "have 3 nodes, and 4 are simulated; give --nodes 3", 15),
        ("count = 3\nshare = 0.1", [], "must be given a share or a count, not both", 14),
        ('name = "central"', [], "name of a class of nodes must be", 14),
        ("speed = 3", [], "unknown key `speed` in `simulate.classes[0]`", 11),
        ("", ["--accuracy", "1.5"], "accuracy of simulate must be above 0 and at most 1", 14),
        ("", ["--nodes", "70000"], "`workers` of Star must be from 1 to 65536", 14),
        ("", ["--set", "topology.named=['a','b','c','d']", "--nodes", "3"], "names its 4", 15),
        (
            "",
            [
                "--set",
                "topology={kind='ring', nodes=6}",
                "--set",
                "algorithm='dpsgd'",
                "--nodes",
                "9",
            ],
            "RingGraph says itself how many nodes it has; leave --nodes out, and say --set topology.n",
            15,
        ),
        ("", ["--set", "simulate.start=-1"], "start must be finite and at least 0", 14),
        ("", ["--set", "simulate.nodes=0"], "nodes of simulate must be at least 1", 14),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence_before_anything_starts(
    toml: Path, added: str, arguments: list[str], said: str, code: int
) -> None:
    toml.write_text(f"{SMALL}\n[[simulate.classes]]\n{added}\n" if added else SMALL)
    done = invoke(toml, *arguments)
    assert said in done.stderr
    assert done.stderr.startswith("actorfl: ")
    assert len(done.stderr.splitlines()) == 1
    assert (done.exit_code, done.stdout) == (code, "")
    assert not (toml.parent / "runs").exists()


def test_a_run_refuses_a_section_that_cannot_be(toml: Path) -> None:
    toml.write_text(SMALL.replace("accuracy = 0.5", "acuracy = 0.5"))
    done = CliRunner().invoke(app, ["run", str(toml)])
    assert done.exit_code == ExitCode.UNKNOWN_KEY
    assert "did you mean `accuracy`?" in done.stderr


def test_classes_say_all_or_nothing() -> None:
    with pytest.raises(Misfit, match="class 'b' of simulate has no share"):
        counted((NodeClass(name="a", share=0.5), NodeClass(name="b")), 4)
    with pytest.raises(ConfigError, match="distinct"):
        Simulate(classes=(NodeClass(), NodeClass()))
    with pytest.raises(ConfigError, match="classes of simulate must be from 1 to 64"):
        Simulate(classes=())
    with pytest.raises(ConfigError, match="jitter"):
        Link(jitter=(0.0, float("inf")))


def test_nodes_without_a_centre_have_no_versions_to_be_late_by(toml: Path) -> None:
    graph = ["--set", "topology={kind='ring', nodes=4}", "--set", "algorithm='dpsgd'"]
    done = invoke(toml, *graph, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["staleness"] is None
    assert told["messages"] > 0
    assert "staleness" not in "".join(done.stdout.splitlines()[:-1])


# -- the page and its example ----------------------------------------------------------------------


def test_the_command_of_the_page_runs_and_its_section_is_that_of_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/simulate.md").read_text()
    (section,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert PHONES.read_text().endswith(section)
    (command,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    words = shlex.split(command)
    assert words[0] == "actorfl"
    monkeypatch.chdir(ROOT)
    few = ["--nodes", "6", "--set", "until.rounds=1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*words[1:], *few])
    assert done.exit_code == 0, done.output
    assert "time to accuracy 0.6: " in done.stdout
    assert "staleness in versions: 0: 6" in done.stdout
    assert "phone to central: " in done.stdout
