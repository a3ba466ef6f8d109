"""Array type and the named tuples that results are made of."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

# The standard has no static array type yet (data-apis/array-api#589); NumPy's and torch's own annotations share no
# protocol that holds attributes such as `mT`, so any narrower type here would reject arrays that work.
Array: TypeAlias = Any

RefineOption: TypeAlias = Literal["auto"] | int
SortOption: TypeAlias = Literal["abs", "real"] | None


class EigPair(NamedTuple):
    """Eigenvalues ``(..., n)`` and right eigenvectors ``(..., n, n)``, one a column; of a few ``(k,)`` and ``(n, k)``."""

    eigenvalues: Array
    eigenvectors: Array


class FactorPair(NamedTuple):
    """Y and V ``(n, m)``, the factors of a gradient Y V^H."""

    Y: Array
    V: Array


class EigTriple(NamedTuple):
    """Eigenvalues, right eigenvectors V and left eigenvectors W = V^-H, one a column."""

    eigenvalues: Array
    eigenvectors: Array
    left_eigenvectors: Array


class Products(NamedTuple):
    """A matrix known by its products with vectors (n,) of an array library, for adapters.

    The products are in double precision: real for a real `like`, else complex.
    """

    n: int
    like: Array  # an empty array of the library, on the device and in the precision in which results are wanted
    product: Callable[[Array], Array]
    adjoint: Callable[[Array], Array] | None  # with A^H
