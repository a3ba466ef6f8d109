"""Real matrices are differentiated in real arithmetic: the results are those of complex arithmetic, and no check is lost."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import arreig
from arreig._decompositions._general import GeneralEigensystem
from arreig._rules._basis import ComplexBasis
from arreig._rules._conjugate import ConjugateBasis, Partners

RNG = np.random.default_rng(8)


def member(blocks: str, n: int) -> np.ndarray[Any, Any]:
    """A well-conditioned matrix with real eigenvalues (r) and conjugate pairs (c) in some order that LAPACK chooses."""
    A, i = np.zeros((n, n)), 0
    for k, block in enumerate(blocks):
        if block == "r":
            A[i, i] = 1.5 + k
            i += 1
        else:
            A[i : i + 2, i : i + 2] = [[k - 1.0, 1.3], [-0.7, k - 1.2]]
            i += 2
    X = np.eye(n) + 0.3 * RNG.standard_normal((n, n))
    return np.linalg.solve(X, A @ X)


BATCH = np.stack([member(blocks, 5) for blocks in ("rrrrr", "crrr", "rcc", "ccr", "rcrr", "crc")])


@pytest.fixture
def complex_arithmetic(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A switch that has everything done in complex arithmetic."""
    return lambda: monkeypatch.setattr(GeneralEigensystem, "conjugate", False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sort", [None, "abs"])
@pytest.mark.parametrize("degeneracy", ["raise", "mask", "perturb", arreig.Broaden(1e-6)], ids=str)
@pytest.mark.parametrize(
    "gauge", ["canonical", "phase-free", arreig.Component(1), arreig.Functional(np.ones(5))], ids=str
)
def test_equals_complex_arithmetic(complex_arithmetic: Any, gauge: Any, degeneracy: Any, sort: Any, dtype: str) -> None:
    """Cotangents need not be conjugate on pairs, nor real on real eigenvalues."""
    A, dA = BATCH.astype(dtype), RNG.standard_normal(BATCH.shape).astype(dtype)
    gV, gW = RNG.standard_normal((2, *A.shape)) + 1j * RNG.standard_normal((2, *A.shape))
    gw = gV[..., 0]
    if gauge == "phase-free":
        gV = gV.real * arreig.eig(A, gauge=gauge, degeneracy=degeneracy, sort=sort).eigenvectors

    def results() -> list[Any]:
        res = arreig.eig(A, gauge=gauge, degeneracy=degeneracy, sort=sort, refine=1, left=True)
        gradients = [res.vjp(gV, gw), res.vjp(gV=gV), res.vjp(gw=gw)]
        if gauge != "phase-free":
            gradients.append(res.vjp(gV, gw, gW=gW))
        assert all(g.dtype == dtype for g in gradients)
        return [*gradients, *res.jvp(dA), arreig.eigvals_jvp(A, dA), res.left_eigenvectors]

    real = results()
    complex_arithmetic()
    for x, y in zip(real, results(), strict=True):
        assert np.abs(x - y).max() <= 2e3 * np.finfo(dtype).eps * np.abs(y).max()


def test_where_it_is_real() -> None:
    """By types and options alone; what is supplied or separated need not be closed under conjugation."""

    def basis(A: Any, B: Any = None, pair: Any = None, **options: Any) -> Any:
        return GeneralEigensystem.of(A, B, pair, **options)[0].basis

    A = BATCH[1]
    assert isinstance(basis(A), ConjugateBasis)
    assert isinstance(basis(A, gauge=arreig.Functional(np.ones(5))), ConjugateBasis)
    for other in (
        basis(A + 0j),
        basis(A, np.eye(5)),
        basis(A, None, np.linalg.eig(A)),
        basis(A, degeneracy="split"),
        basis(A, gauge=arreig.Functional(1j * np.ones(5))),
    ):
        assert isinstance(other, ComplexBasis)


def test_representation() -> None:
    """Columns and coefficients are what the formulas of the module say, and only the closed part of others counts."""
    w, V = arreig.eig(BATCH)
    partners = Partners.of(w)
    R = partners.columns(V)
    assert R.dtype == float
    np.testing.assert_array_equal(partners.array(R), V)
    basis = replace(GeneralEigensystem.of(BATCH)[0].basis, V=R, partners=partners)
    X = basis.columns(RNG.standard_normal(V.shape) + 1j * RNG.standard_normal(V.shape))
    P = basis.coefficients(basis.tested(X))
    np.testing.assert_allclose(P, V.conj().mT @ partners.array(X), atol=1e-14)
    F = P * P + 1
    np.testing.assert_allclose(basis.coefficients(basis.weighted(basis.weights(F), basis.tested(X))), F * P, atol=1e-13)
    np.testing.assert_allclose(basis.coefficients(basis.with_diagonal(0 * R, w)), w[..., None] * np.eye(5), atol=1e-15)
    np.testing.assert_allclose(basis.diagonal(basis.tested(X)), np.diagonal(P, axis1=1, axis2=2), atol=1e-14)


def test_checks_see_the_cotangents_as_they_came() -> None:
    """Imaginary parts that a real tangent of separate eigenvalues cannot reach do count where these may meet."""
    A = np.diag([2.0, 2.0, 1.0])
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        arreig.eig_vjp(A, np.zeros((3, 3)), np.array([1j, -1j, 0]))
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        arreig.eigvals_vjp(A, np.array([1j, -1j, 0]))
    gV = np.zeros((3, 3), complex)
    gV[1, 0] = 1j
    for degeneracy in ("raise", "mask"):
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            arreig.eig_vjp(A, gV, degeneracy=degeneracy)
    gV = 1j * np.eye(3)[:, [2, 2, 2]] * [0, 0, 1]
    with pytest.raises(arreig.GaugeDependentLossError):
        arreig.eig_vjp(np.diag([3.0, 2.0, 1.0]), gV, gauge="phase-free")
    assert not arreig.eig_vjp(np.diag([3.0, 2.0, 1.0]), gV).any()


def test_lost_members_do_not_spread() -> None:
    A = np.stack([BATCH[2], BATCH[0], np.eye(5) + np.eye(5, k=1)])
    res = arreig.eig(A, check=False)
    gV = RNG.standard_normal(A.shape)
    g = res.vjp(gV)
    assert np.isnan(g[2]).all()
    for i in (0, 1):
        np.testing.assert_allclose(g[i], arreig.eig_vjp(A[i], gV[i]), rtol=1e-12, atol=1e-13)
