"""A matrix known by its products with vectors of an array library, for SciPy."""

from collections.abc import Callable

import numpy as np
import scipy.sparse.linalg as linalg

from .._array_api import namespace
from .._errors import InputError, InputTypeError, NonFiniteError, kind
from .._types import Array, Products
from . import backend_for
from .pencil import Host, generic
from .sources import ROOT, Source, in_library, precision
from .standard import warn_of_host


class LibraryOperator(Source):
    """Products of a library. Vectors go there as copies: a function may write on what it is given."""

    title = "a linear operator"

    def __init__(self, name: str, A: Products) -> None:
        self._name, self._like, self._backend = name, A.like, backend_for(A.like)
        library = self._backend.away(A.like)
        if library is not None:
            warn_of_host(library)
        self.family = type(A.like).__module__.partition(".")[0]
        self.single, self.real = precision(self._backend.to_host(A.like).dtype)
        self.shape = (A.n, A.n)
        product = self._on_host(A.product)
        adjoint = None if A.adjoint is None else self._on_host(A.adjoint)
        self.host = linalg.LinearOperator(
            self.shape, matvec=product, rmatvec=adjoint, dtype=np.float64 if self.real else np.complex128
        )
        self._require_linear(product)

    def _on_host(self, function: Callable[[Array], Array]) -> Callable[[Host], Host]:
        def product(x: Host) -> Host:
            if self.real and np.iscomplexobj(x):
                return product(x.real) + 1j * product(x.imag)
            x = np.array(x, dtype=np.float64 if self.real else np.complex128).reshape(-1)
            X = self._backend.from_host(x, self._like)
            y = function(X)
            try:
                same = namespace(y) is namespace(X) and y.dtype == X.dtype
            except TypeError:
                same = False
            if not same:
                raise InputTypeError(
                    f"the product of {self._name} with a vector must come in double precision, as the vector does, "
                    f"{X.dtype}; got {y.dtype if hasattr(y, 'dtype') else kind(y)}"
                )
            if tuple(y.shape) != tuple(X.shape):
                raise InputError(
                    f"the product of {self._name} with a vector must have the vector's shape, {tuple(X.shape)}; got "
                    f"{tuple(y.shape)}"
                )
            return np.array(self._backend.to_host(y))

        return product

    def _require_linear(self, product: Callable[[Host], Host]) -> None:
        """Refuse what is no matrix: a bias, an activation, dropout."""
        x, y = generic(self.shape[0], 2).T
        Ax, Ay, both = product(x), product(y), product(x - y)
        if not np.isfinite(both).all():
            raise NonFiniteError(f"products of {self._name} with a vector must be finite, but are not")
        departure, size = np.linalg.norm(both - (Ax - Ay)), np.linalg.norm(Ax) + np.linalg.norm(Ay)
        if not departure <= ROOT * size:
            raise InputError(
                f"{self._name} must be linear, but {self._name}(x - y) differs from {self._name}(x) - {self._name}(y) by "
                f"{departure:.6g}, of {size:.6g}: has it a bias, is it random, or computed in single precision?"
            )

    def array(self, x: Host) -> Array:
        return self._backend.from_host(super().array(x), self._like)

    def vector(self, name: str, x: Array) -> Host:
        return in_library(name, x, self._like)
