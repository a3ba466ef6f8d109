"""The B of A V = B V diag(w): scaled for the rules, told from singular, and factorised with V."""

from dataclasses import dataclass

from .._array_api import column_norm, is_complex, matrix_norm, namespace, nowhere, promote_complex, roundoff
from .._backends import Backend, Factor, backend_for
from .._backends.protocol import PencilPairs
from .._rules._pencil import Pencil
from .._types import Array
from . import _reports
from ._flags import Flag

# u |B| times this is a beta of rounding: of infinite eigenvalues at most 15 was seen (random matrices of order 4 to 200).
_INFINITE = 1e2
_SINGULAR = 1e3  # u |A| and u |B| times this are alpha and beta of a singular pencil: at most 57 was seen


def scaled(B: Array) -> Pencil:
    """B, made as large as the identity, as the pencil of finite eigenvalues."""
    xp, n = namespace(B), B.shape[-1]
    norm = matrix_norm(B) / max(n, 1) ** 0.5
    unit = backend_for(B).constant(2.0 ** xp.round(xp.log2(xp.where(norm > 0, norm, 1.0))))
    return Pencil(B / unit[..., None, None], unit, nowhere(xp.sum(B, axis=-2)))


def like(pencil: Pencil, B: Array) -> Pencil:
    """The same pencil with another B of the caller."""
    return pencil._replace(B=B / pencil.unit[..., None, None])


def with_values(pencil: Pencil, w: Array) -> tuple[Pencil, Array]:
    """The caller's eigenvalues in the pencil's unit, 0 where they are infinite."""
    xp = namespace(w)
    infinite = ~xp.isfinite(w)
    return pencil._replace(infinite=infinite), xp.where(infinite, 0.0, w) * pencil.unit[..., None]


def same_dtype(A: Array, B: Array) -> tuple[Array, Array]:
    """Both complex if one of them is."""
    return (promote_complex(A), promote_complex(B)) if is_complex(A) or is_complex(B) else (A, B)


def eigenpairs(A: Array, pencil: Pencil, backend: Backend, flags: list[Flag]) -> tuple[Pencil, Array, Array]:
    """The pencil with its infinite eigenvalues, w and V."""
    xp = namespace(A)
    pairs: PencilPairs = backend.eig_pencil(*same_dtype(A, pencil.B))
    u = roundoff(A)
    alpha, beta = xp.abs(pairs.alpha), xp.abs(pairs.beta)
    a, b = u * matrix_norm(A)[..., None], u * matrix_norm(pencil.B)[..., None]
    infinite = beta <= _INFINITE * b
    singular = (alpha <= _SINGULAR * a) & (beta <= _SINGULAR * b)
    flags += [_reports.ill_conditioned(pairs.rcond, "this library"), _reports.singular_pencil(singular)]
    w = xp.where(infinite, 0.0, pairs.alpha / xp.where(infinite, 1.0, pairs.beta))
    return pencil._replace(infinite=infinite), w, pairs.V


@dataclass(frozen=True, eq=False)
class ScaledFactor:
    """S = S' diag(s), S' of columns of norm 1 factorised: B v is small where w is large, and would spoil the pivoting."""

    factor: Factor
    s: Array

    @classmethod
    def of(cls, S: Array) -> "ScaledFactor":
        s = column_norm(S)
        s = namespace(S).where(s > 0, s, 1.0)
        return cls(backend_for(S).factorise(S / s[..., None, :]), s)

    def solve(self, X: Array, /) -> Array:
        return self.factor.solve(X) / self.s[..., :, None]

    def solve_adjoint(self, X: Array, /) -> Array:
        return self.factor.solve_adjoint(X / self.s[..., :, None])

    def inverse_adjoint(self) -> Array:
        return self.factor.inverse_adjoint() / self.s[..., None, :]
