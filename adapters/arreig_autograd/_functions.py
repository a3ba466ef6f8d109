"""eig, eigh, eigvals and eigvalsh: arreig's functions and eigensystems behind autograd's primitives."""

from functools import partial
from typing import Literal, overload

import autograd.numpy as np

from arreig import Functional, InputTypeError
from arreig import eig as decomposed
from arreig import eigh as hermitian_decomposed
from arreig._decompositions import _inputs
from arreig._decompositions._general import GeneralEigensystem
from arreig._decompositions._hermitian import HermitianEigensystem
from arreig._degeneracy import DegeneracyOption
from arreig._gauge import GaugeOption
from arreig._types import Array, EigPair, EigTriple, RefineOption, SortOption

from ._primitives import Solution, solved


def _held(gauge: object) -> None:
    """Refuse a functional that autograd traces."""
    if isinstance(gauge, Functional) and _inputs.tracked(gauge.z):
        raise InputTypeError(
            "Functional(z) holds z constant, but this z is tracked for differentiation, and its gradient would be lost: pass "
            "autograd.tracer.getval(z)"
        )


def _values_jvp(system: GeneralEigensystem | HermitianEigensystem, dA: Array, dB: Array | None = None) -> Array:
    return system.eigenvalue_jvp(dA, dB)


@overload
def eig(
    A: Array,
    B: Array | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: Literal[False] = ...,
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigPair: ...
@overload
def eig(
    A: Array,
    B: Array | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: Literal[True],
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigTriple: ...
@overload
def eig(
    A: Array,
    B: Array | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: bool,
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigPair | EigTriple: ...
def eig(
    A: Array,
    B: Array | None = None,
    /,
    *,
    gauge: GaugeOption = "canonical",
    sort: SortOption = None,
    left: bool = False,
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
    refine: RefineOption = "auto",
) -> EigPair | EigTriple:
    r"""Eigenvalues and eigenvectors, ``A V = V diag(w)`` or ``A V = B V diag(w)``, for autograd to differentiate.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        float32, float64, complex64 or complex128.
    B : array or box, shape (..., n, n), optional
        As for `arreig.eig`. autograd differentiates by A, by B, or by both.
    gauge, sort, left, degeneracy, check, refine
        As for `arreig.eig`, with the same effect on derivatives. The z of `Functional` is held constant and must not be a box.

    Returns
    -------
    EigPair or EigTriple
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n), always complex; with ``left=True`` a
        third, ``left_eigenvectors``, ``W = V^-H``, with B ``(B V)^-H``.

    Raises
    ------
    InputError, NonFiniteError, GaugeError, DefectiveMatrixError, InfiniteEigenvalueError
        As for `arreig.eig`, when it is called.
    DegenerateEigenvaluesError, DefectiveMatrixError, GaugeDependentLossError, LostPrecisionError, NonFiniteError
        As for `arreig.eig_vjp` and `arreig.eig_jvp`, from the derivative: where the loss has no gradient.
    ArreigError
        From a second derivative.

    Warns
    -----
    GaugeTieWarning
        As for `arreig.eig`.

    See Also
    --------
    arreig.eig, arreig.eig_vjp : the same on arrays of any library, with the formulas and their sources.

    Examples
    --------
    A loss that depends on the phase of an eigenvector, with its gradient in the canonical gauge:

    >>> import autograd, autograd.numpy as np, arreig_autograd
    >>> A = np.array([[1.0, 2.0], [-3.0, 0.5]])
    >>> gA = autograd.grad(lambda A: np.real(np.sum(arreig_autograd.eig(A).eigenvectors[:, 0] ** 2)))(A)
    >>> np.round(gA, 4)
    array([[ 0.0333, -0.2417],
           [-0.1556, -0.0333]])
    """
    _held(gauge)

    def solve(A: Array, B: Array | None = None) -> Solution:
        result = decomposed(A, B, gauge=gauge, sort=sort, left=left, degeneracy=degeneracy, check=check, refine=refine)
        return Solution.of(result, lambda gw, gV, gW=None: result.vjp(gV, gw, gW=gW), result.jvp)

    w, V, *W = solved(solve, A, B)
    return EigTriple(w, V, W[0]) if left else EigPair(w, V)


def eigh(
    A: Array,
    B: Array | None = None,
    /,
    *,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
) -> EigPair:
    """Eigenvalues and orthogonal eigenvectors of a Hermitian matrix or definite pencil, for autograd to differentiate.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `eig`, and Hermitian up to ``|A - A^H|_F <= sqrt(u) |A|_F``: what is decomposed and differentiated is
        ``(A + A^H)/2``, where autograd's own `numpy.linalg.eigh` reads one triangle.
    B : array or box, shape (..., n, n), optional
        As for `arreig.eigh`: Hermitian likewise, and positive definite.
    gauge, degeneracy, check
        As for `arreig.eigh`, with the same effect on derivatives. The z of `Functional` is held constant and must not be a box.

    Returns
    -------
    EigPair
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n): real eigenvalues in ascending order,
        vectors as columns in the dtype of A (complex, if B is).

    Raises
    ------
    InputError, NonFiniteError, GaugeError
        As for `arreig.eigh`, when it is called.
    DegenerateEigenvaluesError, GaugeDependentLossError, LostPrecisionError, NonFiniteError
        As for `arreig.eigh_vjp` and `arreig.eigh_jvp`, from the derivative.
    ArreigError
        From a second derivative.

    Warns
    -----
    GaugeTieWarning
        As for `arreig.eigh`.
    """
    _held(gauge)

    def solve(A: Array, B: Array | None = None) -> Solution:
        result = hermitian_decomposed(A, B, gauge=gauge, degeneracy=degeneracy, check=check)
        return Solution.of(result, lambda gw, gV: result.vjp(gV, gw), result.jvp)

    return EigPair(*solved(solve, A, B))


def eigvals(A: Array, B: Array | None = None, /, *, sort: SortOption = None, check: bool = True) -> Array:
    """Eigenvalues of a general matrix or pencil, for autograd to differentiate.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `eig`.
    B : array or box, shape (..., n, n), optional
        As for `eig`.
    sort, check
        As for `arreig.eigvals`.

    Returns
    -------
    array or box, shape (..., n)
        Complex, the same numbers in the same order as ``eig(A).eigenvalues``.

    Raises
    ------
    InputError, NonFiniteError
        As for `arreig.eigvals`, when it is called.
    DegenerateEigenvaluesError, DefectiveMatrixError, InfiniteEigenvalueError, LostPrecisionError, NonFiniteError
        As for `arreig.eigvals_vjp` and `arreig.eigvals_jvp`, from the derivative.
    ArreigError
        From a second derivative.
    """

    def solve(A: Array, B: Array | None = None) -> Solution:
        system, flags = GeneralEigensystem.of(A, B, sort=sort, check=check, vectors=False)
        (w,) = system.settle((system.eigenvalues,), flags)
        return Solution.of((np.array(w),), lambda gw: system.vjp(None, gw, None), partial(_values_jvp, system))

    return solved(solve, A, B)[0]


def eigvalsh(A: Array, B: Array | None = None, /, *, check: bool = True) -> Array:
    """Eigenvalues of a Hermitian matrix or definite pencil, real, in ascending order, for autograd to differentiate.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `eigh`.
    B : array or box, shape (..., n, n), optional
        As for `eigh`.
    check : bool
        As for `arreig.eigvalsh`.

    Returns
    -------
    array or box, shape (..., n)

    Raises
    ------
    InputError, NonFiniteError
        As for `arreig.eigvalsh`, when it is called.
    DegenerateEigenvaluesError, NonFiniteError
        As for `arreig.eigvalsh_vjp` and `arreig.eigvalsh_jvp`, from the derivative.
    ArreigError
        From a second derivative.
    """

    def solve(A: Array, B: Array | None = None) -> Solution:
        system, flags = HermitianEigensystem.of(A, B, check=check, vectors=False)
        (w,) = system.settle((system.eigenvalues,), flags)
        return Solution.of((np.array(w),), lambda gw: system.vjp(None, gw), partial(_values_jvp, system))

    return solved(solve, A, B)[0]
