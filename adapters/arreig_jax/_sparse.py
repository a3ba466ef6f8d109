"""eigs and eigsh for JAX."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.sparse import BCOO, JAXSparse

from arreig import Functional, InputError, InputTypeError
from arreig._decompositions import _inputs
from arreig._decompositions._selected import Kind, method, policy_of, requested
from arreig._decompositions.eigs import KeptDegeneracy, Which
from arreig._decompositions.eigsh import WhichHermitian
from arreig._gauge import GaugeOption
from arreig._types import EigPair, SortOption

from ._admit import Check, admit, checks, inexact
from ._operation import Array
from ._selected import Eigenpairs, Entries, Selected

Matrix: TypeAlias = Array | BCOO
SolveOption: TypeAlias = Literal["auto", "direct", "iterative"] | Callable[[complex, Any, bool], Any]


def _entries(name: str, X: Any) -> tuple[Entries, tuple[int, ...]]:
    if isinstance(X, BCOO):
        if X.n_batch or X.n_dense:
            raise InputError(
                f"{name} must be one sparse matrix, a BCOO array with n_batch = n_dense = 0; got {X.n_batch} and {X.n_dense}"
            )
        values = inexact(X.data)
        admit(name, values[:0].reshape(0, 0))  # for the dtype's sake
        shape, entries = tuple(X.shape), Entries(values, X.indices)
    elif isinstance(X, JAXSparse):
        raise InputTypeError(f"{name} must be a dense array or a BCOO array, got {_inputs.kind(X)}; use its to_bcoo()")
    else:
        values = admit(name, X)
        shape, entries = tuple(values.shape), Entries(values, None)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"{name} must be one square matrix, shape (n, n); got shape {shape}")
    return entries, shape


def _eigenpairs(A: Any, B: Any, k: int, v0: Any, gauge: Any, check: Check, hermitian: bool, **options: Any) -> EigPair:
    a, shape = _entries("A", A)
    b = None
    if B is not None:
        b, other = _entries("B", B)
        if other != shape:
            raise InputError(f"B must have the shape of A, {shape}; got {other}")
        if (a.indices is None) != (b.indices is None):
            raise InputTypeError(
                "A and B must both be dense, or both be BCOO arrays; one of them is not like the other"
            )
        if a.values.real.dtype != b.values.real.dtype:
            raise InputTypeError(
                f"B must have the precision of A, {a.values.dtype}, got {b.values.dtype}; convert one of them"
            )
    check, tell = checks(check)
    n, real = shape[0], not any(jnp.issubdtype(X.values.dtype, jnp.complexfloating) for X in (a, b) if X is not None)
    z, v0 = (
        _vector(name, x, n, real and (hermitian or name == "v0"))
        for name, x in (("Functional's z", gauge.z if isinstance(gauge, Functional) else None), ("v0", v0))
    )
    # What is wrong with options is raised here: where the matrix is a tracer it would be found in a callback.
    requested(Kind(n, hermitian, real), k, options["which"], options["sigma"], v0, *map(options.get, _ITERATION))
    method(options["solve"])
    policy_of(options["degeneracy"])
    _inputs.sort(options.get("sort"))
    if gauge is not None and z is None:
        metric = hermitian and b is not None
        _inputs.gauge(gauge, np.broadcast_to(0.0, shape), complex_vectors=not (real and hermitian), metric=metric)
    options |= {"gauge": gauge if z is None else None, "check": check}
    selected = Selected(hermitian, n, int(k), tuple(sorted(options.items())))
    return EigPair(*Eigenpairs(selected, tell)((a, b, z, v0)))


_ITERATION = ("ncv", "tol", "maxiter")


def _vector(name: str, x: Any, n: int, real: bool) -> Array | None:
    """A vector that goes with the matrix."""
    if x is None:
        return None
    if not isinstance(x, jax.Array | np.ndarray):
        raise InputTypeError(f"{name} must be an array of JAX or NumPy, got {_inputs.kind(x)}")
    vector: Array = inexact(jnp.asarray(x))
    if vector.shape != (n,):
        raise InputError(f"{name} must have shape {(n,)}, got {vector.shape}")
    if real and jnp.issubdtype(vector.dtype, jnp.complexfloating):
        raise InputTypeError(
            f"{name} must be real, because the matrices and what it belongs to are real; got {vector.dtype}"
        )
    return vector


def eigs(
    A: Matrix,
    /,
    k: int = 6,
    *,
    B: Matrix | None = None,
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
    check: Check = True,
) -> EigPair:
    """A few eigenvalues and eigenvectors of a large matrix, ``A v = w v`` or ``A v = w B v``, for JAX to differentiate once.

    Parameters
    ----------
    A : Array or BCOO, shape (n, n)
        A dense array, or a sparse one of `jax.experimental.sparse` without batch and dense dimensions. It is copied to the host
        and computed with there in double precision; results have the precision of A.
    k : int
        Number of eigenpairs, as for `arreig.eigs`.
    B : like A, optional
        As for `arreig.eigs`. JAX differentiates by A, by B, or by both.
    which, sigma, ncv, tol, maxiter, sort, gauge, degeneracy
        As for `arreig.eigs`. The z of `arreig.Functional` is an array, held constant.
    v0 : Array, shape (n,), optional
        As for `arreig.eigs`, held constant.
    solve : {"auto", "direct", "iterative"} or callable
        As for `arreig.eigs`; a function of NumPy arrays.
    check : bool or callable
        As for `arreig_jax.eig`.

    Returns
    -------
    EigPair
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (k,) and (n, k), complex, vectors as columns.

    Raises
    ------
    InputError, NonFiniteError, ConvergenceError, GaugeError
        As for `arreig.eigs`.
    ConvergenceError, SpectrumNotSeparatedError, DegenerateEigenvaluesError, DefectiveMatrixError, GaugeDependentLossError,
    LostPrecisionError, NonFiniteError
        As for `arreig.eigs_vjp` and `arreig.eigs_jvp`, from the derivative. Under a tracer the result is NaN.
    ArreigError
        A second derivative.

    See Also
    --------
    arreig.eigs : the same on arrays of any library, with the formulas and their sources.

    Notes
    -----
    The gradient of a BCOO array is that of its data, one number an entry, duplicates included. Under `jax.vmap` the host takes
    one matrix after the other. A derivative factorises anew beside each eigenvalue.

    Examples
    --------
    The eigenvalue nearest to 2 of a tridiagonal matrix, and its gradient in the diagonal:

    >>> import jax, jax.numpy as jnp, arreig_jax
    >>> from jax.experimental.sparse import BCOO
    >>> i = jnp.arange(1000)
    >>> indices = jnp.concatenate([jnp.stack(x, 1) for x in ((i, i), (i[1:], i[:-1]), (i[:-1], i[1:]))])
    >>> def nearest(d):
    ...     A = BCOO((jnp.concatenate([d, jnp.full(1998, 0.1)]), indices), shape=(1000, 1000))
    ...     return arreig_jax.eigs(A, k=1, sigma=2).eigenvalues[0].real
    >>> g = jax.jit(jax.grad(nearest))(jnp.linspace(0, 1, 1000))
    >>> [f"{x:.3f}" for x in g[-4:]]
    ['0.098', '0.068', '0.036', '0.010']
    """
    return _eigenpairs(
        A,
        B,
        k,
        v0,
        gauge,
        check,
        False,
        which=which,
        sigma=sigma,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        sort=sort,
        degeneracy=degeneracy,
        solve=solve,
    )


def eigsh(
    A: Matrix,
    /,
    k: int = 6,
    *,
    B: Matrix | None = None,
    which: WhichHermitian = "LM",
    sigma: float | None = None,
    v0: Array | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    gauge: GaugeOption | Literal["B-norm"] | None = None,
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: Check = True,
) -> EigPair:
    """A few eigenvalues and eigenvectors of a large Hermitian matrix or definite pencil, for JAX to differentiate once.

    Parameters
    ----------
    A : Array or BCOO, shape (n, n)
        As for `eigs`, and Hermitian as for `arreig.eigsh`.
    k : int
        Number of eigenpairs, as for `arreig.eigsh`.
    B : like A, optional
        Hermitian and positive definite; otherwise as for `eigs`.
    which, sigma, ncv, tol, maxiter, gauge, degeneracy
        As for `arreig.eigsh`. The z of `arreig.Functional` is an array, held constant.
    v0, solve, check
        As for `eigs`.

    Returns
    -------
    EigPair
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (k,) and (n, k): real eigenvalues in ascending order, vectors in the
        dtype of A.

    Raises
    ------
    InputError, NonFiniteError, ConvergenceError, GaugeError
        As for `arreig.eigsh`.
    ConvergenceError, SpectrumNotSeparatedError, DegenerateEigenvaluesError, GaugeDependentLossError, LostPrecisionError,
    NonFiniteError
        As for `arreig.eigsh_vjp` and `arreig.eigsh_jvp`, from the derivative. Under a tracer the result is NaN.
    ArreigError
        A second derivative.

    See Also
    --------
    arreig.eigsh : the same on arrays of any library, with the formulas and their sources.

    Notes
    -----
    As for `eigs`.
    """
    return _eigenpairs(
        A,
        B,
        k,
        v0,
        gauge,
        check,
        True,
        which=which,
        sigma=sigma,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        degeneracy=degeneracy,
        solve=solve,
    )
