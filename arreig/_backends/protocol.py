"""What a library has to supply."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .._types import Array, EigPair


class Factor(Protocol):
    """A factorised V: solve often, factorise once. Where V is exactly singular the results are NaN, or huge."""

    def solve(self, X: Array, /) -> Array:
        """V^-1 X."""

    def solve_adjoint(self, X: Array, /) -> Array:
        """V^-H X."""

    def inverse_adjoint(self) -> Array:
        """V^-H."""


class Backend(Protocol):
    """What the public functions ask of a library."""

    def admit(self, name: str, X: Array, /) -> Array:
        """X, the argument of that name, as the plain array that the library's linear algebra works on."""

    def tracked(self, X: Array, /) -> str | None:
        """If the library is recording what happens to X, to differentiate it: what to do instead of handing X to arreig."""

    def readable(self, X: Array, /) -> bool:
        """Whether X has numbers that Python can read: not so under a tracer."""

    def constant(self, X: Array, /) -> Array:
        """X, which the library then does not differentiate."""

    def number(self, X: Array, /) -> complex:
        """The value of a zero-dimensional X."""

    def eig(self, A: Array, /) -> EigPair:
        """Eigenvalues and eigenvectors, both complex; conjugate pairs of a real A are neighbours, +imag first."""

    def eigh(self, A: Array, /) -> EigPair:
        """Ascending eigenvalues and orthonormal eigenvectors of a Hermitian A."""

    def eigvalsh(self, A: Array, /) -> Array:
        """Ascending eigenvalues of a Hermitian A."""

    def factorise(self, V: Array, /) -> Factor:
        """V, ready to solve with."""

    def to_host(self, X: Array, /) -> Any:
        """X as a NumPy array."""

    def from_host(self, x: Any, like: Array, /) -> Array:
        """A NumPy array in the library and on the device of another array."""

    def on_host(
        self, function: Callable[..., Any], results: Sequence[tuple[tuple[int, ...], Any]], /, *arrays: Array
    ) -> tuple[Array, ...]:
        """Results of a function of NumPy arrays, called with these arrays on the host, back on their device.

        results: their shapes and dtypes, of this library, for a tracer to know; other calls take what comes.
        """
