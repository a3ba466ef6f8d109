"""Oracles: how a derivative of an eigendecomposition is proved right, and matrices to prove it on.

They take arrays of any library and compute on the host in double precision with NumPy. Each returns a number or an array
for the caller to judge; none asserts.

The inner product is <X, Y> = Re tr(X^H Y), so that a cotangent gX means dL = <gX, dX>.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from array_api_compat import is_array_api_strict_namespace, is_cupy_array, is_torch_array, to_device

from ._array_api import namespace
from ._types import Array

__all__ = [
    "adjoint_defect",
    "directional_difference",
    "equation_defect",
    "finite_differences",
    "host",
    "matching",
    "matrix_with_spectrum",
]

_STENCIL = ((-2, 1 / 12), (-1, -8 / 12), (1, 8 / 12), (2, -1 / 12))  # five points, error O(h^4)


def host(x: Array) -> np.ndarray[Any, Any]:
    """x as a NumPy array in double precision."""
    xp = namespace(x)
    if is_array_api_strict_namespace(xp):
        x = to_device(x, xp.Device("CPU_DEVICE"))
    elif is_torch_array(x) or is_cupy_array(x):
        x = to_device(x, "cpu")
    out = np.asarray(x)
    return out.astype(np.complex128 if np.iscomplexobj(out) else np.float64)


def equation_defect(
    A: Array,
    w: Array,
    V: Array,
    dA: Array,
    dw: Array,
    dV: Array,
    *,
    B: Array | None = None,
    dB: Array | None = None,
) -> np.ndarray[Any, Any]:
    """Relative residual ``(...)`` of the differentiated equation, dA V + A dV - dV diag(w) - V diag(dw) = 0.

    With B it is dA V + A dV - (dB V + B dV) diag(w) - B V diag(dw) = 0; dB is 0 unless given.
    """
    A, w, V, dA, dw, dV = map(host, (A, w, V, dA, dw, dV))
    BV, dBV = V, dV
    if B is not None:
        BV, dBV = host(B) @ V, host(B) @ dV + (0 if dB is None else host(dB) @ V)
    residual = dA @ V + A @ dV - dBV * w[..., None, :] - BV * dw[..., None, :]
    norm = _norm(A) * _norm(dV) + _norm(dA) * _norm(V) + (0 if B is None else _norm(dBV * w[..., None, :]))
    return np.asarray(_norm(residual) / np.where(norm == 0, 1, norm))


def adjoint_defect(outputs: Iterable[tuple[Array, Array]], inputs: Iterable[tuple[Array, Array]]) -> float:
    """Relative difference of the two sides of the adjoint identity.

    Parameters
    ----------
    outputs, inputs : pairs (cotangent, tangent)
        Of the function's results, ``(gV, dV), (gw, dw)``, and of its arguments, ``(gA, dA)``.
    """

    def sides(pairs: Iterable[tuple[Array, Array]]) -> tuple[float, float]:
        terms = [np.real(np.conj(host(g)) * host(d)) for g, d in pairs]
        return sum(float(t.sum()) for t in terms), sum(float(np.abs(t).sum()) for t in terms)

    (left, size), (right, other) = sides(outputs), sides(inputs)
    return abs(left - right) / max(size, other, np.finfo(float).tiny)


def directional_difference(f: Callable[[Any], Any], A: Array, dA: Array, *, step: float = 2e-4) -> np.ndarray[Any, Any]:
    """Derivative of f at A along dA by five-point central differences, f mapping NumPy double arrays to such.

    `step` is relative to the norm of A (1 where A vanishes) over that of dA.
    """
    A, dA = host(A), host(dA)
    h = step * (_norm(A).max(initial=0) or 1.0) / (_norm(dA).max(initial=0) or 1.0)
    return np.asarray(sum(c * f(A + k * h * dA) for k, c in _STENCIL) / h)


def finite_differences(
    loss: Callable[[Any], Any], A: Array, *, hermitian: bool = False, step: float = 2e-4
) -> np.ndarray[Any, Any]:
    """Gradient of a loss in every entry of A, real and imaginary part, by five-point central differences.

    Parameters
    ----------
    loss : callable
        Maps a NumPy double array (..., n, n) to real losses (...), one a matrix.
    A : array, shape (..., n, n)
    hermitian : bool
        A is Hermitian and is moved along Hermitian directions only; the gradient is Hermitian.
    step : float
        Relative to the norm of A.

    Returns
    -------
    ndarray, shape (..., n, n)
        gA with dL = Re tr(gA^H dA); real for a real A.
    """
    A = host(A)
    gA: np.ndarray[Any, Any] = np.zeros_like(A)
    for i in range(A.shape[-2]):
        for j in range(i + 1 if hermitian else A.shape[-1]):
            for unit in (1, 1j) if np.iscomplexobj(A) else (1,):
                direction = np.zeros_like(A)
                direction[..., i, j] = unit
                if hermitian:
                    direction = (direction + np.conj(np.swapaxes(direction, -1, -2))) / 2
                gA[..., i, j] += unit * directional_difference(loss, A, direction, step=step)
            if hermitian:
                gA[..., j, i] = np.conj(gA[..., i, j])
    return gA


def matching(w: Array, reference: Array) -> np.ndarray[Any, Any]:
    """Order of w (..., n) that brings it closest to the reference, each eigenvalue to its nearest: for simple spectra."""
    w, reference = host(w), host(reference)
    return np.asarray(np.argmin(np.abs(reference[..., :, None] - w[..., None, :]), axis=-1))


def matrix_with_spectrum(w: Any, rng: np.random.Generator, *, hermitian: bool = False) -> np.ndarray[Any, Any]:
    """A matrix X diag(w) X^-1 with a random, moderately conditioned X, unitary for hermitian; complex if w is."""
    w = np.asarray(w)
    X = rng.standard_normal((w.shape[-1], w.shape[-1]))
    if np.iscomplexobj(w):
        X = X + 1j * rng.standard_normal(X.shape)
    Q = np.linalg.qr(X)[0]
    if hermitian:
        return np.asarray((Q * w) @ np.conj(Q.T))
    X = Q + 0.3 * X / np.linalg.norm(X, 2)
    return np.asarray((X * w) @ np.linalg.inv(X))


def _norm(X: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.linalg.norm(X, axis=(-2, -1)))
