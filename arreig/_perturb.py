"""A fixed generic perturbation that separates eigenvalues, defective ones included, for losses that are smooth in A.

    A + E(A),   E(A) = delta |A| G,   G generic with |G| = 1 (real for real A, Hermitian for eigh),   |.| the Frobenius norm

is decomposed in place of A. A loss that is smooth in A has the gradient there that it has at A, up to delta. The m eigenvalues of
a Jordan block of order m move about (delta |A|)^(1/m) apart, and their condition numbers, infinite before, become about
(|A|/delta)^(1 - 1/m). So rounding in the gradient is about u delta^(-3/2) for m = 2 and u delta^(-5/3) for m = 3.

The perturbation moves with A. With <X, Y> = Re tr(X^H Y), the derivative of A -> A + E(A) and its adjoint are

    dA -> dA + delta G <A, dA>/|A|,          X -> X + delta <G, X> A/|A|

Source: Moro, Burke, Overton, "On the Lidskii-Vishik-Lyusternik perturbation theory for eigenvalues of matrices with arbitrary
Jordan structure", SIAM J. Matrix Anal. Appl. 18 (1997) 793.
"""

from dataclasses import dataclass
from typing import ClassVar

from ._array_api import adjoint, conj, is_complex, matrix_norm, namespace, promote_complex, real, roundoff
from ._degeneracy import Smooth, positive
from ._generic import generic_matrix
from ._types import Array

_BALANCE = 3.0  # delta in units of u^(3/8), at which delta and u delta^(-5/3) have one size


@dataclass(frozen=True)
class Perturb(Smooth):
    """Decompose ``A + delta |A|_F G`` with a fixed G, for losses that are smooth functions of a matrix that may be defective.

    ``degeneracy="perturb"`` is ``Perturb()``. Where eigenvectors are missing, at a Jordan block, `Split` can split nothing, but a
    smooth function of A such as ``tr(C expm(A))`` still has a gradient; up to ``delta`` it is that of a matrix nearby. G has
    Frobenius norm 1 and generic entries, the same in every library; it is real for a real A and Hermitian for `eigh`. The
    derivatives are those of ``eig(A + delta |A|_F G)``, exactly. Smooth has to mean: on the scale ``delta |A|_F``, which a square
    root of a matrix with smaller eigenvalues is not.

    Parameters
    ----------
    delta : float, optional
        Relative size of the perturbation, between 0 and 1. None stands for ``3 u**(3/8)``, u the unit roundoff: 3e-6 in double,
        6e-3 in single precision. The error of a gradient is about ``delta`` (times how fast it varies with A) plus rounding,
        ``u/delta`` at repeated eigenvalues, ``u delta**(-3/2)`` at Jordan blocks of order 2, ``u delta**(-5/3)`` at order 3; with
        the default 1e-6 to 1e-5 in double precision, more at larger or several equal blocks. A matrix far from normal magnifies
        ``delta`` by the condition numbers of its eigenvalues, and nothing tells.

    Notes
    -----
    Second derivatives want a larger `delta`, and have an error of a few times that: 1e-5 at repeated eigenvalues, 1e-4 at Jordan
    blocks of order 2, 1e-3 at order 3. Where rounding would drown them they are refused.

    Where eigenvalues are merely repeated, `Split` is some hundred times more accurate, unless their condition numbers are large.
    Losses that are not smooth in A are not told apart from those that are: their gradients come out large and mean nothing.
    """

    delta: float | None = None

    ill_conditioned: ClassVar[bool] = True
    advice: ClassVar[str] = (
        "They are so even after degeneracy='perturb' has moved them. Perturb(delta) with a larger delta moves them farther"
    )

    def __post_init__(self) -> None:
        if self.delta is not None:
            expected = "Perturb(delta) expects a number between 0 and 1, or None for the default"
            object.__setattr__(self, "delta", positive(self.delta, expected, below=1))

    def departure(self, n: int, u: float) -> float:
        return _BALANCE * u**0.375 if self.delta is None else self.delta

    def _step(self, A: Array, hermitian: bool) -> Array:
        """delta G."""
        G = generic_matrix(A, 3)
        if is_complex(A):
            G = promote_complex(G) + 1j * generic_matrix(A, 4)
        if hermitian:
            G = G + adjoint(G)
        norm = matrix_norm(G)
        return G * (self.departure(A.shape[-1], roundoff(A)) / namespace(G).where(norm > 0, norm, 1.0))

    def matrix(self, A: Array, size: Array, hermitian: bool) -> Array:
        """A + E(A), size = |A|; where A is 0, delta G."""
        return A + namespace(A).where(size > 0, size, 1.0)[..., None, None] * self._step(A, hermitian)

    def tangent(self, dA: Array, A: Array, size: Array, hermitian: bool) -> Array:
        """The tangent of A + E(A)."""
        return dA + _inner(_direction(A, size), dA) * self._step(A, hermitian)

    def cotangent(self, X: Array, A: Array, size: Array, hermitian: bool) -> Array:
        """The cotangent of A, from that of A + E(A)."""
        return X + _inner(self._step(A, hermitian), X) * _direction(A, size)


def _direction(A: Array, size: Array) -> Array:
    """A/|A|."""
    return A / namespace(A).where(size > 0, size, 1.0)[..., None, None]


def _inner(X: Array, Y: Array) -> Array:
    """<X, Y> as matrices (..., 1, 1)."""
    return namespace(X, Y).sum(real(conj(X) * Y), axis=(-2, -1), keepdims=True)
