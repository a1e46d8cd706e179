"""What a run is compared with: all data in one place, and each worker by itself."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import Dataset, TensorDataset
from typer.testing import CliRunner

from actorfl import (
    ASP,
    BSP,
    SGD,
    Algorithm,
    ConfigError,
    ExitCode,
    FedAvg,
    FedProx,
    Gradients,
    Inline,
    ParameterServer,
    PerExample,
    Quorum,
    Rounds,
    Run,
    Sample,
    Star,
    Stay,
    Task,
    TopK,
    Tree,
    Versions,
    Who,
    batches,
)
from actorfl.baselines import Baselines, budget, clocks_of, mean_of, rounds_of
from actorfl.cli import app
from actorfl.errors import Misfit
from actorfl.saying import closing_line, summary
from actors import Deployment, Simulated
from tests.faults.tasks import Blobs, Broken, Empty, Pooled
from tests.faults.test_simulated import simulate

EDGES = {"edge": BSP(rounds=2), "root": BSP()}


@dataclass(frozen=True)
class Apart(Task):
    """The two workers pull a model that begins in the middle to either side."""

    def model(self) -> nn.Module:
        model = nn.Linear(1, 1, bias=False)
        nn.init.zeros_(model.weight)
        return model

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return mse_loss(model(batch[0]), batch[1])

    def train(self, who: Who) -> TensorDataset:
        return TensorDataset(torch.ones(4, 1), torch.full((4, 1), 1.0 - 2.0 * who.index))

    def test(self) -> TensorDataset:
        return TensorDataset(torch.ones(4, 1), torch.zeros(4, 1))


class Squares(Dataset[int]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return index**2


def run(**changed: Any) -> Run:
    values: dict[str, Any] = {
        "task": Blobs(), "topology": Star(3), "algorithm": FedAvg(), "until": Rounds(2),
        "local": SGD(lr=0.1, batch=8), "baselines": True,
    }  # fmt: skip
    return Run(**{**values, **changed})


def compared(described: Run, out: Path, on: Deployment | None = None) -> Baselines:
    found = described.start(on or Simulated(1), out=out).baselines
    assert found is not None
    return found


sizes = st.lists(st.integers(1, 60), min_size=1, max_size=6)


@given(examples=sizes, epochs=st.integers(1, 4), batch=st.none() | st.integers(1, 20))
def test_one_place_goes_through_as_many_examples_as_all_workers(
    examples: list[int], epochs: int, batch: int | None
) -> None:
    local = SGD(lr=0.1, batch=batch, epochs=epochs)
    seen = budget(local, examples).examples_of(sum(examples))
    assert seen == sum(local.examples_of(one) for one in examples)


@given(examples=sizes, steps=st.integers(1, 30), batch=st.none() | st.integers(1, 20))
def test_where_steps_are_counted_it_does_so_to_the_nearest_batch(
    examples: list[int], steps: int, batch: int | None
) -> None:
    local = SGD(lr=0.1, batch=batch, steps=steps)
    central = budget(local, examples)
    assert isinstance(central, SGD)
    assert central.steps is not None
    seen = central.steps * central.batch_of(sum(examples))
    asked = sum(local.examples_of(one) for one in examples)
    assert abs(seen - asked) <= central.batch_of(sum(examples)) / 2 or central.steps == 1


def test_one_place_alone_is_the_run_of_one_worker(tmp_path: Path) -> None:
    alone = run(topology=Star(1), task=Pooled(), validate=0.2)
    result = alone.start(Simulated(1), out=tmp_path)
    assert result.baselines is not None
    # Its one worker is by itself: the same steps from the same draws, and the same metrics.
    apart = result.baselines.local_only
    assert set(apart) == {"loss"}
    assert apart == {name: result.metrics[name] for name in apart}


@pytest.mark.parametrize("on", [Inline(), Simulated(2)], ids=["inline", "simulated"])
def test_the_baselines_are_the_same_wherever_the_run_is_carried_out(
    on: Deployment, tmp_path: Path
) -> None:
    found = compared(run(), tmp_path, on)
    assert found == compared(run(), tmp_path)
    assert set(found.centralised) == set(found.local_only) == {"accuracy", "loss"}
    assert found.centralised != found.local_only


def test_they_take_no_virtual_time_and_send_nothing(tmp_path: Path) -> None:
    described = [run(), replace(run(), baselines=False)]
    first, second = (
        simulate(each, Simulated(2, compute=PerExample(0.1)), tmp_path) for each in described
    )
    assert first[0].baselines is not None
    assert second[0].baselines is None
    # Their configurations differ by a byte, which travels: 8 ns.
    assert first[1].network.delivered == second[1].network.delivered
    assert first[1].seconds == pytest.approx(second[1].seconds, abs=1e-6)
    assert first[1].steps == second[1].steps


def test_whose_updates_were_all_refused_counts_as_without_data(tmp_path: Path) -> None:
    wrong = compared(run(algorithm=Broken(who="w0"), task=Empty(without=0)), tmp_path)
    assert wrong == compared(run(task=Empty(without=1)), tmp_path)
    assert None not in wrong.centralised.values()


def test_they_do_not_depend_on_the_algorithm(tmp_path: Path) -> None:
    assert compared(run(), tmp_path) == compared(run(algorithm=FedProx(mu=1.0)), tmp_path)


@pytest.mark.parametrize(
    "changed",
    [
        {"until": Rounds(6), "select": Sample(count=1)},
        {"until": Rounds(6), "stays": (Stay("w2", leave=2),)},
        {"until": Rounds(3), "sync": ASP()},
        {"until": Versions(8), "sync": ASP()},
        {"until": Rounds(5), "sync": Quorum(0.6, deadline=1)},
        {"until": Rounds(2), "topology": Tree(root=1, edge=3, worker=3), "sync": EDGES},
    ],
    ids=["select", "stays", "asp", "versions", "quorum", "tree"],
)
def test_the_budget_is_what_was_merged(changed: dict[str, Any], tmp_path: Path) -> None:
    result = run(**changed).start(Simulated(1), out=tmp_path)
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()
    merged = sum(json.loads(line)["examples"] for line in lines)
    inner = 2 if "topology" in changed else 1
    rounds = inner * merged / (30 + 40 + 50)
    near = [
        compared(run(until=Rounds(n)), tmp_path)
        for n in {math.floor(rounds), math.ceil(rounds)}
        if n
    ]
    assert result.baselines is not None
    if rounds.is_integer():
        assert near == [result.baselines]
        return
    # Between two whole numbers of rounds it is what neither of them gives.
    losses = [one.local_only["loss"] for one in (*near, result.baselines)]
    assert len(set(losses)) == len(losses)


def test_who_is_rarely_drawn_has_a_part_of_a_round(tmp_path: Path) -> None:
    drawn = run(
        until=Rounds(1), select=Sample(count=1), task=Empty(without=0), local=SGD(lr=0.1, batch=5)
    )
    # 10 of 30 examples each: two steps of five, and in one place six.
    few = run(until=Rounds(1), task=Empty(without=0), local=SGD(lr=0.1, batch=5, steps=2))
    assert compared(drawn, tmp_path) == compared(few, tmp_path)


def test_a_budget_counts_rounds_and_what_is_left_steps() -> None:
    star, tree = run(), run(topology=Tree(root=1, edge=3, worker=3), sync=EDGES)
    assert [rounds_of(star, merged, 120) for merged in (0, 60, 180)] == [0, 0.5, 1.5]
    assert rounds_of(tree, 3 * 120, 120) == 6


@given(rounds=st.floats(0, 40), examples=st.integers(1, 60), local=st.sampled_from([
    SGD(lr=0.1, batch=8), SGD(lr=0.1, batch=8, epochs=3), SGD(lr=0.1, steps=7), SGD(lr=0.1),
    Gradients(batch=8),
]))  # fmt: skip
def test_clocks_make_up_their_rounds_to_the_nearest_step(
    rounds: float, examples: int, local: SGD | Gradients
) -> None:
    whole, last = clocks_of(local, rounds, examples)
    each = local.steps_of(examples) if isinstance(local, SGD) else 1
    steps = whole * each + (0 if last is None else last.steps_of(examples))
    assert abs(steps - rounds * each) <= 0.5 or (steps == 1 and 0 < rounds * each < 1)
    assert last is None or 0 < last.steps_of(examples) < each


SERVER = ParameterServer(0.3, momentum=0.9, schedule="step", every=2)


@pytest.mark.parametrize("algorithm", [SERVER, ParameterServer(1.0, weight_decay=0.1)])
def test_alone_a_server_moves_as_it_does_with_one_worker(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    served = run(
        topology=Star(1), algorithm=algorithm, local=Gradients(batch=8), until=Rounds(5),
        compress=TopK(0.5),
    )  # fmt: skip
    whole = replace(served, compress=None).start(Simulated(1), out=tmp_path)
    found = served.start(Simulated(1), out=tmp_path)
    assert found.sha256 != whole.sha256
    assert found.baselines is not None
    assert found.baselines.local_only == whole.metrics
    assert whole.baselines == found.baselines


def test_one_place_takes_the_gradients_of_all_data(tmp_path: Path) -> None:
    # A full gradient a round, averaged over the workers, is one over the union of their data.
    served = run(algorithm=ParameterServer(0.3, momentum=0.5), local=Gradients(), until=Rounds(5))
    result = served.start(Simulated(1), out=tmp_path)
    assert result.baselines is not None
    centralised = result.baselines.centralised["loss"]
    assert centralised == pytest.approx(result.metrics["loss"], rel=1e-5)
    assert result.baselines.local_only["loss"] != pytest.approx(centralised, rel=1e-5)


def test_one_place_takes_as_large_a_batch_as_all_together() -> None:
    assert budget(Gradients(batch=8), [30, 5, 8]) == Gradients(batch=21)
    assert budget(Gradients(), [30, 5]) == Gradients(batch=35)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_gradients_that_lead_nowhere_have_no_metrics(tmp_path: Path) -> None:
    # Together the workers' gradients cancel; each by itself doubles its model in each round.
    served = run(
        task=Apart(), topology=Star(2), algorithm=ParameterServer(1e30), local=Gradients(),
        until=Rounds(3),
    )  # fmt: skip
    result = served.start(Simulated(1), out=tmp_path)
    assert result.metrics["loss"] == 0.0
    assert result.baselines == Baselines({"loss": 0.0}, {"loss": None})


def test_one_place_has_the_data_of_all_workers(tmp_path: Path) -> None:
    # A full gradient a round, averaged over the workers, is one over the union of their data.
    result = run(task=Pooled(), local=SGD(lr=0.5), validate=0.2).start(Simulated(1), out=tmp_path)
    assert result.baselines is not None
    centralised = result.baselines.centralised["loss"]
    assert centralised == pytest.approx(result.metrics["loss"], rel=1e-5)
    assert result.baselines.local_only["loss"] != pytest.approx(centralised, rel=1e-5)


def test_a_worker_without_data_does_not_count(tmp_path: Path) -> None:
    with_one_empty = compared(run(task=Empty(without=1)), tmp_path)
    assert None not in with_one_empty.local_only.values()
    assert compared(run(task=Empty(without=3)), tmp_path) == Baselines()


def test_the_mean_worker_has_the_mean_of_what_all_have() -> None:
    assert mean_of([{"a": 0.25, "b": 1.0}, {"a": 0.75, "b": None}]) == {"a": 0.5, "b": None}
    assert mean_of([{"a": 1.0}, {}]) == {"a": None}


def test_a_run_leaves_its_baselines_and_tells_of_them(tmp_path: Path) -> None:
    events: list[str] = []
    result = run().start(
        Simulated(1), out=tmp_path, on_row=lambda row: events.append(row.get("event", ""))
    )
    assert "the run is over; computing its baselines" in events
    assert result.baselines is not None
    written = json.loads((result.directory / "result.json").read_text())["baselines"]
    assert written["centralised"] == result.baselines.centralised
    assert written["local_only"] == result.baselines.local_only
    assert summary(result)["baselines"] == written
    told = f"centralised {written['centralised']['accuracy']:.4f}, local only "
    assert told in closing_line(result)
    shown = CliRunner().invoke(app, ["show", str(result.directory)])
    assert shown.output.splitlines()[-1].startswith(f"baselines: {told}")


@pytest.mark.parametrize("content", ["[]", "{", '{"baselines": 3}'])
def test_a_file_that_tells_of_no_end_is_refused_with_a_sentence(
    content: str, tmp_path: Path
) -> None:
    directory = run(baselines=False).start(Simulated(1), out=tmp_path).directory
    (directory / "result.json").write_text(content)
    shown = CliRunner().invoke(app, ["show", str(directory)])
    assert shown.exit_code == ExitCode.MISSING_FILE
    assert "it does not tell how a run ended" in shown.output


def test_a_run_that_asks_for_none_has_none(tmp_path: Path) -> None:
    result = run(baselines=False).start(Simulated(1), out=tmp_path)
    assert result.baselines is None
    assert "baselines" not in json.loads((result.directory / "result.json").read_text())
    assert "baselines" not in summary(result)


def test_baselines_are_no_part_of_what_is_learned() -> None:
    assert run().hash == run(baselines=False).hash


def test_baselines_of_what_is_not_measured_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Misfit, match="baselines are compared by what is measured"):
        run(task=Pooled()).start(out=tmp_path)
    assert not list(tmp_path.iterdir())


ARRAYS = (torch.arange(3), torch.zeros(3, 2))


def test_data_put_together_are_in_order() -> None:
    columns = batches.gather(batches.joined([ARRAYS, ARRAYS]), range(6))
    assert columns[0].tolist() == [0, 1, 2, 0, 1, 2]
    assert columns[1].shape == (6, 2)
    assert batches.size_of(batches.joined([TensorDataset(*ARRAYS), ARRAYS])) == 6


def test_torch_datasets_are_put_together() -> None:
    both = batches.joined([Squares(), Squares()])
    assert batches.gather(both, [1, 3])[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    "other", [Squares(), (torch.arange(3),), (torch.arange(3), torch.zeros(3))]
)
def test_data_that_do_not_go_together_are_refused(other: Any) -> None:
    with pytest.raises(ConfigError, match="cannot be put together"):
        batches.joined([ARRAYS, other])
