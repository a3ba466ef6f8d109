"""The systems of eigs and eigsh: what they must see, and what they must not stumble over."""

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg

import arreig


def laplacian(m: int) -> Any:
    """Of a square grid: eigenvalues 1 and 2 are equal."""
    D = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
    return sparse.csc_array(sparse.kron(D, sparse.eye_array(m)) + sparse.kron(sparse.eye_array(m), D))


@pytest.mark.parametrize("function", [arreig.eigs, arreig.eigsh])
@pytest.mark.parametrize("m", [5, 10, 30])
def test_cut_cluster_is_refused(function: Any, m: int) -> None:
    """ARPACK's start vector knows nothing of what was left out, so that it must not be what looks for it."""
    A, rng = laplacian(m), np.random.default_rng(0)
    for k, cut in ((1, False), (2, True), (3, False)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", arreig.GaugeTieWarning)
            res = function(A, k=k, sigma=0.0, degeneracy="mask")
        gV = np.zeros((m * m, k))
        gV[:, 0] = rng.standard_normal(m * m)
        res.vjp(gV)  # of the simple eigenvalue
        if cut:
            gV[:, 1] = rng.standard_normal(m * m)
            with pytest.raises(arreig.SpectrumNotSeparatedError):
                res.vjp(gV)
            with pytest.raises(arreig.SpectrumNotSeparatedError):
                res.jvp(A)


@pytest.mark.parametrize("function", [arreig.eigs, arreig.eigsh])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_tangents_that_move_no_eigenvector(function: Any, shift: float) -> None:
    """Right-hand sides are rounding errors then."""
    A = laplacian(10) + sparse.diags_array(np.arange(100) ** 2 / 1e4, format="csc")
    res = function(A, k=2, sigma=0.0)
    dw, dV = res.jvp(A + shift * sparse.eye_array(100))
    np.testing.assert_allclose(dw, res.eigenvalues + shift, atol=1e-13)
    np.testing.assert_allclose(dV, 0, atol=1e-12)


@pytest.mark.parametrize("function", [arreig.eigs, arreig.eigsh])
@pytest.mark.parametrize("k", [2, 4])
@pytest.mark.parametrize("only", [0, 1])
@pytest.mark.parametrize("mass", [False, True])
def test_cotangent_of_one_vector(function: Any, k: int, only: int, mass: bool) -> None:
    """The adjoint identity, where the other kept vectors have no cotangent."""
    rng, n = np.random.default_rng(1), 60

    def symmetric() -> Any:
        X = sparse.random_array((n, n), density=0.1, rng=rng)
        return sparse.csc_array(X + X.T)

    A, dA, dB = symmetric() + 5 * sparse.eye_array(n), symmetric(), symmetric()
    B = 0.1 * symmetric() + 2 * sparse.eye_array(n) if mass else None
    res = function(A, k=k, B=B, sigma=0.1)
    gV = np.zeros((n, k))
    gV[:, only] = rng.standard_normal(n)
    gradients = res.vjp(gV, factors=True) if mass else (res.vjp(gV, factors=True),)
    tangents = (dA, dB) if mass else (dA,)
    backwards = sum(np.sum(Y * (dX @ V)) for (Y, V), dX in zip(gradients, tangents, strict=True))
    assert np.isclose(backwards, np.vdot(gV, res.jvp(*tangents)[1]).real, rtol=1e-10)


@pytest.mark.parametrize("function", [arreig.eigs, arreig.eigsh])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_scale_of_the_mass_matrix(function: Any, scale: float) -> None:
    """What is cut and what is not does not depend on it, and gB goes as 1/scale."""
    n = 100
    A, rng = laplacian(10) + sparse.diags_array(np.arange(n) ** 2 / 1e4, format="csc"), np.random.default_rng(2)
    gV = rng.standard_normal((n, 3))
    B = sparse.diags_array(1 + rng.random(n), format="csc")
    gA, gB = function(A, k=3, B=B, sigma=0.0, gauge="canonical").vjp(gV)
    scaled_gA, scaled_gB = function(A, k=3, B=scale * B, sigma=0.0, gauge="canonical").vjp(gV)
    np.testing.assert_allclose(scaled_gA.data, gA.data, rtol=0, atol=1e-11 * np.abs(gA.data).max())
    np.testing.assert_allclose(scale * scaled_gB.data, gB.data, rtol=0, atol=1e-11 * np.abs(gB.data).max())
    cut = function(laplacian(10), k=2, B=scale * sparse.eye_array(n), sigma=0.0, degeneracy="mask", gauge="phase-free")
    with pytest.raises(arreig.SpectrumNotSeparatedError):
        cut.vjp(gV[:, :2] - cut.eigenvectors.real * np.sum(cut.eigenvectors.real * gV[:, :2], 0))


def test_odd_vector() -> None:
    """Its largest components are v and -v, equal in modulus to the last digit."""
    V = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, -0.5], [0.5, -0.5]])
    A = V @ np.diag([1.0, 2.0]) @ V.T
    A += 5 * (np.eye(4) - V @ V.T)
    gw = np.array([1.0, 0.0])
    pairs = np.array([2.0, 1.0]) + 0j, V[:, ::-1] + 0j
    gA = arreig.eigs_vjp(A, gw=gw, eigensystem=pairs, gauge="phase-free")  # k is 2, not 6
    np.testing.assert_allclose(gA, np.outer(V[:, 1], V[:, 1]), atol=1e-13)


@pytest.mark.parametrize("m", [5, 99, -100])
def test_component_of_a_long_vector(m: int) -> None:
    """There are more components than vectors."""
    A = laplacian(10) + sparse.diags_array(np.arange(100) ** 2 / 1e4, format="csc")
    w, V = res = arreig.eigs(A, k=2, sigma=0.0, gauge=arreig.Component(m))
    np.testing.assert_allclose(V[m], 1)
    np.testing.assert_allclose(res.jvp(sparse.diags_array(np.arange(100.0)))[1][m], 0, atol=1e-12)
    with pytest.raises(arreig.InputError, match="vectors of length 100"):
        arreig.eigs(A, k=2, sigma=0.0, gauge=arreig.Component(100))


def test_an_inexact_solver_does_not_hide_a_cut_cluster() -> None:
    """It preconditions at sigma whatever the shift, so that its own growth says nothing of the spectrum."""
    L = laplacian(12)
    lu = scipy.sparse.linalg.splu(L)
    gV = np.random.default_rng(0).standard_normal((144, 3))

    def solve(shift: complex, x: Any, adjoint: bool) -> Any:
        return lu.solve(x)

    for k in (1, 2, 3):
        res = arreig.eigsh(L, k=k, sigma=0.0, solve=solve, degeneracy="mask", gauge="phase-free")
        direct = arreig.eigsh(L, k=k, sigma=0.0, degeneracy="mask", gauge="phase-free")
        g = np.zeros((144, k))
        g[:, 0] = gV[:, 0]
        same = np.sign(res.eigenvectors[0] * direct.eigenvectors[0])
        np.testing.assert_allclose(res.vjp(g).data, direct.vjp(g * same).data, atol=1e-9)
        if k == 2:
            with pytest.raises(arreig.ConvergenceError, match="whether the selection cuts a cluster at eigenpair 1"):
                res.vjp(gV[:, :2])


def test_far_from_normal() -> None:
    """What ARPACK returns of such a matrix are no eigenvalues, and nothing but the left eigenvectors tells."""
    for ratio, refused in ((1.01, False), (1.5, True)):
        A = sparse.diags_array([1.0, -2.0, ratio], offsets=[-1, 0, 1], shape=(300, 300), format="csr")
        res = arreig.eigs(A, k=2, sigma=0.5)
        exact = -2 + 2 * ratio**0.5 * np.cos(np.pi * np.arange(1, 3) / 301)
        if refused:
            assert abs(res.eigenvalues[0] - exact[0]) > 1e-3
            for derivative in (lambda res=res: res.vjp(gw=np.array([1.0, 0.0])), lambda res=res, A=A: res.jvp(A)):
                with pytest.raises(arreig.LostPrecisionError, match=r"condition number .* too far from normal"):
                    derivative()
        else:
            np.testing.assert_allclose(res.eigenvalues, exact, atol=1e-9)
            res.vjp(gw=np.array([1.0, 0.0]))


def similar(D: Any, seed: int = 0) -> Any:
    T = np.eye(len(D)) + 0.1 * np.random.default_rng(seed).standard_normal(D.shape)
    return T @ D @ np.linalg.inv(T)


def test_a_complex_shift_wants_one_of_a_pair() -> None:
    D = np.diag(np.arange(10.0, 30))
    D[:2, :2] = [[1, 1], [-1, 1]]
    A = similar(D)
    for sigma, expected in ((1 + 0.1j, [1 + 1j, 1 - 1j]), (1 - 0.9j, [1 - 1j, 1 + 1j])):
        res = arreig.eigs(A, k=2, sigma=sigma)
        np.testing.assert_allclose(res.eigenvalues, expected, atol=1e-12)
        gw = np.array([1.0 + 2j, 3.0])
        dA = np.random.default_rng(1).standard_normal(A.shape)
        np.testing.assert_allclose(np.sum(res.vjp(gw=gw) * dA), np.vdot(gw, res.jvp(dA)[0]).real, rtol=1e-10)


def test_pairs_that_are_nearly_conjugate() -> None:
    """1 + 2i and 1 + 1e-7 - 2i are of two pairs, and each is moved by its own vectors."""
    D = np.diag(np.arange(0.0, 20))
    D[:2, :2], D[2:4, 2:4] = [[1, 2], [-2, 1]], [[1 + 1e-7, 2], [-2, 1 + 1e-7]]
    A = similar(D)
    w, V = np.linalg.eig(A)
    take = [int(np.argmin(abs(w - x))) for x in (1 + 2j, 1 + 1e-7 - 2j)]
    W, gw = np.linalg.inv(V).conj().T, np.array([1.0, 3 + 1j])
    expected = sum((g * np.outer(W[:, j], V[:, j].conj())).real for g, j in zip(gw, take, strict=True))
    got = arreig.eigs_vjp(A, gw=gw, eigensystem=(w[take], V[:, take]))
    assert np.linalg.norm(got - expected) < 1e-6 * np.linalg.norm(expected)


@pytest.mark.parametrize("which", ["LM", "BE"])
def test_a_cluster_that_is_cut_inside_the_selection(which: Any) -> None:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 50)))[0]
    H = (Q * np.r_[-10, -9, -9, 9.5, 10, np.linspace(-1, 1, 45)]) @ Q.T
    res = arreig.eigsh(sparse.csr_array((H + H.T) / 2), k=4, which=which)
    for gw in ([0, 1.0, 0, 0], [1.0, 1, 0, 0]):
        with pytest.raises(arreig.SpectrumNotSeparatedError):
            res.vjp(gw=np.array(gw))
    np.testing.assert_allclose(np.trace(res.vjp(gw=np.array([1.0, 0, 0, 0])).toarray()), 1)


@pytest.mark.parametrize("gauge", ["canonical", "phase-free", "B-norm"])
def test_an_indefinite_mass_matrix(gauge: Any) -> None:
    B = np.eye(40)
    B[0, 1] = B[1, 0] = 3
    H = sparse.diags_array(np.arange(1.0, 41), format="csr")
    with pytest.raises(arreig.ArreigError, match=r"B must be positive definite|solves another problem"):
        arreig.eigsh(H, k=3, B=sparse.csr_array(B), gauge=gauge)


def test_products_that_are_not_those_of_a_matrix() -> None:
    A = similar(np.diag(np.arange(30.0)))
    wrong = scipy.sparse.linalg.LinearOperator((30, 30), matvec=lambda x: A @ x, rmatvec=lambda x: A @ x, dtype=float)
    with pytest.raises(arreig.InputError, match="rmatvec must multiply with the adjoint"):
        arreig.eigs(wrong, k=2).vjp(gw=np.ones(2))
    with pytest.raises(arreig.InputError, match="dA must be Hermitian"):
        arreig.eigsh(A + A.T, k=2).jvp(scipy.sparse.linalg.aslinearoperator(A))
    with pytest.raises(arreig.EigensystemError, match="solves another problem"):
        arreig.eigs(A, k=2, sigma=30.2, solve=lambda s, x, a: x / (1 - s))


def test_a_result_of_another_kind_of_matrix() -> None:
    A = similar(np.diag(np.arange(30.0)))
    res = arreig.eigs(A, k=2)
    for other in (A + 0j, sparse.csr_array(A), A.astype(np.float32)):
        with pytest.raises(
            arreig.InputError, match="of the kind and shape of the supplied result's matrix, a dense array"
        ):
            arreig.eigs_vjp(other, gw=np.ones(2), eigensystem=res)


def test_single_precision() -> None:
    """It is that of the results; operators, too, are computed with in double, and arreig takes back what it gave."""
    A = similar(np.diag(np.arange(30.0))).astype(np.float32)
    operator = scipy.sparse.linalg.aslinearoperator(A)
    gV = np.random.default_rng(0).standard_normal((30, 3))
    expected = arreig.eigs(A.astype(float), k=3, sigma=12.3).vjp(gV)
    for matrix in (A, sparse.csr_array(A), operator):
        res = arreig.eigs(matrix, k=3, sigma=12.3)
        assert res.eigenvectors.dtype == np.complex64
        g = res.vjp(gV, factors=True).to_dense()
        assert np.linalg.norm(g - expected) < 1e-5 * np.linalg.norm(expected)
        again = arreig.eigs_vjp(matrix, gV, eigensystem=tuple(res), factors=True).to_dense()
        assert np.linalg.norm(again - expected) < 1e-4 * np.linalg.norm(expected)


def test_a_pair_that_is_nearly_real() -> None:
    """1 +- 1e-13 i are equal to rounding; of their sum there is a gradient, though one member is solved for in both's place."""
    D = np.diag(np.arange(3.0, 23))
    D[:2, :2] = [[1, 1e-13], [-1e-13, 1]]
    A = similar(D)
    w, V = np.linalg.eig(A)
    near = [j for j in range(20) if abs(w[j] - 1) < 1e-6]
    g = arreig.eigs_vjp(A, gw=np.ones(2), eigensystem=(w[near], V[:, near]), degeneracy="mask")
    W = np.linalg.inv(V).conj().T
    np.testing.assert_allclose(g, (W[:, near] @ V[:, near].conj().T).real, atol=1e-10)
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="tell them apart"):
        arreig.eigs_vjp(A, gw=np.array([1.0, 2.0]), eigensystem=(w[near], V[:, near]), degeneracy="mask")
