"""The only door to array-api-compat, and the few helpers that every layer shares."""

from typing import Any

from array_api_compat import array_namespace, device

from ._types import Array

__all__ = [
    "adjoint",
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
    "nowhere",
    "on_diagonal",
    "promote_complex",
    "real",
    "relative_tolerance",
    "roundoff",
]


# By type and dtype, which decide: asking anew took a third of the time of a derivative of a small matrix. The dtype matters for
# JAX's zero gradients, which are NumPy arrays of a dtype of JAX's.
_namespaces: dict[tuple[type, Any], Any] = {}
_complex: dict[tuple[type, Any], bool] = {}


def namespace(*arrays: Any) -> Any:
    """The library of arrays, by array-api-compat; TypeError for what is no array, and for arrays of several libraries."""
    found = None
    for x in arrays:
        xp = _namespaces.get((type(x), getattr(x, "dtype", None)))
        if xp is None or (found is not None and xp is not found):
            break
        found = xp
    else:
        if found is not None:
            return found
    for x in arrays:
        if hasattr(x, "dtype"):
            _namespaces[type(x), x.dtype] = array_namespace(x)
    return array_namespace(*arrays)


def is_complex(x: Array) -> bool:
    """Whether x has a complex dtype."""
    key = type(x), x.dtype
    if key not in _complex:
        _complex[key] = bool(namespace(x).isdtype(x.dtype, "complex floating"))
    return _complex[key]


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
    return float(namespace(x).finfo(x.dtype).eps) / 2


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
    i = xp.arange(n, device=device(where))
    return where & (i[:, None] == xp.argmax(xp.astype(where, xp.uint8), axis=-2, keepdims=True))


def largest(x: Array, axis: int | tuple[int, ...]) -> Array:
    """Maximum of a real, nonnegative x over axes that are kept; 0 where they are empty (the standard leaves that open)."""
    xp = namespace(x)
    axes = (axis,) if isinstance(axis, int) else axis
    if any(x.shape[a] == 0 for a in axes):
        return xp.sum(x, axis=axes, keepdims=True)
    return xp.max(x, axis=axes, keepdims=True)


def _norm(X: Array, axis: int | tuple[int, ...]) -> Array:
    """Root of the sum of squares, scaled so that no square overflows or vanishes."""
    xp = namespace(X)
    size = xp.abs(X)
    top = largest(size, axis)
    scale = xp.where(top == 0, 1.0, xp.where(top == xp.inf, xp.finfo(size.dtype).max, top))
    return xp.squeeze(scale, axis=axis) * xp.sqrt(xp.sum((size / scale) ** 2, axis=axis))


def column_norm(X: Array) -> Array:
    """Euclidean norm of every column."""
    return _norm(X, -2)


def matrix_norm(X: Array) -> Array:
    """Frobenius norm of every matrix of the batch."""
    return _norm(X, (-2, -1))
