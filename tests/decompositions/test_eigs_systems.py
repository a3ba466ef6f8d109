"""The systems that derivatives of eigs and eigsh solve, with right-hand sides and a B that a naive projection does not serve."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse

import arreig

FUNCTIONS = [arreig.eigs, arreig.eigsh]


def pencil(hermitian: bool, n: int = 30) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    A = sparse.csr_array(sparse.random_array((n, n), density=0.3, rng=rng)) + sparse.diags_array(np.arange(1.0 * n))
    return A + A.T if hermitian else A, sparse.diags_array(1 + rng.random(n)).tocsr()


@pytest.mark.parametrize("solve", ["direct", "iterative"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_tangents_along_the_matrices_themselves(function: Any, solve: str) -> None:
    """They turn no eigenvector: what is solved with is zero up to rounding, of which some lies where there is no solution."""
    A, B = pencil(function is arreig.eigsh)
    w, V = res = function(A, k=3, sigma=5.1, B=B, solve=solve, gauge="canonical")
    for (dA, dB), expected in (((A, 0 * B), w), ((0 * A, B), -w), ((A, B), 0 * w)):
        dw, dV = res.jvp(dA, dB)
        np.testing.assert_allclose(dw, expected, atol=1e-13)
        np.testing.assert_allclose(dV, 0 * V, atol=1e-12)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_iterations_without_preconditioner(function: Any) -> None:
    A, B = pencil(function is arreig.eigsh)
    gV = np.cos(np.arange(90.0)).reshape(30, 3)
    which = "SA" if function is arreig.eigsh else "SR"
    gradients = [function(A, k=3, B=B, which=which, solve=solve).vjp(gV) for solve in ("direct", "iterative")]
    for direct, iterative in zip(*gradients, strict=True):
        np.testing.assert_allclose(iterative.toarray(), direct.toarray(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_near_neighbour_left_out(function: Any) -> None:
    """3e-9 away, nearer than the shift of the factorisation: there are seven digits, and no reason to refuse."""
    w = np.array([1, 1 + 3e-9, 3, 4, 5, 6])
    X = np.eye(6) + 0.1 * np.random.default_rng(0).standard_normal((6, 6))
    B = X @ X.T if function is arreig.eigsh else X
    A = X @ np.diag(w) @ (X.T if function is arreig.eigsh else np.eye(6))
    gA, _ = function(A, k=1, B=B, sigma=1 - 1e-3).vjp(gw=np.ones(1))
    y = np.linalg.inv(X)[0]
    np.testing.assert_allclose(gA, np.outer(y, y if function is arreig.eigsh else np.eye(6)[0]), atol=1e-6)
