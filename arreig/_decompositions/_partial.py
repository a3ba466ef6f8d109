"""A few eigenpairs of a large pencil: the eigensystem behind eigs and eigsh. It lives on the host, in double precision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._array_api import (
    adjoint,
    cached_property,
    column_dot,
    column_norm,
    imag,
    is_complex,
    largest,
    namespace,
    real,
    roundoff,
)
from .._backends.deflated import Deflated, Method
from .._backends.pencil import Host, Pencil, ShiftSolver
from .._backends.sources import Source, Stored, hermitian_part, source
from .._degeneracy import Mask, Raise, numerically_equal, transitive_closure
from .._errors import DefectiveMatrixError, InputError, InputTypeError, LostPrecisionError
from .._gauge import Gauge
from .._rules import partial as rules
from .._types import Array
from . import _inputs, _reports
from ._factors import Gradient
from ._flags import Flag, Index, settle
from ._kept import Kept

_RAISED = (
    "Their single eigenvectors have no derivative, only their span and their mean eigenvalue have. If the loss depends on the "
    "cluster through these alone (a projector, a sum over the cluster), use degeneracy='mask'; a loss that is a smooth function "
    "of the matrix as a whole needs all eigenpairs: arreig.eig or eigh with degeneracy='split'"
)
_MASKED = (
    "degeneracy='mask' serves losses that depend on the cluster through its span and its mean eigenvalue alone, but these "
    "cotangents depend on the basis inside it, or tell its eigenvalues apart"
)
_DROWNED = 1e-2  # of the distance to other eigenvalues, by which rounding may move one
_SINGULAR = 1e-2  # u kappa at which a gradient keeps two digits


@dataclass(frozen=True, eq=False)
class PartialEigensystem:
    """k eigenpairs of A - w B, with what their derivatives need."""

    A: Source
    B: Source | None
    pencil: Pencil
    w: Host  # (k,)
    V: Host  # (n, k), in the gauge
    gauge: Gauge
    degeneracy: Raise | Mask
    check: bool
    method: Method
    sigma: complex | None
    solver: ShiftSolver | None
    tol: float
    interval: bool  # whether all eigenvalues between two kept ones are kept, but for what ARPACK missed

    @cached_property
    def kept(self) -> Kept:
        """The eigenpairs as the rule takes them."""
        pairs = self.pencil.real and not self.pencil.hermitian
        return Kept.of(self.w, self.V, conjugate_pairs=pairs, size=self.pencil.unit, u=roundoff(self.V))

    @cached_property
    def BV(self) -> Host:
        """B V of the kept."""
        return self.pencil.mass(self.kept.V)

    @cached_property
    def square(self) -> Host | None:
        """v_j^H B v_j of a Hermitian pencil."""
        return real(namespace(self.BV).sum(self.kept.V.conj() * self.BV, axis=0)) if self.pencil.hermitian else None

    @cached_property
    def W_0(self) -> Host:
        """W_0 (n, K) with W_0^H B V = I."""
        if self.square is not None:
            return self.kept.V / self.square
        xp = namespace(self.BV)
        Q, R = xp.linalg.qr(self.BV)
        singular = xp.linalg.diagonal(R) == 0
        return Q @ adjoint(xp.linalg.inv(R + xp.diag(xp.where(singular, roundoff(R) ** 2, 0.0))))

    @cached_property
    def kappa(self) -> Host:
        """Condition numbers of the kept eigenvalues as far as they come from each other: bounds from below."""
        return column_norm(self.W_0) * column_norm(self.kept.V) * self.pencil.mass_size

    @cached_property
    def pairs(self) -> Host:
        """Pairs (K, K) of numerically equal kept eigenvalues."""
        xp, V = namespace(self.V), self.kept.V
        residual = column_norm(self.pencil.apply(self.kept.w, V)) / column_norm(V) / self.pencil.mass_size
        equal = numerically_equal(self.kept.w, self.kappa, xp.asarray(self.pencil.unit), largest(residual, -1)[0])
        return transitive_closure(equal)

    @cached_property
    def deflated(self) -> Deflated:
        """The systems of the derivatives."""
        basis = self.kept.basis
        return Deflated(self.pencil, self.kept.w, basis, self.pencil.mass(basis), self.method, self.solver, self.sigma)

    @property
    def _defective(self) -> Flag:
        def report(index: Index) -> Exception:
            return DefectiveMatrixError(
                f"the eigenvector of w[{index[0]}] = {_reports.number(self.kept.w[index])} depends linearly on others that were "
                f"kept (condition number {_reports.number(self.kappa[index])}): the matrix is numerically defective, and it has "
                "no derivative"
            )

        return Flag(~(self.kappa * roundoff(self.V) < _SINGULAR), 1, report)

    @property
    def _advice(self) -> str:
        return _MASKED if isinstance(self.degeneracy, Mask) else _RAISED

    def _order(self, active: Sequence[int]) -> list[int]:
        """Neighbours one after the other: they share a factorisation."""
        return sorted(active, key=lambda j: (complex(self.kept.w[j]).imag, complex(self.kept.w[j]).real))

    def _real(self, x: Host, j: int) -> Host:
        """x without its imaginary part, where that is zero because A, B and w_j are real: arithmetic is real then."""
        return real(x) if self.kept.phase is not None and self.kept.partner[j] == j else x

    def vjp(self, gV: Array | None, gw: Array | None) -> tuple[Gradient, Gradient | None]:
        """gA and gB as factors."""
        if gV is None and gw is None:
            raise InputError("expected at least one of the cotangents gV and gw, got none of them")
        xp, kept = namespace(self.V), self.kept
        vectors = gV is not None
        if self.check:
            self.pencil.require_adjoint()
        gV = self._cotangent("gV", gV, self.V)
        gw = self._cotangent("gw", gw, self.w)
        gh, folded = kept.fold(self.gauge.project_cotangent(self.V, gV)), kept.fold(gw)
        cotangents = rules.cotangents(
            kept.fold(gV),
            gh,
            folded,
            kept.w,
            kept.V,
            told=kept.extended(gw),
            square=self.square,
            pairs=self.pairs,
            kappa=self.kappa,
            size=xp.asarray(self.pencil.unit),
            degeneracy=self.degeneracy,
        )
        dependent = rules.gauge_dependent(gV, gw, self.V, size=xp.asarray(self.pencil.unit), gauge=self.gauge)
        Z = self.W_0 @ cotangents.gP
        if self.square is None:
            R = gh + self.pencil.apply_adjoint(kept.w, Z)
        else:  # zero where there is no gV: for eigenvalues of a Hermitian pencil no system is solved
            R = gh - self.BV @ (cotangents.N / self.square[:, None])
        own = (column_norm(gh) > 0) | (folded != 0)
        asked = own | xp.any(cotangents.gP != 0, axis=0)  # of a Hermitian pencil some share in others' cotangents
        active = [j for j in self._order(kept.active) if asked[j]]
        self._read(
            self._defective,
            _reports.degenerate(cotangents.degenerate, kept.w, self._advice if vectors else _reports.EIGENVALUES_SPLIT),
            *_reports.gauge_dependent(dependent),
        )
        scale = column_norm(gh) + (self.pencil.size + self.pencil.mass_size * xp.abs(kept.w)) * column_norm(Z)
        beside = self._ends() if self.interval and self.square is not None and not vectors else active
        Y = Z
        for j in active:
            if self.check and own[j] and j in beside:
                self._require_condition(j)
            Y[:, j] = Y[:, j] - self.deflated.solve_adjoint(j, self._real(R[:, j], j), float(scale[j]))
        lost = rules.lost(gh, kept.w, kept.V, self.W_0, Y, pairs=self.pairs, degeneracy=self.degeneracy)
        self._read(_reports.lost_precision(xp.any(lost[active])))
        YA, YB = Y[:, active], -Y[:, active] * kept.w[active].conj()
        V = kept.V[:, active]
        VB = V
        if self.square is not None and self.B is not None:
            more = rules.mass_correction(cotangents.N, kept.V, square=self.square)
            more = more + kept.V * (self.gauge.cotangent_of_norm(self.V, gV) / self.square)
            YB, VB = xp.concat([YB, more], axis=1), xp.concat([V, kept.V], axis=1)
        return self._gradient(YA, V, self.A), None if self.B is None else self._gradient(YB, VB, self.B)

    def _read(self, *flags: Flag) -> None:
        """Raise what is flagged."""
        if self.check:
            settle((self.V,), flags, check=True)

    def _require_condition(self, j: int) -> None:
        """Refuse eigenpair j where the selection cuts a cluster, or rounding has drowned it: its left eigenvector says so."""
        separation = self.deflated.require_separation(j)
        if self.square is not None:
            return
        w, z = self.kept.w[j], self.W_0[:, j : j + 1]
        r = self._real(self.pencil.apply_adjoint(w, z)[:, 0], j)
        scale = (self.pencil.size + self.pencil.mass_size * abs(w)) * column_norm(z)[0]
        left = z[:, 0] - self.deflated.solve_adjoint(j, r, float(scale))
        kappa = column_norm(left[:, None])[0] * column_norm(self.kept.V)[j] * self.pencil.mass_size
        moved = roundoff(self.V) * float(kappa) * (self.pencil.unit + float(abs(w)))
        if not moved < _DROWNED * min(separation, self.pencil.unit):
            raise LostPrecisionError(
                f"eigenvalue {j}, w = {_reports.number(w)}, has the condition number {float(kappa):.1e}, so that rounding may "
                f"move it by {moved:.1e}; others that were not asked for are {separation:.1e} away (|A| is about "
                f"{self.pencil.size:.1e}). The matrix is too far from normal, or near a defective one, for a derivative with "
                f"two digits: balance it (a diagonal similarity), or take a loss that is a function of the matrix"
            )

    def _ends(self) -> list[int]:
        """The kept eigenvalues beside which one that was left out is likely: at the ends of the selection, and equal to those.

        For the gradient of other eigenvalues of a Hermitian pencil nothing has to be factorised.
        """
        order = self.w.argsort()
        ends = (int(order[0]), int(order[-1]))
        return [j for j in range(len(self.w)) if j in ends or any(self.pairs[j, end] for end in ends)]

    def _gradient(self, Y: Host, V: Host, of: Source) -> Gradient:
        xp = namespace(Y)
        if self.pencil.hermitian:
            Y, V = xp.concat([Y, V], axis=1) / 2, xp.concat([V, Y], axis=1)
        if of.real and (is_complex(Y) or is_complex(V)):
            Y, V = (xp.concat([real(X), imag(X)], axis=1) for X in (Y, V))
            some = xp.any(V != 0, axis=0) & xp.any(Y != 0, axis=0)
            Y, V = Y[:, some], V[:, some]
        return Gradient(of, Y, V)

    def jvp(self, dA: Any, dB: Any) -> tuple[Array, Array]:
        """dw, dV."""
        xp, kept = namespace(self.V), self.kept
        active = self._order(kept.active)
        dAV = self._product("dA", dA, self.A)
        dBV = None if dB is None else self._product("dB", dB, self.B)
        b = dAV if dBV is None else dAV - dBV * kept.w
        refused = self.degeneracy.refused_tangents(self.pairs)
        self._read(self._defective, _reports.degenerate(refused, kept.w, self._advice))
        U = xp.zeros_like(kept.V)
        for j in active:
            if self.check:
                self._require_condition(j)
            U[:, j] = -self.deflated.solve(j, self._real(b[:, j], j), float(column_norm(b)[j]))
        c = adjoint(self.W_0) @ (b + self.pencil.apply(kept.w, U))
        T = rules.tangents(
            c, U, kept.w, kept.V, self.BV, square=self.square, pairs=self.pairs, degeneracy=self.degeneracy
        )
        dw, T = kept.unfold(xp.linalg.diagonal(c), T)
        dV = self.gauge.project_tangent(self.V, T)
        if dBV is not None and self.square is not None:
            dV = dV + self.gauge.tangent_of_norm(self.V, real(column_dot(self.V, dBV)) / self.square)
        dw = real(dw) if self.pencil.hermitian else dw
        return self.A.array(dw), self.A.array(dV)

    def _cotangent(self, name: str, g: Array | None, like: Host) -> Host:
        xp = namespace(like)
        if g is None:
            return xp.zeros_like(like)
        x = self.A.vector(name, g)
        if x.shape != like.shape:
            raise InputError(f"{name} must have shape {like.shape}, got {x.shape}")
        return _inputs.like(name, x, like.shape, like, complex_allowed=is_complex(like))

    def _product(self, name: str, dX: Any, of: Source | None) -> Host:
        """dX V of the kept, for the Hermitian part of dX if the pencil is Hermitian."""
        if of is None:
            raise InputError("dB was given, but there is no B that it could be the tangent of")
        X = source(name, dX)
        if X.shape != of.shape:
            raise InputError(f"{name} must have shape {of.shape}, got {X.shape}")
        if of.real and not X.real:
            raise InputTypeError(f"{name} must be real, because what it is the tangent of is; got a complex one")
        host = hermitian_part(name, X.host) if self.pencil.hermitian and not isinstance(X, Stored) else X.host
        V = self.kept.V
        Y = host @ V
        return (Y + Pencil(host).apply_adjoint(0.0, V)) / 2 if self.pencil.hermitian and isinstance(X, Stored) else Y
