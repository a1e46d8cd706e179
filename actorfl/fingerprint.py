"""The numerics fingerprint: what two processes must share for a fit to give the same bits there.

torch rounds by the kernels it picks, and it picks them by its build, the CPU, a few variables of
the environment and the number of threads. Most of that can be read; the rest shows in the bits of
a small training.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from actorfl.errors import MissingExtra

if TYPE_CHECKING:
    from torch import Tensor

# Fingerprints come over the network and end in sentences of logs and terminals: bounds keep these
# short, and free of new lines and escape sequences.
_LONGEST = 200
_Text = Annotated[str, Meta(max_length=_LONGEST, pattern=r"\A[ -~]*\Z")]
_Setting = tuple[_Text, _Text]

SETTINGS: Final = (
    "ATEN_CPU_CAPABILITY",
    "BLIS_ARCH_TYPE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_DEBUG_CPU_TYPE",
    "MKL_DYNAMIC",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "OMP_DYNAMIC",
    "OMP_THREAD_LIMIT",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Environment variables that choose among kernels, or let a library use fewer threads than told.

Those that set a number of threads are not among them: what they come to is seen in `threads`.
"""

_PROBE_SEED = 20170217  # any will do; this one is the arXiv date of federated averaging's revision
_SHOWN = 12  # hex digits of a hash in a sentence: enough to tell two apart


class Fingerprint(msgspec.Struct, frozen=True, array_like=True):
    """What decides the bits of a fit besides the fit itself; equal ones promise equal bits.

    Attributes:
        torch: Version of torch and a digest of how it was built (compiler flags, MKL, oneDNN).
        numpy: Version of numpy.
        machine: Architecture: "x86_64", "aarch64".
        capability: Widest vectors that torch's own kernels use: "AVX2", "AVX512", "DEFAULT", ...
        threads: Threads of torch per fit, as seen in the training lane.
        settings: Variables among `SETTINGS` that are set: (name, value), sorted.
        probe: SHA-256 of a small training and some reductions, as 64 hex digits.
    """

    torch: _Text
    numpy: _Text
    machine: _Text
    capability: _Text
    threads: Annotated[int, Meta(ge=1)]
    settings: Annotated[tuple[_Setting, ...], Meta(max_length=len(SETTINGS))]
    probe: Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

    def __str__(self) -> str:
        return (
            f"torch {self.torch}, numpy {self.numpy}, {self.machine} {self.capability}, "
            f"{self.threads} threads per fit, probe {self.probe[:_SHOWN]}"
        )


def measure() -> Fingerprint:
    """Measure the calling thread; to be run in the training lane, whose thread is what counts.

    Takes about 50 ms on one idle core, and leaves torch's generators as they were.

    Raises:
        MissingExtra: torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtra("torch", "torch", "the numerics fingerprint") from error
    return Fingerprint(
        torch=f"{torch.__version__} build {_build()}",
        numpy=np.__version__,
        machine=platform.machine(),
        capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        settings=settings(),
        probe=_probe(),
    )


_measured: dict[int, Fingerprint] = {}


def measured() -> Fingerprint:
    """``measure``, once per process and number of threads: all its workers have the same.

    Raises:
        MissingExtra: torch is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtra("torch", "torch", "the numerics fingerprint") from error
    threads = torch.get_num_threads()
    if threads not in _measured:
        _measured[threads] = measure()
    return _measured[threads]


def differences(ours: Fingerprint, theirs: Fingerprint, names: tuple[str, str]) -> list[str]:
    """Tell in sentences where two fingerprints differ: who has what, and what to do.

    Args:
        ours: One.
        theirs: The other, whose values are named first.
        names: Whose `ours` and `theirs` are.

    Returns:
        A sentence (without its stop) for each difference; empty if equal. That the probe ends in
        other bits follows from any other difference, so it is told where there is none.
    """
    us, them = names
    found = []
    for has, other, mine, cure in (
        ("with torch ", theirs.torch, ours.torch, "install the same build everywhere"),
        ("with numpy ", theirs.numpy, ours.numpy, "install the same version everywhere"),
        ("on ", theirs.machine, ours.machine, "take one kind of machine"),
        (
            "with the CPU capability ",
            theirs.capability,
            ours.capability,
            "set ATEN_CPU_CAPABILITY to the lesser one everywhere",
        ),
        (
            "with ",
            _threads(theirs.threads),
            _threads(ours.threads),
            "set ACTORFL_THREADS alike everywhere",
        ),
        *_of_settings(dict(ours.settings), dict(theirs.settings)),
    ):
        if mine != other:
            found.append(f"{them} computes {has}{other} and {us} {has}{mine}: {cure}")
    if not found and ours.probe != theirs.probe:
        found.append(
            f"{them} computes other bits than {us} (a probe training ends in "
            f"{theirs.probe[:_SHOWN]} and {ours.probe[:_SHOWN]}): take one model of CPU, and look "
            "for a library that changes how floats are rounded"
        )
    return found


def _threads(count: int) -> str:
    return f"{count} {'thread' if count == 1 else 'threads'} per fit"


def _of_settings(
    ours: dict[str, str], theirs: dict[str, str]
) -> Iterable[tuple[str, str, str, str]]:
    for name in sorted(ours.keys() | theirs.keys()):
        other, mine = (_setting(name, one.get(name)) for one in (theirs, ours))
        yield "", other, mine, "set this environment variable alike everywhere"


def _setting(name: str, value: str | None) -> str:
    return f"without {name}" if value is None else f"with {name}={value!r}"


def settings() -> tuple[tuple[str, str], ...]:
    """The variables among `SETTINGS` that are set: (name, value), sorted."""
    return tuple((n, ascii(os.environ[n])[1:-1][:_LONGEST]) for n in SETTINGS if n in os.environ)


def _build() -> str:
    """A digest of torch's build: two of one version may hold other libraries (pip and conda)."""
    import torch

    lines = torch.__config__.show().splitlines()
    # What the CPU and the environment made of it is told apart from the build.
    kept = "\n".join(line for line in lines if "CPU capability" not in line)
    return hashlib.sha256(f"{torch.version.git_version}\n{kept}".encode()).hexdigest()[:8]


def _probe() -> str:
    import torch

    digest = hashlib.sha256()
    with torch.enable_grad():
        tensors = [*_training(), *_reductions()]
    for tensor in tensors:
        digest.update(tensor.detach().numpy().tobytes())
    for array in _numpy():
        digest.update(array.tobytes())
    return digest.hexdigest()


def _training() -> Iterable[Tensor]:
    """Three steps of SGD with momentum; odd sizes reach the tails of vectorised kernels."""
    import torch
    from torch.nn import functional as F  # noqa: N812  (its name in the field)
    from torch.optim.sgd import sgd

    generator = torch.Generator().manual_seed(_PROBE_SEED)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float32, device="cpu")

    shapes = ((16, 3, 3, 3), (16,), (16,), (16,), (24, 16, 3, 3), (67, 24 * 16), (67,), (10, 67))
    parameters = [(draw(*shape) * 0.1).requires_grad_() for shape in shapes]
    conv, bias, gamma, beta, conv2, linear, bias2, last = parameters
    mean = torch.zeros(16, dtype=torch.float32, device="cpu")
    variance = torch.ones(16, dtype=torch.float32, device="cpu")
    momenta: list[Tensor | None] = [None] * len(parameters)
    losses = []
    for _ in range(3):
        images = draw(19, 3, 17, 17)
        labels = torch.randint(10, (19,), generator=generator, device="cpu")
        hidden = F.conv2d(images, conv, bias, padding=1)
        hidden = F.batch_norm(hidden, mean, variance, gamma, beta, training=True)
        hidden = F.max_pool2d(torch.tanh(hidden), 2)
        hidden = F.conv2d(hidden, conv2, padding=1)
        hidden = F.avg_pool2d(torch.exp(-hidden * hidden), 2).flatten(1)
        hidden = torch.relu(F.linear(hidden, linear, bias2))
        loss = F.cross_entropy(hidden @ last.t(), labels)
        losses.append(loss)
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            sgd(
                parameters,
                list(gradients),
                momenta,
                foreach=False,
                fused=False,
                weight_decay=1e-4,
                momentum=0.9,
                lr=0.05,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
    return [*losses, *parameters, mean, variance]


def _reductions() -> Iterable[Tensor]:
    """Sums over so many numbers that they are shared out to threads, and products in blocks."""
    import torch

    generator = torch.Generator().manual_seed(_PROBE_SEED)
    many = torch.randn(150_001, generator=generator, dtype=torch.float32, device="cpu")
    tall = many[: 129 * 1031].view(129, 1031)
    # Below the normal range: a library loaded with -ffast-math has such numbers flushed to zero.
    tiny = many[:257] * 1e-20 * 1e-20
    return [
        many.sum(),
        many.exp().sum(),
        many.sigmoid().mean(),
        many.norm(),
        tall @ tall.t(),
        tall @ many[:1031],
        tall.softmax(1),
        torch.nn.functional.layer_norm(tall, (1031,)),
        tiny,
    ]


def _numpy() -> Iterable[npt.NDArray[np.generic]]:
    """What tasks commonly do to data before torch sees them."""
    doubles = np.linspace(-4.0, 4.0, 5003)
    floats = doubles.astype(np.float32)
    return [np.asarray(f(x)) for x in (doubles, floats) for f in (np.exp, np.tanh, np.sin, np.std)]
