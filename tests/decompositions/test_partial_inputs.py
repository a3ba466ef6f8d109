"""What a few eigenpairs refuse, and what the messages say; matrices of other libraries; eigenpairs from elsewhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg as linalg
import torch

import arreig
from arreig.testing import host

from ..conftest import LIBRARIES, Library

n = 60
rng = np.random.default_rng(0)
A = sparse.csr_array(sparse.random_array((n, n), density=0.1, rng=rng) + sparse.diags_array(np.linspace(0, 5, n)))
S = sparse.csr_array(sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n)))
EYE = sparse.eye_array(n, format="csr")
JORDAN = sparse.csr_array(sparse.block_diag([[[5.0, 1], [0, 5]], np.diag(np.linspace(0, 1, n - 2))]))
OPERATOR = linalg.LinearOperator((n, n), matvec=lambda x: A @ x, dtype=float)
RANK_4 = sparse.diags_array(np.r_[np.ones(4), np.zeros(n - 4)])
EMPTY_FIRST = sparse.diags_array(np.r_[0.0, np.arange(1.0, n)], format="csr")
ones = np.ones


def operator(product: Callable[[Any], Any]) -> Any:
    return linalg.LinearOperator((n, n), matvec=product, dtype=float)


eigs, eigsh = arreig.eigs, arreig.eigsh
nan = A.copy()
nan.data[3] = np.nan

REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: eigs(A, 0), arreig.InputError, "k must be between 1 and the order of the matrix, 60; got 0"),
    (lambda: eigs(A, -1), arreig.InputError, "got -1"),
    (lambda: eigs(A, n + 1), arreig.InputError, "got 61"),
    (lambda: eigs(A, 2.0), arreig.InputError, "k must be an integer, got 2.0"),
    (lambda: eigs(sparse.eye_array(1200), 1199), arreig.InputError, "at most 1198 for a matrix of order 1200"),
    (lambda: eigs(A, which="LA"), arreig.InputError, "which must be one of 'LM'.*got 'LA'"),
    (lambda: eigsh(S * 1j - 1j * S + S, which="BE"), arreig.InputError, "'BE' is for real symmetric"),
    (lambda: eigs(A, sigma=np.nan), arreig.InputError, "sigma must be a finite number"),
    (lambda: eigsh(S, sigma=1j), arreig.InputError, "sigma must be a finite real number"),
    (
        lambda: eigs(sparse.diags_array(np.arange(0.0, n)), 3, sigma=5.0),
        arreig.InputError,
        "sigma = 5.0 is an eigenvalue.*move sigma",
    ),
    (
        lambda: eigsh(S, 3, sigma=float(np.linalg.eigvalsh(S.toarray())[9])),
        arreig.InputError,
        "is an eigenvalue to working",
    ),
    (lambda: eigs(A, v0=ones(3)), arreig.InputError, r"v0 must have shape \(60,\), got \(3,\)"),
    (lambda: eigs(A, ncv=5), arreig.InputError, "ncv must be between 8 and 60"),
    (lambda: eigs(A, tol=-1.0), arreig.InputError, "tol must be a number between 0"),
    (lambda: eigs(A, maxiter=0), arreig.InputError, "maxiter must be positive"),
    (lambda: eigs(A, sort="up"), arreig.InputError, "sort must be None"),
    (lambda: eigs(A, solve="lu"), arreig.InputError, "solve must be 'auto'"),
    (lambda: eigs(A, degeneracy="split"), arreig.InputError, "'raise' or 'mask' for a few eigenpairs"),
    (lambda: eigs(A, gauge="B-norm"), arreig.InputError, "needs the positive definite B of eigh"),
    (lambda: eigsh(S, gauge="B-norm"), arreig.InputError, "needs the positive definite B of eigh"),
    (lambda: eigs(A, gauge="unit"), arreig.InputError, "gauge must be"),
    (lambda: eigs(A[:5]), arreig.InputError, r"one square matrix.*got shape \(5, 60\)"),
    (lambda: eigs(sparse.csr_array((0, 0)), 1), arreig.InputError, "at least one row"),
    (lambda: eigs([[1.0]], 1), arreig.InputTypeError, "A must be a SciPy sparse array.*got list"),
    (lambda: eigs(nan), arreig.NonFiniteError, "A must be finite, but has an entry that is nan"),
    (lambda: eigs(A.astype(bool)), arreig.InputTypeError, "must have one of the dtypes.*got bool"),
    (lambda: eigs(A, B=sparse.eye_array(n + 1)), arreig.InputError, r"shape of A, \(60, 60\); got \(61, 61\)"),
    (lambda: eigs(A, B=torch.eye(n)), arreig.InputTypeError, "B must come from A's library"),
    (lambda: eigs(A, B=sparse.diags_array(np.r_[0.0, ones(n - 1)])), arreig.InputError, "B is singular.*pass sigma"),
    (lambda: eigs(0 * A, 2), arreig.InputError, "ARPACK cannot start"),
    (lambda: eigsh(A), arreig.InputError, "A must be Hermitian.*use eigs"),
    (lambda: eigsh(OPERATOR), arreig.InputError, "A must be Hermitian"),
    (lambda: eigsh(S, B=A), arreig.InputError, "B must be Hermitian"),
    (
        lambda: eigsh(S, B=sparse.diags_array(np.r_[-1.0, ones(n - 1)]), sigma=0.1),
        arreig.InputError,
        "B must be positive definite",
    ),
    (lambda: eigsh((1 + 0j) * S, n, B=EYE + S - abs(S) * 0.9), arreig.InputError, "it has no Cholesky factor"),
    (lambda: eigs(OPERATOR, 2).vjp(gw=ones(2)), arreig.InputError, "give the LinearOperator an rmatvec"),
    (
        lambda: eigs(A, 2, sigma=0.1, solve=lambda s, x, a: x[:3]),
        arreig.InputError,
        "must return a vector of the shape of x",
    ),
    (lambda: eigs(A, 2).vjp(), arreig.InputError, "at least one of the cotangents"),
    (lambda: eigs(A, 2).vjp(gw=ones(3)), arreig.InputError, r"gw must have shape \(2,\), got \(3,\)"),
    (lambda: eigs(A, 2).vjp(gV=torch.ones(n, 2)), arreig.InputTypeError, "gV must be a NumPy array"),
    (lambda: eigs(A, 2).vjp(gw=ones(2) * np.inf), arreig.NonFiniteError, "gw must be finite"),
    (lambda: eigsh(S, 2).vjp(gV=1j * ones((n, 2))), arreig.InputTypeError, "gV must be real"),
    (lambda: eigs(A, 2).vjp(gw=ones(2), factors=1), arreig.InputError, "factors must be True or False"),
    (
        lambda: eigs(1j * A, 2).vjp(gw=ones(2), factors=True).on_pattern(A),
        arreig.InputTypeError,
        "complex gradient has no place",
    ),
    (
        lambda: eigs(A, 2).vjp(gw=ones(2), factors=True).on_pattern(A[:5]),
        arreig.InputError,
        r"A must have entries and shape",
    ),
    (lambda: eigs(A, 2, B=0 * EYE, sigma=0.1), arreig.InputError, "B is zero"),
    (lambda: eigs(A, sigma=10**400), arreig.InputError, "sigma must be a finite number"),
    (lambda: eigs(A, 2).jvp(A[:5]), arreig.InputError, r"dA must have shape \(60, 60\)"),
    (lambda: eigs(A, 2).jvp(1j * A), arreig.InputTypeError, "dA must be real"),
    (lambda: eigs(A, 2).jvp(A, A), arreig.InputError, "there is no B"),
    (
        lambda: arreig.eigs_vjp(JORDAN, gw=np.array([1.0, 2]), k=2),
        arreig.DegenerateEigenvaluesError,
        "are numerically equal",
    ),
    (
        lambda: arreig.eigs_vjp(JORDAN, gV=ones((n, 2)), k=2, degeneracy="mask"),
        arreig.DegenerateEigenvaluesError,
        "degeneracy='mask' serves",
    ),
    (
        lambda: arreig.eigs_vjp(
            A, eigs(A, 2).eigenvectors * 1j**0.3 * (1 + np.arange(n))[:, None], k=2, gauge="phase-free"
        ),
        arreig.GaugeDependentLossError,
        "depends on the phase of eigenvector 0",
    ),
    (
        lambda: arreig.eigs_vjp(A, gw=ones(2), eigensystem=(ones(2), ones((n, 2)))),
        arreig.EigensystemError,
        "eigenpair 0, w = 1, has",
    ),
    (
        lambda: arreig.eigs_vjp(A, gw=ones(2), eigensystem=(ones(2), ones((n, 3)))),
        arreig.InputError,
        r"shapes \(k,\) and \(60, k\)",
    ),
    (
        lambda: arreig.eigs_vjp(A, gw=ones(2), eigensystem=eigsh(S, 2)),
        arreig.InputTypeError,
        "a result of eigs for a derivative of eigsh",
    ),
    (
        lambda: arreig.eigs_vjp(S, gw=ones(2), eigensystem=eigs(A, 2)),
        arreig.EigensystemError,
        "not that of these matrices",
    ),
    (lambda: arreig.eigs_vjp(A, gw=ones(2), B=EYE, eigensystem=eigs(A, 2)), arreig.InputError, "B was given, but"),
    (lambda: arreig.eigs_vjp(A, gw=ones(2), eigensystem=eigs(A, 2, B=EYE)), arreig.InputError, "B was not given, but"),
    (lambda: arreig.eigs_vjp(A, gw=ones(2), eigensystem=5), arreig.InputTypeError, r"a pair \(w, V\), got int"),
    (
        lambda: arreig.eigs_vjp(JORDAN, gw=ones(2), eigensystem=(5 * ones(2), np.eye(n)[:, [0, 0]])),
        arreig.DefectiveMatrixError,
        "depends linearly on others that were kept",
    ),
    (lambda: eigs(torch.eye(n).requires_grad_(), 2), arreig.InputTypeError, "arreig_torch"),
    (lambda: eigs(torch.eye(n).to_sparse().requires_grad_(), 2), arreig.InputTypeError, "arreig_torch"),
    (
        lambda: eigs(A, 2, sigma=0.1, solve=lambda s, x, a: x * np.nan),
        arreig.NonFiniteError,
        "solve.* returns must be finite",
    ),
    (
        lambda: eigs(A, 2, sigma=0.1, solve=lambda s, x, a: x * 1j),
        arreig.InputTypeError,
        "solve.* returns must be real",
    ),
    (
        lambda: eigs(operator(lambda x: x * np.nan), 2),
        arreig.NonFiniteError,
        "product of A with a vector must be finite",
    ),
    (lambda: eigs(operator(lambda x: x * 1j), 2), arreig.InputTypeError, "product of A with a vector must be real"),
    (lambda: eigs(S, 6, B=RANK_4, sigma=0.1), arreig.InputError, "fewer than 6 finite eigenvalues"),
    (lambda: eigs(S, n, B=RANK_4), arreig.InputError, "fewer than k finite eigenvalues"),
    (
        lambda: arreig.eigs_vjp(EMPTY_FIRST, gw=ones(1), B=EMPTY_FIRST, eigensystem=(ones(1), np.eye(n)[:, 1:2])),
        arreig.InputError,
        "the pencil is singular",
    ),
    (lambda: eigs(torch.eye(n).half().to_sparse(), 2), arreig.InputTypeError, "got torch.float16; convert it"),
    (lambda: eigs(torch.eye(n).to_sparse_bsr((2, 2)), 2), arreig.InputTypeError, "in the layout COO, CSR or CSC"),
]


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning", "ignore::arreig.DenseSolverWarning", "ignore:Sparse BSR")
@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert type(caught.value) is error


def test_what_converged_is_in_the_error() -> None:
    L = sparse.diags_array(np.concatenate([[9.0, 8.0, 7.0], np.linspace(0, 1, 397)]), format="csr")
    for function in (arreig.eigs, arreig.eigsh):
        with pytest.raises(arreig.ConvergenceError, match=r"found \d+ of 12 eigenpairs.*sigma") as caught:
            function(L, 12, maxiter=3)
        w, V = caught.value.eigenvalues, caught.value.eigenvectors
        assert 0 < len(w) < 12
        np.testing.assert_allclose(L @ V, V * w, atol=1e-10)


def test_a_solver_that_does_not_solve() -> None:
    def poor(shift: complex, x: Any, adjoint: bool) -> Any:
        return linalg.spsolve(sparse.csc_array(A - 0.1 * EYE), x) if shift == 0.1 else np.cos(np.arange(n) * x)

    res = arreig.eigs(A, 2, sigma=0.1, solve=poor, check=False)
    with pytest.raises(
        arreig.ConvergenceError, match=r"to a relative residual of .* only, expected 1e-08. The supplied solve"
    ) as caught:
        res.vjp(ones((n, 2)))
    assert caught.value.residuals[0] > 1e-8


@pytest.mark.parametrize(("function", "most"), [(eigs, n - 2), (eigsh, n - 1)])
def test_more_than_arpack_can(function: Callable[..., Any], most: int) -> None:
    with pytest.warns(arreig.DenseSolverWarning, match=f"at most {most} eigenpairs of a matrix of order {n}"):
        res = function(S, n, gauge="phase-free")
    np.testing.assert_allclose(np.sort(res.eigenvalues.real), np.linalg.eigvalsh(S.toarray()), atol=1e-13)
    g = res.vjp(gw=res.eigenvalues)  # of tr(A^2)/2
    np.testing.assert_allclose(g.toarray(), S.toarray(), atol=1e-12)


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")
def test_the_most_wanted_first_and_the_same_every_time() -> None:
    w = np.linalg.eigvals(A.toarray())
    keys = {
        "LM": -abs(w),
        "SM": abs(w),
        "LR": -w.real,
        "SR": w.real,
        "LI": -abs(w.imag),
        "SI": abs(w.imag),
    }
    for which, key in keys.items():
        res, again = (eigs(A, 5, which=which, ncv=50) for _ in range(2))
        x = res.eigenvalues
        order = {"LM": -abs(x), "SM": abs(x), "LR": -x.real, "SR": x.real, "LI": -abs(x.imag), "SI": abs(x.imag)}[which]
        np.testing.assert_allclose(order, np.sort(key)[:5], atol=1e-9)
        np.testing.assert_array_equal(res.eigenvectors, again.eigenvectors)
    for sigma in (2.2, 2.2 + 0.3j):
        distance = abs(eigs(A, 5, sigma=sigma).eigenvalues - sigma)
        np.testing.assert_allclose(distance, np.sort(abs(w - sigma))[:5], atol=1e-12)
    every = np.linalg.eigvalsh(S.toarray())
    np.testing.assert_allclose(eigsh(S, 5, which="BE").eigenvalues, every[[0, 1, -3, -2, -1]], atol=1e-13)
    assert np.all(np.diff(abs(eigs(A, 5, which="SR", sort="abs").eigenvalues)) <= 0)


@pytest.mark.parametrize(
    "name", ["numpy", "strict", "torch", pytest.param("jax", marks=pytest.mark.xdist_group("jax"))]
)
@pytest.mark.parametrize("dtype", ["float64", "complex128", "float32", "complex64"])
def test_dense_arrays_of_every_library(name: str, dtype: str) -> None:
    library: Library = LIBRARIES[name]
    M = A.toarray() * (1 + 0.3j if dtype.startswith("c") else 1)
    xp, single = library.xp, dtype in ("float32", "complex64")
    gV, gw = rng.standard_normal((n, 3)), rng.standard_normal(3)
    X = library.array(M, dtype)
    res = arreig.eigs(X, 3, gauge="canonical")
    assert res.eigenvectors.dtype == (xp.complex64 if single else xp.complex128)
    g = res.vjp(*(library.array(x, "float32" if single else "float64") for x in (gV, gw)))
    assert g.dtype == X.dtype
    expected = arreig.eigs(host(X), 3).vjp(*(x.astype("float32" if single else "float64") for x in (gV, gw)))
    np.testing.assert_allclose(host(g), expected, rtol=0, atol=(1e-5 if single else 1e-12) * abs(expected).max())
    dw, _ = res.jvp(X)
    np.testing.assert_allclose(host(dw), host(res.eigenvalues), rtol=1e-5 if single else 1e-11)  # A moves along itself


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support", "ignore:Sparse invariant checks")
@pytest.mark.parametrize("layout", ["coo", "uncoalesced", "csr", "csc"])
def test_sparse_tensors(layout: str) -> None:
    C = A.tocoo()
    twice = 1 + (layout == "uncoalesced")
    indices = torch.as_tensor(np.stack([np.tile(C.row, twice), np.tile(C.col, twice)]), dtype=torch.int64)
    X = torch.sparse_coo_tensor(indices, torch.as_tensor(np.tile(C.data, twice) / twice), (n, n))
    X = X if layout == "uncoalesced" else X.coalesce()
    X = {"csr": torch.Tensor.to_sparse_csr, "csc": torch.Tensor.to_sparse_csc}.get(layout, lambda X: X)(X)
    A_B = sparse.csr_array(A.copy())  # of the same pattern
    A_B.data[:] = rng.uniform(0, 0.1, A.nnz)
    A_B.setdiag(1.0 + np.arange(n))
    X_B = torch.as_tensor(A_B.toarray()).to_sparse_coo()
    for matrices in ({}, {"B": X_B}):
        res = eigs(X, 3, sigma=0.21, **matrices)
        expected = eigs(A, 3, sigma=0.21, **({"B": A_B} if matrices else {}))
        gV = rng.standard_normal((n, 3))
        got, wanted = res.vjp(torch.as_tensor(gV)), expected.vjp(gV, factors=True)
        got, wanted = (got, wanted) if matrices else ([got], [wanted])
        for g, w in zip(got, wanted, strict=True):
            like = X if g is got[0] else X_B
            assert (g.layout, g.dtype, g.shape) == (like.layout, like.dtype, like.shape)
            if g.layout == torch.sparse_coo:
                assert torch.equal(g._indices(), like._indices())
            G = g if g.layout == torch.sparse_coo else g.to_sparse_coo()
            values, (rows, cols) = G._values(), G._indices()
            np.testing.assert_allclose(
                values, w.to_dense()[rows, cols], rtol=1e-8, atol=1e-10 * abs(w.to_dense()).max()
            )


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")
def test_eigenpairs_from_elsewhere() -> None:
    """The phase of what is supplied is held, also of real eigenvalues in complex arithmetic."""
    w, V = linalg.eigs(A, 4, sigma=0.3)
    turned = V * np.exp(1j * np.arange(4))
    gV, gw = rng.standard_normal((n, 4)), rng.standard_normal(4)
    g = arreig.eigs_vjp(A, gV, gw, eigensystem=(w, turned))
    dense_w, dense_V = np.linalg.eig(A.toarray())
    where = [int(np.argmin(abs(dense_w - x))) for x in w]
    every = dense_V.astype(complex)
    every[:, where] = turned
    GV, Gw = np.zeros((n, n)), np.zeros(n)
    GV[:, where], Gw[where] = gV, gw
    expected = arreig.eig_vjp(A.toarray(), GV, Gw, eigensystem=(dense_w.astype(complex), every))
    assert abs(g - A.astype(bool) * expected).max() < 1e-9 * abs(expected).max()
    res = arreig.eigs(A, 4, sigma=0.3)
    again = arreig.eigs_vjp(A, gV, gw, eigensystem=res)
    assert abs(again - res.vjp(gV, gw)).max() == 0
    dw, dV = arreig.eigs_jvp(A, A, eigensystem=res)
    np.testing.assert_allclose(dw, res.eigenvalues)
    np.testing.assert_allclose(dV, 0, atol=1e-10)
    ws, Vs = linalg.eigsh(S, 3, sigma=0.0)
    h = arreig.eigsh_vjp(S, gw=np.ones(3), eigensystem=(ws, Vs))
    np.testing.assert_allclose(h.toarray(), (S.toarray() != 0) * (Vs @ Vs.T), atol=1e-12)
