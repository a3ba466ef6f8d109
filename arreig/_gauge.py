"""Gauges: what makes an eigenvector unique, each a pair of projectors.

An eigenvector is determined up to a factor. Differentiating A V = V diag(w) determines its tangent up to a multiple of
itself: dv = u + c v, where u = (the part that the equation gives) and c is what the gauge says. With s = v^H gV and the
inner product <X, Y> = Re tr(X^H Y), the adjoint of u -> u + c(u) v is gV -> gh:

    gauge          fixes                                    c(u)                                         gh
    canonical      ||v|| and the phase of v_k, v_k the      -Re(v^H u)/||v||^2                           gV - Re(s) v/||v||^2
                   largest component, k held fixed             - i Im(conj(p) u_k)/|v_k|                    - i p Im(s)/|v_k| e_k
    phase-free     ||v||; the loss must not depend          -v^H u/||v||^2                               gV - s v/||v||^2
                   on the phase
    Component(m)   v_m                                      -u_m/v_m                                     gV - e_m s/conj(v_m)
    Functional(z)  z^H v                                    -z^H u/(z^H v)                               gV - z s/conj(z^H v)
    B-norm         v^H B v and the phase of v_k             -i Im(conj(p) u_k)/|v_k|                     gV - i p Im(s)/|v_k| e_k

The last is for a Hermitian A and a positive definite B, where v_j^H B u_j = 0. It depends on B itself: dv gets
-v (v^H dB v)/(2 v^H B v) more, so that gB gets -Re(s) v v^H/(2 v^H B v).

p = v_k/|v_k|. Every formula holds the fixed quantity where it is, so an eigensystem of any phase is differentiated as it
was given. Adjoint: Re(conj(s) c(u)) = <gh - gV, u> for each row, by Re(conj(s) c) = Re(s) Re(c) + Im(s) Im(c) and
Im(conj(p) u_k) = <i p e_k, u>.

Sources: Magnus, Econometric Theory 1 (1985) for z^H v = 1; Boeddeker et al., arXiv:1701.00392, for norm-1 vectors.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import index
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from ._array_api import (
    column_dot,
    column_norm,
    column_square,
    conj,
    device,
    first,
    imag,
    is_complex,
    largest,
    namespace,
    norm_of,
    nowhere,
    real,
    relative_tolerance,
    roundoff,
)
from ._errors import InputTypeError
from ._types import Array


def _columns(c: Array) -> Array:
    """One number per column, ready to multiply a matrix."""
    return c[..., None, :]


def _nonzero(x: Array) -> Array:
    """x with 1 where it vanishes: where that happens a flag is raised elsewhere."""
    return namespace(x).where(x == 0, 1.0, x)


class Anchors(NamedTuple):
    """What the canonical gauge looks at in vectors of any scale."""

    size: Array  # (..., n, n) |V|
    top: Array  # (..., 1, n) the largest of each vector
    mask: Array  # (..., n, n) component k, the first within sqrt(u) of the largest
    v_k: Array  # (..., n)

    @property
    def rivals(self) -> Array:
        """Components that may take over from k under rounding."""
        return (self.size >= (1 - 4 * roundoff(self.size) ** 0.5) * self.top) & ~self.mask


Parts: TypeAlias = tuple[Array | None, Array | None, Array | None]
Joint: TypeAlias = Callable[[Array], Array]


def each(turns: Array) -> Array:
    """Every vector turns by itself."""
    return turns


def without(parts: Parts, V: Array, gV: Array) -> Array:
    """gV - V diag(c) - M diag(t)."""
    along, pattern, t = parts
    gh = gV if along is None else gV - V * _columns(along)
    return gh if pattern is None or t is None else gh - pattern * _columns(t)


class Gauge(ABC):
    """What the rules and the public functions ask of a gauge; V, U, gV ``(..., n, n)``, one vector a column."""

    open: ClassVar[bool] = False  # whether it leaves the phase open, so that `dependence` has something to say

    @property
    def conjugates(self) -> bool:
        """Whether it leaves conjugate vectors conjugate, and real ones real."""
        return True

    @property
    def batched(self) -> bool:
        """Whether it has numbers of its own for each member of a batch."""
        return False

    @abstractmethod
    def scale(self, V: Array, /) -> Array:
        """The number ``(..., n)`` that the gauge sets to 1 for each column."""

    def anchors(self, V: Array, /) -> Anchors | None:
        """What `fix` and `tie` both look at, to be found once; None where that is nothing."""
        return None

    @abstractmethod
    def fix(self, V: Array, anchors: Anchors | None = None, /, *, unit: bool = False) -> Array:
        """V with every column multiplied as the gauge asks; unit: V has columns of norm 1, up to rounding."""

    @abstractmethod
    def project_tangent(self, V: Array, U: Array, /) -> Array:
        """dV = U + V diag(c(U))."""

    def project_cotangent(self, V: Array, gV: Array, /) -> Array:
        """gh, the adjoint of project_tangent."""
        return without(self.cotangent_parts(V, column_square(V), column_dot(V, gV)), V, gV)

    @abstractmethod
    def cotangent_parts(self, V: Array, squares: Array, s: Array, /) -> Parts:
        """c, M and t (..., n) of gh = gV - V diag(c) - M diag(t), M (..., n, n or 1), where s_j = v_j^H gV_j; None for zero.

        squares (..., n): ||v_j||^2.
        """

    def bound(self, product: Callable[[Array], Array], /) -> "Gauge":
        """The gauge for eigenvectors of A V = B V diag(w), able to scale and fix them; product: V -> B V."""
        return self

    def tangent_of_norm(self, V: Array, P: Array, /) -> Array:
        """What dB adds to dV by a norm that depends on B; P (..., n) are the v_j^H dB v_j/(v_j^H B v_j)."""
        return 0 * V

    def cotangent_of_norm(self, V: Array, gV: Array, /) -> Array:
        """The adjoint: the cotangents (..., n) of P."""
        return 0 * column_square(V)

    def undefined(self, V: Array, /) -> Array | None:
        """Columns ``(..., n)``, of any scale, that this gauge cannot scale; None if it can scale all."""
        return None

    def tie(self, V: Array, real_matrix: bool, anchors: Anchors, /) -> Array:
        """Columns ``(..., n)`` of any scale that this gauge may rotate abruptly under rounding."""
        return nowhere(anchors.v_k)

    def dependence(
        self, V: Array, gV: Array, size: Array, noise: Callable[[], Array], joint: Joint = each, /
    ) -> Array | None:
        """Columns ``(..., n)`` on whose phase the loss depends although the gauge leaves it open; None if it leaves none open.

        size ``(..., n)``, noise ``(..., 1)``: of the cotangents of each vector, and of what rounding in the loss leaves of s.
        joint: from the derivatives by the phases ``(..., n)`` to those by the ones that are free, where vectors turn together.
        """
        return None


@dataclass(frozen=True)
class Canonical(Gauge):
    """Norm 1, the largest component real and positive."""

    def scale(self, V: Array, /) -> Array:
        return column_norm(V)

    def anchors(self, V: Array, /) -> Anchors:
        xp = namespace(V)
        size = xp.abs(V)
        top = largest(size, -2)
        mask = first(size >= (1 - roundoff(V) ** 0.5) * top)
        return Anchors(size, top, mask, xp.sum(xp.where(mask, V, 0.0), axis=-2))

    def fix(self, V: Array, anchors: Anchors | None = None, /, *, unit: bool = False) -> Array:
        xp = namespace(V)
        size, _, mask, v_k = anchors or self.anchors(V)
        length = xp.abs(v_k)
        if unit:
            turn = conj(v_k / length)
        else:
            norm = _nonzero(norm_of(size, -2))
            turn, length = conj(v_k / _nonzero(length)) / norm, length / norm
        V = V * _columns(turn)
        return xp.where(mask, _columns(length), V)  # exactly real, where the product leaves a rounding error

    def project_tangent(self, V: Array, U: Array, /) -> Array:
        c = -real(column_dot(V, U)) / _nonzero(column_square(V))
        if is_complex(V):
            c = c + 1j * self._turn(V, U)
        return U + V * _columns(c)

    def _turn(self, V: Array, U: Array) -> Array:
        """Im c."""
        xp = namespace(V)
        _, _, mask, v_k = self.anchors(V)
        u_k = xp.sum(xp.where(mask, U, 0.0), axis=-2)
        return -imag(u_k / _nonzero(v_k))  # Im(conj(p) u_k)/|v_k| = Im(u_k/v_k)

    def _turned(self, V: Array, s: Array) -> tuple[Array | None, Array | None]:
        """What Im c takes from gV."""
        if not is_complex(V):
            return None, None
        _, _, mask, v_k = self.anchors(V)
        return namespace(V).astype(mask, real(V).dtype), 1j * imag(s) / _nonzero(conj(v_k))  # p/|v_k| = 1/conj(v_k)

    def cotangent_parts(self, V: Array, squares: Array, s: Array, /) -> Parts:
        return real(s) / _nonzero(squares), *self._turned(V, s)

    def tie_ratio(self, V: Array, real_matrix: bool, /) -> Array:
        """The largest modulus (..., n) of the components that could take over from k, relative to the largest."""
        anchors = self.anchors(V)
        others = ~anchors.mask & ~_alike(V, real_matrix, anchors)
        rival = largest(namespace(V).where(others, anchors.size, 0.0), -2)
        return (rival / _nonzero(anchors.top))[..., 0, :]

    def tie(self, V: Array, real_matrix: bool, anchors: Anchors, /) -> Array:
        rivals = anchors.rivals & (anchors.top > 0)
        return namespace(V).any(rivals & ~_alike(V, real_matrix, anchors), axis=-2)


def _alike(V: Array, real_matrix: bool, anchors: Anchors) -> Array:
    """Components that take over from k without a jump: of a vector that stays real those of one sign."""
    xp = namespace(V)
    if not real_matrix:
        return nowhere(anchors.mask)
    is_real = largest(xp.abs(imag(V)), -2) == 0
    return is_real & (real(V) * _columns(real(anchors.v_k)) > 0)


@dataclass(frozen=True)
class BNorm(Canonical):
    """v^H B v = 1, the largest component real and positive, for a Hermitian A and a positive definite B."""

    product: Callable[[Array], Array] | None = field(default=None, compare=False, repr=False)

    def bound(self, product: Callable[[Array], Array], /) -> Gauge:
        return BNorm(product)

    def scale(self, V: Array, /) -> Array:
        assert self.product is not None, "bound before it is asked"
        return namespace(V).sqrt(real(column_dot(V, self.product(V))))

    def fix(self, V: Array, anchors: Anchors | None = None, /, *, unit: bool = False) -> Array:
        V = super().fix(V, anchors, unit=unit)
        return V / _columns(_nonzero(self.scale(V)))

    def project_tangent(self, V: Array, U: Array, /) -> Array:
        return U + V * _columns(1j * self._turn(V, U)) if is_complex(V) else U

    def cotangent_parts(self, V: Array, squares: Array, s: Array, /) -> Parts:
        return None, *self._turned(V, s)

    def tangent_of_norm(self, V: Array, P: Array, /) -> Array:
        return V * _columns(-P / 2)

    def cotangent_of_norm(self, V: Array, gV: Array, /) -> Array:
        return -real(column_dot(V, gV)) / 2


@dataclass(frozen=True)
class PhaseFree(Gauge):
    """Norm 1, the phase left as it is: for losses that do not depend on it. Others are refused."""

    open = True

    def scale(self, V: Array, /) -> Array:
        return column_norm(V)

    def fix(self, V: Array, anchors: Anchors | None = None, /, *, unit: bool = False) -> Array:
        return V if unit else V / _columns(_nonzero(column_norm(V)))

    def project_tangent(self, V: Array, U: Array, /) -> Array:
        return U - V * _columns(column_dot(V, U) / _nonzero(column_square(V)))

    def cotangent_parts(self, V: Array, squares: Array, s: Array, /) -> Parts:
        return s / _nonzero(squares), None, None

    def dependence(self, V: Array, gV: Array, size: Array, noise: Callable[[], Array], joint: Joint = each, /) -> Array:
        """Im s_j is the loss's derivative by the phase of v_j: relative to the cotangents, above the loss's noise."""
        return namespace(V).abs(joint(imag(column_dot(V, gV)))) > relative_tolerance(V) * size + noise()


class _Linear(Gauge):
    """Gauges that set a linear functional z^H v to 1; they differ in z."""

    @abstractmethod
    def _z(self, V: Array) -> Array:
        """z as one column ``(..., n, 1)`` of V's dtype."""

    def scale(self, V: Array, /) -> Array:
        return column_dot(self._z(V), V)

    def undefined(self, V: Array, /) -> Array:
        bound = roundoff(V) ** 0.5 * column_norm(self._z(V)) * column_norm(V)
        return ~(namespace(V).abs(self.scale(V)) > bound)

    def fix(self, V: Array, anchors: Anchors | None = None, /, *, unit: bool = False) -> Array:
        return V / _columns(namespace(V).where(self.undefined(V), 1.0, self.scale(V)))

    def project_tangent(self, V: Array, U: Array, /) -> Array:
        return U - V * _columns(column_dot(self._z(V), U) / _nonzero(self.scale(V)))

    def cotangent_parts(self, V: Array, squares: Array, s: Array, /) -> Parts:
        return None, self._z(V), s / _nonzero(conj(self.scale(V)))


@dataclass(frozen=True)
class Component(_Linear):
    """Gauge v_m = 1: component `m` of every eigenvector is 1, the others are relative to it.

    Parameters
    ----------
    m : int
        Index of the component; negative ones count from the end. It must not vanish in any eigenvector:
        `GaugeError` where ``|v_m| < sqrt(u) ||v||``, u the unit roundoff.

    Notes
    -----
    The vectors have no unit norm. For a complex matrix this gauge is holomorphic: ``dV`` is complex-linear in ``dA``.

    Examples
    --------
    >>> import numpy as np, arreig
    >>> arreig.eig(np.array([[1.0, 2.0], [3.0, 2.0]]), gauge=arreig.Component(0), sort="real").eigenvectors.real
    array([[ 1. ,  1. ],
           [ 1.5, -1. ]])
    """

    m: int

    def __post_init__(self) -> None:
        try:
            index(self.m)
        except TypeError:
            raise InputTypeError(f"Component(m) expects an integer index, got {self.m!r}") from None

    def _z(self, V: Array) -> Array:
        xp = namespace(V)
        m = xp.arange(V.shape[-2], device=device(V)) == self.m % max(V.shape[-2], 1)
        return xp.astype(m, V.dtype)[:, None]


@dataclass(frozen=True, eq=False)
class Functional(_Linear):
    """Gauge z^H v = 1 for a given vector z.

    ``Functional(ones)`` makes the components of every eigenvector sum to 1, as a stationary distribution or a stable
    stage distribution is written; ``Functional(w_0)`` with a left eigenvector of a reference matrix is the
    normalisation of perturbation theory.

    Parameters
    ----------
    z : array, shape (n,) or (..., n)
        Real or complex, of the library and on the device of the matrix; leading axes broadcast with its batch. It is
        held constant: no derivative with respect to `z` is returned. It must not be orthogonal to an eigenvector:
        `GaugeError` where ``|z^H v| < sqrt(u) ||z|| ||v||``, u the unit roundoff. It is copied.

    Notes
    -----
    Two `Functional` gauges are equal only if they are the same object.
    """

    z: Array

    def __post_init__(self) -> None:
        try:
            z = namespace(self.z).astype(self.z, self.z.dtype, copy=True)
        except (TypeError, NotImplementedError):  # the latter of arrays that a library traces and cannot copy
            raise InputTypeError(
                f"Functional(z) expects an array, of the library of the matrices it is for; got {self.z!r}"
            ) from None
        object.__setattr__(self, "z", z)

    @property
    def conjugates(self) -> bool:
        return not is_complex(self.z)

    @property
    def batched(self) -> bool:
        return bool(self.z.ndim > 1)

    def _z(self, V: Array) -> Array:
        return namespace(V).astype(self.z, V.dtype, copy=False)[..., :, None]


GaugeOption: TypeAlias = Literal["canonical", "phase-free", "B-norm"] | Gauge
