"""LAPACK by its own routines: what they compute, with how many threads ever, and what they say where they fail."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import arreig
from arreig._backends import fortran, lapack, lu, threads

DTYPES = ("float32", "float64", "complex64", "complex128")


def random(shape: tuple[int, ...], dtype: str) -> Any:
    rng = np.random.default_rng(len(shape))
    X = rng.standard_normal(shape) + (1j * rng.standard_normal(shape) if dtype.startswith("c") else 0)
    return X.astype(dtype)


def close(found: Any, expected: Any, factor: float = 100) -> None:
    """Equal up to rounding in sums of the last axis of a matrix."""
    tolerance = factor * np.finfo(found.dtype).eps * found.shape[-2] * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Single operations are shared by two threads, however little there is to do; how many slices each was cut into."""
    cuts: list[int] = []
    run: Callable[..., Any] = threads.run

    def counted(function: Any, slices: Any) -> Any:
        cuts.append(len(slices))
        return run(function, slices)

    monkeypatch.setattr(threads, "_PAYS_AT_ONCE", 0.0)
    monkeypatch.setattr(threads, "number", lambda: 2)
    monkeypatch.setattr(threads, "run", counted)
    return cuts


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("n", [1, 2, 31, 130, 256])
def test_eigenpairs(n: int, dtype: str) -> None:
    """Of A, with norms of 1; those of a real matrix in conjugate pairs of neighbours, to the bit."""
    A = random((n, n), dtype)
    given = A.copy()
    w, V = fortran.geev(A)
    np.testing.assert_array_equal(A, given)
    assert np.linalg.norm(A @ V - V * w) <= 10 * n * np.finfo(dtype).eps * np.linalg.norm(A)
    np.testing.assert_allclose(np.linalg.norm(V, axis=0), 1, rtol=1e-14)
    assert V.flags.c_contiguous
    if dtype == "float64":
        up = np.flatnonzero(w.imag > 0)
        assert up.size == (w.imag < 0).sum()
        np.testing.assert_array_equal(w[up + 1], w[up].conj())
        np.testing.assert_array_equal(V[:, up + 1], V[:, up].conj())
        assert not V[:, w.imag == 0].imag.any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch", [(), (2,), (0,)], ids=str)
def test_large_matrices_of_every_precision(dtype: str, batch: tuple[int, ...]) -> None:
    """Single precision is computed in double, as NumPy does it."""
    A = random((*batch, lapack._ROOMY, lapack._ROOMY), dtype)
    w, V = arreig.eig(A, gauge="phase-free")
    assert w.dtype == V.dtype == np.result_type(dtype, np.complex64)
    assert (w.shape, V.shape) == (A.shape[:-1], A.shape)
    residual = np.linalg.norm(A @ V - V * w[..., None, :], axis=-2)
    assert (residual <= 100 * np.finfo(dtype).eps * np.linalg.norm(A, axis=(-2, -1))[..., None]).all()
    np.testing.assert_allclose(w.sum(-1), np.trace(A, axis1=-2, axis2=-1), atol=1e3 * np.finfo(dtype).eps)


def test_no_convergence(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(name: str, dtype: Any, *arguments: Any) -> None:
        arguments[-1]._obj.value = 3
        if arguments[-2] == -1:
            arguments[-3][0] = 5

    monkeypatch.setattr(fortran, "_call", failed)
    with pytest.raises(np.linalg.LinAlgError, match=r"did not converge \(LAPACK's geev returned info = 3\)"):
        fortran.geev(np.eye(2))


def test_other_integers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A routine called with integers of another length would write anywhere."""
    monkeypatch.setattr(fortran, "_name", lambda _: b"void (blas_int *, double *)")
    with pytest.raises(ImportError, match=r"expected SciPy to export dgetrf .* int, got void \(blas_int"):
        fortran._routine.__wrapped__("dgetrf")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 5), (3, 20, 20), (90, 90)], ids=str)
def test_factorisations(in_threads: list[int], shape: tuple[int, ...], dtype: str) -> None:
    """V^-1 X and V^-H X, by one thread and by two, whatever the layout and the dtype of X; X and V stay as they are."""
    V, n = random(shape, dtype) + 3 * np.eye(shape[-1], dtype=dtype), shape[-1]
    X = random((*shape[:-1], 11), dtype)
    kept = V.copy(), X.copy()
    for rhs in (X, np.asfortranarray(X), X.real):
        factor = lu.LapackLU(V)
        found = factor.solve(rhs), factor.solve_adjoint(rhs)
        close(V @ found[0], rhs, 100 * n)
        close(V.conj().mT @ found[1], rhs, 100 * n)
        assert found[0].dtype == found[1].dtype == dtype
    assert set(in_threads) == {4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "number", lambda: 1)
        one = lu.LapackLU(V)
        for own, other in zip((one.solve(rhs), one.solve_adjoint(rhs)), found, strict=True):
            close(own, other, 100 * n)
    np.testing.assert_array_equal(V, kept[0])
    np.testing.assert_array_equal(X, kept[1])


PRODUCTS = [((7, 5), (5, 3)), ((1, 9, 4), (1, 4, 4)), ((3, 6, 5), (5, 2)), ((1, 4), (4, 2))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("left", "right"), PRODUCTS, ids=str)
def test_products(in_threads: list[int], left: tuple[int, ...], right: tuple[int, ...], dtype: str) -> None:
    X, Y = random(left, dtype), random(right, dtype)
    for x in (X, X.mT.copy().mT):
        product = lapack.BACKEND.product(x, Y)
        assert product.dtype == dtype
        close(product, X @ Y)
    assert in_threads == ([4, 4] if left[-2] > 1 else [])


@pytest.mark.parametrize(
    "shape", [(3, 3), (200, 200), (200, 150), (40, 64, 64), (500, 7, 5), (9, 0, 0), (0, 3, 3)], ids=str
)
def test_blocks_of_rows(shape: tuple[int, ...]) -> None:
    """They are all of the rows, each once, and no block has many entries."""
    backend, X = lapack.BACKEND, np.arange(float(np.prod(shape))).reshape(shape)
    blocks = backend.blocks(shape)
    assert [i for rows in blocks for i in range(shape[-2])[rows]] == list(range(shape[-2]))
    assert (len(blocks) > 1) == (X.size >= lapack._LEAST_IN_BLOCKS)
    found = backend.by_rows(lambda rows: X[..., rows, :] + 1, shape)
    np.testing.assert_array_equal(found, X + 1)


def test_nothing_is_cut_that_is_quickly_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "number", lambda: 3)
    assert threads.divided(100, 1e-6) == [slice(0, 100)]
    assert threads.divided(2, 1.0) == [slice(0, 1), slice(1, 2)]
    slices = threads.divided(100, 1.0)
    assert len(slices) == 6
    assert [i for part in slices for i in range(100)[part]] == list(range(100))
    monkeypatch.setattr(threads, "number", lambda: 1)
    assert threads.divided(100, 1.0) == [slice(0, 100)]
