"""Gated refinement: closer to the exact derivative far from normal, and never farther from it.

Exact means computed in 700 bits by python-flint, for the matrix as it is in floating point.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from flint import acb, acb_mat, ctx

import arreig
from arreig.testing import host

BITS = 700
ROUNDING = 5e-14  # what is left of a well-conditioned column
Array = Any


def grcar(n: int) -> Array:
    return np.triu(np.tril(np.ones((n, n)), 3)) - np.eye(n, k=-1)


def frank(n: int) -> Array:
    i, j = np.indices((n, n))
    return np.where(j < i - 1, 0.0, n - np.maximum(i, j))


def kahan(n: int, angle: float = 1.2) -> Array:
    s, c = np.sin(angle), np.cos(angle)
    return np.diag(s ** np.arange(n)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


def near_defective(n: int, gap: float, seed: int = 0) -> Array:
    """One pair of eigenvalues that far from a Jordan block, the others 1/2 apart."""
    w = np.arange(1, n + 1) / 2
    w[1] = w[0] + gap
    J = np.diag(w)
    J[0, 1] = 1
    X = np.eye(n) + 0.3 * np.random.default_rng(seed).standard_normal((n, n)) / np.sqrt(n)
    return X @ J @ np.linalg.inv(X)


def convection(n: int, peclet: float) -> Array:
    return -2 * np.eye(n) + (1 + peclet) * np.eye(n, k=1) + (1 - peclet) * np.eye(n, k=-1)


def triangular(n: int, seed: int) -> Array:
    return np.triu(np.random.default_rng(seed).standard_normal((n, n)))


def random(n: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, n))


def on_the_edge(n: int) -> Array:
    """u cond(V) near 1: there ungated refinement diverges."""
    return convection(n, 0.95) + 0.05 * np.eye(n, k=2)


MATRICES = {
    **{f"grcar {n}": (grcar, n) for n in (8, 16, 24, 32)},
    **{f"frank {n}": (frank, n) for n in (8, 10, 12)},
    **{f"kahan {n}": (kahan, n) for n in (10, 20)},
    **{f"near defective {gap:.0e}": (near_defective, 12, gap) for gap in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)},
    **{f"convection {p}": (convection, 12, p) for p in (0.3, 0.6, 0.9)},
    **{f"triangular {s}": (triangular, 14, s) for s in range(5)},
    **{f"random {s}": (random, 12, s) for s in range(5)},
    **{f"edge {n}": (on_the_edge, n) for n in (16, 20, 24)},
}
Z = np.array([1.0, -0.4, 0.7, 0.9] * 8)
GAUGES = ("canonical", "phase-free", "Component", "Functional")


def test_there_are_thirty_matrices() -> None:
    assert len(MATRICES) >= 30


@cache
def component(name: str) -> int:
    """The component that vanishes least over the eigenvectors."""
    function, *arguments = MATRICES[name]
    return int(np.argmax(np.abs(np.linalg.eig(function(*arguments))[1]).min(axis=1)))


def gauge_option(gauge: str, name: str, n: int) -> Any:
    options = {"Component": lambda: arreig.Component(component(name)), "Functional": lambda: arreig.Functional(Z[:n])}
    return options[gauge]() if gauge in options else gauge


def exact_array(M: Array) -> Any:
    return acb_mat(*M.shape, [acb(float(x.real), float(x.imag)) for x in np.asarray(M, dtype=complex).ravel()])


def rounded(M: Any) -> Array:
    return np.array([[complex(M[i, j]) for j in range(M.ncols())] for i in range(M.nrows())])


def exact_pairs(A: Array, w: Array) -> tuple[Any, Any, Any]:
    """Exact eigenvalues in the order of w, that order, and exact eigenvectors as flint has them."""
    n = len(w)
    w_exact, R = exact_array(A).eig(right=True)
    order = np.argmin(np.abs(w[:, None] - np.array([complex(x) for x in w_exact])), axis=1)
    assert len(set(order)) == n
    R = R.mid()
    return [w_exact[k].mid() for k in order], order, R


@cache
def reference(name: str, gauge: str, precision: str) -> tuple[Array, ...]:
    """A complex matrix with cotangents and a tangent, and for each eigenpair the exact y_j v_j^H, dw_j and dv_j."""
    ctx.prec = BITS
    function, *arguments = MATRICES[name]
    A = function(*arguments).astype(precision)
    n = len(A)
    rng = np.random.default_rng(1)
    gV, dA = ((rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))).astype(precision) for _ in range(2))
    gw = (rng.standard_normal(n) + 1j * rng.standard_normal(n)).astype(precision)
    w, V = arreig.eig(A.astype("complex128"), gauge=gauge_option(gauge, name, n))
    w_exact, order, R = exact_pairs(A, w)
    # exact vectors: scaled by the gauge, exactly
    columns = []
    for j in range(n):
        v = [R[i, int(order[j])] for i in range(n)]
        norm = sum((x * x.conjugate()).real for x in v).sqrt()
        k = int(np.argmax(np.abs(V[:, j]) >= (1 - 1e-8) * np.abs(V[:, j]).max()))
        scale = {
            "Component": v[component(name)],
            "Functional": sum(acb(float(z)) * x for z, x in zip(Z, v, strict=False)),
        }.get(gauge, norm * v[k] / (v[k] * v[k].conjugate()).real.sqrt())
        columns.append(([x / scale for x in v], k))
    E = acb_mat(n, n, [columns[j][0][i] for i in range(n) for j in range(n)])
    inverse = E.inv()
    if gauge == "phase-free":  # a loss that does not depend on the phase: gV = H_j v_j with Hermitian H_j = diag(real)
        G = [[acb(float(gV[i, j].real)) * E[i, j] for j in range(n)] for i in range(n)]
        gV_used = (gV.real * V).astype(precision)
    else:
        G = [[acb(float(x.real), float(x.imag)) for x in row] for row in gV]
        gV_used = gV
    conjugated = lambda M: acb_mat(n, n, [M[j, i].conjugate() for i in range(n) for j in range(n)])
    P = inverse * exact_array(dA) * E
    F = [[acb(0) if i == j else 1 / (w_exact[j] - w_exact[i]) for j in range(n)] for i in range(n)]
    U = E * acb_mat(n, n, [F[i][j] * P[i, j] for i in range(n) for j in range(n)])
    gh, dV = [], []
    for j in range(n):
        v, k = columns[j]
        g, u = [G[i][j] for i in range(n)], [U[i, j] for i in range(n)]
        s = sum(x.conjugate() * y for x, y in zip(v, g, strict=True))
        overlap = sum(x.conjugate() * y for x, y in zip(v, u, strict=True))
        if gauge in ("canonical", "phase-free"):
            i_im = (s - s.conjugate()) / 2
            if gauge == "canonical":
                h = [y - x * (s + s.conjugate()) / 2 for x, y in zip(v, g, strict=True)]
                h[k] = h[k] - i_im / v[k].conjugate()
                ratio = u[k] / v[k]
                c = -(overlap + overlap.conjugate()) / 2 - (ratio - ratio.conjugate()) / 2
            else:
                h = [y - x * s for x, y in zip(v, g, strict=True)]
                c = -overlap
        elif gauge == "Component":
            m = component(name)
            h, c = [y - (s / v[m].conjugate() if i == m else 0) for i, y in enumerate(g)], -u[m] / v[m]
        else:
            z = [acb(float(x)) for x in Z[:n]]
            value = sum(a * x for a, x in zip(z, v, strict=True))
            h = [y - a * s / value.conjugate() for a, y in zip(z, g, strict=True)]
            c = -sum(a * x for a, x in zip(z, u, strict=True)) / value
        gh.append(h)
        dV.append([x + c * y for x, y in zip(u, v, strict=True)])
    N = conjugated(E) * acb_mat(n, n, [gh[j][i] for i in range(n) for j in range(n)])
    gw_exact = [acb(float(x.real), float(x.imag)) for x in gw]
    gP = [[gw_exact[i] if i == j else F[i][j].conjugate() * N[i, j] for j in range(n)] for i in range(n)]
    Y = conjugated(inverse) * acb_mat(n, n, [x for row in gP for x in row])
    pairs = np.array([np.outer(y, v.conj()) for y, v in zip(rounded(Y).T, rounded(E).T, strict=True)])
    dw = np.array([complex(P[j, j]) for j in range(n)])
    return A, dA, gV_used, gw, pairs, dw, np.array([[complex(x) for x in column] for column in dV]).T


@pytest.mark.parametrize("refine", ["auto", 2])
@pytest.mark.parametrize("gauge", GAUGES)
@pytest.mark.parametrize("name", MATRICES)
def test_never_worse(name: str, gauge: str, refine: Any) -> None:
    A, dA, gV, gw, pairs, dw, dV = reference(name, gauge, "complex128")
    n = len(A)
    plain, refined = (
        arreig.eig(A, gauge=gauge_option(gauge, name, n), check=False, refine=steps) for steps in (False, refine)
    )
    np.testing.assert_array_equal(plain.eigenvectors, refined.eigenvectors)

    def of_gradient(result: Any) -> Array:
        out = []
        for j in range(n):
            only = np.arange(n) == j
            g = result.vjp(gV * only, gw * only)
            out.append(np.linalg.norm(g - pairs[j]) / np.linalg.norm(pairs[j]))
        return np.array(out)

    def of_tangent(result: Any) -> Array:
        w_dot, V_dot = result.jvp(dA)
        size = np.linalg.norm(dV, axis=0) + np.abs(dw)
        return (np.linalg.norm(V_dot - dV, axis=0) + np.abs(w_dot - dw)) / size

    for error in (of_gradient, of_tangent):
        before, after = error(plain), error(refined)
        known = np.isfinite(before)
        assert (np.isfinite(after) == known).all()
        before, after = before[known], after[known]
        assert (after <= 1.5 * before + ROUNDING).all(), np.c_[before, after]
        assert not len(before) or np.median(after) <= np.median(before) + ROUNDING


GAIN = {"frank 12": 20, "kahan 20": 5, "near defective 1e-04": 3, "near defective 1e-06": 100, "triangular 0": 1}


@pytest.mark.parametrize("name", GAIN)
def test_gain(name: str) -> None:
    """How many times smaller the median error of a gradient is, at least."""
    A, _, gV, gw, pairs, _, _ = reference(name, "canonical", "complex128")
    n = len(A)

    def median(refine: Any) -> float:
        result = arreig.eig(A, refine=refine, check=False)
        only = np.eye(n, dtype=bool)
        found = [
            np.linalg.norm(result.vjp(gV * o, gw * o) - p) / np.linalg.norm(p) for o, p in zip(only, pairs, strict=True)
        ]
        return float(np.median(found))

    assert median("auto") * GAIN[name] <= median(False)


@pytest.mark.parametrize("name", ["complex64", "float32"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_single_precision_is_never_worse(matrix: str, name: str) -> None:
    """Against the derivative of the same matrix in double precision."""
    function, *arguments = MATRICES[matrix]
    A = function(*arguments).astype(name)
    n = len(A)
    rng = np.random.default_rng(1)
    exact = arreig.eig(A.astype("complex128" if name == "complex64" else "float64"), sort="real", check=False)
    weights = rng.standard_normal((n, n))

    def parts(result: Any) -> Array:
        w, V = result
        return np.array([host(result.vjp(2 * weights * V * o, w * o)) for o in np.eye(n, dtype=bool)])

    plain, refined = (arreig.eig(A, sort="real", check=False, refine=r) for r in (False, "auto"))
    if (
        np.abs(plain.eigenvalues - exact.eigenvalues).max()
        > 1e-2 * np.abs(np.diff(np.sort_complex(exact.eigenvalues))).min()
    ):
        pytest.skip("single precision cannot tell its eigenvalues apart")
    reference = parts(exact)
    size = np.linalg.norm(reference, axis=(1, 2))
    before, after = (np.linalg.norm(parts(r) - reference, axis=(1, 2)) / size for r in (plain, refined))
    known = np.isfinite(before)  # the others are refused
    assert (np.isfinite(after) == known).all()
    before, after = before[known], after[known]
    assert (after <= 1.5 * before + 1e-5).all(), np.c_[before, after]
    assert not len(before) or np.median(after) <= np.median(before) + 1e-5


def test_random_matrices_are_left_alone() -> None:
    """To the last bit: no residual asks for a step."""
    A = random(40, 3)
    plain, refined = (arreig.eig(A, refine=r) for r in (False, "auto"))
    gV = plain.eigenvectors * random(40, 4)
    np.testing.assert_array_equal(plain.vjp(gV), refined.vjp(gV))
    for x, y in zip(plain.jvp(A @ A), refined.jvp(A @ A), strict=True):
        np.testing.assert_array_equal(x, y)


def test_what_is_not_refined() -> None:
    A = frank(10).astype(complex)  # a pair is always differentiated in complex arithmetic
    w, V = arreig.eig(A, refine=False)
    gV = V * random(10, 4)
    plain = arreig.eig_vjp(A, gV, refine=False)
    assert (plain != arreig.eig_vjp(A, gV)).any()
    np.testing.assert_array_equal(arreig.eig_vjp(A, gV, eigensystem=(w, V)), plain)
    broaden = [arreig.eig_vjp(A, gV, degeneracy=arreig.Broaden(1e-12), refine=r) for r in (False, "auto", 3)]
    for g in broaden[1:]:
        np.testing.assert_array_equal(g, broaden[0])


@pytest.mark.parametrize("option", [-1, 1.5, "always", True, None])
def test_options(option: Any) -> None:
    if option is None:
        assert (
            arreig.eig_vjp(frank(6), np.ones((6, 6)), refine=None) == arreig.eig_vjp(frank(6), np.ones((6, 6)))
        ).all()
        return
    with pytest.raises(arreig.InputError, match="refine must be 'auto', False or a number of steps"):
        arreig.eig(np.eye(2), refine=option)


def test_a_cluster_is_left_as_the_policy_leaves_it() -> None:
    """The tangents of "mask" leave out rotations inside a cluster; that is no residual to be corrected."""
    A = np.array(
        [
            [10.0, -206, -206, 110, -96],
            [-14, 110, 114, -66, 52],
            [14, -41, -45, 30, -16],
            [-7, 296, 296, -155, 144],
            [-7, 170, 170, -89, 78],
        ]
    )
    plain, refined = (arreig.eig(A, degeneracy="mask", refine=r, check=False) for r in (False, "auto"))
    cluster = np.abs(plain.eigenvalues + 4) < 1e-6
    assert cluster.sum() == 2
    for r in (plain, refined):  # the sum over the cluster is exactly -49
        assert abs(r.jvp(np.ones((5, 5)))[0][cluster].sum() + 49) < 1e-9


@pytest.mark.parametrize("check", [True, False])
def test_a_defective_member_raises_no_warning(check: bool) -> None:
    A = (np.eye(4) + np.eye(4, k=1)).astype("float32")
    result = arreig.eig(A, gauge="phase-free", check=check)
    dA = np.full((4, 4), 2e6, "float32")
    if check:
        with pytest.raises(arreig.DefectiveMatrixError):
            result.jvp(dA)
    else:
        assert np.isnan(result.jvp(dA)[1]).all()
