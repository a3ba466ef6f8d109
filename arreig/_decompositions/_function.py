"""f(A) = V diag(f(w)) V^-1: the eigensystem with the function on its eigenvalues."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

from .._array_api import (
    adjoint,
    cached_property,
    device,
    is_complex,
    largest,
    matrix_norm,
    members,
    namespace,
    on_diagonal,
    promote_complex,
    real,
    roundoff,
)
from .._backends import Backend, backend_for
from .._degeneracy import ILL, gaps, numerically_singular
from .._errors import InputTypeError, kind
from .._rules import function as rules
from .._rules.eigh import hermitian_part
from .._types import Array
from . import _inputs, _reports
from ._flags import Flag
from ._general import GeneralEigensystem
from ._hermitian import HermitianEigensystem
from ._independent import MOVED, independent
from ._options import Options, resolve

ScalarFunction: TypeAlias = Callable[[Array], Array]

# Above u^-ILL the condition number of a repeated eigenvalue, within this many u |A|, may be the solver's choice of its vectors,
# and others are tried. At a Jordan block those have u^-1/2 at least, and are not accepted in place of missing ones. Where only
# simple eigenvalues are ill conditioned they are not tried: moving A, by however little, would move those.
_REPEATED = 20.0
_FAR = 0.1  # of the largest eigenvalue: farther df is not asked for


@dataclass(frozen=True, eq=False)
class MatrixFunction:
    """A decomposed A, and f and df at its eigenvalues."""

    system: GeneralEigensystem | HermitianEigensystem
    f: ScalarFunction  # checked
    df: ScalarFunction  # checked, and of the dtype of dfw
    fw: Array  # (..., n), complex but for real functions of Hermitian matrices
    dfw: Array
    shift: Array | None = None  # (..., n) errors of w, if they are not those of a solver

    @classmethod
    def of(cls, A: Array, f: object, df: object, *, hermitian: object, check: object) -> tuple[Self, list[Flag]]:
        """Decompose A and evaluate the functions; with the flags that this raised, not read yet."""
        system: GeneralEigensystem | HermitianEigensystem
        shift = None
        if _inputs.switch("hermitian", hermitian):
            system, flags = HermitianEigensystem.of(A, gauge="phase-free", check=check, vectors=False)
        else:
            system, flags, shift = _decomposed(A, check)
        function = replace(cls._on(system, f, df, flags), shift=shift)
        wrong = rules.not_the_derivative(function.f, function.df, function.fw, function.dfw, system.w, system.size)
        return function, [*flags, _reports.not_the_derivative(wrong, "f", system.w, function.dfw)]

    @classmethod
    def _on(cls, system: "GeneralEigensystem | HermitianEigensystem", f: object, df: object, flags: list[Flag]) -> Self:
        w, f, df = system.w, elementwise("f", f), elementwise("df", df)

        def at_eigenvalues(name: str, function: ScalarFunction) -> Array:
            y = function(w)
            flags.append(_reports.not_finite_at(name, y, w))
            xp = namespace(y)
            return xp.where(xp.isfinite(y), y, 0.0)  # a copy: the next result may be written to the same place

        fw, dfw = at_eigenvalues("f", f), at_eigenvalues("df", df)
        if is_complex(fw) or is_complex(dfw):
            fw, dfw, df = promote_complex(fw), promote_complex(dfw), _complex(df)
        return cls(system, f, df, fw, dfw)

    @classmethod
    def again(cls, A: Array, w: Array, V: Array, f: object, df: object, *, hermitian: bool, check: bool) -> Self:
        """One that was admitted before, from its arrays: nothing is decomposed or verified."""
        options = resolve(A, "phase-free", None, None, check, complex_vectors=is_complex(V))
        made = HermitianEigensystem if hermitian else GeneralEigensystem
        return cls._on(made(hermitian_part(A) if hermitian else A, w, V, options), f, df, [])

    @cached_property
    def _differences(self) -> rules.DividedDifferences:
        return rules.divided_differences(self.fw, self.dfw, self.system.w, self.df)

    @property
    def K(self) -> Array:
        """Divided differences (..., n, n)."""
        return self._differences.K

    @cached_property
    def V(self) -> Array:
        """Eigenvectors in the dtype of f(A)."""
        V = self.system.V
        return promote_complex(V) if is_complex(self.fw) else V

    def solve(self, X: Array) -> Array:
        """V^-1 X."""
        system = self.system
        return system.factor.solve(X) if isinstance(system, GeneralEigensystem) else adjoint(self.V) @ X

    def solve_adjoint(self, X: Array) -> Array:
        """V^-H X."""
        system = self.system
        return system.factor.solve_adjoint(X) if isinstance(system, GeneralEigensystem) else self.V @ X

    def _lost(self, where: Array, what: str) -> list[Flag]:
        """Unitary vectors lose nothing; of others rounding may move eigenvalues so far that two digits of df are lost."""
        system, xp = self.system, namespace(self.fw)
        if isinstance(system, HermitianEigensystem):
            return []
        shift = rules.eigenvalue_errors(system.A, system.V, system.inverse_adjoint)
        shift = shift if self.shift is None else xp.maximum(shift, self.shift)
        size = largest(xp.abs(system.w), -1)
        shift = backend_for(shift).constant(xp.minimum(shift, _FAR * size))
        moved = self.df(system.w + xp.astype(shift, system.w.dtype))
        return [_reports.lost_function(where | rules.unresolved(self.dfw, moved), what)]

    def parts(self, flags: list[Flag]) -> tuple[Array, Array, Array]:
        """F, w and V."""
        F = rules.value(self.fw, self.V, solve_adjoint=self.solve_adjoint)
        lost = self._lost(rules.value_lost(F, self.fw, self.system.kappa), "the function")
        F, w, V = self.system.settle((F, self.system.w, self.system.V), [*flags, *lost])
        return F, w, V

    def value(self, flags: list[Flag]) -> Array:
        """F."""
        return self.parts(flags)[0]

    def frechet(self, E: Array) -> Array:
        """L(A, E)."""
        return rules.frechet(E, self.K, self.V, solve=self.solve, solve_adjoint=self.solve_adjoint)

    def frechet_adjoint(self, G: Array) -> Array:
        """Its adjoint."""
        return rules.frechet_adjoint(G, self.K, self.V, solve=self.solve, solve_adjoint=self.solve_adjoint)

    def vjp(self, gF: Array, flags: list[Flag], adjoint_map: Callable[[Array], Array] | None = None) -> Array:
        """gA; adjoint_map: `frechet_adjoint` as the caller's library differentiates it, for second derivatives."""
        system, flags = self.system, list(flags)
        gF = _inputs.like(
            "gF", _inputs.given("gF", gF), tuple(self.V.shape), self.V, complex_allowed=is_complex(self.V)
        )
        gF = _reports.tame("gF", gF, 2, flags)
        gA = (adjoint_map or self.frechet_adjoint)(gF)
        lost = rules.frechet_adjoint_lost(gA, gF, self.K, system.kappa, solve=self.solve)
        return system.settle((self.of_matrix(gA),), [*flags, *self._lost(lost, "the gradient")])[0]

    def jvp(self, dA: Array, flags: list[Flag], linear_map: Callable[[Array], Array] | None = None) -> Array:
        """dF; linear_map: `frechet` as the caller's library differentiates it."""
        system, flags = self.system, list(flags)
        E = self.direction(system.tangent(_inputs.given("dA", dA), flags))
        dF = (linear_map or self.frechet)(E)
        lost = self._lost(rules.frechet_lost(dF, E, self.K, self.V, system.kappa), "the derivative")
        return system.settle((dF,), [*flags, *lost])[0]

    def of_matrix(self, gA: Array) -> Array:
        """A gradient of a real, or Hermitian, matrix is one."""
        gA = real(gA) if self.system.real_matrix else gA
        return hermitian_part(gA) if isinstance(self.system, HermitianEigensystem) else gA

    def direction(self, dA: Array) -> Array:
        """A change of A, in the dtype of V."""
        dA = hermitian_part(dA) if isinstance(self.system, HermitianEigensystem) else dA
        return namespace(dA).astype(dA, self.V.dtype, copy=False)

    def second_jvp(self, dA: Array, E: Array, d2f: ScalarFunction, *, starred: bool) -> Array:
        """How L(A, E), or starred its adjoint of E, changes with A along dA; d2f: the second derivative of f."""
        f3, flags = self._second_differences(d2f)
        rule = rules.second_adjoint if starred else rules.second
        dL = rule(E, self.direction(dA), f3, self.V, solve=self.solve, solve_adjoint=self.solve_adjoint)
        return self.system.settle((dL,), flags)[0]

    def second_vjp(self, g: Array, E: Array, d2f: ScalarFunction, *, starred: bool) -> Array:
        """gA of a loss of L(A, E), or starred of its adjoint of E, with cotangent g."""
        f3, flags = self._second_differences(d2f)
        G, E = (E, g) if starred else (g, E)
        gA = rules.second_adjoint(G, E, f3, self.V, solve=self.solve, solve_adjoint=self.solve_adjoint)
        return self.system.settle((self.of_matrix(gA),), flags)[0]

    def _second_differences(self, d2f: ScalarFunction) -> tuple[Array, list[Flag]]:
        w, xp = self.system.w, namespace(self.system.w)
        d2f = elementwise("the derivative of df", d2f)
        d2f = _complex(d2f) if is_complex(self.dfw) else d2f
        y = d2f(w)
        flags = [_reports.not_finite_at("the derivative of df", y, w)]
        y = xp.where(xp.isfinite(y), y, 0.0)
        wrong = rules.not_the_derivative(self.df, d2f, self.dfw, y, w, self.system.size)
        flags.append(_reports.not_the_derivative(wrong, "df", w, y))
        return rules.second_divided_differences(self._differences, y, w, d2f), flags


@dataclass(frozen=True)
class FunctionProblem:
    """Which function of which kind of matrix, as functions of arrays; for libraries that keep their own record of derivatives."""

    f: ScalarFunction
    df: ScalarFunction
    hermitian: bool
    check: bool

    def decompose(self, A: Array) -> tuple[Array, Array, Array]:
        """F, w and V."""
        function, flags = MatrixFunction.of(A, self.f, self.df, hermitian=self.hermitian, check=self.check)
        return function.parts(flags)

    def again(self, A: Array, w: Array, V: Array) -> MatrixFunction:
        """The decomposition of an earlier call of `decompose`."""
        return MatrixFunction.again(A, w, V, self.f, self.df, hermitian=self.hermitian, check=self.check)


def _decomposed(A: Array, check: object) -> tuple[GeneralEigensystem, list[Flag], Array]:
    A, backend = _inputs.matrix(A)
    _inputs.untracked("A", A)
    options = resolve(A, None, None, None, check, complex_vectors=True)
    flags: list[Flag] = []
    A = _reports.tame("A", A, 2, flags)
    w, V, singular, kappa, moved = _independent(A, options, backend)
    flags.append(_reports.defective_function(singular, w, kappa))
    # an imaginary part -0 would be the other side of a cut along the real axis
    system, flags = GeneralEigensystem(A, w + namespace(w).zeros_like(w), V, options).admitted(flags, [])
    return system, flags, MOVED * roundoff(A) * (moved * matrix_norm(A))[..., None] * kappa


def _independent(A: Array, options: Options, backend: Backend) -> tuple[Array, Array, Array, Array, Array]:
    """w, V, which columns are numerically singular, kappa, and 1 where A was moved; V the identity where some are singular."""
    xp = namespace(A)
    size = matrix_norm(A)
    seconds = iter((False, True))

    def attempt(w: Array, V: Array) -> tuple[tuple[Array, ...], Array]:
        kappa, second = GeneralEigensystem(A, w, V, options).kappa, next(seconds)
        close = xp.abs(gaps(w)) <= _REPEATED * roundoff(kappa) * size[..., None, None]
        counts = xp.any(close & ~on_diagonal(close), axis=-1) | second
        singular = numerically_singular(kappa)
        bad = largest(xp.where(counts & (kappa > roundoff(kappa) ** -ILL), kappa, 0.0), -1)[..., 0]
        bad = xp.where(xp.any(singular & counts, axis=-1), xp.inf, bad)
        return (w, V, singular, kappa, 0 * size + float(second)), bad

    (w, V, singular, kappa, second), twice = independent(A, *backend.eig(A), attempt, backend, check=options.check)
    if twice:
        eye = xp.eye(V.shape[-1], dtype=V.dtype, device=device(V))
        V = xp.where(members(xp.any(singular, axis=-1), V), eye, V)
    return w, V, singular, kappa, second


def elementwise(name: str, function: object) -> ScalarFunction:
    """A function whose results are checked; real only of real arguments."""
    if not callable(function):
        raise InputTypeError(f"{name} must be a function of an array, elementwise, got {kind(function)}")

    def checked(x: Array) -> Array:
        y = function(namespace(x).asarray(x, copy=True))  # which may write into it
        try:
            complex_allowed = is_complex(x) or is_complex(y)
        except (AttributeError, TypeError):  # no array, which is refused below
            complex_allowed = True
        return _inputs.like(f"what {name} returns", y, tuple(x.shape), x, complex_allowed=complex_allowed)

    return checked


def _complex(function: ScalarFunction) -> ScalarFunction:
    return lambda x: promote_complex(function(x))
