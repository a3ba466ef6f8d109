"""diagnose: its numbers by their definitions, and its verdict by doing what it says."""

import re
import sys
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle

import arreig
from arreig.testing import host
from benchmarks.matrices import grcar, near_defective
from tests.conftest import EVERYWHERE


def laplacian() -> np.ndarray[Any, Any]:
    """Of a grid of 4 x 4."""
    path = np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1)
    L = np.diag(path.sum(0)) - path
    return np.kron(L, np.eye(4)) + np.kron(np.eye(4), L)


def circulant(n: int) -> np.ndarray[Any, Any]:
    c = np.random.default_rng(0).standard_normal(n)
    return np.stack([np.roll(c, k) for k in range(n)])


RANDOM = np.random.default_rng(0).standard_normal((30, 30))
# What the verdict says of each.
MATRICES: dict[str, tuple[np.ndarray[Any, Any], set[str]]] = {
    "random": (RANDOM, {"SAFE:"}),
    "Grcar 60": (grcar(60), {"sensitive"}),
    "Jordan block": (2 * np.eye(3) + np.eye(3, k=1), {"lack eigenvectors"}),
    "Jordan block and two": (scipy.linalg.block_diag([[2, 1], [0, 2]], [[0.5, 1], [0, 5]]), {"lack eigenvectors"}),
    "Laplacian": (laplacian(), {"are repeated", "share the largest modulus", "eigh is made"}),
    "circulant": (circulant(8), {"share the largest modulus"}),
    "symmetric circulant": (
        circulant(8) + circulant(8).T,
        {"are repeated", "share the largest modulus", "eigh is made"},
    ),
    "near defective": (near_defective(20, 1e-6), {"sensitive"}),
    "badly scaled": (np.array([[2.0, 1e-8], [0.5e8, 3.0]]), {"rounding cannot tell them apart", "sensitive"}),
    "symmetric": (RANDOM[:6, :6] + RANDOM[:6, :6].T, {"SAFE:", "eigh is made"}),
}
WORDS = set().union(*(words for _, words in MATRICES.values()))


@pytest.mark.parametrize("name", MATRICES)
def test_the_verdict(name: str) -> None:
    A, words = MATRICES[name]
    d = arreig.diagnose(A)
    verdict = d.verdict.replace("NOT SAFE:", "UNSAFE")
    assert {word for word in WORDS if word in verdict} == words
    assert d.safe is ("SAFE:" in words)
    assert " ".join(d.verdict.split()) in " ".join(str(d).split())


@pytest.mark.parametrize("name", MATRICES)
def test_what_the_verdict_says_is_so(name: str) -> None:
    A, words = MATRICES[name]
    n = len(A)
    rng = np.random.default_rng(1)
    C = rng.standard_normal((n, n))
    gV = rng.standard_normal((n, n)) + 1j * rng.standard_normal((n, n))
    d = arreig.diagnose(A)
    tied = "share the largest modulus" in words
    with pytest.warns(arreig.GaugeTieWarning) if tied else warnings.catch_warnings():
        w, _ = arreig.eig(A)
    if d.safe:
        assert np.isfinite(arreig.eig_vjp(A, gV, w)).all()
    if tied:  # a loss that depends on no phase
        V = arreig.eig(A, gauge="phase-free").eigenvectors
        weights = rng.standard_normal(n) * (np.bincount(d.clusters, minlength=n)[d.clusters] == 1)
        gV = 2 * C * weights * V
        assert np.isfinite(arreig.eig_vjp(A, gV, gauge="phase-free")).all()
        arreig.eig(A, gauge=arreig.Functional(rng.standard_normal(n)))
    if "are repeated" in words:
        gV = rng.standard_normal((n, n))
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            arreig.eig_vjp(A, gV, gauge="phase-free")
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            arreig.eigvals_vjp(A, rng.standard_normal(n))
        assert np.isfinite(arreig.eigvals_vjp(A, np.cos(d.clusters))).all()
        res = arreig.eig(A, degeneracy="split", gauge="phase-free")
        by_function = arreig.matrix_function_vjp(A, np.exp, np.exp, C.T)
        np.testing.assert_allclose(exponential(res, C), by_function, atol=1e-6 * np.abs(by_function).max())
    if "lack eigenvectors" in words:
        with pytest.raises(arreig.DefectiveMatrixError):
            arreig.eig_vjp(A, gV)
        cluster = np.flatnonzero(d.clusters == d.clusters[np.flatnonzero(d.defective)[0]])
        with pytest.raises((arreig.LostPrecisionError, arreig.DegenerateEigenvaluesError)):
            arreig.eigvals_vjp(A, rng.standard_normal(n))
        if len(cluster) == 2:
            simple = np.flatnonzero(~np.isin(np.arange(n), cluster))[0]
            assert np.isfinite(arreig.eigvals_vjp(A, np.eye(n)[simple])).all()
        P = arreig.spectral_projector(A, lambda w: abs(w - 2) < 0.5)
        np.testing.assert_allclose(np.trace(P), len(cluster), atol=1e-12)
        res = arreig.eig(A, degeneracy="perturb", gauge="phase-free")
        expected = scipy.linalg.expm_frechet(A.T, C.T, compute_expm=False)
        np.testing.assert_allclose(exponential(res, C), expected, atol=1e-4 * np.abs(expected).max())
    if "rounding cannot tell them apart" in words:
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            arreig.eig_vjp(A, gV)
    elif "sensitive" in words:  # a change of A in the last digit
        moved = A + 1.1e-16 * np.linalg.norm(A) * C / np.linalg.norm(C)
        gradients = [arreig.eig_vjp(X, gV) for X in (A, moved)]
        change = np.linalg.norm(gradients[1] - gradients[0]) / np.linalg.norm(gradients[0])
        assert 1e-4 * d.sensitivity < change < d.sensitivity


def exponential(res: arreig.EigResult, C: np.ndarray[Any, Any]) -> Any:
    """Gradient of tr(C expm(A)) through eigenvectors."""
    w, V = res
    W, f = np.linalg.inv(V).conj().T, np.exp(w).conj()
    N = V.conj().T @ C.T @ W
    return res.vjp(C.T @ W * f - W @ (f[:, None] * N), np.diag(N) * f)


@pytest.mark.parametrize("lib", EVERYWHERE, indirect=True)
@pytest.mark.parametrize("dtype", ["float64", "complex64"])
def test_the_numbers(lib: Any, dtype: str) -> None:
    """On every library, in its arrays, by their definitions."""
    a = (grcar(6) + 0.1 * RANDOM[:6, :6]).astype(dtype)
    d = arreig.diagnose(lib.array(a))
    assert all(
        x.device == lib.array(a).device for x in (d.eigenvalues, d.condition_numbers, d.gaps, d.clusters, d.norm)
    )
    A = a.astype(complex)
    w, left, right = scipy.linalg.eig(A, left=True)
    order = np.argmin(np.abs(host(d.eigenvalues)[:, None] - w), axis=1)
    kappa = (1 / np.abs(np.sum(left.conj() * right, axis=0)))[order]
    w = w[order]
    gaps = np.abs(w[:, None] - w) + np.where(np.eye(6) > 0, np.inf, 0)
    T = scipy.linalg.schur(A)[0]
    size = np.sort(np.abs(right[:, order]), axis=0)
    limit = 1e-11 if dtype == "float64" else 1e-3
    expected = {
        "condition_numbers": kappa,
        "gaps": gaps.min(1),
        "separations": gaps.min(1),
        "distances_to_defectiveness": (gaps / (2 * (kappa[:, None] + kappa))).min(1),
        "norm": np.linalg.norm(A),
        "departure_from_normality": np.linalg.norm(np.triu(T, 1)) / np.linalg.norm(A),
        "clusters": np.arange(6),
        "defective": np.zeros(6),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(host(getattr(d, name)), value, rtol=limit, err_msg=name)
    is_real = np.abs(w.imag) < limit
    np.testing.assert_allclose(host(d.tie_ratios)[~is_real], (size[-2] / size[-1])[~is_real], rtol=100 * limit)
    assert "eigenvalue" in str(d)
    assert len(d.plot().patches) == 12


def test_the_error_estimate_is_about_the_error() -> None:
    """In single precision, without refinement, against double."""
    for n in (8, 16, 20):
        A = grcar(n)
        V = arreig.eig(A).eigenvectors
        gV = np.random.default_rng(0).standard_normal((n, n)) * V
        exact = arreig.eig_vjp(A, gV)
        single = arreig.eig_vjp(A.astype(np.float32), gV.astype(np.complex64), refine=False)
        error = np.linalg.norm(single - exact) / np.linalg.norm(exact)
        estimate = host(arreig.diagnose(A.astype(np.float32)).error_estimates).max()
        assert error / 30 < estimate < 30 * error


def test_clusters_and_what_is_outside() -> None:
    d = arreig.diagnose(np.diag([1.0, 3.0, 1.0, 1.0, 3.0, 7.0]))
    np.testing.assert_array_equal(d.clusters, [0, 1, 0, 0, 1, 5])
    np.testing.assert_array_equal(d.separations, [2, 2, 2, 2, 2, 4])
    np.testing.assert_array_equal(d.gaps, [0, 0, 0, 0, 0, 4])
    assert d.groups == [[0, 2, 3], [1, 4]]
    assert d.sensitivity < 1e-15
    assert d.departure_from_normality == 0
    assert bool(d.hermitian)


def test_the_picture() -> None:
    A = np.diag([1.0, 1.0, 4.0])
    A[0, 2] = 4.0
    ax = arreig.diagnose(A).plot(perturbation=1e-2)
    circles = [patch for patch in ax.patches if isinstance(patch, Circle) and patch.get_fill()]
    by_first_order = arreig.diagnose(A).condition_numbers * 1e-2 * np.linalg.norm(A)
    np.testing.assert_allclose([c.get_radius() for c in circles][2], by_first_order[2])
    assert [text.get_text() for text in ax.texts] == ["\N{MULTIPLICATION SIGN}2"]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["moved by a change of A of 0.01 |A|", "simple", "numerically equal"]
    jordan = arreig.diagnose(np.eye(3) + np.eye(3, k=1)).plot(perturbation=1e-3)
    np.testing.assert_allclose(jordan.patches[0].get_radius(), 5**0.5 * 0.1)
    own = Figure().subplots()
    assert arreig.diagnose(A).plot(ax=own) is own
    left, right = own.get_xlim()
    assert left < 1
    assert right > 4


def test_the_discs_hold_moved_eigenvalues() -> None:
    """Of the order of what random perturbations of that size do, also where first order would say a thousand times as much."""
    for A in (RANDOM, grcar(60), near_defective(20, 1e-6)):
        for size in (1e-3, 1e-6):
            circles = [p for p in arreig.diagnose(A).plot(perturbation=size).patches if p.get_fill()]
            rng = np.random.default_rng(0)
            moved = []
            for _ in range(20):
                E = rng.standard_normal(A.shape)
                moved.append(np.linalg.eigvals(A + size * np.linalg.norm(A) / np.linalg.norm(E) * E))
            for circle in circles:
                distance = np.abs(np.asarray(moved) - complex(*circle.center)).min(axis=1).max()
                assert distance < 1.5 * circle.get_radius()


def test_large_matrices_show_what_matters() -> None:
    A = np.diag(np.arange(1.0, 41))
    A[3, 3] = 8.0  # 8 twice
    d = arreig.diagnose(A)
    text = str(d)
    assert "20 of 40 eigenpairs are not shown" in text
    rows = re.findall(r"^ +(\d+) +[\d.]+ +[\d.]+ ", text, re.MULTILINE)
    assert len(rows) == 20
    assert {str(j) for group in d.groups for j in group} <= set(rows)
    assert repr(d) == "<Diagnosis of a matrix of order 40: not safe; print it for a table>"


@pytest.mark.parametrize("n", [0, 1])
def test_smallest(n: int) -> None:
    d = arreig.diagnose(np.zeros((n, n)))
    assert d.safe
    assert "SAFE" in str(d)
    d.plot()


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(arreig.InputError, match="diagnose the matrices of a batch one by one"):
        arreig.diagnose(np.ones((2, 3, 3)))
    with pytest.raises(arreig.NonFiniteError, match="finite"):
        arreig.diagnose(np.full((2, 2), np.nan))
    with pytest.raises(arreig.InputTypeError, match="tracked"):
        arreig.diagnose(torch.eye(2, requires_grad=True))
    with pytest.raises(arreig.InputError, match=r"which a tracer .* does not have"):
        torch.func.vmap(lambda A: arreig.diagnose(A).eigenvalues)(torch.ones(2, 3, 3))
    d = arreig.diagnose(np.eye(2))
    for size in (0, -1.0, np.inf, "a"):
        with pytest.raises(arreig.InputError, match=r"plot\(perturbation=...\) expects a positive finite number"):
            d.plot(perturbation=size)  # type: ignore[arg-type]
    for module, act in (("rich.console", lambda: str(d)), ("matplotlib.figure", d.plot)):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=r"needs (rich|matplotlib): pip install 'arreig\[diagnose\]'"):
            act()
