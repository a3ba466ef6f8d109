"""The invariant subspace of selected eigenvalues: what spectral_projector and invariant_subspace share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import index
from typing import Any, Literal, Protocol, Self, TypeAlias

from .. import _errors
from .._array_api import adjoint, device, is_complex, matrix_norm, namespace, promote_complex, real, roundoff
from .._backends import backend_for, schur
from .._errors import InputError, InputTypeError, kind
from .._order import descending
from .._rules import subspace as rules
from .._types import Array
from . import _inputs, _reports
from ._flags import Flag, Index, failed, readable, settle

Select: TypeAlias = Callable[[Array], Array] | int

_ADJOINTS: dict[str, Literal["off", "off*", "into", "into*"]] = {
    "off": "off*",
    "off*": "off",
    "into": "into*",
    "into*": "into",
}
_LOST = 1e-2  # u |A| |P|/sep at which a derivative keeps two digits


@dataclass(frozen=True)
class Sylvester:
    """X = off(C), into(C) or into*(C) of `_rules.subspace`, and its derivatives, for what differentiates a derivative.

    B stands for P, or for Q; solve(C, equation) for a solution that is differentiated further. off* is the adjoint map of off.
    """

    name: Literal["off", "off*", "into", "into*"]

    @property
    def adjoint(self) -> "Sylvester":
        """The equation that the adjoint map solves."""
        return Sylvester(_ADJOINTS[self.name])

    def solve(self, B: Array, C: Array, T: Array, U: Array, count: Array) -> Array:
        """X."""
        if self.name == "off*":
            return rules.off_adjoint(C, off=lambda C: Sylvester("off").solve(B, C, T, U, count))
        backend, result = backend_for(T), [(tuple(C.shape), T.dtype)]
        if self.name == "off":
            return backend.on_host(schur.off_diagonal, result, T, U, count, B, C)[0]
        return backend.on_host(partial(schur.into_complement, adjoint=self.name == "into*"), result, T, U, C)[0]

    def jvp(
        self, dA: Array, dB: Array, dC: Array, A: Array, B: Array, C: Array, X: Array, solve: "DifferentiableSolve"
    ) -> Array:
        """dX."""
        own = partial(solve, equation=self)
        if self.name == "off":
            return rules.off_jvp(dA, dB, dC, B, C, X, off=own)
        if self.name == "off*":
            off = partial(solve, equation=self.adjoint)
            return rules.off_adjoint_jvp(dA, dB, dC, B, C, X, off=off)
        if self.name == "into*":
            A, dA = adjoint(A), adjoint(dA)
        return rules.into_jvp(dA, dB, dC, A, B, C, X, into=own)

    def vjp(
        self, gX: Array, A: Array, B: Array, C: Array, X: Array, solve: "DifferentiableSolve"
    ) -> tuple[Array, Array, Array]:
        """gA, gB, gC."""
        if self.name == "off":
            return rules.off_vjp(gX, B, C, X, off=partial(solve, equation=self))
        starred = self.name == "into*"
        gA, gQ, gC = rules.into_vjp(
            gX, adjoint(A) if starred else A, B, C, X, adjoint_into=partial(solve, equation=self.adjoint)
        )
        return adjoint(gA) if starred else gA, gQ, gC


class DifferentiableSolve(Protocol):
    """X of an equation, differentiated by the caller's library."""

    def __call__(self, C: Array, /, *, equation: Sylvester) -> Array: ...


@dataclass(frozen=True, eq=False)
class SpectralSubspace:
    """A matrix and its Schur form, selected eigenvalues first. Real A: real, unless the selection parts conjugates."""

    A: Array  # (..., n, n), not shared with the caller
    T: Array  # (..., n, n)
    U: Array  # (..., n, n) A = U T U^H
    count: Array  # (...) int32, how many are selected
    P: Array  # (..., n, n) spectral projector; None where only Q is differentiated
    Q: Array | None  # (..., n, m) leading columns of U, if m is one for all and known
    check: bool
    failed: Array | None = field(default=None, kw_only=True)  # (...) members with an error that nobody has read

    @classmethod
    def of(cls, A: Array, select: object, sort: object, check: object) -> tuple[Self, list[Flag]]:
        """Decompose A and order its eigenvalues; with the flags that this raised, not read yet."""
        A, backend = _inputs.matrix(A)
        _inputs.untracked("A", A)
        check = _inputs.switch("check", check)
        m = _count(select, sort, A.shape[-1])
        flags: list[Flag] = []
        A = _inputs.own(_reports.tame("A", A, 2, flags))
        square, batch, real_dtype = tuple(A.shape), tuple(A.shape[:-2]), real(A).dtype
        complex_dtype = promote_complex(A).dtype
        w, T, U = backend.on_host(schur.schur, [(square[:-1], complex_dtype), (square, A.dtype), (square, A.dtype)], A)
        if m is None:
            selected = _mask(select, w)
        else:
            order = descending(w, _inputs.sort(sort) or "abs", real_matrix=not is_complex(A))
            selected = namespace(w).argsort(order, axis=-1) < m
        known = backend.readable(selected)
        T, U, count, P, separation = backend.on_host(
            partial(schur.reorder, keep_dtype=not known),
            [(square, A.dtype), (square, A.dtype), (batch, namespace(A).int32), (square, A.dtype), (batch, real_dtype)],
            T,
            U,
            selected,
        )
        flags.append(_not_separated(A, P, count, separation, w, selected))
        if m is None and known:
            m = _common(count)
        system = cls(A, T, U, count, P, None if m is None else U[..., :, :m], check)
        if not (check and readable(flags)):
            system = replace(system, failed=failed(flags))
        return system, flags

    @property
    def basis(self) -> Array:
        """Q."""
        if self.Q is not None:
            return self.Q
        if not backend_for(self.count).readable(self.count):
            raise unknown_count()
        xp = namespace(self.count)
        raise InputError(
            f"the matrices of the batch have between {int(xp.min(self.count))} and {int(xp.max(self.count))} selected "
            f"eigenvalues, but their bases make one array: select a count, or call this for each matrix, or use "
            f"spectral_projector, whose shape does not depend on it"
        )

    def _solve(self, C: Array, /, *, equation: Sylvester) -> Array:
        return equation.solve(self.P, self._cast(C), self.T, self.U, self.count)

    def _cast(self, X: Array) -> Array:
        return namespace(X).astype(X, self.T.dtype, copy=False)

    def _own(self, gA: Array) -> Array:
        """The gradient of a real matrix is real."""
        return gA if is_complex(self.A) else real(gA)

    def _like(self, name: str, X: Array, like: Array, flags: list[Flag], *, complex_allowed: bool) -> Array:
        X = _inputs.like(name, X, tuple(like.shape), self.A, complex_allowed=complex_allowed)
        return self._cast(_reports.tame(name, X, 2, flags))

    def _cotangent(self, name: str, g: Array, like: Array, flags: list[Flag]) -> Array:
        return self._like(name, _inputs.given(name, g), like, flags, complex_allowed=is_complex(like))

    def _tangent(self, dA: Array, flags: list[Flag]) -> Array:
        return self._like("dA", dA, self.A, flags, complex_allowed=is_complex(self.A))

    def projector_vjp(self, gP: Array, flags: Sequence[Flag] = (), solve: DifferentiableSolve | None = None) -> Array:
        """gA; solve: for second derivatives."""
        flags = list(flags)
        gP = self._cotangent("gP", gP, self.P, flags)
        off = partial(solve or self._solve, equation=Sylvester("off"))
        return self.settle((self._own(rules.projector_vjp(gP, self.P, off=off)),), flags)[0]

    def projector_jvp(self, dA: Array, flags: Sequence[Flag] = (), solve: DifferentiableSolve | None = None) -> Array:
        """dP."""
        flags = list(flags)
        off = partial(solve or self._solve, equation=Sylvester("off"))
        return self.settle((rules.projector_jvp(self._tangent(dA, flags), self.P, off=off),), flags)[0]

    def basis_vjp(
        self, gQ: Array, basis: Array | None, flags: Sequence[Flag] = (), solve: DifferentiableSolve | None = None
    ) -> Array:
        """gA; basis: of the subspace, to which gQ belongs, if not the own one."""
        flags = list(flags)
        Q = self.basis
        gQ = self._cotangent("gQ", gQ, Q, flags)
        if basis is not None:
            gQ = gQ @ adjoint(self._turn(basis, Q, flags))
        flags.append(_dependent(rules.depends_on_basis(gQ, Q)))
        into_adjoint = partial(solve or self._solve, equation=Sylvester("into*"))
        return self.settle((self._own(rules.basis_vjp(gQ, Q, into_adjoint=into_adjoint)),), flags)[0]

    def basis_jvp(
        self, dA: Array, basis: Array | None, flags: Sequence[Flag] = (), solve: DifferentiableSolve | None = None
    ) -> Array:
        """dQ."""
        flags = list(flags)
        Q = self.basis
        into = partial(solve or self._solve, equation=Sylvester("into"))
        dQ = rules.basis_jvp(self._tangent(dA, flags), Q, into=into)
        if basis is not None:
            dQ = dQ @ self._turn(basis, Q, flags)
        return self.settle((dQ,), flags)[0]

    def _turn(self, basis: Array, Q: Array, flags: list[Flag]) -> Array:
        """The unitary factor on the right that makes a supplied basis of Q."""
        xp = namespace(Q)
        basis = self._like("basis", basis, Q, flags, complex_allowed=is_complex(Q))
        turn = adjoint(Q) @ basis
        eye = xp.eye(turn.shape[-1], dtype=turn.dtype, device=device(turn))
        off, skew = matrix_norm(basis - Q @ turn), matrix_norm(adjoint(basis) @ basis - eye)

        def report(batch: Index) -> Exception:
            return _errors.EigensystemError(
                f"basis{_reports.member(batch)} is no orthonormal basis of the selected subspace of A: it is "
                f"{_reports.number(off[batch])} off the subspace, expected sqrt(u) at most, and |Q^H Q - I| is "
                f"{_reports.number(skew[batch])}. Pass what invariant_subspace returned for this A and selection, or leave it out"
            )

        flags.append(Flag(~((off <= roundoff(Q) ** 0.5) & (skew <= roundoff(Q) ** 0.5)), 0, report))
        return turn

    def settle(self, results: tuple[Array, ...], flags: Sequence[Flag]) -> tuple[Array, ...]:
        """Read the flags, once."""
        if self.failed is not None:
            flags = [*flags, Flag(self.failed, 0, RuntimeError)]  # not reported: there is no check here
        return settle(results, flags, check=self.check) if flags else results


@dataclass(frozen=True)
class Selection:
    """Which subspace, and whether its projector or its basis; its derivatives as functions of arrays.

    For libraries that keep their own record of derivatives, as `_problem.Problem`.
    """

    select: Select
    sort: Any
    check: bool
    projector: bool

    def decompose(self, A: Array) -> tuple[Array, ...]:
        """P or Q, and the ordered Schur form."""
        system, flags = SpectralSubspace.of(A, self.select, self.sort, self.check)
        out = namespace(A).asarray(system.P if self.projector else system.basis, copy=True)
        return (*system.settle((out,), flags), system.T, system.U, system.count)

    def count(self, n: int) -> int | None:
        """How many of n eigenvalues are selected; None if a function of them says."""
        return _count(self.select, self.sort, n)

    def again(self, A: Array, out: Array, T: Array, U: Array, count: Array) -> SpectralSubspace:
        """The subspace of an earlier call of `decompose`."""
        P, Q = (out, None) if self.projector else (None, out)
        return SpectralSubspace(A, T, U, count, P, Q, self.check)

    def jvp(self, system: SpectralSubspace, dA: Array, solve: DifferentiableSolve) -> Array:
        """dP or dQ."""
        return system.projector_jvp(dA, solve=solve) if self.projector else system.basis_jvp(dA, None, solve=solve)

    def vjp(self, system: SpectralSubspace, g: Array, solve: DifferentiableSolve) -> Array:
        """gA."""
        return system.projector_vjp(g, solve=solve) if self.projector else system.basis_vjp(g, None, solve=solve)


def unknown_count() -> InputError:
    """Of a basis whose shape would depend on numbers that a tracer does not have."""
    return InputError(
        "the number of selected eigenvalues is a shape, which a tracer (jax.jit, vmap) must know: select a count, or use "
        "spectral_projector, whose shape does not depend on it"
    )


def _count(select: object, sort: object, n: int) -> int | None:
    """The number of leading eigenvalues that are selected, None for a function."""
    sort = _inputs.sort(sort)
    if callable(select):
        if sort is not None:
            raise InputError(f"sort={sort!r} says which eigenvalues a count takes; a function selects them itself")
        return None
    try:
        if isinstance(select, bool):
            raise TypeError
        count = index(select)  # type: ignore[arg-type]
    except TypeError:
        raise InputTypeError(
            f"select must be a function of the eigenvalues that returns a boolean array, or a number of leading ones; got "
            f"{select!r}"
        ) from None
    if not 0 <= count <= n:
        raise InputError(f"select={count} eigenvalues, but A has {n}")
    return count


def _mask(select: Any, w: Array) -> Array:
    xp = namespace(w)
    selected = select(namespace(w).asarray(w, copy=True))
    try:
        right = namespace(selected) is xp and selected.dtype == xp.bool and selected.shape == w.shape
    except TypeError:
        right = False
    if not right:
        shape = tuple(w.shape)
        what = f"{getattr(selected, 'dtype', '')} of shape {tuple(getattr(selected, 'shape', ()))}"
        raise InputTypeError(
            f"select must return a boolean array of the eigenvalues' shape {shape} and library ({kind(w)}), got "
            f"{kind(selected)} {what}"
        )
    return selected


def _common(count: Array) -> int | None:
    xp = namespace(count)
    if 0 in count.shape:
        return 0
    least, most = int(xp.min(count)), int(xp.max(count))
    return least if least == most else None


def _not_separated(A: Array, P: Array, count: Array, separation: Array, w: Array, selected: Array) -> Flag:
    xp = namespace(A)
    # |P|_F^2 = m + |Z|^2, and |P|_2^2 = 1 + |Z|_2^2
    excess = matrix_norm(P) ** 2 - xp.astype(count, separation.dtype)
    norm = xp.sqrt(1 + xp.where(excess > 0, excess, 0.0))
    size = matrix_norm(A)
    # Of the zero matrix only all or nothing can be selected; then the separation is infinite.
    error = xp.where(size > 0, roundoff(A) * size * norm, xp.finfo(separation.dtype).max)
    enough = error < _LOST * separation

    def report(batch: Index) -> Exception:
        eigenvalues, chosen = w[batch], selected[batch]
        d = xp.abs(eigenvalues[:, None] - eigenvalues[None, :])
        d = xp.where(chosen[:, None] & ~chosen[None, :], d, xp.inf)
        i, j = divmod(int(xp.argmin(d)), d.shape[-1])
        return _errors.SpectrumNotSeparatedError(
            f"the selected eigenvalues of A{_reports.member(batch)} are not separated from the others: sep(T11, T22) = "
            f"{_reports.number(separation[batch])}, expected more than 100 u |A| |P|, with |A| = {_reports.number(size[batch])} "
            f"and |P| = {_reports.number(norm[batch])}. The closest are {_reports.number(eigenvalues[i])}, selected, and "
            f"{_reports.number(eigenvalues[j])}, not selected, at a distance of {_reports.number(d[i, j])}. Select both or "
            f"neither"
        )

    return Flag(~enough, 0, report)


def _dependent(where: Array) -> Flag:
    def report(batch: Index) -> Exception:
        return _errors.GaugeDependentLossError(
            f"the loss depends on the basis of the subspace{_reports.member(batch)}: Q^H gQ is not Hermitian, but Q is "
            f"determined only up to a unitary factor on the right. Make the loss invariant under Q -> Q U, for instance a "
            f"function of Q Q^H"
        )

    return Flag(where, 0, report)
