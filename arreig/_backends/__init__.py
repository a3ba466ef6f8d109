"""Everything the array API standard cannot say, and the only place where libraries are told apart.

A backend decomposes and factorises; it differentiates nothing. `backend_for(A)` chooses one by A's library.
"""

from array_api_compat import is_numpy_array

from .._types import Array
from . import lapack, standard
from .protocol import Backend, Factor

__all__ = ["Backend", "Factor", "backend_for"]


def backend_for(A: Array) -> Backend:
    """The backend of A's library."""
    return lapack.BACKEND if is_numpy_array(A) else standard.BACKEND
