"""JAX arrays, and the tracers that stand for them."""

from collections.abc import Iterator

import jax

from .._types import Array
from .standard import StandardBackend

_DIFFERENTIATING = {"JVPTracer", "LinearizeTracer"}  # by name: the second has no public one


class JaxBackend(StandardBackend):
    """JAX, on any of its devices on which it has eig."""

    def tracked(self, X: Array, /) -> str | None:
        if not any(type(x).__name__ in _DIFFERENTIATING for x in _layers(X)):
            return None
        return (
            "pass jax.lax.stop_gradient of it, and give JAX the gradient that arreig's vjp computes by jax.custom_vjp"
        )

    def readable(self, X: Array, /) -> bool:
        return not isinstance(X, jax.core.Tracer)


def _layers(X: Array) -> Iterator[Array]:
    """X and the tracers inside it, one a transformation."""
    while isinstance(X, jax.core.Tracer):
        yield X
        X = getattr(X, "val", None)


BACKEND = JaxBackend()
