"""NumPy arrays: NumPy's own eigensolvers, and LAPACK through SciPy."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from math import ceil, prod
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, eigh, get_lapack_funcs

from .. import _order
from .._array_api import promote_complex
from .._errors import InputTypeError
from .._types import Array, EigPair
from . import fortran, small, threads
from .lu import factorise
from .protocol import DefinitePairs, Factor, PencilPairs
from .standard import StandardBackend, as_tuple

# Matrices for which sums over the batch are faster than products of single ones: up to this order, at least so many.
_TINY, _MANY = 6, 64
# Entries that are computed with at a time: more leave the cache, and less are slower by the time of calls, which where there are
# many tiny matrices is also the time that threads wait for the GIL. An even number of parts, whatever the number of threads, for
# results of batches not to depend on it; one for no more entries than the last number.
# (Products and solutions of one large matrix are cut by the number of threads, and round accordingly.)
_AT_ONCE, _AT_ONCE_SPREAD, _LEAST = 2**17, 2**18, 2**15
# Orders up to which BLAS has one thread, for on two cores two gain less than a fifth: in eigh, in its derivatives, in eig of
# complex matrices, of real ones. Threads over any batch gain more. Idle threads of BLAS keep the cores busy for a tenth of a
# second: those of NumPy's BLAS, SciPy's and torch's lose, up to ten times, where they wait for each other. So derivatives of eig
# leave one to BLAS, and share products and solutions here.
_MEDIUM, _LARGE, _COMPLEX, _REAL = 256, 512, 512, 1024
# Entries of a block of rows: of one matrix few, for the memory that they take; of many, which threads share, so many that threads
# do not wait for each other between the steps.
_BLOCK, _BLOCK_OF_MANY, _LEAST_IN_BLOCKS = 2**13, 2**15, 2**12
_ROOMY = 128  # order from which matrices are decomposed with room between their columns
_SECONDS = {"f": 5e-11, "c": 1.8e-10}  # that a row of a product takes, divided by the other two lengths


class LapackBackend(StandardBackend):
    """NumPy."""

    normalised = True

    def admit(self, name: str, X: Array, /) -> Array:
        """X in the machine's byte order and of class ndarray; classes that say more than their numbers are refused."""
        if type(X) is np.ndarray and X.dtype.isnative:
            return X
        if not isinstance(X, np.generic) and type(X) not in (np.ndarray, np.matrix, np.memmap):
            raise InputTypeError(
                f"{name} must be a plain NumPy array, got {type(X).__module__}.{type(X).__qualname__}; convert it first "
                f"(numpy.asarray drops masks and units)"
            )
        X = np.asarray(X)
        return X if X.dtype.isnative else X.astype(X.dtype.newbyteorder("="))

    def eig(self, A: Array, /) -> EigPair:
        """By LAPACK and, for many matrices of order 2 or 3, in closed form where that is as good."""
        n = A.shape[-1]
        if n not in _order.SMALL:
            w, V = super().eig(A)
            if A.ndim == 3 and self.spreads(A.shape[0], n):
                w, V = self.spread(w), self.spread(V)
            return EigPair(w, V)
        if A.ndim == 2:
            w, V = self.solve_eig(A)
            order = small.reordering(w, A.dtype.kind == "f")
            return EigPair(w, V) if order is None else EigPair(w.take(_index(*order)), V.take(_index(*order), 1))
        if not small.enough(A):
            return super().eig(A)
        matrices = A.reshape(-1, n, n)
        w, V, done = small.eig(matrices)
        if not done.all():
            w[~done], V[~done] = super().eig(matrices[~done])
        return EigPair(w.reshape(A.shape[:-1]), V.reshape(A.shape))

    def solver_eig(self, A: Array, /) -> EigPair:
        if len(slices := _slices(A, 2.5e-7)) > 1:
            dtype = np.result_type(A.dtype, np.complex64)
            return EigPair(*_batched(self.solve_eig, A, slices, dtype, dtype))
        with threads.limited(A.shape[-1], _COMPLEX if A.dtype.kind == "c" else _REAL):
            return EigPair(*self.solve_eig(A))

    def solve_eig(self, A: Array, /) -> EigPair:
        """The library's eigenpairs of a batch."""
        if A.shape[-1] < _ROOMY or not A.size:
            w, V = np.linalg.eig(A)
            return EigPair(w, V) if w.dtype.kind == "c" else EigPair(promote_complex(w), promote_complex(V))
        dtype = np.result_type(A, np.complex64)
        w, V = np.empty(A.shape[:-1], dtype), np.empty(A.shape, dtype)
        for i in np.ndindex(A.shape[:-2]):
            w[i], V[i] = fortran.geev(A[i].astype(np.result_type(A, np.float64), copy=False))  # as NumPy, in double
        return EigPair(w, V)

    def eigh(self, A: Array, /) -> EigPair:
        if len(slices := _slices(A, 7e-8)) > 1:
            return EigPair(*_batched(np.linalg.eigh, A, slices, A.real.dtype, A.dtype))
        with threads.limited(A.shape[-1], _MEDIUM):
            return super().eigh(A)

    def eigvalsh(self, A: Array, /) -> Array:
        if len(slices := _slices(A, 3e-8)) > 1:
            return _batched(np.linalg.eigvalsh, A, slices, A.real.dtype)[0]
        with threads.limited(A.shape[-1], _MEDIUM):
            return super().eigvalsh(A)

    def eig_pencil(self, A: Array, B: Array, /) -> PencilPairs:
        """By the QZ algorithm, for any B."""
        dtype = np.result_type(A.dtype, np.complex64)
        alpha, V = np.empty(A.shape[:-1], dtype=dtype), np.empty(A.shape, dtype=dtype)
        beta = np.empty_like(alpha)
        (ggev,) = get_lapack_funcs(("ggev",), dtype=A.dtype)
        with threads.limited(A.shape[-1], _MEDIUM):  # and no more: ggev holds the GIL
            for i in np.ndindex(A.shape[:-2] if A.size else 0):
                *a, beta[i], _, vr, _, info = ggev(A[i], B[i], compute_vl=0, lwork=_lwork(ggev, A[i], B[i]))
                if info:
                    raise LinAlgError(f"the QZ algorithm did not converge (LAPACK's ggev returned info = {info})")
                alpha[i], V[i] = a[0], vr
                if len(a) == 2:
                    alpha[i].imag = a[1]
                    _pair(alpha[i], beta[i], V[i])
        return PencilPairs(alpha, beta, V, np.ones(A.shape[:-2], dtype=V.real.dtype))

    def eigh_definite(self, A: Array, B: Array, /) -> DefinitePairs:
        w, V = np.zeros(A.shape[:-1], dtype=A.real.dtype), np.zeros(A.shape, dtype=A.dtype)
        least = np.ones(A.shape[:-2], dtype=A.real.dtype)
        with threads.limited(A.shape[-1], _MEDIUM):
            for i in np.ndindex(A.shape[:-2] if A.size else 0):
                try:
                    w[i], V[i] = eigh(A[i], B[i], check_finite=False)
                except LinAlgError:
                    b = np.linalg.eigvalsh(B[i])
                    top = np.abs(b).max()
                    least[i] = min(b[0] / top, 0) if top > 0 else 0
                    if b[0] > B.shape[-1] * np.finfo(B.dtype).eps * top:
                        raise  # it is not B that is wrong
        return DefinitePairs(w, V, least)

    def factorise(self, V: Array, /) -> Factor:
        return factorise(V)

    def blocks(self, shape: tuple[int, ...], /) -> Sequence[slice]:
        n, size = shape[-2], prod(shape)
        if size < _LEAST_IN_BLOCKS:
            return [slice(0, n)]
        most = _BLOCK if size == prod(shape[-2:]) else _BLOCK_OF_MANY
        rows = max(2, min(most * n // size, n // 4))
        return [slice(i, min(i + rows, n)) for i in range(0, n, rows)]

    def by_rows(self, function: Callable[[slice], Array], shape: tuple[int, ...], /) -> Array:
        first, *others = self.blocks(shape)
        part = function(first)
        if not others:
            return part
        out = np.empty(shape, part.dtype)
        out[..., first, :] = part
        for rows in others:
            out[..., rows, :] = function(rows)
        return out

    def held(self, n: int, own_threads: bool, /) -> AbstractContextManager[None]:
        return threads.limited(n, n if own_threads else _LARGE)

    def product(self, X: Array, Y: Array, /) -> Array:
        rows, seconds = X.shape[-2], _SECONDS[Y.dtype.kind] * X.size * Y.shape[-1]
        slices = threads.divided(rows, seconds / max(rows, 1))
        if len(slices) == 1:
            return X @ Y
        batch = np.broadcast_shapes(X.shape[:-2], Y.shape[:-2])
        out = np.empty((*batch, rows, Y.shape[-1]), np.result_type(X, Y))

        def fill(part: slice) -> None:
            np.matmul(X[..., part, :], Y, out=out[..., part, :])

        threads.run(fill, slices)
        return out

    def quiet(self) -> AbstractContextManager[Any]:
        return np.errstate(all="ignore")

    def run(self, function: Callable[[Any], Any], parts: Sequence[Any], /) -> list[Any]:
        return threads.run(function, parts)

    def at_once(self, members: int, n: int, /) -> int:
        entries, most = members * n**2, _AT_ONCE_SPREAD if self.spreads(members, n) else _AT_ONCE
        parts = 2 * ceil(entries / (2 * most)) if entries > _LEAST else 1
        return ceil(members / parts)

    def in_numbers(self, X: Array, /) -> bool:
        return X.ndim == 2 and X.shape[0] == X.shape[1] and X.shape[0] in _order.SMALL

    def spreads(self, members: int, n: int, /) -> bool:
        return n <= _TINY and members >= _MANY

    def spread(self, X: Array, /) -> Array:
        if X.strides[0] == X.itemsize:
            return X
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(X, 0, -1)), -1, 0)

    def at_hand(self, X: Array, /) -> bool:
        return True

    def seen_empty(self, where: Array, /) -> bool:
        return not where.any()

    def to_host(self, X: Array, /) -> Any:
        return X

    def from_host(self, x: Any, like: Array, /) -> Array:
        return x

    def on_host(
        self, function: Callable[..., Any], results: Sequence[tuple[tuple[int, ...], Any]], /, *arrays: Array
    ) -> tuple[Array, ...]:
        return as_tuple(function(*arrays))


@cache
def _index(*order: int) -> Array:
    return np.array(order)


def _slices(A: Array, seconds: float) -> list[slice]:
    """Those of a stack of square matrices, one where threads do not pay.

    seconds: that a matrix takes, divided by n^2, to which times are about in proportion between orders 4 and 64.
    """
    n, count = A.shape[-1], prod(A.shape[:-2])
    slices = threads.cut(count, seconds * n**2)
    return slices if n <= _LARGE or count >= threads.number() else [slice(None)]


def _batched(function: Callable[[Array], Any], A: Array, slices: list[slice], *dtypes: Any) -> tuple[Array, ...]:
    """Values (..., n), or values and vectors (..., n, n), of a stack of square matrices, by threads."""
    out = [np.empty(A.shape[:k], dtype) for k, dtype in zip((A.ndim - 1, A.ndim), dtypes, strict=False)]
    stack, *parts = (x.reshape(-1, *x.shape[A.ndim - 2 :]) for x in (A, *out))

    def fill(where: slice) -> None:
        for part, found in zip(parts, as_tuple(function(stack[where])), strict=True):
            part[where] = found

    threads.run(fill, slices)
    return tuple(out)


def _lwork(ggev: Any, A: Array, B: Array) -> int:
    """The workspace that is best for A's order."""
    return int(ggev(A, B, compute_vl=0, lwork=-1)[-2][0].real)


def _pair(alpha: Array, beta: Array, V: Array) -> None:
    """Make what ggev returns for a real pencil conjugate: it scales the two of a pair differently, and stores Re v, Im v."""
    first = np.flatnonzero(alpha.imag > 0)
    alpha[first + 1], beta[first + 1] = alpha[first].conj(), beta[first]
    V[:, first] += 1j * V[:, first + 1]
    V[:, first + 1] = V[:, first].conj()


BACKEND = LapackBackend()
