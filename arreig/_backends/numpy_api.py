"""NumPy as the standard has it, by the shortest way: the reductions of its ufuncs and the methods of its arrays.

NumPy's functions of the same names, and array-api-compat's around them, take two to four times as long on small arrays, where
nothing else takes time: a derivative of one matrix calls a hundred of them. The numbers are the same, to the bit, but for sums
over the rows of many small matrices, which are in another order.
"""

from functools import cache
from math import isfinite
from types import ModuleType
from typing import Any

import array_api_compat.numpy
import numpy as np

from .._array_api import serve
from .._types import Array

_SMALL = 64
_MANY, _SHORT = 1024, 16  # entries of a batch from which, rows up to which halves are faster
Axis = int | tuple[int, ...] | None

standard: Any = array_api_compat.numpy
total: Any = np.add.reduce
largest: Any = np.maximum.reduce
smallest: Any = np.minimum.reduce
some: Any = np.logical_or.reduce
every: Any = np.logical_and.reduce
einsum: Any = np.einsum


def _by_halves(function: Any, x: Array, keepdims: bool) -> Array:
    """A ufunc's reduction over axis -2 of many small matrices: in long rows, where its own takes one step a row of a matrix."""
    while (n := x.shape[-2]) > 1:
        half = n // 2
        pairs = function(x[..., :half, :], x[..., half : 2 * half, :])
        if n % 2:
            function(pairs[..., :1, :], x[..., -1:, :], out=pairs[..., :1, :])
        x = pairs
    return x if keepdims else x[..., 0, :]


def _in_halves(x: Array, axis: Axis) -> bool:
    many = axis == -2 and x.ndim > 2 and x.size >= _MANY and 1 < x.shape[-2] <= _SHORT
    return bool(many and x.flags.c_contiguous)


def _sum(x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False) -> Array:
    if dtype is None and x.dtype.kind in "fc" and _in_halves(x, axis):
        return _by_halves(np.add, x, keepdims)
    return total(x, axis=axis, dtype=dtype, keepdims=keepdims)


def _max(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    if _in_halves(x, axis):
        return _by_halves(np.maximum, x, keepdims)
    return largest(x, axis=axis, keepdims=keepdims)


def _min(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return smallest(x, axis=axis, keepdims=keepdims)


def _any(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    if x.dtype.kind == "b" and _in_halves(x, axis):
        return _by_halves(np.logical_or, x, keepdims)
    return some(x, axis=axis, keepdims=keepdims)


def _all(x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    return every(x, axis=axis, keepdims=keepdims)


def _argmax(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    return x.argmax(axis=axis, keepdims=keepdims)


def _take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    return x.take(indices, axis=axis)


def _reshape(x: Array, /, shape: tuple[int, ...], *, copy: bool | None = None) -> Array:
    return x.reshape(shape) if copy is None else standard.reshape(x, shape, copy=copy)


def _squeeze(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    return x.squeeze(axis=axis)


def _astype(x: Array, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Array:
    return x if not copy and x.dtype == dtype else x.astype(dtype)


@cache
def _count(n: int) -> Array:
    """Indices of a small matrix, which nobody writes into."""
    i = np.arange(n)
    i.flags.writeable = False
    return i


def _arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    if stop is None and dtype is None and type(start) is int and start <= _SMALL:
        return _count(start)
    return np.arange(start, dtype=dtype) if stop is None else np.arange(start, stop, step, dtype=dtype)


def _asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Array:
    if copy and dtype is None and type(obj) is np.ndarray:
        return obj.copy(order="K")
    if type(obj) is list and copy is None:
        return np.array(obj, dtype=dtype)
    return standard.asarray(obj, dtype=dtype, copy=copy)


def _zeros_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    return np.zeros(x.shape, dtype=x.dtype if dtype is None else dtype)


def _ones_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    return np.ones(x.shape, dtype=x.dtype if dtype is None else dtype)


def _roll(x: Array, /, shift: Any, *, axis: Any = None) -> Array:
    if axis not in (-1, -2) or not isinstance(shift, int) or not x.shape[axis]:
        return np.roll(x, shift, axis=axis)
    there = -shift % x.shape[axis]
    last = () if axis == -1 else (slice(None),)
    return np.concatenate((x[..., there:, *last], x[..., :there, *last]), axis=axis)


def _safe(dtype: Any) -> tuple[float, float]:
    """Between which bounds norms have lost nothing of the squares that they come from."""
    finfo = standard.finfo(dtype)
    return float(finfo.tiny) ** 0.5 / float(finfo.eps), float(finfo.max) ** 0.5


_SAFE = {np.dtype(t): _safe(t) for t in (np.float32, np.float64)}


def _plain_square(X: Array, axis: int | tuple[int, ...] = -2) -> Array:
    form = "...ij,...ij->...j" if axis == -2 else "...ij,...ij->..."
    if X.dtype.kind != "c":
        return einsum(form, X, X)
    if X.strides[-1] == X.itemsize:
        x = X.view(X.real.dtype)
        square = einsum(form, x, x)
        return square[..., ::2] + square[..., 1::2] if axis == -2 else square
    x, y = X.real, X.imag
    return einsum(form, x, x) + einsum(form, y, y)


def _plain_norm(X: Array, axis: int | tuple[int, ...]) -> Array | None:
    norm = np.sqrt(_plain_square(X, axis))
    least, most = _SAFE[norm.dtype]
    return norm if norm.size and smallest(norm, axis=None) > least and largest(norm, axis=None) < most else None


def _plain_finite(X: Array) -> bool:
    """Whether a few numbers are seen to be finite: not where the sum of their squares overflows."""
    return X.size <= _SMALL and isfinite(np.vdot(X, X).real)


@cache
def _down(n: int) -> Array:
    """n, ..., 1 in a column."""
    i = np.arange(n, 0, -1, dtype=np.int32)[:, None]
    i.flags.writeable = False
    return i


def _plain_first(where: Array) -> Array:
    """By a maximum: argmax copies what is not along the last axis, and forgets which is the fastest in memory."""
    n = where.shape[-2]
    if np.count_nonzero(where) * n == where.size and every(_any(where, axis=-2), axis=None):
        return where  # one in each
    down = _down(n)
    return down == _max(where * down, axis=-2, keepdims=True)


NAMESPACE = ModuleType("numpy_api", __doc__)
NAMESPACE.__dict__.update(
    {name: value for name, value in vars(standard).items() if not name.startswith("_")},
    all=_all,
    any=_any,
    arange=_arange,
    argmax=_argmax,
    asarray=_asarray,
    astype=_astype,
    finfo=cache(standard.finfo),
    max=_max,
    min=_min,
    ones_like=_ones_like,
    only_device="cpu",
    plain_finite=_plain_finite,
    plain_first=_plain_first,
    plain_norm=_plain_norm,
    plain_square=_plain_square,
    reshape=_reshape,
    roll=_roll,
    squeeze=_squeeze,
    sum=_sum,
    take=_take,
    zeros_like=_zeros_like,
)
serve(standard, NAMESPACE)
