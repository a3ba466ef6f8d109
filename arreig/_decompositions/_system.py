"""An eigendecomposition with all that its derivatives need, each part computed once, and the result that carries it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from math import prod
from typing import Any, ClassVar, Self, TypeVar, cast

from .._array_api import cached_property, column_norm, is_complex, largest, matrix_norm, namespace, real, roundoff
from .._backends import backend_for
from .._degeneracy import Smooth, numerically_equal, transitive_closure
from .._errors import ArreigError, InputError, InputTypeError, kind
from .._gauge import Gauge
from .._perturb import Perturb
from .._rules._pencil import Pencil, growth
from .._split import Split
from .._types import Array
from . import _inputs, _numbers, _pencil, _reports
from ._flags import Flag, failed, open_ones, readable, settle
from ._options import Options, resolve

Derivative = TypeVar("Derivative", bound=Callable[..., Any])


def held(derivative: Derivative) -> Derivative:
    """A derivative of an eigensystem, with the library kept from threads that lose on matrices of its order.

    What is found on the way is kept for other derivatives; by a copy, if a tracer must not be kept longer than it traces.
    """

    @wraps(derivative)
    def inside(self: "Eigensystem", *arguments: Any, **options: Any) -> Any:
        backend = backend_for(self.V)
        if backend.recorded(self.V):
            self = replace(self)
        with backend.held(self.V.shape[-1], self.own_threads):
            return derivative(self, *arguments, **options)

    return cast(Derivative, inside)


@dataclass(frozen=True, eq=False)
class Eigensystem(ABC):
    """A matrix, its (w, V), and the options they were computed with; with a pencil, A V = B V diag(w).

    Under `Split` and `Perturb` (w, V) decomposes a matrix nearby. What is supplied is taken to decompose A, up to its residual.
    """

    A: Array  # (..., n, n), not shared with the caller
    w: Array  # (..., n)
    V: Array  # (..., n, n)
    options: Options
    supplied: bool = field(default=False, kw_only=True)
    separated: Array | None = field(default=None, kw_only=True)  # (..., n, n) pairs that `Split` separated
    failed: Array | None = field(default=None, kw_only=True)  # (...) members with an error that nobody has read
    pencil: Pencil | None = field(default=None, kw_only=True)  # B scaled, and w with it
    own_threads: ClassVar[bool] = False  # whether products of derivatives are left to `Backend.product`
    definite: ClassVar[bool] = False  # whether B has to be Hermitian positive definite

    @classmethod
    def again(
        cls,
        A: Array,
        w: Array,
        V: Array,
        separated: Array | None,
        *,
        B: Array | None = None,
        gauge: object,
        degeneracy: object,
        check: object,
        refine: object = None,
    ) -> Self:
        """An eigensystem that was admitted before, from its arrays, which may be tracked: nothing is decomposed or verified."""
        options = resolve(
            A,
            gauge,
            degeneracy,
            None,
            check,
            refine,
            complex_vectors=is_complex(V),
            metric=cls.definite and B is not None,
        )
        pencil = None
        if B is not None:
            pencil, w = _pencil.with_values(_pencil.scaled(B), w)
        return cls(A, w, V, options, separated=separated, pencil=pencil)

    def __getstate__(self) -> dict[str, Any]:
        """Without what was found on the way: in a copy it may have another memory order, and other rounding."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return tuple(self.w.shape[:-1])

    @property
    def real_matrix(self) -> bool:
        """Whether A, and B, have a real dtype."""
        return real_pencil(self.A, self.pencil)

    @cached_property
    def size(self) -> Array:
        """Frobenius norm (...) of A."""
        return matrix_norm(self.A)

    @property
    def eigenvalues(self) -> Array:
        """w of the caller's matrices (..., n)."""
        if self.pencil is None:
            return self.w
        return namespace(self.w).where(self.pencil.infinite, float("inf"), self.w / self.pencil.unit[..., None])

    @property
    @abstractmethod
    def kappa(self) -> Array:
        """Condition number (..., n) of each eigenpair."""

    @property
    @abstractmethod
    def sensitivity(self) -> Array:
        """u |A| times this (..., n) is the error of w: kappa, but where B moves w by more."""

    @property
    def perturbation(self) -> Perturb | None:
        """What moved A before it was decomposed."""
        degeneracy = self.options.degeneracy
        return degeneracy if isinstance(degeneracy, Perturb) and not self.supplied else None

    def _equal(self, residual: Array | None) -> Array:
        equal = numerically_equal(self.w, self.sensitivity, self.size, residual)
        if self.pencil is None:
            return equal
        return equal & ~self.pencil.infinite[..., None, :] & ~self.pencil.infinite[..., :, None]

    @cached_property
    def own_residual(self) -> Array | None:
        """The largest residual (...) of a supplied decomposition; None for one that was made here."""
        return largest(self.residual(self.A, self.pencil), -1)[..., 0] if self.supplied else None

    @cached_property
    def pairs(self) -> Array:
        """Pairs (..., n, n) of eigenvalues that the policy treats as equal.

        A supplied decomposition resolves no more than its residual, which is no rounding error if it is of a matrix nearby.
        """
        degeneracy = self.options.degeneracy
        near = not isinstance(degeneracy, Smooth)
        return degeneracy.clusters(self._equal(self.own_residual if near else None))

    @cached_property
    def split(self) -> Array | None:
        """Pairs (..., n, n) of eigenvalues that were equal and have been separated; None where the policy separates none."""
        if not (self.supplied and isinstance(self.options.degeneracy, Split)):
            return self.separated
        return transitive_closure(self._equal(self.own_residual)) & ~self.pairs

    @property
    def refused_twice(self) -> Array:
        """Pairs (..., n, n) that keep a derivative from being differentiated again."""
        return self.options.degeneracy.refused_second_derivatives(self.pairs, self.w, self.sensitivity, self.size)

    def residual(self, A: Array, pencil: Pencil | None = None) -> Array:
        """|A v - w v|/|v| of every eigenpair (..., n); with B |A v - w B v|/|v| relative to max(1, |w|/|A|)."""
        xp = namespace(A)
        V, norm = self.V, column_norm(self.V)
        norm = xp.where(norm == 0, 1.0, norm)
        A = xp.astype(A, V.dtype, copy=False)  # some libraries multiply matrices of one dtype only
        if pencil is None:
            return column_norm(A @ V - V * self.w[..., None, :]) / norm
        BV, size = xp.astype(pencil.B, V.dtype, copy=False) @ V, matrix_norm(A)
        finite = column_norm(A @ V - BV * self.w[..., None, :]) / growth(self.w, size)
        return xp.where(pencil.infinite, column_norm(BV) * size[..., None], finite) / norm

    def cotangent(self, name: str, g: Array | None, like: Array, flags: list[Flag]) -> Array:
        """A cotangent checked against what it belongs to; zero for None."""
        if g is None:
            return namespace(like).zeros_like(like)
        g = _inputs.like(name, g, tuple(like.shape), self.V, complex_allowed=is_complex(like))
        return _reports.tame(name, g, like.ndim - len(self.batch), flags)

    def eigenvalue_cotangent(self, gw: Array | None, flags: list[Flag]) -> Array:
        """gw, checked, in the unit of w."""
        gw = self.cotangent("gw", gw, self.w, flags)
        return gw if self.pencil is None else gw / self.pencil.unit[..., None]

    def tangent(self, dA: Array, flags: list[Flag]) -> Array:
        """dA checked against A."""
        dA = _inputs.like("dA", dA, tuple(self.V.shape), self.V, complex_allowed=is_complex(self.A))
        return _reports.tame("dA", dA, 2, flags)

    def tangent_of_B(self, dB: Array | None, flags: list[Flag]) -> Array | None:
        """dB checked against B, in its unit; None if it is held fixed."""
        if dB is None:
            return None
        if self.pencil is None:
            raise InputError("dB is the tangent of B, and there is no B here; pass B too")
        dB = _inputs.like("dB", dB, tuple(self.V.shape), self.V, complex_allowed=is_complex(self.pencil.B))
        return _reports.tame("dB", dB, 2, flags) / self.pencil.unit[..., None, None]

    def mismatch(self, A: Array, pencil: Pencil | None, vectors: bool) -> list[Flag]:
        """Whether a supplied (w, V) decomposes A and, if its vectors matter, has the scale of the gauge."""
        departure = self.options.degeneracy.departure(A.shape[-1], roundoff(A))
        size, equation = matrix_norm(A), "|A v - w v|/|v|"
        if pencil is not None:
            equation = "|A v - w B v|/|v|, over max(1, |w| |B|/(sqrt(n) |A|)),"
            size = size if departure == 0 else size * largest(growth(self.w, size), -1)[..., 0]
        residual = self.residual(A, pencil)
        flags = [_reports.not_an_eigensystem(residual, self.eigenvalues, self.V, size, departure, equation)]
        if vectors:
            gauge = self.gauge_of(pencil)
            flags += [*_reports.undefined_gauge(self.V, gauge), _reports.off_scale(self.V, gauge)]
        return flags

    def gauge_of(self, pencil: Pencil | None) -> Gauge:
        """The gauge, which may depend on B."""
        gauge = self.options.gauge
        if pencil is None:
            return gauge
        xp, B = namespace(self.V), pencil.B * pencil.unit[..., None, None]
        return gauge.bound(lambda V: xp.astype(B, V.dtype, copy=False) @ V)

    def gradients(self, gA: Array, gB: Array | None, flags: Sequence[Flag]) -> Any:
        """gA, or gA and gB where there is a B, each real if its matrix is; reads the flags."""
        gA = gA if is_complex(self.A) else real(gA)
        if gB is None or self.pencil is None:
            return self.settle((gA,), flags)[0]
        gB = (gB if is_complex(self.pencil.B) else real(gB)) / self.pencil.unit[..., None, None]
        return self.settle((gA, gB), flags)

    def admitted(self, flags: list[Flag], ties: list[Flag]) -> tuple[Self, list[Flag]]:
        """The system with the flags it came with; where they will not be read, its derivatives inherit them."""
        if not flags:
            return self, ties
        flags = open_ones(flags)
        if not (self.options.check and readable(flags)) and (bad := failed(flags)) is not None:
            self = replace(self, failed=bad)
        return self, [*flags, *ties]

    def ties(self) -> list[Flag]:
        """What the gauge makes of supplied vectors."""
        gauge = self.options.gauge
        return _reports.gauge_tie(self.V, gauge, self.real_matrix, gauge.anchors(self.V))

    def settle(self, results: tuple[Array, ...], flags: Sequence[Flag]) -> tuple[Array, ...]:
        """Read the flags, once."""
        if self.failed is not None:
            flags = [*flags, Flag(self.failed, 0, RuntimeError)]  # not reported: there is no check here
        return settle(results, flags, check=self.options.check)


def real_pencil(A: Array, pencil: Pencil | None) -> bool:
    """Whether A, and B, have a real dtype."""
    return not (is_complex(A) or (pencil is not None and is_complex(pencil.B)))


def in_gauge(
    V: Array, gauge: Gauge, real_matrix: bool, separated: Array | None, plain: Array | None, *, unit: bool
) -> tuple[Array, list[Flag]]:
    """V in the gauge, and its ties; members of the batch in which nothing was separated as without that option, to the bit.

    plain: V before. The same numbers lie in memory in another order there, and sums round differently. unit: whether the solver's
    vectors have norm 1, as those have that were separated.
    """
    if separated is None:
        return _fixed(V, gauge, real_matrix, unit)
    xp = namespace(V)
    moved = xp.any(xp.any(separated, axis=-1), axis=-1)[..., None, None]
    V = xp.where(moved, gauge.fix(V, unit=unit), gauge.fix(plain, unit=unit))
    return V, _reports.gauge_tie(V, gauge, real_matrix, gauge.anchors(V))


def _fixed(V: Array, gauge: Gauge, real_matrix: bool, unit: bool) -> tuple[Array, list[Flag]]:
    """V in the gauge, and its ties, of large batches in parts."""
    xp, backend, n = namespace(V), backend_for(V), V.shape[-1]
    if unit and backend.in_numbers(V) and (rows := _numbers.in_gauge(V.tolist(), gauge, roundoff(V))) is not None:
        return xp.asarray(rows, dtype=V.dtype), []
    members = prod(V.shape[:-2])
    step = backend.at_once(members, n)
    if step >= members or gauge.batched:
        anchors = gauge.anchors(V)
        return gauge.fix(V, anchors, unit=unit), _reports.gauge_tie(V, gauge, real_matrix, anchors)
    stack = xp.reshape(V, (members, n, n))

    def of_part(start: int) -> tuple[Array, bool]:
        part = stack[start : start + step, ...]
        anchors = gauge.anchors(part)
        return gauge.fix(part, anchors, unit=unit), not _reports.gauge_tie(part, gauge, real_matrix, anchors)

    parts, untied = zip(*backend.run(of_part, range(0, members, step)), strict=True)
    fixed = xp.reshape(xp.concat(parts), V.shape)
    return fixed, [] if all(untied) else _reports.gauge_tie(V, gauge, real_matrix, gauge.anchors(V))


def second_derivative(g: Array, pairs: Array, w: Array, *, check: bool) -> Array:
    """g, what comes back through a derivative of the eigensystem or goes forward through it, unless a cluster forbids that.

    pairs (..., n, n), as refused by `Degeneracy.refused_second_derivatives`; g (..., n) or (..., n, n). That g vanishes is no
    reason to let it pass: the missing part of a second derivative may leave just 0.
    """
    return settle((g,), [_reports.second_derivative(pairs, w)], check=check)[0]


class Result:
    """What the public named tuples inherit: the eigensystem they came from."""

    _carried: Eigensystem

    def _carry(self, system: Eigensystem) -> Self:
        self._carried = system
        return self


def same_matrix(A: Array, B: Array | None, own: Eigensystem) -> Pencil | None:
    """Refuse a result for matrices of another library, device, shape or dtype: the gradient would have those.

    The result's pencil with the caller's B.
    """
    if (B is None) != (own.pencil is None):
        raise InputError(
            "the supplied result is one of A V = B V diag(w); pass its B too"
            if B is None
            else "B was given, but the supplied result is one of A V = V diag(w), without B"
        )
    there = {"A": (A, own.A)} | ({} if own.pencil is None else {"B": (B, own.pencil.B)})
    for name, (X, decomposed) in there.items():
        _inputs.like(name, X, tuple(decomposed.shape), decomposed, complex_allowed=True)
        if X.dtype != decomposed.dtype:
            raise InputTypeError(
                f"{name} has dtype {X.dtype}, but the supplied result decomposes a matrix of dtype {decomposed.dtype}; pass "
                f"the matrix that it decomposes, or (w, V)"
            )
    return None if own.pencil is None else _pencil.like(own.pencil, B)


def carried(result: Result) -> Any:
    """The eigensystem behind a result."""
    try:
        return result._carried
    except AttributeError:
        raise ArreigError(
            f"this {type(result).__name__} was rebuilt from its arrays and no longer knows its matrix; call vjp or jvp on the "
            f"result of arreig itself, or use the one-call form with eigensystem=(w, V)"
        ) from None


def bare(
    eigensystem: object,
    A: Array,
    flags: list[Flag],
    *,
    complex_values: bool,
    complex_vectors: bool,
    infinite: bool = False,
) -> tuple[Array, Array]:
    """(w, V) of a supplied pair, checked against A by type and shape; infinite: whether w may be."""
    if isinstance(eigensystem, Result):
        raise InputTypeError(
            f"eigensystem is a {type(eigensystem).__name__}, which this function does not differentiate; use its own vjp or jvp"
        )
    if not isinstance(eigensystem, tuple | list) or len(eigensystem) != 2:
        raise InputTypeError(
            f"eigensystem must be a result of arreig or a pair (w, V), got {kind(eigensystem)}"
            + (f" of length {len(eigensystem)}" if isinstance(eigensystem, tuple | list) else "")
        )
    w, V = eigensystem
    shape = tuple(A.shape)
    w = _inputs.like("the eigensystem's w", w, shape[:-1], A, complex_allowed=complex_values)
    V = _inputs.like("the eigensystem's V", V, shape, A, complex_allowed=complex_vectors)
    w = w if infinite else _reports.tame("the eigensystem's w", w, 1, flags)
    return w, _reports.tame("the eigensystem's V", V, 2, flags)
