"""JAX arrays, and the tracers that stand for them."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from .._errors import InputTypeError
from .._types import Array, EigPair
from .standard import StandardBackend, as_tuple, warn_of_transfer


@jax.custom_jvp
def _untracked(A: Array) -> Array:
    return A


@_untracked.defjvp
def _refused(primals: Any, tangents: Any) -> NoReturn:
    raise InputTypeError(
        "a matrix is tracked for differentiation, and JAX's own derivative of a decomposition knows neither arreig's gauge nor "
        "its checks: use the same function of arreig_jax, which JAX differentiates, or pass jax.lax.stop_gradient of the matrix"
    )


def _on_cpu(X: Array) -> bool:
    return not isinstance(X, jax.core.Tracer) and all(device.platform == "cpu" for device in X.devices())


class JaxBackend(StandardBackend):
    """JAX, on any of its devices on which it has eig.

    Whether JAX differentiates is not seen in A: under jit that comes later. So A goes through a function without a derivative.
    """

    def readable(self, X: Array, /) -> bool:
        return not isinstance(X, jax.core.Tracer)

    def constant(self, X: Array, /) -> Array:
        return jax.lax.stop_gradient(X)

    def solver_eig(self, A: Array, /) -> tuple[Array, Array]:
        return super().solver_eig(_untracked(A))

    def eigh(self, A: Array, /) -> EigPair:
        return super().eigh(_untracked(A))

    def eigvalsh(self, A: Array, /) -> Array:
        return super().eigvalsh(_untracked(A))

    def away(self, X: Array, /) -> str | None:
        return None if _on_cpu(X) else "JAX"

    def to_host(self, X: Array, /) -> Any:
        return np.asarray(X)

    def from_host(self, x: Any, like: Array, /) -> Array:
        return jax.device_put(x, like.device)

    def on_host(
        self, function: Callable[..., Any], results: Sequence[tuple[tuple[int, ...], Any]], /, *arrays: Array
    ) -> tuple[Array, ...]:
        if jax.default_backend() != "cpu" and not all(map(_on_cpu, arrays)):
            warn_of_transfer("JAX")
        arrays = tuple(map(_untracked, arrays))
        if all(map(self.readable, arrays)):
            return super().on_host(function, results, *arrays)
        shapes = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in results)
        out = jax.pure_callback(
            lambda *x: as_tuple(function(*map(np.asarray, x))), shapes, *arrays, vmap_method="broadcast_all"
        )
        return tuple(out)


BACKEND = JaxBackend()
