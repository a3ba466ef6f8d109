"""LU factorisations of V^H for NumPy, kept and used again: by LAPACK, or, of many tiny matrices, all at once.

Of V^H, not V: the gradient solves with V^H, and where some columns of V are dependent (a defective eigenvalue) only this way the
rows that belong to the other columns keep their accuracy, each by its own pivot. A pivot that vanishes exactly is made tiny: what
belongs to the dependent columns becomes huge, and the solutions for other columns do not see it.
"""

from abc import ABC, abstractmethod
from contextlib import suppress
from math import prod

import numpy as np

from .._types import Array
from . import fortran, threads

# A call of LAPACK takes 2 us, whatever the order; arithmetic over the batch was faster up to order 12, for 16 matrices or more.
_TINY, _MANY = 12, 16
_SECONDS = {"f": 8e-11, "c": 3e-10}  # that a column takes, by n^2


def factorise(V: Array) -> "LUFactor":
    """V factorised, in the way that is fast for so many matrices of this order."""
    many = V.shape[-1] <= _TINY and prod(V.shape[:-2]) >= _MANY
    return BatchLU(V) if many else LapackLU(V)


class LUFactor(ABC):
    """P L U = V^H for every matrix of the batch."""

    def __init__(self, V: Array) -> None:
        self._V = V
        self._factorised = False
        self._shape = V.shape
        self._dtype = V.dtype

    @abstractmethod
    def _factorise(self, V: Array) -> None: ...

    @abstractmethod
    def _solved(self, X: Array, adjoint: bool) -> Array:
        """V^-1 X or V^-H X of a stack (members, n, m), which is not empty."""

    def _solve(self, X: Array, adjoint: bool) -> Array:
        if not X.size:
            return np.array(X, dtype=self._dtype)
        if not self._factorised:
            self._factorise(self._V)  # threads that come at the same time find the same
            self._factorised = True
        stack = X.astype(self._dtype, copy=False).reshape(-1, *X.shape[-2:])
        return self._solved(stack, adjoint).reshape(X.shape)

    def solve(self, X: Array, /) -> Array:
        """V^-1 X."""
        return self._solve(X, False)

    def solve_adjoint(self, X: Array, /) -> Array:
        """V^-H X."""
        return self._solve(X, True)

    def inverse_adjoint(self) -> Array:
        """V^-H, of a batch by NumPy's loop, if it is asked for first."""
        if not self._factorised and len(self._shape) > 2:
            with suppress(np.linalg.LinAlgError):
                return np.linalg.inv(self._V.conj().mT)
        return self._solve(np.broadcast_to(np.eye(self._shape[-1], dtype=self._dtype), self._shape), True)


class LapackLU(LUFactor):
    """One factorisation after the other; columns of solutions are shared among threads."""

    def _factorise(self, V: Array) -> None:
        permutations: list[list[int]] = []  # L U = (V^H)[rows]
        factors = np.conj(V, order="C").reshape(-1, *V.shape[-2:])  # a copy: transposed V^H, as LAPACK wants it
        for v in factors:
            rows = list(range(len(v)))
            for i, j in enumerate(fortran.getrf(v)):
                rows[i], rows[j] = rows[j], rows[i]
            permutations.append(rows)
        diagonal = np.einsum("kii->ki", factors)  # a view
        diagonal[diagonal == 0] = np.finfo(V.dtype).eps ** 2  # not by info, which names the first zero pivot only
        self._factors, self._rows = factors, permutations

    def _solved(self, X: Array, adjoint: bool) -> Array:
        n, m = X.shape[-2:]
        slices = threads.divided(m, _SECONDS[self._dtype.kind] * n**2)
        out = np.empty(X.shape, self._dtype)
        for x, there, lu, rows in zip(X, out, self._factors, self._rows, strict=True):
            if adjoint:
                x.take(rows, 0, out=there, mode="clip")  # the mode that needs no buffer
            else:
                np.conj(x, out=there)

            def divide(columns: slice, there: Array = there, lu: Array = lu) -> None:
                for lower in (adjoint, not adjoint):
                    fortran.trsm(lu, there[:, columns], lower=lower, transposed=not adjoint)

            if len(slices) == 1:
                divide(slices[0])
            else:
                threads.run(divide, slices)
            if not adjoint:
                there[rows] = np.conj(there)
        return out


class BatchLU(LUFactor):
    """Gaussian elimination with partial pivoting, each step for the whole batch, which is the last axis here."""

    def _factorise(self, V: Array) -> None:
        a = np.moveaxis(np.conj(V).reshape(-1, *V.shape[-2:]), 0, -1).swapaxes(0, 1).copy()
        n, _, count = a.shape
        member = np.arange(count)
        rows = np.repeat(np.arange(n)[:, None], count, axis=1)  # L U = (V^H)[rows]
        for k in range(n):
            pivot = k + np.abs(a[k:, k]).argmax(axis=0)
            for x in (a, rows):
                x[k], x[pivot, ..., member] = x[pivot, ..., member].T, x[k].T.copy()
            a[k, k][a[k, k] == 0] = np.finfo(V.dtype).eps ** 2
            a[k + 1 :, k] /= a[k, k]
            a[k + 1 :, k + 1 :] -= a[k + 1 :, k, None] * a[k, None, k + 1 :]
        self._lu, self._rows = a, rows

    def _solved(self, X: Array, adjoint: bool) -> Array:
        x, n = np.moveaxis(X, 0, -1).copy(), self._shape[-1]
        rows, lu = self._rows[:, None, :], self._lu
        if adjoint:
            x = np.take_along_axis(x, rows, axis=0)
            for k in range(n - 1):
                x[k + 1 :] -= lu[k + 1 :, k, None] * x[k]
            for k in reversed(range(n)):
                x[k] /= lu[k, k]
                x[:k] -= lu[:k, k, None] * x[k]
        else:
            lu = lu.conj()
            for k in range(n):
                x[k] /= lu[k, k]
                x[k + 1 :] -= lu[k, k + 1 :, None] * x[k]
            for k in reversed(range(1, n)):
                x[:k] -= lu[k, :k, None] * x[k]
            y, x = x, np.empty_like(x)
            np.put_along_axis(x, rows, y, axis=0)
        return np.moveaxis(x, -1, 0)
