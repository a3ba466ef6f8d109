"""An eigendecomposition with all that its derivatives need, each part computed once, and the result that carries it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

from .._array_api import column_norm, is_complex, largest, matrix_norm, namespace, roundoff
from .._degeneracy import Degeneracy, Smooth, numerically_equal, transitive_closure
from .._errors import ArreigError, InputError, InputTypeError, kind
from .._gauge import Gauge
from .._perturb import Perturb
from .._split import Split
from .._types import Array
from . import _inputs, _reports
from ._flags import Flag, failed, readable, settle


@dataclass(frozen=True)
class Options:
    """The options of a decomposition, resolved."""

    gauge: Gauge
    degeneracy: Degeneracy
    sort: str | None
    check: bool
    refine: Literal["auto"] | int = 0


@dataclass(frozen=True, eq=False)
class Eigensystem(ABC):
    """A matrix, its (w, V), and the options they were computed with.

    Under `Split` and `Perturb` (w, V) decomposes a matrix nearby. What is supplied is taken to decompose A, up to its residual.
    """

    A: Array  # (..., n, n), not shared with the caller
    w: Array  # (..., n)
    V: Array  # (..., n, n)
    options: Options
    supplied: bool = field(default=False, kw_only=True)
    separated: Array | None = field(default=None, kw_only=True)  # (..., n, n) pairs that `Split` separated
    failed: Array | None = field(default=None, kw_only=True)  # (...) members with an error that nobody has read

    @classmethod
    def again(
        cls,
        A: Array,
        w: Array,
        V: Array,
        separated: Array | None,
        *,
        gauge: object,
        degeneracy: object,
        check: object,
        refine: object = None,
    ) -> Self:
        """An eigensystem that was admitted before, from its arrays, which may be tracked: nothing is decomposed or verified."""
        options = resolve(A, gauge, degeneracy, None, check, refine, complex_vectors=is_complex(V))
        return cls(A, w, V, options, separated=separated)

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch."""
        return tuple(self.w.shape[:-1])

    @property
    def real_matrix(self) -> bool:
        """Whether A has a real dtype."""
        return not is_complex(self.A)

    @cached_property
    def size(self) -> Array:
        """Frobenius norm (...) of A."""
        return matrix_norm(self.A)

    @property
    @abstractmethod
    def kappa(self) -> Array:
        """Condition number (..., n) of each eigenvalue."""

    @property
    def perturbation(self) -> Perturb | None:
        """What moved A before it was decomposed."""
        degeneracy = self.options.degeneracy
        return degeneracy if isinstance(degeneracy, Perturb) and not self.supplied else None

    def _equal(self, residual: Array) -> Array:
        return numerically_equal(self.w, self.kappa, self.size, residual)

    @cached_property
    def _own_residual(self) -> Array:
        return largest(self.residual(self.A), -1)[..., 0]

    @cached_property
    def pairs(self) -> Array:
        """Pairs (..., n, n) of eigenvalues that the policy treats as equal.

        A supplied decomposition resolves no more than its residual, which is no rounding error if it is of a matrix nearby.
        """
        degeneracy = self.options.degeneracy
        near = self.supplied and not isinstance(degeneracy, Smooth)
        return degeneracy.clusters(self._equal(self._own_residual if near else 0 * self.size))

    @cached_property
    def split(self) -> Array | None:
        """Pairs (..., n, n) of eigenvalues that were equal and have been separated; None where the policy separates none."""
        if not (self.supplied and isinstance(self.options.degeneracy, Split)):
            return self.separated
        return transitive_closure(self._equal(self._own_residual)) & ~self.pairs

    def residual(self, A: Array) -> Array:
        """|A v - w v|/|v| of every eigenpair (..., n)."""
        A = namespace(A).astype(A, self.V.dtype, copy=False)  # some libraries multiply matrices of one dtype only
        norm = column_norm(self.V)
        return column_norm(A @ self.V - self.V * self.w[..., None, :]) / namespace(A).where(norm == 0, 1.0, norm)

    def cotangent(self, name: str, g: Array | None, like: Array, flags: list[Flag]) -> Array:
        """A cotangent checked against what it belongs to; zero for None."""
        if g is None:
            return namespace(like).zeros_like(like)
        g = _inputs.like(name, g, tuple(like.shape), self.V, complex_allowed=is_complex(like))
        return _reports.tame(name, g, like.ndim - len(self.batch), flags)

    def tangent(self, dA: Array, flags: list[Flag]) -> Array:
        """dA checked against A."""
        dA = _inputs.like("dA", dA, tuple(self.V.shape), self.V, complex_allowed=not self.real_matrix)
        return _reports.tame("dA", dA, 2, flags)

    def mismatch(self, A: Array, vectors: bool) -> list[Flag]:
        """Whether a supplied (w, V) decomposes A and, if its vectors matter, has the scale of the gauge."""
        departure = self.options.degeneracy.departure(A.shape[-1], roundoff(A))
        flags = [_reports.not_an_eigensystem(self.residual(A), self.w, self.V, matrix_norm(A), departure)]
        if vectors:
            gauge = self.options.gauge
            flags += [_reports.undefined_gauge(self.V, gauge), _reports.off_scale(self.V, gauge)]
        return flags

    def admitted(self, flags: list[Flag], vectors: bool) -> tuple[Self, list[Flag]]:
        """The system with the flags it came with; where they will not be read, its derivatives inherit them."""
        if not (self.options.check and readable(flags)):
            self = replace(self, failed=failed(flags))
        if vectors:
            flags = [*flags, _reports.gauge_tie(self.V, self.options.gauge, self.real_matrix)]
        return self, flags

    def settle(self, results: tuple[Array, ...], flags: Sequence[Flag]) -> tuple[Array, ...]:
        """Read the flags, once."""
        if self.failed is not None:
            flags = [*flags, Flag(self.failed, 0, RuntimeError)]  # not reported: there is no check here
        return settle(results, flags, check=self.options.check)


def in_gauge(V: Array, gauge: Gauge, separated: Array | None, plain: Array | None) -> Array:
    """V in the gauge; members of the batch in which nothing was separated as without that option, to the bit.

    plain: V before. The same numbers lie in memory in another order there, and sums round differently.
    """
    fixed = gauge.fix(V)
    if separated is None:
        return fixed
    xp = namespace(V)
    moved = xp.any(xp.any(separated, axis=-1), axis=-1)[..., None, None]
    return xp.where(moved, fixed, gauge.fix(plain))


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


def same_matrix(A: Array, own: Eigensystem) -> None:
    """Refuse a result for a matrix of another library, device, shape or dtype: the gradient would have those."""
    _inputs.like("A", A, tuple(own.A.shape), own.A, complex_allowed=True)
    if A.dtype != own.A.dtype:
        raise InputTypeError(
            f"A has dtype {A.dtype}, but the supplied result decomposes a matrix of dtype {own.A.dtype}; pass the matrix that "
            f"it decomposes, or (w, V)"
        )


def carried(result: Result) -> Any:
    """The eigensystem behind a result."""
    try:
        return result._carried
    except AttributeError:
        raise ArreigError(
            f"this {type(result).__name__} was rebuilt from its arrays and no longer knows its matrix; call vjp or jvp on the "
            f"result of arreig itself, or use the one-call form with eigensystem=(w, V)"
        ) from None


def resolve(
    A: Array,
    gauge: object,
    degeneracy: object,
    sort: object,
    check: object,
    refine: object = None,
    *,
    complex_vectors: bool,
    own: Options | None = None,
) -> Options:
    """Options from what a caller named; None stands for what the supplied eigensystem has, else for the default."""
    default = own or Options(_inputs.GAUGES["canonical"], _inputs.DEGENERACIES["raise"], None, True, "auto")
    chosen = Options(
        default.gauge if gauge is None else _inputs.gauge(gauge, A, complex_vectors=complex_vectors),
        default.degeneracy if degeneracy is None else _inputs.degeneracy(degeneracy),
        default.sort if sort is None else _inputs.sort(sort),
        default.check if check is None else _inputs.switch("check", check),
        default.refine if refine is None else _inputs.refine(refine),
    )
    if own is not None:
        for name in ("gauge", "degeneracy", "sort", "check", "refine"):
            here, there = getattr(chosen, name), getattr(own, name)
            if here != there:
                raise InputError(
                    f"{name}={here!r} conflicts with the supplied eigensystem, which has {name}={there!r}; leave it out, or "
                    f"pass (w, V) instead of the result"
                )
    return chosen


def bare(
    eigensystem: object, A: Array, flags: list[Flag], *, complex_values: bool, complex_vectors: bool
) -> tuple[Array, Array]:
    """(w, V) of a supplied pair, checked against A by type and shape."""
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
    return _reports.tame("the eigensystem's w", w, 1, flags), _reports.tame("the eigensystem's V", V, 2, flags)
