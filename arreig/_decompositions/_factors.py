"""The gradient of a few eigenpairs: low rank factors, or the entries that the matrix has."""

from dataclasses import dataclass
from typing import Any

from .._array_api import adjoint
from .._backends.pencil import Host
from .._backends.sources import Source, Stored, source
from .._errors import InputError
from .._types import Array, FactorPair


class GradientFactors(FactorPair):
    """A gradient ``Y V^H`` by its factors, ``(Y, V)``, each of shape (n, m).

    A loss changes by ``dL = Re sum_j y_j^H dA v_j``. So the gradient with respect to parameters of an operator A(theta) takes one
    product a column: that of ``Re sum_j y_j^H (A(theta) v_j)`` with y_j and v_j held fixed.

    Of a real matrix the factors are real: a real eigenvalue has one column, a conjugate pair two (real and imaginary parts). For
    a Hermitian one they are those of the Hermitian part.
    """

    def to_dense(self) -> Array:
        """``Y V^H`` as a dense array, shape (n, n)."""
        return self.Y @ adjoint(self.V)

    def on_pattern(self, A: Any, /) -> Any:
        """``Y V^H`` at the entries that a sparse array stores, in its format; explicit zeros and duplicates are entries.

        Parameters
        ----------
        A : sparse array
            Of SciPy, torch or CuPy, as the factors are; only its pattern matters, and that it is complex if they are.
        """
        pattern, n = source("A", A), self.Y.shape[0]
        if not isinstance(pattern, Stored) or pattern.shape != (n, n):
            raise InputError(f"A must have entries and shape {(n, n)}, got {pattern.title} of shape {pattern.shape}")
        return pattern.gradient(pattern.vector("Y", self.Y), pattern.vector("V", self.V))


@dataclass(frozen=True, eq=False)
class Gradient:
    """A gradient on the host, for the matrix that it belongs to."""

    source: Source
    Y: Host
    V: Host

    def given(self, factors: bool) -> Any:
        """In the format of the matrix, or by its factors."""
        if isinstance(self.source, Stored) and not factors:
            return self.source.gradient(self.Y, self.V)
        return GradientFactors(self.source.array(self.Y), self.source.array(self.V))
