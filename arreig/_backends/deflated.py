"""Solves with A - w_j B between the complements of the kept eigenvectors and of their images under B.

With Q and Q_B orthonormal bases of span V and span B V,

    T_j = (I - Q_B Q_B^H) (A - w_j B) (I - Q Q^H)

has an inverse if w_j is no eigenvalue beside the kept ones. (A - w_j B) maps span V into span B V, so that

    T_j^-1 r = (I - Q Q^H) (A - w_j B)^-1 r      for r orthogonal to span B V,

where a shift s near w_j takes the place of w_j, whose factorisation does not exist: the rest is iterative refinement, or GMRES
where s is far away. One factorisation serves every w_j that is near its shift against the distance to the spectrum left out.

Sources: Nelson, AIAA J. 14 (1976) 1201, for one bordered system an eigenpair; Andrew, Tan, SIAM J. Matrix Anal. Appl. 20 (1998)
78, for iterative solution of all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse.linalg as linalg

from .._errors import ConvergenceError, InputError, SpectrumNotSeparatedError
from .pencil import Host, Pencil, ShiftSolver, SingularShiftError, Supplied, probe

_U = float(np.finfo(np.float64).eps) / 2
_WANTED = 1e-12  # relative residual at which a solve is done,
_ROUNDING = 10.0  # or u ||A|| ||x|| times this, what rounding leaves
_ACCEPTED = 1e-8  # relative residual above which it has failed, or 1e3 times what rounding leaves
_STALLED = 1e2  # times what is wanted, above which refinement that went no further has not merely met rounding
_STEPS = 12
_RESTART, _CYCLES = 60, 30
_SOLVED = 0.1  # relative residual of a caller's solver that knows its shift
_SHARED = 0.05  # how far, against the spectrum left out, a shift may be from the eigenvalue that it serves
_CUT = 1e-2  # u ||A||/distance to the spectrum left out, where two digits remain
_LARGE = 5000  # beyond this order nothing is factorised of which the forward did not already factorise something

Method = Literal["auto", "direct", "iterative"] | Callable[..., Any]


class Side(NamedTuple):
    """T_j or its adjoint: product, solver, projectors off its range and its domain; scale: of the right-hand side's terms."""

    product: Callable[[Host], Host]
    solver: Callable[[Host], Host] | None
    off_range: Callable[[Host], Host]
    off_domain: Callable[[Host], Host]
    scale: float


@dataclass(frozen=True, eq=False)
class Near:
    """A solver for a shift, and the distance of that to the spectrum left out; 0, unknown, if it is a caller's and inexact."""

    shift: complex
    solver: ShiftSolver
    distance: float
    exact: bool


@dataclass(eq=False)
class Deflated:
    """T_j for every kept eigenvalue. basis (n, m), mass_basis: columns that span V and B V, real if A, B and the span are."""

    pencil: Pencil
    w: Host
    basis: Host
    mass_basis: Host
    method: Method
    kept: ShiftSolver | None = None  # what the forward has factorised
    sigma: complex | None = None
    _near: Near | None = None

    @cached_property
    def Q(self) -> Host:
        """Orthonormal basis of span V."""
        return np.linalg.qr(self.basis)[0]

    @cached_property
    def Q_B(self) -> Host:
        """Orthonormal basis of span B V."""
        return self.Q if self.pencil.B is None else np.linalg.qr(self.mass_basis)[0]

    def off_V(self, x: Host) -> Host:
        """(I - Q Q^H) x."""
        return _off(self.Q, x)

    def off_BV(self, x: Host) -> Host:
        """(I - Q_B Q_B^H) x."""
        return _off(self.Q_B, x)

    def solve(self, j: int, r: Host, scale: float) -> Host:
        """T_j^-1 r; scale: of what r is the sum of, u times which is noise in it."""
        return self._solved(j, r, scale, adjoint=False)

    def solve_adjoint(self, j: int, r: Host, scale: float) -> Host:
        """T_j^-H r."""
        return self._solved(j, r, scale, adjoint=True)

    def separation(self, j: int) -> float:
        """Distance of w_j to the spectrum left out, about and from above: the growth of a generic vector under T_j^-1 B."""
        if self.Q.shape[1] == self.pencil.n:
            return np.inf
        near = self._direct(j)
        if near is not None and near.distance > 4 * abs(near.shift - self.w[j]):
            return float(near.distance - abs(near.shift - self.w[j]))
        side = self._side(j, self.kept if near is None else near.solver, 0.0, adjoint=False)
        x = probe(self.pencil.n).astype(self._dtype(j))
        for _ in range(2):
            b = side.off_range(self.pencil.mass(x / np.linalg.norm(x)))
            exact = near is not None and near.exact
            x = self._iterated(side, b, cycles=1 if exact else _CYCLES)
            if self._excess(side, x, b) <= _ACCEPTED / _WANTED:
                continue
            if exact:  # such a solver fails only where an eigenvalue left out is w_j to rounding
                return 0.0
            if self._may_factorise():
                self.method = "direct"
                return self.separation(j)
            raise ConvergenceError(
                f"whether the selection cuts a cluster at eigenpair {j}, w = {_number(self.w[j])}, could not be found out: "
                f"GMRES did not converge. {self._advice()}, or check=False"
            )
        return _inverse(np.linalg.norm(x))

    def _may_factorise(self) -> bool:
        return self.method == "auto" and self.pencil.explicit

    def require_separation(self, j: int) -> float:
        """The separation of w_j, refused where the selection cuts a cluster."""
        separation, size = self.separation(j), self.pencil.unit
        if not _U * (size + abs(self.w[j])) < _CUT * separation:
            raise SpectrumNotSeparatedError(
                f"eigenvalue {j}, {_number(self.w[j])}, is one of a cluster that the selection cuts: another one that was not "
                f"asked for is {separation:.1e} away (|A| is about {self.pencil.size:.1e}), so that the eigenvectors kept have "
                f"no derivative. Ask for more or fewer eigenpairs, so that all of the cluster is in or out"
            )
        return separation

    def _dtype(self, j: int) -> Any:
        return np.float64 if self._real(j) else np.complex128

    def _real(self, j: int) -> bool:
        return self.pencil.real and not np.iscomplexobj(self.Q) and complex(self.w[j]).imag == 0

    def _shift(self, j: int) -> complex:
        """w_j moved by sqrt(u) |A|: a factorisation at w_j itself would not exist."""
        w = float(self.w[j].real) if self._real(j) else complex(self.w[j])
        step = float(_U**0.5 * (self.pencil.unit or 1.0))
        return w + step

    def _direct(self, j: int) -> Near | None:
        """A factorisation near w_j, an old one if it serves; None where nothing may be factorised."""
        direct = (
            callable(self.method)
            or self.method == "direct"
            or (self.method == "auto" and self.pencil.explicit and (self.sigma is not None or self.pencil.n <= _LARGE))
        )
        if not direct:
            return None
        if self._near is not None and abs(self._near.shift - self.w[j]) < _SHARED * self._near.distance:
            return self._near
        self._near = None  # one at a time: it is the memory that a derivative takes
        shift = self._shift(j)
        if callable(self.method):
            solver: ShiftSolver = Supplied(self.method, shift)
        else:
            try:
                solver = self.pencil.factorise(shift)
            except SingularShiftError:
                raise InputError(
                    f"A - s B has no inverse at s = {_number(shift)}, beside the eigenvalue {_number(self.w[j])}: the pencil is "
                    f"singular, and every number is an eigenvalue"
                ) from None
        x = self.off_V(probe(self.pencil.n).astype(self._dtype(j)))
        for _ in range(3):
            x = x / np.linalg.norm(x)
            b = self.off_BV(self.pencil.mass(x))
            y = solver.solve(b)
            exact = not callable(self.method) or self._solves(shift, y, b)
            x = self.off_V(y)
        self._near = Near(shift, solver, _inverse(np.linalg.norm(x)) if exact else 0.0, exact)
        return self._near

    def _solves(self, shift: complex, y: Host, b: Host) -> bool:
        return float(np.linalg.norm(self.pencil.apply(shift, y) - b)) < _SOLVED * float(np.linalg.norm(b))

    def _side(self, j: int, solver: ShiftSolver | None, scale: float, *, adjoint: bool) -> Side:
        w = self.w[j].real if self._real(j) else self.w[j]
        if adjoint:
            return Side(
                lambda y: self.off_V(self.pencil.apply_adjoint(w, y)),
                None if solver is None else solver.solve_adjoint,
                self.off_V,
                self.off_BV,
                scale,
            )
        return Side(
            lambda x: self.off_BV(self.pencil.apply(w, x)),
            None if solver is None else solver.solve,
            self.off_BV,
            self.off_V,
            scale,
        )

    def _solved(self, j: int, r: Host, scale: float, *, adjoint: bool) -> Host:
        b = (self.off_V if adjoint else self.off_BV)(r)
        if self.Q.shape[1] == self.pencil.n or np.linalg.norm(b) <= _ROUNDING * _U * scale:
            return np.zeros_like(b)
        near = self._direct(j)
        side = self._side(j, self.kept if near is None else near.solver, scale, adjoint=adjoint)
        x = np.zeros_like(b) if near is None else self._refined(side, b)
        if self._excess(side, x, b) > _STALLED:
            better = self._iterated(side, b, cycles=1 if near is not None and near.exact else _CYCLES)
            x = min(x, better, key=lambda y: self._excess(side, y, b))
        excess = self._excess(side, x, b)
        if excess > _ACCEPTED / _WANTED and near is None and self._may_factorise():
            self.method = "direct"
            return self._solved(j, r, scale, adjoint=adjoint)
        if excess > _ACCEPTED / _WANTED:
            residual = float(np.linalg.norm(b - side.product(x)) / np.linalg.norm(b))
            raise ConvergenceError(
                f"the system for eigenpair {j}, w = {_number(self.w[j])}, was solved to a relative residual of {residual:.1e} "
                f"only, expected {_ACCEPTED:.0e}. {self._advice()}",
                residuals=np.asarray([residual]),
            )
        return x

    def _excess(self, side: Side, x: Host, b: Host) -> float:
        """The residual of x relative to what is wanted."""
        return float(np.linalg.norm(b - side.product(x))) / self._target(side, x, b)

    def _target(self, side: Side, x: Host, b: Host) -> float:
        rounding = _ROUNDING * _U * (self.pencil.size * np.linalg.norm(x) + side.scale)
        return float(max(_WANTED * np.linalg.norm(b), rounding))

    def _advice(self) -> str:
        if callable(self.method):
            return "The supplied solve does not solve with A - shift B well enough to precondition GMRES"
        if self.pencil.explicit:
            return "Use solve='direct' (a sparse factorisation for every eigenpair), or a solver of your own"
        return "Give eigs a shift sigma near these eigenvalues with a solver (solve=), whose inverse then preconditions GMRES"

    def _refined(self, side: Side, b: Host) -> Host:
        """Solution by repeated solves with the factorisation."""
        solver = side.solver
        assert solver is not None
        return self._repeated(side, b, lambda r, tolerance: solver(r), _STEPS)

    def _iterated(self, side: Side, b: Host, cycles: int = _CYCLES) -> Host:
        """Solution by GMRES with what preconditioner there is; MINRES where the matrix is Hermitian and there is none."""
        n, solver = len(b), side.solver
        operator = linalg.LinearOperator((n, n), matvec=lambda x: side.product(side.off_domain(x)), dtype=b.dtype)
        inverse = None
        if solver is not None:
            inverse = linalg.LinearOperator((n, n), matvec=lambda r: side.off_domain(solver(r)), dtype=b.dtype)
        symmetric = self.pencil.hermitian and self.pencil.B is None and self.pencil.real

        def step(r: Host, tolerance: float) -> Host:
            if solver is None and symmetric:
                return linalg.minres(operator, r, rtol=_WANTED, maxiter=cycles * _RESTART)[0]
            return linalg.gmres(operator, r, rtol=tolerance, restart=min(_RESTART, n), maxiter=cycles, M=inverse)[0]

        return self._repeated(side, b, step, 3)

    def _repeated(self, side: Side, b: Host, step: Callable[[Host, float], Host], most: int) -> Host:
        """Steps from the residual and the relative tolerance that it asks for, as long as each halves the residual."""
        x, r, norm = np.zeros_like(b), b, float(np.linalg.norm(b))
        for _ in range(most):
            tolerance = max(0.5 * self._target(side, x, b) / norm, _WANTED)
            better = x + side.off_domain(step(r, tolerance))
            r = side.off_range(b - side.product(better))  # of rounding errors it has some in span V, or B V
            left = float(np.linalg.norm(r))
            if not left < 0.5 * norm:
                break
            x, norm = better, left
            if norm <= self._target(side, x, b):
                break
        return x


def _inverse(x: Any) -> float:
    return float(1 / x) if x else np.inf


def _off(Q: Host, x: Host) -> Host:
    return x - Q @ (Q.conj().T @ x)


def _number(w: Any) -> str:
    z = complex(w)
    return f"{z.real:.6g}" if z.imag == 0 else f"{z.real:.6g}{z.imag:+.6g}j"
