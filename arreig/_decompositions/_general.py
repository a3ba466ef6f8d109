"""A V = V diag(w) for a general matrix: the eigensystem behind eig and eigvals."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Self

from .._array_api import (
    adjoint,
    column_norm,
    conj,
    imag,
    is_complex,
    largest,
    matrix_norm,
    members,
    namespace,
    promote_complex,
    real,
    roundoff,
)
from .._backends import Backend, Factor, backend_for
from .._degeneracy import numerically_singular
from .._errors import InputError
from .._perturb import Perturb
from .._rules import eig as rules
from .._rules._refinement import Refinement
from .._split import Clusters, Split, rebased, separated
from .._types import Array
from . import _inputs, _reports
from ._flags import Flag, wanted
from ._system import Eigensystem, Options, Result, bare, carried, in_gauge, resolve, same_matrix

MOVED = 10.0  # u |A| times this is what rounding makes of A
# Part of the relative residual of V^-H that counts as its error: so it is about u for random matrices. After a split, losses are
# functions of A, made with V^-1, and its errors are divided by the new gaps: there the estimate followed the error with more.
_LEFT, _LEFT_SPLIT = 1e-2, 5e-2


def independent(
    A: Array,
    w: Array,
    V: Array,
    attempt: Callable[[Array, Array], tuple[tuple[Array, ...], Array]],
    backend: Backend,
    *,
    check: bool,
) -> tuple[tuple[Array, ...], bool]:
    """What attempt(w, V) makes of a decomposition of A, or of a second one; whether there was a second.

    Of an exactly repeated eigenvalue a solver may return dependent vectors although independent ones exist (a matrix of ones,
    LAPACK). They are those of no generic matrix. The second result of an attempt (...) says how bad its vectors are, 0 if they
    are not; infinite where some are missing. Where they are bad A is decomposed again, moved by rounding, which has to be
    better, and where vectors were missing good.
    """
    xp = namespace(A)
    first, bad = attempt(w, V)
    if not wanted(bad > 0, check=check):
        return first, False
    moved = Perturb(MOVED * roundoff(A)).matrix(A, matrix_norm(A), hermitian=False)
    second, still = attempt(*backend.eig(moved))
    better = xp.where(xp.isfinite(bad), still < bad, still == 0)
    return tuple(xp.where(members(better, x), x, y) for x, y in zip(second, first, strict=True)), True


@dataclass(frozen=True, eq=False)
class GeneralEigensystem(Eigensystem):
    """Eigenvalues and right eigenvectors, both complex, and the factorised V."""

    @classmethod
    def of(
        cls,
        A: Array,
        eigensystem: object = None,
        *,
        gauge: object = None,
        degeneracy: object = None,
        sort: object = None,
        check: object = None,
        refine: object = None,
        vectors: bool = True,
    ) -> tuple[Self, list[Flag]]:
        """Decompose A, or take what the caller has; with the flags that this raised, not read yet.

        vectors: whether the eigenvectors are returned or differentiated, so that their gauge matters.
        """
        A, backend = _inputs.matrix(A)
        _inputs.untracked("A", A)
        own = carried(eigensystem) if isinstance(eigensystem, GeneralResult) else None
        options = resolve(
            A, gauge, degeneracy, sort, check, refine, complex_vectors=True, own=None if own is None else own.options
        )
        flags: list[Flag] = []
        A = _reports.tame("A", A, 2, flags)
        if own is not None:
            same_matrix(A, own)
            return own, [*flags, *own.mismatch(A, vectors)]
        if eigensystem is not None:
            if options.sort is not None:
                raise InputError("sort orders what arreig decomposes; a supplied (w, V) is taken in the order it has")
            w, V = bare(eigensystem, A, flags, complex_values=True, complex_vectors=True)
            system = cls(A, w, V, options, supplied=True)
            return system.admitted([*flags, *system.mismatch(A, vectors)], vectors)
        w, V, separated, plain = cls._decomposed(A, options, backend)
        if vectors:
            flags.append(_reports.undefined_gauge(V, options.gauge))
            V = in_gauge(V, options.gauge, separated, plain)
        return cls(A, w, V, options, separated=separated).admitted(flags, vectors)

    @classmethod
    def _decomposed(
        cls, A: Array, options: Options, backend: Backend
    ) -> tuple[Array, Array, Array | None, Array | None]:
        """w and V in order, V of norm 1, and what was separated, with V as it was before."""
        degeneracy, real_matrix = options.degeneracy, not is_complex(A)
        pairs = plain = None
        if isinstance(degeneracy, Split):
            w, V, pairs, plain = cls._split(A, options, degeneracy, backend)
        elif isinstance(degeneracy, Perturb):
            w, V = backend.eig(degeneracy.matrix(A, matrix_norm(A), hermitian=False))
        else:
            w, V = backend.eig(A)
        if options.sort is None:
            return w, V, pairs, plain
        order = descending(w, options.sort, real_matrix)
        if pairs is not None:
            pairs, plain = _columns(_columns(pairs, order).mT, order), _columns(plain, order)  # pairs are symmetric
        return namespace(w).take_along_axis(w, order, axis=-1), _columns(V, order), pairs, plain

    @classmethod
    def _split(cls, A: Array, options: Options, policy: Split, backend: Backend) -> tuple[Array, Array, Array, Array]:
        """w and V with clusters separated, the pairs, and V before."""
        xp = namespace(A)
        size = matrix_norm(A)

        def attempt(w: Array, V: Array) -> tuple[Clusters, Array]:
            kappa = cls(A, w, V, options).kappa
            clusters = rebased(A, w, V, kappa, size, policy)
            missing = xp.any(clusters.defective | numerically_singular(kappa), axis=-1)
            return clusters, xp.where(missing, xp.inf, 0 * size)

        w, plain = backend.eig(A)
        clusters = Clusters(*independent(A, w, plain, attempt, backend, check=options.check)[0])
        w, V, pairs = clusters.w, clusters.V, clusters.pairs
        return separated(A, clusters, cls(A, w, V, options).kappa, size, policy), V, pairs, plain

    @cached_property
    def decomposed(self) -> Array:
        """The matrix that w and V decompose.

        After `Split` it is A + E with E V = V diag(w) - A V, of which only the columns of clusters are more than rounding. E is
        small, and so is its rounding error, where V diag(w) V^-1 would have that of cond(V).
        """
        if self.perturbation is not None:
            return self.perturbation.matrix(self.A, self.size, hermitian=False)
        if self.separated is None:
            return self.A
        xp = namespace(self.V)
        moved = xp.any(self.separated, axis=-1)
        R = self.V * self.w[..., None, :] - promote_complex(self.A) @ self.V
        E = adjoint(self.factor.solve_adjoint(adjoint(xp.where(moved[..., None, :], R, 0.0))))
        E = xp.where(xp.any(moved, axis=-1)[..., None, None], E, 0.0)  # whatever V is where nothing was moved
        return self.A + (real(E) if self.real_matrix else E)

    @cached_property
    def factor(self) -> Factor:
        """V factorised."""
        return backend_for(self.V).factorise(self.V)

    @cached_property
    def inverse_adjoint(self) -> Array:
        """V^-H, NaN where it overflows."""
        xp = namespace(self.V)
        W = self.factor.inverse_adjoint()
        # Of a lost column: NaN goes through NumPy's arithmetic without warnings, infinity and what overflows to it do not.
        return xp.where(xp.abs(W) < roundoff(W) ** -3, W, xp.nan)

    @cached_property
    def kappa(self) -> Array:
        xp = namespace(self.V)
        kappa = column_norm(self.inverse_adjoint) * column_norm(self.V)
        most = roundoff(self.V) ** -2  # beyond all that it is compared with, and small enough not to overflow there
        return xp.where(kappa > most, most, kappa)

    @cached_property
    def W(self) -> Array:
        """Left eigenvectors V^-H; NaN where V is numerically singular, for products of such numbers overflow."""
        xp = namespace(self.V)
        singular = xp.any(numerically_singular(self.kappa), axis=-1)[..., None, None]
        return xp.where(singular, xp.nan, self.inverse_adjoint)

    @cached_property
    def left_residual(self) -> Array:
        """|A^H w_j - conj(w_j) w_j|/|w_j| of the columns (..., n) of V^-H."""
        xp = namespace(self.V)
        norm = column_norm(self.inverse_adjoint)
        W = self.inverse_adjoint * (1 / xp.where(norm > 0, norm, 1.0))[..., None, :]
        return column_norm(adjoint(promote_complex(self.decomposed)) @ W - W * conj(self.w)[..., None, :])

    @property
    def _left_error(self) -> Array:
        """Relative residual (...) of V^-H, which tells how accurate it is, and what a caller made with it."""
        xp = namespace(self.V)
        worst = largest(self.left_residual, -1)[..., 0]
        return worst / xp.where(self.size > 0, self.size, 1.0)

    @property
    def defective(self) -> Flag:
        """Whether V is numerically singular."""
        return _reports.defective(self.w, self.kappa)

    def _refined(self, rule: Callable[..., tuple[Any, ...]]) -> tuple[Any, ...]:
        """What a rule returns, refined as the options say; its last result, the columns that ask for refinement, is read.

        A supplied (w, V) is not refined: it decomposes a matrix that is A only up to its residual.
        """
        refine, degeneracy, backend = self.options.refine, self.options.degeneracy, backend_for(self.V)
        if self.supplied or not degeneracy.exact:
            refine = 0
        if refine != "auto":
            return rule(refinement=Refinement(refine, False, backend.constant))[:-1]
        *results, asking = rule(refinement=Refinement(0, True, backend.constant))
        if wanted(asking, check=self.options.check):
            *results, _ = rule(refinement=Refinement(1, False, backend.constant))
        return tuple(results)

    def vjp(self, gV: Array | None, gw: Array | None, gW: Array | None, flags: Sequence[Flag] = ()) -> Array:
        """gA."""
        if gV is None and gw is None and gW is None:
            raise InputError("expected at least one of the cotangents gV, gw and gW, got none of them")
        flags = list(flags)
        gw = self.cotangent("gw", gw, self.w, flags)
        if gV is None and gW is None:
            gA, split, lost = rules.eigenvalue_vjp(
                gw,
                self.w,
                self.V,
                pairs=self.pairs,
                split=self.split,
                kappa=self.kappa,
                size=self.size,
                solve_adjoint=self.factor.solve_adjoint,
                degeneracy=self.options.degeneracy,
                left_residual=self.left_residual,
                real_matrix=self.real_matrix,
            )
            flags += [_reports.lost_precision(lost), _reports.split_eigenvalues(split, self.w)]
        else:
            gV = self.cotangent("gV", gV, self.V, flags)
            reach = column_norm(self.V) * column_norm(gV)
            accuracy = roundoff(self.V) + 0 * self.size
            if self.separated is not None:
                accuracy = accuracy + _LEFT_SPLIT * self._left_error
            if gW is not None:
                gW = self.cotangent("gW", gW, self.V, flags)
                reach = reach + column_norm(self.W) * column_norm(gW)
                gV = gV + rules.left_cotangent(gW, self.W)
                accuracy = accuracy + _LEFT * self._left_error
            rule = partial(
                rules.vjp,
                gV,
                gw,
                self.decomposed,
                self.w,
                self.V,
                reach=reach,
                W_norm=column_norm(self.inverse_adjoint),
                pairs=self.pairs,
                split=self.split,
                kappa=self.kappa,
                size=self.size,
                accuracy=accuracy,
                solve_adjoint=self.factor.solve_adjoint,
                gauge=self.options.gauge,
                degeneracy=self.options.degeneracy,
            )
            gA, refused = self._refined(rule)
            flags += [self.defective, *_reports.refused(refused, self.w, self.options.degeneracy.advice)]
        if self.perturbation is not None:
            gA = self.perturbation.cotangent(gA, self.A, self.size, hermitian=False)
        return self.settle((gA,), flags)[0]

    def jvp(self, dA: Array, left: bool, flags: Sequence[Flag] = ()) -> tuple[Array, ...]:
        """dw, dV and, with left, dW."""
        flags = list(flags)
        dA = self.tangent(dA, flags)
        if self.perturbation is not None:
            dA = self.perturbation.tangent(dA, self.A, self.size, hermitian=False)
        rule = partial(
            rules.jvp,
            dA,
            self.decomposed,
            self.w,
            self.V,
            pairs=self.pairs,
            kappa=self.kappa,
            size=self.size,
            solve=self.factor.solve,
            gauge=self.options.gauge,
            degeneracy=self.options.degeneracy,
        )
        dw, dV, refused = self._refined(rule)
        flags += [self.defective, _reports.degenerate(refused, self.w, self.options.degeneracy.advice)]
        return self.settle((dw, dV, rules.left_tangent(dV, self.W)) if left else (dw, dV), flags)

    def eigenvalue_jvp(self, dA: Array, flags: Sequence[Flag] = ()) -> Array:
        """dw."""
        flags = list(flags)
        dA = self.tangent(dA, flags)
        dw, split = rules.eigenvalue_jvp(dA, self.V, pairs=self.pairs, kappa=self.kappa, solve=self.factor.solve)
        flags += [self.defective, _reports.split_eigenvalues(split, self.w)]
        return self.settle((dw,), flags)[0]


class GeneralResult(Result):
    """Marks the results of eig."""


def descending(w: Array, sort: str, real_matrix: bool) -> Array:
    """Indices (..., n) that put w in the asked order, descending. Stable sorts by the least significant key first.

    Members of a conjugate pair have equal moduli and real parts to the bit, so stability keeps them together as the backend
    delivers them, +imag first, also where several pairs are equal. Complex matrices have no such pairs: imag decides.
    """
    xp = namespace(w)
    keys = [] if real_matrix else [imag(w)]
    keys += [xp.abs(imag(w)), real(w)]
    if sort == "abs":
        keys.append(xp.abs(w))
    order = xp.argsort(-keys[0], axis=-1, stable=True)
    for key in keys[1:]:
        by_key = xp.argsort(-xp.take_along_axis(key, order, axis=-1), axis=-1, stable=True)
        order = xp.take_along_axis(order, by_key, axis=-1)
    return order


def _columns(X: Array, order: Array) -> Array:
    """Columns of X in that order."""
    xp = namespace(X)
    return xp.take_along_axis(X, xp.broadcast_to(order[..., None, :], X.shape), axis=-1)
