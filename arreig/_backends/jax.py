"""JAX arrays, and the tracers that stand for them."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from .._array_api import adjoint, diagonal, diagonal_matrix, roundoff
from .._errors import InputTypeError
from .._types import Array, EigPair
from .protocol import Factor
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


class LUFactor:
    """P L U = V^H, of V^H and with tiny numbers for vanishing pivots, for the reasons given in `lu`."""

    def __init__(self, V: Array) -> None:
        M = adjoint(V)
        lu, _, self._rows = jax.lax.linalg.lu(M)  # (P L U)[rows] = L U
        self._lu = lu + diagonal_matrix(jnp.where(diagonal(lu) == 0, roundoff(V) ** 2, 0.0))

    def _divided(self, X: Array, lower: bool, transposed: bool) -> Array:
        """X multiplied from the left by the inverse of L or U, or of its adjoint."""
        return jax.lax.linalg.triangular_solve(
            self._lu,
            X,
            left_side=True,
            lower=lower,
            transpose_a=transposed,
            conjugate_a=transposed,
            unit_diagonal=lower,
        )

    def solve(self, X: Array, /) -> Array:
        y = self._divided(self._divided(X, False, True), True, True)
        return jnp.take_along_axis(y, jnp.argsort(self._rows, axis=-1)[..., None], axis=-2)

    def solve_adjoint(self, X: Array, /) -> Array:
        y = jnp.take_along_axis(X, self._rows[..., None], axis=-2)
        return self._divided(self._divided(y, True, False), False, False)

    def inverse_adjoint(self) -> Array:
        return self.solve_adjoint(jnp.broadcast_to(jnp.eye(self._lu.shape[-1], dtype=self._lu.dtype), self._lu.shape))


class JaxBackend(StandardBackend):
    """JAX, on any of its devices on which it has eig.

    Whether JAX differentiates is not seen in A: under jit that comes later. So A goes through a function without a derivative.
    """

    def readable(self, X: Array, /) -> bool:
        return not isinstance(X, jax.core.Tracer)

    def recorded(self, X: Array, /) -> bool:
        return self.readable(X) and not self.readable(X + 0)

    def constant(self, X: Array, /) -> Array:
        return jax.lax.stop_gradient(X)

    def solver_eig(self, A: Array, /) -> tuple[Array, Array]:
        return super().solver_eig(_untracked(A))

    def eigh(self, A: Array, /) -> EigPair:
        return super().eigh(_untracked(A))

    def eigvalsh(self, A: Array, /) -> Array:
        return super().eigvalsh(_untracked(A))

    def factorise(self, V: Array, /) -> Factor:
        return LUFactor(V)

    def either(self, where: Array, yes: Callable[[], Any], no: Callable[[], Any], /) -> Any:
        if self.readable(where):
            return super().either(where, yes, no)
        return jax.lax.cond(jnp.any(where), yes, no)

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
