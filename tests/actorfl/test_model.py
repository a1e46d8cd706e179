"""Modules as flat vectors and back."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from actorfl.data.digits import Digits
from actorfl.errors import ConfigError
from actorfl.layout import LayoutError
from actorfl.model import extract, initial, layout_of, load


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight


class Holding(nn.Module):
    def __init__(self, tensor: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", tensor)


def test_parts_stand_in_the_order_of_the_state_dict_with_counters_aside() -> None:
    layout = layout_of(network())
    assert [(part.name, part.shape, part.kind) for part in layout] == [
        ("0.weight", (4, 3), "parameter"),
        ("0.bias", (4,), "parameter"),
        ("1.weight", (4,), "parameter"),
        ("1.bias", (4,), "parameter"),
        ("1.running_mean", (4,), "buffer"),
        ("1.running_var", (4,), "buffer"),
        ("2.weight", (2, 4), "parameter"),
        ("2.bias", (2,), "parameter"),
    ]
    assert [(b.name, b.shape, b.dtype) for b in layout.integers] == [
        ("1.num_batches_tracked", (), "int64")
    ]


def test_a_loaded_module_extracts_to_the_same_bits() -> None:
    source = network()
    source(torch.randn(6, 3))
    state = extract(source)
    target = network()
    load(target, state.vector, state.buffers)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name
    again = extract(target)
    assert again.vector.tobytes() == state.vector.tobytes()
    assert again.buffers["1.num_batches_tracked"].dtype == np.int64
    assert again.buffers["1.num_batches_tracked"] == 1


def test_nan_payloads_and_minus_zero_survive() -> None:
    bits = np.array([0x7FC00001, 0xFFC12345, 0x80000000, 0x00000001], np.uint32)
    module = nn.Linear(4, 1, bias=False)
    load(module, bits.view(np.float32), {})
    assert extract(module).vector.view(np.uint32).tolist() == bits.tolist()


def test_extracting_copies_out() -> None:
    module = network()
    state = extract(module)
    before = state.vector.copy()
    counter = state.buffers["1.num_batches_tracked"].copy()
    module(torch.randn(6, 3))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1)
    assert np.array_equal(state.vector, before)
    assert state.buffers["1.num_batches_tracked"] == counter


def test_loading_copies_in_and_keeps_the_memory_of_the_module() -> None:
    module = network()
    addresses = {name: tensor.data_ptr() for name, tensor in module.state_dict().items()}
    vector = np.ones(layout_of(module).size, np.float32)
    buffers = {"1.num_batches_tracked": np.array(5)}
    load(module, vector, buffers)
    vector[:] = 7
    buffers["1.num_batches_tracked"][...] = 9
    assert (extract(module).vector == 1).all()
    assert extract(module).buffers["1.num_batches_tracked"] == 5
    assert {name: t.data_ptr() for name, t in module.state_dict().items()} == addresses


def test_a_frozen_vector_at_an_odd_address_loads_without_a_warning() -> None:
    module = nn.Linear(3, 2)
    raw = np.arange(9, dtype=np.float32).tobytes()
    vector = np.frombuffer(b"\0" * 4 + raw[:32], np.float32, offset=4)
    assert not vector.flags.writeable
    load(module, vector, {})
    assert extract(module).vector.tolist() == list(range(8))


def test_tied_weights_travel_once_and_stay_tied() -> None:
    module = Tied()
    layout = layout_of(module)
    assert layout.names == ("embed.weight",)
    load(module, np.arange(15, dtype=np.float32), {})
    assert module.head.weight.data_ptr() == module.embed.weight.data_ptr()
    assert module.head.weight[4, 2] == 14


def test_parameters_over_the_same_memory_travel_once() -> None:
    module = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    module[1].weight.data = module[0].weight.data
    assert layout_of(module).names == ("0.weight",)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_goes_up_and_comes_back_exactly(dtype: torch.dtype) -> None:
    module = nn.Linear(30, 20).to(dtype)
    state = extract(module)
    assert {part.origin for part in state.layout} == {str(dtype).removeprefix("torch.")}
    assert state.vector.dtype == np.float32
    target = nn.Linear(30, 20).to(dtype)
    load(target, state.vector, state.buffers)
    assert torch.equal(target.weight, module.weight)
    assert target.weight.dtype == dtype


def test_a_module_in_another_memory_format_keeps_it() -> None:
    module = nn.Conv2d(4, 3, 2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    state = extract(module)
    plain = nn.Conv2d(4, 3, 2)
    load(plain, state.vector, {})
    assert torch.equal(plain.weight, module.weight)
    load(module, state.vector, {})
    assert torch.equal(plain.weight, module.weight)
    assert module.weight.stride() != plain.weight.stride()


def test_bool_and_small_integer_buffers_keep_their_dtype() -> None:
    module = Holding(torch.tensor([True, False]))
    state = extract(module)
    assert state.buffers["mask"].dtype == np.bool_
    load(module, state.vector, {"mask": np.array([False, True])})
    assert extract(module).buffers["mask"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (torch.zeros(2, dtype=torch.float64), "'mask' of the model is float64"),
        (torch.zeros(2, dtype=torch.complex64), "'mask' of the model is complex64"),
        (torch.zeros(2).to_sparse(), "'mask' of the model is sparse"),
        (torch.zeros(2, device="meta"), "'mask' of the model is sparse or has no data"),
    ],
)
def test_what_does_not_travel_is_refused_by_name(tensor: torch.Tensor, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        extract(Holding(tensor))


def test_a_double_model_is_told_what_to_return() -> None:
    with pytest.raises(ConfigError, match=r"return model.float\(\) from model\(\)"):
        extract(nn.Linear(2, 2).double())


def test_a_lazy_module_is_told_to_run_a_batch() -> None:
    with pytest.raises(ConfigError, match=r"'weight' of the model has no shape yet"):
        extract(nn.LazyLinear(3))


def test_extra_state_is_refused_by_name() -> None:
    class Extra(nn.Linear):
        def get_extra_state(self) -> Any:
            return {"calls": 3}

    with pytest.raises(ConfigError, match="'_extra_state', a dict"):
        extract(Extra(2, 2))


def test_a_vector_that_does_not_fit_is_refused_and_nothing_is_loaded() -> None:
    module = nn.Linear(3, 2)
    before = extract(module).vector
    with pytest.raises(LayoutError, match=r"shape \(8,\), got float32 of shape \(9,\)"):
        load(module, np.zeros(9, np.float32), {})
    with pytest.raises(LayoutError, match="float64"):
        load(module, np.zeros(8), {})  # type: ignore[arg-type]  # that is the point
    assert np.array_equal(extract(module).vector, before)


@pytest.mark.parametrize(
    "buffers", [{}, {"1.num_batches_tracked": np.array(5, np.int32)}, {"x": np.array(5)}]
)
def test_integer_buffers_that_do_not_fit_are_refused_and_nothing_is_loaded(
    buffers: dict[str, Any],
) -> None:
    module = network()
    before = extract(module).vector
    with pytest.raises(LayoutError, match="num_batches_tracked"):
        load(module, np.zeros_like(before), buffers)
    assert np.array_equal(extract(module).vector, before)


def test_the_initial_model_depends_on_the_run_seed_alone() -> None:
    first = initial(Digits(), 3)
    torch.rand(5)
    assert initial(Digits(), 3).vector.tobytes() == first.vector.tobytes()
    assert initial(Digits(), 4).vector.tobytes() != first.vector.tobytes()
