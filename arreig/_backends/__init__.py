"""Everything the array API standard cannot say, and the only place where libraries are told apart.

A backend decomposes and factorises; it differentiates nothing. `backend_for(A)` chooses one by A's library, and imports what
it needs of that library then.
"""

from typing import Any

from array_api_compat import is_cupy_array, is_dask_array, is_jax_array, is_numpy_array, is_torch_array

from .._errors import InputTypeError
from .._types import Array
from . import autograd, lapack, numpy_api, standard  # noqa: F401 - numpy_api serves NumPy's arrays from here on
from .protocol import Backend, Factor

__all__ = ["Backend", "Factor", "backend_for"]


# By type and dtype, as the namespaces in `_array_api`.
_known: dict[tuple[type, Any], Backend] = {}


def backend_for(A: Array) -> Backend:
    """The backend of A's library; a dask array, which has no numbers yet, is sent to its adapter."""
    key = type(A), getattr(A, "dtype", None)
    try:
        return _known[key]
    except KeyError:
        return _known.setdefault(key, _backend(A))


def _backend(A: Array) -> Backend:
    if is_numpy_array(A):
        return lapack.BACKEND
    if is_torch_array(A):
        from . import torch

        return torch.BACKEND
    if is_jax_array(A):
        from . import jax

        return jax.BACKEND
    if is_cupy_array(A):
        from . import cupy

        return cupy.BACKEND
    if type(A).__module__.partition(".")[0] == "autograd":
        return autograd.BACKEND
    if is_dask_array(A):
        raise InputTypeError(
            "a dask array was given: the functions of arreig_dask decompose its blocks, lazily (pip install 'arreig[dask]'); "
            "pass what its compute() returns here"
        )
    return standard.BACKEND
