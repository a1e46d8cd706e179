"""Runs of gossip learning: what they leave, and who dies without stopping whom."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import actors
from actorfl import (
    ASP,
    BSP,
    SGD,
    Algorithm,
    CompleteGraph,
    EpidemicLearning,
    Every,
    FedAvg,
    Gossip,
    Hours,
    Minutes,
    Overwrite,
    Partitioned,
    PerExample,
    Period,
    Proactive,
    Randomised,
    Result,
    RingGraph,
    Rounds,
    Run,
    Sample,
    Seconds,
    Star,
    Stay,
    SubSampled,
    Supervision,
    Versions,
    Who,
)
from actorfl.config import override
from actorfl.cyclic import Cyclic
from actorfl.errors import ConfigError, Misfit, RunFailed
from actorfl.execute import running
from actorfl.gossip.letters import LargePush, Pull, Push
from actorfl.task import Dataset
from actors import (
    ActorRef,
    Churn,
    Deployment,
    Drop,
    FaultPlan,
    Inline,
    Kill,
    Message,
    Processes,
    Simulated,
)
from actors.sim import SimulationStatistics
from tests.faults.linear import Linear, Wide, clouds
from tests.faults.runs import rows
from tests.faults.tasks import Blobs

pytestmark = pytest.mark.timeout(120)

LOCAL = SGD(lr=50.0, batch=10, weight_decay=1e-4)
PATIENT = Supervision(intensity=1000, outside=1000)
#: Of a model of six weights and a bias: these, and an age.
WHOLE = 7 * 4 + 8


def run(
    gossip: Gossip | None = None,
    count: int = 5,
    rounds: int = 40,
    seconds: float = 10.0,
    **changed: Any,
) -> Run:
    values: dict[str, Any] = {
        "topology": CompleteGraph(count) if count > 1 else CompleteGraph(named=("only",)),
        "sync": Period(seconds, save=5), "until": Rounds(rounds), "local": LOCAL,
        "evaluate": Every(10), "seed": 3, "supervision": PATIENT, "task": Linear(), **changed,
    }  # fmt: skip
    task, topology = values.pop("task"), values.pop("topology")
    algorithm = values.pop("algorithm", gossip or Gossip())
    return Run(task, topology, algorithm, **values)


def simulate(run: Run, on: Simulated, out: Path) -> tuple[Result, SimulationStatistics, list[str]]:
    said: list[str] = []

    def on_row(row: Any) -> None:
        if "event" in row:
            said.append(str(row["event"]))

    async def main() -> tuple[Result, SimulationStatistics]:
        async with running(run, on, out=out, on_row=on_row) as under_way:
            result = await asyncio.wait_for(under_way.result(), 100_000)
            assert under_way.simulation is not None
            return result, under_way.simulation.statistics()

    return *actors.run(main(), on=on), said


def test_a_run_leaves_a_line_of_each_evaluation_and_the_models(tmp_path: Path) -> None:
    result, statistics, _ = simulate(run(), Simulated(2, compute=PerExample(1e-4)), tmp_path)
    lines = rows(result.directory)
    assert [row["round"] for row in lines] == [10, 20, 30, 40]
    assert [row["seconds"] for row in lines] == [100, 200, 300, 400]
    assert [row["nodes"] for row in lines] == [5] * 4
    assert lines[-1]["accuracy"] > 0.9
    assert lines[-1]["accuracy_worst"] <= lines[-1]["accuracy"]
    # Each node sends once a period, and each message has a whole model and its age.
    assert [row["messages"] for row in lines] == [50] * 4
    assert [row["bytes"] for row in lines] == [50 * WHOLE] * 4
    assert [row["merged"] for row in lines] == [50] * 4
    assert result.bytes == 200 * WHOLE
    assert result.accuracy == lines[-1]["accuracy"]
    assert result.merged
    assert len(list((result.directory / "models").iterdir())) == 5
    # The launcher asks a process once a period whether it is there, not once a second.
    assert statistics.seconds < 500


def test_the_same_seeds_give_the_same_run_and_others_another(tmp_path: Path) -> None:
    one, two, other = (
        simulate(run(rounds=12), Simulated(2, seed=seed, compute=0.0), tmp_path)
        for seed in (1, 1, 2)
    )
    assert (one[0].sha256, one[1].digest) == (two[0].sha256, two[1].digest)
    assert one[1].digest != other[1].digest


@pytest.mark.parametrize(
    ("gossip", "messages", "size"),
    [
        (Gossip(merge=Overwrite()), 5 * 40, WHOLE),
        (Gossip(exchange="pull"), 5 * 40, WHOLE),
        (Gossip(exchange="push-pull"), 2 * 5 * 40, WHOLE),
        # Three of six weights and the bias, a byte of places, an age.
        (Gossip(send=SubSampled(0.5)), 5 * 40, 4 * 4 + 1 + 8),
        # Two of six weights and the bias, two ages.
        (Gossip(send=Partitioned(3)), 5 * 40, 3 * 4 + 16),
        # Each node keeps up to 4 tokens of 40, and pays one for a message.
        (Gossip(tokens=Randomised(4, 2)), (5 * 36, 5 * 40), WHOLE),
        (Gossip(send=Partitioned(3), tokens=Randomised(2, 1)), (5 * 34, 5 * 40), 3 * 4 + 16),
    ],
    ids=["overwrite", "pull", "push-pull", "sampled", "parts", "tokens", "parts and tokens"],
)  # fmt: skip
def test_each_variant_learns_and_sends_what_its_equations_say(
    gossip: Gossip, messages: int | tuple[int, int], size: int, tmp_path: Path
) -> None:
    result, _, _ = simulate(run(gossip), Simulated(2, compute=0.0), tmp_path)
    lines = rows(result.directory)
    sent = sum(row["messages"] for row in lines)
    least, most = messages if isinstance(messages, tuple) else (messages, messages)
    # What is asked for in the last period may be on its way at the end.
    assert least - 5 <= sent <= most
    assert result.bytes == sent * size
    assert lines[-1]["accuracy"] > 0.85


def test_a_message_that_takes_a_period_comes_a_period_later(tmp_path: Path) -> None:
    ages = []
    for transfer in (0.0, 10.0):
        later = run(rounds=2, evaluate=Every(1), sync=Period(10.0, transfer=transfer))
        result, _, _ = simulate(later, Simulated(1, compute=0.0), tmp_path)
        ages.append([row["age"] for row in rows(result.directory)])
    assert ages[0][0] > 0 == ages[1][0]
    assert ages[1][1] > 0


@pytest.mark.parametrize("on", [Simulated(2), Processes(2)], ids=["simulated", "processes"])
def test_a_model_that_fits_into_no_small_message_is_gossiped_like_any_other(
    on: Deployment, tmp_path: Path
) -> None:
    seconds = 10.0 if isinstance(on, Simulated) else 0.05
    result = run(task=Wide(), count=3, rounds=20, seconds=seconds).start(on=on, out=tmp_path)
    lines = rows(result.directory)
    assert lines[-1]["accuracy"] > 0.8
    assert sum(row["merged"] for row in lines) > 30
    assert all(row["bytes"] == row["messages"] * (9001 * 4 + 8) for row in lines)


def test_every_message_says_what_time_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: dict[str, list[float]] = {}
    say = Cyclic._say

    def heard(to: ActorRef, message: Message[Any]) -> bool:
        if isinstance(message, Push | LargePush | Pull):
            said.setdefault(type(message).__name__, []).append(message.time)
        return say(to, message)

    monkeypatch.setattr(Cyclic, "_say", staticmethod(heard))
    for task, gossip in (
        (Linear(), Gossip()), (Wide(), Gossip()), (Linear(), Gossip(exchange="pull")),
    ):  # fmt: skip
        # The first period has a random phase, and a transfer takes another.
        sync = Period(10.0, transfer=10.0)
        simulate(
            run(gossip, count=2, rounds=4, evaluate=Every(4), task=task, sync=sync),
            Simulated(2), tmp_path,
        )  # fmt: skip
    assert said.keys() == {"Push", "LargePush", "Pull"}
    assert all(time >= 10.0 for times in said.values() for time in times)


def test_a_network_of_one_node_learns_by_itself(tmp_path: Path) -> None:
    alone = run(topology=RingGraph(named=("only", "other")), rounds=10)
    assert alone.topology.names == ("only", "other")
    result, _, _ = simulate(run(count=1, rounds=10), Simulated(1, compute=0.0), tmp_path)
    (line,) = rows(result.directory)
    assert (line["age"], line["messages"], line["nodes"]) == (200, 0, 1)
    assert line["accuracy"] > 0.85


@pytest.mark.parametrize("on", [Inline(), Processes(2)], ids=["inline", "processes"])
def test_the_same_program_learns_over_real_sockets(on: Deployment, tmp_path: Path) -> None:
    result = run(seconds=0.02, rounds=50, evaluate=Every(25)).start(on=on, out=tmp_path)
    lines = rows(result.directory)
    assert [row["round"] for row in lines] == [25, 50]
    assert lines[-1]["accuracy"] > 0.85
    assert sum(row["messages"] for row in lines) <= 5 * 51


def test_a_torch_task_is_trained_in_the_lane_and_ages_by_its_examples(tmp_path: Path) -> None:
    torch = run(
        task=Blobs(), count=3, rounds=8, evaluate=Every(8), local=SGD(lr=0.1, batch=10),
    )  # fmt: skip
    result, _, _ = simulate(torch, Simulated(1, compute=0.1), tmp_path)
    (line,) = rows(result.directory)
    assert line["accuracy"] > 0.8
    assert line["age"] >= 5 * 30


# -- who dies ------------------------------------------------------------------------------------


def test_a_node_that_was_away_goes_on_from_its_save_and_learns_what_time_it_is(
    tmp_path: Path,
) -> None:
    # Each node has a process of its own; that of the second is gone from 205 s to 320 s.
    faults = FaultPlan(Kill("p1", 205.0, 115.0), until=400.0)
    on = Simulated(5, compute=0.0, faults=faults)
    result, statistics, _ = simulate(run(), on, tmp_path)
    assert statistics.killed == 1
    lines = rows(result.directory)
    assert [row["round"] for row in lines] == [10, 20, 30, 40]
    assert [row["nodes"] for row in lines] == [5, 5, 4, 5]
    # What it had learned until its save is not learned again: it lost five periods at most.
    assert lines[3]["age"] > lines[2]["age"] > lines[1]["age"] > 200
    assert lines[3]["accuracy"] > 0.9
    assert result.rounds == 40


def test_no_death_stops_the_others(tmp_path: Path) -> None:
    kills = [
        Kill(node, 100.0 + 20 * place, 1.0) for place, node in enumerate(("p0", "p1", "gatherer"))
    ]
    on = Simulated(2, compute=0.0, faults=FaultPlan(*kills, until=300.0))
    result, statistics, _ = simulate(run(), on, tmp_path)
    assert statistics.killed == 3
    assert result.rounds == 40
    assert rows(result.directory)[-1]["accuracy"] > 0.9


@dataclass(frozen=True)
class Broken(Linear):
    """Some nodes cannot read their data, or write what they learned: they fail again and again."""

    broken: tuple[int, ...] = (1,)

    def train(self, who: Who) -> Dataset:
        if who.index in self.broken:
            raise OSError(28, "No space left on device")
        return super().train(who)


@pytest.mark.parametrize("algorithm", [Gossip(), EpidemicLearning(fanout=1)], ids=str)
def test_a_node_that_fails_too_often_leaves_and_the_others_go_on(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    broken = run(task=Broken(), algorithm=algorithm, supervision=Supervision())
    result, statistics, said = simulate(broken, Simulated(2, compute=0.0), tmp_path)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == [4] * 4
    assert [row["left"] for row in lines] == [["w1"]] * 4
    assert lines[-1]["accuracy"] > 0.9
    assert result.unpromised["w1"] == "it has left the run for good"
    (left,) = [sentence for sentence in said if "has left the run for good" in sentence]
    assert "No space left on device" in left
    # Nobody waits for it: neither the begin, nor the end.
    assert statistics.seconds < 420


@dataclass(frozen=True)
class Holed(Linear):
    """A number of one node's data is missing."""

    def train(self, who: Who) -> Dataset:
        points, labels = clouds(who.index, 20)
        if who.index == 1:
            points[3, 2] = np.nan
        return points, labels


def test_a_node_whose_model_is_not_finite_says_so_once_and_spoils_no_other(tmp_path: Path) -> None:
    result, _, said = simulate(run(task=Holed()), Simulated(2, compute=0.0), tmp_path)
    (sentence,) = [each for each in said if "not finite any more" in each]
    assert "the model of w1" in sentence
    for name in ("w0", "w2", "w3", "w4"):
        model = load_file(result.directory / "models" / f"{name}.safetensors")
        assert all(np.isfinite(array).all() for array in model.values())


def test_a_run_that_all_nodes_have_left_ends(tmp_path: Path) -> None:
    all_broken = run(task=Broken(broken=(0, 1, 2, 3, 4)), supervision=Supervision())
    with pytest.raises(RunFailed, match="nobody is left"):
        simulate(all_broken, Simulated(2, compute=0.0), tmp_path)


def test_a_model_is_not_cut_into_more_parts_than_it_has_weights(tmp_path: Path) -> None:
    on = Simulated(2, compute=0.0)
    assert simulate(run(Gossip(send=Partitioned(6)), rounds=10), on, tmp_path)[0].rounds == 10
    with pytest.raises(RunFailed, match="cuts 6 weights into more parts than they are; use fewer"):
        simulate(run(Gossip(send=Partitioned(7)), rounds=10), on, tmp_path)


def test_a_node_that_fails_too_often_ends_the_run_where_that_is_wanted(tmp_path: Path) -> None:
    ends = run(task=Broken(), supervision=Supervision(exhausted="end"))
    with pytest.raises(RunFailed, match="No space left on device"):
        simulate(ends, Simulated(2, compute=0.0), tmp_path)


def test_a_gatherer_that_dies_at_the_end_is_told_again_that_it_is(tmp_path: Path) -> None:
    on = Simulated(5, compute=0.0, faults=FaultPlan(Kill("gatherer", 400.9, 1.0), until=500.0))
    result, _, _ = simulate(run(), on, tmp_path)
    assert result.rounds == 40


@pytest.mark.parametrize("again", [1.0, 150.0], ids=["soon", "after lines were due"])
def test_a_gatherer_that_died_counts_no_message_twice(again: float, tmp_path: Path) -> None:
    on = Simulated(2, compute=0.0, faults=FaultPlan(Kill("gatherer", 205.0, again), until=500.0))
    result, _, _ = simulate(run(), on, tmp_path)
    lines = rows(result.directory)
    assert sum(row["messages"] for row in lines) == 200
    assert sum(row["merged"] for row in lines) == 200
    assert result.bytes == 200 * WHOLE
    assert lines[-1]["messages"] == 50


def test_a_message_that_never_leaves_is_not_counted(tmp_path: Path) -> None:
    # w1, w3 are where p1 is: whoever drew one of them sends a period later, and it is not there.
    faults = FaultPlan(Kill("p1", 200.0, 50.0), until=500.0)
    slow = run(sync=Period(10.0, transfer=10.0, save=5))
    result, _, _ = simulate(slow, Simulated(2, compute=0.0, faults=faults), tmp_path)
    lines = rows(result.directory)
    sent, merged = (sum(row[name] for row in lines) for name in ("messages", "merged"))
    # What is on its way when p1 dies, or when it ends, is lost.
    assert merged <= sent <= merged + 10
    assert result.bytes == sent * WHOLE


def test_who_comes_and_goes_does_so_until_the_run_ends(tmp_path: Path) -> None:
    # The plan does not say how long it lasts; without the run's length it would be a minute.
    churn = FaultPlan(Churn(offline=0.3, session=Minutes(1)))
    on = Simulated(5, compute=0.0, faults=churn)
    result, told, _ = simulate(run(), on, tmp_path)
    assert told.killed > 15
    assert result.rounds == 40
    assert any(row["nodes"] < 5 for row in rows(result.directory)[1:])


def test_the_last_line_has_all_whose_end_was_awaited(tmp_path: Path) -> None:
    faults = FaultPlan(Kill("p1", 18.0, 10.0), until=50.0)
    result, _, _ = simulate(run(seconds=0.5), Simulated(2, compute=0.0, faults=faults), tmp_path)
    assert [row["nodes"] for row in rows(result.directory)] == [5] * 4


def test_a_node_without_peers_waits_and_says_so(tmp_path: Path) -> None:
    faults = FaultPlan(Kill("p1", 100.0, 200.0), until=400.0)
    on = Simulated(2, compute=0.0, faults=faults)
    result, _, said = simulate(run(count=2), on, tmp_path)
    assert "w0 has no peer that is there, and waits" in said
    assert "w0 has peers again" in said
    assert rows(result.directory)[-1]["nodes"] == 2


def test_who_is_still_away_at_the_end_is_not_waited_for(tmp_path: Path) -> None:
    faults = FaultPlan(Kill("p1", 300.0, 9_000.0), until=100_000.0)
    result, statistics, _ = simulate(run(), Simulated(5, compute=0.0, faults=faults), tmp_path)
    assert statistics.seconds < 1000
    assert len(list((result.directory / "models").iterdir())) == 4


def test_lost_messages_cost_messages_and_nothing_else(tmp_path: Path) -> None:
    on = Simulated(5, compute=0.0, faults=FaultPlan(Drop(0.3), until=380.0))
    result, statistics, _ = simulate(run(), on, tmp_path)
    assert statistics.faults["drop"] > 20
    merged = sum(row["merged"] for row in rows(result.directory))
    assert merged < sum(row["messages"] for row in rows(result.directory)) - 20
    assert rows(result.directory)[-1]["accuracy"] > 0.9


def test_a_run_that_was_stopped_is_resumed_from_the_saves_of_its_nodes(tmp_path: Path) -> None:
    first, _, _ = simulate(run(rounds=20), Simulated(2, compute=0.0), tmp_path)
    before = rows(first.directory)

    async def main() -> Result:
        longer = run(rounds=40)
        async with running(longer, on, resume=first.directory) as under_way:
            return await under_way.result()

    on = Simulated(2, compute=0.0)
    result = actors.run(main(), on=on)
    lines = rows(result.directory)
    assert lines[:2] == before
    assert [row["round"] for row in lines] == [10, 20, 30, 40]
    assert lines[2]["age"] > before[1]["age"]
    assert lines[2]["messages"] == 50


@pytest.mark.parametrize(
    ("until", "says"),
    [
        (Seconds(100), "was complete"),
        (Seconds(109), "was complete"),  # the next line would come at 200
        (Seconds(300), "after round 10"),
    ],
)
def test_a_resumed_run_says_whether_there_is_more_to_do(
    until: Seconds, says: str, tmp_path: Path
) -> None:
    first = run(until=Seconds(100)).start(on=Simulated(2), out=tmp_path)
    said: list[str] = []

    def hear(row: Mapping[str, Any]) -> None:
        if "event" in row:
            said.append(str(row["event"]))

    again = run(until=until)
    again.start(on=Simulated(2), resume=first.directory, on_row=hear)
    assert said[0].endswith(says)


@pytest.mark.parametrize("until", [Rounds(20), Rounds(40)], ids=["complete", "longer"])
@pytest.mark.parametrize("lost", ["all", "newest"])
@pytest.mark.parametrize("algorithm", [Gossip(), EpidemicLearning()], ids=["gossip", "epidemic"])
def test_a_run_whose_node_has_lost_its_end_is_not_resumed_from_an_older_one(
    algorithm: Gossip | EpidemicLearning, lost: str, until: Rounds, tmp_path: Path
) -> None:
    made = run(algorithm=algorithm, rounds=20)
    first, _, _ = simulate(made, Simulated(2, compute=0.0), tmp_path)
    left = (first.directory / "model.safetensors").read_bytes()
    saves = sorted((first.directory / "snapshots" / "worker-w3").iterdir())
    assert len(saves) > 1
    for file in saves if lost == "all" else saves[-1:]:
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(RunFailed, match="worker-w3: w3 had come to the end of the run"):
        replace(made, until=until).start(
            on=Simulated(2, compute=0.0), resume=first.directory
        )  # fmt: skip
    assert (first.directory / "model.safetensors").read_bytes() == left


# -- configuration -------------------------------------------------------------------------------


def test_a_configuration_says_all_of_it(tmp_path: Path) -> None:
    gossip = Gossip(send=Partitioned(10), tokens=Randomised(20, 10))
    made = run(gossip, sync=Period(17.2, transfer=17.2), until=Hours(6))
    file = tmp_path / "run.toml"
    file.write_text(made.to_toml())
    read = Run.from_toml(file)
    assert (read.algorithm, read.sync, read.hash) == (gossip, made.sync, made.hash)
    table, _ = override({}, ['algorithm.send="whole"', 'algorithm.tokens="proactive"'])
    assert table["algorithm"] == {"send": "whole", "tokens": "proactive"}
    short = Run.from_toml(file, ['algorithm.send="whole"', 'algorithm.tokens="proactive"'])
    assert short.algorithm == Gossip(tokens=Proactive())
    for setting, sentence in (
        ('algorithm.send="part"', "unknown kind `part`"),
        ("algorithm.merge={limit=3}", "no `kind`|needs `kind`|kind"),
        ("algorithm.tokens.capacity=0", "capacity"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            Run.from_toml(file, [setting])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"topology": Star(5)}, "Period is for nodes that talk to each other, and Star has a centre"),
        ({"sync": BSP()}, "act once a period, each by its own clock, and BSP says no period"),
        ({"sync": ASP()}, "use sync=Period"),
        ({"until": Versions(3)}, "Versions is no end"),
        ({"select": Sample(0.5)}, "remove `select`"),
        ({"record": True}, "`record` is for runs with a centre"),
        ({"parts": {"bias": "local", "*": "shared"}}, "remove `parts`"),
        ({"baselines": True}, "`baselines` is for runs with a centre"),
        ({"stays": (Stay("w9", leave=2),)}, "'w9', and none has such a name"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        run(**changed)


def test_other_algorithms_have_no_period() -> None:
    with pytest.raises(Misfit, match="FedAvg does not run under Period"):
        Run(
            Linear(), CompleteGraph(3), FedAvg(), local=LOCAL, until=Seconds(3), sync=Period(1.0),
        )  # fmt: skip


def test_what_a_program_is_told_of_each_line_is_json(tmp_path: Path) -> None:
    result, _, _ = simulate(run(rounds=10), Simulated(1, compute=0.0), tmp_path)
    line = (result.directory / "metrics.jsonl").read_text()
    assert json.loads(line)["round"] == 10
