"""The only door to array-api-compat, and the few helpers that every layer shares."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

from array_api_compat import array_namespace
from array_api_compat import device as _device

from ._types import Array

__all__ = [
    "adjoint",
    "cached_property",
    "column_dot",
    "column_norm",
    "column_square",
    "conj",
    "device",
    "diagonal",
    "diagonal_matrix",
    "first",
    "imag",
    "is_complex",
    "largest",
    "matrix_norm",
    "members",
    "namespace",
    "norm_of",
    "nowhere",
    "on_diagonal",
    "promote_complex",
    "real",
    "relative_tolerance",
    "roundoff",
]


T = TypeVar("T")


class cached_property(Generic[T]):  # noqa: N801 - as in functools
    """As functools.cached_property from Python 3.12 on, without the lock of 3.11, which takes longer than many a property."""

    def __init__(self, method: Callable[[Any], T]) -> None:
        self._method, self._name = method, method.__name__
        self.__doc__ = method.__doc__
        self.__isabstractmethod__ = getattr(method, "__isabstractmethod__", False)

    @overload
    def __get__(self, owner: None, kind: Any = ...) -> Self: ...
    @overload
    def __get__(self, owner: object, kind: Any = ...) -> T: ...
    def __get__(self, owner: object | None, kind: Any = None) -> Self | T:
        if owner is None:
            return self
        value: T = self._method(owner)
        owner.__dict__[self._name] = value
        return value


# By type and dtype, which decide: asking anew took a third of the time of a derivative of a small matrix. The dtype matters for
# JAX's zero gradients, which are NumPy arrays of a dtype of JAX's.
_namespaces: dict[tuple[type, Any], Any] = {}
_complex: dict[tuple[type, Any], bool] = {}
_roundoff: dict[tuple[type, Any], float] = {}
_served: dict[Any, Any] = {}


def serve(standard: Any, by: Any) -> None:
    """Let a namespace of array-api-compat be represented by another one of the same functions.

    It may say that all its arrays are on one device, `only_device`, and have functions of its own for what takes several steps
    here: `plain_norm` over some axes, None where squares overflow or vanish, `plain_square` of columns, `plain_first`, which may
    be its argument, and `plain_finite`, whether all numbers are seen to be finite.
    """
    _served[standard] = by


def namespace(x: Any, /, *others: Any) -> Any:
    """The library of arrays, by array-api-compat; TypeError for what is no array, and for arrays of several libraries."""
    try:
        found = _namespaces[type(x), x.dtype]
        if not others or all(_namespaces[type(y), y.dtype] is found for y in others):
            return found
    except (AttributeError, KeyError):
        pass
    found = array_namespace(x, *others)
    found = _served.get(found, found)
    for y in (x, *others):
        if hasattr(y, "dtype"):
            own = array_namespace(y)
            _namespaces[type(y), y.dtype] = _served.get(own, own)
    return found


def device(x: Array) -> Any:
    """Where x is."""
    here = getattr(namespace(x), "only_device", None)
    return _device(x) if here is None else here


def is_complex(x: Array) -> bool:
    """Whether x has a complex dtype."""
    key = type(x), x.dtype
    try:
        return _complex[key]
    except KeyError:
        return _complex.setdefault(key, bool(namespace(x).isdtype(x.dtype, "complex floating")))


def real(x: Array) -> Array:
    """Real part; the standard's own function refuses real dtypes."""
    return namespace(x).real(x) if is_complex(x) else x


def imag(x: Array) -> Array:
    """Imaginary part; the standard's own function refuses real dtypes."""
    xp = namespace(x)
    return xp.imag(x) if is_complex(x) else xp.zeros_like(x)


def promote_complex(x: Array) -> Array:
    """x in the complex dtype of its own precision."""
    if is_complex(x):
        return x
    xp = namespace(x)
    return xp.astype(x, xp.complex64 if x.dtype == xp.float32 else xp.complex128)


def roundoff(x: Array) -> float:
    """Unit roundoff u of x's precision: half the distance from 1 to the next number."""
    key = type(x), x.dtype
    try:
        return _roundoff[key]
    except KeyError:
        return _roundoff.setdefault(key, float(namespace(x).finfo(x.dtype).eps) / 2)


def relative_tolerance(x: Array) -> float:
    """What a cotangent computed in x's precision may leave of a quantity that vanishes in exact arithmetic."""
    return 1e-3 if namespace(x).finfo(x.dtype).bits == 32 else 1e-6


def conj(x: Array) -> Array:
    """Complex conjugate, by the array's own method if it has one: array-api-compat's for torch copies, and has no vmap."""
    method = getattr(x, "conj", None)
    return namespace(x).conj(x) if method is None else method()


def adjoint(X: Array) -> Array:
    """X^H."""
    return conj(X.mT) if is_complex(X) else X.mT


def column_dot(X: Array, Y: Array) -> Array:
    """x_j^H y_j for every column j."""
    xp = namespace(X, Y)
    return xp.sum(conj(X) * Y, axis=-2)


def column_square(X: Array) -> Array:
    """||x_j||^2 for every column j, smooth also where entries vanish: torch's second derivative of abs(x)**2 is 0 there."""
    if (plain := getattr(namespace(X), "plain_square", None)) is not None:
        square: Array = plain(X)
        return square
    return real(column_dot(X, X))


def nowhere(x: Array) -> Array:
    """False in the shape of x."""
    xp = namespace(x)
    return xp.zeros_like(x, dtype=xp.bool)


def members(where: Array, x: Array) -> Array:
    """A mask ``(...)`` of members of the batch in the shape that broadcasts with x, which has more axes."""
    return namespace(where).reshape(where, (*where.shape, *(1,) * (x.ndim - where.ndim)))


def on_diagonal(x: Array) -> Array:
    """Mask (n, n) of the diagonal, n the length of x's last axis."""
    xp = namespace(x)
    i = xp.arange(x.shape[-1], device=device(x))
    return i[:, None] == i[None, :]


def diagonal(X: Array) -> Array:
    """Diagonals (..., n) of matrices; torch's own, linalg.diagonal, cannot be vmapped."""
    xp = namespace(X)
    return xp.sum(xp.where(on_diagonal(X), X, 0.0), axis=-1)


def diagonal_matrix(x: Array) -> Array:
    """Matrices (..., n, n) with diagonals x (..., n)."""
    return namespace(x).where(on_diagonal(x), x[..., None, :], 0.0)


def first(where: Array) -> Array:
    """Mask of the first True in every column (..., n, m) that has one."""
    xp, n = namespace(where), where.shape[-2]
    if n == 0:
        return where
    if (plain := getattr(xp, "plain_first", None)) is not None:
        found: Array = plain(where)
        return found
    i = xp.arange(n, device=device(where))
    return where & (i[:, None] == xp.argmax(xp.astype(where, xp.uint8), axis=-2, keepdims=True))


def largest(x: Array, axis: int | tuple[int, ...]) -> Array:
    """Maximum of a real, nonnegative x over axes that are kept; 0 where they are empty (the standard leaves that open)."""
    xp = namespace(x)
    if 0 in x.shape and any(x.shape[a] == 0 for a in ((axis,) if isinstance(axis, int) else axis)):
        return xp.sum(x, axis=axis, keepdims=True)
    return xp.max(x, axis=axis, keepdims=True)


def norm_of(X: Array, axis: int | tuple[int, ...]) -> Array:
    """Root of the sum of squares of moduli, scaled so that no square overflows or vanishes."""
    xp = namespace(X)
    if (plain := getattr(xp, "plain_norm", None)) is not None and (norm := plain(X, axis)) is not None:
        return norm
    size = xp.abs(X)
    top = largest(size, axis)
    scale = xp.where(top == 0, 1.0, xp.where(top == xp.inf, xp.finfo(size.dtype).max, top))
    return xp.squeeze(scale, axis=axis) * xp.sqrt(xp.sum((size / scale) ** 2, axis=axis))


def column_norm(X: Array) -> Array:
    """Euclidean norm of every column."""
    return norm_of(X, -2)


def matrix_norm(X: Array) -> Array:
    """Frobenius norm of every matrix of the batch."""
    return norm_of(X, (-2, -1))
