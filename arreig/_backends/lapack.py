"""NumPy arrays: NumPy's own eigensolvers, and LAPACK's LU factorisation through SciPy, kept and used again."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.linalg import get_lapack_funcs

from .._errors import InputTypeError
from .._types import Array
from .protocol import Factor
from .standard import StandardBackend, as_tuple


class LUFactor:
    """P L U = V^H, one factorisation a matrix of the batch.

    Of V^H, not V: the gradient solves with V^H, and where some columns of V are dependent (a defective eigenvalue) only this
    way the rows that belong to the other columns keep their accuracy, each by its own pivot. A pivot that vanishes exactly is
    made tiny: what belongs to the dependent columns becomes huge, and the solutions for other columns do not see it.
    """

    def __init__(self, V: Array) -> None:
        (getrf,) = get_lapack_funcs(("getrf",), dtype=V.dtype)
        self._shape = V.shape
        self._dtype = V.dtype
        self._factors = [getrf(v.conj().T)[:2] for v in V.reshape(-1, *V.shape[-2:])] if V.size else []
        for lu, _ in self._factors:  # not by info, which names the first zero pivot only
            lu[np.diag_indices_from(lu)] = np.where(lu.diagonal() == 0, np.finfo(V.dtype).eps ** 2, lu.diagonal())

    def _solve(self, X: Array, trans: int) -> Array:
        out: np.ndarray[Any, Any] = np.empty(X.shape, dtype=self._dtype)
        if not self._factors:
            return out
        slices, columns = (x.reshape(-1, *x.shape[-2:]) for x in (out, X))  # of out a view: it is contiguous
        (getrs,) = get_lapack_funcs(("getrs",), dtype=self._dtype)  # not kept: it cannot be pickled with a result
        for i, (lu, pivots) in enumerate(self._factors):
            slices[i] = getrs(lu, pivots, columns[i], trans=trans)[0]
        return out

    def solve(self, X: Array, /) -> Array:
        return self._solve(X, 2)

    def solve_adjoint(self, X: Array, /) -> Array:
        return self._solve(X, 0)

    def inverse_adjoint(self) -> Array:
        return self._solve(np.broadcast_to(np.eye(self._shape[-1], dtype=self._dtype), self._shape), 0)


class LapackBackend(StandardBackend):
    """NumPy."""

    def admit(self, name: str, X: Array, /) -> Array:
        """X in the machine's byte order and of class ndarray; classes that say more than their numbers are refused."""
        if not isinstance(X, np.generic) and type(X) not in (np.ndarray, np.matrix, np.memmap):
            raise InputTypeError(
                f"{name} must be a plain NumPy array, got {type(X).__module__}.{type(X).__qualname__}; convert it first "
                f"(numpy.asarray drops masks and units)"
            )
        X = np.asarray(X)
        return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))

    def factorise(self, V: Array, /) -> Factor:
        return LUFactor(V)

    def to_host(self, X: Array, /) -> Any:
        return X

    def from_host(self, x: Any, like: Array, /) -> Array:
        return x

    def on_host(
        self, function: Callable[..., Any], results: Sequence[tuple[tuple[int, ...], Any]], /, *arrays: Array
    ) -> tuple[Array, ...]:
        return as_tuple(function(*arrays))


BACKEND = LapackBackend()
