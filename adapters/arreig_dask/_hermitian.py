"""eigh, eigvalsh and their derivatives on dask arrays."""

from typing import Any

import arreig
from arreig._degeneracy import DegeneracyOption
from arreig._gauge import GaugeOption
from arreig._types import Array

from ._results import EighResult, HermitianEigensystem, decomposed, differentiated, given_array


def eigh(
    A: Array,
    B: Array | None = None,
    /,
    *,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
) -> EighResult:
    """Eigenvalues and orthogonal eigenvectors of Hermitian matrices or definite pencils, lazily, ready to be differentiated.

    Parameters
    ----------
    A, B : dask array, shape (..., n, n)
        As for `eig`, their blocks as for `arreig.eigh`.
    gauge, degeneracy, check
        As for `arreig.eigh`, and `eig` for `Functional`.

    Returns
    -------
    EighResult
        NamedTuple of dask arrays ``(eigenvalues, eigenvectors)``; block by block what `arreig.eigh` returns. Its methods
        ``vjp(gV, gw)`` and ``jvp(dA, dB)`` are as for `eig`.

    Raises
    ------
    InputError
        When called, as for `eig`.
    InputError, NonFiniteError, GaugeError
        When computed, as for `arreig.eigh`, with a note that says in which block.

    Warns
    -----
    GaugeTieWarning
        As for `eig`.
    """
    result: EighResult = decomposed(arreig.eigh, A, B, gauge, degeneracy=degeneracy, check=check)
    return result


def eigh_vjp(
    A: Array,
    /,
    gV: Array | None = None,
    gw: Array | None = None,
    *,
    B: Array | None = None,
    eigensystem: HermitianEigensystem = None,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
) -> Any:
    """Gradient of a loss through `eigh`, lazily: gA, with B also gB, from the loss's gradients gV and gw.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `eigh`.
    gV, gw : dask array, shapes (..., n, n) and (..., n), optional
        Cotangents, as for `arreig.eigh_vjp`.
    B : dask array, shape (..., n, n), optional
        As for `eigh`.
    eigensystem : EighResult or (w, V), optional
        As for `eig_vjp`, of `eigh`.
    gauge, degeneracy, check
        As for `arreig.eigh_vjp`.

    Returns
    -------
    dask array, or two with B, shape (..., n, n)
        Block by block what `arreig.eigh_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `eig_vjp` and `arreig.eigh_vjp`.
    """
    return differentiated(
        arreig.eigh_vjp,
        A,
        {"gV": gV, "gw": gw, "B": B},
        eigensystem=eigensystem,
        gauge=gauge,
        degeneracy=degeneracy,
        check=check,
    )


def eigh_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: HermitianEigensystem = None,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption | None = None,
    check: bool | None = None,
) -> tuple[Array, ...]:
    """Directional derivative of `eigh`, lazily: the tangents dw, dV that dA, and dB, cause.

    Parameters
    ----------
    A, dA, B, dB : dask array, shape (..., n, n)
        As for `eig_jvp`, their blocks as for `arreig.eigh_jvp`.
    eigensystem : EighResult or (w, V), optional
        As for `eig_vjp`, of `eigh`.
    gauge, degeneracy, check
        As for `arreig.eigh_jvp`.

    Returns
    -------
    dw, dV : dask array, shapes (..., n) and (..., n, n)
        Block by block what `arreig.eigh_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `eig_vjp` and `arreig.eigh_jvp`.
    """
    tangents: tuple[Array, ...] = differentiated(
        arreig.eigh_jvp,
        A,
        {"dA": given_array("dA", dA), "B": B, "dB": dB},
        eigensystem=eigensystem,
        gauge=gauge,
        degeneracy=degeneracy,
        check=check,
    )
    return tangents


def eigvalsh(A: Array, B: Array | None = None, /, *, check: bool = True) -> Array:
    """Eigenvalues of Hermitian matrices or definite pencils, lazily.

    Parameters
    ----------
    A, B : dask array, shape (..., n, n)
        As for `eigh`.
    check : bool
        As for `arreig.eigvalsh`.

    Returns
    -------
    dask array, shape (..., n)
        Block by block what `arreig.eigvalsh` returns.

    Raises
    ------
    InputError, NonFiniteError
        As for `eigh`.
    """
    return differentiated(arreig.eigvalsh, A, {"B": B}, check=check)


def eigvalsh_vjp(
    A: Array,
    gw: Array,
    /,
    *,
    B: Array | None = None,
    eigensystem: HermitianEigensystem = None,
    check: bool | None = None,
) -> Any:
    """Gradient of a loss through `eigvalsh`, lazily.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `eigh`.
    gw : dask array, shape (..., n)
        Cotangent of the eigenvalues, real.
    B, eigensystem
        As for `eigh_vjp`.
    check : bool, optional
        As for `arreig.eigvalsh_vjp`.

    Returns
    -------
    dask array, or two with B, shape (..., n, n)
        Block by block what `arreig.eigvalsh_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `eig_vjp` and `arreig.eigvalsh_vjp`.
    """
    given = {"gw": given_array("gw", gw), "B": B}
    return differentiated(arreig.eigvalsh_vjp, A, given, eigensystem=eigensystem, check=check)


def eigvalsh_jvp(
    A: Array,
    dA: Array,
    /,
    *,
    B: Array | None = None,
    dB: Array | None = None,
    eigensystem: HermitianEigensystem = None,
    check: bool | None = None,
) -> Array:
    """Directional derivative of `eigvalsh`, lazily.

    Parameters
    ----------
    A, dA, B, dB : dask array, shape (..., n, n)
        As for `eigh_jvp`.
    eigensystem : EighResult or (w, V), optional
        As for `eigh_vjp`.
    check : bool, optional
        As for `arreig.eigvalsh_jvp`.

    Returns
    -------
    dask array, shape (..., n)
        Block by block what `arreig.eigvalsh_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `eig_vjp` and `arreig.eigvalsh_jvp`.
    """
    given = {"dA": given_array("dA", dA), "B": B, "dB": dB}
    return differentiated(arreig.eigvalsh_jvp, A, given, eigensystem=eigensystem, check=check)
