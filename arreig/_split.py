"""Repeated eigenvalues made separate in the forward, so that the plain rule serves losses that are smooth in A.

A smooth function of A has a gradient where eigenvalues meet, but a rule through w and V divides by their gaps. Here in every
cluster C of eigenvalues that are numerically equal, or so close that division by their gaps would lose more than moving them
does, the vectors are replaced by a generic orthonormal basis of their span, and the eigenvalues by separate ones:

    V_C <- V_C L^-H Q_C,   L L^H = V_C^H V_C,   Q_C unitary;         w_C <- mean + delta (rank - (m-1)/2),   rank = 0 ... m-1

All else is left as it is. The result is the exact decomposition of a matrix A + E with |E| about delta. There a loss that is
smooth in A has the gradient that it has at A, up to delta, and the plain rule gives it, up to u/delta. The basis has to be
generic: a special one makes cotangents vanish that do not vanish nearby (A = I, V = I, L = Re tr(B expm A), B hollow).

With d_ij = |w_i - w_j|, u the unit roundoff, |A| the Frobenius norm:

    equal   numerically equal (see `_degeneracy`), closed transitively
    near    d_ij <= radius sqrt(u |A| min(|w_i|, |w_j|)), closed transitively, for clusters that stand alone:
            min(distance to the nearest other eigenvalue, |mean|) >= isolation diameter
    delta   min(separation kappa sqrt(u |A| s), s/4), where m s is the distance to the nearest other eigenvalue (max |w| without
            any, 1 if that is 0), or |mean| if that is smaller and not 0 up to rounding: functions such as sqrt(A) vary on that
            scale, and the cluster gets m delta wide. kappa is the largest condition number of its eigenvalues with the new
            vectors, as rounding, about u kappa^2 |A|/delta, grows faster with it than the error of moving them

C is a 0/1 matrix throughout: no shape depends on data. A cluster whose new pairs do not decompose A up to sqrt(u) |A| is
defective, or nearly: its span is not made of eigenvectors. It is left as it was.

Of an exactly repeated eigenvalue LAPACK's eig may return dependent vectors although independent ones exist (a matrix of ones); so
where vectors are missing the caller tries A moved by rounding, too.

Real A: w and V stay closed under conjugation. A cluster that contains its members' conjugates gets a real basis, of the real and
imaginary parts of its vectors, and real eigenvalues; of two conjugate clusters one is the conjugate of the other.

Source of the orthonormalisation: Fukaya, Kannan, Nakatsukasa, Yamamoto, Yanagisawa, "Shifted Cholesky QR for computing the QR
factorization of ill-conditioned matrices", SIAM J. Sci. Comput. 42 (2020) A477.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ._array_api import (
    adjoint,
    column_norm,
    conj,
    device,
    imag,
    is_complex,
    largest,
    namespace,
    nowhere,
    on_diagonal,
    promote_complex,
    real,
    roundoff,
)
from ._degeneracy import Smooth, gaps, numerically_equal, positive, transitive_closure
from ._generic import generic_matrix
from ._types import Array

_ZERO = 1e2  # a mean below u kappa |A| times this is 0
# sqrt(u) |A| times this is the largest residual of a mean with a new vector, if its cluster is not defective.
_OFF = 10.0
_MOST = 1e3  # more kappa does not count for the separation
_SHIFT = 20.0  # n u times this keeps a Gram matrix positive


@dataclass(frozen=True)
class Split(Smooth):
    """Separate repeated eigenvalues in the forward, for losses that are smooth functions of the matrix.

    ``degeneracy="split"`` is ``Split()``. In every cluster of numerically equal or very close eigenvalues, `eig` and `eigh` then
    return a generic orthonormal basis of the cluster's space, and eigenvalues a little apart: the exact decomposition of a matrix
    about ``sqrt(u) |A|`` away, u the unit roundoff. Other eigenpairs are not touched. A loss such as ``tr(C expm(A))``, or a
    scattering matrix, has there the gradient that it has at A, and the usual rule gives it with a relative error around
    ``sqrt(u)``: 1e-8 to 1e-6 in double precision, 1e-4 to 1e-2 in single (convert A to double where that is too few). Where the
    condition numbers kappa of the eigenvalues are large, it is about ``kappa**1.5`` times that: 1e-5 at 100, 1e-3 at 1000.

    Parameters
    ----------
    separation : float
        The m eigenvalues of a cluster are put ``separation kappa sqrt(u |A|_F s)`` apart, ``m s`` the distance to the next
        eigenvalue or, where smaller, to 0. With ``r = sqrt(u |A|_F/s)``, the error is about ``separation r`` from moving them, if
        the loss varies on the scale s, and ``r/separation`` from rounding: more than ``sqrt(u)`` where eigenvalues crowd, or
        repeat near 0. A second derivative has ``u/gap**2`` in place of the latter: ask for it with 500, for an error of 1e-5 to
        1e-4 in double.
    radius : float
        Eigenvalues within ``radius sqrt(u |A|_F |w|)`` of each other count as a cluster, too, if it stands alone.
    isolation : float
        A cluster stands alone if the nearest other eigenvalue, and 0, are that many of its diameters away.

    Notes
    -----
    Refused: losses that depend on the basis inside a cluster or tell its eigenvalues apart, where cotangents show it (in double
    precision a share of 1e-2 of such a loss does, in single one of about 1; tangents cannot show it), and defective clusters,
    which have no basis of eigenvectors: for them there is `Perturb`. A loss should vary on the scale of A, not much more
    slowly: of expm(A) with ``|A| = 1e-8`` eight more digits are lost.
    """

    separation: float = 1.0
    radius: float = 1.0
    isolation: float = 30.0

    advice: ClassVar[str] = (
        "They have no basis of eigenvectors to split (a Jordan block, or nearly one), or the eigensystem given was not made with "
        "degeneracy='split'. For a loss that is smooth in A use degeneracy='perturb'"
    )

    def __post_init__(self) -> None:
        for name in ("separation", "radius", "isolation"):
            expected = f"Split({name}=...) expects a positive finite number"
            object.__setattr__(self, name, positive(getattr(self, name), expected))

    def departure(self, n: int, u: float) -> float:
        return float(min(_OFF * self.radius * u**0.5 + _MOST * n * self.separation * u**0.5, 0.125))


class Clusters(NamedTuple):
    """Clusters of equal and close eigenvalues, with new bases."""

    w: Array  # (..., n) means
    V: Array  # (..., n, n)
    rank: Array  # (..., n) in the cluster, less the mean of these: (1 - m)/2 ... (m - 1)/2, 0 outside
    s: Array  # (..., n)
    pairs: Array  # (..., n, n) i != j
    defective: Array  # (..., n) eigenvalues of clusters that have no basis of eigenvectors


def rebased(A: Array, w: Array, V: Array, kappa: Array, size: Array, policy: Split) -> Clusters:
    """New bases of the clusters of A's decomposition, V of norm 1; kappa and size as in `numerically_equal`."""
    xp = namespace(V)
    if w.shape[-1] < 2:
        zero = 0 * real(w)
        return Clusters(w, V, zero, zero + 1, nowhere(V), nowhere(zero))
    mirror = _mirror(A, w)
    C, distance = _clusters(w, kappa, size, policy, mirror)
    m = xp.sum(xp.astype(C, size.dtype), axis=-1)
    rank = xp.sum(xp.astype(xp.tril(C, k=-1), size.dtype), axis=-1) - (m - 1) / 2
    X, mean = V, _mean(C, w)
    if mirror is not None:
        X, mean = mirror.real_span(C, X), mirror.real_mean(C, mean)
    X = _orthonormal(X, C) @ _rotation(C, m, V, real_factor=mirror is not None)
    if mirror is not None:
        mean, X = mirror.closed(C, mean, X)
    off = column_norm(xp.astype(A, V.dtype, copy=False) @ X - X * mean[..., None, :])
    allowed = _OFF * policy.radius * roundoff(w) ** 0.5 * xp.where(size > 0, size, 1.0)
    good = _over(C, off) <= allowed[..., None]
    if mirror is not None:
        good = good & mirror.of(good)
    found = good & (m > 1)
    return Clusters(
        xp.where(found, mean, w),
        xp.where(found[..., None, :], X, V),
        xp.where(found, rank, 0.0),
        distance / m,
        C & found[..., :, None] & ~on_diagonal(C),
        ~good & (m > 1),
    )


def separated(A: Array, clusters: Clusters, kappa: Array, size: Array, policy: Split) -> Array:
    """Eigenvalues moved apart; kappa (..., n): of the new vectors."""
    xp = namespace(clusters.w)
    w, mirror = clusters.w, _mirror(A, clusters.w)
    unit = xp.where(size > 0, size, 1.0)[..., None]
    own = clusters.pairs | on_diagonal(clusters.pairs)
    worst = xp.where(_over(own, kappa) < _MOST, _over(own, kappa), _MOST)
    if mirror is not None:  # conjugates move alike to the bit
        worst = xp.where(mirror.lower, mirror.of(worst), worst)
    # the root of a product that may overflow
    delta = policy.separation * worst * roundoff(w) ** 0.5 * xp.sqrt(unit) * xp.sqrt(clusters.s)
    return w + xp.minimum(delta, clusters.s / 4) * clusters.rank


def _mirror(A: Array, w: Array) -> "_Mirror | None":
    return _Mirror(w) if is_complex(w) and not is_complex(A) else None


def _clusters(w: Array, kappa: Array, size: Array, policy: Split, mirror: "_Mirror | None") -> tuple[Array, Array]:
    """C (..., n, n), i in the cluster of j, and the distance m s (..., n)."""
    xp = namespace(w)
    u = roundoff(w)
    d, a = xp.abs(gaps(w)), xp.abs(w)
    equal = numerically_equal(w, kappa, size, 0 * size)
    smaller = xp.minimum(a[..., :, None], a[..., None, :])
    near = d <= policy.radius * u**0.5 * xp.sqrt(size)[..., None, None] * xp.sqrt(smaller)
    if mirror is not None:  # rounding makes kappa differ between conjugates
        equal = equal | mirror.of_pairs(equal)
    narrow, wide = (transitive_closure(x) | on_diagonal(x) for x in (equal, equal | near))

    def distance(C: Array) -> Array:
        """From each cluster to its nearest other eigenvalue; infinite without any."""
        nearest = xp.min(xp.where(C, xp.inf, d), axis=-1)
        return xp.min(xp.where(C, nearest[..., None, :], xp.inf), axis=-1)

    diameter = _over(wide, largest(xp.where(wide, d, 0.0), -1)[..., 0])
    alone = xp.minimum(distance(wide), xp.abs(_mean(wide, w))) >= policy.isolation * diameter
    if mirror is not None:
        alone = alone & mirror.of(alone)
    C = xp.where(alone[..., :, None], wide, narrow)
    away, mean, top = distance(C), xp.abs(_mean(C, w)), largest(a, -1)
    away = xp.where(xp.isfinite(away), away, xp.where(top > 0, top, 1.0))
    nonzero = mean > _ZERO * u * _over(C, kappa) * size[..., None]
    return C, xp.where(nonzero & (mean < away), mean, away)


def _over(C: Array, x: Array) -> Array:
    """The largest x (..., n), nonnegative, in each eigenvalue's cluster."""
    return largest(namespace(x).where(C, x[..., None, :], 0.0), -1)[..., 0]


def _mean(C: Array, w: Array) -> Array:
    xp = namespace(w)
    weights = xp.astype(C, w.dtype)
    return (weights @ w[..., None])[..., 0] / xp.sum(weights, axis=-1)


def _orthonormal(X: Array, C: Array) -> Array:
    """X_C L^-H: Cholesky's method alone loses what the Gram matrix loses; shifted, and repeated, it reaches rounding."""
    xp = namespace(X)
    eye = xp.eye(X.shape[-1], dtype=X.dtype, device=device(X))
    for _ in range(3):
        gram = xp.where(C, adjoint(X) @ X, 0.0)
        L = xp.linalg.cholesky(gram + _SHIFT * X.shape[-1] * roundoff(X) * eye)
        X = adjoint(xp.linalg.solve(L, adjoint(X)))
    return X


def _rotation(C: Array, m: Array, V: Array, *, real_factor: bool) -> Array:
    """Q (..., n, n), unitary with C's pattern: (I - K)(I + K)^-1 with a generic skew-Hermitian K (Cayley), well conditioned."""
    xp = namespace(V)
    x = generic_matrix(V, 1)
    K = xp.where(x < 0, x - 0.5, x + 0.5)  # no angle near 0 or a quarter turn, where a basis is not new
    if is_complex(V):
        K = promote_complex(K)
        K = K if real_factor else K + 1j * generic_matrix(V, 2)
    K = 0.8 / xp.sqrt(m)[..., None, :] * xp.where(C, xp.triu(K, k=1), 0.0)
    K = K - adjoint(K)
    eye = xp.eye(V.shape[-1], dtype=V.dtype, device=device(V))
    return xp.linalg.solve(eye + K, eye - K)


class _Mirror:
    """Conjugation of the eigenvalues of a real matrix, whose pairs are neighbours, +imag first."""

    def __init__(self, w: Array) -> None:
        xp = namespace(w)
        j = xp.arange(w.shape[-1], device=device(w))
        self.lower = imag(w) < 0
        self.partner = j + xp.astype(imag(w) > 0, j.dtype) - xp.astype(self.lower, j.dtype)

    def of(self, x: Array) -> Array:
        """x (..., n) at the conjugates."""
        return namespace(x).take_along_axis(x, self.partner, axis=-1)

    def of_columns(self, X: Array) -> Array:
        xp = namespace(X)
        return xp.take_along_axis(X, xp.broadcast_to(self.partner[..., None, :], X.shape), axis=-1)

    def of_pairs(self, X: Array) -> Array:
        return self.of_columns(self.of_columns(X).mT).mT

    def own(self, C: Array) -> Array:
        """Eigenvalues (..., n) whose conjugate is in their own cluster."""
        xp = namespace(C)
        return xp.any(C & (self.partner[..., :, None] == xp.arange(C.shape[-1], device=device(C))), axis=-1)

    def real_span(self, C: Array, V: Array) -> Array:
        """Of v and conj(v) in one cluster, Re v and -Im v."""
        xp = namespace(V)
        parts = xp.where(self.lower[..., None, :], -imag(V), real(V))
        return xp.where(self.own(C)[..., None, :], xp.astype(parts, V.dtype), V)

    def real_mean(self, C: Array, mean: Array) -> Array:
        xp = namespace(mean)
        return xp.where(self.own(C), xp.astype(real(mean), mean.dtype), mean)

    def closed(self, C: Array, w: Array, V: Array) -> tuple[Array, Array]:
        """Exactly closed under conjugation: what is real has no rounding errors beside it, lower halves repeat the upper."""
        xp = namespace(V)
        own = self.own(C)
        V = xp.where(own[..., None, :], xp.astype(real(V), V.dtype), V)
        copied = self.lower & ~own
        V = xp.where(copied[..., None, :], conj(self.of_columns(V)), V)
        return xp.where(copied, conj(self.of(w)), w), V
