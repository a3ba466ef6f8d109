"""The eigenvectors of a real matrix as a basis in real arithmetic: a quarter of the operations, half of the memory.

Eigenvalues of a real A are real, with real vectors, or come in conjugate pairs, here neighbours, +imag first. All that a rule
makes of them is closed under conjugation, too: x_p = conj(x_j) for the partners j and p. Such columns X have two real ones for
two complex ones,

    X = X_R T,    column j of X_R:  Re x_j where Im w_j >= 0,  -Im x_j where Im w_j < 0,    T = [[1, 1], [i, -i]] on each pair

T T^H = D, 2 on pairs, 1 on real eigenvalues. D commutes with T. So T^-1 = D^-1 T^H, and with V = R T, coefficients P = T^H P_R T:

    V^H X = T^H (R^T X_R) T       W P = R^-T T^-H T^H P_R T = (R^-T P_R) T             Y V^H = Y_R D R^T
    V P = (R D P_R) T             V^-1 X = T^-1 R^-1 X_R T = T^H (D^-1 R^-1 X_R) T       W = V^-H = (R^-T D^-1) T

Sums and products with a real matrix on the left are those of X_R. A block of P_R on two pairs, [[a, b], [c, d]], is

    P_jk = (a + d) + i (b - c)      P_pk = (a - d) + i (b + c)

of P, the others are conjugate to these. Solved for a, and for b, c, d with partners exchanged, this gives Q = F o P for weights F
closed under conjugation, with p the partner of j, q that of k, and the same also where one or both are real, p = j or q = k:

    (Q_R)_jk = K0 (P_R)_jk + K1 (P_R)_pq + K2 (P_R)_jq + K3 (P_R)_pk
    K0 = Re(F_jk + F_pk)/2    K1 = Re(F_jk - F_pk)/2    K2 = -Im(F_jk + F_pk)/2    K3 = Im(F_jk - F_pk)/2

K1 and K2 change their signs where k and q are exchanged, and vanish where q = k, so that K1 (P_R)_pq + K2 (P_R)_jq is what
-(K1 (P_R)_pk + K2 (P_R)_jk) becomes by that exchange.

Cotangents need not be closed. dA is real, so dV and dw are closed, and of a cotangent counts its mean over a pair,
(g_j + conj(g_p))/2.
"""

from dataclasses import dataclass, replace
from functools import reduce
from math import prod
from typing import Any

from .._array_api import (
    cached_property,
    column_norm,
    conj,
    device,
    diagonal,
    imag,
    is_complex,
    namespace,
    real,
)
from .._gauge import Gauge
from .._types import Array
from ._basis import Arithmetic, Basis, Factor, Inverse, repeated, rows_of


@dataclass(frozen=True, eq=False)
class Partners:
    """Which eigenvalues (..., n) are the first (Im w > 0), and the second (Im w < 0), of a pair."""

    up: Array
    down: Array

    @classmethod
    def of(cls, w: Array) -> "Partners":
        """From the eigenvalues of a real matrix in their order."""
        return cls(imag(w) > 0, imag(w) < 0)

    @property
    def paired(self) -> Array:
        """Those that have a partner."""
        return self.up | self.down

    @cached_property
    def _index(self) -> Array:
        """The partner of each eigenvalue, in the batch flattened to one axis."""
        xp = namespace(self.up)
        up, down = (xp.reshape(x, (-1,)) for x in (self.up, self.down))
        i = xp.arange(up.shape[0], device=device(up))
        return i + xp.astype(up, i.dtype) - xp.astype(down, i.dtype)

    @cached_property
    def _indices(self) -> dict[int, Array]:
        return {}

    def _index_of(self, m: int) -> Array:
        """Where in an array (..., m, n), flattened, the partner of each entry of a row is."""
        if m not in self._indices:
            xp, (*batch, n), here = namespace(self.up), self.up.shape, device(self.up)
            members = xp.arange(prod(batch), device=here) * (n * (m - 1))
            rows = xp.arange(m, device=here) * n
            first = xp.reshape(self._index, (prod(batch), 1, n)) + members[:, None, None]
            self._indices[m] = xp.reshape(first + rows[:, None], (-1,))
        return self._indices[m]

    def swapped(self, x: Array) -> Array:
        """x with partners exchanged on the last axis; x (..., n) or (..., m, n)."""
        xp = namespace(x)
        index = self._index if x.ndim == self.up.ndim else self._index_of(x.shape[-2])
        return xp.reshape(xp.take(xp.reshape(x, (-1,)), index, axis=0), x.shape)

    def rows_swapped(self, X: Array) -> Array:
        """X (..., n, m) with partners exchanged on the last axis but one."""
        xp = namespace(X)
        rows = xp.reshape(X, (self._index.shape[0], X.shape[-1]))
        return xp.reshape(xp.take(rows, self._index, axis=0), X.shape)

    def rows_of_partners(self, X: Array, rows: slice) -> Array:
        """The partners' rows of some rows of X (..., n, m)."""
        xp = namespace(X)
        index = xp.reshape(self._index, self.up.shape)[..., rows]
        found = xp.take(xp.reshape(X, (-1, X.shape[-1])), xp.reshape(index, (-1,)), axis=0)
        return xp.reshape(found, (*index.shape, X.shape[-1]))

    def columns(self, X: Array) -> Array:
        """X_R of an X that is closed."""
        return namespace(X).where(self.down[..., None, :], -imag(X), real(X))

    def mean_columns(self, X: Array) -> Array:
        """X_R of the mean of any X over pairs, (x_j + conj(x_p))/2."""
        xp = namespace(X)
        re, im, up = real(X), imag(X), self.up[..., None, :]
        return (xp.where(self.down[..., None, :], -im, re) + self.swapped(xp.where(up, im, re))) / 2

    def array(self, P: Array) -> Array:
        """X_R T."""
        xp, up, down = namespace(P), self.up[..., None, :], self.down[..., None, :]
        re = xp.where(down, xp.roll(P, 1, axis=-1), P)
        im = xp.where(up, xp.roll(P, -1, axis=-1), xp.where(down, -P, 0.0))
        return re + 1j * im


@dataclass(frozen=True, eq=False)
class ConjugateBasis(Basis):
    """Columns X_R and coefficients P_R; factor: of V_R."""

    V: Array
    partners: Partners
    factor: Factor
    arithmetic: Arithmetic
    pencil: None = None

    @cached_property
    def _d(self) -> Array:
        """The diagonal (..., n) of D."""
        return namespace(self.V).astype(self.partners.paired, self.V.dtype) + 1

    def columns(self, X: Array, /) -> Array:
        return self.arithmetic.by_rows(lambda rows: self.partners.mean_columns(rows_of(X, rows)), X.shape)

    def array(self, X: Array, /) -> Array:
        return self.partners.array(X)

    def values(self, x: Array, /) -> Array:
        return (x + conj(self.partners.swapped(x))) / 2

    def together(self, x: Array, /) -> Array:
        return namespace(x).maximum(x, self.partners.swapped(x))

    def joint(self, turns: Array, /) -> Array:
        return namespace(turns).where(self.partners.paired, turns - self.partners.swapped(turns), turns)

    def matrix(self, A: Array, /) -> Array:
        return A

    def norm(self, X: Array, /) -> Array:
        x = column_norm(X)
        xp = namespace(x)
        return xp.where(self.partners.paired, xp.hypot(x, self.partners.swapped(x)), x)

    def along(self, X: Array, /) -> Array:
        def of_rows(rows: slice) -> tuple[Array, Array]:
            xp, V, here = namespace(X), rows_of(self.V, rows), rows_of(X, rows)
            return xp.sum(V * here, axis=-2), xp.sum(self.partners.swapped(V) * here, axis=-2)

        parts = map(of_rows, self.arithmetic.blocks(X.shape))
        a, b = reduce(lambda x, y: (x[0] + y[0], x[1] + y[1]), parts)
        return self._summed(a, -b)

    def _summed(self, a: Array, b: Array) -> Array:
        """Complex numbers (..., n) from what belongs to the real vectors."""
        xp, partners = namespace(a), self.partners
        re = xp.where(partners.paired, a + partners.swapped(a), a)
        return re + 1j * xp.where(partners.paired, b - partners.swapped(b), 0.0)

    def multiples(self, c: Array, /) -> Array:
        return self.scaled(self.V, c)

    @cached_property
    def squares(self) -> Array:
        a = namespace(self.V).sum(self.V * self.V, axis=-2)
        return namespace(a).where(self.partners.paired, a + self.partners.swapped(a), a)

    def scaled(self, X: Array, c: Array, /) -> Array:
        minus_imag = real(1j * c)  # c may be a conjugate that is not computed yet, of which vmap has no imaginary part
        return X * real(c)[..., None, :] + self.partners.swapped(X) * minus_imag[..., None, :]

    def weights(self, F: Array, /) -> Any:
        F = 0.5 * F
        G = self.partners.rows_swapped(F)
        total, difference = F + G, F - G
        return real(total), real(difference), imag(total), imag(difference)  # K0, K1, -K2, K3

    def weighted(self, F: Any, P: Array, /) -> Array:
        K0, K1, minus_K2, K3 = F
        Q = self.partners.rows_swapped(P)
        return K0 * P + K3 * Q + self.partners.swapped(minus_K2 * P - K1 * Q)

    def weighed_rows(self, x: Array, P: Array, w: Array, rows: slice, floor: Array, /) -> tuple[Array, Array]:
        a, b = real(w), imag(w)
        re = a[..., None, :] - a[..., rows, None]
        near, far = b[..., None, :] - b[..., rows, None], b[..., None, :] + b[..., rows, None]  # far: from conj(w_i)
        xp, square = namespace(w), re * re + floor
        own, partner = on_diagonal = self._on_diagonal(rows)
        F2 = 1 / xp.where(own, xp.inf, square + near * near)
        q, q_far = F2 / 2, 0.5 / xp.where(partner, xp.inf, square + far * far)
        Q, P = self.partners.rows_of_partners(P, rows), P[..., rows, :]
        F, G, near, far = re * q, re * q_far, near * q, far * q_far
        weighted = (F + G) * P + (near - far) * Q + self.partners.swapped((near + far) * P - (F - G) * Q)
        return weighted + self._diagonal_rows(x, rows, on_diagonal), F2

    def _on_diagonal(self, rows: slice) -> tuple[Array, Array]:
        """Masks of rows: the diagonal, and where partners are."""
        xp, up, down = namespace(self.V), self.partners.up, self.partners.down
        i = xp.arange(self.V.shape[-1], device=device(self.V))
        partner = i + xp.astype(up, i.dtype) - xp.astype(down, i.dtype)
        return i[rows, None] == i, partner[..., rows, None] == i

    def _diagonal_rows(self, x: Array, rows: slice, on_diagonal: tuple[Array, Array]) -> Array:
        """Rows of the coefficients diag(x)."""
        xp, (own, partner) = namespace(x), on_diagonal
        half = xp.where(self.partners.paired, imag(x) / 2, 0.0)[..., rows, None]
        return xp.where(own, (real(x) / self._d)[..., rows, None], xp.where(partner, half, 0.0))

    def with_diagonal(self, P: Array, x: Array, /) -> Array:
        rows = slice(0, x.shape[-1])
        return P + self._diagonal_rows(x, rows, self._on_diagonal(rows))

    def projected(self, gauge: Gauge, V: Array, G: Array, /) -> Array:
        along, pattern, t = gauge.cotangent_parts(V, self.squares, self.along(G))
        if t is not None:
            t = namespace(V).where(self.partners.down, -imag(t), real(t))

        def of_rows(rows: slice) -> Array:
            gh = rows_of(G, rows)
            if along is not None:
                R = rows_of(self.V, rows)
                gh = gh - (self.scaled(R, along) if is_complex(along) else R * along[..., None, :])
            return gh if pattern is None or t is None else gh - real(rows_of(pattern, rows)) * t[..., None, :]

        return self.arithmetic.by_rows(of_rows, G.shape)

    def diagonal(self, P: Array, /) -> Array:
        own, partner = self._on_diagonal(slice(0, P.shape[-1]))
        xp = namespace(P)
        return self._summed(diagonal(P), xp.sum(xp.where(partner & ~own, P, 0.0), axis=-1))

    def coefficients(self, P: Array, /) -> Array:
        xp, up, down = namespace(P), self.partners.up[..., :, None], self.partners.down[..., :, None]
        C = self.partners.array(P)
        first = xp.where(down, xp.roll(C, 1, axis=-2), C)
        second = xp.where(up, xp.roll(C, -1, axis=-2), xp.where(down, -C, 0.0))
        return first - 1j * second  # T^H C

    def combined(self, P: Array, /) -> Array:
        return self.product(self.V * self._d[..., None, :], P)

    def tested(self, X: Array, /) -> Array:
        return self.product(self.V.mT, X)

    def solve(self, X: Array, /) -> Array:
        return self.factor.solve(X) / self._d[..., :, None]

    def solve_adjoint(self, P: Array, /) -> Array:
        return self.factor.solve_adjoint(P)

    def outer(self, Y: Array, /) -> Array:
        return self.product(Y * self._d[..., None, :], self.V.mT)

    def solve_outer(self, X: Array, /) -> Array:
        return self.factor.solve_adjoint(X.mT)

    def some(self, where: Array, /) -> Basis:
        partners = Partners(self.partners.up[where], self.partners.down[where])
        return replace(self, V=self.V[where], partners=partners).inverted(self.left[where])

    def inverted(self, W: Array, /) -> Basis:
        return replace(self, factor=Inverse(W * self._d[..., None, :], self.arithmetic))

    def left_seen(self, Z: Array, /) -> Array:
        return self.factor.solve(repeated(Z, self.V)).mT / self._d[..., None, :]

    @property
    def left(self) -> Array:
        return self.factor.inverse_adjoint() / self._d[..., None, :]
