"""Libraries, dtypes and batch shapes that every test of the core runs over."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# Read when JAX is imported. Tests compile often and run little, so that what XLA optimises takes longer than it saves.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_backend_optimization_level=0"

import array_api_compat.torch
import array_api_strict
import jax
import numpy as np
import pytest
import torch

import arreig
from arreig import _capabilities

jax.config.update("jax_enable_x64", True)
torch.set_num_threads(1)  # a process per core runs tests, on small matrices


@dataclass(frozen=True)
class Library:
    """An array namespace and one of its devices."""

    xp: Any
    device: Any

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """x on this library and device, in the named dtype or its own."""
        x = np.asarray(x)
        return self.xp.asarray(x.astype(dtype or x.dtype), device=self.device)


def _cuda() -> Library:
    if not torch.cuda.is_available():
        raise RuntimeError("torch finds no CUDA device")
    return Library(array_api_compat.torch, torch.device("cuda", torch.cuda.current_device()))


def _cupy() -> Library:
    cupy = import_module("cupy")
    return Library(import_module("array_api_compat.cupy"), cupy.cuda.Device())  # the current one, if there is any


def _jax_gpu() -> Library:
    return Library(jax.numpy, jax.devices("gpu")[0])


LIBRARIES = {
    "numpy": Library(np, "cpu"),
    "strict": Library(array_api_strict, array_api_strict.Device("CPU_DEVICE")),
    "strict-device1": Library(array_api_strict, array_api_strict.Device("device1")),
    "torch": Library(array_api_compat.torch, torch.device("cpu")),
    "jax": Library(jax.numpy, jax.devices("cpu")[0]),
}
ON_GPU = {"torch-cuda": _cuda, "cupy": _cupy, "jax-gpu": _jax_gpu}
# Broaden with a vanishing eps is the plain rule; its bias at larger ones is tested with the degeneracies.
DEGENERACIES = {
    "raise": "raise",
    "mask": "mask",
    "Broaden": arreig.Broaden(1e-24),
    "split": "split",
    "perturb": "perturb",
}
EXAMPLES = Path(__file__).parent.parent / "examples"
DTYPES = ("float64", "complex128", "float32", "complex64")
BATCHES = ((), (3,), (2, 2))

# JAX compiles every operation for every shape: where a test has many, a few minutes. It runs where a test asks for it, and in
# one process, which compiles for all.
EAGER = [name for name in LIBRARIES if name != "jax"]
WITH_JAX = pytest.mark.xdist_group("jax")
EVERYWHERE = [
    *EAGER,
    pytest.param("jax", marks=WITH_JAX),
    *(pytest.param(name, marks=pytest.mark.gpu) for name in ON_GPU),
]


@contextmanager
def examples() -> Iterator[Callable[[str], ModuleType]]:
    """Imports examples by name, as Python does for a script and its neighbours; forgets them afterwards."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        yield import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(str(sys.modules[name].__file__)).parent == EXAMPLES:
            del sys.modules[name]


@pytest.fixture(params=EAGER)
def lib(request: pytest.FixtureRequest) -> Iterator[Library]:
    """A library, array-api-strict without boolean indexing and data-dependent shapes."""
    if request.param in ON_GPU:
        try:
            library = ON_GPU[request.param]()
        except Exception as error:
            title, functions, *_ = _capabilities.LIBRARIES[request.param]
            pytest.skip(f"{title} ({functions['eig'].untested}): {type(error).__name__}: {error}")
    else:
        library = LIBRARIES[request.param]
    strict = library.xp is array_api_strict
    flags = {"boolean_indexing": False, "data_dependent_shapes": False}
    with array_api_strict.ArrayAPIStrictFlags(**flags) if strict else nullcontext():
        yield library


@pytest.fixture(params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    """One of the four dtypes."""
    return str(request.param)


@pytest.fixture(params=BATCHES, ids=str)
def batch(request: pytest.FixtureRequest) -> tuple[int, ...]:
    """A batch shape."""
    return tuple(request.param)
