"""eigsh and its derivatives."""

from typing import Any, Literal

from .._gauge import GaugeOption
from .._types import Array
from ._selected import selected
from .eigs import EigsResult, KeptDegeneracy, SolveOption, result

WhichHermitian = Literal["LM", "SM", "LA", "SA", "BE"]


def eigsh(
    A: Any,
    /,
    k: int = 6,
    *,
    B: Any = None,
    which: WhichHermitian = "LM",
    sigma: float | None = None,
    v0: Array | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    gauge: GaugeOption | Literal["B-norm"] | None = None,
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> EigsResult:
    """A few eigenvalues and eigenvectors of a large Hermitian matrix or definite pencil, ready to be differentiated.

    ``A v = w v``, or ``A v = w B v`` with a positive definite B.

    Parameters
    ----------
    A : sparse array, LinearOperator or array, shape (n, n)
        As for `eigs`, and Hermitian up to ``|A - A^H|_F <= sqrt(u) |A|_F``; what is decomposed and differentiated is ``(A +
        A^H)/2``. A LinearOperator needs no `rmatvec`.
    k : int
        Number of eigenpairs, as for `eigs`; ARPACK computes up to n - 1 of a real matrix.
    B : like A, optional
        Hermitian and positive definite.
    which : {"LM", "SM", "LA", "SA", "BE"}
        The eigenvalues that are wanted: largest or smallest modulus, largest or smallest, or both ends (real matrices only); with
        `sigma` those of 1/(w - sigma), so that ``"LM"`` takes the nearest to sigma.
    sigma : float, optional
        Shift, as for `eigs`.
    v0, ncv, tol, maxiter
        As for `eigs`.
    gauge : {"B-norm", "canonical", "phase-free"}, Component or Functional, optional
        ``"B-norm"``, the default with B: ``v^H B v = 1``, the largest component real and positive. The others as for `eig`.
    degeneracy : {"raise", "mask"}
        As for `eigs`.
    solve, check
        As for `eigs`. If only eigenvalues have cotangents no system is solved, and with `check` a factorisation is made beside
        those next to which one may have been left out: at the ends of the selection if it is an interval, else beside each.

    Returns
    -------
    EigsResult
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (k,) and (n, k): real eigenvalues in ascending order, orthogonal
        vectors (``v_i^H B v_j = 0``), real for real matrices.

    Raises
    ------
    InputError, NonFiniteError, ConvergenceError, GaugeError
        As for `eigs`; a matrix is not Hermitian; B is seen not to be positive definite (an eigenvector with ``v^H B v <= 0``).

    Warns
    -----
    GaugeTieWarning, DenseSolverWarning, HostTransferWarning
        As for `eigs`.

    See Also
    --------
    eigsh_vjp, eigsh_jvp, eigs, eigh

    References
    ----------
    As for `eigs`.

    Examples
    --------
    The lowest vibration of a chain of masses, and how its frequency changes with each spring and mass:

    >>> import numpy as np, scipy.sparse as sparse, arreig
    >>> K = sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(500, 500), format="csr")
    >>> M = sparse.eye_array(500, format="csr")
    >>> w, V = res = arreig.eigsh(K, k=1, B=M, sigma=0.0)
    >>> gK, gM = res.vjp(gw=np.ones(1))
    >>> bool(np.isclose((gK.diagonal()).sum(), 1)), bool(np.isclose(gM.diagonal().sum(), -w[0]))
    (True, True)
    """
    system = selected(
        A,
        hermitian=True,
        k=k,
        B=B,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        gauge=gauge,
        degeneracy=degeneracy,
        solve=solve,
        check=check,
    )
    return result(system)


def eigsh_vjp(
    A: Any,
    /,
    gV: Array | None = None,
    gw: Array | None = None,
    *,
    factors: bool = False,
    eigensystem: EigsResult | tuple[Array, Array] | None = None,
    k: int = 6,
    B: Any = None,
    which: WhichHermitian = "LM",
    sigma: float | None = None,
    v0: Array | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    gauge: GaugeOption | Literal["B-norm"] | None = None,
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> Any:
    """Gradient of a loss through `eigsh`: gA from the loss's gradients gV and gw, at the entries that A has.

    Parameters
    ----------
    A : sparse array, LinearOperator or array, shape (n, n)
        As for `eigsh`.
    gV : array, shape (n, k), optional
        Cotangent of the eigenvectors, real if they are.
    gw : array, shape (k,), optional
        Cotangent of the eigenvalues, real.
    factors : bool
        Return the gradient by its factors.
    eigensystem : EigsResult or (w, V), optional
        As for `eigs_vjp`; orthogonal eigenvectors.
    k, B, which, sigma, v0, ncv, tol, maxiter, gauge, degeneracy, solve, check
        As for `eigsh`.

    Returns
    -------
    gA, or (gA, gB) if there is a B
        As for `eigs_vjp`: the Hermitian part of ``Y V^H``, in the format and pattern of the matrix, or its factors. It is the
        gradient in all entries of A, of which `eigsh` uses the Hermitian part.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError, ConvergenceError, SpectrumNotSeparatedError
        As for `eigs_vjp`.
    DegenerateEigenvaluesError, GaugeDependentLossError, LostPrecisionError
        As for `eigh_vjp`, among the eigenpairs that are kept.

    References
    ----------
    As for `eigs`.
    """
    system = selected(
        A,
        eigensystem,
        hermitian=True,
        k=k,
        B=B,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        gauge=gauge,
        degeneracy=degeneracy,
        solve=solve,
        check=check,
    )
    return result(system).vjp(gV, gw, factors=factors)


def eigsh_jvp(
    A: Any,
    dA: Any,
    /,
    *,
    dB: Any = None,
    eigensystem: EigsResult | tuple[Array, Array] | None = None,
    k: int = 6,
    B: Any = None,
    which: WhichHermitian = "LM",
    sigma: float | None = None,
    v0: Array | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    gauge: GaugeOption | Literal["B-norm"] | None = None,
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> tuple[Array, Array]:
    """Directional derivative of `eigsh`: the tangents dw, dV that dA and dB cause.

    Parameters
    ----------
    A, dA : sparse array, LinearOperator or array, shape (n, n)
        Matrix and its tangent, of which the Hermitian part counts; a LinearOperator must be Hermitian.
    dB : like dA, optional
        Tangent of B; None for zero.
    eigensystem, k, B, which, sigma, v0, ncv, tol, maxiter, gauge, degeneracy, solve, check
        As for `eigsh_vjp`.

    Returns
    -------
    dw, dV : array, shapes (k,) and (n, k)
        dw real, dV real for real matrices.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError, ConvergenceError, SpectrumNotSeparatedError
        As for `eigsh_vjp`.
    DegenerateEigenvaluesError
        ``degeneracy="raise"`` and numerically equal eigenvalues among those that are kept.

    References
    ----------
    As for `eigs`.
    """
    system = selected(
        A,
        eigensystem,
        hermitian=True,
        k=k,
        B=B,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        gauge=gauge,
        degeneracy=degeneracy,
        solve=solve,
        check=check,
    )
    return result(system).jvp(dA, dB)
