"""matrix_function for JAX, to second order.

Its derivative L(A, E) and the adjoint of that are linear in E; how they change with A is `Second`. There it ends: a third
derivative is refused.
"""

from dataclasses import dataclass
from typing import Any, NoReturn, cast

import jax
import jax.numpy as jnp
import numpy as np

from arreig import ArreigError
from arreig._decompositions import _inputs
from arreig._decompositions._function import FunctionProblem, MatrixFunction, ScalarFunction, elementwise
from arreig._decompositions.roots import LOG, SQRT

from ._admit import Check, OfJax, admit, checks, constant
from ._operation import Array, Arrays, Linear, Operation, Parts, Shapes, Tell


@dataclass(frozen=True)
class _OfFunction:
    problem: FunctionProblem
    tell: Tell | None = None

    @property
    def calls_jax(self) -> bool:
        return isinstance(self.problem.f, OfJax)

    def _again(self, saved: Parts) -> MatrixFunction:
        return self.problem.again(*saved[:3])


@dataclass(frozen=True)
class Second(_OfFunction, Linear):
    """A, w, V, E; dA -> how L(A, E), or starred its adjoint of E, changes; or, back, the adjoint of that."""

    starred: bool = False
    back: bool = False

    @property
    def calls_jax(self) -> bool:
        return True

    @property
    def adjoint(self) -> "Second":
        return Second(self.problem, self.tell, self.starred, not self.back)

    def compute(self, *parts: Parts) -> Arrays:
        saved, (x,) = parts
        function, E = self._again(saved), saved[3]
        rule = function.second_vjp if self.back else function.second_jvp
        return (rule(x, E, self._d2f, starred=self.starred),)

    def _d2f(self, z: Array) -> Array:
        return cast(Array, OfJax(lambda z: jax.jvp(self.problem.df, (z,), (jnp.ones_like(z),))[1])(z))

    def shapes(self, *parts: Parts) -> Shapes:
        (A, _, _, E), _ = parts
        return (A,) if self.back else (E,)

    def along(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> NoReturn:
        raise ArreigError("matrix_function has first and second derivatives, and this would be a third one")


@dataclass(frozen=True)
class FunctionTangent(_OfFunction, Linear):
    """A, w, V; dA -> dF."""

    @property
    def adjoint(self) -> "FunctionCotangent":
        return FunctionCotangent(self.problem, self.tell)

    def compute(self, *parts: Parts) -> Arrays:
        saved, (dA,) = parts
        return (self._again(saved).jvp(dA, []),)

    def shapes(self, *parts: Parts) -> Shapes:
        (_, _, V), _ = parts
        return (_value(self.problem, V),)

    def along(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> Arrays:
        (saved, (E,)), ((dA, *_), dE) = parts, tangents
        E = self._again(saved).direction(E)
        (ddF,) = Second(self.problem, self.tell)((*saved, E), (dA,))
        return (ddF,) if dE[0] is None else (ddF + self(saved, dE)[0],)


@dataclass(frozen=True)
class FunctionCotangent(_OfFunction, Linear):
    """A, w, V; gF -> gA."""

    @property
    def adjoint(self) -> "FunctionTangent":
        return FunctionTangent(self.problem, self.tell)

    def compute(self, *parts: Parts) -> Arrays:
        saved, (gF,) = parts
        return (self._again(saved).vjp(gF, []),)

    def shapes(self, *parts: Parts) -> Shapes:
        return (parts[0][0],)

    def along(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> Arrays:
        (saved, (gF,)), ((dA, *_), dgF) = parts, tangents
        (dL,) = Second(self.problem, self.tell, starred=True)((*saved, gF), (dA,))
        dgA = self._again(saved).of_matrix(dL)
        return (dgA,) if dgF[0] is None else (dgA + self(saved, dgF)[0],)


@dataclass(frozen=True)
class Value(_OfFunction, Operation):
    """A -> F, w, V."""

    def compute(self, *parts: Parts) -> Arrays:
        return self.problem.decompose(*parts[0])

    def shapes(self, *parts: Parts) -> Shapes:
        ((A,),) = parts
        w = jax.ShapeDtypeStruct(A.shape[:-1], np.finfo(A.dtype).dtype)
        V = A
        if not self.problem.hermitian:
            w, V = (jax.ShapeDtypeStruct(x.shape, np.result_type(x.dtype, np.complex64)) for x in (w, V))
        return _value(self.problem, V), w, V

    def jvp(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> tuple[Arrays, Parts]:
        out = self(*parts)
        _, w, V = out
        return out, (*FunctionTangent(self.problem, self.tell)((*parts[0], w, V), *tangents), None, None)


def _value(problem: FunctionProblem, V: Any) -> jax.ShapeDtypeStruct:
    """Shape and dtype of f(A), which is complex if f is."""
    w = jax.ShapeDtypeStruct(V.shape[:-1], np.finfo(V.dtype).dtype if problem.hermitian else V.dtype)
    values = (jax.eval_shape(function, w).dtype for function in (problem.f, problem.df))
    is_complex = any(jnp.issubdtype(dtype, jnp.complexfloating) for dtype in values)
    return jax.ShapeDtypeStruct(V.shape, np.result_type(V.dtype, np.complex64) if is_complex else V.dtype)


def _apply(A: Any, f: Any, df: Any, hermitian: Any, check: Check) -> Array:
    A = admit("A", A)
    check, tell = checks(check)
    return Value(FunctionProblem(f, df, _inputs.switch("hermitian", hermitian), check), tell)((A,))[0]


def matrix_function(
    A: Array, f: ScalarFunction, df: ScalarFunction, /, *, hermitian: bool = False, check: Check = True
) -> Array:
    """A function of a matrix, ``f(A) = V diag(f(w)) V^-1``, for JAX to differentiate twice.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `arreig_jax.eig`, diagonalisable; repeated eigenvalues are welcome.
    f, df : callable
        The function and its derivative, elementwise, of JAX's arrays, as for `arreig.matrix_function`. A second derivative
        differentiates df by JAX. They must not contain arrays that JAX traces, whose derivatives would be lost.
    hermitian : bool
        As for `arreig.matrix_function`.
    check : bool or callable
        As for `arreig_jax.eig`.

    Returns
    -------
    Array, shape (..., n, n)
        As `arreig.matrix_function`: complex, unless ``hermitian=True`` and f is real.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.matrix_function` and its derivatives; NaN under `jax.jit`, as for `arreig_jax.eig`.
    ArreigError
        A third derivative.

    Notes
    -----
    A second derivative takes n^3 numbers of memory for each matrix.

    Examples
    --------
    The square root at the identity, of which JAX's gradient through eigenvectors is NaN:

    >>> import jax, jax.numpy as jnp, arreig_jax
    >>> def loss(A):
    ...     return arreig_jax.matrix_function(A, jnp.sqrt, lambda w: 0.5 / jnp.sqrt(w), hermitian=True)[0, 1]
    >>> print(jax.grad(loss)(jnp.eye(2)))
    [[0.   0.25]
     [0.25 0.  ]]
    """
    hermitian, X = _inputs.switch("hermitian", hermitian), admit("A", A)
    dtype = np.finfo(X.dtype).dtype if hermitian else np.result_type(X.dtype, np.complex64)
    for name, function in (("f", f), ("df", df)):
        elementwise(name, function)  # refuses what is no function
    f, df = (
        constant(name, function, lambda: jnp.ones(X.shape[:-1], dtype=dtype))
        for name, function in (("f", f), ("df", df))
    )
    return _apply(X, f, df, hermitian, check)


def sqrtm(A: Array, /, *, hermitian: bool = False, check: Check = True) -> Array:
    """Principal square root of a matrix, for JAX to differentiate twice, also at repeated eigenvalues.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `arreig_jax.matrix_function`.
    hermitian : bool
        As for `arreig.sqrtm`.
    check : bool or callable
        As for `arreig_jax.eig`.

    Returns
    -------
    Array, shape (..., n, n)
        As `arreig.sqrtm`.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.sqrtm` and its derivatives; NaN under `jax.jit`, as for `arreig_jax.eig`.
    ArreigError
        A third derivative.
    """
    return _apply(A, *SQRT, hermitian, check)


def logm(A: Array, /, *, hermitian: bool = False, check: Check = True) -> Array:
    """Principal logarithm of a matrix, for JAX to differentiate twice, also at repeated eigenvalues.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `arreig_jax.matrix_function`.
    hermitian : bool
        As for `arreig.logm`.
    check : bool or callable
        As for `arreig_jax.eig`.

    Returns
    -------
    Array, shape (..., n, n)
        As `arreig.logm`.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.logm` and its derivatives; NaN under `jax.jit`, as for `arreig_jax.eig`.
    ArreigError
        A third derivative.
    """
    return _apply(A, *LOG, hermitian, check)
