"""A V = V diag(w), or B V diag(w), for general matrices: the eigensystem behind eig and eigvals."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Self

from .._array_api import (
    adjoint,
    cached_property,
    column_norm,
    is_complex,
    matrix_norm,
    namespace,
    nowhere,
    promote_complex,
    real,
    roundoff,
)
from .._backends import Backend, backend_for
from .._degeneracy import numerically_singular
from .._errors import InputError
from .._order import columns, descending
from .._perturb import Perturb
from .._rules import eig as rules
from .._rules._pencil import Pencil, times, times_adjoint
from .._split import Clusters, Split, rebased, separated
from .._types import Array
from . import _inputs, _pencil, _reports
from ._clear import clear_vjp, vjp_in_numbers
from ._factorised import FactorisedEigensystem
from ._flags import Flag, wanted
from ._independent import independent
from ._options import Options, resolve
from ._system import Result, bare, carried, held, in_gauge, real_pencil, same_matrix

# Part of the relative residual of V^-H that counts as its error: so it is about u for random matrices. After a split, losses are
# functions of A, made with V^-1, and its errors are divided by the new gaps: there the estimate followed the error with more.
_LEFT, _LEFT_SPLIT = 1e-2, 5e-2


@dataclass(frozen=True, eq=False)
class GeneralEigensystem(FactorisedEigensystem):
    """Eigenvalues and right eigenvectors, both complex, and their derivatives."""

    own_threads = True

    @classmethod
    def of(
        cls,
        A: Array,
        B: Array | None = None,
        eigensystem: object = None,
        *,
        gauge: object = None,
        degeneracy: object = None,
        sort: object = None,
        check: object = None,
        refine: object = None,
        vectors: bool = True,
        solver: Backend | None = None,
    ) -> tuple[Self, list[Flag]]:
        """Decompose A, or take what the caller has; with the flags that this raised, not read yet.

        vectors: whether the eigenvectors are returned or differentiated, so that their gauge matters. solver: who decomposes, if
        not A's library.
        """
        A, backend = _inputs.matrix(A)
        _inputs.untracked("A", A)
        own = carried(eigensystem) if isinstance(eigensystem, GeneralResult) else None
        options = resolve(
            A, gauge, degeneracy, sort, check, refine, complex_vectors=True, own=None if own is None else own.options
        )
        flags: list[Flag] = []
        A = _inputs.own(_reports.tame("A", A, 2, flags))
        if B is not None:
            _inputs.untracked("B", B := _inputs.second(B, A))
            B = _inputs.own(_reports.tame("B", B, 2, flags))
        if own is not None:
            pencil = same_matrix(A, B, own)
            return own, [*flags, *own.mismatch(A, pencil, vectors)]
        pencil = None if B is None else _pencil.scaled(B)
        if eigensystem is not None:
            if options.sort is not None:
                raise InputError("sort orders what arreig decomposes; a supplied (w, V) is taken in the order it has")
            w, V = bare(eigensystem, A, flags, complex_values=True, complex_vectors=True, infinite=pencil is not None)
            if pencil is not None:
                pencil, w = _pencil.with_values(pencil, w)
            system = cls(A, w, V, options, supplied=True, pencil=pencil)
            mismatch = system.mismatch(A, pencil, vectors)
            return system.admitted([*flags, *mismatch], system.ties() if vectors else [])
        pencil, w, V, separated, plain = cls._decomposed(A, pencil, options, solver or backend, flags)
        ties: list[Flag] = []
        if vectors:
            flags += _reports.undefined_gauge(V, options.gauge)
            unit = pencil is None and (solver or backend).normalised
            V, ties = in_gauge(V, options.gauge, real_pencil(A, pencil), separated, plain, unit=unit)
        return cls(A, w, V, options, separated=separated, pencil=pencil).admitted(flags, ties)

    @classmethod
    def _decomposed(
        cls, A: Array, pencil: Pencil | None, options: Options, backend: Backend, flags: list[Flag]
    ) -> tuple[Pencil | None, Array, Array, Array | None, Array | None]:
        """The pencil, w and V in order, V of norm 1, and what was separated, with V as it was before."""
        degeneracy = options.degeneracy
        pairs = plain = None
        if isinstance(degeneracy, Split):
            C = A
            if pencil is not None:
                C, rcond = backend.reduced(*_pencil.same_dtype(A, pencil.B))
                flags.append(_reports.ill_conditioned(rcond, "degeneracy='split'"))
            w, V, pairs, plain = cls._split(C, options, degeneracy, backend)
        else:
            M = A
            if isinstance(degeneracy, Perturb):
                M = degeneracy.matrix(A, matrix_norm(A), hermitian=False)
            if pencil is None:
                w, V = backend.eig(M)
            else:
                pencil, w, V = _pencil.eigenpairs(M, pencil, backend, flags)
        if options.sort is None:
            return pencil, w, V, pairs, plain
        xp = namespace(w)
        order = descending(
            w if pencil is None else xp.where(pencil.infinite, xp.inf, w), options.sort, real_pencil(A, pencil)
        )
        if pairs is not None:
            pairs, plain = columns(columns(pairs, order).mT, order), columns(plain, order)  # pairs are symmetric
        if pencil is not None:
            pencil = pencil._replace(infinite=xp.take_along_axis(pencil.infinite, order, axis=-1))
        return pencil, xp.take_along_axis(w, order, axis=-1), columns(V, order), pairs, plain

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

    @property
    def defective(self) -> Flag:
        """Whether V is numerically singular."""
        return _reports.defective(self.eigenvalues, self.kappa, "A" if self.pencil is None else "the pencil of A and B")

    @cached_property
    def at_infinity(self) -> Array:
        """Eigenvalues (..., n) that are infinite, or cannot be told from that."""
        if self.pencil is None:
            return nowhere(self.w)
        lost = numerically_singular(self.magnitude) & (self._growth > 1)
        return self.pencil.infinite | lost

    def _left(self, X: Array, flags: list[Flag]) -> Array:
        """W and dW in the caller's unit, gW in this system's: divided by it. W exists if all eigenvalues are finite."""
        if self.pencil is None:
            return X
        what = "the left eigenvectors (B V)^-H, or their cotangent gW,"
        flags.append(_reports.at_infinity(self.at_infinity, what, self.eigenvalues))
        return X / self.pencil.unit[..., None, None]

    @cached_property
    def parts(self) -> "Sequence[tuple[slice, GeneralEigensystem]]":
        """Members of the batch, flattened, that are best differentiated at once, and their eigensystems."""
        members, n = prod(self.batch), self.w.shape[-1]
        backend = backend_for(self.V)
        step, spread = backend.at_once(members, n), backend.spreads(members, n)
        if self.options.gauge.batched or (step >= members and not spread):
            return [(slice(0, members), self)]

        def cut(X: Array, core: int, here: slice) -> Array:
            part = namespace(X).reshape(X, (members, *X.shape[X.ndim - core :]))[here, ...]
            return backend.spread(part) if spread else part

        slices = [slice(i, min(i + step, members)) for i in range(0, members, step)]
        arrays = ((cut(self.A, 2, here), cut(self.w, 1, here), cut(self.V, 2, here)) for here in slices)
        return [
            (here, replace(self, A=A, w=w, V=V, spread=spread)) for here, (A, w, V) in zip(slices, arrays, strict=True)
        ]

    def refined(self, equation: Any, X: Any, glimpsed: Array | None = None) -> Any:
        """The solution X of a differentiated equation, refined as the options say; "auto" reads which columns ask for it.

        A supplied (w, V) is not refined: it decomposes a matrix that is A only up to its residual. glimpsed: the columns that may
        ask, by an estimate.
        """
        refine, backend = self.options.refine, backend_for(self.V)
        constant = backend.constant
        if self.supplied or not self.options.degeneracy.exact:
            return X
        if refine == "auto":
            if glimpsed is not None and not wanted(glimpsed, check=self.options.check):
                return X
            residual = equation.residual(X)
            if not wanted(residual.asking, check=self.options.check):
                return X
            return backend.either(residual.asking, lambda: equation.corrected(X, residual, constant), lambda: X)
        for _ in range(refine):
            X = equation.corrected(X, equation.residual(X), constant)
        return X

    def arrays(self, left: bool, flags: list[Flag]) -> tuple[tuple[Array, ...], list[Flag]]:
        """The caller's w, V and, with left, W, and the flags with those of W."""
        flags = list(flags)
        if not left:
            return (self.eigenvalues, self.V), flags
        return (self.eigenvalues, self.V, self._left(self.W, flags)), [*flags, self.defective]

    def _finite_only(self, name: str, g: Array, flags: list[Flag]) -> Array:
        """A cotangent (..., n) or (..., n, n), which must vanish for infinite eigenvalues."""
        if self.pencil is None:
            return g
        xp = namespace(g)
        there = g != 0 if g.ndim == self.w.ndim else xp.any(g != 0, axis=-2)
        flags.append(_reports.at_infinity(self.at_infinity & there, name, self.eigenvalues))
        return xp.where(self.pencil.infinite if g.ndim == self.w.ndim else self.pencil.infinite[..., None, :], 0.0, g)

    @held
    def vjp(self, gV: Array | None, gw: Array | None, gW: Array | None, flags: Sequence[Flag] = ()) -> Any:
        """gA, or gA and gB."""
        if gV is None and gw is None and gW is None:
            raise InputError("expected at least one of the cotangents gV, gw and gW, got none of them")
        if gV is not None and gW is None and not flags and (few := vjp_in_numbers(self, gV, gw)) is not None:
            return few
        flags = list(flags)
        gw = self._finite_only("gw", self.eigenvalue_cotangent(gw, flags), flags)
        gB: Array | None
        if gV is None and gW is None:
            gA, gB, split, lost = rules.eigenvalue_vjp(
                gw,
                self.w,
                self.basis,
                pairs=self.pairs,
                split=self.split,
                magnitude=self.magnitude,
                size=self.size,
                degeneracy=self.options.degeneracy,
                left_residual=self.left_residual,
                real_matrix=self.real_matrix,
            )
            flags += [_reports.lost_precision(lost), _reports.split_eigenvalues(split, self.eigenvalues)]
        else:
            gV = self.cotangent("gV", gV, self.V, flags)
            clear = clear_vjp(self, gV, gw) if gW is None else None
            gA, gB = self.masked_vjp(gV, gw, gW, flags) if clear is None else (clear, None)
        if self.perturbation is not None:
            gA = gA if is_complex(self.A) else real(gA)
            gA = self.perturbation.cotangent(gA, self.A, self.size, hermitian=False)
        return self.gradients(gA, gB, flags)

    def masked_vjp(self, gV: Array, gw: Array, gW: Array | None, flags: list[Flag]) -> tuple[Array, Array | None]:
        """gA and gB, where something may be refused."""
        gV = self._finite_only("gV", gV, flags)
        lengths = column_norm(gV)
        reach = self.basis.lengths * lengths
        accuracy = roundoff(self.V) + 0 * self.size
        if self.separated is not None:
            accuracy = accuracy + _LEFT_SPLIT * self.left_error
        gS = None
        if gW is not None:
            gW = self._left(self.cotangent("gW", gW, self.V, flags), flags)
            reach = reach + column_norm(self.W) * column_norm(gW)
            gS = rules.left_cotangent(gW, self.W)
            gV = gV + times_adjoint(self.pencil, gS)
            lengths = column_norm(gV)
            accuracy = accuracy + _LEFT * self.left_error
        equation = rules.MaskedAdjointEquation.of(
            gV,
            gw,
            self.decomposed,
            self.w,
            self.V,
            self.basis,
            pairs=self.pairs,
            kappa=self.kappa,
            sensitivity=self.sensitivity,
            size=self.size,
            gauge=self.options.gauge,
            degeneracy=self.options.degeneracy,
        )
        gA, gB, refused = rules.vjp(
            equation,
            self.refined(equation, equation.solution()),
            gV,
            gw,
            self.V,
            lengths=lengths,
            reach=reach,
            W_norm=self.left_lengths,
            pairs=None if backend_for(self.V).seen_empty(self.pairs) else self.pairs,
            split=self.split,
            kappa=self.kappa,
            accuracy=accuracy,
            gauge=self.options.gauge,
            degeneracy=self.options.degeneracy,
        )
        if gB is not None and gS is not None:
            gB = gB + gS @ adjoint(self.V)
        flags += [self.defective, *_reports.refused(refused, self.eigenvalues, self.options.degeneracy.advice)]
        return gA, gB

    def _tangents(self, dA: Array, dB: Array | None, flags: list[Flag]) -> tuple[Array, Array | None]:
        """dA, as the perturbation moves it, and dB."""
        dA, dB = self.tangent(dA, flags), self.tangent_of_B(dB, flags)
        if self.perturbation is not None:
            dA = self.perturbation.tangent(dA, self.A, self.size, hermitian=False)
        return dA, dB

    def _finite(self, dw: Array) -> Array:
        """dw in the caller's unit, NaN where w is infinite."""
        if self.pencil is None:
            return dw
        return namespace(dw).where(self.at_infinity, float("nan"), dw / self.pencil.unit[..., None])

    @held
    def jvp(self, dA: Array, dB: Array | None, left: bool, flags: Sequence[Flag] = ()) -> tuple[Array, ...]:
        """dw, dV and, with left, dW."""
        flags = list(flags)
        dA, dB = self._tangents(dA, dB, flags)
        equation = rules.TangentEquation.of(
            dA,
            dB,
            self.decomposed,
            self.w,
            self.basis,
            pairs=self.pairs,
            kappa=self.kappa,
            sensitivity=self.sensitivity,
            size=self.size,
            degeneracy=self.options.degeneracy,
        )
        dw, dV = rules.jvp(equation, self.refined(equation, equation.solution()), self.V, gauge=self.options.gauge)
        degeneracy = self.options.degeneracy
        refused = degeneracy.refused_tangents(self.pairs)
        flags += [self.defective, _reports.degenerate(refused, self.eigenvalues, degeneracy.advice)]
        results: tuple[Array, ...] = (self._finite(dw), dV)
        if self.pencil is not None:
            results = results[0], namespace(dV).where(self.at_infinity[..., None, :], float("nan"), dV)
        if left:
            dS = times(self.pencil, dV) if dB is None else times(self.pencil, dV) + promote_complex(dB) @ self.V
            results = (*results, self._left(rules.left_tangent(dS, self.W), flags))
        return self.settle(results, flags)

    @held
    def eigenvalue_jvp(self, dA: Array, dB: Array | None, flags: Sequence[Flag] = ()) -> Array:
        """dw."""
        flags = list(flags)
        dA, dB = self.tangent(dA, flags), self.tangent_of_B(dB, flags)
        dw, split = rules.eigenvalue_jvp(dA, dB, self.w, self.basis, pairs=self.pairs, magnitude=self.magnitude)
        flags += [self.defective, _reports.split_eigenvalues(split, self.eigenvalues)]
        return self.settle((self._finite(dw),), flags)[0]


class GeneralResult(Result):
    """Marks the results of eig."""
