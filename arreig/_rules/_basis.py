"""The eigenvectors as the basis that a rule computes in: in complex arithmetic, or, for a real matrix, in real arithmetic.

A rule handles two kinds of matrices. Those whose columns belong to eigenpairs, as V, a cotangent of V, or Y do: `columns` makes
them, `array` takes them back. And coefficients, one for a pair of eigenvectors, as V^H X and F o P are. Both are written as the
basis has them; a rule does no arithmetic on them but sums, and what a basis offers.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from .._array_api import (
    adjoint,
    cached_property,
    column_dot,
    column_norm,
    column_square,
    device,
    diagonal,
    diagonal_matrix,
    imag,
    namespace,
    promote_complex,
    real,
)
from .._gauge import Gauge, without
from .._types import Array
from ._pencil import Pencil


class Arithmetic(Protocol):
    """How a library multiplies, and computes by blocks of rows where that is faster."""

    def product(self, X: Array, Y: Array, /) -> Array:
        """X Y."""

    def blocks(self, shape: tuple[int, ...], /) -> Sequence[slice]:
        """Rows of an array of that shape, a block each."""

    def by_rows(self, function: Callable[[slice], Array], shape: tuple[int, ...], /) -> Array:
        """An array of that shape, whose rows [..., rows, :] are function(rows), of every block."""


class Factor(Protocol):
    """V, or what stands in its place on the left, factorised."""

    def solve(self, X: Array, /) -> Array:
        """V^-1 X."""

    def solve_adjoint(self, X: Array, /) -> Array:
        """V^-H X."""

    def inverse_adjoint(self) -> Array:
        """V^-H."""


@dataclass(frozen=True, eq=False)
class Inverse:
    """V^-H itself."""

    W: Array
    arithmetic: Arithmetic

    def solve(self, X: Array, /) -> Array:
        """V^-1 X."""
        return self.arithmetic.product(adjoint(self.W), X)

    def solve_adjoint(self, X: Array, /) -> Array:
        """V^-H X."""
        return self.arithmetic.product(self.W, X)

    def inverse_adjoint(self) -> Array:
        """V^-H."""
        return self.W


class Basis(ABC):
    """Eigenvectors V and their left ones, W^H = V^-1, with B that of `_pencil`."""

    pencil: Pencil | None
    V: Array  # as columns
    arithmetic: Arithmetic

    @abstractmethod
    def columns(self, X: Array, /) -> Array:
        """A complex X whose columns belong to eigenpairs."""

    @abstractmethod
    def array(self, X: Array, /) -> Array:
        """The complex matrix that such columns are."""

    @abstractmethod
    def values(self, x: Array, /) -> Array:
        """Cotangents (..., n) of eigenvalues, complex, as far as they count."""

    @abstractmethod
    def together(self, x: Array, /) -> Array:
        """For every vector the largest of the nonnegative numbers (..., n) of those that move with it."""

    @abstractmethod
    def joint(self, turns: Array, /) -> Array:
        """Derivatives (..., n) of a loss by the phases, of vectors that turn together by the common one."""

    @abstractmethod
    def matrix(self, A: Array, /) -> Array:
        """A in the dtype of columns, to multiply them from the left."""

    def product(self, X: Array, Y: Array, /) -> Array:
        """X Y."""
        return self.arithmetic.product(X, Y)

    @abstractmethod
    def norm(self, X: Array, /) -> Array:
        """Norms (..., n) of columns."""

    @abstractmethod
    def along(self, X: Array, /) -> Array:
        """v_j^H x_j (..., n), complex."""

    @abstractmethod
    def multiples(self, c: Array, /) -> Array:
        """Columns c_j v_j, c (..., n) complex."""

    @abstractmethod
    def scaled(self, X: Array, c: Array, /) -> Array:
        """Columns c_j x_j, c (..., n) complex."""

    @abstractmethod
    def weights(self, F: Array, /) -> Any:
        """Complex weights F (..., n, n) of coefficients, ready for `weighted`."""

    @abstractmethod
    def weighted(self, F: Any, P: Array, /) -> Array:
        """F o P, of coefficients P."""

    @abstractmethod
    def weighed_rows(self, x: Array, P: Array, w: Array, rows: slice, floor: Array, /) -> tuple[Array, Array]:
        """Rows of diag(x) + conj(F) o P, F_ij = conj(d)/(|d|^2 + floor), d = w_j - w_i, F_ii = 0, and |F_ij|^2 (..., rows, n)."""

    @abstractmethod
    def with_diagonal(self, P: Array, x: Array, /) -> Array:
        """P + diag(x), of coefficients P with a diagonal of 0."""

    @abstractmethod
    def projected(self, gauge: Gauge, V: Array, G: Array, /) -> Array:
        """The gauge's adjoint gh of cotangents G of V, both columns of the basis."""

    @abstractmethod
    def diagonal(self, P: Array, /) -> Array:
        """The diagonal (..., n) of coefficients, complex."""

    @abstractmethod
    def coefficients(self, P: Array, /) -> Array:
        """Coefficients as a complex matrix."""

    @abstractmethod
    def combined(self, P: Array, /) -> Array:
        """V P, columns from coefficients."""

    @abstractmethod
    def tested(self, X: Array, /) -> Array:
        """V^H X, coefficients from columns."""

    @abstractmethod
    def solve(self, X: Array, /) -> Array:
        """W^H X, coefficients from columns."""

    @abstractmethod
    def solve_adjoint(self, P: Array, /) -> Array:
        """W P, columns from coefficients."""

    @abstractmethod
    def outer(self, Y: Array, /) -> Array:
        """Y V^H."""

    @abstractmethod
    def solve_outer(self, X: Array, /) -> Array:
        """W X^H of columns X."""

    @abstractmethod
    def left_seen(self, Z: Array, /) -> Array:
        """Z^H W, as columns, of a few vectors Z (n, k)."""

    @abstractmethod
    def some(self, where: Array, /) -> "Basis":
        """That of the members (N,) of a batch (N,), of an `inverted` one."""

    @abstractmethod
    def inverted(self, W: Array, /) -> "Basis":
        """The same basis with the inverse, given by its `left`, for the factorisation."""

    @property
    @abstractmethod
    def left(self) -> Array:
        """W, as columns; where V is exactly singular NaN, or huge."""

    @cached_property
    def lengths(self) -> Array:
        """||v_j|| (..., n)."""
        return self.norm(self.V)

    @cached_property
    @abstractmethod
    def squares(self) -> Array:
        """||v_j||^2 (..., n), smooth also where entries vanish."""


@dataclass(frozen=True, eq=False)
class ComplexBasis(Basis):
    """Columns and coefficients as they are."""

    V: Array
    factor: Factor
    arithmetic: Arithmetic
    pencil: Pencil | None = None

    def columns(self, X: Array, /) -> Array:
        return X

    def array(self, X: Array, /) -> Array:
        return X

    def values(self, x: Array, /) -> Array:
        return x

    def together(self, x: Array, /) -> Array:
        return x

    def joint(self, turns: Array, /) -> Array:
        return turns

    def matrix(self, A: Array, /) -> Array:
        return promote_complex(A)

    def norm(self, X: Array, /) -> Array:
        return column_norm(X)

    def along(self, X: Array, /) -> Array:
        return column_dot(self.V, X)

    def multiples(self, c: Array, /) -> Array:
        return self.V * c[..., None, :]

    @cached_property
    def squares(self) -> Array:
        return column_square(self.V)

    def scaled(self, X: Array, c: Array, /) -> Array:
        return X * c[..., None, :]

    def weights(self, F: Array, /) -> Any:
        return F

    def weighted(self, F: Any, P: Array, /) -> Array:
        return F * P

    def weighed_rows(self, x: Array, P: Array, w: Array, rows: slice, floor: Array, /) -> tuple[Array, Array]:
        d = w[..., None, :] - w[..., rows, None]
        xp = namespace(d)
        i = xp.arange(d.shape[-1], device=device(d))
        own = i[rows, None] == i
        F2 = 1 / xp.where(own, xp.inf, real(d) ** 2 + imag(d) ** 2 + floor)
        return xp.where(own, x[..., rows, None], P[..., rows, :] * (d * F2)), F2

    def with_diagonal(self, P: Array, x: Array, /) -> Array:
        return P + diagonal_matrix(x)

    def projected(self, gauge: Gauge, V: Array, G: Array, /) -> Array:
        along, pattern, t = gauge.cotangent_parts(V, self.squares, self.along(G))

        def of_rows(rows: slice) -> Array:
            M = None if pattern is None else rows_of(pattern, rows)
            return without((along, M, t), rows_of(V, rows), rows_of(G, rows))

        return self.arithmetic.by_rows(of_rows, G.shape)

    def diagonal(self, P: Array, /) -> Array:
        return diagonal(P)

    def coefficients(self, P: Array, /) -> Array:
        return P

    def combined(self, P: Array, /) -> Array:
        return self.product(self.V, P)

    def tested(self, X: Array, /) -> Array:
        return self.product(adjoint(self.V), X)

    def solve(self, X: Array, /) -> Array:
        return self.factor.solve(X)

    def solve_adjoint(self, P: Array, /) -> Array:
        return self.factor.solve_adjoint(P)

    def outer(self, Y: Array, /) -> Array:
        return self.product(Y, adjoint(self.V))

    def solve_outer(self, X: Array, /) -> Array:
        return self.factor.solve_adjoint(adjoint(X))

    def some(self, where: Array, /) -> Basis:
        return replace(self, V=self.V[where]).inverted(self.left[where])

    def inverted(self, W: Array, /) -> Basis:
        return replace(self, factor=Inverse(W, self.arithmetic))

    def left_seen(self, Z: Array, /) -> Array:
        return adjoint(self.factor.solve(repeated(Z, self.V)))

    @property
    def left(self) -> Array:
        return self.factor.inverse_adjoint()


def repeated(Z: Array, V: Array) -> Array:
    """Z for every member of the batch."""
    return namespace(V).broadcast_to(Z, (*V.shape[:-1], Z.shape[-1]))


def rows_of(X: Array, rows: slice) -> Array:
    """X[..., rows, :], and X itself if those are all: torch's older vmap has no view for that."""
    return X if rows == slice(0, X.shape[-2]) else X[..., rows, :]
