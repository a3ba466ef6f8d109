"""The adjoint equation of `eig` without B where eigenvalues are known to be distinct: nothing masked, no n x n array of gaps.

F o P is made a block of rows at a time, with F_ij = conj(d_ij)/|d_ij|^2, d_ij = w_j - w_i, from w itself: what it takes stays in
the cache. To the squares u^3 ||A||^2 is added, below rounding where eigenvalues are resolved: equal ones are found afterwards.
"""

from dataclasses import dataclass, field, replace
from functools import reduce
from typing import NamedTuple, Self

from .._array_api import adjoint, conj, largest, namespace, roundoff
from .._gauge import Gauge
from .._types import Array
from ._basis import Basis
from ._refinement import asks
from .eig import AdjointEquation


class Weighed(NamedTuple):
    """diag(x) + conj(F) o P, and what else the sweep over F gives."""

    P: Array
    largest_F2: Array  # (...), of |F_ij|^2
    sums: Array  # (..., n), sum_j |F_ij|^2 b_j


def weighed(basis: Basis, x: Array, gh: Array, w: Array, size: Array, b: Array) -> Weighed:
    """diag(x) + conj(F) o P with P = V^H gh, for nonnegative numbers b (..., n)."""
    P = basis.tested(gh)
    xp = namespace(P)
    floor = (roundoff(P) ** 3 * xp.where(size > 0, size, 1.0) ** 2)[..., None, None]
    tops: list[Array] = []
    sums: list[Array] = []

    def of_rows(rows: slice) -> Array:
        part, F2 = basis.weighed_rows(x, P, w, rows, floor)
        tops.append(largest(F2, (-2, -1))[..., 0, 0])
        sums.append(basis.product(F2, b[..., None])[..., 0])
        return part

    weighted = basis.arithmetic.by_rows(of_rows, P.shape)
    if len(tops) == 1:
        return Weighed(weighted, tops[0], sums[0])
    return Weighed(weighted, reduce(xp.maximum, tops), xp.concat(sums, axis=-1))


@dataclass(frozen=True, eq=False)
class DistinctAdjointEquation(AdjointEquation):
    """A^H Y - Y conj(diag w) = -gh,  diag(V^H Y) = gw, where no member has anything to refuse."""

    Z: Array | None = field(kw_only=True)  # of `_estimate`, for norms that are only estimated

    @classmethod
    def of(
        cls,
        gV: Array,
        gw: Array,
        A: Array,
        w: Array,
        V: Array,
        basis: Basis,
        Z: Array | None,
        /,
        *,
        sensitivity: Array,
        size: Array,
        gauge: Gauge,
    ) -> Self:
        """sensitivity may be an estimate."""
        gh = basis.projected(gauge, V, basis.columns(gV))
        return cls(basis, gh, basis.values(gw), A, w, sensitivity, size, Z=Z)

    def coefficients(self) -> tuple[Array, Array, Array]:
        """gP, the largest |F_ij|^2 (...), and (sum_j |F_ij|^2 (||v_j|| ||gh_j||)^2)^(1/2) (..., n)."""
        xp, basis = namespace(self.gh), self.basis
        columns = basis.lengths * (self.lengths if self.Z is None else basis.norm(adjoint(self.Z) @ self.gh))
        top = largest(columns, -1)
        b = (columns / xp.where(top > 0, top, 1.0)) ** 2
        weighted = weighed(basis, self.gw, self.gh, self.w, self.size, b)
        return weighted.P, weighted.largest_F2, top * xp.sqrt(weighted.sums)

    def some(self, where: Array) -> Self:
        """That of the members (N,) of a batch (N,), with an `inverted` basis."""
        fields = {name: getattr(self, name)[where] for name in ("gh", "gw", "A", "w", "sensitivity", "size")}
        return replace(self, basis=self.basis.some(where), **fields)

    def _solved(self, gw: Array, gh: Array) -> Array:
        basis = self.basis
        weighted = weighed(basis, gw, gh, self.w, self.size, 0 * self.sensitivity)
        return basis.solve_adjoint(weighted.P)

    def asking(self, Y: Array) -> Array:
        """Columns (..., n) whose residual may be above rounding: by an estimate, or by one that is no less than it."""
        basis, w = self.basis, self.w
        if self.Z is None:
            R = self._missing(Y)
            return asks(basis.norm(R), basis.norm(Y), self.lengths, w, self.sensitivity, self.size)
        Zh = adjoint(self.Z)
        ZY, Zg = Zh @ Y, Zh @ self.gh
        R = Zg + (adjoint(basis.matrix(self.A) @ self.Z) @ Y - basis.scaled(ZY, conj(w)))
        return asks(basis.norm(R), basis.norm(ZY), basis.norm(Zg), w, self.sensitivity, self.size)
