"""eigvals and its derivatives.

LAPACK returns the eigenvalues in another order when no vectors are asked for (from n around 150 in most matrices: its
deflation works on another matrix). A cotangent given in one order and used in the other would be silently wrong, so eigvals
takes its eigenvalues from the decomposition that eigvals_vjp differentiates.
"""

from typing import Any

from .._types import Array, SortOption
from . import _inputs
from ._general import GeneralEigensystem
from .eig import EigLeftResult, EigResult


def eigvals(A: Array, B: Array | None = None, /, *, sort: SortOption = None, check: bool = True) -> Array:
    """Eigenvalues of a general matrix, or of a pencil, ``A v = w B v``.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eig`.
    B : array, shape (..., n, n), optional
        As for `eig`.
    sort : {None, "abs", "real"}
        As for `eig`.
    check : bool
        As for `eig`.

    Returns
    -------
    array, shape (..., n)
        Complex, the same numbers in the same order as ``eig(A).eigenvalues``; it costs as much (LAPACK orders the
        eigenvalues otherwise when it computes no vectors, and `eigvals_vjp` needs them).

    Raises
    ------
    InputError, NonFiniteError
        As for `eig`.

    Examples
    --------
    >>> import numpy as np, arreig
    >>> arreig.eigvals(np.array([[0.0, -1.0], [1.0, 0.0]]))
    array([0.+1.j, 0.-1.j])
    """
    system, flags = GeneralEigensystem.of(A, B, sort=sort, check=check, vectors=False)
    return system.settle((system.eigenvalues,), flags)[0]


def eigvals_vjp(
    A: Array,
    gw: Array,
    /,
    *,
    B: Array | None = None,
    eigensystem: EigResult | EigLeftResult | tuple[Array, Array] | None = None,
    sort: SortOption = None,
    check: bool | None = None,
) -> Any:
    """Gradient of a loss through `eigvals`: ``gA = V^-H diag(gw) V^H``.

    With B ``gA = (B V)^-H diag(gw) V^H`` and ``gB = -(B V)^-H diag(gw conj(w)) V^H``.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eig`.
    gw : array, shape (..., n)
        Cotangent of the eigenvalues, in the order that `eigvals` gives with the same `sort`.
    B : array, shape (..., n, n), optional
        As for `eig_vjp`.
    eigensystem : EigResult or (w, V), optional
        As for `eig_vjp`; vectors of any norm and phase.
    sort, check
        As for `eig`.

    Returns
    -------
    array, or two with B, shape (..., n, n)
        gA in the dtype of A, real for a real A; with B ``(gA, gB)``.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, InfiniteEigenvalueError
        As for `eig_vjp`.
    DegenerateEigenvaluesError
        gw differs between numerically equal eigenvalues, beyond what a smooth function of w could make of them.
    LostPrecisionError
        The eigenvectors are so nearly dependent that rounding leaves fewer than two digits of the gradient. This can befall a
        simple eigenvalue, too, if the computed eigenvectors of others are exactly dependent (Jordan blocks of size 3 or more).

    Notes
    -----
    A loss that is a smooth function of A, such as ``sum(w**2) = tr A^2``, depends at a defective eigenvalue on more than
    eigenvalues can tell. Where its cotangents there happen to vanish (``gw = 2 w`` at w = 0) nothing gives that away, and its
    gradient lacks the part of that eigenvalue.

    References
    ----------
    Magnus, Econometric Theory 1 (1985) 179-191.

    Examples
    --------
    The gradient of the trace is the identity:

    >>> import numpy as np, arreig
    >>> np.round(arreig.eigvals_vjp(np.array([[1.0, 2.0], [3.0, 4.0]]), np.ones(2)), 12) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    system, flags = GeneralEigensystem.of(A, B, eigensystem, sort=sort, check=check, vectors=False)
    return system.vjp(None, _inputs.given("gw", gw), None, flags)


def eigvals_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: EigResult | EigLeftResult | tuple[Array, Array] | None = None,
    sort: SortOption = None,
    check: bool | None = None,
) -> Array:
    """Directional derivative of `eigvals`: ``dw = diag(V^-1 dA V)``.

    With B ``dw = diag((B V)^-1 (dA V - dB V diag(w)))``.

    Parameters
    ----------
    A, dA : array, shape (..., n, n)
        As for `eig_jvp`.
    B, dB : array, shape (..., n, n), optional
        As for `eig_jvp`.
    eigensystem, sort, check
        As for `eigvals_vjp`.

    Returns
    -------
    array, shape (..., n)
        dw, complex, in the order that `eigvals` gives with the same `sort`; NaN for infinite eigenvalues.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError
        As for `eigvals_vjp`.
    DefectiveMatrixError
        The eigenvectors are numerically dependent.
    DegenerateEigenvaluesError
        dA splits numerically equal eigenvalues, whose tangents are then no function of dA alone.

    References
    ----------
    Magnus, Econometric Theory 1 (1985) 179-191.
    """
    system, flags = GeneralEigensystem.of(A, B, eigensystem, sort=sort, check=check, vectors=False)
    return system.eigenvalue_jvp(dA, dB, flags)
