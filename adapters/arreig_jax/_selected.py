"""A few eigenpairs as operations of JAX, to first order, on the host.

arreig computes there, with ARPACK and sparse factorisations; under a tracer by a callback, which must not raise: it gives NaN.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, NoReturn, TypeAlias

import jax
import numpy as np
import scipy.sparse

from arreig import ArreigError, Functional, InputTypeError, eigs, eigs_jvp, eigs_vjp, eigsh, eigsh_jvp, eigsh_vjp

from ._admit import refuse_tracked_z
from ._operation import Arrays, Linear, Operation, Parts, Shapes, Tell

Host: TypeAlias = np.ndarray[Any, Any]

_FUNCTIONS = {
    False: {"value": eigs, "jvp": eigs_jvp, "vjp": eigs_vjp},
    True: {"value": eigsh, "jvp": eigsh_jvp, "vjp": eigsh_vjp},
}


class Entries(NamedTuple):
    """A matrix by the arrays that JAX knows: all of its entries, or some with their indices (nse, 2)."""

    values: Any
    indices: Any

    def of(self, n: int, values: Any) -> Any:
        """The matrix of these values, for arreig."""
        if self.indices is None:
            return values
        inside = self._inside(n)
        return scipy.sparse.coo_array((values[inside], tuple(self.indices[inside].T)), shape=(n, n))

    def gradient(self, n: int, g: Any) -> Host:
        """Of the values."""
        if self.indices is None:
            return np.asarray(g)
        out: Host = np.zeros_like(self.values)
        out[self._inside(n)] = g.data
        return out

    def _inside(self, n: int) -> Any:
        """BCOO pads with indices beyond the matrix."""
        return (self.indices < n).all(axis=-1)


@dataclass(frozen=True)
class Selected:
    """Which eigenpairs of which kind of matrix, with arreig's options."""

    hermitian: bool
    n: int
    k: int
    options: tuple[tuple[str, Any], ...]

    def call(self, which: str, *args: Any, B: Entries | None, z: Any, **more: Any) -> Any:
        """A function of arreig with these options."""
        options = dict(self.options)
        if z is not None:
            options["gauge"] = Functional(z)
        function: Any = _FUNCTIONS[self.hermitian][which]
        return function(*args, k=self.k, B=None if B is None else B.of(self.n, B.values), **options, **more)


@dataclass(frozen=True)
class _OnHost(Operation):
    selected: Selected
    tell: Tell | None = None

    @abstractmethod
    def one(self, *parts: Parts) -> Arrays:
        """Results for one matrix, of NumPy."""

    def compute(self, *parts: Parts) -> Arrays:
        return self._each(self.one, *parts)

    def compiled(self, *parts: Parts) -> Arrays:
        shapes = self.shapes(*parts)
        lead = _lead(parts)
        single = [jax.ShapeDtypeStruct(s.shape[len(lead) :], s.dtype) for s in shapes]

        def one(*parts: Parts) -> Arrays:
            try:
                return self.one(*parts)
            except ArreigError as error:
                if self.tell is not None:
                    self.tell(error)
                return tuple(np.full(s.shape, np.nan, dtype=s.dtype) for s in single)  # type: ignore[misc]

        out = jax.pure_callback(partial(self._each, one), tuple(shapes), *parts)
        return tuple(out)

    def _each(self, one: Callable[..., Arrays], *parts: Parts) -> Arrays:
        """one, for every matrix of the axes that vmap has added."""
        parts, lead = jax.tree.map(np.asarray, parts), _lead(parts)
        if not lead:
            return one(*parts)
        rows = [one(*jax.tree.map(lambda x, i=i: x[i], parts)) for i in np.ndindex(*lead)]
        return tuple(np.stack(x).reshape(*lead, *x[0].shape) for x in zip(*rows, strict=True))  # type: ignore[misc]


def _lead(parts: tuple[Parts, ...]) -> tuple[int, ...]:
    A: Entries = parts[0][0]
    return tuple(A.values.shape[: A.values.ndim - (2 if A.indices is None else 1)])


@dataclass(frozen=True)
class Eigenpairs(_OnHost):
    """A, B, z, v0 -> w, V."""

    def one(self, *parts: Parts) -> Arrays:
        ((A, B, z, v0),) = parts
        w, V = self.selected.call("value", A.of(self.selected.n, A.values), B=B, z=z, v0=v0)
        return w, V

    def shapes(self, *parts: Parts) -> Shapes:
        ((A, B, *_),), lead = parts, _lead(parts)
        dtype = np.result_type(*(X.values.dtype for X in (A, B) if X is not None))
        values = np.finfo(dtype).dtype
        if not self.selected.hermitian:
            dtype = values = np.result_type(dtype, np.complex64)
        n, k = self.selected.n, self.selected.k
        return jax.ShapeDtypeStruct((*lead, k), values), jax.ShapeDtypeStruct((*lead, n, k), dtype)

    def jvp(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> tuple[Arrays, Parts]:
        ((A, B, z, _),), ((dA, dB, dz, dv0),) = parts, tangents
        refuse_tracked_z(dz)
        if dv0 is not None:
            raise InputTypeError("v0 is a start and no parameter, but it is tracked: pass jax.lax.stop_gradient(v0)")
        out = self(*parts)
        moved = dA.values, None if dB is None else dB.values
        if moved == (None, None):
            return out, (None, None)
        return out, EigenpairsTangent(self.selected, self.tell)((A, B, z, *out), moved)


@dataclass(frozen=True)
class _First(_OnHost, Linear):
    def along(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> NoReturn:
        raise ArreigError(
            "eigs and eigsh have first derivatives, and this would be a second one. Of a matrix that is small enough to be dense "
            "arreig_jax.eig and eigh have derivatives of every order; of a large one take differences of gradients"
        )


@dataclass(frozen=True)
class EigenpairsTangent(_First):
    """The tangents of the values of A and B -> dw, dV."""

    @property
    def adjoint(self) -> "EigenpairsCotangent":
        return EigenpairsCotangent(self.selected, self.tell)

    def one(self, *parts: Parts) -> Arrays:
        ((A, B, z, w, V), (dA, *others)), n = parts, self.selected.n
        dB = others[0] if others else None
        more = {} if dB is None else {"dB": B.of(n, dB)}
        dA = A.of(n, np.zeros_like(A.values) if dA is None else dA)
        dw, dV = self.selected.call("jvp", A.of(n, A.values), dA, B=B, z=z, eigensystem=(w, V), **more)
        return dw, dV

    def shapes(self, *parts: Parts) -> Shapes:
        (*_, w, V), _ = parts
        return w, V


@dataclass(frozen=True)
class EigenpairsCotangent(_First):
    """gw, gV -> the cotangents of the values of A and, with B, of B."""

    @property
    def adjoint(self) -> "EigenpairsTangent":
        return EigenpairsTangent(self.selected, self.tell)

    def one(self, *parts: Parts) -> Arrays:
        ((A, B, z, w, V), (gw, gV)), n = parts, self.selected.n
        g = self.selected.call("vjp", A.of(n, A.values), gV, gw, B=B, z=z, eigensystem=(w, V))
        if B is None:
            return (A.gradient(n, g),)
        return A.gradient(n, g[0]), B.gradient(n, g[1])

    def shapes(self, *parts: Parts) -> Shapes:
        (A, B, *_), _ = parts
        return (A.values,) if B is None else (A.values, B.values)
