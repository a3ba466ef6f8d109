"""eigs and its derivatives."""

from collections.abc import Callable
from typing import Any, Literal

from .._gauge import GaugeOption
from .._types import Array, EigPair, SortOption
from . import _inputs
from ._selected import PartialResult, selected
from ._system import carried

Which = Literal["LM", "SM", "LR", "SR", "LI", "SI"]
SolveOption = Literal["auto", "direct", "iterative"] | Callable[[complex, Any, bool], Any]
KeptDegeneracy = Literal["raise", "mask"]


class EigsResult(PartialResult, EigPair):
    """Result of `arreig.eigs` and `arreig.eigsh`: ``(eigenvalues, eigenvectors)``, with `vjp` and `jvp`.

    It remembers its matrices and options. The arrays are the caller's own: changing them in place does not change the
    derivatives.
    """

    def vjp(self, gV: Array | None = None, gw: Array | None = None, *, factors: bool = False) -> Any:
        """Gradient gA, or (gA, gB), of a loss with cotangents gV and gw; see `arreig.eigs_vjp`. Nothing is decomposed twice."""
        _inputs.switch("factors", factors)
        system = carried(self)
        gA, gB = system.vjp(gV, gw)
        return gA.given(factors) if gB is None else (gA.given(factors), gB.given(factors))

    def jvp(self, dA: Any, dB: Any = None, /) -> tuple[Array, Array]:
        """Tangents ``(dw, dV)``; see `arreig.eigs_jvp`."""
        tangents: tuple[Array, Array] = carried(self).jvp(dA, dB)
        return tangents


def result(system: Any) -> EigsResult:
    """What a caller gets of a system."""
    return EigsResult(system.A.array(system.w), system.A.array(system.V))._carry(system)


def eigs(
    A: Any,
    /,
    k: int = 6,
    *,
    B: Any = None,
    which: Which = "LM",
    sigma: complex | None = None,
    v0: Array | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    sort: SortOption = None,
    gauge: GaugeOption = "canonical",
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> EigsResult:
    """A few eigenvalues and eigenvectors of a large matrix, ``A v = w v`` or ``A v = w B v``, ready to be differentiated.

    ARPACK finds the eigenpairs, SuperLU factorises. The gradient costs a few sparse solves an eigenpair, and no n x n matrix is
    formed.

    Parameters
    ----------
    A : sparse array, LinearOperator or array, shape (n, n)
        A SciPy sparse array (any format), a dense array of any library, a LinearOperator (derivatives need its `rmatvec`), a
        torch sparse tensor (COO, CSR, CSC) or a CuPy sparse matrix. float32, float64, complex64 or complex128; integers are
        converted to float64. It is computed with on the host in double precision; results have the precision of A.
    k : int
        Number of eigenpairs, at most n. Beyond what ARPACK can (n - 2), a matrix of order up to 1000 is decomposed as a dense
        one, with a `DenseSolverWarning`. Of a real matrix an odd k may take one member of a conjugate pair.
    B : like A, optional
        Any matrix; without `sigma` it must be invertible.
    which : {"LM", "SM", "LR", "SR", "LI", "SI"}
        The eigenvalues w that are wanted: largest or smallest modulus, real part or modulus of the imaginary part; with `sigma`
        those of 1/(w - sigma), so that ``"LM"`` takes the nearest to sigma.
    sigma : complex, optional
        Shift, near which eigenvalues are found fast: A - sigma B is factorised. It must not be an eigenvalue.
    v0 : array, shape (n,), optional
        Start vector; None for a fixed one, so that results are the same in every call.
    ncv, tol, maxiter
        As in `scipy.sparse.linalg.eigs`: dimension of the Krylov subspace, relative accuracy of the eigenvalues (0 for rounding),
        number of restarts. A gradient is no more accurate than the eigenpairs.
    sort : {None, "abs", "real"}
        Order of the eigenpairs: the most wanted first, or descending by modulus or real part; of conjugates +imag first.
    gauge : {"canonical", "phase-free"}, Component or Functional
        As for `eig`.
    degeneracy : {"raise", "mask"}
        As for `eig`, between the eigenpairs that are kept. The other policies need all eigenpairs.
    solve : {"auto", "direct", "iterative"} or callable
        How the systems of the derivatives are solved.

        - ``"direct"``: a sparse factorisation of A - s B at a shift s near each eigenvalue (neighbours share one), in real
          arithmetic where A, B and w are real, with iterative refinement.
        - ``"iterative"``: GMRES, preconditioned by the factorisation at `sigma` of the forward, if there is a `sigma`; MINRES for
          `eigsh` without.
        - ``"auto"``: direct if entries are known and there is a `sigma` or n is at most 5000; else iterative, and direct should
          that fail.
        - A function ``solve(shift, x, adjoint)`` that returns ``(A - shift B)^-1 x``, or ``(A - shift B)^-H x`` if adjoint is
        True,
          for a vector x of shape (n,): your own solver for a distributed matrix, or a multigrid. It is used at `sigma` in the
          forward, too, and it may be inexact in derivatives: their residuals are checked, and GMRES improves on it.
    check : bool
        Check what costs something: ties of the gauge, degeneracies, and in derivatives by some further solves whether the
        selection cuts a cluster. Without, derivatives where that is so mean nothing.

    Returns
    -------
    EigsResult
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (k,) and (n, k), complex, vectors as columns. Its methods
        ``vjp(gV, gw, factors=False)`` and ``jvp(dA, dB)`` differentiate.

    Raises
    ------
    InputError, NonFiniteError
        Bad arguments; sigma an eigenvalue; B singular and no sigma.
    ConvergenceError
        ARPACK did not converge; the eigenpairs that did are in the error.
    GaugeError
        As for `eig`.

    Warns
    -----
    GaugeTieWarning
        As for `eig`.
    DenseSolverWarning
        k is too large for ARPACK.
    HostTransferWarning
        Arrays of a GPU are computed with on the host.

    See Also
    --------
    eigs_vjp, eigs_jvp, eigsh, eig

    Notes
    -----
    Eigenvalues are found by ARPACK as those of (A - sigma B)^-1 B or B^-1 A, so that B need not be Hermitian. ARPACK can miss
    one of several equal eigenvalues; the derivative then raises `SpectrumNotSeparatedError`.

    References
    ----------
    Nelson, "Simplified calculation of eigenvector derivatives", AIAA J. 14 (1976) 1201-1205. Andrew, Tan, "Computation of
    derivatives of repeated eigenvalues and the corresponding eigenvectors of symmetric matrix pencils", SIAM J. Matrix Anal.
    Appl. 20 (1998) 78-100. Lehoucq, Sorensen, Yang, ARPACK Users' Guide (1998).

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sparse, arreig
    >>> A = sparse.diags_array([1.0, -2.0, 1.01], offsets=[-1, 0, 1], shape=(1000, 1000), format="csr")
    >>> res = arreig.eigs(A, k=2, sigma=0.5)
    >>> g = res.vjp(gw=np.array([1.0, 0.0]))  # the gradient of the eigenvalue nearest to sigma, at the entries of A
    >>> g.format, g.nnz == A.nnz
    ('csr', True)
    """
    system = selected(
        A,
        hermitian=False,
        k=k,
        B=B,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        sort=sort,
        gauge=gauge,
        degeneracy=degeneracy,
        solve=solve,
        check=check,
    )
    return result(system)


def eigs_vjp(
    A: Any,
    /,
    gV: Array | None = None,
    gw: Array | None = None,
    *,
    factors: bool = False,
    eigensystem: EigsResult | tuple[Array, Array] | None = None,
    k: int = 6,
    B: Any = None,
    which: Which = "LM",
    sigma: complex | None = None,
    v0: Array | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    sort: SortOption = None,
    gauge: GaugeOption = "canonical",
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> Any:
    """Gradient of a loss through `eigs`: gA from the loss's gradients gV and gw, at the entries that A has.

    With y_j the solutions of ``(A - w_j B)^H y_j = -gh_j``, ``(B v_j)^H y_j = gw_j``, gh the gauge's projection of gV:
    ``gA = Y V^H``, ``gB = -Y conj(diag w) V^H``. Cotangents: ``dL = Re tr(gX^H dX)``, as in `eig_vjp`.

    Parameters
    ----------
    A : sparse array, LinearOperator or array, shape (n, n)
        As for `eigs`.
    gV : array, shape (n, k), optional
        Cotangent of the eigenvectors, of the library of A (NumPy arrays for SciPy's matrices). It may be real.
    gw : array, shape (k,), optional
        Cotangent of the eigenvalues.
    factors : bool
        Return the gradient by its factors.
    eigensystem : EigsResult or (w, V), optional
        A result of `eigs`, whose options hold, or a pair of any library call, in the scale of the gauge, so that nothing is
        decomposed again. It is checked against A and B.
    k, B, which, sigma, v0, ncv, tol, maxiter, sort, gauge, degeneracy, solve, check
        As for `eigs`.

    Returns
    -------
    gA, or (gA, gB) if there is a B
        In the format, dtype and pattern of the matrix: explicit zeros and duplicates are entries. Of a real matrix real. For a
        LinearOperator, and with ``factors=True``, `GradientFactors` ``(Y, V)`` with ``gA = Y V^H``.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError, ConvergenceError
        As for `eigs`. `ConvergenceError` also where a system cannot be solved to a residual of 1e-8.
    SpectrumNotSeparatedError
        The selection cuts a cluster: an eigenvalue that was not kept is so near that the kept vectors have no derivative.
    DegenerateEigenvaluesError, DefectiveMatrixError, GaugeDependentLossError, LostPrecisionError
        As for `eig_vjp`, among the eigenpairs that are kept.

    References
    ----------
    As for `eigs`.
    """
    system = selected(
        A,
        eigensystem,
        hermitian=False,
        k=k,
        B=B,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        sort=sort,
        gauge=gauge,
        degeneracy=degeneracy,
        solve=solve,
        check=check,
    )
    return result(system).vjp(gV, gw, factors=factors)


def eigs_jvp(
    A: Any,
    dA: Any,
    /,
    *,
    dB: Any = None,
    eigensystem: EigsResult | tuple[Array, Array] | None = None,
    k: int = 6,
    B: Any = None,
    which: Which = "LM",
    sigma: complex | None = None,
    v0: Array | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    sort: SortOption = None,
    gauge: GaugeOption = "canonical",
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> tuple[Array, Array]:
    """Directional derivative of `eigs`: the tangents dw, dV that dA and dB cause.

    Parameters
    ----------
    A, dA : sparse array, LinearOperator or array, shape (n, n)
        Matrix and its tangent, of which only products are taken; real if A is.
    dB : like dA, optional
        Tangent of B; None for zero.
    eigensystem, k, B, which, sigma, v0, ncv, tol, maxiter, sort, gauge, degeneracy, solve, check
        As for `eigs_vjp`.

    Returns
    -------
    dw, dV : array, shapes (k,) and (n, k)

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError, ConvergenceError, SpectrumNotSeparatedError, DefectiveMatrixError
        As for `eigs_vjp`.
    DegenerateEigenvaluesError
        ``degeneracy="raise"`` and numerically equal eigenvalues among those that are kept.

    References
    ----------
    As for `eigs`.
    """
    system = selected(
        A,
        eigensystem,
        hermitian=False,
        k=k,
        B=B,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        sort=sort,
        gauge=gauge,
        degeneracy=degeneracy,
        solve=solve,
        check=check,
    )
    return result(system).jvp(dA, dB)
