"""What a function of this package takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np

from arreig import ArreigError, Functional, InputError, InputTypeError
from arreig._decompositions import _inputs

from ._operation import Array, Tell

Check: TypeAlias = bool | Callable[[ArreigError], Any]


def admit(name: str, X: Any) -> Array:
    """X as a matrix that can be decomposed, in its precision; as in JAX, of NumPy too."""
    if not isinstance(X, jax.Array | np.ndarray):
        raise InputTypeError(
            f"{name} must be an array of JAX or NumPy, got {_inputs.kind(X)}; for arrays of other libraries use arreig"
        )
    X, _ = _inputs.matrix(inexact(jnp.asarray(X)), name)
    return cast(Array, X)


def inexact(X: Array) -> Array:
    """X; of integers in the precision that JAX is set to."""
    return X.astype(float) if jnp.issubdtype(X.dtype, jnp.integer) else X


def of_jax(gauge: Any) -> Any:
    """The gauge, a `Functional` of NumPy's array with JAX's."""
    return Functional(jnp.asarray(gauge.z)) if isinstance(gauge, Functional) else gauge


def refuse_tracked_z(dz: Array | None) -> None:
    """Refuse the tangent of a `Functional`'s z."""
    if dz is not None:
        raise InputTypeError(
            "Functional(z) holds z constant, but this z is tracked for differentiation, and its gradient would be lost: pass "
            "jax.lax.stop_gradient(z)"
        )


def checks(check: Check) -> tuple[bool, Tell | None]:
    """Whether to check, and what to tell an error that cannot be raised."""
    if callable(check):
        return True, partial(check)  # hashed by identity
    if not isinstance(check, bool):
        raise InputError(f"check must be True, False or a function that is told an error; got {check!r}")
    return check, None


def constant(name: str, function: Any, probe: Callable[[], Array]) -> Any:
    """A caller's function of JAX's arrays, if it is one and contains nothing that JAX traces."""
    if not callable(function):
        return function  # refused, or something else, where it is used
    with jax.ensure_compile_time_eval():
        y = function(probe())
    if isinstance(y, jax.core.Tracer):
        raise InputTypeError(
            f"{name} contains an array that JAX traces, and what it returns would depend on that without a derivative: let it "
            f"contain numbers of Python or NumPy, or put the array into A"
        )
    return OfJax(function)


@dataclass(frozen=True)
class OfJax:
    """A caller's function of JAX's arrays, also for arrays of NumPy."""

    function: Callable[[Any], Any]

    def __call__(self, x: Any) -> Any:
        if not isinstance(x, np.ndarray):
            return self.function(x)
        y = self.function(jnp.asarray(x))
        return np.asarray(y) if isinstance(y, jax.Array) and not isinstance(y, jax.core.Tracer) else y
