r"""f(A) = V diag(f(w)) V^-1 of a diagonalisable A, and its derivatives, which need no gaps.

With K_ij = f[w_i, w_j], the divided differences (f(w_j) - f(w_i))/(w_j - w_i), K_ii = f'(w_i), the derivative of f along E is

    L(A, E) = V (K o (V^-1 E V)) V^-1                      (Daleckii and Krein)

In adjoint order, <X, Y> = Re tr(X^H Y):  <G, L(A, E)> = <V^H G V^-H, K o (V^-1 E V)> = <gA, E>,

    gA = V^-H (conj(K) o (V^H G V^-H)) V^H

and once more, along D, with f_ikj = f[w_i, w_k, w_j] and hats for V^-1 . V,

    L2(A; E, D) = V S V^-1,   S_ij = sum_k f_ikj (E_ik D_kj + D_ik E_kj)

which is symmetric in E and D. Its adjoint with respect to D, with N = V^H G V^-H, is V^-H M V^H,

    M_kj = sum_i conj(f_ikj E_ik) N_ij,    M_ik += sum_j conj(f_ikj E_kj) N_ij

A unitary V takes solve(X) = V^-1 X = V^H X, solve_adjoint(X) = V^-H X = V X.

Divided differences without cancellation. The quotient Kd = (f_j - f_i)/d, d = w_j - w_i, carries rounding errors of about
u s/|d|, s = |f_i| + |f_j| + |w_i f'_i| + |w_j f'_j|. The mean Kq of f' over the segment from w_i to w_j, by Gauss and Legendre's
rule, has no such errors, but is right only where f is smooth on the segment. Where it is right it agrees with Kd up to Kd's
rounding errors. So Kq is taken where it does, and Kd elsewhere: whatever f is like, the result is never off by more than a few
times the rounding errors of Kd, and where f is smooth, by rounding alone. It is not where the cut of a logarithm lies between, or
where f varies fast; there Kd is kept. So also of second order: half the mean of f'' over the triangle w_i, w_k, w_j, beside
the quotient of two K by the longest side.

Sources: Daleckii & Krein, Amer. Math. Soc. Transl. (2) 47 (1965) 1; Higham, Functions of Matrices (SIAM 2008), sec. 3.2, B.16;
Higham & Relton, SIAM J. Matrix Anal. Appl. 35 (2014) 1019 (second derivative); Dunavant, Int. J. Numer. Meth. Engng. 21 (1985)
1129 (triangle).
"""

from collections.abc import Callable
from typing import NamedTuple

from .._array_api import adjoint, column_norm, conj, device, largest, matrix_norm, namespace, real, roundoff
from .._degeneracy import gaps
from .._types import Array

Function = Callable[[Array], Array]
Solve = Callable[[Array], Array]

# Half of the nodes on (-1, 1) with their weights, summed in pairs. An even number of nodes leaves out the middle, which a pair
# +-w has at 0. With six of them the error reaches rounding where |d| is a tenth of |w_i| + |w_j| for a square root or logarithm:
# there Kd has lost one digit.
_GAUSS = (
    (0.23861918608319690863, 0.46791393457269104739),
    (0.66120938646626451366, 0.36076157304813860757),
    (0.93246951420315202781, 0.17132449237917034504),
)
# Dunavant's symmetric rule of degree 8 in barycentric coordinates, by orbits: (weight, a, b, c), each with all of its distinct
# permutations.
_CENTRE = 0.144315607677787
_DUNAVANT = (
    (0.095091634267285, 0.081414823414554, 0.459292588292723, 0.459292588292723),
    (0.103217370534718, 0.658861384496480, 0.170569307751760, 0.170569307751760),
    (0.032458497623198, 0.898905543365938, 0.050547228317031, 0.050547228317031),
    (0.027230314174435, 0.008394777409958, 0.263112829634638, 0.728492392955404),
)
_AGREE = 16.0  # in units of u s: a function of a library may be off by a few u, a longer formula by more
_NOTHING_LOST = 16.0  # u |Kd| times this is an error of Kd that needs no mean
_DIFFERENT = 1e-2  # part of f' by which its mean may miss the quotient, where it is asked whether it is f's derivative
_STEPS = (1 / 4, 1 / 3, 1 / 2, 3 / 4)  # powers of u
_SHARP = 0.1  # part of f' that rounding may reach, if the quotient is to say anything
_LOST = 1e-2  # two digits


class DividedDifferences(NamedTuple):
    """Of first order."""

    K: Array  # (..., n, n), symmetric
    error: Array  # (..., n, n), about what rounding has made of it


def mean_derivative(df: Function, a: Array, b: Array) -> Array:
    """Mean of df over the segments from a to b, the same to the bit from b to a."""
    xp = namespace(a, b)
    middle, half = (a + b) / 2, (b - a) / 2
    x = xp.stack([middle + sign * node * half for node, _ in _GAUSS for sign in (1, -1)], axis=-1)
    y = df(x)
    y = xp.where(xp.isfinite(y), y, xp.nan)  # infinity times a complex number, and NumPy warns
    total = _GAUSS[0][1] / 2 * (y[..., 0] + y[..., 1])
    for k, (_, weight) in enumerate(_GAUSS[1:], 1):
        total = total + weight / 2 * (y[..., 2 * k] + y[..., 2 * k + 1])
    return total


def divided_differences(fw: Array, dfw: Array, w: Array, df: Function) -> DividedDifferences:
    """K, from fw = f(w) and dfw = df(w)."""
    xp = namespace(w, fw)
    u = roundoff(w)
    d, rise = gaps(w), gaps(fw)
    s = xp.abs(fw) + xp.abs(w * dfw)
    noise = u * (s[..., :, None] + s[..., None, :])
    one = d == 0
    Kd = rise / xp.where(one, 1.0, d)
    lossless = (noise <= _NOTHING_LOST * u * xp.abs(rise)) & ~one
    start = xp.broadcast_to(w[..., :, None], d.shape)
    # a function may have a pole or a cut between eigenvalues far apart: it is not asked there
    Kq = mean_derivative(df, start, xp.where(lossless, start, start + d))
    finite = xp.isfinite(Kq)
    Kq = xp.where(finite, Kq, 0.0)
    agree = finite & ~lossless & (xp.abs(Kq * d - rise) <= _AGREE * noise)
    K = xp.where(one, xp.broadcast_to(dfw[..., :, None], d.shape), xp.where(agree, Kq, Kd))
    size = xp.abs(dfw)
    error = xp.where(agree | one, u * (size[..., :, None] + size[..., None, :]), noise / xp.where(one, 1.0, xp.abs(d)))
    return DividedDifferences(_symmetric(K, 2), error)


def second_divided_differences(first: DividedDifferences, d2fw: Array, w: Array, d2f: Function) -> Array:
    """f[w_i, w_k, w_j] (..., n, n, n), symmetric in all three, from d2fw = d2f(w), d2f the second derivative."""
    xp = namespace(w, d2fw)
    u = roundoff(w)
    K, error = first
    s = xp.abs(w * d2fw)  # what moving the nodes by rounding makes of f'
    error = error + u * (s[..., :, None] + s[..., None, :])
    shape = (*K.shape, K.shape[-1])
    a, b, c = (xp.broadcast_to(x, shape) for x in (w[..., :, None, None], w[..., None, :, None], w[..., None, None, :]))
    sides = [
        (a - c, K[..., :, :, None] - K[..., None, :, :], error[..., :, :, None] + error[..., None, :, :]),
        (a - b, K[..., :, None, :] - K[..., None, :, :], error[..., :, None, :] + error[..., None, :, :]),
        (c - b, K[..., :, None, :] - K[..., :, :, None], error[..., :, None, :] + error[..., :, :, None]),
    ]
    d, rise, noise = (xp.broadcast_to(x, shape) for x in sides[0])
    for d_, rise_, noise_ in sides[1:]:
        longer = xp.abs(d_) > xp.abs(d)
        d, rise, noise = xp.where(longer, d_, d), xp.where(longer, rise_, rise), xp.where(longer, noise_, noise)
    one = d == 0
    quotient = rise / xp.where(one, 1.0, d)
    lossless = (noise <= _NOTHING_LOST * u * xp.abs(rise)) & ~one
    mean = _mean_over_triangle(d2f, a, xp.where(lossless, a, b), xp.where(lossless, a, c)) / 2
    finite = xp.isfinite(mean)
    mean = xp.where(finite, mean, 0.0)
    agree = finite & ~lossless & (xp.abs(mean * d - rise) <= _AGREE * noise)
    return _symmetric(xp.where(agree | one, mean, quotient), 3)


def _mean_over_triangle(d2f: Function, a: Array, b: Array, c: Array) -> Array:
    xp = namespace(a)
    p, q = b - a, c - a
    weights, nodes = [_CENTRE], [(1 / 3, 1 / 3)]
    for weight, x, y, z in _DUNAVANT:
        orbit = sorted({(x, y), (y, x), (y, z), (z, y), (z, x), (x, z)})
        weights += [weight] * len(orbit)
        nodes += orbit
    values = d2f(xp.stack([a + (x * p + y * q) for x, y in nodes], axis=-1))
    total = weights[0] * values[..., 0]
    for k, weight in enumerate(weights[1:], 1):
        total = total + weight * values[..., k]
    return total


def _symmetric(X: Array, axes: int) -> Array:
    """X with every entry replaced by the one whose last indices are the same in ascending order: symmetric to the bit."""
    xp = namespace(X)
    n = X.shape[-1]
    i = xp.arange(n, device=device(X))
    index = [xp.reshape(i, (n, *(1,) * (axes - 1 - k))) for k in range(axes)]
    low, high = index[0], index[0]
    for x in index[1:]:
        low, high = xp.minimum(low, x), xp.maximum(high, x)
    flat = low * n + high
    if axes == 3:
        flat = (low * n + (index[0] + index[1] + index[2] - low - high)) * n + high
    entries = xp.reshape(X, (*X.shape[:-axes], n**axes))
    return xp.reshape(xp.take(entries, xp.reshape(flat, (-1,)), axis=-1), X.shape)


def not_the_derivative(f: Function, df: Function, fw: Array, dfw: Array, w: Array, size: Array) -> Array:
    """Eigenvalues (..., n) at which df is not the derivative of f: its mean over a short segment misses the quotient.

    The segments go from w along the real axis, away from 0, so that they stay on one side of the usual cuts and in the domain of
    real functions. Of several lengths none may agree: the longest may be too long for f, and the shortest drown in rounding.
    """
    xp = namespace(w, fw)
    u = roundoff(w)
    length = xp.abs(w)
    unit = xp.where(size > 0, size, 1.0)[..., None]
    length = xp.where(length > 0, length, unit)
    length = xp.where(real(w) < 0, -length, length)
    steps = xp.stack([u**power * length for power in _STEPS], axis=-1)
    start = xp.broadcast_to(w[..., None], steps.shape)
    end = start + steps
    d, rise = end - start, f(end) - fw[..., None]
    mean = mean_derivative(df, start, end)
    # what is lost below the smallest numbers is no difference either
    least = float(xp.finfo(w.dtype).smallest_normal)
    noise = _AGREE * u * (xp.abs(fw) + xp.abs(w * dfw))[..., None] + least + least * xp.abs(d)
    integral = mean * d
    scale = xp.maximum(xp.abs(integral), xp.abs(rise))
    sharp = noise <= _SHARP * scale  # not so where one of them is NaN
    differs = ~(xp.abs(integral - rise) <= _DIFFERENT * scale + noise)
    return xp.any(sharp, axis=-1) & ~xp.any(sharp & ~differs, axis=-1)


def value(fw: Array, V: Array, /, *, solve_adjoint: Solve) -> Array:
    """V diag(f(w)) V^-1."""
    return _over(V * fw[..., None, :], solve_adjoint)


def frechet(E: Array, K: Array, V: Array, /, *, solve: Solve, solve_adjoint: Solve) -> Array:
    """L(A, E) = V (K o (V^-1 E V)) V^-1.

    V^-1 first: where V is ill conditioned, V^-1 (E V) was seen to lose six digits that (V^-1 E) V keeps (Frank matrices).
    """
    return _over(V @ (K * (solve(E) @ V)), solve_adjoint)


def frechet_adjoint(G: Array, K: Array, V: Array, /, *, solve: Solve, solve_adjoint: Solve) -> Array:
    """gA = V^-H (conj(K) o (V^H G V^-H)) V^H."""
    return solve_adjoint((conj(K) * _cotangent(G, V, solve)) @ adjoint(V))


def value_lost(F: Array, fw: Array, kappa: Array) -> Array:
    """Where (...) rounding leaves fewer than two digits of F, the sum of terms of norm kappa_i |f_i|; V of norm 1."""
    return _lost(F, (kappa * namespace(F).abs(fw))[..., None])


def frechet_lost(L: Array, E: Array, K: Array, V: Array, kappa: Array) -> Array:
    """The same of L(A, E), the sum of terms v_i K_ij (w_i^H E v_j) w_j^H, each as wrong as |w_i| |E v_j| is large."""
    return _lost(L, kappa[..., :, None] * namespace(V).abs(K) * (kappa * column_norm(E @ V))[..., None, :])


def frechet_adjoint_lost(gA: Array, G: Array, K: Array, kappa: Array, *, solve: Solve) -> Array:
    """The same of its adjoint, the sum of terms w_i conj(K_ij) (v_i^H G w_j) v_j^H."""
    reach = column_norm(adjoint(solve(adjoint(G))))
    return _lost(gA, kappa[..., :, None] * namespace(G).abs(K) * reach[..., None, :])


def eigenvalue_errors(A: Array, V: Array, W: Array) -> Array:
    """u |w_j|^T |A| |v_j| (..., n): how far a change of every entry of A by rounding may move an eigenvalue, to first order.

    Unlike u kappa |A| it is the same for a diagonally scaled matrix, which a solver balances.
    """
    xp = namespace(V)
    return roundoff(V) * xp.sum(xp.abs(W) * (xp.abs(A) @ xp.abs(V)), axis=-2)


def unresolved(dfw: Array, moved: Array) -> Array:
    """Where (...) df at eigenvalues moved by their errors differs by more than two digits of its largest value."""
    xp = namespace(dfw)
    change = xp.where(xp.isfinite(moved), xp.abs(moved - dfw), xp.inf)
    return largest(change, -1)[..., 0] > _LOST * largest(xp.abs(dfw), -1)[..., 0]


def _lost(result: Array, terms: Array) -> Array:
    return ~(roundoff(terms) * matrix_norm(terms) <= _LOST * matrix_norm(result))


def second(E: Array, D: Array, f3: Array, V: Array, /, *, solve: Solve, solve_adjoint: Solve) -> Array:
    """L2(A; E, D), of the second divided differences f3 (..., n, n, n)."""
    E, D = solve(E) @ V, solve(D) @ V
    pairs = E[..., :, :, None] * D[..., None, :, :] + D[..., :, :, None] * E[..., None, :, :]
    return _over(V @ namespace(V).sum(f3 * pairs, axis=-2), solve_adjoint)


def second_adjoint(G: Array, E: Array, f3: Array, V: Array, /, *, solve: Solve, solve_adjoint: Solve) -> Array:
    """V^-H M V^H, the adjoint of L2(A; E, .) applied to G."""
    xp = namespace(V)
    E, N = solve(E) @ V, _cotangent(G, V, solve)[..., :, None, :]
    M = xp.sum(conj(f3 * E[..., :, :, None]) * N, axis=-3) + xp.sum(conj(f3 * E[..., None, :, :]) * N, axis=-1)
    return solve_adjoint(M @ adjoint(V))


def _over(X: Array, solve_adjoint: Solve) -> Array:
    """X V^-1; multiplied by 1, because torch's adjoint is lazy, and a lazy result has no numpy() and no place in forward mode."""
    return adjoint(solve_adjoint(adjoint(X))) * 1.0


def _cotangent(G: Array, V: Array, solve: Solve) -> Array:
    """V^H G V^-H."""
    return adjoint(V) @ adjoint(solve(adjoint(G)))
