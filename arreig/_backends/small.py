"""Closed-form eigenpairs of many matrices of order 2 or 3 at once, for those where they are as good as LAPACK's; and their order.

With the mean m of the diagonal, B = A - m I has the eigenvalues w with det(B - w I) = 0: +-sqrt(-det B) for n = 2, and for n = 3
the roots of w^3 + c1 w - c0, c1 the sum of the principal minors, c0 = det B: by cosines where all three are real, by Cardano's
formula elsewhere, and one step of Newton's method. The columns of the adjugate of B - w I are eigenvectors, of which the largest
is taken; by the theorem of Cayley and Hamilton it is a polynomial in w,

    adj(B - w I) = -(B + w I)   (n = 2),      adj(B) + w B + w^2 I   (n = 3).

A matrix is left to LAPACK unless each pair has |A v - w v| <= 7 u |A|_F |v|, eigenvalues are apart by 1e-3 |A| (nearer ones, and
defective matrices, lose digits in a polynomial), every row and every column has an entry of 1e-2 |A| or more (balancing helps
with others), and |A| is far from where powers of it overflow or vanish. Single precision is computed in double.

Eigenvalues are in the order of `_order.small_key`; where rounding could change that order, LAPACK has the last word.

Sources: Kopp, Efficient numerical diagonalization of Hermitian 3 x 3 matrices, Int. J. Mod. Phys. C 19 (2008) 523; Horn, Johnson,
Matrix Analysis (2013), sec. 0.8.2 and 2.4.
"""

from math import ceil
from typing import Any, Self

import numpy as np

from .._order import TILT, small_key
from .._types import Array
from . import threads

Numbers = np.ndarray[Any, Any]

_MANY_REAL, _MANY_COMPLEX = 160, 64  # matrices, of which LAPACK takes as long as the closed form
_BLOCK = 2**14  # matrices at once, no more; in an even number of blocks, which two threads take side by side
_RESIDUAL = 7 * 2.0**-53  # of |A|: leaves room for the rounding of the shift, and of the residual
_APART, _ORDERED, _BALANCED = 1e-3, 1e-6, 1e-2  # relative to the largest modulus of an entry
_TINY, _HUGE = 1e-45, 1e45  # whose sixth powers are numbers


def reordering(w: Array, real_matrix: bool) -> list[int] | None:
    """What puts the eigenvalues of one matrix, of NumPy or torch, in order, None if they are: in Python, where it is quick."""
    keys: list[float] = (w.real if real_matrix else w.real + TILT * w.imag).tolist()
    if sorted(keys, reverse=True) == keys:
        return None
    return sorted(range(len(keys)), key=keys.__getitem__, reverse=True)  # stable


def enough(A: Numbers) -> bool:
    """Whether there are so many matrices that the closed form is faster than LAPACK."""
    n = A.shape[-1]
    return bool(A.size >= (_MANY_COMPLEX if np.iscomplexobj(A) else _MANY_REAL) * n * n)


def eig(A: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Eigenvalues (N, n), eigenvectors (N, n, n), both complex, of matrices (N, n, n), and which (N,) are done.

    In memory the batch is the last axis.
    """
    N, n = A.shape[:2]
    dtype = np.result_type(A, np.complex64)
    w, V, done = np.empty((n, N), dtype), np.empty((n, n, N), dtype), np.zeros(N, bool)
    solve = _complex if np.iscomplexobj(A) else _real
    block = ceil(N / (2 * ceil(N / (2 * _BLOCK))))

    def fill(i: int) -> None:
        here = slice(i, i + block)
        with np.errstate(all="ignore"):  # of matrices that are left to LAPACK
            solve(*_Traceless.of(A[here]), w[:, here], V[:, :, here], done[here])

    threads.run(fill, range(0, N, block))
    return w.T, V.transpose(2, 0, 1), done


def _square(x: Numbers) -> Numbers:
    out: Numbers = x.real**2 + x.imag**2 if x.dtype.kind == "c" else x * x
    return out


# adj(B) = B[P] B[Q] - B[R] B[S] of a B of order 3, row by row
_P, _Q = np.array([[4, 2, 1, 5, 0, 2, 3, 1, 0], [8, 7, 5, 6, 8, 3, 7, 6, 4]])
_R, _S = np.array([[5, 1, 2, 3, 2, 0, 4, 0, 1], [7, 8, 4, 8, 6, 5, 6, 7, 3]])


class _Traceless:
    """B of matrices, and what follows from it."""

    def __init__(self, n: int, rows: Numbers, limits: Numbers) -> None:
        self.n, self.rows, self.limits = n, rows, limits  # of which all else are parts
        self.B = rows[: n * n]  # row by row
        self.C = rows[n * n : -3]  # for n = 3 adj(B)
        self.mean, self.c1, self.c0 = rows[-3:]  # c0 for n = 3
        self.top, self.bound = limits  # about the largest modulus of an entry of A; for the square of a residual

    @classmethod
    def of(cls, A: Numbers) -> tuple[Self, Numbers]:
        """Of matrices (N, n, n); and which (N) are balanced, and far from overflow."""
        N, n = A.shape[:2]
        rows = np.empty(((n - 1) * n * n + 3, N), np.result_type(A, np.float64))
        self = cls(n, rows, np.empty((2, N)))
        B = self.B
        B[...] = A.reshape(N, n * n).T
        moduli = (np.abs(B.real) + np.abs(B.imag) if B.dtype.kind == "c" else np.abs(B)).reshape(n, n, N)
        lines = np.concatenate([moduli.max(0), moduli.max(1)])
        lines.max(0, out=self.top)
        tame = (self.top > _TINY) & (self.top < _HUGE) & (lines.min(0) > _BALANCED * self.top)
        np.multiply(_square(B).sum(0), _RESIDUAL**2, out=self.bound)
        np.divide(B[:: n + 1].sum(0), n, out=self.mean)
        B[:: n + 1] -= self.mean
        if n == 2:
            np.negative(B[0] * B[0] + B[1] * B[2], out=self.c1)
        else:
            np.subtract(B.take(_P, 0) * B.take(_Q, 0), B.take(_R, 0) * B.take(_S, 0), out=self.C)
            self.C[::4].sum(0, out=self.c1)
            (B[:3] * self.C[::3]).sum(0, out=self.c0)
        return self, tame

    def some(self, where: Numbers) -> Self:
        """Those of an index."""
        return type(self)(self.n, self.rows.take(where, 1), self.limits.take(where, 1))

    def newton(self, w: Numbers) -> Numbers:
        """One step towards a root of the cubic."""
        square = w * w
        out: Numbers = w - ((square + self.c1) * w - self.c0) / (3 * square + self.c1)
        return out

    def vectors(self, w: Numbers, pair: bool = False) -> tuple[Numbers, Numbers]:
        """Eigenvectors (n, k, N) of eigenvalues (k, N), real ones of real ones, and which (N) have small residuals all.

        pair: the first two of w and of the vectors are real and imaginary part of one.
        """
        n, B = self.n, self.B[:, None]
        real_parts = slice(None, None, 2) if pair else slice(None)  # of the rows of w
        if n == 3:
            J, multiple = B * w, w * w  # of I
            J[:, real_parts] += self.C[:, None]
            if pair:
                multiple[0] -= multiple[1]
                np.multiply(2 * w[0], w[1], out=multiple[1])
        else:
            J, multiple = np.zeros((4, *w.shape), B.dtype), w
            J[:, real_parts] = B
        J[:: n + 1] += multiple
        v, best = J[::n], _sums(J[::n], pair)
        for j in range(1, n):
            column = J[j::n]
            size = _sums(column, pair)
            larger = size > best
            best = np.maximum(size, best)
            v = np.where(larger, column, v)
        v /= np.sqrt(best)
        del J, column  # their memory serves again
        residual = (B.reshape(n, n, 1, -1) * v).sum(1)
        if pair:
            residual[:, 0] += w[1] * v[:, 1]
            residual[:, 1] -= w[1] * v[:, 0]
            w = np.concatenate([w[:1], w[:1], w[2:]])
        residual -= w * v
        return v, (_sums(residual, pair) <= self.bound).all(0)


def _sums(X: Numbers, pair: bool) -> Numbers:
    """Squares of the norms (k, N) of vectors (n, k, N); pair: of the first two, the parts of one, that of it."""
    out: Numbers = _square(X).sum(0)
    if pair:
        out[:2] = out[0] + out[1]
    return out


def _real(M: _Traceless, tame: Numbers, w: Numbers, V: Numbers, done: Numbers) -> None:
    """Of real matrices."""
    discriminant = -M.c1 if M.n == 2 else -4 * M.c1 * M.c1 * M.c1 - 27 * M.c0 * M.c0
    where = np.flatnonzero(tame & (discriminant > 0))
    if where.size:
        some = M.some(where)
        roots = _square_roots(-some.c1) if M.n == 2 else _three_real(some)
        vectors, good = some.vectors(roots)
        w[:, where] = roots + some.mean
        V[:, :, where] = vectors
        done[where] = good & (roots[:-1] - roots[1:] > _APART * some.top).all(0)
    where = np.flatnonzero(tame & (discriminant < 0))
    if where.size:
        some = M.some(where)
        if M.n == 2:
            first, roots = 0 * where, np.stack([0 * some.c1, np.sqrt(some.c1)])
            good = roots[1] > _APART / 2 * some.top
        else:
            roots = _one_real(some)
            x, y, root = roots
            first = np.where(root > x, 1, 0)  # slot of the pair
            gap = np.abs(root - x)
            good = (gap > _ORDERED * some.top) & (np.maximum(gap, y) > _APART * some.top) & (y > _APART / 2 * some.top)
        vectors, small = some.vectors(roots, pair=True)
        value, vector = roots[0] + some.mean + 1j * roots[1], vectors[:, 0] + 1j * vectors[:, 1]
        w[first, where], V[:, first, where] = value, vector
        w[first + 1, where], V[:, first + 1, where] = value.conj(), vector.conj()
        if M.n == 3:
            last = 2 - 2 * first
            w[last, where], V[:, last, where] = root + some.mean, vectors[:, 2]
        done[where] = good & small


def _square_roots(square: Numbers) -> Numbers:
    root = np.sqrt(square)
    return np.stack([root, -root])


def _three_real(M: _Traceless) -> Numbers:
    """Descending (3, N)."""
    radius = np.sqrt(M.c1 / -3)
    angle = np.arccos(np.clip(M.c0 / (2 * radius * radius * radius), -1, 1)) / 3
    x, y = radius * np.cos(angle), np.sqrt(3) * radius * np.sin(angle)
    return M.newton(np.stack([2 * x, y - x, -x - y]))


def _one_real(M: _Traceless) -> Numbers:
    """Real and imaginary part of the root above the real axis, and the real one (3, N)."""
    p, q = M.c1 / 3, M.c0 / 2
    large = np.cbrt(q + np.copysign(np.sqrt(q * q + p * p * p), q))
    root = M.newton(large - np.where(large == 0, 0, p / large))
    above = M.newton(root / -2 + 1j * np.sqrt(np.maximum(0.75 * root * root + M.c1, 0)))
    return np.stack([above.real, above.imag, root])


def _complex(M: _Traceless, tame: Numbers, w: Numbers, V: Numbers, done: Numbers) -> None:
    """Of complex matrices."""
    if M.n == 2:
        roots = _square_roots(-M.c1)
    else:
        p, q = M.c1 / 3, M.c0 / 2
        root = np.sqrt(q * q + p * p * p)
        large = q + np.where((q.conj() * root).real < 0, -root, root)
        u = np.exp(np.log(large) / 3) * np.exp(2j * np.pi / 3 * np.arange(3))[:, None]
        roots = M.newton(u - p / u)
    keys = small_key(roots, False)
    good = tame
    for i, j in ((0, 1), (1, 2), (0, 1))[: 1 if M.n == 2 else 3]:
        swap = keys[j] > keys[i]
        for x in (roots, keys):
            x[i], x[j] = np.where(swap, x[j], x[i]), np.where(swap, x[i], x[j])
    for i, j in ((0, 1), (1, 2), (0, 2))[: 1 if M.n == 2 else 3]:
        good &= _square(roots[i] - roots[j]) > (_APART * M.top) ** 2
    vectors, small = M.vectors(roots)
    done[...] = good & small & (keys[:-1] - keys[1:] > _ORDERED * M.top).all(0)
    w[...] = roots + M.mean
    V[...] = vectors
