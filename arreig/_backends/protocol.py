"""What a library has to supply."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from .._types import Array, EigPair


class Factor(Protocol):
    """A factorised V: solve often, factorise once. Where V is exactly singular the results are NaN, or huge."""

    def solve(self, X: Array, /) -> Array:
        """V^-1 X."""

    def solve_adjoint(self, X: Array, /) -> Array:
        """V^-H X."""

    def inverse_adjoint(self) -> Array:
        """V^-H."""


class PencilPairs(NamedTuple):
    """Eigenpairs of A V = B V diag(w)."""

    alpha: Array  # (..., n) complex, w = alpha/beta; conjugate pairs of real A and B are neighbours, +imag first
    beta: Array  # (..., n), of the size of B where B v is not small, 0 or rounding where w is infinite
    V: Array  # (..., n, n), complex, of any scale and phase
    rcond: Array  # (...) 1/cond(B) where the pairs are as inaccurate as it is small, else 1


class DefinitePairs(NamedTuple):
    """Eigenpairs of A V = B V diag(w) for a Hermitian A and a positive definite B."""

    w: Array  # (..., n) ascending
    V: Array  # (..., n, n), V^H B V = I
    least: Array  # (...) not positive where B is not positive definite: its smallest eigenvalue relative to the largest


class Shared(NamedTuple):
    """Arrays of another library as NumPy's."""

    arrays: tuple[Any, ...]  # None for None
    backend: "Backend"  # for NumPy's arrays, with the eigensolvers of that library
    back: Callable[[Any], Array]  # a NumPy array as one of that library, in the same memory


class Backend(Protocol):
    """What the public functions ask of a library."""

    normalised: bool
    """Whether the vectors of `eig` have norm 1 up to rounding."""

    def admit(self, name: str, X: Array, /) -> Array:
        """X, the argument of that name, as the plain array that the library's linear algebra works on."""

    def tracked(self, X: Array, /) -> str | None:
        """If the library is recording what happens to X, to differentiate it: what to do instead of handing X to arreig."""

    def readable(self, X: Array, /) -> bool:
        """Whether X has numbers that Python can read: not so under a tracer."""

    def recorded(self, X: Array, /) -> bool:
        """Whether X has numbers, but what is computed with it now is a tracer's, and must not be kept for later."""

    def at_hand(self, X: Array, /) -> bool:
        """Whether X's numbers can be read, and that without waiting for a device."""

    def seen_empty(self, where: Array, /) -> bool:
        """Whether no entry of `where` is True, if that can be seen without waiting for a device; no otherwise."""

    def either(self, where: Array, yes: Callable[[], Any], no: Callable[[], Any], /) -> Any:
        """yes(), or, if no entry of `where` is True and the library can tell that where Python cannot read it, no()."""

    def constant(self, X: Array, /) -> Array:
        """X, which the library then does not differentiate."""

    def shared(self, *arrays: Array | None) -> "Shared | None":
        """The same memory as NumPy's arrays, if the library neither records nor maps what happens to it, now or later."""

    def number(self, X: Array, /) -> complex:
        """The value of a zero-dimensional X."""

    def eig(self, A: Array, /) -> EigPair:
        """Eigenvalues and eigenvectors of norm 1, both complex; of an A of order 2 or 3 in the order that `_order` says.

        Of a real A conjugate pairs are neighbours, +imag first, with conjugate vectors, and real eigenvalues have real vectors:
        derivatives are computed in real arithmetic, which relies on it.
        """

    def eigh(self, A: Array, /) -> EigPair:
        """Ascending eigenvalues and orthonormal eigenvectors of a Hermitian A."""

    def eigvalsh(self, A: Array, /) -> Array:
        """Ascending eigenvalues of a Hermitian A."""

    def eig_pencil(self, A: Array, B: Array, /) -> PencilPairs:
        """Eigenpairs of a general pencil, A and B of one dtype."""

    def eigh_definite(self, A: Array, B: Array, /) -> DefinitePairs:
        """Eigenpairs of a Hermitian-definite pencil, A and B of one dtype."""

    def reduced(self, A: Array, B: Array, /) -> tuple[Array, Array]:
        """B^-1 A, whose eigenpairs are those of the pencil, and 1/cond(B) (...); nothing where that is below sqrt(u)."""

    def reduced_definite(self, A: Array, B: Array, /) -> tuple[Array, Array, Array]:
        """T^H A T, T with T^H B T = I, and `DefinitePairs.least`: its eigenvectors X give those of the pencil, T X."""

    def factorise(self, V: Array, /) -> Factor:
        """V, ready to solve with."""

    def product(self, X: Array, Y: Array, /) -> Array:
        """X Y, for matrices of any batch, of one dtype."""

    def blocks(self, shape: tuple[int, ...], /) -> Sequence[slice]:
        """Rows of an array of that shape, as many in a block as are best computed with at a time."""

    def by_rows(self, function: Callable[[slice], Array], shape: tuple[int, ...], /) -> Array:
        """An array of that shape, whose rows [..., rows, :] are function(rows), of every block."""

    def held(self, n: int, own_threads: bool, /) -> AbstractContextManager[None]:
        """While products and factorisations of order n are made: keeps the library from threads that lose on such matrices.

        own_threads: and from all others, for `product` and `Factor` have their own.
        """

    def quiet(self) -> AbstractContextManager[Any]:
        """While results may overflow that are not used then: no warnings."""

    def at_once(self, members: int, n: int, /) -> int:
        """How many of the members of a batch of matrices of order n are best computed with at a time."""

    def run(self, function: Callable[[Any], Any], parts: Sequence[Any], /) -> list[Any]:
        """The function of every part of a batch, in their order; at the same time where that is faster."""

    def in_numbers(self, X: Array, /) -> bool:
        """Whether X is one matrix so small, and so near at hand, that Python computes faster with its numbers."""

    def spreads(self, members: int, n: int, /) -> bool:
        """Whether matrices of order n are so tiny, and so many, that products are best sums over the whole batch."""

    def spread(self, X: Array, /) -> Array:
        """X with its first axis, of members, fastest in memory."""

    def away(self, X: Array, /) -> str | None:
        """The library's name, if X is not in the host's memory."""

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
