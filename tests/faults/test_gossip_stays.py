"""Nodes that join a run by the clock late, or leave it early, whoever is killed on the way."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import actors
from actorfl import (
    ByAge,
    CompleteGraph,
    Cyclon,
    EpidemicLearning,
    Every,
    Generalised,
    Gossip,
    Newscast,
    Partitioned,
    Period,
    PushSum,
    Randomised,
    Result,
    RingGraph,
    Rounds,
    Run,
    RunFailed,
    Seconds,
    Stay,
    Supervision,
    UniformPeers,
)
from actorfl.algorithm import Algorithm
from actorfl.chaos.scenario import shortened
from actorfl.chaos.settings import Chaos
from actorfl.errors import Misfit
from actorfl.execute import running
from actorfl.gossip.letters import Here
from actorfl.gossiper import Gossiper
from actorfl.peersampling.actor import PeerSampler
from actorfl.peersampling.topologies import Sampled
from actorfl.peersampling.words import Answer, Exchange, Gone
from actorfl.simulate import playing
from actorfl.topology import Topology
from actorfl.watcher import Watcher
from actors import Drop, Kill, Message, Processes
from tests.faults.runs import rows
from tests.faults.staying import (
    JOIN,
    LEAVE,
    NEAR,
    NODES,
    PERIOD,
    STAYS,
    check,
    check_merges,
    listening,
    models,
    on,
    three,
)
from tests.faults.test_gossip import WHOLE, Broken, run, simulate

pytestmark = pytest.mark.timeout(120)

TOPOLOGIES = pytest.mark.parametrize(
    "topology",
    [
        CompleteGraph(3), RingGraph(3), UniformPeers(3, view=2), Newscast(3, view=2),
        Cyclon(3, view=2, shuffle=2),
    ],
    ids=lambda each: type(each).__name__,
)  # fmt: skip


# -- who is there --------------------------------------------------------------------------------


@TOPOLOGIES
@pytest.mark.parametrize("exchange", ["push", "push-pull", "pull"])
def test_three_nodes_of_which_one_joins_and_one_leaves(
    topology: Topology, exchange: Any, tmp_path: Path
) -> None:
    with listening([]) as ear:
        made = three(Gossip(exchange=exchange), topology=topology)
        result, _, said = simulate(made, on(), tmp_path)
    check(ear)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == NODES
    each = 2 if exchange == "push-pull" else 1
    found = [row["messages"] for row in lines]
    # Nobody is asked before the gatherer has said that the run begins, nor heard of by a sampler.
    assert sum(found) == pytest.approx(sum(NODES) * each, abs=2 * each)
    assert not [sentence for sentence in said if "no peer" in sentence]
    assert bool(ear.views) == isinstance(topology, Sampled)
    assert ear.merged
    # It begins with the initial model, and has caught up.
    first = min(one.time for one in ear.told if one.name == "w1" and one.age)
    assert first > JOIN
    assert [one.age for one in ear.told if one.name == "w1" and one.time < JOIN] in (
        [0.0],
        [0.0] * 2,
    )
    assert lines[-1]["accuracy_worst"] > 0.85
    ages = {one.name: one.age for one in ear.told if one.final}
    assert 0.8 * ages["w0"] <= ages["w1"]
    # Its last word is of the end of its stay, and its model stays as it was.
    left = ear.finals("w2")
    assert {one.round for one in left} == {8}
    assert left[0].time == pytest.approx(LEAVE, abs=NEAR)
    assert left[0].metrics
    # The model of who has left is there, but counts for nothing.
    kept = models(result)
    assert set(kept) == {"w0", "w1", "w2"}
    mean = load_file(result.directory / "model.safetensors")
    joined = np.concatenate([mean[name].ravel() for name in sorted(mean)])
    np.testing.assert_allclose(joined, (kept["w0"] + kept["w1"]) / 2, rtol=1e-6)
    assert result.accuracy == lines[-1]["accuracy"]
    assert result.rounds == 12
    assert not result.unpromised


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When each line is written, in seconds since the run began."""
    found: list[float] = []
    write = Watcher._write

    async def hear(gatherer: Watcher, at: int) -> None:
        assert gatherer._began is not None
        found.append(gatherer.clock.now() - gatherer._began)
        await write(gatherer, at)

    monkeypatch.setattr(Watcher, "_write", hear)
    return found


def test_each_node_sends_once_in_each_period_of_its_stay(
    written: list[float], tmp_path: Path
) -> None:
    result, statistics, _ = simulate(three(), on(), tmp_path)
    # No line waits for one that is not there.
    assert written == pytest.approx([PERIOD * (1 + k) for k in range(12)], abs=NEAR)
    lines = rows(result.directory)
    assert [row["messages"] for row in lines] == NODES
    assert [row["merged"] for row in lines] == NODES
    assert result.bytes == sum(NODES) * WHOLE
    assert statistics.seconds < 125


@pytest.mark.parametrize(
    "gossip",
    [
        Gossip(send=Partitioned(2)), Gossip(tokens=Randomised(2, 1)), Gossip(merge=ByAge(limit=90)),
        Gossip(send=Partitioned(2), tokens=Generalised(2, 1)),
    ],
    ids=["parts", "tokens", "limit", "parts and tokens"],
)  # fmt: skip
def test_parts_and_tokens_are_those_of_a_stay(gossip: Gossip, tmp_path: Path) -> None:
    with listening([]) as ear:
        result, _, _ = simulate(three(gossip), on(), tmp_path)
    check(ear)
    assert [row["nodes"] for row in rows(result.directory)] == NODES
    pushes = Counter(said.sender for said in ear.peers)
    assert pushes["w1"] <= 8 + 4
    assert pushes["w2"] <= 8 + 4


def test_epidemic_learning_by_the_clock_has_nodes_that_join_and_leave(tmp_path: Path) -> None:
    with listening([]) as ear:
        result, _, _ = simulate(three(EpidemicLearning(2)), on(), tmp_path)
    check(ear)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == NODES
    # Each sends to all others that are there.
    assert [row["messages"] for row in lines] == [n * (n - 1) for n in NODES]
    trained = {one.name: one.age for one in ear.told if one.final}
    assert trained == {"w0": 12 * 20, "w1": 8 * 20, "w2": 8 * 20}
    assert {*models(result)} == {"w0", "w1", "w2"}


def test_who_is_under_way_to_a_node_when_it_leaves_or_from_it_is_lost(tmp_path: Path) -> None:
    slow = three(sync=Period(PERIOD, transfer=7.0, save=2))
    with listening([]) as ear:
        result, _, _ = simulate(slow, on(), tmp_path)
    check(ear)
    sent = sum(row["messages"] for row in rows(result.directory))
    assert sent < sum(NODES)
    assert sent == sum(row["merged"] for row in rows(result.directory))


def test_who_leaves_between_two_lines_is_in_the_one_before_with_what_it_was_then(
    tmp_path: Path,
) -> None:
    made = three(evaluate=Every(5), stays=(Stay("w1", join=4), Stay("w2", leave=7)), rounds=15)
    with listening([]) as ear:
        result, _, _ = simulate(made, on(), tmp_path)
    check(ear, leave=70.0)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == [3, 2, 2]
    assert [row["round"] for row in lines] == [5, 10, 15]
    (left,) = {one.round for one in ear.finals("w2")}
    assert left == 1


def test_a_node_that_is_alone_until_another_joins_trains_by_itself(tmp_path: Path) -> None:
    two = three(
        topology=CompleteGraph(2), stays=(Stay("w1", join=5, leave=8),), evaluate=Every(4)
    )  # fmt: skip
    result, _, said = simulate(two, on(n=2), tmp_path)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == [1, 2, 1]
    assert lines[0]["age"] == 4 * 20
    assert lines[0]["messages"] == 0
    assert lines[-1]["accuracy"] > 0.85
    assert not [sentence for sentence in said if "no peer" in sentence]


@pytest.mark.parametrize(
    "topology",
    [UniformPeers(12, view=4), Newscast(12, view=4), Cyclon(12, view=4, shuffle=2)],
    ids=["uniform", "newscast", "cyclon"],
)
def test_most_nodes_of_a_network_of_samplers_are_replaced_by_others(
    topology: Topology, tmp_path: Path
) -> None:
    stays = (Stay("w[0-4]", leave=12), Stay("w[5-9]", join=8))
    made = run(topology=topology, stays=stays, rounds=30)
    with listening([]) as ear:
        result, _, said = simulate(made, on(Kill("p1", 150.0, 20.0), until=290.0, n=4), tmp_path)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == [12, 7, 7]
    assert lines[-1]["accuracy_worst"] > 0.85
    for name, time, names in ear.views:
        late = {"w5", "w6", "w7", "w8", "w9"}
        assert not late & {name, *names} or time > 80 - NEAR
    for each in ear.peers:
        if each.to in {f"w{k}" for k in range(5)} and not isinstance(each.message, Here):
            assert each.time < 120 + NEAR
    # Whoever comes back finds somebody that is there.
    assert not [sentence for sentence in said if "no peer" in sentence]
    knew = {name: names for name, _, names in ear.views}
    assert all(knew[f"w{k}"] for k in range(5, 12))


# -- who dies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "topology",
    [CompleteGraph(3), UniformPeers(3, view=2), Newscast(3, view=2)],
    ids=["graph", "uniform", "newscast"],
)
@pytest.mark.parametrize(
    "kills",
    [
        (Kill("p1", 15.0, 10.0),),
        (Kill("p1", 33.0, 15.0),),
        (Kill("p1", 73.0, 4.0),),
        (Kill("p2", 43.0, 12.0),),
        (Kill("p2", 73.0, 15.0),),
        (Kill("p2", 93.0, 4.0),),
        (Kill("p1", 33.0, 15.0), Kill("p2", 85.0, 3.0), Kill("p2", 95.0, 3.0)),
        (Kill("gatherer", 85.0, 12.0),),
        (Kill("p2", 73.0, 15.0), Kill("gatherer", 75.0, 8.0)),
    ],
    ids=[
        "before joining", "while joining", "after joining", "before leaving", "while leaving",
        "after leaving", "both", "gatherer", "gatherer too",
    ],
)  # fmt: skip
def test_who_is_restarted_is_as_silent_as_before(
    kills: tuple[Kill, ...], topology: Topology, tmp_path: Path
) -> None:
    with listening([]) as ear:
        result, statistics, _ = simulate(three(topology=topology), on(*kills), tmp_path)
    assert statistics.killed == len(kills)
    check(ear)
    assert result.rounds == 12
    lines = rows(result.directory)
    assert [row["round"] for row in lines][-1] == 12
    for row in lines:
        assert row["nodes"] <= NODES[row["round"] - 1]
    assert lines[-1]["nodes"] == 2
    assert lines[-1]["accuracy_worst"] > 0.8
    assert {*models(result)} == {"w0", "w1", "w2"}
    assert statistics.seconds < 130


@pytest.mark.parametrize(
    "kill",
    [Kill("p1", 33.0, 15.0), Kill("p2", 43.0, 12.0), Kill("p2", 73.0, 15.0), Kill("p2", 93.0, 4.0)],
    ids=["while joining", "before leaving", "while leaving", "after leaving"],
)
def test_the_same_of_epidemic_learning(kill: Kill, tmp_path: Path) -> None:
    with listening([]) as ear:
        result, _, _ = simulate(three(EpidemicLearning(2)), on(kill), tmp_path)
    check(ear)
    assert rows(result.directory)[-1]["nodes"] == 2
    assert {*models(result)} == {"w0", "w1", "w2"}


@pytest.mark.parametrize(
    "topology", [CompleteGraph(3), Newscast(3, view=2)], ids=["graph", "newscast"]
)
@pytest.mark.parametrize("exchange", ["push", "push-pull", "pull"])
def test_who_can_ask_nobody_whether_it_has_left_is_told_by_the_first_that_it_talks_to(
    exchange: Any, topology: Topology, tmp_path: Path
) -> None:
    # The gatherer has been away since, too, and nobody tells it anything before the end.
    kills = Kill("p2", 63.0, 20.0), Kill("gatherer", 75.0, 7.0)
    made = three(Gossip(exchange=exchange), topology=topology, evaluate=Every(12))
    with listening([]) as ear:
        result, _, _ = simulate(made, on(*kills), tmp_path)
    check_merges(ear)
    late = [said for said in ear.peers if said.sender == "w2" and said.time > LEAVE]
    assert len(late) <= 1
    assert [row["nodes"] for row in rows(result.directory)] == [2]
    assert {*models(result)} == {"w0", "w1", "w2"}


def test_a_node_that_is_restarted_alone_still_has_its_sampler_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    train = Gossiper._train

    def fails_once(node: Gossiper) -> bool:
        if node._time > 60.0 and node._name not in failed:
            failed.append(node._name)
            raise RuntimeError("once")
        return train(node)

    monkeypatch.setattr(Gossiper, "_train", fails_once)
    left: list[tuple[str, str, float]] = []
    say = PeerSampler._say

    def hear(sampler: PeerSampler, to: Any, message: Message[Any]) -> None:
        if isinstance(message, Exchange | Answer | Gone):
            me, now = sampler._sampler.me.name, asyncio.get_running_loop().time()
            left.append((type(message).__name__, me, now))
        say(sampler, to, message)

    monkeypatch.setattr(PeerSampler, "_say", hear)
    with listening([]) as ear:
        result, _, _ = simulate(three(topology=Newscast(3, view=2)), on(), tmp_path)
    assert sorted(failed) == ["w0", "w1", "w2"]
    check(ear)
    assert [row["nodes"] for row in rows(result.directory)] == NODES
    gone = [time for kind, name, time in left if (kind, name) == ("Gone", "w2")]
    assert gone
    assert all(time <= gone[0] for kind, name, time in left if name == "w2" and kind != "Gone")


def test_who_comes_back_before_it_leaves_goes_on_until_then(tmp_path: Path) -> None:
    with listening([]) as ear:
        simulate(three(), on(Kill("p2", 43.0, 5.0)), tmp_path)
    times = ear.times("w2")
    assert [time for time in times if 50.0 < time < LEAVE]
    assert not [time for time in times if 43.0 + NEAR < time < 48.0]
    assert ear.finals("w2")[0].age > 100


def test_who_is_away_when_it_was_to_leave_holds_up_nobody_for_longer_than_any_other(
    tmp_path: Path,
) -> None:
    kill = Kill("p2", 73.0, 90_000.0)
    result, statistics, _ = simulate(three(), on(kill, until=100_000.0), tmp_path)
    assert {*models(result)} == {"w0", "w1"}
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == [*NODES[:7], 2, *NODES[8:]]
    assert statistics.seconds < 160


def test_a_line_with_the_last_word_of_one_that_leaves_does_not_wait_for_the_end_of_others(
    written: list[float], tmp_path: Path
) -> None:
    result, _, _ = simulate(three(), on(Kill("p1", 73.0, 30.0)), tmp_path)
    assert [row["nodes"] for row in rows(result.directory)] == [*NODES[:7], 2, 1, 1, 2, 2]
    assert written[7] == pytest.approx(LEAVE + PERIOD / 2, abs=NEAR)


def test_no_loss_has_a_silent_node_heard(tmp_path: Path) -> None:
    with listening([]) as ear:
        result, statistics, _ = simulate(
            three(topology=Newscast(3, view=2)), on(Drop(0.3), until=118.0), tmp_path
        )
    assert statistics.faults["drop"] > 10
    check(ear)
    assert all(row["nodes"] <= n for row, n in zip(rows(result.directory), NODES, strict=True))
    assert {*models(result)} == {"w0", "w1", "w2"}


def test_a_run_goes_on_without_one_that_fails_too_often_and_ends_where_only_such_are_left(
    tmp_path: Path,
) -> None:
    failing: dict[str, Any] = {"task": Broken(broken=(0,)), "supervision": Supervision()}
    stays = (Stay("w1", join=4), Stay("w2", leave=8))
    result, _, _ = simulate(three(stays=stays, **failing), on(), tmp_path)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == [n - 1 for n in NODES]
    assert lines[-1]["left"] == ["w0"]
    failing["task"] = Broken(broken=(0, 1))
    with pytest.raises(RunFailed, match="nobody is left"):
        simulate(three(stays=(Stay("w2", leave=1),), **failing), on(), tmp_path)


# -- resuming ------------------------------------------------------------------------------------


async def stopped(made: Run, seconds: float, out: Path) -> Path:
    """A run that was stopped after so long."""
    async with running(made, on(), out=out) as under_way:
        await asyncio.sleep(seconds)
        return under_way.directory.path


@pytest.mark.parametrize("algorithm", [Gossip(), EpidemicLearning(2)], ids=["gossip", "epidemic"])
@pytest.mark.parametrize("at", [25.0, 62.0, 97.0], ids=["before both", "between", "after both"])
def test_a_resumed_run_keeps_who_is_to_join_and_who_has_left(
    at: float, algorithm: Algorithm, tmp_path: Path
) -> None:
    made = three(algorithm, topology=CompleteGraph(3))
    directory = actors.run(stopped(made, at, tmp_path), on=on())
    before = rows(directory)
    assert [row["nodes"] for row in before] == NODES[: len(before)]

    async def again() -> Result:
        async with running(made, on(), resume=directory) as under_way:
            return await under_way.result()

    with listening([]) as ear:
        result = actors.run(again(), on=on())
    check(ear)
    lines = rows(directory)
    assert lines[: len(before)] == before
    assert [row["round"] for row in lines] == list(range(1, 13))
    assert [row["nodes"] for row in lines][-4:] == NODES[-4:]
    if at > LEAVE:
        assert not ear.times("w2")
    assert {*models(result)} == {"w0", "w1", "w2"}


def test_a_run_that_goes_on_past_the_end_of_a_stay_leaves_it_at_that(tmp_path: Path) -> None:
    made = three(rounds=8)
    first, _, _ = simulate(made, on(), tmp_path)
    assert [row["nodes"] for row in rows(first.directory)] == NODES[:8]
    longer = dataclasses.replace(made, until=Rounds(12))

    async def again() -> Result:
        async with running(longer, on(), resume=first.directory) as under_way:
            return await under_way.result()

    with listening([]) as ear:
        result = actors.run(again(), on=on())
    check(ear)
    assert not ear.times("w2")
    assert [row["nodes"] for row in rows(result.directory)] == NODES


# -- elsewhere -----------------------------------------------------------------------------------


def test_the_same_on_processes(tmp_path: Path) -> None:
    stays = (Stay("w1", join=20), Stay("w2", leave=20))
    real = three(stays=stays, rounds=40, evaluate=Every(20), sync=Period(0.05, save=10))
    result = real.start(on=Processes(2), out=tmp_path)
    lines = rows(result.directory)
    assert [row["nodes"] for row in lines] == [2, 2]
    assert lines[0]["accuracy"] > 0.8
    assert {*models(result)} == {"w0", "w1", "w2"}


def test_a_configuration_says_it_and_a_simulation_of_many_nodes_plays_it(tmp_path: Path) -> None:
    made = three(topology=Newscast(3, view=2))
    file = tmp_path / "run.toml"
    text = made.to_toml()
    assert "stays" in text
    file.write_text(text)
    read, settings = playing.read(file)
    assert read.stays == STAYS
    assert read.hash == made.hash
    outcome = playing.simulate(read, settings, out=tmp_path)
    assert [row["nodes"] for row in rows(outcome.result.directory)] == NODES


def test_chaos_says_that_it_judges_aggregators() -> None:
    with pytest.raises(Misfit, match="judges what an aggregator does, and Gossip has none"):
        shortened(three(), Chaos())


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stays": (Stay("x", join=1),)}, "the workers 'x', and none has such a name"),
        (
            {"stays": (Stay("w1", join=12),)},
            "join in clock 12, and by `until` the last clock is 11",
        ),
        (
            {"stays": (Stay("w1", join=3),), "until": Seconds(30)},
            "join in clock 3, and by `until` the last clock is 2",
        ),
        ({"stays": (Stay("*", join=1),)}, "no worker is of the run in clock 0"),
        ({"stays": (Stay("*", leave=4),)}, "no worker is of the run in clock 4"),
        (
            {"algorithm": PushSum()},
            "PushSum count on their neighbours to the end; remove `stays`, or use Gossip or Epid",
        ),
    ],
)
def test_stays_that_do_not_fit_a_run_by_the_clock_are_refused(
    changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Misfit, match=sentence):
        three(**changed)


def test_a_stay_that_begins_before_the_end_is_taken() -> None:
    assert three(stays=(Stay("w1", join=3),), until=Seconds(30.5)).stays
    assert three(stays=(Stay("w1", leave=500),)).stays
    assert three(supervision=Supervision(exhausted="leave")).stays
