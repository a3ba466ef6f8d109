"""Tangents of eigs and eigsh along the matrices themselves, which move eigenvalues in proportion and turn no eigenvector."""

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse

import arreig


@pytest.mark.parametrize("solve", ["direct", "iterative"])
@pytest.mark.parametrize("function", [arreig.eigs, arreig.eigsh])
def test_scaling(function: Any, solve: str) -> None:
    """What is solved with is zero up to rounding, of which some lies where the system has no solution."""
    rng = np.random.default_rng(0)
    A = sparse.csr_array(sparse.random_array((30, 30), density=0.3, rng=rng)) + sparse.diags_array(np.arange(30.0))
    A = A + A.T if function is arreig.eigsh else A
    B = sparse.diags_array(1 + rng.random(30)).tocsr()
    w, V = res = function(A, k=3, sigma=5.1, B=B, solve=solve, gauge="canonical")
    for (dA, dB), expected in (((A, 0 * B), w), ((0 * A, B), -w), ((A, B), 0 * w)):
        dw, dV = res.jvp(dA, dB)
        np.testing.assert_allclose(dw, expected, atol=1e-13)
        np.testing.assert_allclose(dV, 0 * V, atol=1e-12)
