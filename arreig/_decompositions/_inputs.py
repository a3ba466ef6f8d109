"""Checks of arguments: what can be seen from types, shapes and option names, without looking at a number."""

from typing import Any, Literal

from .. import _gauge
from .._array_api import device, is_complex, namespace
from .._backends import Backend, backend_for
from .._degeneracy import Degeneracy, Mask, Raise
from .._errors import InputError, InputTypeError
from .._errors import kind as kind  # adapters use it too
from .._gauge import Gauge
from .._perturb import Perturb
from .._split import Split
from .._types import Array

GAUGES: dict[str, Gauge] = {"canonical": _gauge.Canonical(), "phase-free": _gauge.PhaseFree(), "B-norm": _gauge.BNorm()}
DEGENERACIES: dict[str, Degeneracy] = {
    "raise": Raise(),
    "mask": Mask(),
    "split": Split(),
    "perturb": Perturb(),
}
# By type and dtype, as the namespaces in `_array_api`.
_admitted: set[tuple[type, Any]] = set()
_like: dict[tuple[type, Any, bool], Any] = {}
_DTYPES = "float32, float64, complex64, complex128"


def matrix(A: Array, name: str = "A") -> tuple[Array, Backend]:
    """A as ``(..., n, n)`` in one of the four dtypes, and its backend; integers become float64."""
    _library(name, A)
    backend = backend_for(A)
    A = _dtype(name, backend.admit(name, A))
    if A.ndim < 2:
        raise InputError(f"{name} must have at least two dimensions, (..., n, n); got shape {tuple(A.shape)}")
    if A.shape[-1] != A.shape[-2]:
        raise InputError(f"{name} must be square in its last two dimensions, (..., n, n); got shape {tuple(A.shape)}")
    return A, backend


def tracked(X: Array) -> bool:
    """Whether X's library is recording what happens to X, to differentiate it."""
    return backend_for(X).tracked(X) is not None


def untracked(name: str, X: Array) -> None:
    """Refuse X where its library expects to differentiate what arreig does with it."""
    advice = backend_for(X).tracked(X)
    if advice is not None:
        raise InputTypeError(
            f"{name} is tracked for differentiation, and arreig's functions return plain arrays, through which no derivative "
            f"flows: {advice}"
        )


def own(X: Array) -> Array:
    """A copy of what may be the caller's."""
    return namespace(X).asarray(X, copy=True)


def like(name: str, X: Array, shape: tuple[int, ...], A: Array, *, complex_allowed: bool) -> Array:
    """X as an array of the given shape in A's library, device and precision, complex if that is allowed."""
    xp = _same_library(name, X, A)
    here, there = device(X), device(A)
    if here != there and None not in (here, there):  # a tracer of jax.jit has none
        raise InputError(f"{name} must be on A's device: expected {there}, got {here}")
    X = _dtype(name, backend_for(X).admit(name, X))
    if tuple(X.shape) != shape:
        raise InputError(f"{name} must have shape {tuple(shape)}, got {tuple(X.shape)}")
    if is_complex(X) and not complex_allowed:
        raise InputTypeError(
            f"{name} must be real, because A and what it belongs to are real; got {X.dtype}. Pass its real part, or A in a "
            f"complex dtype"
        )
    return xp.astype(X, _dtype_like(A, complex_allowed), copy=False)


def _dtype_like(A: Array, complex_allowed: bool) -> Any:
    """The real, or the complex, dtype of A's precision."""
    key = type(A), A.dtype, complex_allowed
    if key not in _like:
        xp = namespace(A)
        single = A.dtype in (xp.float32, xp.complex64)
        real_dtype, complex_dtype = (xp.float32, xp.complex64) if single else (xp.float64, xp.complex128)
        _like[key] = complex_dtype if complex_allowed else real_dtype
    return _like[key]


def second(B: Array, A: Array) -> Array:
    """B of A V = B V diag(w) as an array of A's library, device, shape and precision, real or complex as it is."""
    xp = _same_library("B", B, A)
    if tuple(B.shape) != tuple(A.shape):
        raise InputError(
            f"B must have the shape of A, batch included, for neither is broadcast: expected {tuple(A.shape)}, got "
            f"{tuple(B.shape)}"
        )
    B = backend_for(A).admit("B", B)
    converted = like("B", B, tuple(A.shape), A, complex_allowed=is_complex(B))
    if converted.dtype != B.dtype and not _is_integer(xp, B.dtype):
        raise InputTypeError(f"B must have the precision of A, {A.dtype}, got {B.dtype}; convert one of them")
    return converted


def given(name: str, X: Array | None) -> Array:
    """X, which must not be None."""
    if X is None:
        raise InputTypeError(f"{name} must be an array, got None")
    return X


def gauge(option: object, A: Array, *, complex_vectors: bool, metric: bool = False) -> Gauge:
    """The gauge an option names, checked against A ``(..., n, n)``; metric: whether there is a positive definite B."""
    chosen = GAUGES.get(option) if isinstance(option, str) else option
    if not isinstance(chosen, Gauge):
        first = "'B-norm', " * metric
        raise InputError(
            f"gauge must be {first}'canonical', 'phase-free', arreig.Component(m) or arreig.Functional(z); got {option!r}"
        )
    if isinstance(chosen, _gauge.BNorm) and not metric:
        raise InputError(
            "gauge='B-norm' sets v^H B v to 1, which needs the positive definite B of eigh or eigsh; use 'canonical', "
            "'phase-free', arreig.Component(m) or arreig.Functional(z)"
        )
    if isinstance(chosen, _gauge.Component) and (n := A.shape[-1]) and not -n <= chosen.m < n:
        raise InputError(f"Component({chosen.m}) names no component of vectors of length {n}")
    if isinstance(chosen, _gauge.Functional):
        shape, target = tuple(chosen.z.shape), tuple(A.shape[:-1])
        if not _broadcasts(shape, target):
            raise InputError(f"Functional(z): z must have shape ({target[-1]},) or broadcast to {target}, got {shape}")
        like("Functional's z", chosen.z, shape, A, complex_allowed=complex_vectors)
    return chosen


def _broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    return (
        0 < len(shape) <= len(target)
        and shape[-1] == target[-1]
        and all(s in (1, t) for s, t in zip(shape[::-1], target[::-1], strict=False))
    )


def degeneracy(option: object) -> Degeneracy:
    """The policy an option names."""
    chosen = DEGENERACIES.get(option) if isinstance(option, str) else option
    if not isinstance(chosen, Degeneracy):
        raise InputError(
            f"degeneracy must be 'raise', 'mask', 'split', 'perturb', arreig.Split(...), Perturb(delta) or Broaden(eps); got "
            f"{option!r}"
        )
    return chosen


def sort(option: object) -> str | None:
    """A sort option."""
    if option is None or (isinstance(option, str) and option in ("abs", "real")):
        return option
    raise InputError(f"sort must be None, 'abs' or 'real'; got {option!r}")


def refine(option: object) -> Literal["auto"] | int:
    """A number of refinement steps, or "auto"."""
    if option == "auto" and isinstance(option, str):
        return "auto"
    if isinstance(option, int) and option is not True and option >= 0:
        return int(option)
    raise InputError(f"refine must be 'auto', False or a number of steps; got {option!r}")


def switch(name: str, option: object) -> bool:
    """A switch."""
    if not isinstance(option, bool):
        raise InputError(f"{name} must be True or False; got {option!r}")
    return option


def _library(name: str, X: Any) -> Any:
    try:
        return namespace(X)
    except TypeError:
        raise InputTypeError(
            f"{name} must be a dense array of an array library, got {kind(X)}; for NumPy use numpy.asarray({name}), of a "
            f"sparse matrix its toarray()"
        ) from None


def _same_library(name: str, X: Array, A: Array) -> Any:
    xp = _library(name, X)
    if xp is not namespace(A):
        advice = backend_for(X).tracked(X)
        raise InputTypeError(
            f"{name} must come from A's library: expected {kind(A)}, got {kind(X)}"
            + (f", which is tracked for differentiation: {advice}" if advice else "")
        )
    return xp


def _dtype(name: str, X: Array) -> Array:
    key = type(X), X.dtype
    if key in _admitted:
        return X
    xp = namespace(X)
    if X.dtype in (xp.float32, xp.float64, xp.complex64, xp.complex128):
        _admitted.add(key)
        return X
    if _is_integer(xp, X.dtype):
        return xp.astype(X, xp.float64)
    raise InputTypeError(
        f"{name} must have one of the dtypes {_DTYPES} (integers are converted to float64), got {X.dtype}; "
        f"convert it to the precision you want"
    )


def _is_integer(xp: Any, dtype: Any) -> bool:
    try:
        return bool(xp.isdtype(dtype, "integral"))
    except (TypeError, ValueError):  # dtypes that the standard does not know
        return False
