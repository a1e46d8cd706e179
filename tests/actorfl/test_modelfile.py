"""The final model as a safetensors file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load

from actorfl import model, modelfile
from actors import FileStorage, MemoryStorage


def module() -> torch.nn.Module:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    net(torch.randn(5, 3))
    return net


async def test_torch_loads_what_was_trained(tmp_path: Path) -> None:
    net = module()
    state = model.extract(net)
    layout = model.layout_of(net)
    storage = FileStorage(tmp_path)
    sha256 = await modelfile.write(storage, layout, state.vector, state.buffers)
    await storage.close()
    content = (tmp_path / modelfile.MODEL).read_bytes()
    assert hashlib.sha256(content).hexdigest() == sha256
    loaded = load(content)
    expected = net.state_dict()
    assert loaded.keys() == expected.keys()
    for name, tensor in expected.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)
    assert loaded["1.num_batches_tracked"].dtype == torch.int64


async def test_equal_models_have_equal_files_and_one_bit_makes_another() -> None:
    net = module()
    state, layout = model.extract(net), model.layout_of(net)
    first = await modelfile.write(MemoryStorage(), layout, state.vector, state.buffers)
    again = await modelfile.write(
        MemoryStorage(), layout, state.vector.copy(), dict(reversed(list(state.buffers.items())))
    )
    assert first == again
    other = state.vector.copy()
    other[0] = np.nextafter(other[0], np.float32(9))
    assert await modelfile.write(MemoryStorage(), layout, other, state.buffers) != first
