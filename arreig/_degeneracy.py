"""What to do where eigenvalues are numerically equal: each policy supplies the inverse gaps and says what it refuses.

With d_ij = w_j - w_i the derivative of eigenvectors contains F_ij = 1/d_ij off the diagonal and 0 on it. Two eigenvalues
are numerically equal when

    |d_ij| <= 20 u (kappa_i + kappa_j) ||A||_F,      kappa_j = ||row j of V^-1|| ||v_j||  (1 for Hermitian A)

kappa_j u ||A|| bounds, to first order, by how much rounding in the decomposition moves w_j (Wilkinson, The Algebraic
Eigenvalue Problem, ch. 2), so below that gap the two cannot be told apart.

In such a cluster C the derivative of a single eigenvector does not exist. A loss that depends on the cluster only through
its span and its mean eigenvalue does have one, and F = 0 inside C gives it. For such a loss the off-diagonal of (V^H gh)_CC
vanishes and gw is constant on C: necessary, not sufficient.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, log2
from numbers import Real
from typing import ClassVar, Literal, TypeAlias

from ._array_api import conj, largest, namespace, nowhere, on_diagonal, relative_tolerance, roundoff
from ._errors import InputError
from ._types import Array

EQUAL = 20.0  # exact repeats were seen up to 7 u (kappa_i + kappa_j) ||A||_F apart, a harmless close pair at 91
ILL = 0.25  # a condition number above u to minus this power is more than an accident of the choice of vectors
SINGULAR = 1e-2  # u kappa at which a gradient through V keeps two digits
# The estimate was seen to be within a factor of 10 of the error as long as that is small (Grcar, triangular, random matrices,
# both precisions), and 3e-3 or more where it is not.
_LOST = 1e-3
# Where a matrix nearby is decomposed, in single precision: at an estimate of 1e-2 the error was 2e-2.
_LOST_SMOOTH = 5e-3
_LOST_TWICE = 1e-3  # part of a second derivative that rounding may reach
_SMOOTH = 1e3  # how much faster than w itself a smooth function of w may vary, relative to ||A||_F


def gaps(w: Array) -> Array:
    """d_ij = w_j - w_i."""
    return w[..., None, :] - w[..., :, None]


def numerically_equal(w: Array, kappa: Array, size: Array, residual: Array | None = None) -> Array:
    """Pairs i != j of numerically equal eigenvalues ``(..., n, n)``.

    size ``(...)`` = ||A||_F; residual ``(...)``: max ||A v - w v||/||v|| of a supplied decomposition, which counts where it is
    larger than rounding. A column of a numerically singular V has no meaningful kappa: it must not draw others to it, so the
    smaller kappa of such a pair counts twice (where two eigenvalues are about to meet, both are large).
    """
    xp = namespace(w, kappa)
    lost = numerically_singular(kappa)
    left, right = kappa[..., :, None], kappa[..., None, :]
    one_lost = lost[..., :, None] ^ lost[..., None, :]
    smaller = xp.where(lost[..., :, None], right, left)
    pair_kappa = xp.where(one_lost, 2 * smaller, left + right)
    close = xp.abs(gaps(w)) <= pair_kappa * _resolution(w, size, residual)[..., None, None]
    return close & ~on_diagonal(close)


def _resolution(w: Array, size: Array, residual: Array | None) -> Array:
    rounding = EQUAL * roundoff(w) * size
    return rounding if residual is None else namespace(w).where(2 * residual > rounding, 2 * residual, rounding)


def moderate(size: Array) -> Array:
    """Members (...) with squares of gaps, and their inverses, that are normal numbers."""
    least, most = moderate_sizes(size)
    return (size > least) & (size < most)


def moderate_sizes(x: Array) -> tuple[float, float]:
    """Between which numbers, in x's precision, that is so."""
    info = namespace(x).finfo(x.dtype)
    return float(info.smallest_normal) ** 0.25, float(info.max) ** 0.25


def resolved(least: Array, worst: Array, size: Array, residual: Array | None) -> Array:
    """Members (...) by their least gap and largest kappa: no numerically equal eigenvalues, and a V that is not singular."""
    return ~numerically_singular(worst) & (least > 2 * worst * _resolution(least, size, residual))


def numerically_singular(kappa: Array) -> Array:
    """Columns ``(..., n)`` of a V so ill conditioned that a gradient through it keeps fewer than two digits."""
    return ~(kappa * roundoff(kappa) < SINGULAR)


def transitive_closure(equal: Array) -> Array:
    """Pairs linked by a chain of equal pairs: ceil(log2 n) squarings of the 0/1 matrix, no data-dependent shape."""
    xp = namespace(equal)
    own = on_diagonal(equal)
    linked = equal | own
    for _ in range(ceil(log2(max(equal.shape[-1], 2)))):
        count = xp.astype(linked, xp.float32)
        linked = count @ count > 0.5
    return linked & ~own


def varies(gw: Array, w: Array, kappa: Array, size: Array) -> Array:
    """Pairs whose gw differ by more than a smooth function of w, evaluated in floating point, could make them.

    By more than half of the largest it never does, however far rounding scatters a defective eigenvalue. A difference is let
    pass, too, if it changes the gradient, by |gw_i - gw_j| (kappa_i + kappa_j), no more than relatively to rounding: the
    gw = 1/w of log det A differ by much where w is small against A.
    """
    xp = namespace(gw, w)
    relative = xp.abs(gaps(w)) / xp.where(size == 0, 1.0, size)[..., None, None]
    top = largest(xp.abs(gw), -1)[..., None]
    difference = xp.abs(gaps(gw))
    pair_kappa = kappa[..., :, None] + kappa[..., None, :]
    matters = ~(difference * pair_kappa <= relative_tolerance(w) * top)
    smooth = _SMOOTH * (roundoff(w) + relative)
    return matters & (difference > xp.where(smooth < 0.5, smooth, 0.5) * top)


def _inverse(d: Array) -> Array:
    """1/d, and 0 for d = 0."""
    xp = namespace(d)
    zero = d == 0
    return xp.where(zero, 0.0, 1 / xp.where(zero, 1.0, d))


def positive(x: object, expected: str, *, below: float = inf) -> float:
    """A number between 0 and `below`, as a Python float: no scalar type that could promote arrays."""
    if isinstance(x, bool) or not isinstance(x, Real) or not 0 < float(x) < below:
        raise InputError(f"{expected}, got {x!r}")
    return float(x)


Question = Callable[[], Array]


class Degeneracy(ABC):
    """A policy for clusters of numerically equal eigenvalues; `pairs` is what its `clusters` made of the equal pairs."""

    advice: ClassVar[str] = ""  # closes the message of a refusal
    # Part of a gradient that the estimate of its rounding error may reach, by the bits of a real number.
    lost: ClassVar[dict[int, float]] = {32: _LOST, 64: _LOST}
    exact: ClassVar[bool] = True  # whether the inverse gaps solve the differentiated equation, so that it can refine

    def departure(self, n: int, u: float, /) -> float:
        """How far from A, relative to |A|, the matrix may be that is decomposed in its place; u the unit roundoff."""
        return 0.0

    def clusters(self, equal: Array, /) -> Array:
        """The pairs i != j ``(..., n, n)`` that count as one cluster."""
        return equal

    def inverse_gaps(self, w: Array, pairs: Array, /) -> Array:
        """F ``(..., n, n)``, 0 on the diagonal and in clusters (where nothing depends on it, or the loss is refused)."""
        xp = namespace(w)
        return _inverse(xp.where(pairs, 0.0, gaps(w)))

    @abstractmethod
    def refused_cotangents(self, pairs: Array, asked: Question, coupled: Question, varying: Question, /) -> Array:
        """Pairs ``(..., n, n)`` whose cotangents this policy cannot serve; what it does not ask is not computed.

        asked: a vector of the pair has a cotangent; coupled: the cotangents depend on the basis inside the cluster;
        varying: gw differs between the two.
        """

    def refused_tangents(self, pairs: Array, /) -> Array:
        """Pairs whose tangents dV this policy cannot serve."""
        return nowhere(pairs)

    def refused_second_derivatives(self, pairs: Array, w: Array, kappa: Array, size: Array, /) -> Array:
        """Pairs that keep a derivative from being differentiated again.

        The rules' formulas hold where the eigenvalues of a cluster stay together; a derivative asks what happens if not.
        """
        return pairs


@dataclass(frozen=True)
class Raise(Degeneracy):
    """Refuse cotangents of eigenvectors of a cluster, and cotangents of its eigenvalues that are not all equal."""

    advice = (
        "Their single eigenvectors have no derivative, only their span and their mean eigenvalue have. If the loss is a smooth "
        "function of the matrix (an exponential, a scattering matrix), use degeneracy='split', or 'perturb' where eigenvectors "
        "are missing (a Jordan block); if it depends on the cluster through its span and mean alone (a projector, a sum over the "
        "cluster), 'mask'; to reproduce a code that adds an eps to the gaps, arreig.Broaden(eps), whose gradients are biased"
    )

    def refused_cotangents(self, pairs: Array, asked: Question, coupled: Question, varying: Question, /) -> Array:
        return pairs & (asked() | varying())

    def refused_tangents(self, pairs: Array, /) -> Array:
        return pairs


class Smooth(Raise):
    """For losses that are smooth functions of A: a matrix nearby is decomposed, whose eigenvalues are separate.

    What is numerically equal even so is refused as `Raise` does.
    """

    lost: ClassVar[dict[int, float]] = {32: _LOST_SMOOTH, 64: _LOST}
    ill_conditioned: ClassVar[bool] = False  # whether a cluster may be nearly defective, not only close

    def refused_second_derivatives(self, pairs: Array, w: Array, kappa: Array, size: Array, /) -> Array:
        """Pairs of which rounding may leave fewer than three digits of the second derivative of such a loss.

        Seen was u (kappa |A|/gap)^2 for separate eigenvalues, and about kappa times that at Jordan blocks.
        """
        xp = namespace(w)
        pair_kappa = (kappa[..., :, None] + kappa[..., None, :]) / 2
        factor = pair_kappa**1.5 if self.ill_conditioned else pair_kappa
        unit = (roundoff(w) / _LOST_TWICE) ** 0.5 * xp.where(size > 0, size, 1.0)[..., None, None]
        return (xp.abs(gaps(w)) <= factor * unit) & ~on_diagonal(pairs)


@dataclass(frozen=True)
class Mask(Degeneracy):
    """F = 0 inside clusters: exact for losses that depend on them through span and mean eigenvalue. Refuse the others."""

    advice = (
        "degeneracy='mask' serves losses that depend on the cluster through its span and its mean eigenvalue alone, but these "
        "cotangents depend on the basis inside it, or tell its eigenvalues apart. If the loss is a smooth function of the matrix "
        "as a whole, use degeneracy='split', or 'perturb' where eigenvectors are missing; otherwise it has no derivative here"
    )

    def clusters(self, equal: Array, /) -> Array:
        return transitive_closure(equal)

    def refused_cotangents(self, pairs: Array, asked: Question, coupled: Question, varying: Question, /) -> Array:
        return pairs & (coupled() | varying())


@dataclass(frozen=True)
class Broaden(Degeneracy):
    """Lorentzian broadening, ``F_ij = conj(d)/(|d|^2 + eps)`` with ``d = w_j - w_i``, for comparison with older codes.

    It refuses no cluster and is exact nowhere: wherever ``|d|^2`` is not large against `eps` the gradient is biased, also
    for losses whose gradient exists.

    Parameters
    ----------
    eps : float
        Positive; in the unit of an eigenvalue squared. Codes that carry this device use 1e-12 to 1e-6.

    References
    ----------
    Liao, Liu, Wang, Xiang, "Differentiable Programming Tensor Networks", Phys. Rev. X 9, 031041 (2019), sec. III.C.
    """

    eps: float
    exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "eps", positive(self.eps, "Broaden(eps) expects a positive finite number"))

    def inverse_gaps(self, w: Array, pairs: Array, /) -> Array:
        # In units of m = max(|d|, sqrt(eps)), so that no square overflows or vanishes.
        xp = namespace(w)
        d, r = gaps(w), self.eps**0.5
        m = xp.where(xp.abs(d) > r, xp.abs(d), r)
        F = conj(d / m) / (xp.abs(d / m) ** 2 + (r / m) ** 2) / m
        return xp.where(on_diagonal(F), 0.0, F)  # it is 0 there, but its derivative, 1/eps, is not

    def refused_cotangents(self, pairs: Array, asked: Question, coupled: Question, varying: Question, /) -> Array:
        return nowhere(pairs)

    def refused_second_derivatives(self, pairs: Array, w: Array, kappa: Array, size: Array, /) -> Array:
        return nowhere(pairs)


DegeneracyOption: TypeAlias = Literal["raise", "mask", "split", "perturb"] | Degeneracy
