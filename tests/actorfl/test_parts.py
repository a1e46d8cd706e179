"""Which tensors are shared: patterns, what is refused, and the two pieces of a vector."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from actorfl import Ditto, FedAvg, FedBN, FedRep, Median, Parts, Run
from actorfl.errors import ConfigError, Misfit, UnknownKey, WrongType, WrongValue
from actorfl.every import Every, evaluated_at
from actorfl.model import described, extract
from actorfl.parts import TensorInfo
from actorfl.split import Split, split_of
from tests.actorfl.configs import made_in, refused, run_of


class Net(nn.Module):
    """A body with every kind of normalisation, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.LayerNorm(4))
        self.groups = nn.GroupNorm(2, 4)
        self.head = nn.Linear(4, 2)


class Tied(nn.Module):
    """One matrix under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5)
        self.head.weight = self.embed.weight


NET = described(Net())
TIED = described(Tied())


def split(parts: dict[str, Any], module: nn.Module | None = None) -> Split:
    module = module or Net()
    return split_of(extract(module).layout, described(module), Parts(parts), FedAvg())


# -- patterns --------------------------------------------------------------------------------------


def test_the_first_pattern_that_matches_decides() -> None:
    parts = Parts({"*.running_*": "mean", "body.1.*": "local", "*": "shared"})
    roles = parts.roles(NET)
    assert roles["body.1.running_mean"] == "mean"
    assert roles["body.1.weight"] == roles["body.1.num_batches_tracked"] == "local"
    assert roles["head.bias"] == "shared"


@pytest.mark.parametrize(
    ("rules", "kind", "sentence"),
    [
        ({"haed.*": "local", "*": "shared"}, UnknownKey, "`haed.*` .* did you mean `head.*`"),
        ({"head.wieght": "local", "*": "shared"}, UnknownKey, "did you mean `head.weight`"),
        ({"head.*": "local"}, Misfit, r"matches `body.0.weight`, .* and 8 more; add `"),
        ({"*": "shared", "head.*": "local"}, Misfit, r"`head.\*` of `parts` decides nothing"),
    ],
)
def test_patterns_that_do_not_fit_the_model_are_refused(
    rules: dict[str, Any], kind: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        Parts(rules).roles(NET)


@pytest.mark.parametrize(
    ("rules", "kind", "sentence"),
    [
        ({"*": "locale"}, WrongValue, "role of `.` in `parts` must be .* did you mean `local`"),
        ({"*": 3}, WrongValue, "got 3"),
        ({3: "local"}, WrongType, "a pattern of `parts`: expected a string"),
        ({"": "local"}, WrongValue, "1 to 480 characters"),
        ({}, WrongValue, "1 to 1000 patterns"),
        ({str(n): "local" for n in range(1001)}, WrongValue, "got '1001 of them'"),
        ("head.*", WrongType, "roles by pattern"),
    ],
)
def test_parts_that_mean_nothing_are_refused_at_once(
    rules: Any, kind: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        Parts(rules)


def test_a_tied_tensor_stands_once_and_has_one_role_under_all_its_names() -> None:
    assert [tensor.names for tensor in TIED] == [("embed.weight", "head.weight"), ("head.bias",)]
    with pytest.raises(Misfit, match=r"`embed.weight` shared and `head.weight` local, .* one tied"):
        Parts({"head.*": "local", "*": "shared"}).roles(TIED)
    roles = Parts({"head.weight": "local", "embed.*": "local", "*": "shared"}).roles(TIED)
    assert roles == {"embed.weight": "local", "head.bias": "shared"}


def test_a_model_of_which_nothing_trained_is_shared_is_refused() -> None:
    with pytest.raises(Misfit, match="nothing to learn together"):
        split({"*.running_*": "shared", "*": "local"})


# -- what algorithms keep --------------------------------------------------------------------------


def test_fedbn_keeps_what_normalises_with_its_statistics_and_counters() -> None:
    kept = FedBN().keeps(NET)
    assert {name.rpartition(".")[0] for name in kept} == {"body.1", "body.2", "groups"}
    assert len(kept) == 9
    with pytest.raises(Misfit, match="the model has none"):
        FedBN().keeps(TIED)


def test_fedrep_keeps_the_last_layer_or_what_its_pattern_says() -> None:
    assert FedRep().keeps(NET) == {"head.weight", "head.bias"}
    assert FedRep(head="groups.*").keeps(NET) == {"groups.weight", "groups.bias"}


@pytest.mark.parametrize(
    ("head", "tensors", "kind", "sentence"),
    [
        ("haed.*", NET, UnknownKey, r"did you mean `head.\*`"),
        ("*", NET, Misfit, "has none in its body"),
        ("*.running_*", NET, Misfit, "has none in its head"),
        (None, TIED, Misfit, "one tied tensor"),
        (None, described(nn.Linear(2, 2)), Misfit, "with its last layer as the head"),
        (None, described(nn.Flatten()), Misfit, "with its last layer as the head"),
    ],
)
def test_heads_that_leave_nothing_to_either_side_are_refused(
    head: str | None, tensors: tuple[TensorInfo, ...], kind: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        FedRep(head=head).keeps(tensors)


# -- the pieces ------------------------------------------------------------------------------------


def test_the_two_pieces_of_a_vector_make_the_whole_again() -> None:
    module = Net()
    state = extract(module)
    pieces = split({"body.1.*": "local", "head.*": "local", "*.bias": "mean", "*": "shared"})
    shared, own = pieces.shared_of(state.vector), pieces.own_of(state.vector)
    assert (shared.size, own.size) == (pieces.shared.size, pieces.own.size)
    assert shared.size + own.size == state.vector.size
    assert set(pieces.shared.names) | set(pieces.own.names) == set(state.layout.names)
    for layout, piece in ((pieces.shared, shared), (pieces.own, own)):
        for name, view in layout.views(piece).items():
            assert np.array_equal(view, state.layout.view(state.vector, name)), name
    assert pieces.joined(shared, own).tobytes() == state.vector.tobytes()
    assert pieces.shared_buffers(state.buffers) == {}
    assert pieces.own_buffers(state.buffers) == state.buffers


def test_what_takes_the_mean_is_a_buffer_where_it_is_merged() -> None:
    pieces = split({"*.bias": "mean", "*": "shared"})
    kinds = {part.name: part.kind for part in pieces.shared}
    assert kinds["head.bias"] == "buffer"
    assert kinds["head.weight"] == "parameter"
    vector = np.zeros(pieces.whole.size, np.float32)
    assert pieces.shared_of(vector) is vector


def test_integer_buffers_alone_can_stay() -> None:
    pieces = split({"*.num_batches_tracked": "local", "*": "shared"})
    assert (pieces.owns, pieces.own.size, len(pieces.own.integers)) == (True, 0, 1)


# -- in a run --------------------------------------------------------------------------------------


def test_parts_are_the_same_in_toml_and_in_python_and_their_order_counts() -> None:
    rules: dict[str, Any] = {"head.*": "local", "*.running_*": "mean", "*": "shared"}
    run = run_of(parts=rules)
    assert run.parts == Parts(rules)
    read = Run.from_table(tomllib.loads(run.to_toml()), Path())
    assert (read, read.hash) == (run, run.hash)
    turned = run_of(parts=dict(reversed(rules.items())))
    assert len({run.hash, turned.hash, run_of().hash}) == 3
    assert run_of(parts={"*": "shared"}).hash == run_of().hash
    assert "parts" not in run_of().canonical()


def test_a_role_that_is_misspelt_in_a_file_is_refused_with_its_place(tmp_path: Path) -> None:
    folder = made_in(tmp_path)
    error = refused(folder, 'parts."head.*"=locla')
    assert "must be" in str(error)
    assert "did you mean `local`" in str(error)
    assert "parts" in str(refused(folder, "parts=local"))


def test_parts_that_do_not_fit_the_algorithm_are_refused() -> None:
    with pytest.raises(Misfit, match=r"Median holds the models .* takes no mean"):
        run_of(algorithm=Median(), parts={"*": "mean"})
    with pytest.raises(Misfit, match="Ditto keeps a whole model"):
        run_of(algorithm=Ditto(), parts={"head.*": "local", "*": "shared"})


@pytest.mark.parametrize("algorithm", [FedAvg(), FedBN(), FedRep()])
def test_a_model_with_local_parts_is_evaluated_at_the_workers_alone(algorithm: Any) -> None:
    parts: Any = {"*.bias": "local", "*": "shared"} if algorithm == FedAvg() else None
    with pytest.raises(Misfit, match="evaluate is central, but parts of the model are local"):
        evaluated_at(run_of(algorithm=algorithm, parts=parts, evaluate=Every(1, at="central")))
    assert evaluated_at(run_of(algorithm=algorithm, parts=parts)) == "nowhere"
    assert evaluated_at(run_of(algorithm=algorithm, parts=parts, validate=0.2)) == "workers"


def test_the_shared_model_of_ditto_is_evaluated_as_that_of_fedavg() -> None:
    assert evaluated_at(run_of(algorithm=Ditto(), validate=0.2)) == "central"


def test_described_tensors_know_their_layer() -> None:
    found = {tensor.name: tensor for tensor in NET}
    assert (found["head.bias"].layer, found["head.bias"].trained) == ("head", True)
    assert not found["body.1.running_var"].trained
    assert found["body.1.running_var"].normalises
    (scale,) = described(nn.PReLU())
    assert (scale.layer, scale.normalises, scale.trained) == ("", False, True)
