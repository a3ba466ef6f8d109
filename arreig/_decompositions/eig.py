"""eig and its derivatives."""

from typing import Any, Literal, overload

from .._array_api import namespace
from .._degeneracy import DegeneracyOption
from .._gauge import GaugeOption
from .._types import Array, EigPair, EigTriple, RefineOption, SortOption
from . import _inputs
from ._general import GeneralEigensystem, GeneralResult
from ._system import carried


class _EigResult(GeneralResult):
    def vjp(self, gV: Array | None = None, gw: Array | None = None, *, gW: Array | None = None) -> Any:
        """Gradient gA of a loss with cotangents gV, gw and gW, with B ``(gA, gB)``; see `arreig.eig_vjp`.

        Nothing is decomposed again.
        """
        return carried(self).vjp(gV, gw, gW)

    def jvp(self, dA: Array, dB: Array | None = None, /) -> tuple[Array, ...]:
        """Tangents ``(dw, dV)``, and dW for a result with left eigenvectors; see `arreig.eig_jvp`."""
        tangents: tuple[Array, ...] = carried(self).jvp(dA, dB, isinstance(self, EigTriple))
        return tangents


class EigResult(_EigResult, EigPair):
    """Result of `arreig.eig`: ``(eigenvalues, eigenvectors)``, with `vjp` and `jvp`.

    It remembers its matrix, or matrices, and options and, for NumPy, keeps the factorisation of V, so that a further derivative
    costs matrix products and triangular solves. The arrays are the caller's own: changing them in place does not change the
    derivatives.
    """


class EigLeftResult(_EigResult, EigTriple):
    """Result of ``arreig.eig(A, left=True)``: ``(eigenvalues, eigenvectors, left_eigenvectors)``, with `vjp` and `jvp`."""


@overload
def eig(
    A: Array,
    B: Array | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: Literal[False] = ...,
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigResult: ...
@overload
def eig(
    A: Array,
    B: Array | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: Literal[True],
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigLeftResult: ...
@overload
def eig(
    A: Array,
    B: Array | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: bool,
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigResult | EigLeftResult: ...
def eig(
    A: Array,
    B: Array | None = None,
    /,
    *,
    gauge: GaugeOption = "canonical",
    sort: SortOption = None,
    left: bool = False,
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
    refine: RefineOption = "auto",
) -> EigResult | EigLeftResult:
    r"""Eigenvalues and eigenvectors, ``A V = V diag(w)`` or ``A V = B V diag(w)``, ready to be differentiated.

    Parameters
    ----------
    A : array, shape (..., n, n)
        float32, float64, complex64 or complex128; integers are converted to float64, as NumPy does. Any library of the
        array API with a `linalg` extension. What torch or JAX are recording in order to differentiate is refused: no
        derivative flows through a plain result (for torch, `arreig_torch.eig`).
    B : array, shape (..., n, n), optional
        Of A's library, shape, batch included, and precision; None for the identity. Derivatives are with respect to both. With
        NumPy B may be singular: eigenvalues are then infinite, ``inf+0j``, and have no derivatives, the finite ones do (infinite
        is what the QZ algorithm finds with a beta below ``100 u |B|_F``). Other
        libraries decompose ``B^-1 A``, and refuse a B with a condition number above ``1/sqrt(u)``.
    gauge : {"canonical", "phase-free"}, Component or Functional
        What makes an eigenvector unique; the derivative depends on it.

        - ``"canonical"``: norm 1, the largest component real and positive (of components within sqrt(u) of the largest the
          first one). Every loss has a gradient. `GaugeTieWarning` where two components tie.
        - ``"phase-free"``: norm 1, the phase as the library left it. Losses must not depend on it, and cotangents that
          show that theirs does are refused (tangents cannot show it).
        - ``Component(m)``: component m is 1. ``Functional(z)``: ``z^H v = 1``.
    sort : {None, "abs", "real"}
        Order of the eigenpairs. None: for n = 2 and 3 descending by real part, of complex matrices by ``Re w + Im w/sqrt(3)``,
        from every library and in batches of any size; for larger n, and with B, as the library's solver (LAPACK) returns them.
        ``"abs"`` and ``"real"``: descending by modulus or real part. Conjugate pairs of a real A are adjacent in each, positive
        imaginary part first.
    left : bool
        Return the left eigenvectors ``W = V^-H`` too: ``W^H A = diag(w) W^H``, ``W^H V = I``. With B they are ``(B V)^-H``:
        ``W^H A = diag(w) W^H B``, ``W^H B V = I``.
    degeneracy : {"raise", "mask", "split", "perturb"}, Split, Perturb or Broaden
        What the derivatives do where eigenvalues are numerically equal, ``|w_i - w_j| <= 20 u (kappa_i + kappa_j) |A|_F``
        with kappa the eigenvalues' condition numbers and u the unit roundoff; with B the error of w that rounding of B makes
        counts too.

        - ``"raise"``: refuse cotangents that reach eigenvectors of the cluster or tell its eigenvalues apart.
        - ``"mask"``: exact for losses that depend on the cluster through its span and mean eigenvalue; others are refused
          where the cotangents show it (a necessary test).
        - ``"split"``, `Split`: for losses that are smooth functions of A. `eig` itself then puts eigenvalues of a cluster about
          ``sqrt(u) |A|`` apart, with a generic basis of its space; the gradient is right to about ``sqrt(u)``. Losses on
          single vectors of a cluster are refused where the cotangents show it; so are defective clusters. Where vectors are
          missing, A is decomposed twice (one more synchronisation to find out; without `check`, always). With B it is done
          to ``B^-1 A``, and an ill-conditioned B is refused.
        - ``"perturb"``, `Perturb`: the same for matrices that may be defective, by a fixed perturbation of A; less accurate.
        - ``Broaden(eps)``: Lorentzian broadening, biased; refuses no cluster; for comparison with older codes.
    check : bool
        Read the checks of data (one synchronisation a call). Without, nothing is read, and a batch member for which an
        error would have been raised is NaN; so under a tracer, where there is nothing to read (``jax.jit``, `vmap`, fake
        tensors).
    refine : {"auto", False} or int
        Iterative refinement of derivatives with eigenvectors: column by column, where the residual is above rounding and the
        correction small. ``"auto"``: one step if any residual asks for it; to find out costs a matrix product and, with
        `check`, one more synchronisation (without, the step is always computed). A number: as many steps. It gains up to
        several digits where A is far from normal or eigenvalues are close. A bare ``(w, V)`` and `Broaden` are not refined.

    Returns
    -------
    EigResult or EigLeftResult
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n), always complex, vectors as columns; with
        ``left=True`` a third, ``left_eigenvectors``. Its methods ``vjp(gV, gw, gW=...)`` and ``jvp(dA, dB)`` differentiate.

    Raises
    ------
    InputError
        Shape, dtype, library or option (`InputTypeError` where it is a matter of type); a B that is too ill conditioned, see
        there; a singular pencil, of which every number is an eigenvalue.
    NonFiniteError
        A or B contains NaN or infinity.
    GaugeError
        The component or functional that the gauge sets to 1 vanishes in an eigenvector.
    DefectiveMatrixError
        With ``left=True``, if the eigenvectors are numerically dependent.
    InfiniteEigenvalueError
        With ``left=True``, if an eigenvalue is infinite.

    Warns
    -----
    GaugeTieWarning
        The canonical gauge is unstable, because two components share the largest modulus.

    See Also
    --------
    eig_vjp, eig_jvp, eigh, eigvals

    Notes
    -----
    ``docs/repeated_eigenvalues.md`` explains which `degeneracy` is for which loss, and why.

    Batches of NumPy arrays, and the products and solutions in derivatives of a large matrix, are shared among as many threads as
    BLAS may use (``OPENBLAS_NUM_THREADS``, ``threadpoolctl.threadpool_limits``), with one thread of BLAS in each.

    References
    ----------
    Magnus, "On differentiating eigenvalues and eigenvectors", Econometric Theory 1 (1985) 179-191. Moler, Stewart, "An algorithm
    for generalized matrix eigenvalue problems", SIAM J. Numer. Anal. 10 (1973) 241-256.

    Examples
    --------
    >>> import numpy as np, arreig
    >>> A = np.array([[0.5, 1.5], [0.4, 0.6]])  # two stages: births, growth and survival
    >>> res = arreig.eig(A, gauge=arreig.Functional(np.ones(2)), sort="abs")
    >>> w, V = res
    >>> np.round(V[:, 0].real, 6)  # of the dominant eigenvalue: the stable stage distribution
    array([0.644826, 0.355174])
    >>> gV = np.zeros((2, 2)); gV[0, 0] = 1  # derivative of its first component
    >>> np.round(res.vjp(gV), 6)
    array([[ 0.147528,  0.081259],
           [-0.267841, -0.147528]])
    """
    _inputs.switch("left", left)
    system, flags = GeneralEigensystem.of(
        A, B, gauge=gauge, degeneracy=degeneracy, sort=sort, check=check, refine=refine
    )
    arrays, flags = system.arrays(left, flags)
    xp = namespace(system.w)
    arrays = tuple([xp.asarray(x, copy=True) for x in system.settle(arrays, flags)])
    return EigLeftResult(*arrays)._carry(system) if left else EigResult(*arrays)._carry(system)


def eig_vjp(
    A: Array,
    /,
    gV: Array | None = None,
    gw: Array | None = None,
    *,
    gW: Array | None = None,
    B: Array | None = None,
    eigensystem: EigResult | EigLeftResult | tuple[Array, Array] | None = None,
    gauge: GaugeOption | None = None,
    sort: SortOption = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
    refine: RefineOption | None = None,
) -> Any:
    r"""Gradient of a loss through `eig`: gA, with B also gB, from the loss's gradients gV, gw and gW.

    A cotangent gX of an array X says how the loss moves, ``dL = Re tr(gX^H dX)``: ``gX = dL/dRe X + i dL/dIm X``, as in
    torch (JAX and HIPS autograd use its conjugate). With ``F_ij = 1/(w_j - w_i)``, zero on the diagonal, and gh the gauge's
    projection of gV,

    .. math:: g_A = V^{-H} \left[ \operatorname{diag}(g_w) + \bar F \circ (V^H g_h) \right] V^H .

    With B the inverse is that of ``B V``, and :math:`g_B` has :math:`-\operatorname{diag}(\bar w) V^H` as the last factor.

    Parameters
    ----------
    A : array, shape (..., n, n)
        As for `eig`.
    gV : array, shape (..., n, n), optional
        Cotangent of the eigenvectors. A cotangent may be real; it is converted to the precision of A.
    gw : array, shape (..., n), optional
        Cotangent of the eigenvalues. Alone it takes a way without gaps and gauge, cheaper and good at repeated eigenvalues
        as long as it is equal on them.
    gW : array, shape (..., n, n), optional
        Cotangent of the left eigenvectors ``W = V^-H``, with B ``(B V)^-H``.
    B : array, shape (..., n, n), optional
        As for `eig`. A result that is passed as `eigensystem` has a B or none, and so must the call.
    eigensystem : EigResult or (w, V), optional
        A result of `eig`, whose options hold (naming other ones raises), or the pair of any library call, so that A is not
        decomposed again. The phases of a pair are taken as they are; its scale must be that of the gauge. It is checked
        against A: ``|A v - w v| <= sqrt(u) |A|_F |v|``, with B likewise. Infinite eigenvalues may be given as inf or NaN.
    gauge, sort, degeneracy, check, refine
        As for `eig`, None for its defaults. The derivative is that of `eig` with these options, its cotangents in its order.

    Returns
    -------
    array, or two with B, shape (..., n, n)
        gA in the dtype of A, real for a real A; with B ``(gA, gB)``, gB in the dtype of B.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError
        Bad arguments, see `eig`; an eigensystem that is not A's or not scaled as the gauge asks.
    InfiniteEigenvalueError
        A cotangent for an infinite eigenvalue or its eigenvector, or, where there is one, gW.
    DefectiveMatrixError
        Some eigenvectors are numerically dependent, and eigenvectors (any of them) have a cotangent.
    DegenerateEigenvaluesError
        Cotangents that `degeneracy` refuses at numerically equal eigenvalues.
    GaugeDependentLossError
        ``gauge="phase-free"`` and a loss that depends on the phase of an eigenvector.
    LostPrecisionError
        Rounding in the rule leaves fewer than about two digits of the gradient, by an estimate of its error. What the
        cotangents have lost themselves, computed through an inverse of V for instance, comes on top.

    See Also
    --------
    eig : ``res = eig(A)`` and ``res.vjp(gV, gw)`` serve several cotangents with one decomposition and one factorisation.

    References
    ----------
    Magnus, Econometric Theory 1 (1985) 179-191. Boeddeker, Hanebrink, Drude, Heymann, Haeb-Umbach, "On the computation of
    complex-valued gradients with application to statistically optimum beamforming", arXiv:1701.00392.

    Examples
    --------
    The gradient of ``sum(weights * abs(V)**2)``, whose cotangent is ``gV = 2 weights V``:

    >>> import numpy as np, arreig
    >>> A, weights = np.array([[2.0, 1.0], [0.5, 3.0]]), np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> w, V = arreig.eig(A)
    >>> np.round(arreig.eig_vjp(A, 2 * weights * V), 6)
    array([[ 0.502928,  0.270262],
           [ 0.465331, -0.502928]])
    """
    system, flags = GeneralEigensystem.of(
        A,
        B,
        eigensystem,
        gauge=gauge,
        degeneracy=degeneracy,
        sort=sort,
        check=check,
        refine=refine,
        vectors=gV is not None or gW is not None,
    )
    return system.vjp(gV, gw, gW, flags)


def eig_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    left: bool = False,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: EigResult | EigLeftResult | tuple[Array, Array] | None = None,
    gauge: GaugeOption | None = None,
    sort: SortOption = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
    refine: RefineOption | None = None,
) -> tuple[Array, ...]:
    r"""Directional derivative of `eig`: the tangents dw, dV that dA, and dB, cause.

    With ``P = V^-1 dA V`` and F as in `eig_vjp`: ``dw = diag(P)``, ``dV = V (F o P) + V diag(c)``, c from the gauge. With B
    ``P = (B V)^-1 (dA V - dB V diag(w))``.

    Parameters
    ----------
    A, dA : array, shape (..., n, n)
        Matrix and its tangent, of one library and device. dA must be real if A is.
    B, dB : array, shape (..., n, n), optional
        As for `eig_vjp`, and its tangent; without dB, B is held fixed.
    left : bool
        Return dW too.
    eigensystem, gauge, sort, degeneracy, check, refine
        As for `eig_vjp`. With ``degeneracy="mask"`` dV leaves out the rotations inside clusters: tangents of their span and
        of the sum of their eigenvalues are exact.

    Returns
    -------
    dw, dV : array, shapes (..., n) and (..., n, n), complex
        With ``left=True`` a third, ``dW = -W dV^H W``, or ``-W d(B V)^H W``. With ``gauge="phase-free"`` dV is the tangent with
        ``v^H dv = 0``: it serves losses that do not depend on the phase. For infinite eigenvalues dw and dV are NaN.

    Raises
    ------
    InputError, NonFiniteError, EigensystemError, GaugeError, DefectiveMatrixError
        As for `eig_vjp`.
    InfiniteEigenvalueError
        ``left=True`` and an infinite eigenvalue.
    DegenerateEigenvaluesError
        ``degeneracy="raise"`` and numerically equal eigenvalues.

    References
    ----------
    As for `eig_vjp`.
    """
    _inputs.switch("left", left)
    system, flags = GeneralEigensystem.of(
        A, B, eigensystem, gauge=gauge, degeneracy=degeneracy, sort=sort, check=check, refine=refine
    )
    return system.jvp(dA, dB, left, flags)
