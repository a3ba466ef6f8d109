"""spectral_projector and invariant_subspace: arreig's Schur forms behind autograd's primitives."""

import autograd.numpy as np

from arreig._decompositions._subspace import Select, SpectralSubspace
from arreig._decompositions.subspace import CountOrder
from arreig._types import Array

from ._primitives import Solution, solved


def spectral_projector(A: Array, select: Select, /, *, sort: CountOrder = None, check: bool = True) -> Array:
    """Spectral projector onto selected eigenvalues of a general matrix, even a defective one, for autograd to differentiate.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `arreig_autograd.eig`.
    select, sort, check
        As for `arreig.spectral_projector`. A function sees NumPy arrays; what it selects is held fixed in derivatives.

    Returns
    -------
    array or box, shape (..., n, n)
        As `arreig.spectral_projector`; real for a real A, unless the selection parts a conjugate pair.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `arreig.spectral_projector`.
    ArreigError
        From a second derivative.

    Examples
    --------
    >>> import autograd, autograd.numpy as np, arreig_autograd
    >>> A = np.array([[2.0, 1.0, 1.0], [0.0, 2.0, 3.0], [0.0, 0.0, 5.0]])  # a Jordan block and 5
    >>> gA = autograd.grad(lambda A: arreig_autograd.spectral_projector(A, lambda w: np.abs(w) < 3)[0, 2])(A)
    >>> np.round(gA, 4)
    array([[-0.2222, -0.3333, -0.3333],
           [-0.0741, -0.1111, -0.1111],
           [ 0.4444,  0.5556,  0.3333]])
    """

    def solve(A: Array) -> Solution:
        system, flags = SpectralSubspace.of(A, select, sort, check)
        (P,) = system.settle((system.P,), flags)
        return Solution.of((np.array(P),), system.projector_vjp, system.projector_jvp)

    return solved(solve, A)[0]


def invariant_subspace(A: Array, select: Select, /, *, sort: CountOrder = None, check: bool = True) -> Array:
    """Orthonormal basis of the invariant subspace of selected eigenvalues, for autograd to differentiate.

    Parameters
    ----------
    A : array or box, shape (..., n, n)
        As for `arreig_autograd.eig`.
    select, sort, check
        As for `arreig_autograd.spectral_projector`.

    Returns
    -------
    array or box, shape (..., n, m)
        As `arreig.invariant_subspace`.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `arreig.invariant_subspace`, when it is called.
    GaugeDependentLossError
        From a gradient: the loss depends on the basis. Forward mode gives the tangent with ``Q^H dQ = 0``, and cannot tell.
    ArreigError
        From a second derivative.
    """

    def solve(A: Array) -> Solution:
        system, flags = SpectralSubspace.of(A, select, sort, check)
        (Q,) = system.settle((system.basis,), flags)
        return Solution.of((np.array(Q),), lambda gQ: system.basis_vjp(gQ, None), lambda dA: system.basis_jvp(dA, None))

    return solved(solve, A)[0]
