"""eig, eigvals and their derivatives on dask arrays."""

from typing import Any, Literal, overload

import arreig
from arreig._degeneracy import DegeneracyOption
from arreig._gauge import GaugeOption
from arreig._types import Array, RefineOption, SortOption

from ._results import Eigensystem, EigLeftResult, EigResult, decomposed, differentiated, given_array


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
    """Eigenvalues and eigenvectors, ``A V = V diag(w)`` or ``A V = B V diag(w)``, lazily, ready to be differentiated.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        Chunked over the batch, the last two axes in one chunk each; its blocks as for `arreig.eig`.
    B : dask array, shape (..., n, n), optional
        As for `arreig.eig`; rechunked to A's chunks, as every further array is.
    gauge, sort, left, degeneracy, check, refine
        As for `arreig.eig`. The z of a `Functional` is a NumPy array (n,) or, with a vector for each matrix, a NumPy or dask
        array that broadcasts to (..., n).

    Returns
    -------
    EigResult or EigLeftResult
        NamedTuple of dask arrays with A's chunks, ``(eigenvalues, eigenvectors)``, with ``left=True`` a third,
        ``left_eigenvectors``; block by block what `arreig.eig` returns, to the bit. Its methods ``vjp(gV, gw, gW=...)`` and
        ``jvp(dA, dB)`` are lazy too, and use the decomposition that the same ``dask.compute`` computes the arrays from.

    Raises
    ------
    InputError
        When called: shape, dtype, chunks or option (`InputTypeError` where it is a matter of type).
    InputError, NonFiniteError, GaugeError, DefectiveMatrixError, InfiniteEigenvalueError
        When computed, as for `arreig.eig`: what depends on numbers. A note says in which block, and where that begins.

    Warns
    -----
    GaugeTieWarning
        As for `arreig.eig`, when computed and in the process that computes the block.

    See Also
    --------
    arreig.eig : the same on arrays in memory, with the formulas and their sources.

    Examples
    --------
    The gradient of ``sum(weights * abs(V)**2)``, whose cotangent is ``gV = 2 weights V``:

    >>> import dask, dask.array as da, numpy as np, arreig_dask
    >>> A = da.from_array(np.array([[[2.0, 1.0], [0.5, 3.0]], [[1.0, 2.0], [3.0, 4.0]]]), chunks=(1, 2, 2))
    >>> weights = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> w, V = res = arreig_dask.eig(A)  # nothing is computed yet
    >>> loss, gA = (weights * abs(V) ** 2).sum(), res.vjp(2 * weights * V)
    >>> loss, gA = dask.compute(loss, gA)  # every block is decomposed once
    >>> np.round(gA[0], 6)
    array([[ 0.502928,  0.270262],
           [ 0.465331, -0.502928]])
    """
    result: EigResult | EigLeftResult = decomposed(
        arreig.eig, A, B, gauge, sort=sort, left=left, degeneracy=degeneracy, check=check, refine=refine
    )
    return result


def eig_vjp(
    A: Array,
    /,
    gV: Array | None = None,
    gw: Array | None = None,
    *,
    gW: Array | None = None,
    B: Array | None = None,
    eigensystem: Eigensystem = None,
    gauge: GaugeOption | None = None,
    sort: SortOption = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
    refine: RefineOption | None = None,
) -> Any:
    """Gradient of a loss through `eig`, lazily: gA, with B also gB, from the loss's gradients gV, gw and gW.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `eig`.
    gV, gw, gW : dask array, shapes (..., n, n), (..., n) and (..., n, n), optional
        Cotangents, as for `arreig.eig_vjp`.
    B : dask array, shape (..., n, n), optional
        As for `eig`.
    eigensystem : EigResult or (w, V), optional
        A result of `arreig_dask.eig`, or a pair of dask arrays, to save the decomposition. A pair that was persisted saves it in
        later calls of ``dask.compute`` too.
    gauge, sort, degeneracy, check, refine
        As for `arreig.eig_vjp`.

    Returns
    -------
    dask array, or two with B, shape (..., n, n)
        Block by block what `arreig.eig_vjp` returns.

    Raises
    ------
    InputError
        When called, as for `eig`.
    ArreigError
        When computed, as for `arreig.eig_vjp`, with a note that says in which block.
    """
    return differentiated(
        arreig.eig_vjp,
        A,
        {"gV": gV, "gw": gw, "gW": gW, "B": B},
        eigensystem=eigensystem,
        gauge=gauge,
        sort=sort,
        degeneracy=degeneracy,
        check=check,
        refine=refine,
    )


def eig_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    left: bool = False,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: Eigensystem = None,
    gauge: GaugeOption | None = None,
    sort: SortOption = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
    refine: RefineOption | None = None,
) -> tuple[Array, ...]:
    """Directional derivative of `eig`, lazily: the tangents dw, dV that dA, and dB, cause.

    Parameters
    ----------
    A, dA : dask array, shape (..., n, n)
        Matrices, as for `eig`, and their tangents.
    B, dB : dask array, shape (..., n, n), optional
        As for `arreig.eig_jvp`.
    left, gauge, sort, degeneracy, check, refine
        As for `arreig.eig_jvp`.
    eigensystem : EigResult or (w, V), optional
        As for `eig_vjp`.

    Returns
    -------
    dw, dV : dask array, shapes (..., n) and (..., n, n)
        With ``left=True`` a third, dW; block by block what `arreig.eig_jvp` returns, computed once for all of them.

    Raises
    ------
    InputError, ArreigError
        As for `eig_vjp` and `arreig.eig_jvp`.
    """
    tangents: tuple[Array, ...] = differentiated(
        arreig.eig_jvp,
        A,
        {"dA": given_array("dA", dA), "B": B, "dB": dB},
        eigensystem=eigensystem,
        left=left,
        gauge=gauge,
        sort=sort,
        degeneracy=degeneracy,
        check=check,
        refine=refine,
    )
    return tangents


def eigvals(A: Array, B: Array | None = None, /, *, sort: SortOption = None, check: bool = True) -> Array:
    """Eigenvalues of general matrices or pencils, lazily.

    Parameters
    ----------
    A, B : dask array, shape (..., n, n)
        As for `eig`.
    sort, check
        As for `arreig.eigvals`.

    Returns
    -------
    dask array, shape (..., n)
        Block by block what `arreig.eigvals` returns.

    Raises
    ------
    InputError, NonFiniteError
        As for `eig`.
    """
    return differentiated(arreig.eigvals, A, {"B": B}, sort=sort, check=check)


def eigvals_vjp(
    A: Array,
    gw: Array,
    /,
    *,
    B: Array | None = None,
    eigensystem: Eigensystem = None,
    sort: SortOption = None,
    check: bool | None = None,
) -> Any:
    """Gradient of a loss through `eigvals`, lazily.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `eig`.
    gw : dask array, shape (..., n)
        Cotangent of the eigenvalues.
    B, eigensystem
        As for `eig_vjp`.
    sort, check
        As for `arreig.eigvals_vjp`.

    Returns
    -------
    dask array, or two with B, shape (..., n, n)
        Block by block what `arreig.eigvals_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `eig_vjp` and `arreig.eigvals_vjp`.
    """
    given = {"gw": given_array("gw", gw), "B": B}
    return differentiated(arreig.eigvals_vjp, A, given, eigensystem=eigensystem, sort=sort, check=check)


def eigvals_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: Eigensystem = None,
    sort: SortOption = None,
    check: bool | None = None,
) -> Array:
    """Directional derivative of `eigvals`, lazily.

    Parameters
    ----------
    A, dA, B, dB : dask array, shape (..., n, n)
        As for `eig_jvp`.
    eigensystem : EigResult or (w, V), optional
        As for `eig_vjp`.
    sort, check
        As for `arreig.eigvals_jvp`.

    Returns
    -------
    dask array, shape (..., n)
        Block by block what `arreig.eigvals_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `eig_vjp` and `arreig.eigvals_jvp`.
    """
    given = {"dA": given_array("dA", dA), "B": B, "dB": dB}
    return differentiated(arreig.eigvals_jvp, A, given, eigensystem=eigensystem, sort=sort, check=check)
