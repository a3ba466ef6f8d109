"""Eigenvectors of a general matrix or pencil, factorised, and what is made of the factors: left vectors, condition numbers."""

from dataclasses import dataclass, field

from .._array_api import adjoint, cached_property, conj, largest, namespace, promote_complex, real, roundoff
from .._backends import Factor, backend_for
from .._degeneracy import numerically_singular
from .._rules._basis import Basis, ComplexBasis
from .._rules._conjugate import ConjugateBasis, Partners
from .._rules._pencil import growth, times, times_adjoint
from .._rules._spread import Spread, by_adjugates
from .._types import Array
from . import _pencil
from ._system import Eigensystem

_COMPLEX = 12  # order up to which batches of NumPy were faster in complex arithmetic


@dataclass(frozen=True, eq=False)
class FactorisedEigensystem(Eigensystem):
    """Eigenvalues and right eigenvectors, both complex, and the factorised V."""

    spread: bool = field(default=False, kw_only=True)  # of many tiny matrices, see `_rules._spread`

    @cached_property
    def _moved(self) -> Array:
        """A, or what `Perturb` makes of it."""
        if self.perturbation is None:
            return self.A
        return self.perturbation.matrix(self.A, self.size, hermitian=False)

    @cached_property
    def decomposed(self) -> Array:
        """The matrix that w and V decompose, with B where there is one.

        After `Split` it is A + E with E V = B V diag(w) - A V, of which only the columns of clusters are more than rounding. E is
        small, and so is its rounding error, where B V diag(w) V^-1 would have that of cond(V).
        """
        if self.separated is None:
            return self._moved
        xp = namespace(self.V)
        moved = xp.any(self.separated, axis=-1)
        R = times(self.pencil, self.V) * self.w[..., None, :] - promote_complex(self.A) @ self.V
        E = adjoint(self.factor.solve_adjoint(adjoint(xp.where(moved[..., None, :], R, 0.0))))
        E = E if self.pencil is None else E @ promote_complex(self.pencil.B)  # V^-1 = (B V)^-1 B
        E = xp.where(xp.any(moved, axis=-1)[..., None, None], E, 0.0)  # whatever V is where nothing was moved
        return self.A + (real(E) if self.real_matrix else E)

    @cached_property
    def factor(self) -> Factor:
        """V factorised; with B what stands in its place on the left, W^H = S^-1 (see `_rules._pencil`)."""
        if self.pencil is None:
            return backend_for(self.V).factorise(self.V)
        xp = namespace(self.V)
        AV = promote_complex(self._moved) @ self.V / xp.where(self.size > 0, self.size, 1.0)[..., None, None]
        return _pencil.ScaledFactor.of(xp.where(self.pencil.infinite[..., None, :], AV, times(self.pencil, self.V)))

    @property
    def conjugate(self) -> bool:
        """Whether w and V are closed under conjugation, each pair of neighbours, by where they come from."""
        own = self.real_matrix and self.pencil is None and not self.supplied
        return own and self.separated is None and self.options.gauge.conjugates

    @cached_property
    def basis(self) -> Basis:
        """V, and its inverse, for the rules."""
        if not self.conjugate:
            return ComplexBasis(self.V, self.factor, backend_for(self.V), self.pencil)
        partners = Partners.of(self.w)
        R = partners.columns(self.V)
        backend = backend_for(R)
        return ConjugateBasis(R, partners, backend.factorise(R), backend)

    @cached_property
    def inverted(self) -> Basis:
        """A basis that multiplies by V^-H where the other one solves, for small matrices that are well conditioned.

        Of a batch of tiny ones it is complex: there real arithmetic takes more steps, and no step takes the time of its products.
        """
        n = self.w.shape[-1]
        if n > (_COMPLEX if self.batch else 3):
            return self.basis.inverted(self._left_columns)
        backend = backend_for(self.V)
        basis = ComplexBasis(self.V, self.factor, Spread() if self.spread else backend)
        if n in (2, 3) or (n == 4 and self.spread):
            return basis.inverted(_finite(by_adjugates(self.V)))
        W = _finite(basis.left)
        return basis.inverted(backend.spread(W) if self.spread else W)

    @cached_property
    def _left_columns(self) -> Array:
        """V^-H, or S^-H, as columns of the basis, NaN where it overflows."""
        return _finite(self.basis.left)

    @cached_property
    def left_lengths(self) -> Array:
        """Norms (..., n) of the columns of V^-H."""
        return self.basis.norm(self._left_columns)

    @property
    def inverse_adjoint(self) -> Array:
        """V^-H, or S^-H, NaN where it overflows."""
        return self.basis.array(self._left_columns)

    @cached_property
    def magnitude(self) -> Array:
        """|W_j| |v_j| (..., n): how large derivatives of w_j by A are."""
        xp = namespace(self.V)
        kappa = self.left_lengths * self.basis.lengths
        most = roundoff(self.V) ** -2  # beyond all that it is compared with, and small enough not to overflow there
        return xp.where(kappa > most, most, kappa)

    @cached_property
    def _growth(self) -> Array | float:
        return 1.0 if self.pencil is None else growth(self.w, self.size)

    @property
    def kappa(self) -> Array:
        return self.magnitude if self.pencil is None else self.magnitude / self._growth

    @property
    def sensitivity(self) -> Array:
        return self.magnitude if self.pencil is None else self.magnitude * self._growth

    @cached_property
    def W(self) -> Array:
        """Left eigenvectors V^-H, or (B V)^-H; NaN where V is numerically singular, for products of such numbers overflow."""
        xp = namespace(self.V)
        singular = xp.any(numerically_singular(self.kappa), axis=-1)[..., None, None]
        return xp.where(singular, xp.nan, self.inverse_adjoint)

    @cached_property
    def left_residual(self) -> Array:
        """|A^H w_j - conj(w_j) w_j|/|w_j| of the columns (..., n) of V^-H; with B as `residual` is relative to the same."""
        xp, basis, norm = namespace(self.V), self.basis, self.left_lengths
        W = self._left_columns * (1 / xp.where(norm > 0, norm, 1.0))[..., None, :]
        BWw = times_adjoint(self.pencil, basis.scaled(W, conj(self.w)))
        residual = basis.norm(basis.product(adjoint(basis.matrix(self.decomposed)), W) - BWw) / self._growth
        return residual if self.pencil is None else xp.where(self.pencil.infinite, 0.0, residual)

    @property
    def left_error(self) -> Array:
        """Relative residual (...) of V^-H, which tells how accurate it is, and what a caller made with it."""
        xp = namespace(self.V)
        worst = largest(self.left_residual, -1)[..., 0]
        return worst / xp.where(self.size > 0, self.size, 1.0)


def _finite(W: Array) -> Array:
    """W with NaN in a lost column: it goes through NumPy's arithmetic without warnings, what overflows does not."""
    xp = namespace(W)
    return xp.where(xp.abs(W) < roundoff(W) ** -3, W, xp.nan)
