"""arreig_jax.eigs and eigsh, beside arreig_jax.eig and eigh of the same matrices."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO, BCSR

import arreig
import arreig_jax

RNG = np.random.default_rng(3)
N, K, SIGMA = 24, 3, 0.3 + 0.1j
A = RNG.standard_normal((N, N))
S, M = A @ A.T, A.T @ A + N * np.eye(N)
C, R = RNG.standard_normal((N, K)), RNG.standard_normal(K)


def loss(w: Any, V: Any) -> Any:
    return jnp.sum(jnp.abs(w) * R) + jnp.sum(C * jnp.abs(V) ** 2 + C[::-1] * jnp.real(V))


def nearest(A: Any, B: Any = None) -> Any:
    """What eigs finds, among all eigenpairs."""
    w, V = arreig_jax.eig(A, B)
    of = jnp.argsort(jnp.abs(w - SIGMA))[:K]
    return w[of], V[:, of]


def sparse_with_duplicates_and_padding() -> tuple[Any, Any]:
    rows, columns = np.nonzero(np.abs(A) > 0.7)
    rows, columns = rows[::-1], columns[::-1]  # in no order
    values = A[rows, columns]
    indices = np.stack([rows, columns], axis=1)
    indices = np.concatenate([indices, indices[:3], [[N, N]]])
    return jnp.asarray(np.concatenate([values, values[:3] / 10, [7.0]])), jnp.asarray(indices)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_gradients_of_sparse_and_dense_matrices(dtype: str) -> None:
    """By entries: duplicates share, padding has none; forward and reverse, compiled, mapped and eager."""
    values, indices = sparse_with_duplicates_and_padding()
    values = values.astype(dtype) * (1 if dtype == "float64" else 1 + 0.3j * jnp.cos(jnp.arange(len(values))))

    def sparse(x: Any) -> Any:
        return loss(*arreig_jax.eigs(BCOO((x, indices), shape=(N, N)), K, sigma=SIGMA))

    def dense(x: Any, eigenpairs: Any) -> Any:
        padded = jnp.zeros((N + 1, N + 1), dtype=x.dtype).at[indices[:, 0], indices[:, 1]].add(x)
        return loss(*eigenpairs(padded[:N, :N]))

    expected = jax.grad(lambda x: dense(x, nearest))(values)
    scale = np.abs(expected).max()
    g = jax.jit(jax.vmap(jax.grad(sparse)))(jnp.stack([values, 1.01 * values]))
    assert g.dtype == dtype
    np.testing.assert_allclose(g[0], expected, atol=1e-10 * scale)
    np.testing.assert_allclose(g[1], jax.grad(sparse)(1.01 * values), atol=1e-10 * scale)
    few = jax.grad(lambda x: dense(x, lambda X: arreig_jax.eigs(X, K, sigma=SIGMA)))(values)
    np.testing.assert_allclose(few, expected, atol=1e-10 * scale)
    dx = jnp.sin(jnp.arange(len(values)) + 1.0).astype(dtype)
    _, along = jax.jvp(sparse, (values,), (dx,))
    np.testing.assert_allclose(along, jnp.sum(expected * dx).real, rtol=1e-9)


def test_gradients_by_both_matrices() -> None:
    def few(S: Any, M: Any) -> Any:
        return loss(*arreig_jax.eigsh(S, K, B=M, sigma=0.0))

    def all_of_them(S: Any, M: Any) -> Any:
        w, V = arreig_jax.eigh(S, M)
        return loss(w[:K], V[:, :K])

    S_, M_ = jnp.asarray(S), jnp.asarray(M)
    expected = jax.grad(all_of_them, (0, 1))(S_, M_)
    for g, gX in zip(jax.grad(few, (0, 1))(S_, M_), expected, strict=True):
        np.testing.assert_allclose(g, gX, atol=1e-9 * np.abs(gX).max())
    for at, gX in enumerate(expected):  # one of them alone, forward and reverse
        np.testing.assert_allclose(jax.jit(jax.grad(few, at))(S_, M_), gX, atol=1e-9 * np.abs(gX).max())
        dX = [jnp.zeros_like(S_), jnp.zeros_like(M_)]
        dX[at] = jnp.eye(N)
        _, along = jax.jvp(few, (S_, M_), tuple(dX))
        np.testing.assert_allclose(along, jnp.trace(gX), rtol=1e-9)
    general = jax.grad(lambda M: loss(*arreig_jax.eigs(jnp.asarray(A), K, B=M, sigma=SIGMA)))(M_)
    expected = jax.grad(lambda M: loss(*nearest(jnp.asarray(A), M)))(M_)
    np.testing.assert_allclose(general, expected, atol=1e-9 * np.abs(expected).max())


def test_a_gauge_with_an_array_and_a_start() -> None:
    z, v0 = jnp.asarray(C[:, 0]), jnp.asarray(C[:, 1])

    def sums(A: Any) -> Any:
        V = arreig_jax.eigs(A, K, sigma=SIGMA, gauge=arreig.Functional(z), v0=v0).eigenvectors
        return jnp.sum(jnp.abs(z @ V) ** 2), jnp.sum(V.real * C)

    (one, _), (zero, other) = sums(jnp.asarray(A)), jax.jacrev(sums)(jnp.asarray(A))
    np.testing.assert_allclose(one, K, rtol=1e-12)
    np.testing.assert_allclose(zero, 0, atol=1e-9 * np.abs(other).max())


def test_refusals_are_raised_told_or_nan() -> None:
    told: list[Exception] = []
    eye = jnp.eye(N)

    def cut(A: Any, check: Any = True) -> Any:
        return loss(*arreig_jax.eigsh(A, K, which="LA", check=check))

    with pytest.raises(arreig.DegenerateEigenvaluesError):
        jax.grad(cut)(eye)
    g = jax.jit(jax.grad(lambda A: cut(A, told.append)))(eye)
    assert np.isnan(g).all()
    assert [type(error) for error in told] == [arreig.DegenerateEigenvaluesError]
    missing = jax.jit(lambda A: arreig_jax.eigs(A, K, check=told.append))(jnp.full((N, N), jnp.nan))
    assert np.isnan(missing.eigenvectors).all()
    assert isinstance(told[-1], arreig.NonFiniteError)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda A: arreig_jax.eigs(A[None]), arreig.InputError, r"one square matrix, shape \(n, n\)"),
        (lambda A: arreig_jax.eigs(A, N + 1), arreig.InputError, "k must be between 1 and"),
        (lambda A: jax.jit(lambda A: arreig_jax.eigs(A, which="XX"))(A), arreig.InputError, "which must be one of"),
        (lambda A: jax.jit(lambda s: arreig_jax.eigs(A, sigma=s))(1.0), arreig.InputError, "sigma must be a finite"),
        (lambda A: jax.jit(lambda A: arreig_jax.eigs(A, gauge="x"))(A), arreig.InputError, "gauge must be"),
        (lambda A: arreig_jax.eigs(A, degeneracy="split"), arreig.InputError, "'raise' or 'mask'"),
        (lambda A: arreig_jax.eigs(A, v0=[1.0] * N), arreig.InputTypeError, "v0 must be an array"),
        (lambda A: arreig_jax.eigs(A, v0=A[0, 1:]), arreig.InputError, "v0 must have shape"),
        (lambda A: arreig_jax.eigs(A, v0=1j * A[0]), arreig.InputTypeError, "v0 must be real"),
        (lambda A: arreig_jax.eigs(A, B=A.astype("float32")), arreig.InputTypeError, "precision of A"),
        (
            lambda A: arreig_jax.eigs(BCOO.fromdense(A.astype(jnp.float16))),
            arreig.InputTypeError,
            "A must have one of the dtypes",
        ),
        (lambda A: arreig_jax.eigs(A, B=A[:2, :2]), arreig.InputError, "B must have the shape of A"),
        (lambda A: arreig_jax.eigs(A, B=BCOO.fromdense(A)), arreig.InputTypeError, "both be BCOO"),
        (lambda A: arreig_jax.eigs(BCSR.fromdense(A)), arreig.InputTypeError, "to_bcoo"),
        (lambda A: arreig_jax.eigs(BCOO.fromdense(A, n_batch=1)), arreig.InputError, "n_batch = n_dense = 0"),
        (
            lambda A: jax.grad(lambda v: loss(*arreig_jax.eigs(A, K, v0=v)))(A[0]),
            arreig.InputTypeError,
            "v0 is a start and no parameter",
        ),
        (
            lambda A: jax.grad(lambda z: loss(*arreig_jax.eigs(A, K, gauge=arreig.Functional(z))))(A[0]),
            arreig.InputTypeError,
            "holds z constant",
        ),
        (
            lambda A: jax.hessian(lambda t: loss(*arreig_jax.eigs(t * A, K, sigma=SIGMA)))(1.0),
            arreig.ArreigError,
            "this would be a second one",
        ),
    ],
)
def test_what_is_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(jnp.asarray(A))
