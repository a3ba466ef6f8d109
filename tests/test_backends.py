"""Factorisations, the standard's against LAPACK's, singular ones included."""

from typing import Any

import numpy as np
import pytest

from arreig._backends import backend_for
from arreig.testing import host


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (3, 6, 4, 4), (0, 4, 4), (2, 0, 0)], ids=str)
@pytest.mark.parametrize("name", ["float64", "complex64", "complex128"])
def test_factor(lib: Any, shape: tuple[int, ...], name: str) -> None:
    rng = np.random.default_rng(0)
    V, X = rng.standard_normal((2, *shape))
    if name != "float64":
        V, X = V + 1j * rng.standard_normal(shape), X + 1j * rng.standard_normal(shape)
    v, x = lib.array(V, name), lib.array(X, name)
    factor = backend_for(v).factorise(v)
    tolerance = {"rtol": 0, "atol": 1e-3 if name == "complex64" else 1e-11}
    adjoint = np.conj(np.swapaxes(V, -1, -2))
    np.testing.assert_allclose(V @ host(factor.solve(x)), X, **tolerance)
    np.testing.assert_allclose(adjoint @ host(factor.solve_adjoint(x)), X, **tolerance)
    np.testing.assert_allclose(
        adjoint @ host(factor.inverse_adjoint()), np.broadcast_to(np.eye(shape[-1]), shape), **tolerance
    )
    for y in (factor.solve(x), factor.solve_adjoint(x), factor.inverse_adjoint()):
        assert y.dtype == v.dtype
        assert y.device == v.device
        assert y.shape == v.shape


@pytest.mark.parametrize("copies", [1, 8])  # NumPy factorises few matrices and many in two ways
def test_an_exactly_singular_member_is_nan_or_huge_and_harms_no_other(lib: Any, copies: int) -> None:
    V = np.stack([np.eye(3), np.ones((3, 3)), 2 * np.eye(3)] * copies).astype(complex)
    v = lib.array(V)
    factor = backend_for(v).factorise(v)
    for x in (factor.solve(lib.array(V + np.arange(9.0).reshape(3, 3))), factor.inverse_adjoint()):
        x = host(x)
        assert not (np.abs(x[1]) < 1e20).all()
        assert np.isfinite(x[[0, 2]]).all()


@pytest.mark.parametrize("copies", [1, 20])
def test_dependent_columns_leave_the_others_their_left_vectors(copies: int) -> None:
    """NumPy's: a pivot for each dependent column, not one for all."""
    V = np.array([[[1.0, 1, 1, 0], [0, 0, 0, 2], [0, 0, 0, 1], [1, 1, 1, 1]]] * copies)
    V[..., 0] += [0, 1, 0, 0]
    W = backend_for(V).factorise(V).inverse_adjoint()
    for j in (0, 3):
        np.testing.assert_allclose(np.sum(W[..., j, None] * V, axis=-2), [np.eye(4)[j]] * copies, atol=1e-15)
    assert (np.abs(W[..., 1:3]).max(axis=-2) > 1e20).all()
