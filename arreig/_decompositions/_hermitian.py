"""A V = V diag(w) for a Hermitian matrix: the eigensystem behind eigh and eigvalsh."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from .._array_api import adjoint, column_norm, device, is_complex, matrix_norm, namespace, roundoff
from .._backends import Backend
from .._errors import EigensystemError, InputError
from .._perturb import Perturb
from .._rules import eigh as rules
from .._split import Split, rebased, separated
from .._types import Array
from . import _inputs, _reports
from ._flags import Flag, Index
from ._system import Eigensystem, Result, bare, carried, in_gauge, resolve, same_matrix


def admit(A: Array) -> tuple[Array, Backend, list[Flag]]:
    """The Hermitian part of A, zero where A is not finite; its backend; what is wrong with A."""
    A, backend = _inputs.matrix(A)
    _inputs.untracked("A", A)
    flags: list[Flag] = []
    A = _reports.tame("A", A, 2, flags)
    skew, size = matrix_norm(A - adjoint(A)), matrix_norm(A)

    def report(batch: Index) -> Exception:
        return InputError(
            f"A{_reports.member(batch)} must be Hermitian (symmetric if real): expected |A - A^H| <= sqrt(u) |A|, got "
            f"{_reports.number(skew[batch])} with |A| = {_reports.number(size[batch])}. Pass (A + A^H)/2, or use eig"
        )

    flags.append(Flag(~(skew <= roundoff(A) ** 0.5 * size), 0, report))
    return rules.hermitian_part(A), backend, flags


@dataclass(frozen=True, eq=False)
class HermitianEigensystem(Eigensystem):
    """Real eigenvalues in ascending order, orthogonal eigenvectors."""

    @classmethod
    def of(
        cls,
        A: Array,
        eigensystem: object = None,
        *,
        gauge: object = None,
        degeneracy: object = None,
        check: object = None,
        vectors: bool = True,
    ) -> tuple[Self, list[Flag]]:
        """Decompose A, or take what the caller has; with the flags that this raised, not read yet.

        vectors: whether the eigenvectors are returned or differentiated, so that their gauge matters.
        """
        A, backend, flags = admit(A)
        own = carried(eigensystem) if isinstance(eigensystem, HermitianResult) else None
        options = resolve(
            A, gauge, degeneracy, None, check, complex_vectors=is_complex(A), own=None if own is None else own.options
        )
        if own is not None:
            same_matrix(A, own)
            return own, [*flags, *own.mismatch(A, vectors)]
        if eigensystem is not None:
            w, V = bare(eigensystem, A, flags, complex_values=False, complex_vectors=is_complex(A))
            system = cls(A, w, V, options, supplied=True)
            return system.admitted([*flags, *system.mismatch(A, vectors), _not_orthogonal(V)], vectors)
        degeneracy, pairs, before = options.degeneracy, None, None
        if isinstance(degeneracy, Perturb):
            w, V = backend.eigh(degeneracy.matrix(A, matrix_norm(A), hermitian=True))
        else:
            w, V = backend.eigh(A)
        if isinstance(degeneracy, Split):
            plain, before = cls(A, w, V, options), V
            clusters = rebased(A, w, V, plain.kappa, plain.size, degeneracy)
            w, V, pairs = separated(A, clusters, plain.kappa, plain.size, degeneracy), clusters.V, clusters.pairs
        if vectors:
            flags.append(_reports.undefined_gauge(V, options.gauge))
            V = in_gauge(V, options.gauge, pairs, before)
        return cls(A, w, V, options, separated=pairs).admitted(flags, vectors)

    @property
    def kappa(self) -> Array:
        return namespace(self.w).ones_like(self.w)

    def vjp(self, gV: Array | None, gw: Array | None, flags: Sequence[Flag] = ()) -> Array:
        """gA."""
        if gV is None and gw is None:
            raise InputError("expected at least one of the cotangents gV and gw, got none of them")
        flags = list(flags)
        gw = self.cotangent("gw", gw, self.w, flags)
        degeneracy = self.options.degeneracy
        if gV is None:
            gA, split = rules.eigenvalue_vjp(
                gw,
                self.w,
                self.V,
                pairs=self.pairs,
                split=self.split,
                kappa=self.kappa,
                size=self.size,
                degeneracy=degeneracy,
            )
            flags.append(_reports.split_eigenvalues(split, self.w))
        else:
            gV = self.cotangent("gV", gV, self.V, flags)
            gA, refused = rules.vjp(
                gV,
                gw,
                self.w,
                self.V,
                pairs=self.pairs,
                split=self.split,
                kappa=self.kappa,
                size=self.size,
                gauge=self.options.gauge,
                degeneracy=degeneracy,
            )
            flags += _reports.refused(refused, self.w, degeneracy.advice)
        if self.perturbation is not None:
            gA = self.perturbation.cotangent(gA, self.A, self.size, hermitian=True)
        return self.settle((gA,), flags)[0]

    def jvp(self, dA: Array, flags: Sequence[Flag] = ()) -> tuple[Array, ...]:
        """dw, dV."""
        flags = list(flags)
        dA = self.tangent(dA, flags)
        if self.perturbation is not None:
            dA = self.perturbation.tangent(rules.hermitian_part(dA), self.A, self.size, hermitian=True)
        degeneracy = self.options.degeneracy
        dw, dV, refused = rules.jvp(
            dA, self.w, self.V, pairs=self.pairs, gauge=self.options.gauge, degeneracy=degeneracy
        )
        flags.append(_reports.degenerate(refused, self.w, degeneracy.advice))
        return self.settle((dw, dV), flags)

    def eigenvalue_jvp(self, dA: Array, flags: Sequence[Flag] = ()) -> Array:
        """dw."""
        flags = list(flags)
        dA = self.tangent(dA, flags)
        dw, split = rules.eigenvalue_jvp(dA, self.V, pairs=self.pairs, kappa=self.kappa)
        flags.append(_reports.split_eigenvalues(split, self.w))
        return self.settle((dw,), flags)[0]


class HermitianResult(Result):
    """Marks the results of eigh."""


def _not_orthogonal(V: Array) -> Flag:
    """Supplied vectors that are eigenvectors, but not an orthogonal basis of a repeated eigenvalue's space."""
    xp = namespace(V)
    Q = V / xp.where(column_norm(V) == 0, 1.0, column_norm(V))[..., None, :]
    eye = xp.eye(V.shape[-1], dtype=V.dtype, device=device(V))
    overlap = matrix_norm(adjoint(Q) @ Q - eye)

    def report(batch: Index) -> Exception:
        return EigensystemError(
            f"supplied eigenvectors{_reports.member(batch)} must be orthogonal, expected |Q^H Q - I| <= sqrt(u) for the "
            f"normalised columns Q, got {_reports.number(overlap[batch])}. Eigenvectors from a general solver are not, where "
            f"eigenvalues repeat: use eigh"
        )

    return Flag(~(overlap <= roundoff(V) ** 0.5), 0, report)
