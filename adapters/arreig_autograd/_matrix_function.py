"""matrix_function, sqrtm and logm: arreig's functions of a matrix behind autograd's primitives."""

from autograd.tracer import isbox

from arreig import InputTypeError
from arreig._decompositions._function import MatrixFunction, ScalarFunction
from arreig._decompositions.roots import LOG, SQRT
from arreig._types import Array

from ._primitives import Solution, solved


def _untracked(name: str, function: ScalarFunction) -> ScalarFunction:
    """A function that refuses to return what autograd traces."""
    if not callable(function):
        return function  # which arreig refuses

    def checked(w: Array) -> Array:
        y = function(w)
        if isbox(y):
            raise InputTypeError(
                f"{name} contains an array that is tracked for differentiation, and its gradient would be lost: pass "
                f"autograd.tracer.getval of it, or put it into A"
            )
        return y

    return checked


def _value(A: Array, f: ScalarFunction, df: ScalarFunction, hermitian: bool, check: bool) -> Array:
    def solve(A: Array) -> Solution:
        function, flags = MatrixFunction.of(A, f, df, hermitian=hermitian, check=check)
        return Solution.of((function.value(flags),), lambda gF: function.vjp(gF, []), lambda dA: function.jvp(dA, []))

    return solved(solve, A)[0]


def matrix_function(
    A: Array, f: ScalarFunction, df: ScalarFunction, /, *, hermitian: bool = False, check: bool = True
) -> Array:
    """A function of a matrix, ``f(A) = V diag(f(w)) V^-1``, for autograd to differentiate.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `arreig_autograd.eig`, diagonalisable; repeated eigenvalues are welcome.
    f, df : callable
        The function and its derivative, elementwise, as for `arreig.matrix_function`. They see NumPy arrays, and must not contain
        boxes, whose gradients would be lost.
    hermitian, check : bool
        As for `arreig.matrix_function`.

    Returns
    -------
    array or box, shape (..., n, n)
        As `arreig.matrix_function`: complex, unless ``hermitian=True`` and f is real.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.matrix_function` and its derivatives.
    ArreigError
        From a second derivative.

    Examples
    --------
    The square root at the identity, of which the gradient through eigenvectors is NaN:

    >>> import autograd, autograd.numpy as np, arreig_autograd
    >>> root = (np.sqrt, lambda w: 0.5 / np.sqrt(w))
    >>> autograd.grad(lambda A: arreig_autograd.matrix_function(A, *root, hermitian=True)[0, 1])(np.eye(2))
    array([[0.  , 0.25],
           [0.25, 0.  ]])
    """
    return _value(A, _untracked("f", f), _untracked("df", df), hermitian, check)


def sqrtm(A: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Principal square root of a matrix, for autograd to differentiate, also at repeated eigenvalues.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `arreig_autograd.matrix_function`.
    hermitian, check : bool
        As for `arreig.sqrtm`.

    Returns
    -------
    array or box, shape (..., n, n)
        As `arreig.sqrtm`.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.sqrtm` and its derivatives.
    ArreigError
        From a second derivative.
    """
    return _value(A, *SQRT, hermitian, check)


def logm(A: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Principal logarithm of a matrix, for autograd to differentiate, also at repeated eigenvalues.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `arreig_autograd.matrix_function`.
    hermitian, check : bool
        As for `arreig.logm`.

    Returns
    -------
    array or box, shape (..., n, n)
        As `arreig.logm`.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.logm` and its derivatives.
    ArreigError
        From a second derivative.
    """
    return _value(A, *LOG, hermitian, check)
