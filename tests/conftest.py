"""Libraries, dtypes and batch shapes that every test of the core runs over."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import array_api_strict
import numpy as np
import pytest


@dataclass(frozen=True)
class Library:
    """An array namespace and one of its devices."""

    xp: Any
    device: Any

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """x on this library and device, in the named dtype or its own."""
        x = np.asarray(x)
        return self.xp.asarray(x.astype(dtype or x.dtype), device=self.device)


LIBRARIES = {
    "numpy": Library(np, "cpu"),
    "strict": Library(array_api_strict, array_api_strict.Device("CPU_DEVICE")),
    "strict-device1": Library(array_api_strict, array_api_strict.Device("device1")),
}
DTYPES = ("float64", "complex128", "float32", "complex64")
BATCHES = ((), (3,), (2, 2))


@pytest.fixture(params=LIBRARIES)
def lib(request: pytest.FixtureRequest) -> Iterator[Library]:
    """A library, array-api-strict without boolean indexing and data-dependent shapes."""
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
