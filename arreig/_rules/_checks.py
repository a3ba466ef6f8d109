"""Boolean arrays that say which cotangents a rule cannot serve; shared by the rules."""

from collections.abc import Callable
from typing import NamedTuple

from .._array_api import diagonal, largest, matrix_norm, namespace, nowhere, relative_tolerance, roundoff
from .._degeneracy import Degeneracy, gaps, varies
from .._gauge import Gauge, Joint, each
from .._types import Array
from ._pencil import growth

# Noise of a loss coded in floating point, in units of n u. The gradient of tr expm(A) through eigenvectors, which vanishes
# in exact arithmetic along each vector, was seen to leave 1.2 on random matrices of order 3 to 60.
_NOISE = 1e2

# When split pairs are not those of a smooth loss, in single and double precision: bounds for |N_ij| relative to
# ||gV_i|| + ||gV_j||, for a pair's term of gA relative to the largest one elsewhere, and for its difference of gw relative to its
# terms. Over some 200 matrices smooth losses reached 6 in the second, losses on the basis alone 1e2 at least and 1e7.
_COUPLED = {32: 5e-2, 64: 5e-5}
_DOMINANT = {32: 3e1, 64: 1e3}
_ALONE = {32: 3e3, 64: 1e5}
_APART = 0.1  # of a smooth function it is the new gap relative to the distance on which the function varies


class CotangentFlags(NamedTuple):
    """What a VJP cannot serve; None where there is known to be nothing."""

    degenerate: Array | None  # (..., n, n) pairs of numerically equal eigenvalues whose cotangents are refused
    ill_defined: Array | None  # (..., n, n) split pairs whose cotangents are not those of a smooth function of A
    gauge_dependent: Array | None  # (..., n) vectors on whose phase the loss depends though the gauge leaves it open
    lost: Array  # (...) gradients of which rounding leaves fewer than about two digits


class Projected(NamedTuple):
    """Of the cotangents that a rule makes a gradient of, arrays (..., n)."""

    h: Array  # norms of gh
    of: Array  # norms of the gV that it comes from
    gw: Array  # moduli of gw
    reach: Array  # as the caller's, of vectors that turn together the larger one
    joint: Joint = each


def cotangent_flags(
    gA: Array,
    gB: Array | None,
    gV: Array,
    gw: Array,
    N: Callable[[], Array],
    w: Array,
    V: Array,
    *,
    lengths: Array,
    reach: Array,
    projected: Projected,
    F_size: Array,
    V_norm: Array,
    W_norm: Array,
    pairs: Array | None,
    split: Array | None,
    kappa: Array,
    size: Array,
    accuracy: Array,
    gauge: Gauge,
    degeneracy: Degeneracy,
) -> CotangentFlags:
    """Compare the cotangents with what the cluster and the gauge allow.

    lengths ``(..., n)``: of the columns of gV. reach ``(..., n)``: size of the caller's cotangents of each vector; gV may
    also hold what gW contributes to all; N: the part of V^H gh whose off-diagonal must vanish in a cluster, for those that ask;
    F_size: |F_ij|; W_norm ``(..., n)``: of the columns of V^-H; size: ||A||_F.

    pairs: None if there is known to be none. accuracy ``(...)``: relative error of the cotangents, u, or that of V^-H where these
    were made with it.

    lost: gA is the sum of terms w_i conj(F_ij) N_ij v_j^H and w_j gw_j v_j^H. With eps the accuracy, N_ij = v_i^H gh_j carries an
    error of eps ||v_i|| ||gh_j||, so the terms carry eps ||w_i|| ||v_i|| |F_ij| ||gh_j|| ||v_j||, and rounding errors add like
    their squares. The terms of a loss that is a function of the matrix cancel, and little more than their errors may remain.
    The terms of gB have a factor w_j more; gA and gB count together, w and gB in units of ||A||.
    What the cotangents themselves have lost before they came here is not seen.
    """
    xp = namespace(gV, V)
    v, n = V_norm, V.shape[-2]

    def noise() -> Array:
        return loss_noise(v * lengths, gw, size, n)[..., None]

    h = projected.h
    h = xp.where(
        h <= _NOISE * n * roundoff(V) * projected.of, 0.0, h
    )  # the loss does not change with v_j: all of gh is rounding
    result, width = matrix_norm(gA), v
    if gB is not None:
        result = xp.maximum(result, matrix_norm(gB) / xp.where(size == 0, 1.0, size))
        width = v * growth(w, size)
    magnitude = W_norm * v
    return CotangentFlags(
        None
        if pairs is None
        else degeneracy.refused_cotangents(
            pairs,
            lambda: (reach > 0)[..., None, :] | (reach > 0)[..., :, None],
            lambda: coupled(N(), pair_size(v, lengths), noise(), kappa),
            lambda: varies(gw, w, kappa, size),
        ),
        None if split is None else _ill_defined(split, N(), v, lengths, W_norm, F_size, gw),
        gauge.dependence(V, gV, projected.reach, noise, projected.joint),
        _lost(
            result,
            magnitude[..., :, None] * F_size * (width * h)[..., None, :],
            W_norm * width * projected.gw,
            v * h,
            size=size,
            accuracy=accuracy,
            tolerance=relative_tolerance(gA),
            most=degeneracy.lost[xp.finfo(V.dtype).bits],
        ),
    )


def pair_size(v: Array, g: Array) -> Array:
    """||v_i|| ||gV_j|| + ||v_j|| ||gV_i||, the size (..., n, n) that N_ij may have, of these norms."""
    scale = v[..., :, None] * g[..., None, :]
    return scale + scale.mT


def loss_noise(products: Array, gw: Array, size: Array, n: int) -> Array:
    """What rounding in the loss may leave (...) of a product of a vector and a cotangent that vanishes in exact arithmetic.

    products (..., n): ||v_j|| ||gV_j||; n: the length of v_j.
    """
    largest_value = largest(namespace(gw).abs(gw), -1)[..., 0] * size
    return _NOISE * n * roundoff(products) * (largest(products, -1)[..., 0] + largest_value)


def coupled(N: Array, scale: Array, noise: Array, kappa: Array) -> Array:
    """Pairs of which N shows that the cotangents depend on the basis of the space they span; scale: their `pair_size`.

    noise (..., 1): what rounding in the loss leaves of N.
    """
    xp = namespace(N)
    # Of vectors that are nearly parallel N_ij vanishes with their distance, 1/kappa, whatever the loss.
    apart = xp.maximum(kappa[..., :, None], kappa[..., None, :])
    bound = relative_tolerance(N) * scale / xp.where(apart >= 1, apart, 1.0)
    return xp.abs(N) > bound + noise[..., None]


def _ill_defined(split: Array, N: Array, v: Array, g: Array, W_norm: Array, F: Array, gw: Array) -> Array:
    """Split pairs whose cotangents are not those of a loss smooth in A; v, g, F: ||v_j||, ||gV_j||, |F_ij|.

    If it is smooth, N_ij = v_i^H gh_j vanishes like the gap, and the terms N_ij/gap of gA are of the size of the others. If it
    depends on the basis, N_ij does not vanish, and these terms stand out by 1/gap. One without the other happens by chance.

    And if it is, in a generic basis the terms off the diagonal of a cluster are about as large as differences on it. A loss
    that tells apart the eigenvalues alone has none.
    """
    xp = namespace(N)
    bits = xp.finfo(N.dtype).bits
    scale, values = pair_size(v, g), W_norm * v * xp.abs(gw)
    terms = W_norm[..., :, None] * (F * xp.abs(N)) * v[..., None, :]  # of gA, off the diagonal
    elsewhere = largest(xp.where(split, 0.0, terms), (-2, -1))
    elsewhere = xp.maximum(elsewhere, largest(values, -1)[..., None])
    basis = (xp.abs(N) > _COUPLED[bits] * scale) & (terms > _DOMINANT[bits] * elsewhere)
    row = largest(xp.where(split, xp.maximum(terms, terms.mT), 0.0), -1)
    alone = xp.abs(gaps(gw)) > _ALONE[bits] * xp.maximum(row, row.mT)
    return split & (basis | (told_apart(gw) & alone))


def told_apart(gw: Array) -> Array:
    """Pairs whose gw differ by more than a smooth function of w makes of eigenvalues that were put apart."""
    xp = namespace(gw)
    size = xp.abs(gw)
    return xp.abs(gaps(gw)) > _APART * xp.maximum(size[..., :, None], size[..., None, :])


def _lost(
    result: Array,
    vector_terms: Array,
    value_terms: Array,
    cotangents: Array,
    *,
    size: Array,
    accuracy: Array,
    tolerance: float,
    most: float,
) -> Array:
    error = accuracy * (matrix_norm(vector_terms) + matrix_norm(value_terms[..., None]))
    # A gradient may vanish: it is right if it does so against what cotangents of this size give at gaps of the size of A.
    unit = matrix_norm(cotangents[..., None]) / namespace(size).where(size == 0, 1.0, size)
    small = (error <= most * result) | (error <= most * tolerance * unit)
    return ~(small & (error < namespace(size).inf))  # not where all of them overflow


def eigenvalue_cotangent_flags(
    gw: Array, w: Array, *, pairs: Array, split: Array | None, kappa: Array, size: Array, degeneracy: Degeneracy
) -> Array:
    """Pairs that are refused where only eigenvalues have cotangents."""
    none = nowhere(pairs)
    refused = degeneracy.refused_cotangents(pairs, lambda: none, lambda: none, lambda: varies(gw, w, kappa, size))
    return refused if split is None else refused | (split & told_apart(gw))


def split_tangents(P: Array, dA: Array, dB: Array | None, w: Array, kappa: Array, pairs: Array) -> Array:
    """Pairs of a cluster C on which P_CC is no multiple of the identity: dA splits it, and dw is no function of dA alone."""
    xp = namespace(P)
    noise = _NOISE * P.shape[-1] * roundoff(P) * (kappa[..., None, :] + kappa[..., :, None])
    p = diagonal(P)
    apart = xp.maximum(xp.abs(P), xp.abs(p[..., None, :] - p[..., :, None]))
    size = matrix_norm(dA)[..., None, None]
    if dB is not None:
        size = size + matrix_norm(dB)[..., None, None] * xp.abs(w)[..., None, :]
    return pairs & (apart > noise * size)
