"""sqrtm and logm: the matrix functions whose gradients at repeated eigenvalues are asked for most."""

from .._array_api import is_complex, namespace
from .._types import Array
from .function import matrix_function, matrix_function_jvp, matrix_function_vjp

# Where they have no value they return NaN or infinity, without asking a library for it, which may warn.


def _root(z: Array) -> Array:
    xp = namespace(z)
    if is_complex(z):
        return xp.sqrt(z)
    return xp.where(z < 0, xp.nan, xp.sqrt(xp.where(z < 0, 0.0, z)))


def _root_derivative(z: Array) -> Array:
    xp = namespace(z)
    zero = z == 0
    return xp.where(zero, xp.inf, 0.5 / _root(xp.where(zero, 1.0, z)))


def _logarithm(z: Array) -> Array:
    xp = namespace(z)
    bad = z == 0 if is_complex(z) else z <= 0
    return xp.where(bad, xp.nan, xp.log(xp.where(bad, 1.0, z)))


def _logarithm_derivative(z: Array) -> Array:
    xp = namespace(z)
    zero = z == 0
    return xp.where(zero, xp.inf, 1 / xp.where(zero, 1.0, z))


SQRT = (_root, _root_derivative)
LOG = (_logarithm, _logarithm_derivative)


def sqrtm(A: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Principal square root of a matrix, with a gradient at repeated eigenvalues.

    Parameters
    ----------
    A : array, shape (..., n, n)
        Diagonalisable, as for `matrix_function`, without eigenvalue 0; repeated eigenvalues are welcome.
    hermitian, check : bool
        As for `matrix_function`. With ``hermitian=True`` A must be positive definite.

    Returns
    -------
    array, shape (..., n, n)
        R with ``R R = A``, eigenvalues in the right half plane. Complex; with ``hermitian=True`` in the dtype of A.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `matrix_function`. `NonFiniteError` at an eigenvalue 0, with ``hermitian=True`` also at a negative one.

    See Also
    --------
    sqrtm_vjp, sqrtm_jvp, matrix_function

    References
    ----------
    Higham, Functions of Matrices (SIAM 2008), ch. 6.

    Examples
    --------
    At the identity, where the way through eigenvectors divides 0 by 0:

    >>> import numpy as np, arreig
    >>> arreig.sqrtm_vjp(np.eye(2), np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([[0.5, 1. ],
           [1.5, 2. ]])
    """
    return matrix_function(A, *SQRT, hermitian=hermitian, check=check)


def sqrtm_vjp(A: Array, gF: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Gradient of a loss through `sqrtm`, also at repeated eigenvalues.

    Parameters
    ----------
    A, hermitian, check
        As for `sqrtm`.
    gF : array, shape (..., n, n)
        Cotangent of its result, as for `matrix_function_vjp`.

    Returns
    -------
    array, shape (..., n, n)
        gA in the dtype of A, real for a real A, Hermitian with ``hermitian=True``.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `sqrtm` and `matrix_function_vjp`.

    References
    ----------
    As for `matrix_function_vjp`.
    """
    return matrix_function_vjp(A, *SQRT, gF, hermitian=hermitian, check=check)


def sqrtm_jvp(A: Array, dA: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Directional derivative of `sqrtm`.

    Parameters
    ----------
    A, hermitian, check
        As for `sqrtm`.
    dA : array, shape (..., n, n)
        Tangent of A, as for `matrix_function_jvp`.

    Returns
    -------
    array, shape (..., n, n)
        The tangent of the result, in its dtype.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `sqrtm` and `matrix_function_jvp`.

    References
    ----------
    As for `matrix_function_jvp`.
    """
    return matrix_function_jvp(A, *SQRT, dA, hermitian=hermitian, check=check)


def logm(A: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Principal logarithm of a matrix, with a gradient at repeated eigenvalues.

    Parameters
    ----------
    A : array, shape (..., n, n)
        Diagonalisable, as for `matrix_function`, without eigenvalue 0; repeated eigenvalues are welcome.
    hermitian, check : bool
        As for `matrix_function`. With ``hermitian=True`` A must be positive definite.

    Returns
    -------
    array, shape (..., n, n)
        L with ``expm(L) = A``, imaginary parts of its eigenvalues in (-pi, pi]. Complex; with ``hermitian=True`` in the dtype
        of A.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `matrix_function`. `NonFiniteError` at an eigenvalue 0, with ``hermitian=True`` also at a negative one.

    See Also
    --------
    logm_vjp, logm_jvp, matrix_function

    References
    ----------
    Higham, Functions of Matrices (SIAM 2008), ch. 11.
    """
    return matrix_function(A, *LOG, hermitian=hermitian, check=check)


def logm_vjp(A: Array, gF: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Gradient of a loss through `logm`, also at repeated eigenvalues.

    Parameters
    ----------
    A, hermitian, check
        As for `logm`.
    gF : array, shape (..., n, n)
        Cotangent of its result, as for `matrix_function_vjp`.

    Returns
    -------
    array, shape (..., n, n)
        gA in the dtype of A, real for a real A, Hermitian with ``hermitian=True``.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `logm` and `matrix_function_vjp`.

    References
    ----------
    As for `matrix_function_vjp`.
    """
    return matrix_function_vjp(A, *LOG, gF, hermitian=hermitian, check=check)


def logm_jvp(A: Array, dA: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Directional derivative of `logm`.

    Parameters
    ----------
    A, hermitian, check
        As for `logm`.
    dA : array, shape (..., n, n)
        Tangent of A, as for `matrix_function_jvp`.

    Returns
    -------
    array, shape (..., n, n)
        The tangent of the result, in its dtype.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `logm` and `matrix_function_jvp`.

    References
    ----------
    As for `matrix_function_jvp`.
    """
    return matrix_function_jvp(A, *LOG, dA, hermitian=hermitian, check=check)
