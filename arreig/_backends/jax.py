"""JAX arrays, and the tracers that stand for them."""

from typing import Any, NoReturn

import jax

from .._errors import InputTypeError
from .._types import Array, EigPair
from .standard import StandardBackend


@jax.custom_jvp
def _untracked(A: Array) -> Array:
    return A


@_untracked.defjvp
def _refused(primals: Any, tangents: Any) -> NoReturn:
    raise InputTypeError(
        "A is tracked for differentiation, and JAX's own derivative of a decomposition knows neither arreig's gauge nor its "
        "checks: pass jax.lax.stop_gradient(A), and give JAX the gradient that arreig's vjp computes by jax.custom_vjp"
    )


class JaxBackend(StandardBackend):
    """JAX, on any of its devices on which it has eig.

    Whether JAX differentiates is not seen in A: under jit that comes later. So A goes through a function without a derivative.
    """

    def readable(self, X: Array, /) -> bool:
        return not isinstance(X, jax.core.Tracer)

    def constant(self, X: Array, /) -> Array:
        return jax.lax.stop_gradient(X)

    def eig(self, A: Array, /) -> EigPair:
        return super().eig(_untracked(A))

    def eigh(self, A: Array, /) -> EigPair:
        return super().eigh(_untracked(A))

    def eigvalsh(self, A: Array, /) -> Array:
        return super().eigvalsh(_untracked(A))


BACKEND = JaxBackend()
