"""spectral_projector, invariant_subspace and their derivatives on dask arrays."""

from operator import index
from typing import Any

import arreig
from arreig import InputTypeError
from arreig._decompositions._subspace import Select
from arreig._decompositions.subspace import CountOrder
from arreig._types import Array

from ._blocks import Batch
from ._results import aligned, arrays, differentiated, given_array


def spectral_projector(A: Array, select: Select, /, *, sort: CountOrder = None, check: bool = True) -> Array:
    """Spectral projectors onto selected eigenvalues of general matrices, lazily.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `arreig_dask.eig`.
    select : callable or int
        As for `arreig.spectral_projector`; a function sees the eigenvalues of one block, and is tried on an empty batch at once.
    sort, check
        As for `arreig.spectral_projector`.

    Returns
    -------
    dask array, shape (..., n, n)
        P, block by block what `arreig.spectral_projector` returns, in the dtype of A. A selection that parts a conjugate pair of
        a real A, so that P is complex, is refused when it is computed: a dtype must be known before.

    Raises
    ------
    InputError
        When called, as for `arreig_dask.eig`; when computed, as above.
    NonFiniteError, SpectrumNotSeparatedError
        When computed, as for `arreig.spectral_projector`, with a note that says in which block.
    """
    return differentiated(arreig.spectral_projector, A, {}, select=select, sort=sort, check=check)


def spectral_projector_vjp(
    A: Array, select: Select, gP: Array, /, *, sort: CountOrder = None, check: bool = True
) -> Array:
    """Gradient of a loss through `spectral_projector`, lazily.

    Parameters
    ----------
    A, select, sort, check
        As for `spectral_projector`.
    gP : dask array, shape (..., n, n)
        Cotangent of P, as for `arreig.spectral_projector_vjp`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.spectral_projector_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `spectral_projector` and `arreig.spectral_projector_vjp`.
    """
    given = {"gP": given_array("gP", gP)}
    return differentiated(arreig.spectral_projector_vjp, A, given, select=select, sort=sort, check=check)


def spectral_projector_jvp(
    A: Array, select: Select, dA: Array, /, *, sort: CountOrder = None, check: bool = True
) -> Array:
    """Directional derivative of `spectral_projector`, lazily.

    Parameters
    ----------
    A, select, sort, check
        As for `spectral_projector`.
    dA : dask array, shape (..., n, n)
        Tangent of A.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.spectral_projector_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `spectral_projector` and `arreig.spectral_projector_jvp`.
    """
    given = {"dA": given_array("dA", dA)}
    return differentiated(arreig.spectral_projector_jvp, A, given, select=select, sort=sort, check=check)


def invariant_subspace(A: Array, select: int, /, *, sort: CountOrder = None, check: bool = True) -> Array:
    """Orthonormal bases of the invariant subspaces of the leading eigenvalues, lazily.

    Parameters
    ----------
    A : dask array, shape (..., n, n)
        As for `arreig_dask.eig`.
    select : int
        How many leading eigenvalues, m, in the order `sort`. Functions that select are refused: how many columns they make, dask
        must know before.
    sort, check
        As for `arreig.invariant_subspace`.

    Returns
    -------
    dask array, shape (..., n, m)
        Q, block by block what `arreig.invariant_subspace` returns; its dtype as for `spectral_projector`.

    Raises
    ------
    InputError, ArreigError
        As for `spectral_projector` and `arreig.invariant_subspace`.
    """
    return _subspace(arreig.invariant_subspace, A, select, sort=sort, check=check)


def invariant_subspace_vjp(
    A: Array,
    select: int,
    gQ: Array,
    /,
    *,
    basis: Array | None = None,
    sort: CountOrder = None,
    check: bool = True,
) -> Array:
    """Gradient of a loss through `invariant_subspace`, lazily.

    Parameters
    ----------
    A, select, sort, check
        As for `invariant_subspace`.
    gQ : dask array, shape (..., n, m)
        Cotangent of Q, as for `arreig.invariant_subspace_vjp`.
    basis : dask array, shape (..., n, m), optional
        As for `arreig.invariant_subspace_vjp`.

    Returns
    -------
    dask array, shape (..., n, n)
        Block by block what `arreig.invariant_subspace_vjp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `invariant_subspace` and `arreig.invariant_subspace_vjp`.
    """
    given = {"gQ": given_array("gQ", gQ), "basis": basis}
    return _subspace(arreig.invariant_subspace_vjp, A, select, given, sort=sort, check=check)


def invariant_subspace_jvp(
    A: Array,
    select: int,
    dA: Array,
    /,
    *,
    basis: Array | None = None,
    sort: CountOrder = None,
    check: bool = True,
) -> Array:
    """Directional derivative of `invariant_subspace`, lazily.

    Parameters
    ----------
    A, select, sort, check, basis
        As for `invariant_subspace_vjp`.
    dA : dask array, shape (..., n, n)
        Tangent of A.

    Returns
    -------
    dask array, shape (..., n, m)
        Block by block what `arreig.invariant_subspace_jvp` returns.

    Raises
    ------
    InputError, ArreigError
        As for `invariant_subspace` and `arreig.invariant_subspace_jvp`.
    """
    given = {"dA": given_array("dA", dA), "basis": basis}
    return _subspace(arreig.invariant_subspace_jvp, A, select, given, sort=sort, check=check)


def _subspace(
    function: Any, A: Array, select: int, given: dict[str, Array | None] | None = None, **options: Any
) -> Array:
    try:
        index(select)
    except TypeError:
        raise InputTypeError(
            f"invariant_subspace of a dask array takes how many leading eigenvalues, an integer, got {select!r}: the number of "
            f"columns that a function selects is not known before it is computed; spectral_projector takes one"
        ) from None
    batch = Batch.of(A)
    tall = {name: X for name, X in (given or {}).items() if name != "dA" and X is not None}
    blocks = aligned(batch, A=A, **{name: X for name, X in (given or {}).items() if name not in tall})
    blocks |= {name: batch.aligned(name, X, batch.n, select) for name, X in tall.items()}
    return arrays(batch.run(function, blocks, {"select": select, **options}))
