"""Results and their order: names, left eigenvectors, sort, copies, one factorisation."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from scipy.linalg import block_diag

import arreig
from arreig._backends import lapack
from arreig.testing import adjoint_defect, finite_differences, host

RNG = np.random.default_rng(0)


def test_names(lib: Any) -> None:
    A = lib.array(np.array([[2.0, 1.0], [1.0, 5.0]]))
    for res, fields in (
        (arreig.eig(A), ("eigenvalues", "eigenvectors")),
        (arreig.eig(A, left=True), ("eigenvalues", "eigenvectors", "left_eigenvectors")),
        (arreig.eigh(A), ("eigenvalues", "eigenvectors")),
    ):
        assert res._fields == fields
        assert repr(res).startswith(type(res).__name__ + "(eigenvalues=")
        assert tuple(getattr(res, name) is x for name, x in zip(fields, res, strict=True)) == (True,) * len(fields)


def test_eig_is_always_complex(lib: Any, dtype: str) -> None:
    """Also where the whole spectrum is real, for which NumPy returns real arrays."""
    A = lib.array(np.array([[2.0, 1.0], [0.0, 5.0]]), dtype)
    expected = lib.xp.complex64 if dtype in ("float32", "complex64") else lib.xp.complex128
    for x in (*arreig.eig(A, left=True), arreig.eigvals(A)):
        assert x.dtype == expected
    assert arreig.eig_vjp(A, gw=lib.xp.ones_like(arreig.eigvals(A))).dtype == A.dtype


def test_left_eigenvectors(lib: Any, dtype: str, batch: tuple[int, ...]) -> None:
    A = lib.array(RNG.standard_normal((*batch, 4, 4)), dtype)
    w, V, W = map(host, arreig.eig(A, left=True))
    Wh = np.conj(np.swapaxes(W, -1, -2))
    tolerance = 2e-4 if dtype in ("float32", "complex64") else 1e-11
    np.testing.assert_allclose(Wh @ V, np.broadcast_to(np.eye(4), V.shape), atol=tolerance)
    np.testing.assert_allclose(Wh @ host(A), w[..., :, None] * Wh, atol=tolerance * np.abs(W).max())


@pytest.mark.parametrize("gauge", ["canonical", arreig.Component(0)], ids=str)
@pytest.mark.parametrize("is_complex", [False, True])
def test_cotangent_of_left_eigenvectors(gauge: Any, is_complex: bool) -> None:
    rng = np.random.default_rng(4)
    A = rng.standard_normal((4, 4)) + (1j * rng.standard_normal((4, 4)) if is_complex else 0)
    g = [rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((4,), (4, 4), (4, 4))]
    options = {"gauge": gauge, "sort": "abs"}
    loss = lambda A: np.sum(
        [np.real(np.vdot(c, x)) for c, x in zip(g, arreig.eig(A, left=True, **options), strict=True)]
    )
    gw, gV, gW = g
    res = arreig.eig(A, left=True, **options)
    gA = res.vjp(gV, gw, gW=gW)
    np.testing.assert_allclose(gA, finite_differences(loss, A, step=2e-5), atol=1e-8 * np.abs(gA).max())
    np.testing.assert_array_equal(arreig.eig(A, **options).vjp(gV, gw, gW=gW), gA)  # left is not needed for gW
    dA = rng.standard_normal((4, 4)) + (1j * rng.standard_normal((4, 4)) if is_complex else 0)
    dw, dV, dW = res.jvp(dA)
    assert adjoint_defect([(gw, dw), (gV, dV), (gW, dW)], [(gA, dA)]) < 1e-11
    for x, y in zip(arreig.eig_jvp(A, dA, left=True, **options), (dw, dV, dW), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-10)


SPECTRA = {
    "pairs of one modulus": block_diag([[0, 1], [-1, 0]], [[0.6, 0.8], [-0.8, 0.6]], [[1.0]], [[-1.0]], [[2.0]]),
    "equal pairs": block_diag([[0, 1], [-1, 0]], [[0, 1], [-1, 0]], [[3.0]]),
    "one real part": block_diag([[1, 2], [-2, 1]], [[1, 5], [-5, 1]], [[1.0]]),
    "random": np.random.default_rng(1).standard_normal((9, 9)),
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("sort", ["abs", "real"])
def test_sort(lib: Any, dtype: str, sort: str, spectrum: str) -> None:
    n = len(SPECTRA[spectrum])
    A = SPECTRA[spectrum]
    swap = np.eye(n)[np.random.default_rng(2).permutation(n)]
    a = lib.array(np.stack([A, swap @ A @ swap.T]), dtype)
    w, V = arreig.eig(a, sort=sort, gauge="phase-free")
    np.testing.assert_array_equal(host(arreig.eigvals(a, sort=sort)), host(w))
    tolerance = 1e-5 if dtype in ("float32", "complex64") else 1e-12
    w, V, A2 = host(w), host(V), host(a)
    key = np.abs(w) if sort == "abs" else w.real
    assert (np.diff(key, axis=-1) <= 4 * tolerance).all()
    np.testing.assert_allclose(A2 @ V, V * w[:, None, :], atol=20 * tolerance)
    if dtype.startswith("float"):  # conjugate pairs adjacent, +imag first
        for member in w:
            i = 0
            while i < n:
                if member[i].imag:
                    assert member[i].imag > 0
                    assert member[i + 1] == np.conj(member[i])
                    i += 1
                i += 1


def test_sort_of_complex_matrices_puts_positive_imaginary_parts_first(lib: Any) -> None:
    w = host(arreig.eigvals(lib.array(np.diag([-2j, 1, 2j]).astype(complex)), sort="real"))
    np.testing.assert_array_equal(w, [1, 2j, -2j])


@pytest.mark.parametrize("n", [20, 200])
def test_eigvals_has_the_order_of_eig(n: int) -> None:
    """LAPACK's own differs for large n, depending on whether vectors are asked for."""
    A = np.random.default_rng(3).standard_normal((n, n))
    w = arreig.eigvals(A)
    np.testing.assert_array_equal(w, arreig.eig(A, gauge="phase-free").eigenvalues)
    gw = np.zeros(n)
    gw[np.argmax(w.real)] = 1
    rightmost = lambda t: np.sort(np.linalg.eigvals(A + t * np.eye(n)).real)[-1]
    assert np.isclose(np.trace(arreig.eigvals_vjp(A, gw)), (rightmost(1e-3) - rightmost(-1e-3)) / 2e-3)


def test_factorised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """res.vjp decomposes nothing and factorises at its first use only."""
    calls = []
    factorise, solver = lapack.LapackBackend.factorise, lapack.LapackBackend.eig
    monkeypatch.setattr(lapack.LapackBackend, "factorise", lambda self, V: calls.append("lu") or factorise(self, V))
    monkeypatch.setattr(lapack.LapackBackend, "eig", lambda self, A: calls.append("eig") or solver(self, A))
    A = RNG.standard_normal((4, 4))
    res = arreig.eig(A, left=True)
    for _ in range(3):
        res.vjp(A, A[0])
        res.jvp(A)
        res.vjp(None, A[0], gW=A)
        arreig.eig_vjp(A, A, eigensystem=res)
    assert calls == ["eig", "lu"]


def test_changing_the_arrays_does_not_change_the_derivatives() -> None:
    A = RNG.standard_normal((4, 4))
    gV = RNG.standard_normal((4, 4))
    for function, M in (("eig", A), ("eigh", A + A.T)):
        M = M.copy()
        res = getattr(arreig, function)(M)
        expected = getattr(arreig, f"{function}_vjp")(M, gV)
        for x in (*res, M):
            x *= 3
        np.testing.assert_array_equal(res.vjp(gV), expected)


def test_copies() -> None:
    A, many = RNG.standard_normal((4, 4)), RNG.standard_normal((100, 4, 4))
    for res in (arreig.eig(A), arreig.eig(A, left=True), arreig.eigh(A + A.T), arreig.eig(many)):
        gV = np.broadcast_to(RNG.standard_normal((4, 4)), res.eigenvectors.shape)
        expected = res.vjp(gV)
        for other in (copy.copy(res), copy.deepcopy(res), pickle.loads(pickle.dumps(res))):
            np.testing.assert_array_equal(other.vjp(gV), expected)
        with pytest.raises(arreig.ArreigError, match="rebuilt from its arrays"):
            res._replace(eigenvalues=res[0]).vjp(gV)


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_eigenvalue_cotangents_alone(lib: Any, dtype: str, kind: str) -> None:
    """They need no gauge, agree with the long way, and with the functions for eigenvalues."""
    A = RNG.standard_normal((2, 4, 4))
    A = lib.array(A + np.swapaxes(A, -1, -2) if kind == "eigh" else A, dtype)
    res = getattr(arreig, kind)(A)
    gw = lib.array(np.random.default_rng(5).standard_normal((2, 4)))
    short, long = res.vjp(None, gw), res.vjp(0 * res.eigenvectors, gw)
    tolerance = 2e-4 if dtype in ("float32", "complex64") else 1e-11
    np.testing.assert_allclose(host(short), host(long), atol=tolerance)
    values = "eigvals" if kind == "eig" else "eigvalsh"
    scaled = (res.eigenvalues, res.eigenvectors * lib.array(np.arange(1.0, 5.0)))  # of any norm
    for eigensystem in (None, res, scaled):
        np.testing.assert_allclose(
            host(getattr(arreig, f"{values}_vjp")(A, gw, eigensystem=eigensystem)), host(long), atol=tolerance
        )
    dw = getattr(arreig, f"{values}_jvp")(A, A)
    np.testing.assert_allclose(host(dw), host(res.jvp(A)[0]), atol=tolerance)
    assert dw.dtype == res.eigenvalues.dtype
