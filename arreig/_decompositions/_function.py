"""f(A) = V diag(f(w)) V^-1: the eigensystem with the function on its eigenvalues."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

from .._array_api import adjoint, device, is_complex, largest, members, namespace, promote_complex, real, roundoff
from .._backends import Backend
from .._degeneracy import numerically_singular
from .._errors import InputTypeError
from .._rules import function as rules
from .._rules.eigh import hermitian_part
from .._types import Array
from . import _inputs, _reports
from ._flags import Flag
from ._general import GeneralEigensystem, independent
from ._hermitian import HermitianEigensystem
from ._system import Options, resolve

ScalarFunction: TypeAlias = Callable[[Array], Array]

# Above u^-1/4 a condition number may be the choice of vectors of a repeated eigenvalue, by the solver, and others are tried. At a
# Jordan block those have u^-1/2 at least, and are not accepted in place of missing ones.
_ILL = 0.25


@dataclass(frozen=True, eq=False)
class MatrixFunction:
    """A decomposed A, and f and df at its eigenvalues."""

    system: GeneralEigensystem | HermitianEigensystem
    fw: Array  # (..., n), complex but for real functions of Hermitian matrices
    dfw: Array
    df: ScalarFunction  # checked, and of the dtype of dfw

    @classmethod
    def of(cls, A: Array, f: object, df: object, *, hermitian: object, check: object) -> tuple[Self, list[Flag]]:
        """Decompose A and evaluate the functions; with the flags that this raised, not read yet."""
        system: GeneralEigensystem | HermitianEigensystem
        if _inputs.switch("hermitian", hermitian):
            system, flags = HermitianEigensystem.of(A, gauge="phase-free", check=check, vectors=False)
        else:
            system, flags = _decomposed(A, check)
        w, f = system.w, _elementwise("f", f)
        function = cls._on(system, f, df, flags)
        wrong = rules.not_the_derivative(f, function.df, function.fw, function.dfw, w, system.size)
        return function, [*flags, _reports.not_the_derivative(wrong, "f", w, function.dfw)]

    @classmethod
    def _on(cls, system: "GeneralEigensystem | HermitianEigensystem", f: object, df: object, flags: list[Flag]) -> Self:
        w, xp = system.w, namespace(system.w)
        f, df = _elementwise("f", f), _elementwise("df", df)
        fw, dfw = f(w), df(w)
        flags += [_reports.not_finite_at("f", fw, w), _reports.not_finite_at("df", dfw, w)]
        fw, dfw = (xp.where(xp.isfinite(y), y, 0.0) for y in (fw, dfw))
        if is_complex(fw) or is_complex(dfw):
            fw, dfw, df = promote_complex(fw), promote_complex(dfw), _complex(df)
        return cls(system, fw, dfw, df)

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
        """Unitary vectors lose nothing."""
        return [_reports.lost_function(where, what)] if isinstance(self.system, GeneralEigensystem) else []

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
        return system.settle((self._of_matrix(gA),), [*flags, *self._lost(lost, "the gradient")])[0]

    def jvp(self, dA: Array, flags: list[Flag], linear_map: Callable[[Array], Array] | None = None) -> Array:
        """dF; linear_map: `frechet` as the caller's library differentiates it."""
        system, flags = self.system, list(flags)
        E = self._direction(system.tangent(_inputs.given("dA", dA), flags))
        dF = (linear_map or self.frechet)(E)
        lost = self._lost(rules.frechet_lost(dF, E, self.K, self.V, system.kappa), "the derivative")
        return system.settle((dF,), [*flags, *lost])[0]

    def _of_matrix(self, gA: Array) -> Array:
        """A gradient of a real, or Hermitian, matrix is one."""
        gA = real(gA) if self.system.real_matrix else gA
        return hermitian_part(gA) if isinstance(self.system, HermitianEigensystem) else gA

    def _direction(self, dA: Array) -> Array:
        """A change of A, in the dtype of V."""
        dA = hermitian_part(dA) if isinstance(self.system, HermitianEigensystem) else dA
        return namespace(dA).astype(dA, self.V.dtype, copy=False)

    def second_jvp(self, dA: Array, E: Array, d2f: ScalarFunction, *, starred: bool) -> Array:
        """How L(A, E), or starred its adjoint of E, changes with A along dA; d2f: the second derivative of f."""
        f3, flags = self._second_differences(d2f)
        rule = rules.second_adjoint if starred else rules.second
        dL = rule(E, self._direction(dA), f3, self.V, solve=self.solve, solve_adjoint=self.solve_adjoint)
        return self.system.settle((dL,), flags)[0]

    def second_vjp(self, g: Array, E: Array, d2f: ScalarFunction, *, starred: bool) -> Array:
        """gA of a loss of L(A, E), or starred of its adjoint of E, with cotangent g."""
        f3, flags = self._second_differences(d2f)
        G, E = (E, g) if starred else (g, E)
        gA = rules.second_adjoint(G, E, f3, self.V, solve=self.solve, solve_adjoint=self.solve_adjoint)
        return self.system.settle((self._of_matrix(gA),), flags)[0]

    def _second_differences(self, d2f: ScalarFunction) -> tuple[Array, list[Flag]]:
        w, xp = self.system.w, namespace(self.system.w)
        d2f = _elementwise("the derivative of df", d2f)
        d2f = _complex(d2f) if is_complex(self.dfw) else d2f
        y = d2f(w)
        flags = [_reports.not_finite_at("the derivative of df", y, w)]
        y = xp.where(xp.isfinite(y), y, 0.0)
        wrong = rules.not_the_derivative(self.df, d2f, self.dfw, y, w, self.system.size)
        flags.append(_reports.not_the_derivative(wrong, "df", w, y))
        return rules.second_divided_differences(self._differences, y, w, d2f), flags


def _decomposed(A: Array, check: object) -> tuple[GeneralEigensystem, list[Flag]]:
    A, backend = _inputs.matrix(A)
    _inputs.untracked("A", A)
    options = resolve(A, None, None, None, check, complex_vectors=True)
    flags: list[Flag] = []
    A = _reports.tame("A", A, 2, flags)
    w, V, singular, kappa = _independent(A, options, backend)
    flags.append(_reports.defective_function(singular, w, kappa))
    # an imaginary part -0 would be the other side of a cut along the real axis
    system, flags = GeneralEigensystem(A, w + namespace(w).zeros_like(w), V, options).admitted(flags, vectors=False)
    return system, flags


def _independent(A: Array, options: Options, backend: Backend) -> tuple[Array, Array, Array, Array]:
    """w, V, which columns are numerically singular, and kappa; V the identity where some are, so that nothing overflows."""
    xp = namespace(A)

    def attempt(w: Array, V: Array) -> tuple[tuple[Array, ...], Array]:
        kappa = GeneralEigensystem(A, w, V, options).kappa
        singular, worst = numerically_singular(kappa), largest(kappa, -1)[..., 0]
        bad = xp.where(worst > roundoff(kappa) ** -_ILL, worst, 0.0)
        return (w, V, singular, kappa), xp.where(xp.any(singular, axis=-1), xp.inf, bad)

    (w, V, singular, kappa), twice = independent(A, *backend.eig(A), attempt, backend, check=options.check)
    if twice:
        eye = xp.eye(V.shape[-1], dtype=V.dtype, device=device(V))
        V = xp.where(members(xp.any(singular, axis=-1), V), eye, V)
    return w, V, singular, kappa


def _elementwise(name: str, function: object) -> ScalarFunction:
    """A function whose results are checked; real only of real arguments."""
    if not callable(function):
        raise InputTypeError(f"{name} must be a function of an array, elementwise, got {_inputs.kind(function)}")

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
