"""eigh, eigvalsh and their derivatives."""

from typing import Any

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

    def vjp(self, gV: Array | None = None, gw: Array | None = None) -> Any:
        """Gradient gA of a loss with cotangents gV and gw, with B ``(gA, gB)``; see `arreig.eigh_vjp`.

        Nothing is decomposed again.
        """
        return carried(self).vjp(gV, gw)

    def jvp(self, dA: Array, dB: Array | None = None, /) -> tuple[Array, ...]:
        """Tangents ``(dw, dV)``; see `arreig.eigh_jvp`."""
        tangents: tuple[Array, ...] = carried(self).jvp(dA, dB)
        return tangents


def eigh(
    A: Array,
    B: Array | None = None,
    /,
    *,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
) -> EighResult:
    """Eigenvalues and orthogonal eigenvectors of a Hermitian matrix or definite pencil, ready to be differentiated.

    ``A V = V diag(w)``, or ``A V = B V diag(w)`` with a positive definite B, as of stiffness and mass matrices.

    Parameters
    ----------
    A : array, shape (..., n, n)
        float32, float64, complex64 or complex128; integers are converted to float64, as NumPy does. Hermitian up to
        ``|A - A^H|_F <= sqrt(u) |A|_F``, u the unit roundoff; what is decomposed and differentiated is ``(A + A^H)/2``.
    B : array, shape (..., n, n), optional
        As for `eig`, Hermitian likewise, and positive definite, ``b_min > n u b_max`` for its eigenvalues. It is factorised, so
        that digits are lost like ``cond(B)``.
    gauge : {"canonical", "phase-free", "B-norm"}, Component or Functional
        As for `eig`. None is ``"canonical"``, with B ``"B-norm"``: ``v^H B v = 1``, so that ``V^H B V = I``, and the phase of
        ``"canonical"``. `Component` and `Functional` give the orthogonal vectors norms other than 1, and so do all gauges but
        "B-norm" to B-orthogonal ones. A real symmetric matrix has real eigenvectors and wants a real functional.
    degeneracy : {"raise", "mask", "split", "perturb"}, Split, Perturb or Broaden
        As for `eig`, with kappa = 1, or ``|v|^2/(v^H B v)``. No cluster is defective here, so that ``"split"`` serves every
        smooth loss.
    check : bool
        As for `eig`.

    Returns
    -------
    EighResult
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n): real eigenvalues in ascending order,
        vectors as columns in the dtype of A (complex, if B is). Its methods ``vjp(gV, gw)`` and ``jvp(dA, dB)`` differentiate.

    Raises
    ------
    InputError
        Shape, dtype, library or option (`InputTypeError` where it is a matter of type), A or B not Hermitian, or B not positive
        definite.
    NonFiniteError
        A or B contains NaN or infinity.
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
    system, flags = HermitianEigensystem.of(A, B, gauge=gauge, degeneracy=degeneracy, check=check)
    xp = namespace(system.w)
    w, V = system.settle((system.eigenvalues, system.V), flags)
    return EighResult(xp.asarray(w, copy=True), xp.asarray(V, copy=True))._carry(system)


def eigh_vjp(
    A: Array,
    /,
    gV: Array | None = None,
    gw: Array | None = None,
    *,
    B: Array | None = None,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
) -> Any:
    """Gradient of a loss through `eigh`: gA, with B also gB, from the loss's gradients gV and gw.

    For orthonormal V: ``gA = V (diag(gw) + F o (N - N^H)/2) V^H`` with ``N = V^H gh``, ``F_ij = 1/(w_j - w_i)`` off the
    diagonal, and gh the gauge's projection of gV. Cotangents: ``dL = Re tr(gX^H dX)``, as in `eig_vjp`. With B and
    ``V^H B V = I`` gA is the same, and ``gB = -V (diag(gw w) + M o F o (N - N^H)/2 + off(N + N^H)/4) V^H`` with
    ``M_ij = (w_i + w_j)/2`` and off without the diagonal; the gauge "B-norm" takes ``V diag(Re v^H gV)/2 V^H`` more from it.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eigh`.
    gV : array, shape (..., n, n), optional
        Cotangent of the eigenvectors, real if they are. It is converted to the precision of A.
    gw : array, shape (..., n), optional
        Cotangent of the eigenvalues, real. Alone it takes a way without gaps and gauge, good at repeated eigenvalues as long
        as it is equal on them.
    B : array, shape (..., n, n), optional
        As for `eigh`. A result that is passed as `eigensystem` has a B or none, and so must the call.
    eigensystem : EighResult or (w, V), optional
        A result of `eigh`, whose options hold, or a pair of orthogonal (B-orthogonal) eigenvectors from any library call; see
        `eig_vjp`.
    gauge, degeneracy, check
        As for `eigh`, None for its defaults.

    Returns
    -------
    array, or two with B, shape (..., n, n)
        gA, Hermitian, in the dtype of A. It is the gradient in all entries of A, of which `eigh` uses the Hermitian part. With B
        ``(gA, gB)``, gB likewise.

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
        A, B, eigensystem, gauge=gauge, degeneracy=degeneracy, check=check, vectors=gV is not None
    )
    return system.vjp(gV, gw, flags)


def eigh_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
) -> tuple[Array, ...]:
    """Directional derivative of `eigh`: the tangents dw, dV that dA, and dB, cause.

    Parameters
    ----------
    A, dA : array, shape (..., n, n)
        Matrix and its tangent, of one library and device; real if A is. The Hermitian part of dA counts.
    B, dB : array, shape (..., n, n), optional
        As for `eigh_vjp`, and its tangent, of which the Hermitian part counts; without dB, B is held fixed.
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
    system, flags = HermitianEigensystem.of(A, B, eigensystem, gauge=gauge, degeneracy=degeneracy, check=check)
    return system.jvp(dA, dB, flags)


def eigvalsh(A: Array, B: Array | None = None, /, *, check: bool = True) -> Array:
    """Eigenvalues of a Hermitian matrix, or definite pencil, real, in ascending order.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eigh`.
    B : array, shape (..., n, n), optional
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
    if B is not None:
        system, flags = HermitianEigensystem.of(A, B, check=check, vectors=False)
        return system.settle((system.eigenvalues,), flags)[0]
    A, _, backend, flags = admit(A, None)
    return settle((backend.eigvalsh(A),), flags, check=check)[0]


def eigvalsh_vjp(
    A: Array,
    gw: Array,
    /,
    *,
    B: Array | None = None,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    check: bool | None = None,
) -> Any:
    """Gradient of a loss through `eigvalsh`: ``gA = V diag(gw) V^H`` with orthonormal V.

    With B and ``V^H B V = I`` also ``gB = -V diag(gw w) V^H``.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eigh`.
    gw : array, shape (..., n)
        Cotangent of the eigenvalues, real.
    B : array, shape (..., n, n), optional
        As for `eigh_vjp`.
    eigensystem : EighResult or (w, V), optional
        As for `eigh_vjp`; vectors of any norm and phase.
    check : bool, optional
        As for `eigh`.

    Returns
    -------
    array, or two with B, shape (..., n, n)
        gA, Hermitian, in the dtype of A; with B ``(gA, gB)``.

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
    system, flags = HermitianEigensystem.of(A, B, eigensystem, check=check, vectors=False)
    return system.vjp(None, _inputs.given("gw", gw), flags)


def eigvalsh_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: EighResult | tuple[Array, Array] | None = None,
    check: bool | None = None,
) -> Array:
    """Directional derivative of `eigvalsh`: ``dw = diag(V^H dA V)`` with orthonormal V.

    With B and ``V^H B V = I`` it is ``diag(V^H (dA V - dB V diag(w)))``.

    Parameters
    ----------
    A, dA : array, shape (..., n, n)
        As for `eigh_jvp`.
    B, dB : array, shape (..., n, n), optional
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
    system, flags = HermitianEigensystem.of(A, B, eigensystem, check=check, vectors=False)
    return system.eigenvalue_jvp(dA, dB, flags)
