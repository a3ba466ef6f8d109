"""Any library, through the functions of the array API standard alone."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .. import _order
from .._array_api import adjoint, device, is_complex, largest, namespace, promote_complex, roundoff
from .._errors import HostTransferWarning, warn
from .._types import Array, EigPair
from .protocol import DefinitePairs, Factor, PencilPairs, Shared


@dataclass(frozen=True, eq=False)
class SolveFactor:
    """The standard has no reusable factorisation: V is kept, and each solve factorises it again."""

    V: Array

    def _solve(self, M: Array, X: Array) -> Array:
        xp = namespace(M)
        # solve raises for a whole batch when one LU has a zero pivot; slogdet of the same matrix finds it without raising.
        singular = ~xp.isfinite(xp.linalg.slogdet(M).logabsdet)[..., None, None]
        return xp.where(singular, xp.nan, xp.linalg.solve(xp.where(singular, self._eye(), M), X))

    def _eye(self) -> Array:
        return namespace(self.V).eye(self.V.shape[-1], dtype=self.V.dtype, device=device(self.V))

    def solve(self, X: Array, /) -> Array:
        return self._solve(self.V, X)

    def solve_adjoint(self, X: Array, /) -> Array:
        return self._solve(adjoint(self.V), X)

    def inverse_adjoint(self) -> Array:
        return self.solve_adjoint(namespace(self.V).broadcast_to(self._eye(), self.V.shape))


def as_tuple(x: Any) -> tuple[Any, ...]:
    """What a function returns, as a tuple."""
    return x if isinstance(x, tuple) else (x,)


@cache
def warn_of_transfer(library: str) -> None:
    """Say once what `on_host` does to arrays of a GPU."""
    warn(
        HostTransferWarning(
            f"{library} has no ordered Schur form on a GPU: spectral_projector and invariant_subspace copy their arrays to the "
            f"host, use LAPACK there, and copy the results back. It is done at every call and said once"
        )
    )


@cache
def warn_of_host(library: str) -> None:
    """Say once what eigs and eigsh do with matrices of a GPU."""
    warn(
        HostTransferWarning(
            f"eigs and eigsh copy {library}'s matrices to the host and use ARPACK and SuperLU there, as do their derivatives; "
            f"the results are copied back. It is done at every call and said once"
        )
    )


class StandardBackend:
    """eig, eigh and solve of `xp.linalg`."""

    normalised = False  # the standard does not promise it

    def admit(self, name: str, X: Array, /) -> Array:
        return X

    def tracked(self, X: Array, /) -> str | None:
        return None

    def readable(self, X: Array, /) -> bool:
        return True

    def recorded(self, X: Array, /) -> bool:
        return False

    def at_hand(self, X: Array, /) -> bool:
        return False

    def seen_empty(self, where: Array, /) -> bool:
        return False

    def either(self, where: Array, yes: Callable[[], Any], no: Callable[[], Any], /) -> Any:
        return yes()

    def constant(self, X: Array, /) -> Array:
        return X

    def shared(self, *arrays: Array | None) -> Shared | None:
        return None

    def number(self, X: Array, /) -> complex:
        return complex(X)

    def eig(self, A: Array, /) -> EigPair:
        w, V = self.solver_eig(A)
        if A.shape[-1] in _order.SMALL:
            w, V = _order.in_small_order(w, V, not is_complex(A))
        return EigPair(promote_complex(w), promote_complex(V))

    def solver_eig(self, A: Array, /) -> tuple[Array, Array]:
        """Eigenpairs in the solver's order, real or complex."""
        # The standard promises no order; LAPACK, and what builds on it (also on GPUs), returns pairs of a real A as asked.
        w, V = namespace(A).linalg.eig(A)
        return w, V

    def eigh(self, A: Array, /) -> EigPair:
        return EigPair(*namespace(A).linalg.eigh(A))

    def eigvalsh(self, A: Array, /) -> Array:
        return namespace(A).linalg.eigvalsh(A)

    def eig_pencil(self, A: Array, B: Array, /) -> PencilPairs:
        C, rcond = self.reduced(A, B)
        w, V = map(promote_complex, self.solver_eig(C))
        return PencilPairs(w, namespace(w).ones_like(w), V, rcond)

    def eigh_definite(self, A: Array, B: Array, /) -> DefinitePairs:
        C, T, least = self.reduced_definite(A, B)
        w, X = self.eigh(C)
        return DefinitePairs(w, T @ X, least)

    def reduced(self, A: Array, B: Array, /) -> tuple[Array, Array]:
        xp, n = namespace(A), A.shape[-1]
        values = xp.linalg.svdvals(B)
        top = largest(values, -1)[..., 0]
        rcond = values[..., -1] / xp.where(top > 0, top, 1.0) if n else 1 + 0 * top
        singular = ~(rcond >= roundoff(A) ** 0.5)[..., None, None]
        # solve raises for a whole batch when one member is singular
        return xp.linalg.solve(xp.where(singular, xp.eye(n, dtype=B.dtype, device=device(B)), B), A), rcond

    def reduced_definite(self, A: Array, B: Array, /) -> tuple[Array, Array, Array]:
        # Not by Cholesky's method: it raises for a whole batch when one member is not positive definite, and shows no condition.
        xp, n = namespace(A), A.shape[-1]
        b, U = self.eigh(B)
        top = largest(xp.abs(b), -1)[..., 0]
        least = b[..., 0] / xp.where(top > 0, top, 1.0) if n else 1 + 0 * top
        least = xp.where(least > n * roundoff(A), least, xp.minimum(least, 0 * least))
        T = U / xp.sqrt(xp.where((least > 0)[..., None], b, 1.0))[..., None, :]
        C = adjoint(T) @ (A @ T)
        return (C + adjoint(C)) / 2, T, least

    def factorise(self, V: Array, /) -> Factor:
        return SolveFactor(V)

    def product(self, X: Array, Y: Array, /) -> Array:
        return X @ Y

    def blocks(self, shape: tuple[int, ...], /) -> Sequence[slice]:
        return [slice(0, shape[-2])]

    def by_rows(self, function: Callable[[slice], Array], shape: tuple[int, ...], /) -> Array:
        return function(slice(0, shape[-2]))

    def held(self, n: int, own_threads: bool, /) -> AbstractContextManager[None]:
        return nullcontext()

    def quiet(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def at_once(self, members: int, n: int, /) -> int:
        return members

    def run(self, function: Callable[[Any], Any], parts: Sequence[Any], /) -> list[Any]:
        return [function(part) for part in parts]

    def in_numbers(self, X: Array, /) -> bool:
        return False

    def spreads(self, members: int, n: int, /) -> bool:
        return False

    def spread(self, X: Array, /) -> Array:
        return X

    def away(self, X: Array, /) -> str | None:
        return None

    def to_host(self, X: Array, /) -> Any:
        return np.from_dlpack(X)

    def from_host(self, x: Any, like: Array, /) -> Array:
        return namespace(like).asarray(x, device=device(like))

    def on_host(
        self, function: Callable[..., Any], results: Sequence[tuple[tuple[int, ...], Any]], /, *arrays: Array
    ) -> tuple[Array, ...]:
        return tuple(self.from_host(x, arrays[0]) for x in as_tuple(function(*map(self.to_host, arrays))))


BACKEND = StandardBackend()
