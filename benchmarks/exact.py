"""Exact gradients, computed by python-flint in so many bits that nothing of a double is lost."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from flint import acb, acb_mat, arb, ctx
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

BITS_PAIRS = 1500  # eigenvectors of the Grcar matrix of order 60 lose several hundred bits
BITS_SMOOTH = 400
POLE = 0.5 + 1.5j  # z of the resolvent, off every spectrum here


def _exact(M: Any) -> Any:
    return acb_mat(M.astype(complex).tolist())


def _rounded(M: Any) -> Complexes:
    return np.array([[complex(x) for x in row] for row in M.tolist()])


def _from_columns(columns: Iterable[Any]) -> Any:
    return acb_mat([list(row) for row in zip(*columns, strict=True)])


def pair_gradients(A: Floats, r: Floats, a: Floats) -> tuple[Complexes, Complexes]:
    """Eigenvalues w (n,) and, for each j, the gradient (n, n) of L_j = sum_i r_ij |V_ij|^2 + a_j |w_j|^2, V of norm 1.

    gA = y_j v_j^H, y_j = V^-H (gw_j e_j + conj(F_j) o V^H gh_j), gh_j = g_j - v_j v_j^H g_j: whatever the phase of v_j.
    """
    ctx.prec = BITS_PAIRS
    n = len(A)
    w, R = _exact(A).eig(right=True)
    w, R = [x.mid() for x in w], R.mid()
    V, gh = [], []
    for j in range(n):
        v = [R[i, j] for i in range(n)]
        norm = sum((abs(x) ** 2 for x in v), arb(0)).sqrt()
        v = [x / norm for x in v]
        g = [2 * arb(x) * y for x, y in zip(r[:, j].tolist(), v, strict=True)]
        s = sum((x.conjugate() * y for x, y in zip(v, g, strict=True)), acb(0))
        V.append(v)
        gh.append([x - s * y for x, y in zip(g, v, strict=True)])
    E = _from_columns(V)
    N = E.conjugate().transpose() * _from_columns(gh)
    gP = [
        [2 * arb(float(a[j])) * w[j] if i == j else N[i, j] / (w[j] - w[i]).conjugate() for j in range(n)]
        for i in range(n)
    ]
    Y = E.inv().conjugate().transpose() * acb_mat(gP)
    left, right = _rounded(Y).T, _rounded(E).T
    return np.array([complex(x) for x in w]), left[:, :, None] * right.conj()[:, None, :]


def _sqrt(M: Any) -> Any:
    """The principal root, by Denman and Beavers' iteration."""
    n = M.nrows()
    Y, Z = M, acb_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
    for _ in range(100):
        Y, Z, last = ((Y + Z.inv()) / 2).mid(), ((Z + Y.inv()) / 2).mid(), Y
        change = Y - last
        if max(float(abs(x)) for x in change.entries()) < 1e-50:
            return Y
    raise ArithmeticError("The square root did not converge")


def smooth_gradient(function: str, A: Floats, C: Floats) -> Floats:
    """Gradient of Re tr(C f(A)) for a real A, f = expm, sqrtm or resolvent.

    It is Re X^T, where X is the derivative of f at A along C; f([A C; 0 A]) = [f(A) X; 0 f(A)].
    """
    ctx.prec = BITS_SMOOTH
    n = len(A)
    M = _exact(np.block([[A, C], [np.zeros_like(A), A]]))
    if function == "expm":
        F = M.exp()
    elif function == "sqrtm":
        F = _sqrt(M)
    else:
        F = (M - _exact(POLE * np.eye(2 * n))).inv()
    return np.asarray(_rounded(F)[:n, n:].real.T)
