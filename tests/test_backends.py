"""Factorisations, the standard's against LAPACK's, singular ones included; NumPy's functions by the shortest way."""

from typing import Any

import array_api_compat.numpy as standard
import numpy as np
import pytest

from arreig._array_api import column_norm, first, matrix_norm, namespace
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


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 16])
@pytest.mark.parametrize("name", ["float32", "complex128"])
def test_reductions_over_rows_of_many_matrices(n: int, name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((900 // n, 2, n, 3)).astype(name)
    xp, moduli, where = namespace(x), np.abs(x), rng.uniform(size=x.shape) < 0.1
    before = x.copy(), moduli.copy(), where.copy()
    np.testing.assert_allclose(xp.sum(x, axis=-2), x.sum(-2), rtol=0, atol=10 * n * np.finfo(name).eps)
    for keepdims in (False, True):
        np.testing.assert_array_equal(xp.max(moduli, axis=-2, keepdims=keepdims), moduli.max(-2, keepdims=keepdims))
        np.testing.assert_array_equal(xp.any(where, axis=-2, keepdims=keepdims), where.any(-2, keepdims=keepdims))
    for kept, there in zip(before, (x, moduli, where), strict=True):
        np.testing.assert_array_equal(kept, there)


@pytest.mark.parametrize("shape", [(1, 3, 3), (500, 2, 2), (40, 8, 5)], ids=str)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_first_in_a_column(lib: Any, shape: tuple[int, ...], share: float) -> None:
    """Of columns with none, one and several, in either order in memory, which it keeps."""
    where = np.random.default_rng(0).uniform(size=shape) < share
    where[..., 0] = np.arange(shape[-2]) == 1
    expected = where & (np.cumsum(where, axis=-2) == 1)
    np.testing.assert_array_equal(host(first(lib.array(where))), expected)
    spread = np.moveaxis(np.ascontiguousarray(np.moveaxis(where, 0, -1)), -1, 0)
    assert first(spread).strides == spread.strides
    np.testing.assert_array_equal(first(spread), expected)


def test_a_few_numbers_are_seen_to_be_finite() -> None:
    plain = namespace(np.ones(1)).plain_finite
    for x in ([1.0, -2.0], [1j, 0.0], []):
        assert plain(np.array(x))
    overflows = [1e200, 1.0]  # when squared: looked at again
    for x in ([np.nan, 1.0], [np.inf, -np.inf], [complex(1, np.inf), 0.0], overflows):
        assert not plain(np.array(x))


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
