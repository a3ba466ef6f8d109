"""A few eigenpairs of large matrices: gradients against those of all eigenpairs, the oracles, and who solves what."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
import scipy.sparse.linalg as linalg

import arreig
from arreig._backends import deflated

n, k = 40, 4
SEEDS = range(20)
FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")


def random_sparse(rng: np.random.Generator, *, complex_: bool, hermitian: bool = False, density: float = 0.3) -> Any:
    X = sparse.random_array((n, n), density=density, rng=rng, data_sampler=rng.standard_normal)
    if complex_:
        X = X + 1j * sparse.random_array((n, n), density=density, rng=rng, data_sampler=rng.standard_normal)
    X = X + X.conj().T if hermitian else X
    return sparse.csr_array(X)


class Problem:
    """A random pencil, a request, and cotangents of its eigenpairs."""

    def __init__(self, seed: int, *, hermitian: bool, mass: str, complex_: bool | None = None, **options: Any) -> None:
        self.rng = rng = np.random.default_rng(seed)
        self.hermitian, self.complex = hermitian, bool(seed % 2) if complex_ is None else complex_
        self.A = random_sparse(rng, complex_=self.complex, hermitian=hermitian) + sparse.diags_array(
            np.linspace(-3, 3, n)
        )
        self.B = None
        if mass != "none":
            general = 0.3 * random_sparse(rng, complex_=self.complex, hermitian=mass == "definite")
            self.B = sparse.csc_array(general + 9 * sparse.eye_array(n))
        interior = {"sigma": 0.37} if seed % 4 < 2 else {"which": "LA" if hermitian else "LR"}
        self.options = {"k": k} | interior | options
        self.function = arreig.eigsh if hermitian else arreig.eigs

    def solve(self, A: Any = None, B: Any = None, **options: Any) -> Any:
        return self.function(self.A if A is None else A, B=self.B if B is None else B, **self.options | options)

    def cotangents(self, res: Any) -> tuple[Any, Any]:
        real = self.rng.standard_normal
        gV, gw = real((n, res.eigenvalues.shape[0])), real(res.eigenvalues.shape)
        if np.iscomplexobj(res.eigenvectors):
            gV = gV + 1j * real(gV.shape)
        return gV, gw if self.hermitian else gw + 1j * real(gw.shape)

    def tangents(self) -> tuple[Any, ...]:
        options = {"complex_": self.complex, "hermitian": self.hermitian}
        dA = random_sparse(self.rng, **options)
        return (dA,) if self.B is None else (dA, random_sparse(self.rng, **options))

    def dense(self, res: Any, gV: Any, gw: Any) -> tuple[Any, ...]:
        """Gradients by arreig.eig or eigh with all eigenpairs."""
        A, B = (None if X is None else X.toarray() for X in (self.A, self.B))
        every = (arreig.eigh if self.hermitian else arreig.eig)(*(X for X in (A, B) if X is not None))
        GV, Gw = np.zeros_like(every.eigenvectors), np.zeros_like(every.eigenvalues)
        for j, w in enumerate(res.eigenvalues):
            i = np.argmin(abs(every.eigenvalues - w))
            GV[:, i], Gw[i] = gV[:, j], gw[j]
        out = every.vjp(GV, Gw)
        return out if isinstance(out, tuple) else (out,)


def as_tuple(x: Any) -> tuple[Any, ...]:
    return (x,) if isinstance(x, arreig.GradientFactors) or not isinstance(x, tuple) else x


def inner(g: Any, d: Any) -> float:
    return float(np.vdot(g.toarray() if sparse.issparse(g) else g, d.toarray() if sparse.issparse(d) else d).real)


def relative(x: Any, y: Any) -> float:
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


PENCILS = [(False, "none"), (False, "definite"), (False, "general"), (True, "none"), (True, "definite")]


@pytest.mark.parametrize(("hermitian", "mass"), PENCILS)
def test_gradients_are_those_of_all_eigenpairs(hermitian: bool, mass: str) -> None:
    for seed in SEEDS:
        problem = Problem(seed, hermitian=hermitian, mass=mass)
        res = problem.solve()
        gV, gw = problem.cotangents(res)
        expected = problem.dense(res, gV, gw)
        factors = as_tuple(res.vjp(gV, gw, factors=True))
        patterns = as_tuple(res.vjp(gV, gw))
        for X, gX, f, g in zip((problem.A, problem.B), expected, factors, patterns, strict=False):
            assert np.iscomplexobj(f.Y) == np.iscomplexobj(X.data)
            assert relative(f.to_dense(), gX) < 1e-9, seed
            assert (g.format, g.dtype, g.nnz) == (X.format, X.dtype, X.nnz)
            assert relative(g.toarray(), np.where(X.toarray() == 0, 0, gX)) < 1e-9, seed
            assert abs(f.on_pattern(X) - g).max() == 0


GAUGES = ["canonical", "phase-free", arreig.Component(-3), arreig.Functional(np.linspace(1, 2, n))]
CASES = [(*pencil, gauge) for pencil in PENCILS for gauge in GAUGES] + [(True, "definite", "B-norm")]


@pytest.mark.parametrize(("hermitian", "mass", "gauge"), CASES, ids=lambda x: str(x)[:12])
@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("seed", [21, 3], ids=["shift", "no shift"])
def test_oracles(hermitian: bool, mass: str, complex_: bool, gauge: Any, seed: int) -> None:
    problem = Problem(seed, hermitian=hermitian, mass=mass, complex_=complex_, gauge=gauge, degeneracy="mask")
    res = w, V = problem.solve()
    gV, gw = problem.cotangents(res)
    if gauge == "phase-free":  # a loss that does not depend on phases
        gV = V * problem.rng.standard_normal(V.shape)
    dX = problem.tangents()
    dw, dV = res.jvp(*dX)
    A, B, dA, dB = (
        np.zeros((n, n)) if X is None else X.toarray()
        for X in (problem.A, problem.B, dX[0], dX[1] if len(dX) > 1 else None)
    )
    B = B if problem.B is not None else np.eye(n)
    defect = dA @ V + A @ dV - (dB @ V + B @ dV) * w - B @ V * dw
    assert np.linalg.norm(defect) < 1e-11 * np.linalg.norm(A) * np.linalg.norm(dV)
    full = as_tuple(res.vjp(gV, gw, factors=True))
    pairing = sum(inner(g.to_dense(), d) for g, d in zip(full, (dA, dB), strict=False))
    assert abs(pairing - inner(gV, dV) - inner(gw, dw)) < 1e-11 * (np.linalg.norm(gV) * np.linalg.norm(dV))
    if gauge == "phase-free":
        return

    def forward(t: float) -> Any:
        B = None if problem.B is None else problem.B + t * dX[1]
        return problem.solve(problem.A + t * dX[0], B)

    for name, expected in (("eigenvalues", dw), ("eigenvectors", dV)):
        steps = [getattr(forward(t), name) for t in (-6e-5, -3e-5, 3e-5, 6e-5)]
        difference = (steps[0] - 8 * steps[1] + 8 * steps[2] - steps[3]) / 36e-5
        assert relative(expected, difference) < 1e-7


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("hermitian", [False, True])
def test_gradient_in_the_format_of_the_matrix(format_: str, hermitian: bool) -> None:
    """Explicit zeros are entries, duplicates entries of their own, and nothing that came in is changed."""
    A = Problem(3, hermitian=hermitian, mass="none", complex_=False).A.tocoo()
    rows, cols = np.concatenate([A.row, [0, 5]]), np.concatenate([A.col, [n - 1, 7]])
    if format_ == "coo":
        rows, cols = np.concatenate([rows, rows[:9]]), np.concatenate([cols, cols[:9]])
    data = np.concatenate([A.data, np.zeros(len(rows) - len(A.data))])
    A = sparse.coo_array((data, (rows.astype(np.int64), cols.astype(np.int64))), shape=(n, n))
    A = A if format_ == "coo" else A.asformat(format_)
    before = A.copy()
    function = arreig.eigsh_vjp if hermitian else arreig.eigs_vjp
    g = function(A, gw=np.ones(2), k=2, which="LM", solve="direct")
    full = function(A.tocsr(), gw=np.ones(2), k=2, which="LM", factors=True).to_dense()
    assert (type(g), g.format, g.shape, g.nnz, g.dtype) == (type(A), format_, A.shape, A.nnz, A.dtype)
    np.testing.assert_array_equal(A.toarray(), before.toarray())
    assert A.nnz == before.nnz
    if format_ == "coo":
        np.testing.assert_allclose(g.data, full[rows, cols], rtol=1e-10, atol=1e-14)
    elif format_ in ("csr", "csc", "lil", "dok"):
        for entry in ((0, n - 1), (5, 7)):
            assert g[entry] == pytest.approx(full[entry], rel=1e-10)
            assert g[entry] != 0
    else:
        C = g.tocoo()
        np.testing.assert_allclose(C.data, full[C.row, C.col], rtol=1e-10, atol=1e-14)


def test_integers_and_empty_rows() -> None:
    A = sparse.random_array((n, n), density=0.1, rng=np.random.default_rng(0)).tolil() * 100
    A[3], A[17] = 0, 0
    A.setdiag(np.where((np.arange(n) == 3) | (np.arange(n) == 17), 0, 7 * np.arange(n)))
    A = sparse.csr_array(A, dtype=np.int64)
    g = arreig.eigs_vjp(A, gw=np.ones(3), k=3)
    expected = arreig.eigs_vjp(A.astype(float), gw=np.ones(3), k=3)
    assert (g.dtype, A.dtype) == (np.float64, np.int64)
    assert 0 in np.diff(A.indptr)
    np.testing.assert_array_equal(g.toarray(), expected.toarray())


class Own:
    """A solver of the caller's, which may be inexact at shifts other than that of the forward."""

    def __init__(self, A: Any, B: Any, error: float = 0.0) -> None:
        self.A, self.B, self.error = A, sparse.eye_array(n) if B is None else B, error
        self.shifts: set[complex] = set()

    def __call__(self, shift: complex, x: Any, adjoint: bool) -> Any:
        self.shifts.add(shift)
        M = self.A - shift * self.B * (1 if shift == 0.37 else 1 + self.error)
        return np.linalg.solve(M.toarray().conj().T if adjoint else M.toarray(), x)


def test_kinds_of_matrices_and_solvers_agree() -> None:
    """Sparse, dense, an operator; direct, GMRES with the factorisation of the forward, the caller's solver, an inexact one."""
    for hermitian, mass in PENCILS:
        problem = Problem(5, hermitian=hermitian, mass=mass, complex_=False, degeneracy="mask")
        res = problem.solve()
        gV, gw = problem.cotangents(res)
        dX = problem.tangents()
        expected, tangents = as_tuple(res.vjp(gV, gw, factors=True)), res.jvp(*dX)
        A, B = problem.A, problem.B
        own = Own(A, B)
        inexact = Own(A, B, error=1e-3)

        operators = [None if X is None else linalg.aslinearoperator(X) for X in (A, B)]
        dense = [None if X is None else X.toarray() for X in (A, B)]
        for A_, B_, solve in (
            (*dense, "auto"),
            (A, B, "iterative"),
            (*operators, own),
            (operators[0], B, own),
            (A, B, inexact),
        ):
            other = problem.solve(A_, B_, solve=solve)
            np.testing.assert_allclose(other.eigenvalues, res.eigenvalues, rtol=1e-10)
            for f, g in zip(as_tuple(other.vjp(gV, gw, factors=True)), expected, strict=True):
                assert relative(f.to_dense(), g.to_dense()) < 1e-8
            for x, y in zip(other.jvp(*dX), tangents, strict=True):
                assert relative(x, y) < 1e-8
        assert 0.37 in own.shifts
        assert len(own.shifts) > 1
        for g in as_tuple(problem.solve(*operators, solve=own).vjp(gV, gw)):
            assert isinstance(g, arreig.GradientFactors)


def test_arithmetic_is_real_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A factorisation for a real eigenvalue is real, a conjugate pair has one, and neighbours share."""
    factorised: list[tuple[complex, bool]] = []
    original = deflated.Pencil.factorise

    def recorded(self: Any, shift: complex) -> Any:
        factor = original(self, shift)
        factorised.append((shift, factor.real))
        return factor

    monkeypatch.setattr(deflated.Pencil, "factorise", recorded)
    blocks = [np.array([[1.0, 2], [-2, 1]]), np.array([[3.0]]), np.array([[3.01]]), np.array([[-2.5]])]
    X = np.random.default_rng(0).standard_normal((n, n))
    D = sparse.block_diag([*blocks, np.diag(np.linspace(9, 30, n - 5))]).toarray()
    A = sparse.csr_array(X @ D @ np.linalg.inv(X))
    res = arreig.eigs(A, 5, sigma=0.5)
    factorised.clear()
    res.vjp(np.ones((n, 5)), np.ones(5))
    assert sorted(real for _, real in factorised) == [False, True, True]
    assert sorted(round(complex(shift).real, 1) for shift, _ in factorised) == [-2.5, 1.0, 3.0]


def grid(m: int) -> Any:
    """Laplacian of an m x m grid: every eigenvalue off the diagonal is double."""
    L = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
    return sparse.csr_array(sparse.kron(L, sparse.eye_array(m)) + sparse.kron(sparse.eye_array(m), L))


CUT = [
    (arreig.eigsh_vjp, {"gw": np.ones(2)}, {"k": 2}),
    (arreig.eigsh_vjp, {"gw": np.array([0.0, 1.0])}, {"k": 2, "which": "SA", "sigma": None}),
    (arreig.eigsh_vjp, {"gV": np.ones((196, 2))}, {"k": 2}),
    (arreig.eigs_vjp, {"gw": np.ones(2)}, {"k": 2}),
    (arreig.eigs_vjp, {"gw": np.ones(2)}, {"k": 2, "B": 2 * sparse.eye_array(196)}),
]


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")
@pytest.mark.parametrize(("vjp", "cotangents", "options"), CUT)
def test_cut_clusters(vjp: Callable[..., Any], cotangents: dict[str, Any], options: dict[str, Any]) -> None:
    options = {"sigma": 0.0} | options
    with pytest.raises(
        arreig.SpectrumNotSeparatedError, match=r"one of a cluster that the selection cuts.*more or fewer"
    ):
        vjp(grid(14), **cotangents, **options)
    with pytest.raises(arreig.ArreigError, match=r"cuts a cluster at eigenpair 1|one of a cluster"):
        vjp(grid(14), **cotangents, **options | {"solve": "iterative"})
    if options["sigma"] is None:
        return
    with pytest.raises(arreig.SpectrumNotSeparatedError):
        arreig.eigsh_jvp(grid(14), grid(14), k=2, sigma=0.0)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("mass", [False, True])
def test_kept_clusters(hermitian: bool, mass: bool) -> None:
    """The projector on a repeated eigenvalue's space, and the sum of its eigenvalues: with 'mask' as by the projector's rule."""
    rng = np.random.default_rng(0)
    X = np.eye(n) + 0.1 * rng.standard_normal((n, n))
    B = X @ X.T if mass else np.eye(n)
    X = np.linalg.qr(X)[0] if hermitian and not mass else X
    w = np.concatenate([[1.0, 2.0, 2.0, 2.0], np.linspace(5, 20, n - 4)])
    A = X @ np.diag(w) @ X.T if hermitian else B @ X @ np.diag(w) @ np.linalg.inv(X)  # B = X X^T: V = X^-T
    A = (A + A.T) / 2 if hermitian else A
    matrices = {"B": sparse.csr_array(B)} if mass else {}
    function = arreig.eigsh if hermitian else arreig.eigs
    res = function(sparse.csr_array(A), 4, sigma=0.5, degeneracy="mask", **matrices)
    V = res.eigenvectors[:, 1:]
    G = rng.standard_normal((n, n))
    # P = V (V^H V)^-1 V^H, the orthogonal projector: a function of the span
    K = np.linalg.inv(V.conj().T @ V)
    Q, g = V @ K, (G + G.T)
    gV = np.zeros_like(res.eigenvectors)
    gV[:, 1:] = (np.eye(n) - Q @ V.conj().T) @ g @ Q
    gw = np.array([0.0, 1, 1, 1])
    got = as_tuple(res.vjp(gV, gw, factors=True))

    def loss(t: float, *dX: Any) -> float:
        pencil = [M + t * d for M, d in zip((A, B), dX, strict=False)]
        C = np.linalg.solve(pencil[1] if mass else B, pencil[0])
        e = arreig.invariant_subspace(C, lambda w: abs(w - 2) < 0.5)
        return float(np.vdot(G, e @ e.T) + np.trace(e.T @ C @ e))

    for seed in range(3):
        S = np.random.default_rng(seed).standard_normal((2, n, n))
        S = S + S.mT if hermitian else S
        S = S[: 1 + mass]
        difference = (loss(-2e-4, *S) - 8 * loss(-1e-4, *S) + 8 * loss(1e-4, *S) - loss(2e-4, *S)) / 12e-4
        assert abs(sum(inner(f.to_dense(), d) for f, d in zip(got, S, strict=True)) - difference) < 1e-7 * abs(
            difference
        )
    plain = function(sparse.csr_array(A), 4, sigma=0.5, **matrices)
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="degeneracy='mask'"):
        plain.vjp(gV)
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        plain.jvp(sparse.csr_array(A))
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="'mask' serves"):
        res.vjp(rng.standard_normal(gV.shape))
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="tell them apart"):
        res.vjp(gw=np.array([0.0, 1, 2, 3]))
