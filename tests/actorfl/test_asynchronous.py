"""FedAsync and FedBuff: how a model that has moved on takes up what was made from an earlier one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from actorfl import FedAsync, FedAvg, FedBuff
from actorfl.algorithm import Algorithm
from actorfl.errors import WrongType, WrongValue
from tests.actorfl.clocks import NORMED, Client, begun, merged, played, spread


@pytest.mark.parametrize(
    ("algorithm", "factors"),
    [
        (FedAsync(staleness="constant"), [1, 1, 1, 1]),
        (FedAsync(staleness="polynomial", a=0.5), [1, 2**-0.5, 0.5, 0.1]),
        (FedAsync(staleness="polynomial", a=2), [1, 0.25, 0.0625, 1e-4]),
        (FedAsync(staleness="hinge", a=0.5, b=1), [1, 1, 1 / 2, 1 / 50]),
        (FedAsync(staleness="hinge", a=10, b=2.5), [1, 1, 1 / 6, 1 / 966]),
    ],
    ids=str,
)
def test_fedasync_weighs_a_stale_model_by_the_function_it_is_told(
    algorithm: FedAsync, factors: list[float]
) -> None:
    assert [algorithm.factor(d) for d in (0, 1, 3, 99)] == pytest.approx(factors)
    for staleness, factor in zip((0, 1, 3, 99), factors, strict=True):
        state = merged(
            algorithm, begun(algorithm, 1.0), [np.array([3.0], np.float32)], staleness=[staleness]
        )
        assert state.weights[0] == pytest.approx(1 + 2 * 0.6 * factor)


def test_fedasync_mixes_the_models_of_a_buffer_in_one_after_the_other() -> None:
    algorithm = FedAsync(alpha=0.5, staleness="constant")
    results = [np.array([value], np.float32) for value in (1.0, 3.0)]
    state = merged(algorithm, begun(algorithm, 0.0), results)
    assert state.weights.tolist() == [0.5 * 0.5 + 0.5 * 3]


def test_fedasync_that_takes_all_of_one_worker_is_local_sgd_bit_for_bit() -> None:
    algorithm = FedAsync(alpha=1, staleness="constant")
    assert (
        played(algorithm, spread()[:1]).weights.tobytes()
        == played(FedAvg(), spread()[:1]).weights.tobytes()
    )
    minus = np.array([-0.0], np.float32)
    assert np.signbit(merged(algorithm, begun(algorithm, 1.0), [minus]).weights[0])


def test_fedasync_mixes_running_statistics_and_never_beyond_what_came() -> None:
    algorithm = FedAsync(alpha=0.5, staleness="constant")
    state = algorithm.begin(np.array([0.0, 1.0], np.float32))
    state = merged(algorithm, state, [np.array([1.0, 0.5], np.float32)], layout=NORMED)
    assert state.weights.tolist() == [0.5, 0.75]


def test_fedbuff_with_an_update_of_each_worker_is_fedavg_of_equal_weights() -> None:
    def equal() -> list[Client]:
        return [replace(client, examples=5) for client in spread()]

    expected = played(FedAvg(), equal()).weights
    np.testing.assert_allclose(played(FedBuff(), equal()).weights, expected, rtol=1e-6)
    np.testing.assert_allclose(played(FedBuff(), spread()).weights, expected, rtol=1e-6)


def test_fedbuff_divides_each_update_by_the_root_of_its_staleness_and_one() -> None:
    algorithm = FedBuff(lr=0.5)
    results = [np.array([value], np.float32) for value in (2.0, 5.0, 9.0)]
    state = merged(algorithm, begun(algorithm, 1.0), results, staleness=[0, 3, 8])
    assert state.weights[0] == pytest.approx(1 + 0.5 * (1 / 1 + 4 / 2 + 8 / 3) / 3)


@pytest.mark.parametrize(
    ("kind", "values", "error", "sentence"),
    [
        (FedAsync, {"alpha": 0}, WrongValue, "`alpha` of FedAsync must be above 0 and at most 1"),
        (FedAsync, {"alpha": 1.5}, WrongValue, "`alpha` of FedAsync"),
        (FedAsync, {"a": -1}, WrongValue, "`a` of FedAsync"),
        (FedAsync, {"b": math.inf}, WrongValue, "`b` of FedAsync"),
        (FedAsync, {"staleness": "poly"}, WrongValue, '"polynomial" or "hinge", got'),
        (FedAsync, {"alpha": "x"}, WrongType, "`alpha` of FedAsync"),
        (FedBuff, {"lr": 0}, WrongValue, "`lr` of FedBuff"),
    ],
)
def test_the_asynchronous_ones_refuse_what_is_out_of_range(
    kind: type[Algorithm], values: dict[str, object], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        kind(**values)
