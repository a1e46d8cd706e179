"""Bad updates are refused by name and reason, and the round goes on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from actorfl import ASP, BSP, SGD, FedAvg, Rounds, RunFailed, Star, Supervision, Sync
from actorfl.errors import Misfit, WrongValue
from actorfl.saying import closing_line
from actors import Processes
from tests.faults.runs import carry_out, events, rows, small
from tests.faults.tasks import (
    Broken,
    Counting,
    Empty,
    Endless,
    Exiting,
    Pooled,
    Raising,
    Speechless,
)

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize(
    ("how", "reason"),
    [("nan", "non-finite"), ("shape", "shape"), ("key", "keys"), ("weight", "weight")],
)
async def test_a_bad_update_is_refused_by_name_and_reason_and_the_round_goes_on(
    how: str, reason: str, tmp_path: Path
) -> None:
    result = await carry_out(small(algorithm=Broken(how=how), until=Rounds(2)), tmp_path)
    for row in rows(result.directory):
        assert row["refused"] == {"w1": reason}
        assert row["updates"] == 3
    said = [e["fields"]["sentence"] for e in events(result.directory) if e.get("kind") == "refused"]
    assert len(said) == 2
    assert all("w1" in sentence and reason in sentence for sentence in said)


async def test_an_update_that_no_aggregator_can_read_ends_the_run_in_a_sentence(
    tmp_path: Path,
) -> None:
    few = Supervision(intensity=1, backoff=0.01)
    run = small(algorithm=Broken(how="fraction"), until=Rounds(2), supervision=few)
    with pytest.raises(RunFailed, match=r"w1 failed: TermsError: the weight of a Sum .* not 0\.5"):
        await carry_out(run, tmp_path)


async def test_a_worker_without_examples_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    result = await carry_out(small(task=Empty(without=1), until=Rounds(2)), tmp_path)
    assert [row["refused"] for row in rows(result.directory)] == [{"w0": "no-examples"}] * 2


async def test_when_nobody_has_examples_the_old_model_stays_with_a_warning(tmp_path: Path) -> None:
    one = await carry_out(small(task=Empty(without=4), until=Rounds(1)), tmp_path)
    two = await carry_out(small(task=Empty(without=4), until=Rounds(2)), tmp_path)
    assert one.sha256 == two.sha256
    assert not two.merged
    assert "no update was merged in any round: the model is the initial one" in closing_line(two)
    for row in rows(two.directory):
        assert "old model stays" in row["warning"]
        assert row["updates"] == 0


@pytest.mark.parametrize("sync", [BSP(), ASP()])
async def test_more_examples_than_can_be_weighed_end_the_run_in_a_sentence(
    sync: Sync, tmp_path: Path
) -> None:
    one, all_workers = 1 << 33, 1 << 31
    with pytest.raises(WrongValue, match="the examples of worker w0 must be at most 4294967296"):
        await carry_out(small(task=Endless(one), topology=Star(1), sync=sync), tmp_path)
    if sync == BSP():  # where each update moves the model, all need not fit together
        with pytest.raises(WrongValue, match="the examples of the workers must be at most"):
            await carry_out(small(task=Endless(all_workers), sync=sync), tmp_path)


async def test_a_learning_rate_too_high_is_told_once_a_refusal_in_rounds_and_what_to_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[Mapping[str, Any]] = []
    # One step of a linear model is as large as the rate, and finite.
    local = SGD(lr=1e30, batch=1_000, epochs=1)
    run = small(task=Pooled(), local=local, topology=Star(2), until=Rounds(1))
    result = await carry_out(run, tmp_path, on_row=said.append)
    assert not result.merged
    told = [line["event"] for line in said if "event" in line]
    assert len(told) == 2
    for sentence in told:
        assert re.fullmatch(
            r"the update of w[01] was refused \(overflow\): term 'model': part '.*' holds "
            r"\S+e\+\d\d, more than the \S+ that fit; training diverged, lower the learning rate",
            sentence,
        )
    assert "round 1 closed without any update (2 workers" in said[-1]["warning"]
    # What is told is not written to standard error besides.
    assert not [record for record in caplog.records if record.name.startswith("actor")]


async def test_an_int64_counter_of_batchnorm_stays_int64(tmp_path: Path) -> None:
    result = await carry_out(small(task=Counting(), until=Rounds(2)), tmp_path)
    tensors = load_file(result.directory / "model.safetensors")
    counter = tensors["1.num_batches_tracked"]
    assert counter.dtype == np.int64
    # By maximum: the largest worker has 60 examples, 8 batches of 8 at most, in each of 2 rounds.
    assert counter == 2 * 8


@pytest.mark.parametrize("on", [None, Processes(2)], ids=str)
async def test_a_worker_that_fails_every_time_ends_the_run_with_one_sentence(
    on: Processes | None, tmp_path: Path
) -> None:
    run = small(
        task=Raising(), topology=Star(3), supervision=Supervision(intensity=2, backoff=0.01)
    )
    with pytest.raises(RunFailed) as caught:
        await carry_out(run, tmp_path, on)
    sentence = str(caught.value)
    assert re.fullmatch(
        r"[^\n]*w1 failed: ZeroDivisionError: nothing[^\n]* 2 times; see [^\n]*log\.txt", sentence
    )
    assert caught.value.exit_code == 30
    log = (tmp_path / "small-1" / "log.txt").read_text()
    assert "raise ZeroDivisionError" in log
    assert "Traceback" in log


@pytest.mark.parametrize("on", [None, Processes(2)], ids=str)
async def test_what_only_a_worker_can_see_to_be_wrong_ends_the_run_at_once_with_its_own_code(
    on: Processes | None, tmp_path: Path
) -> None:
    said: list[Mapping[str, Any]] = []
    with pytest.raises(Misfit, match=r"^201 workers cannot share 200 examples") as caught:
        await carry_out(small(task=Pooled(), topology=Star(201)), tmp_path, on, on_row=said.append)
    assert caught.value.exit_code == 15
    assert not [e for e in events(tmp_path / "small-1") if e["event"] == "actor_restarted"]
    assert not [line for line in said if "examples" in line["event"]]


async def test_the_order_of_arrival_does_not_change_the_bits(tmp_path: Path) -> None:
    """Rosters in another order train, arrive and are merged in another order."""
    names = ("w0", "w1", "w2", "w3")
    results = set()
    for on in (None, Processes(1), Processes(3)):
        result = await carry_out(
            small(topology=Star(4, named=names), until=Rounds(2)), tmp_path, on
        )
        results.add(result.sha256)
    assert len(results) == 1


def test_fedavg_is_what_a_plain_run_uses() -> None:
    assert small().algorithm == FedAvg()


async def test_a_process_that_exits_by_itself_uses_up_the_intensity(tmp_path: Path) -> None:
    run = small(
        task=Exiting(), topology=Star(1), supervision=Supervision(intensity=2, backoff=0.01)
    )
    with pytest.raises(RunFailed, match=r"w0 failed: NodeDied: exit code 7; .* 2 times"):
        await carry_out(run, tmp_path, Processes(1))


async def test_an_exception_without_words_still_names_the_worker(tmp_path: Path) -> None:
    run = small(
        task=Speechless(), topology=Star(1), supervision=Supervision(intensity=1, backoff=0.01)
    )
    with pytest.raises(RunFailed, match=r"w0 failed: UnspeakableError: <its str\(\) raised>"):
        await carry_out(run, tmp_path)
