"""A V = V diag(w), or B V diag(w), for Hermitian A and positive definite B: the eigensystem behind eigh and eigvalsh."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from .._array_api import (
    adjoint,
    column_norm,
    column_square,
    device,
    is_complex,
    largest,
    matrix_norm,
    namespace,
    real,
    roundoff,
)
from .._backends import Backend
from .._errors import EigensystemError, InputError
from .._perturb import Perturb
from .._rules import eigh as rules
from .._rules._pencil import Pencil, growth
from .._split import Split, rebased, separated
from .._types import Array
from . import _inputs, _pencil, _reports
from ._flags import Flag, Index
from ._options import Options, resolve
from ._system import Eigensystem, Result, bare, carried, held, in_gauge, same_matrix


def admit(A: Array, B: Array | None) -> tuple[Array, Array | None, Backend, list[Flag]]:
    """The Hermitian parts of A and B, zero where they are not finite; A's backend; what is wrong with them."""
    A, backend = _inputs.matrix(A)
    _inputs.untracked("A", A)
    flags: list[Flag] = []
    A = _hermitian("A", A, flags)
    if B is not None:
        _inputs.untracked("B", B := _inputs.second(B, A))
        B = _hermitian("B", B, flags)
    return A, B, backend, flags


def _hermitian(name: str, X: Array, flags: list[Flag]) -> Array:
    """The Hermitian part of X, which may be no more than rounding away."""
    X = _reports.tame(name, X, 2, flags)
    skew, size = matrix_norm(X - adjoint(X)), matrix_norm(X)

    def report(batch: Index) -> Exception:
        return InputError(
            f"{name}{_reports.member(batch)} must be Hermitian (symmetric if real): expected |{name} - {name}^H| <= sqrt(u) "
            f"|{name}|, got {_reports.number(skew[batch])} with |{name}| = {_reports.number(size[batch])}. Pass ({name} + "
            f"{name}^H)/2, or use eig"
        )

    flags.append(Flag(~(skew <= roundoff(X) ** 0.5 * size), 0, report))
    return rules.hermitian_part(X)


@dataclass(frozen=True, eq=False)
class HermitianEigensystem(Eigensystem):
    """Real eigenvalues in ascending order, orthogonal eigenvectors, or B-orthogonal ones."""

    definite = True

    @classmethod
    def of(
        cls,
        A: Array,
        B: Array | None = None,
        eigensystem: object = None,
        *,
        gauge: object = None,
        degeneracy: object = None,
        check: object = None,
        vectors: bool = True,
        solver: Backend | None = None,
    ) -> tuple[Self, list[Flag]]:
        """Decompose A, or take what the caller has; with the flags that this raised, not read yet.

        vectors: whether the eigenvectors are returned or differentiated, so that their gauge matters. solver: who decomposes, if
        not A's library.
        """
        A, B, backend, flags = admit(A, B)
        own = carried(eigensystem) if isinstance(eigensystem, HermitianResult) else None
        complex_vectors = is_complex(A) or (B is not None and is_complex(B))
        options = resolve(
            A,
            gauge,
            degeneracy,
            None,
            check,
            complex_vectors=complex_vectors,
            metric=B is not None,
            own=None if own is None else own.options,
        )
        if own is not None:
            pencil = same_matrix(A, B, own)
            return own, [*flags, *own.mismatch(A, pencil, vectors)]
        pencil = None if B is None else _pencil.scaled(B)
        if eigensystem is not None:
            w, V = bare(eigensystem, A, flags, complex_values=False, complex_vectors=complex_vectors)
            if pencil is not None:
                pencil, w = _pencil.with_values(pencil, w)
            system = cls(A, w, V, options, supplied=True, pencil=pencil)
            mismatch = system.mismatch(A, pencil, vectors)
            flags += [*mismatch, _not_orthogonal(V, pencil)]
            return system.admitted(flags, system.ties() if vectors else [])
        w, V, pairs, before = cls._decomposed(A, pencil, options, solver or backend, flags)
        system = cls(A, w, V, options, separated=pairs, pencil=pencil)
        ties: list[Flag] = []
        if vectors:
            gauge = system.gauge_of(pencil)
            flags += _reports.undefined_gauge(V, gauge)
            V, ties = in_gauge(V, gauge, system.real_matrix, pairs, before, unit=False)
            system = replace(system, V=V)
        return system.admitted(flags, ties)

    @classmethod
    def _decomposed(
        cls, A: Array, pencil: Pencil | None, options: Options, backend: Backend, flags: list[Flag]
    ) -> tuple[Array, Array, Array | None, Array | None]:
        """w and V, and what was separated, with V as it was before."""
        degeneracy = options.degeneracy
        if isinstance(degeneracy, Split):
            return cls._split(A, pencil, options, degeneracy, backend, flags)
        if isinstance(degeneracy, Perturb):
            A = degeneracy.matrix(A, matrix_norm(A), hermitian=True)
        if pencil is None:
            w, V = backend.eigh(A)
        else:
            w, V, least = backend.eigh_definite(*_pencil.same_dtype(A, pencil.B))
            flags.append(_reports.not_definite(least))
        return w, V, None, None

    @classmethod
    def _split(
        cls, A: Array, pencil: Pencil | None, options: Options, policy: Split, backend: Backend, flags: list[Flag]
    ) -> tuple[Array, Array, Array, Array]:
        """As `_decomposed`, of the standard problem that has the same eigenvalues."""
        T = None
        if pencil is not None:
            A, T, least = backend.reduced_definite(*_pencil.same_dtype(A, pencil.B))
            flags.append(_reports.not_definite(least))
        w, V = backend.eigh(A)
        plain = cls(A, w, V, options)
        clusters = rebased(A, w, V, plain.kappa, plain.size, policy)
        w = separated(A, clusters, plain.kappa, plain.size, policy)
        new, before = (X if T is None else T @ X for X in (clusters.V, V))
        return w, new, clusters.pairs, before

    @property
    def magnitude(self) -> Array:
        """|q_j|^2 (..., n): how large derivatives of w_j by A are."""
        if self.pencil is None:
            return namespace(self.w).ones_like(self.w)
        return column_square(rules.unitary(self.V, self.pencil)[0])

    @property
    def kappa(self) -> Array:
        return self.magnitude if self.pencil is None else self.magnitude / growth(self.w, self.size)

    @property
    def sensitivity(self) -> Array:
        """The solvers reduce the problem to a standard one, with the error of its largest eigenvalue in all."""
        if self.pencil is None:
            return self.magnitude
        own = self.magnitude * growth(self.w, self.size)
        return namespace(own).maximum(own, largest(self.magnitude, -1))

    @held
    def vjp(self, gV: Array | None, gw: Array | None, flags: Sequence[Flag] = ()) -> Any:
        """gA, or gA and gB."""
        if gV is None and gw is None:
            raise InputError("expected at least one of the cotangents gV and gw, got none of them")
        flags = list(flags)
        gw = self.eigenvalue_cotangent(gw, flags)
        degeneracy = self.options.degeneracy
        gB: Array | None
        if gV is None:
            gA, gB, split = rules.eigenvalue_vjp(
                gw,
                self.w,
                self.V,
                pencil=self.pencil,
                pairs=self.pairs,
                split=self.split,
                kappa=self.magnitude,
                size=self.size,
                degeneracy=degeneracy,
            )
            flags.append(_reports.split_eigenvalues(split, self.eigenvalues))
        else:
            gV = self.cotangent("gV", gV, self.V, flags)
            gA, gB, refused = rules.vjp(
                gV,
                gw,
                self.w,
                self.V,
                pencil=self.pencil,
                pairs=self.pairs,
                split=self.split,
                kappa=self.kappa,
                size=self.size,
                gauge=self.options.gauge,
                degeneracy=degeneracy,
            )
            flags += _reports.refused(refused, self.eigenvalues, degeneracy.advice)
        if self.perturbation is not None:
            gA = gA if is_complex(self.A) else real(gA)
            gA = self.perturbation.cotangent(gA, self.A, self.size, hermitian=True)
        return self.gradients(gA, gB, flags)

    def _values(self, dw: Array) -> Array:
        """dw in the caller's unit."""
        return dw if self.pencil is None else dw / self.pencil.unit[..., None]

    @held
    def jvp(self, dA: Array, dB: Array | None, flags: Sequence[Flag] = ()) -> tuple[Array, ...]:
        """dw, dV."""
        flags = list(flags)
        dA, dB = self.tangent(dA, flags), self.tangent_of_B(dB, flags)
        if self.perturbation is not None:
            dA = self.perturbation.tangent(rules.hermitian_part(dA), self.A, self.size, hermitian=True)
        degeneracy = self.options.degeneracy
        dw, dV, refused = rules.jvp(
            dA,
            dB,
            self.w,
            self.V,
            pencil=self.pencil,
            pairs=self.pairs,
            gauge=self.options.gauge,
            degeneracy=degeneracy,
        )
        flags.append(_reports.degenerate(refused, self.eigenvalues, degeneracy.advice))
        return self.settle((self._values(dw), dV), flags)

    @held
    def eigenvalue_jvp(self, dA: Array, dB: Array | None, flags: Sequence[Flag] = ()) -> Array:
        """dw."""
        flags = list(flags)
        dA, dB = self.tangent(dA, flags), self.tangent_of_B(dB, flags)
        dw, split = rules.eigenvalue_jvp(
            dA, dB, self.w, self.V, pencil=self.pencil, pairs=self.pairs, kappa=self.magnitude
        )
        flags.append(_reports.split_eigenvalues(split, self.eigenvalues))
        return self.settle((self._values(dw),), flags)[0]


class HermitianResult(Result):
    """Marks the results of eigh."""


def _not_orthogonal(V: Array, pencil: Pencil | None) -> Flag:
    """Supplied vectors that are eigenvectors, but not an orthogonal basis of a repeated eigenvalue's space."""
    xp = namespace(V)
    eye = xp.eye(V.shape[-1], dtype=V.dtype, device=device(V))
    if pencil is None:
        Q = V / xp.where(column_norm(V) == 0, 1.0, column_norm(V))[..., None, :]
        product, BQ, allowed = "Q^H Q", Q, 1.0
    else:
        Q, _ = rules.unitary(V, pencil)
        product, BQ = "Q^H B Q", xp.astype(pencil.B, V.dtype, copy=False) @ Q
        allowed = largest(column_norm(Q), -1)[..., 0] * largest(column_norm(BQ), -1)[..., 0]
    overlap = matrix_norm(adjoint(Q) @ BQ - eye)

    def report(batch: Index) -> Exception:
        return EigensystemError(
            f"supplied eigenvectors{_reports.member(batch)} must be orthogonal, expected |{product} - I| <= sqrt(u) for the "
            f"normalised columns Q, got {_reports.number(overlap[batch])}. Eigenvectors from a general solver are not, where "
            f"eigenvalues repeat: use eigh"
        )

    return Flag(~(overlap <= roundoff(V) ** 0.5 * allowed), 0, report)
