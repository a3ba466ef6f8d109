"""The eigenpairs that were kept, as the rule takes them: closed under conjugation where the matrices are real."""

from dataclasses import dataclass

from .._array_api import column_dot, column_norm, conj, first, imag, is_complex, largest, namespace, real
from .._types import Array

_ROUNDING = 1e2  # u (|A| + |w|) times this is what rounding makes of the imaginary part of a real eigenvalue
_FLAT = 1e-9  # imaginary part of a vector that is real
_MIRRORED = 1e-6  # departure of two vectors from being conjugate


@dataclass(frozen=True, eq=False)
class Kept:
    """K >= k eigenpairs, the caller's k first, and how to pass between the two.

    Real matrices have conjugate pairs, of which the selection may hold one member: the other is added, without cotangents. Of
    a pair one member, its *representative*, is solved for, with both cotangents, of which only Re(Y V^H) matters. The other is
    phase times its conjugate, and an eigenvector of a real eigenvalue phase times a real one.
    """

    w: Array  # (K,)
    V: Array  # (n, K)
    basis: Array  # (n, m) spans V, real for real matrices
    phase: Array | None  # (k,); None where all is as the caller has it
    partner: tuple[int, ...]  # (K,) index of the conjugate; its own for a real eigenvalue, or for complex matrices
    active: tuple[int, ...]  # representatives

    @classmethod
    def of(cls, w: Array, V: Array, *, conjugate_pairs: bool, size: float, u: float) -> "Kept":
        """conjugate_pairs: of a general real pencil, whose eigenvalues have them."""
        xp, k = namespace(V), w.shape[0]
        everyone = tuple(range(k))
        if not conjugate_pairs:
            return cls(w, V, V, None, everyone, everyone)
        anchor = first(xp.abs(V) == largest(xp.abs(V), -2))  # of several the first: an odd vector has v and -v
        top = xp.sum(xp.where(anchor, V, 0.0), axis=-2)
        turned = V * conj(top / xp.abs(top))
        # A real eigenvalue that was computed in complex arithmetic has some imaginary part, and its vector none, but for a phase.
        rounding = _ROUNDING * u * (size + xp.abs(w))
        flat = (xp.abs(imag(w)) <= rounding) | (column_norm(imag(turned)) <= _FLAT * column_norm(turned))
        partner, lone = _partners(w, V, rounding)
        alone = xp.asarray([partner[j] >= k for j in everyone])
        if bool(xp.any(alone & flat)):
            w = xp.where(alone & flat, real(w) + 0j, w)
            partner, lone = _partners(w, V, rounding)
        is_real = xp.asarray([partner[j] == j for j in everyone])
        phase = xp.where(is_real, top / xp.abs(top), 1.0)
        V = xp.where(is_real[None, :], real(V * conj(phase)[None, :]) + 0j, V)
        if bool(xp.all(is_real)):
            return cls(real(w), real(V), real(V), phase, everyone, everyone)
        active = tuple(j for j in everyone if partner[j] >= j)
        # Of a pair the second is taken for the conjugate of the first, times phase.
        leading = [min(j, partner[j]) for j in everyone]
        second = xp.asarray([j not in active for j in everyone])
        mirrored = conj(V[:, leading])
        phase = xp.where(second, column_dot(mirrored, V) / column_dot(mirrored, mirrored), phase)
        V = xp.where(second, mirrored, V)
        w, V = (xp.concat([x, conj(x[..., lone])], axis=-1) for x in (w, V))
        ours = list(active)
        complex_ones = [j for j in active if partner[j] != j]
        basis = xp.concat([real(V[:, ours]), imag(V[:, complex_ones])], axis=-1)
        return cls(w, V, basis, phase, partner, active)

    def fold(self, g: Array) -> Array:
        """Cotangents (..., k) of the caller's eigenpairs as those (..., K) of the kept ones, zero but at representatives."""
        if self.phase is None:
            return g
        xp, k = namespace(g), self.phase.shape[0]
        if g.ndim > 1:
            g = g * conj(self.phase)
        if not is_complex(self.V):
            return real(g)
        columns = []
        for j, other in enumerate(self.partner):
            if j not in self.active:
                columns.append(xp.zeros_like(g[..., 0]))
            elif other == j:
                columns.append(real(g[..., j]) + 0j)
            else:
                columns.append(g[..., j] + conj(g[..., other]) if other < k else g[..., j])
        return xp.stack(columns, axis=-1)

    def extended(self, gw: Array) -> Array:
        """Cotangents (k,) of the caller's eigenvalues, and zero for those that were added."""
        xp, added = namespace(gw), self.w.shape[0] - gw.shape[0]
        return xp.concat([gw, xp.zeros(added, dtype=gw.dtype)])

    def unfold(self, dw: Array, dV: Array) -> tuple[Array, Array]:
        """Tangents of the caller's eigenpairs from those of the representatives among the kept."""
        if self.phase is None:
            return dw, dV
        xp, k = namespace(dV), self.phase.shape[0]
        ours = [j if j in self.active else self.partner[j] for j in range(k)]
        turned = xp.asarray([j not in self.active for j in range(k)])
        dw, dV = dw[ours] + 0j, dV[:, ours]
        return xp.where(turned, conj(dw), dw), xp.where(turned, conj(dV), dV) * self.phase


def _partners(w: Array, V: Array, rounding: Array) -> tuple[tuple[int, ...], list[int]]:
    """For every eigenvalue the index of its conjugate, and those whose conjugate is not there: it is appended."""
    xp, k = namespace(w), w.shape[0]
    partner = [-1] * k
    lone: list[int] = []

    def mirrored(i: int, j: int) -> bool:
        x, y = conj(V[:, i : i + 1]), V[:, j : j + 1]
        rest = y - x * (column_dot(x, y) / column_dot(x, x))
        return bool(column_norm(rest)[0] <= _MIRRORED * column_norm(y)[0])

    for j in range(k):
        if bool(imag(w[j]) == 0):
            partner[j] = j
        elif partner[j] < 0:
            free = [i for i in range(j + 1, k) if partner[i] < 0 and bool(xp.abs(w[i] - conj(w[j])) <= rounding[j])]
            match = next((i for i in free if mirrored(i, j)), -1)
            if match >= 0:
                partner[j], partner[match] = match, j
            else:
                partner[j] = k + len(lone)
                lone.append(j)
    return tuple(partner) + tuple(lone), lone
