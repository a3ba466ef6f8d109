"""Factorisations, the standard's against LAPACK's, singular ones included; NumPy's functions by the shortest way."""

from typing import Any

import array_api_compat.numpy as standard
import numpy as np
import pytest

from arreig._array_api import column_norm, matrix_norm, namespace
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


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (0, 3, 4)], ids=str)
@pytest.mark.parametrize("name", ["float32", "float64", "complex128", "bool"])
def test_numpys_functions_are_the_standards_to_the_bit(shape: tuple[int, ...], name: str) -> None:
    rng = np.random.default_rng(0)
    x = np.asarray(rng.standard_normal(shape) > 0 if name == "bool" else rng.standard_normal(shape), dtype=name)
    x = x if name != "complex128" else x + 1j * rng.standard_normal(shape)
    ours = namespace(x)
    assert ours is not standard
    calls: dict[str, Any] = {
        **{f: lambda xp, f=f: getattr(xp, f)(x, axis=-2, keepdims=True) for f in ("sum", "any", "all", "argmax")},
        **{f"{f} of all": lambda xp, f=f: getattr(xp, f)(x) for f in ("sum", "any", "all")},
        **{f: lambda xp, f=f: getattr(xp, f)(x) for f in ("zeros_like", "ones_like", "asarray")},
        "arange": lambda xp: xp.arange(5),
        "arange between": lambda xp: xp.arange(1, 7, 2, dtype=xp.int32),
        "astype": lambda xp: xp.astype(x, xp.complex64),
        "copy": lambda xp: xp.asarray(x.mT, copy=True),
        "squeeze": lambda xp: xp.squeeze(x[..., None, :], axis=-2),
        "take": lambda xp: xp.take(x, xp.asarray([2, 0]), axis=-1),
        **{f"roll {s} {a}": lambda xp, s=s, a=a: xp.roll(x, s, axis=a) for s in (1, -1, 5) for a in (-1, -2)},
    }
    if name != "complex128" and x.size:
        calls |= {f: lambda xp, f=f: getattr(xp, f)(x, axis=(-2, -1)) for f in ("max", "min")}
    for what, call in calls.items():
        got, expected = call(ours), call(standard)
        assert got.dtype == expected.dtype, what
        assert got.strides == expected.strides or not x.size, what
        np.testing.assert_array_equal(got, expected, err_msg=what)
    copy = ours.asarray(x, copy=True)
    assert copy is not x
    assert not np.shares_memory(copy, x)


@pytest.mark.parametrize("name", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("power", [-0.9, -0.5, 0.0, 0.5, 0.9])
def test_norms_neither_overflow_nor_vanish(lib: Any, name: str, power: float) -> None:
    """Also of one matrix with columns of every size, one of them zero."""
    unit = float(np.finfo(name).max) ** power
    X = np.array([[3.0, 0.0, 1e-3], [4.0, 0.0, 0.0], [0.0, 0.0, 0.0]]) * unit
    x = lib.array(X, name)
    tolerance = {"rtol": 8 * np.finfo(name).eps, "atol": 0}
    np.testing.assert_allclose(host(column_norm(x)), [5 * unit, 0, 1e-3 * unit], **tolerance)
    np.testing.assert_allclose(host(matrix_norm(x)), np.hypot(5, 1e-3) * unit, **tolerance)
    np.testing.assert_allclose(host(matrix_norm(x[:, 1:2])), 0)
