"""A module as one flat float32 vector with integer buffers aside, and back.

Floating parameters and buffers stand in the order of ``state_dict``, tied ones once, float16 and
bfloat16 converted (exactly) to float32. Integer buffers, such as BatchNorm's counters, are kept
aside with their dtypes. What is not in the ``state_dict`` does not travel.
"""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy

from actorfl.errors import ConfigError
from actorfl.flatmodel import Buffers, Model
from actorfl.layout import Kind, Layout, LayoutError, Origin, Vector
from actorfl.parts import TensorInfo
from actorfl.seeds import seed_everything, seed_for
from actorfl.task import Task

_ORIGINS: dict[torch.dtype, Origin] = {
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
}
# Batch and instance normalisation of all dimensions derive from the first.
_NORMALISING = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_INTEGERS = {
    torch.bool: "bool",
    torch.int8: "int8",
    torch.int16: "int16",
    torch.int32: "int32",
    torch.int64: "int64",
    torch.uint8: "uint8",
}


def tensors(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Find what of a module travels: its own tensors, tied ones under their first name.

    Returns:
        Floating and integer tensors by name, each in ``state_dict`` order.

    Raises:
        ConfigError: See `layout_of`.
    """
    floating: dict[str, Tensor] = {}
    integers: dict[str, Tensor] = {}
    seen: set[object] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        _check(name, tensor)
        place = _place(tensor)
        if place in seen:
            continue
        seen.add(place)
        (floating if tensor.dtype in _ORIGINS else integers)[name] = tensor
    return floating, integers


def layout_of(module: nn.Module) -> Layout:
    """Describe a module.

    Raises:
        ConfigError: A tensor is of a dtype that does not travel (float64, complex, ...), is sparse,
            lives on no device or has no shape yet, or the ``state_dict`` holds other things.
    """
    floating, integers = tensors(module)
    parameters = {id(parameter) for parameter in module.parameters()}
    described: list[tuple[str, tuple[int, ...], Origin, Kind]] = [
        (
            name,
            tuple(tensor.shape),
            _ORIGINS[tensor.dtype],
            "parameter" if id(tensor) in parameters else "buffer",
        )
        for name, tensor in floating.items()
    ]
    return Layout.build(
        described,
        [(name, tuple(t.shape), _INTEGERS[t.dtype]) for name, t in integers.items()],
    )


def described(module: nn.Module) -> tuple[TensorInfo, ...]:
    """Say of each tensor that travels which layer holds it, and by which names.

    Returns:
        In ``state_dict`` order; tied tensors once, under all their names.

    Raises:
        ConfigError: See `layout_of`.
    """
    floating, integers = tensors(module)
    own = {**floating, **integers}
    first = {_place(tensor): name for name, tensor in own.items()}
    names: dict[str, list[str]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        names.setdefault(first[_place(tensor)], []).append(name)
    layers = dict(module.named_modules(remove_duplicate=False))
    parameters = {id(parameter) for parameter in module.parameters()}
    found = []
    for name, every in names.items():
        layer = name.rpartition(".")[0]
        normalises = isinstance(layers.get(layer), _NORMALISING)
        found.append(TensorInfo(name, tuple(every), layer, normalises, id(own[name]) in parameters))
    return tuple(found)


def extract(module: nn.Module) -> Model:
    """Copy a module's state out, into memory of its own.

    Raises:
        ConfigError: See `layout_of`.
    """
    layout = layout_of(module)
    floating, integers = tensors(module)
    vector = torch.empty(layout.size, dtype=torch.float32)
    with torch.no_grad():
        for part in layout:
            vector[part.slice].view(part.shape).copy_(floating[part.name])
    buffers = {name: t.detach().cpu().numpy().copy() for name, t in integers.items()}
    return Model(layout, vector.numpy(), buffers)


def load(module: nn.Module, vector: Vector, buffers: Buffers) -> None:
    """Copy a state into a module; nothing of the arrays is kept.

    Args:
        module: Its tensors keep their memory, device and dtype.
        vector: float32, as `extract` gives it; at any address, read-only or not.
        buffers: Integer buffers by name, as `extract` gives them.

    Raises:
        LayoutError: The vector or a buffer does not fit the module.
        ConfigError: See `layout_of`.
    """
    layout = layout_of(module)
    layout.check(vector)
    floating, integers = tensors(module)
    if buffers.keys() != integers.keys():
        raise LayoutError(
            f"the model has the integer buffers {sorted(integers)}, got {sorted(buffers)}"
        )
    for name, tensor in integers.items():
        array = buffers[name]
        if array.shape != tuple(tensor.shape) or array.dtype.name != _INTEGERS[tensor.dtype]:
            raise LayoutError(
                f"integer buffer {name!r} is {_INTEGERS[tensor.dtype]} of shape "
                f"{tuple(tensor.shape)}, got {array.dtype} of shape {array.shape}"
            )
    with torch.no_grad():
        for part in layout:
            floating[part.name].copy_(_tensor(vector[part.slice]).view(part.shape))
        for name, tensor in integers.items():
            tensor.copy_(_tensor(buffers[name]))


def initial(task: Task, run_seed: int) -> Model:
    """Build a task's initial model; it seeds the process-wide generators (purpose "init").

    Raises:
        ConfigError: See `layout_of`.
    """
    seed_everything(seed_for(run_seed, "", 0, "init"))
    return extract(task.model())


def _place(tensor: Tensor) -> object:
    """What tied tensors share: two over the same memory are one, an average would write both."""
    if not tensor.numel():
        return id(tensor)
    return (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())


def _tensor(array: NDArray[Any]) -> Tensor:
    # torch warns about arrays that it could not write to (a landing buffer frozen over inproc).
    return torch.from_numpy(array) if array.flags.writeable else torch.tensor(array)


def _check(name: str, tensor: object) -> None:
    if not isinstance(tensor, Tensor):
        raise ConfigError(
            f"the model's state_dict holds {name!r}, a {type(tensor).__name__}; only tensors travel"
        )
    if is_lazy(tensor):
        raise ConfigError(
            f"{name!r} of the model has no shape yet; run a batch through it in model()"
        )
    if tensor.layout is not torch.strided or tensor.is_meta:
        raise ConfigError(
            f"{name!r} of the model is sparse or has no data; only dense tensors travel"
        )
    if tensor.dtype not in _ORIGINS and tensor.dtype not in _INTEGERS:
        dtype = str(tensor.dtype).removeprefix("torch.")
        raise ConfigError(
            f"{name!r} of the model is {dtype}; models travel as float32: return "
            "model.float() from model()"
        )
