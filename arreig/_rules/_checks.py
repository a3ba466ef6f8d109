"""Boolean arrays that say which cotangents a rule cannot serve; shared by the rules."""

from typing import NamedTuple

from .._array_api import column_norm, largest, matrix_norm, namespace, nowhere, relative_tolerance, roundoff
from .._degeneracy import Degeneracy, varies
from .._gauge import Gauge
from .._types import Array

# Noise of a loss coded in floating point, in units of n u. The gradient of tr expm(A) through eigenvectors, which vanishes
# in exact arithmetic along each vector, was seen to leave 1.2 on random matrices of order 3 to 60.
_NOISE = 1e2


class CotangentFlags(NamedTuple):
    """What a VJP cannot serve."""

    degenerate: Array  # (..., n, n) pairs of numerically equal eigenvalues whose cotangents are refused
    gauge_dependent: Array  # (..., n) vectors on whose phase the loss depends though the gauge leaves it open


def cotangent_flags(
    gV: Array,
    gw: Array,
    reach: Array,
    N: Array,
    w: Array,
    V: Array,
    *,
    pairs: Array,
    kappa: Array,
    size: Array,
    gauge: Gauge,
    degeneracy: Degeneracy,
) -> CotangentFlags:
    """Compare the cotangents with what the cluster and the gauge allow.

    reach ``(..., n)``: size of the caller's cotangents of each vector, of which gV may also hold what gW contributes to all;
    N: the part of V^H gh whose off-diagonal must vanish in a cluster; size: ||A||_F.
    """
    xp = namespace(gV, V)
    v, g = column_norm(V), column_norm(gV)
    n_u = V.shape[-1] * roundoff(V)
    noise = _NOISE * n_u * (largest(v * g, -1)[..., 0] + largest(xp.abs(gw), -1)[..., 0] * size)
    asked = (reach > 0)[..., None, :] | (reach > 0)[..., :, None]
    scale = v[..., :, None] * g[..., None, :]
    coupled = xp.abs(N) > relative_tolerance(V) * (scale + xp.matrix_transpose(scale)) + noise[..., None, None]
    return CotangentFlags(
        degeneracy.refused_cotangents(pairs, asked, coupled, varies(gw, w, kappa, size)),
        gauge.dependence(V, gV, reach, noise[..., None]),
    )


def eigenvalue_cotangent_flags(
    gw: Array, w: Array, *, pairs: Array, kappa: Array, size: Array, degeneracy: Degeneracy
) -> Array:
    """`CotangentFlags.degenerate` where only eigenvalues have cotangents."""
    none = nowhere(pairs)
    return degeneracy.refused_cotangents(pairs, none, none, varies(gw, w, kappa, size))


def split_tangents(P: Array, dA: Array, kappa: Array, pairs: Array) -> Array:
    """Pairs of a cluster C on which P_CC is no multiple of the identity: dA splits it, and dw is no function of dA alone."""
    xp = namespace(P)
    noise = _NOISE * P.shape[-1] * roundoff(P) * (kappa[..., None, :] + kappa[..., :, None])
    diagonal = xp.linalg.diagonal(P)
    apart = xp.maximum(xp.abs(P), xp.abs(diagonal[..., None, :] - diagonal[..., :, None]))
    return pairs & (apart > noise * matrix_norm(dA)[..., None, None])
