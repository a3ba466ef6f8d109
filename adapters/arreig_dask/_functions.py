"""matrix_function, sqrtm, logm and their derivatives on dask arrays."""

import arreig
from arreig._decompositions._function import ScalarFunction
from arreig._types import Array

from ._results import differentiated, given_array


def matrix_function(
    A: Array, f: ScalarFunction, df: ScalarFunction, /, *, hermitian: bool = False, check: bool = True
) -> Array:
    """A function of matrices, ``f(A) = V diag(f(w)) V^-1``, lazily.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `arreig_dask.eig`, its blocks as for `arreig.matrix_function`.
    f, df : callable
        As for `arreig.matrix_function`; called with NumPy arrays, and once with an empty one to learn the dtype. To be sent to
        other processes they must be pickled, as cloudpickle does with lambdas.
    hermitian, check : bool
        As for `arreig.matrix_function`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.matrix_function` returns.

    Raises
    ------
    InputError
        When called, as for `arreig_dask.eig`.
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        When computed, as for `arreig.matrix_function`, with a note that says in which block.
    """
    return differentiated(arreig.matrix_function, A, {}, f=f, df=df, hermitian=hermitian, check=check)


def matrix_function_vjp(
    A: Array, f: ScalarFunction, df: ScalarFunction, gF: Array, /, *, hermitian: bool = False, check: bool = True
) -> Array:
    """Gradient of a loss through `matrix_function`, lazily.

    Parameters
    ----------
    A, f, df, hermitian, check
        As for `matrix_function`.
    gF : dask array, shape (..., n, n)
        Cotangent of f(A), as for `arreig.matrix_function_vjp`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.matrix_function_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function`.
    """
    given = {"gF": given_array("gF", gF)}
    return differentiated(arreig.matrix_function_vjp, A, given, f=f, df=df, hermitian=hermitian, check=check)


def matrix_function_jvp(
    A: Array, f: ScalarFunction, df: ScalarFunction, dA: Array, /, *, hermitian: bool = False, check: bool = True
) -> Array:
    """Directional derivative of `matrix_function`, lazily.

    Parameters
    ----------
    A, f, df, hermitian, check
        As for `matrix_function`.
    dA : dask array, shape (..., n, n)
        Tangent of A.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.matrix_function_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function`.
    """
    given = {"dA": given_array("dA", dA)}
    return differentiated(arreig.matrix_function_jvp, A, given, f=f, df=df, hermitian=hermitian, check=check)


def sqrtm(A: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Principal square roots of matrices, lazily.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `arreig_dask.eig`, its blocks as for `arreig.sqrtm`.
    hermitian, check : bool
        As for `arreig.sqrtm`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.sqrtm` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function` and `arreig.sqrtm`.
    """
    return differentiated(arreig.sqrtm, A, {}, hermitian=hermitian, check=check)


def sqrtm_vjp(A: Array, gF: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Gradient of a loss through `sqrtm`, lazily.

    Parameters
    ----------
    A, gF : dask array, shape (..., n, n)
        Matrices, and the cotangent of their roots.
    hermitian, check : bool
        As for `arreig.sqrtm`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.sqrtm_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function` and `arreig.sqrtm`.
    """
    return differentiated(arreig.sqrtm_vjp, A, {"gF": given_array("gF", gF)}, hermitian=hermitian, check=check)


def sqrtm_jvp(A: Array, dA: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Directional derivative of `sqrtm`, lazily.

    Parameters
    ----------
    A, dA : dask array, shape (..., n, n)
        Matrices, and their tangents.
    hermitian, check : bool
        As for `arreig.sqrtm`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.sqrtm_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function` and `arreig.sqrtm`.
    """
    return differentiated(arreig.sqrtm_jvp, A, {"dA": given_array("dA", dA)}, hermitian=hermitian, check=check)


def logm(A: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Principal logarithms of matrices, lazily.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `arreig_dask.eig`, its blocks as for `arreig.logm`.
    hermitian, check : bool
        As for `arreig.logm`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.logm` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function` and `arreig.logm`.
    """
    return differentiated(arreig.logm, A, {}, hermitian=hermitian, check=check)


def logm_vjp(A: Array, gF: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Gradient of a loss through `logm`, lazily.

    Parameters
    ----------
    A, gF : dask array, shape (..., n, n)
        Matrices, and the cotangent of their logarithms.
    hermitian, check : bool
        As for `arreig.logm`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.logm_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function` and `arreig.logm`.
    """
    return differentiated(arreig.logm_vjp, A, {"gF": given_array("gF", gF)}, hermitian=hermitian, check=check)


def logm_jvp(A: Array, dA: Array, /, *, hermitian: bool = False, check: bool = True) -> Array:
    """Directional derivative of `logm`, lazily.

    Parameters
    ----------
    A, dA : dask array, shape (..., n, n)
        Matrices, and their tangents.
    hermitian, check : bool
        As for `arreig.logm`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.logm_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `matrix_function` and `arreig.logm`.
    """
    return differentiated(arreig.logm_jvp, A, {"dA": given_array("dA", dA)}, hermitian=hermitian, check=check)
