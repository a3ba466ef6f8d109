"""Factorisations, the standard's against LAPACK's, singular ones included."""

from typing import Any

import numpy as np
import pytest

from arreig._backends import backend_for
from arreig.testing import host


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (0, 4, 4), (2, 0, 0)], ids=str)
@pytest.mark.parametrize("name", ["complex64", "complex128"])
def test_factor(lib: Any, shape: tuple[int, ...], name: str) -> None:
    rng = np.random.default_rng(0)
    V = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    X = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
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


def test_an_exactly_singular_member_is_nan_or_huge_and_harms_no_other(lib: Any) -> None:
    V = np.stack([np.eye(3), np.ones((3, 3)), 2 * np.eye(3)]).astype(complex)
    v = lib.array(V)
    factor = backend_for(v).factorise(v)
    for x in (factor.solve(lib.array(V + np.arange(9.0).reshape(3, 3))), factor.inverse_adjoint()):
        x = host(x)
        assert not (np.abs(x[1]) < 1e20).all()
        assert np.isfinite(x[[0, 2]]).all()
