"""spectral_projector and invariant_subspace, and their derivatives."""

from typing import Literal, TypeAlias

from .._array_api import namespace
from .._types import Array
from ._subspace import Select, SpectralSubspace

CountOrder: TypeAlias = Literal["abs", "real"] | None


def spectral_projector(A: Array, select: Select, /, *, sort: CountOrder = None, check: bool = True) -> Array:
    r"""Spectral projector onto selected eigenvalues of a general matrix, also where it is defective.

    The projector P commutes with A, its range is the invariant subspace of the selected eigenvalues, its null space that of the
    others: the sum of ``v_j w_j^H`` over them, if there are eigenvectors, and the contour integral of the resolvent around them
    always. It is a smooth function of A as long as they stay apart from the others, however close they come to each other.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eig`.
    select : callable or int
        A function that takes the eigenvalues, complex (..., n), and returns a boolean array of that shape; or how many leading
        eigenvalues, in the order `sort`. What it selects is held fixed in derivatives.
    sort : {None, "abs", "real"}
        Order for a count: descending by modulus (which None stands for, too) or by real part. Ties go to the larger real part,
        then to the smaller imaginary part in modulus, +imag first.
    check : bool
        Read the checks of data. Without, a matrix of the batch for which an error would have been raised is NaN; so under a
        tracer (``jax.jit``, `vmap`).

    Returns
    -------
    array, shape (..., n, n)
        P, complex for a complex A. For a real A it is real, unless a selection parts a conjugate pair: then it is complex for
        the whole batch, but NaN under a tracer, where a dtype cannot depend on data.

    Raises
    ------
    InputError, NonFiniteError
        As for `eig`; `select` that is no function or count, or returns something else than a boolean array (`InputTypeError`).
    SpectrumNotSeparatedError
        ``sep <= 100 u |A|_F |P|_2``, where sep estimates the smallest singular value of ``X -> T11 X - X T22`` in the ordered
        Schur form: a derivative would keep fewer than two digits.

    Warns
    -----
    HostTransferWarning
        A is on a GPU, where no library has an ordered Schur form: LAPACK computes on the host.

    See Also
    --------
    spectral_projector_vjp, spectral_projector_jvp
    invariant_subspace : an orthonormal basis of its range, better conditioned where A is far from normal.

    References
    ----------
    Kato, Perturbation Theory for Linear Operators (1980), sec. II.4. Bai, Demmel, McKenney, "On computing condition numbers for
    the nonsymmetric eigenproblem", ACM Trans. Math. Softw. 19 (1993) 202-223, for sep.

    Examples
    --------
    A Jordan block at 2, which has one eigenvector only, and 5:

    >>> import numpy as np, arreig
    >>> A = np.array([[2.0, 1.0, 1.0], [0.0, 2.0, 3.0], [0.0, 0.0, 5.0]])
    >>> P = arreig.spectral_projector(A, lambda w: abs(w) < 3)
    >>> np.round(P, 6) + 0.0
    array([[ 1.      ,  0.      , -0.666667],
           [ 0.      ,  1.      , -1.      ],
           [ 0.      ,  0.      ,  0.      ]])
    """
    system, flags = SpectralSubspace.of(A, select, sort, check)
    return system.settle((system.P,), flags)[0]


def spectral_projector_vjp(
    A: Array, select: Select, gP: Array, /, *, sort: CountOrder = None, check: bool = True
) -> Array:
    r"""Gradient of a loss through `spectral_projector`.

    ``gA = [P, X]^H`` with ``A X - X A = P gP^H P' + P' gP^H P`` and ``P' = I - P``: two Sylvester equations in the Schur form.

    Parameters
    ----------
    A, select, sort, check
        As for `spectral_projector`.
    gP : array, shape (..., n, n)
        Cotangent of P, ``dL = Re tr(gP^H dP)``; real where P is.

    Returns
    -------
    array, shape (..., n, n)
        gA in the dtype of A, real for a real A.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `spectral_projector`.

    References
    ----------
    As for `spectral_projector`.

    Examples
    --------
    The trace of P is a constant number, its gradient 0:

    >>> import numpy as np, arreig
    >>> A = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> np.round(arreig.spectral_projector_vjp(A, 1, np.eye(2)), 12) + 0.0
    array([[0., 0.],
           [0., 0.]])
    """
    system, flags = SpectralSubspace.of(A, select, sort, check)
    return system.projector_vjp(gP, flags)


def spectral_projector_jvp(
    A: Array, select: Select, dA: Array, /, *, sort: CountOrder = None, check: bool = True
) -> Array:
    """Directional derivative of `spectral_projector`, the tangent dP that dA causes.

    Parameters
    ----------
    A, select, sort, check
        As for `spectral_projector`.
    dA : array, shape (..., n, n)
        Tangent of A, real if A is.

    Returns
    -------
    array, shape (..., n, n)
        dP in the dtype of P.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `spectral_projector`.

    References
    ----------
    As for `spectral_projector`.
    """
    system, flags = SpectralSubspace.of(A, select, sort, check)
    return system.projector_jvp(dA, flags)


def invariant_subspace(A: Array, select: Select, /, *, sort: CountOrder = None, check: bool = True) -> Array:
    r"""Orthonormal basis of the invariant subspace of selected eigenvalues, also where A is defective.

    ``A Q = Q (Q^H A Q)``, ``Q^H Q = I``, and the eigenvalues of ``Q^H A Q`` are the selected ones. Q is determined up to a
    unitary factor on the right: a loss must not depend on that, and cotangents that show that it does are refused.

    Parameters
    ----------
    A, select, sort, check
        As for `spectral_projector`. All matrices of a batch must have as many selected eigenvalues, and under a tracer
        `select` must be a count, because it is a shape.

    Returns
    -------
    array, shape (..., n, m)
        Q, columns of a Schur basis; its dtype is that of `spectral_projector`.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `spectral_projector`; also where the numbers of selected eigenvalues differ.

    Warns
    -----
    HostTransferWarning
        As for `spectral_projector`.

    See Also
    --------
    invariant_subspace_vjp, invariant_subspace_jvp, spectral_projector

    References
    ----------
    Stewart, Sun, Matrix Perturbation Theory (1990), ch. V.

    Examples
    --------
    >>> import numpy as np, arreig
    >>> A = np.array([[2.0, 1.0, 1.0], [0.0, 2.0, 3.0], [0.0, 0.0, 5.0]])
    >>> Q = arreig.invariant_subspace(A, lambda w: abs(w) < 3)
    >>> np.round(Q @ Q.T, 6) + 0.0
    array([[1., 0., 0.],
           [0., 1., 0.],
           [0., 0., 0.]])
    """
    system, flags = SpectralSubspace.of(A, select, sort, check)
    return namespace(system.T).asarray(system.settle((system.basis,), flags)[0], copy=True)


def invariant_subspace_vjp(
    A: Array,
    select: Select,
    gQ: Array,
    /,
    *,
    basis: Array | None = None,
    sort: CountOrder = None,
    check: bool = True,
) -> Array:
    r"""Gradient of a loss through `invariant_subspace`.

    ``gA = Q2 K Q^H`` with ``T22^H K - K T11^H = -Q2^H gQ``: one Sylvester equation in the Schur form.

    Parameters
    ----------
    A, select, sort, check
        As for `invariant_subspace`.
    gQ : array, shape (..., n, m)
        Cotangent of Q, of a loss that is invariant under ``Q -> Q U`` with U unitary.
    basis : array, shape (..., n, m), optional
        The Q to which gQ belongs, any orthonormal basis of the subspace. Without, it is what `invariant_subspace` returns
        for this A; to give it guards against a Q from another machine or library.

    Returns
    -------
    array, shape (..., n, n)
        gA in the dtype of A, real for a real A.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `invariant_subspace`.
    EigensystemError
        `basis` is no orthonormal basis of the subspace.
    GaugeDependentLossError
        The loss depends on the basis: ``Q^H gQ`` is not Hermitian.

    References
    ----------
    As for `invariant_subspace`.

    Examples
    --------
    The gradient of ``x^T Q Q^T x``, how much of x the subspace holds:

    >>> import numpy as np, arreig
    >>> A, x = np.array([[2.0, 1.0, 1.0], [0.0, 2.0, 3.0], [0.0, 0.0, 5.0]]), np.array([1.0, 2.0, 3.0])
    >>> Q = arreig.invariant_subspace(A, 1)  # of the eigenvalue 5
    >>> np.round(arreig.invariant_subspace_vjp(A, 1, 2 * np.outer(x, x @ Q), basis=Q), 4) + 0.0
    array([[-0.562 , -0.843 , -0.843 ],
           [-0.5152, -0.7727, -0.7727],
           [ 0.8898,  1.3347,  1.3347]])
    """
    system, flags = SpectralSubspace.of(A, select, sort, check)
    return system.basis_vjp(gQ, basis, flags)


def invariant_subspace_jvp(
    A: Array,
    select: Select,
    dA: Array,
    /,
    *,
    basis: Array | None = None,
    sort: CountOrder = None,
    check: bool = True,
) -> Array:
    """Directional derivative of `invariant_subspace`: the tangent dQ that dA causes, with ``Q^H dQ = 0``.

    Parameters
    ----------
    A, select, sort, check, basis
        As for `invariant_subspace_vjp`.
    dA : array, shape (..., n, n)
        Tangent of A, real if A is.

    Returns
    -------
    array, shape (..., n, m)
        dQ. A tangent does not show whether the loss depends on the basis; for those that do it serves nothing.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError, EigensystemError
        As for `invariant_subspace_vjp`.

    References
    ----------
    As for `invariant_subspace`.
    """
    system, flags = SpectralSubspace.of(A, select, sort, check)
    return system.basis_jvp(dA, basis, flags)
