"""spectral_projector and invariant_subspace for JAX, of every order.

Their derivatives are made of P, or Q, and of solutions of Sylvester equations, which are operations themselves.
"""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from arreig._decompositions._subspace import Select, Selection, Sylvester, unknown_count
from arreig._decompositions.subspace import CountOrder

from ._admit import Check, OfJax, admit, checks, constant
from ._operation import Array, Arrays, Linear, Operation, Parts, Shapes, Tell


@dataclass(frozen=True)
class Solution(Linear):
    """A, P or Q, T, U, count; C -> X of a Sylvester equation."""

    equation: Sylvester

    @property
    def adjoint(self) -> "Solution":
        return Solution(self.equation.adjoint)

    def compute(self, *parts: Parts) -> Arrays:
        (_, B, T, U, count), (C,) = parts
        return (self.equation.solve(B, C, T, U, count),)

    def shapes(self, *parts: Parts) -> Shapes:
        (_, _, T, _, _), (C,) = parts
        return (jax.ShapeDtypeStruct(C.shape, T.dtype),)

    def along(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> Arrays:
        (saved, (C,)), ((dA, dB, *_), (dC,)) = parts, tangents
        A, B, *_ = saved
        dA, dB, dC = (jnp.zeros_like(x) if dx is None else dx for x, dx in ((A, dA), (B, dB), (C, dC)))
        (X,) = self(*parts)
        return (self.equation.jvp(dA, dB, dC, A, B, C, X, _Solve(saved)),)


class _Solve:
    """Solutions of equations with one Schur form, for JAX to differentiate."""

    def __init__(self, saved: Parts) -> None:
        self.saved = saved

    def __call__(self, C: Array, /, *, equation: Sylvester) -> Array:
        A, out, *form = self.saved
        if isinstance(C, np.ndarray):
            return equation.solve(out, C, *form)
        return Solution(equation)((A.astype(out.dtype), out, *form), (C.astype(out.dtype),))[0]


@dataclass(frozen=True)
class Subspace(Operation):
    """A -> P or Q, T, U, count."""

    selection: Selection
    tell: Tell | None = None

    @property
    def calls_jax(self) -> bool:
        return callable(self.selection.select)

    def compute(self, *parts: Parts) -> Arrays:
        return self.selection.decompose(*parts[0])

    def shapes(self, *parts: Parts) -> Shapes:
        ((A,),) = parts
        out, count = A, jax.ShapeDtypeStruct(A.shape[:-2], jnp.int32)
        if not self.selection.projector:
            m = self.selection.count(A.shape[-1])
            if m is None:
                raise unknown_count()
            out = jax.ShapeDtypeStruct((*A.shape[:-1], m), A.dtype)
        return out, A, A, count

    def jvp(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> tuple[Arrays, Parts]:
        out = self(*parts)
        return out, (*SubspaceTangent(self.selection, self.tell)((*parts[0], *out), *tangents), None, None, None)

    def mapped(self) -> "Subspace":
        select = self.selection.select
        if not isinstance(select, OfJax):
            return self
        return replace(self, selection=replace(self.selection, select=OfJax(jax.vmap(select.function))))


@dataclass(frozen=True)
class SubspaceTangent(Linear):
    """dA -> dP or dQ."""

    selection: Selection
    tell: Tell | None = None

    @property
    def adjoint(self) -> "SubspaceCotangent":
        return SubspaceCotangent(self.selection, self.tell)

    def compute(self, *parts: Parts) -> Arrays:
        saved, (dA,) = parts
        return (self.selection.jvp(self.selection.again(*saved), dA, _Solve(saved)),)

    def shapes(self, *parts: Parts) -> Shapes:
        (_, out, *_), _ = parts
        return (out,)


@dataclass(frozen=True)
class SubspaceCotangent(Linear):
    """gP or gQ -> gA."""

    selection: Selection
    tell: Tell | None = None

    @property
    def adjoint(self) -> "SubspaceTangent":
        return SubspaceTangent(self.selection, self.tell)

    def compute(self, *parts: Parts) -> Arrays:
        saved, (g,) = parts
        return (self.selection.vjp(self.selection.again(*saved), g, _Solve(saved)),)

    def shapes(self, *parts: Parts) -> Shapes:
        (A, *_), _ = parts
        return (A,)


def _subspace(A: Any, select: Any, sort: Any, check: Check, projector: bool) -> Array:
    A = admit("A", A)
    check, tell = checks(check)
    select = constant("select", select, lambda: jnp.ones(A.shape[:-1], dtype=np.result_type(A.dtype, np.complex64)))
    selection = Selection(select, sort, check, projector)
    selection.count(A.shape[-1])  # refused here, whatever traces
    return Subspace(selection, tell)((A,))[0]


def spectral_projector(A: Array, select: Select, /, *, sort: CountOrder = None, check: Check = True) -> Array:
    """Spectral projector onto selected eigenvalues of a general matrix, also where it is defective, for JAX to differentiate.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `arreig_jax.eig`.
    select : callable or int
        As for `arreig.spectral_projector`. Under `jax.vmap` a function sees the eigenvalues of one matrix of the mapped axis.
    sort : {None, "abs", "real"}
        As for `arreig.spectral_projector`.
    check : bool or callable
        As for `arreig_jax.eig`.

    Returns
    -------
    Array, shape (..., n, n)
        As `arreig.spectral_projector`. Real for a real A; a selection that parts a conjugate pair is complex, and NaN under
        `jax.jit`, which must know that before: pass A in a complex dtype.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `arreig.spectral_projector`; NaN under `jax.jit`, as for `arreig_jax.eig`.

    Notes
    -----
    Derivatives of every order. It is computed on the host, under `jax.jit` by a callback.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, arreig_jax
    >>> A = jnp.array([[2.0, 1.0, 1.0], [0.0, 2.0, 3.0], [0.0, 0.0, 5.0]])
    >>> gA = jax.grad(lambda A: arreig_jax.spectral_projector(A, lambda w: abs(w) < 3)[0, 2])(A)  # of a Jordan block and 5
    >>> print(gA.round(4))
    [[-0.2222 -0.3333 -0.3333]
     [-0.0741 -0.1111 -0.1111]
     [ 0.4444  0.5556  0.3333]]
    """
    return _subspace(A, select, sort, check, projector=True)


def invariant_subspace(A: Array, select: Select, /, *, sort: CountOrder = None, check: Check = True) -> Array:
    """Orthonormal basis of the invariant subspace of selected eigenvalues, for JAX to differentiate.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `arreig_jax.eig`.
    select, sort, check
        As for `arreig_jax.spectral_projector`. Under `jax.jit` a count, which is a shape.

    Returns
    -------
    Array, shape (..., n, m)
        As `arreig.invariant_subspace`.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `arreig.invariant_subspace`; NaN under `jax.jit`, as for `arreig_jax.eig`.
    GaugeDependentLossError
        From the gradient: the loss depends on the basis. Forward mode gives the tangent with ``Q^H dQ = 0``, and cannot tell.

    Notes
    -----
    As for `arreig_jax.spectral_projector`.
    """
    return _subspace(A, select, sort, check, projector=False)
