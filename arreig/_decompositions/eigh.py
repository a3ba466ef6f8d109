"""eigh, eigvalsh and their derivatives."""

from .._array_api import namespace
from .._degeneracy import DegeneracyOption
from .._gauge import GaugeOption
from .._types import Array, EigPair
from . import _inputs
from ._flags import settle
from ._hermitian import HermitianEigensystem, HermitianResult, admit
from ._system import carried


class EighResult(HermitianResult, EigPair):
    """Result of `arreig.eigh`: ``(eigenvalues, eigenvectors)``, with `vjp` and `jvp`.

    The arrays are the caller's own: changing them in place does not change the derivatives.
    """

    def vjp(self, gV: Array | None = None, gw: Array | None = None) -> Array:
        """Gradient gA of a loss with cotangents gV and gw; see `arreig.eigh_vjp`. Nothing is decomposed again."""
        gA: Array = carried(self).vjp(gV, gw)
        return gA

    def jvp(self, dA: Array, /) -> tuple[Array, ...]:
        """Tangents ``(dw, dV)``; see `arreig.eigh_jvp`."""
        tangents: tuple[Array, ...] = carried(self).jvp(dA)
        return tangents


def eigh(
    A: Array,
    /,
    *,
    gauge: GaugeOption = "canonical",
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
) -> EighResult:
    """Eigenvalues and orthogonal eigenvectors of a Hermitian matrix, ready to be differentiated.

    Parameters
    ----------
    A : array, shape (..., n, n)
        float32, float64, complex64 or complex128; integers are converted to float64, as NumPy does. Hermitian up to
        ``|A - A^H|_F <= sqrt(u) |A|_F``, u the unit roundoff; what is decomposed and differentiated is ``(A + A^H)/2``.
    gauge : {"canonical", "phase-free"}, Component or Functional
        As for `eig`. `Component` and `Functional` give the orthogonal vectors norms other than 1. A real symmetric matrix
        has real eigenvectors and wants a real functional.
    degeneracy : {"raise", "mask", "split", "perturb"}, Split, Perturb or Broaden
        As for `eig`, with kappa = 1. No cluster is defective here, so that ``"split"`` serves every smooth loss.
    check : bool
        As for `eig`.

    Returns
    -------
    EighResult
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n): real eigenvalues in ascending order,
        vectors as columns in the dtype of A. Its methods ``vjp(gV, gw)`` and ``jvp(dA)`` differentiate.

    Raises
    ------
    InputError
        Shape, dtype, library or option (`InputTypeError` where it is a matter of type), or A not Hermitian.
    NonFiniteError
        A contains NaN or infinity.
    GaugeError
        The component or functional that the gauge sets to 1 vanishes in an eigenvector.

    Warns
    -----
    GaugeTieWarning
        The canonical gauge is unstable, because two components share the largest modulus.

    See Also
    --------
    eigh_vjp, eigh_jvp, eig, eigvalsh

    References
    ----------
    Magnus, "On differentiating eigenvalues and eigenvectors", Econometric Theory 1 (1985) 179-191.

    Examples
    --------
    >>> import numpy as np, arreig
    >>> res = arreig.eigh(np.array([[2.0, 1.0], [1.0, 4.0]]))
    >>> np.round(res.vjp(None, np.array([1.0, 0.0])), 6)  # gradient of the smallest eigenvalue: v v^H
    array([[ 0.853553, -0.353553],
           [-0.353553,  0.146447]])
    """
    system, flags = HermitianEigensystem.of(A, gauge=gauge, degeneracy=degeneracy, check=check)
    xp = namespace(system.w)
    w, V = system.settle((system.w, system.V), flags)
    return EighResult(xp.asarray(w, copy=True), xp.asarray(V, copy=True))._carry(system)


def eigh_vjp(
    A: Array,
    /,
    gV: Array | None = None,
    gw: Array | None = None,
    *,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
) -> Array:
    """Gradient of a loss through `eigh`: gA from the loss's gradients gV and gw.

    For orthonormal V: ``gA = V (diag(gw) + F o (N - N^H)/2) V^H`` with ``N = V^H gh``, ``F_ij = 1/(w_j - w_i)`` off the
    diagonal, and gh the gauge's projection of gV. Cotangents: ``dL = Re tr(gX^H dX)``, as in `eig_vjp`.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eigh`.
    gV : array, shape (..., n, n), optional
        Cotangent of the eigenvectors, real if they are. It is converted to the precision of A.
    gw : array, shape (..., n), optional
        Cotangent of the eigenvalues, real. Alone it takes a way without gaps and gauge, good at repeated eigenvalues as long
        as it is equal on them.
    eigensystem : EighResult or (w, V), optional
        A result of `eigh`, whose options hold, or a pair of orthogonal eigenvectors from any library call; see `eig_vjp`.
    gauge, degeneracy, check
        As for `eigh`, None for its defaults.

    Returns
    -------
    array, shape (..., n, n)
        gA, Hermitian, in the dtype of A. It is the gradient in all entries of A, of which `eigh` uses the Hermitian part.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError
        Bad arguments, see `eigh`; an eigensystem that is not A's, not orthogonal, or not scaled as the gauge asks.
    DegenerateEigenvaluesError
        Cotangents that `degeneracy` refuses at numerically equal eigenvalues.
    GaugeDependentLossError
        ``gauge="phase-free"`` and a loss that depends on the phase of an eigenvector.
    LostPrecisionError
        Rounding in the rule leaves fewer than about two digits of the gradient, by an estimate of its error. What the
        cotangents have lost themselves, computed through an inverse of V for instance, comes on top.

    References
    ----------
    Giles, "An extended collection of matrix derivative results for forward and reverse mode algorithmic differentiation"
    (2008), sec. 3.1. Seeger, Hetzel, Dai, Meissner, Lawrence, "Auto-differentiating linear algebra", arXiv:1710.08717.
    """
    system, flags = HermitianEigensystem.of(
        A, eigensystem, gauge=gauge, degeneracy=degeneracy, check=check, vectors=gV is not None
    )
    return system.vjp(gV, gw, flags)


def eigh_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
) -> tuple[Array, ...]:
    """Directional derivative of `eigh`: the tangents dw, dV that dA causes.

    Parameters
    ----------
    A, dA : array, shape (..., n, n)
        Matrix and its tangent, of one library and device; real if A is. The Hermitian part of dA counts.
    eigensystem, gauge, degeneracy, check
        As for `eigh_vjp`. With ``degeneracy="mask"`` dV leaves out the rotations inside clusters.

    Returns
    -------
    dw, dV : array, shapes (..., n) and (..., n, n)
        dw real, dV in the dtype of A.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError
        As for `eigh_vjp`.
    DegenerateEigenvaluesError
        ``degeneracy="raise"`` and numerically equal eigenvalues.

    References
    ----------
    As for `eigh_vjp`.
    """
    system, flags = HermitianEigensystem.of(A, eigensystem, gauge=gauge, degeneracy=degeneracy, check=check)
    return system.jvp(dA, flags)


def eigvalsh(A: Array, /, *, check: bool = True) -> Array:
    """Eigenvalues of a Hermitian matrix, real, in ascending order.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eigh`.
    check : bool
        As for `eigh`.

    Returns
    -------
    array, shape (..., n)

    Raises
    ------
    InputError, NonFiniteError
        As for `eigh`.
    """
    _inputs.switch("check", check)
    A, backend, flags = admit(A)
    return settle((backend.eigvalsh(A),), flags, check=check)[0]


def eigvalsh_vjp(
    A: Array,
    gw: Array,
    /,
    *,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    check: bool | None = None,
) -> Array:
    """Gradient of a loss through `eigvalsh`: ``gA = V diag(gw) V^H`` with orthonormal V.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eigh`.
    gw : array, shape (..., n)
        Cotangent of the eigenvalues, real.
    eigensystem : EighResult or (w, V), optional
        As for `eigh_vjp`; vectors of any norm and phase.
    check : bool, optional
        As for `eigh`.

    Returns
    -------
    array, shape (..., n, n)
        gA, Hermitian, in the dtype of A.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError
        As for `eigh_vjp`.
    DegenerateEigenvaluesError
        gw differs between numerically equal eigenvalues, beyond what a smooth function of w could make of them.

    References
    ----------
    As for `eigh_vjp`.
    """
    system, flags = HermitianEigensystem.of(A, eigensystem, check=check, vectors=False)
    return system.vjp(None, _inputs.given("gw", gw), flags)


def eigvalsh_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    check: bool | None = None,
) -> Array:
    """Directional derivative of `eigvalsh`: ``dw = diag(V^H dA V)`` with orthonormal V.

    Parameters
    ----------
    A, dA : array, shape (..., n, n)
        As for `eigh_jvp`.
    eigensystem, check
        As for `eigvalsh_vjp`.

    Returns
    -------
    array, shape (..., n)
        dw, real.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError
        As for `eigvalsh_vjp`.
    DegenerateEigenvaluesError
        dA splits numerically equal eigenvalues, whose tangents are then no function of dA alone.

    References
    ----------
    As for `eigh_vjp`.
    """
    system, flags = HermitianEigensystem.of(A, eigensystem, check=check, vectors=False)
    return system.eigenvalue_jvp(dA, flags)
