"""Eigenpairs of order 2 and 3: one order everywhere, and a closed form that is as good as LAPACK's, or leaves a matrix to it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import arreig
from arreig._backends import lapack, small
from arreig.testing import host
from tests.conftest import WITH_JAX

COUNT = 400
Family = Callable[[np.random.Generator, int], Any]


def normal(rng: np.random.Generator, n: int) -> Any:
    return rng.standard_normal((COUNT, n, n))


def similar(rng: np.random.Generator, n: int, T: Any) -> Any:
    X = normal(rng, n)
    return X @ T @ np.linalg.inv(X)


def powers(rng: np.random.Generator, low: float, *shape: int) -> Any:
    return 10.0 ** rng.uniform(low, -low, (COUNT, *shape))


def near_defective(rng: np.random.Generator, n: int) -> Any:
    T = np.eye(n, k=1) + np.diag([0.0, 0.0, 3.0][-n:])
    return similar(rng, n, T + powers(rng, -12, 1, 1) * normal(rng, n))


def graded(rng: np.random.Generator, n: int) -> Any:
    d = powers(rng, -4, n)
    return d[:, :, None] * normal(rng, n) / d[:, None, :]


FAMILIES: dict[str, Family] = {
    "random": normal,
    "symmetric": lambda rng, n: (X := normal(rng, n)) + X.mT,
    "antisymmetric": lambda rng, n: (X := normal(rng, n)) - X.mT,
    "orthogonal": lambda rng, n: np.linalg.qr(normal(rng, n))[0],
    "generators of chains": lambda rng, n: (X := rng.random((COUNT, n, n))) - np.eye(n) * X.sum(-1, keepdims=True),
    "small integers": lambda rng, n: rng.integers(-2, 3, (COUNT, n, n)).astype(float),
    "triangular": lambda rng, n: np.triu(rng.integers(-2, 3, (COUNT, n, n))).astype(float),
    "rank 1": lambda rng, n: rng.standard_normal((COUNT, n, 1)) @ rng.standard_normal((COUNT, 1, n)),
    "near the identity": lambda rng, n: np.eye(n) + powers(rng, -15, 1, 1).clip(0, 1) * normal(rng, n),
    "nearly defective": near_defective,
    "defective": lambda rng, n: np.eye(n) + np.eye(n, k=1) * powers(rng, -3, 1, 1),
    "repeated twice": lambda rng, n: similar(rng, n, np.diag([2.0, 2.0, 1.0][:n])),
    "graded": graded,
    "scaled": normal,
    "near overflow and underflow": normal,
    "zero": lambda rng, n: np.zeros((COUNT, n, n)),
    "identity": lambda rng, n: np.broadcast_to(np.eye(n), (COUNT, n, n)),
}


def matrices(family: str, n: int, dtype: str) -> Any:
    """Real ones cast, and for odd members of complex dtypes with imaginary parts of the same family."""
    rng = np.random.default_rng(len(family) + n)
    A = FAMILIES[family](rng, n)
    if dtype.startswith("complex"):
        A = A + 1j * FAMILIES[family](rng, n) * (np.arange(COUNT) % 2)[:, None, None]
    reach = np.log10(float(np.finfo(dtype).max)) - 1.5
    if family == "scaled":
        A = A * powers(rng, -reach, 1, 1)
    elif family == "near overflow and underflow":
        A = A * 10.0 ** rng.choice([-reach, reach], (COUNT, 1, 1))
    return A.astype(dtype)


def backward_errors(A: Any, w: Any, V: Any) -> Any:
    """|A v - w v|/(|A|_F |v|) of every pair, in double precision, of matrices scaled so that no square overflows or vanishes."""
    scale = np.abs(A).max((-2, -1), keepdims=True).astype(float)
    scale[scale == 0] = 1
    A, w, V = A / scale, w / scale[..., 0], V.astype(complex)
    size = np.linalg.norm(A, axis=(-2, -1))[:, None] * np.linalg.norm(V, axis=-2)
    return np.linalg.norm(A @ V - V * w[:, None, :], axis=-2) / np.where(size == 0, 1, size)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n", [2, 3])
def test_closed_form_is_as_good_as_lapack(family: str, n: int, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In backward error, in the condition of V, and in the order; and what is left to LAPACK is LAPACK's, to the bit."""
    A = matrices(family, n, dtype)
    assert small.enough(A)
    found, closed_form = (
        [],
        small.eig,
    )  # asked twice it may differ by a member: sums round by where an array lies in memory
    monkeypatch.setattr(small, "eig", lambda A: found.append(closed_form(A)) or found[0])
    w, V = lapack.BACKEND.eig(A)
    done = found[0][2]
    assert w.dtype == V.dtype == np.result_type(A, np.complex64)
    u = np.finfo(dtype).eps / 2
    assert backward_errors(A, w, V)[done].max(initial=0) <= 10 * u
    np.testing.assert_allclose(np.linalg.norm(V.astype(complex), axis=-2), 1, atol=8 * u)
    alone = [lapack.BACKEND.eig(a) for a in A]
    values, vectors = (np.array(x) for x in zip(*alone, strict=True))
    assert np.all((np.linalg.cond(V) <= 1.01 * np.linalg.cond(vectors))[done])
    # alone and in a batch: one order, and but for rounding and phases the same numbers
    size = np.abs(A).max((-2, -1))[:, None]
    limit = 5e5 * u  # conditions of eigenvectors up to 1e3 for either gap
    assert np.all((np.abs(w - values) <= limit * size)[done])
    apart = vectors - V * np.sum(V.conj() * vectors, axis=-2, keepdims=True)
    assert np.all((np.abs(apart).max(-2) <= limit)[done])
    np.testing.assert_array_equal(w[~done], values[~done])
    np.testing.assert_array_equal(V[~done], vectors[~done])
    if dtype.startswith("float"):
        up, real = w.imag > 0, w.imag == 0
        np.testing.assert_array_equal(w[:, 1:][up[:, :-1]], w[up].conj())
        np.testing.assert_array_equal(V.mT[:, 1:][up[:, :-1]], V.mT[up].conj())
        assert not V.mT.imag[real].any()
        assert np.array_equal(up[:, :-1], w.imag[:, 1:] < 0)
        assert not up[:, -1].any()
        assert not w.imag[:, 0].min() < 0
        assert np.all(np.diff(w.real) <= 0)
    else:
        assert np.all(np.diff(w.real + w.imag / 3**0.5) <= 4 * u * size)


@pytest.mark.parametrize("n", [2, 3])
def test_what_is_left_to_lapack(n: int, dtype: str) -> None:
    """Most matrices are not, those without n well separated eigenvalues are, and so is what balancing helps."""
    share = {family: small.eig(matrices(family, n, dtype)[::2])[2].mean() for family in FAMILIES}
    assert min(share[family] for family in ("random", "orthogonal", "generators of chains")) > 0.95
    assert max(share[family] for family in ("zero", "identity", "defective", "repeated twice")) == 0
    assert share["graded"] < 0.5


@pytest.mark.parametrize("n", [2, 3])
def test_one_order_in_every_library(lib: Any, n: int, dtype: str) -> None:
    """Alone, in a few, and in many."""
    A = np.concatenate(
        [matrices(family, n, dtype)[:8] for family in ("random", "symmetric", "orthogonal", "triangular")]
    )
    values = np.array([arreig.eigvals(a) for a in A])
    atol = 1e5 * np.finfo(dtype).eps
    for few in (A, A[:1], A.reshape(4, 8, n, n)):
        w = host(arreig.eig(lib.array(few), gauge="phase-free").eigenvalues)
        np.testing.assert_allclose(w.reshape(-1, n), values[: w.size // n], atol=atol)
    many = np.resize(A, (8, len(A), n, n))
    w = host(arreig.eigvals(lib.array(many)))
    np.testing.assert_allclose(w, np.broadcast_to(values, w.shape), atol=atol)


@WITH_JAX
def test_one_order_under_jit() -> None:
    for n in (2, 3):
        A = matrices("random", n, "float64")[:20]
        np.testing.assert_allclose(jax.jit(arreig.eigvals)(jnp.asarray(A)), arreig.eigvals(A), atol=1e-12)


def test_larger_matrices_have_the_order_of_lapack() -> None:
    A = np.random.default_rng(0).standard_normal((50, 4, 4))
    np.testing.assert_array_equal(arreig.eigvals(A), np.linalg.eig(A).eigenvalues)


def test_eigvals_and_eig_agree_to_the_bit() -> None:
    A = matrices("random", 3, "float64").reshape(20, -1, 3, 3)
    res = arreig.eig(A)
    np.testing.assert_array_equal(arreig.eigvals(A), res.eigenvalues)
    assert res.eigenvectors.shape == A.shape


@pytest.mark.parametrize("n", [2, 3])
def test_inputs_of_any_layout(n: int) -> None:
    """They are read, and not changed."""
    A = matrices("random", n, "float64")
    expected = lapack.BACKEND.eig(A)
    batch_last = np.moveaxis(np.ascontiguousarray(np.moveaxis(A, 0, -1)), -1, 0)
    for same in (np.asfortranarray(A), np.repeat(A, 2, axis=0)[::2], batch_last):
        same.flags.writeable = False
        for x, y in zip(lapack.BACKEND.eig(same), expected, strict=True):
            np.testing.assert_array_equal(x, y)
    assert lapack.BACKEND.eig(A[:0]).eigenvectors.shape == (0, n, n)
