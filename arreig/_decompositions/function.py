"""Functions of a matrix and their derivatives."""

from .._types import Array
from ._function import MatrixFunction, ScalarFunction


def matrix_function(
    A: Array, f: ScalarFunction, df: ScalarFunction, /, *, hermitian: bool = False, check: bool = True
) -> Array:
    r"""A function of a matrix, ``f(A) = V diag(f(w)) V^-1``.

    Parameters
    ----------
    A : array, shape (..., n, n)
        Diagonalisable, as for `eig`; repeated eigenvalues are welcome.
    f : callable
        The function, elementwise: called with arrays of A's library, of any shape, it returns an array of that shape. It gets
        complex numbers of A's precision; with ``hermitian=True`` real ones.
    df : callable
        The derivative of f, elementwise. It is asked for on segments between close eigenvalues, too.
    hermitian : bool
        A is Hermitian, as for `eigh`, which works on (A + A^H)/2 and refuses others. f and df may return real or complex arrays.
    check : bool
        Read the checks of data (one synchronisation a call and, of a general matrix, one to learn whether a solver left out
        eigenvectors, so that A has to be decomposed again). Without, nothing is read, and a batch member for which an error would
        have been raised is NaN; so under a tracer (``jax.jit``, `vmap`).

    Returns
    -------
    array, shape (..., n, n)
        f(A). Complex, as `eig` is: of a real A with ``f(conj(w)) = conj(f(w))`` the imaginary part is rounding. With
        ``hermitian=True`` in the dtype of A, or complex if f or df is.

    Raises
    ------
    InputError
        Shape, dtype, library or option (`InputTypeError` where it is a matter of type), of A or of what f and df return; df that
        is not the derivative of f along the real axis, in double precision to about 1 %; with ``hermitian=True`` A not Hermitian.
    NonFiniteError
        A contains NaN or infinity, or f or df is not finite at an eigenvalue (a logarithm, or the derivative of a root, at 0).
    DefectiveMatrixError
        The eigenvectors are numerically dependent.
    LostPrecisionError
        They nearly are: rounding leaves fewer than about two digits, by an estimate.

    See Also
    --------
    matrix_function_vjp, matrix_function_jvp, eig, eigh

    Notes
    -----
    f has to be holomorphic near the eigenvalues: the modulus or the conjugate of w is no function in this sense, and the check of
    df does not see that. On a branch cut (of a root or logarithm, at a negative eigenvalue) rounding chooses the side.

    References
    ----------
    Higham, Functions of Matrices (SIAM 2008), sec. 1.2 and 3.2.

    Examples
    --------
    The square root of a matrix with a repeated eigenvalue, and its gradient, of the trace:

    >>> import numpy as np, arreig
    >>> A = np.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0], [1.0, 1.0, 2.0]])  # eigenvalues 1, 1, 4
    >>> root = (np.sqrt, lambda z: 0.5 / np.sqrt(z))
    >>> np.round(arreig.matrix_function(A, *root, hermitian=True), 6)
    array([[1.333333, 0.333333, 0.333333],
           [0.333333, 1.333333, 0.333333],
           [0.333333, 0.333333, 1.333333]])
    >>> np.round(arreig.matrix_function_vjp(A, *root, np.eye(3), hermitian=True), 6)
    array([[ 0.416667, -0.083333, -0.083333],
           [-0.083333,  0.416667, -0.083333],
           [-0.083333, -0.083333,  0.416667]])
    """
    function, flags = MatrixFunction.of(A, f, df, hermitian=hermitian, check=check)
    return function.value(flags)


def matrix_function_vjp(
    A: Array, f: ScalarFunction, df: ScalarFunction, gF: Array, /, *, hermitian: bool = False, check: bool = True
) -> Array:
    r"""Gradient of a loss through `matrix_function`: gA from the loss's gradient gF.

    With the divided differences ``K_ij = (f(w_j) - f(w_i))/(w_j - w_i)``, ``f'(w_i)`` where the two are equal, computed without
    cancellation, and ``W = V^-H``,

    .. math:: g_A = W \left[ \bar K \circ (V^H g_F W) \right] V^H .

    Parameters
    ----------
    A, f, df
        As for `matrix_function`.
    gF : array, shape (..., n, n)
        Cotangent of f(A), ``dL = Re tr(gF^H dF)``, as in `eig_vjp`; real or, where f(A) is, complex.
    hermitian, check : bool
        As for `matrix_function`.

    Returns
    -------
    array, shape (..., n, n)
        gA in the dtype of A, real for a real A; with ``hermitian=True`` Hermitian.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `matrix_function`.

    See Also
    --------
    matrix_function, matrix_function_jvp

    References
    ----------
    Daleckii, Krein, "Integration and differentiation of functions of Hermitian operators and applications to the theory of
    perturbations", Amer. Math. Soc. Transl. (2) 47 (1965) 1-30. Higham, Functions of Matrices (SIAM 2008), sec. 3.2.

    Examples
    --------
    At the identity the square root moves half as fast as the matrix:

    >>> import numpy as np, arreig
    >>> gF = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> arreig.matrix_function_vjp(np.eye(2), np.sqrt, lambda z: 0.5 / np.sqrt(z), gF)
    array([[0.5, 1. ],
           [1.5, 2. ]])
    """
    function, flags = MatrixFunction.of(A, f, df, hermitian=hermitian, check=check)
    return function.vjp(gF, flags)


def matrix_function_jvp(
    A: Array, f: ScalarFunction, df: ScalarFunction, dA: Array, /, *, hermitian: bool = False, check: bool = True
) -> Array:
    """Directional derivative of `matrix_function`: the tangent dF that dA causes.

    ``dF = V (K o (V^-1 dA V)) V^-1``, K as in `matrix_function_vjp`.

    Parameters
    ----------
    A, f, df
        As for `matrix_function`.
    dA : array, shape (..., n, n)
        Tangent of A, real if A is; with ``hermitian=True`` its Hermitian part counts.
    hermitian, check : bool
        As for `matrix_function`.

    Returns
    -------
    array, shape (..., n, n)
        dF in the dtype of f(A).

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `matrix_function`.

    See Also
    --------
    matrix_function, matrix_function_vjp

    References
    ----------
    As for `matrix_function_vjp`.
    """
    function, flags = MatrixFunction.of(A, f, df, hermitian=hermitian, check=check)
    return function.jvp(dA, flags)
