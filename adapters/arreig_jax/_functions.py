"""The public functions: JAX's arrays in, arreig's options on, an operation called."""

from dataclasses import replace
from typing import Any, Literal, overload

from arreig._decompositions import _inputs
from arreig._decompositions._general import GeneralEigensystem
from arreig._decompositions._hermitian import HermitianEigensystem
from arreig._decompositions._problem import Problem, System
from arreig._degeneracy import DegeneracyOption
from arreig._gauge import GaugeOption
from arreig._types import EigPair, EigTriple, RefineOption, SortOption

from ._admit import Check, admit, checks, of_jax
from ._decomposition import Decomposition
from ._operation import Array, Arrays


def _decompose(A: Any, B: Any, check: Check, system: type[System], **options: Any) -> Arrays:
    A = admit("A", A)
    B = None if B is None else _inputs.second(admit("B", B), A)
    check, tell = checks(check)
    options["gauge"] = of_jax(options.get("gauge", "canonical"))
    problem = Problem(system, check=check, **options)
    z = problem.functional(A, B)
    if z is not None:
        problem = replace(problem, gauge="canonical")  # z stands for it: what parametrises an operation is hashed
    return Decomposition(problem, tell)((A, B, z))


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
    check: Check = ...,
    refine: RefineOption = ...,
) -> EigPair: ...
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
    check: Check = ...,
    refine: RefineOption = ...,
) -> EigTriple: ...
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
    check: Check = ...,
    refine: RefineOption = ...,
) -> EigPair | EigTriple: ...
def eig(
    A: Array,
    B: Array | None = None,
    /,
    *,
    gauge: GaugeOption = "canonical",
    sort: SortOption = None,
    left: bool = False,
    degeneracy: DegeneracyOption = "raise",
    check: Check = True,
    refine: RefineOption = "auto",
) -> EigPair | EigTriple:
    r"""Eigenvalues and eigenvectors, ``A V = V diag(w)`` or ``A V = B V diag(w)``, for JAX to differentiate.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        float32, float64, complex64 or complex128, of JAX or NumPy; integers are converted as JAX does it.
    B : Array, shape (..., n, n), optional
        As for `arreig.eig`. JAX differentiates by A, by B, or by both.
    gauge, sort, left, degeneracy, refine
        As for `arreig.eig`, with the same effect on derivatives. The z of `Functional` is an array, held constant.
    check : bool or callable
        As for `arreig.eig`. A function, such as `print`, is called with the error (`ArreigError`) where one was found and could
        not be raised, under `jax.jit`. What came out as NaN is computed again on the host to say why.

    Returns
    -------
    EigPair or EigTriple
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n), always complex; with ``left=True`` a
        third, ``left_eigenvectors``, ``W = V^-H``, with B ``(B V)^-H``.

    Raises
    ------
    InputError, NonFiniteError, GaugeError, DefectiveMatrixError
        As for `arreig.eig`. Where there is nothing to read, under `jax.jit`, what depends on numbers is NaN instead.
    DegenerateEigenvaluesError, DefectiveMatrixError, GaugeDependentLossError, LostPrecisionError, NonFiniteError
        As for `arreig.eig_vjp` and `arreig.eig_jvp`, from the derivative: where the loss has none. NaN likewise.

    Warns
    -----
    GaugeTieWarning
        As for `arreig.eig`.

    See Also
    --------
    arreig.eig, arreig.eig_vjp : the same on arrays of any library, with the formulas and their sources.

    Examples
    --------
    A loss that depends on the phase of an eigenvector, with its gradient in the canonical gauge:

    >>> import jax, jax.numpy as jnp, arreig_jax
    >>> def loss(A):
    ...     w, V = arreig_jax.eig(A)
    ...     return jnp.sum(V[:, 0] ** 2).real
    >>> gA = jax.jit(jax.grad(loss))(jnp.array([[1.0, 2.0], [-3.0, 0.5]]))
    >>> print(gA.round(4))
    [[ 0.0333 -0.2417]
     [-0.1556 -0.0333]]
    """
    _inputs.switch("left", left)
    w, V, *W = _decompose(
        A, B, check, GeneralEigensystem, gauge=gauge, sort=sort, left=left, degeneracy=degeneracy, refine=refine
    )
    return EigTriple(w, V, W[0]) if left else EigPair(w, V)


def eigh(
    A: Array,
    B: Array | None = None,
    /,
    *,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption = "raise",
    check: Check = True,
) -> EigPair:
    """Eigenvalues and orthogonal eigenvectors of a Hermitian matrix or definite pencil, for JAX to differentiate.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `eig`, and Hermitian up to ``|A - A^H|_F <= sqrt(u) |A|_F``: what is decomposed and differentiated is
        ``(A + A^H)/2``, as `jnp.linalg.eigh` does without that test.
    B : Array, shape (..., n, n), optional
        As for `arreig.eigh`: Hermitian likewise, and positive definite.
    gauge, degeneracy
        As for `arreig.eigh`.
    check : bool or callable
        As for `eig`.

    Returns
    -------
    EigPair
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n): real eigenvalues in ascending order,
        vectors as columns in the dtype of A.

    Raises
    ------
    InputError, NonFiniteError, GaugeError
        As for `arreig.eigh`; NaN under `jax.jit`, as for `eig`.
    DegenerateEigenvaluesError, GaugeDependentLossError, LostPrecisionError, NonFiniteError
        As for `arreig.eigh_vjp` and `arreig.eigh_jvp`, from the derivative.

    Warns
    -----
    GaugeTieWarning
        As for `arreig.eigh`.
    """
    w, V, *_ = _decompose(A, B, check, HermitianEigensystem, gauge=gauge, degeneracy=degeneracy)
    return EigPair(w, V)


def eigvals(A: Array, B: Array | None = None, /, *, sort: SortOption = None, check: Check = True) -> Array:
    """Eigenvalues of a general matrix or pencil, for JAX to differentiate.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `eig`.
    B : Array, shape (..., n, n), optional
        As for `eig`.
    sort : {None, "abs", "real"}
        As for `arreig.eigvals`.
    check : bool or callable
        As for `eig`.

    Returns
    -------
    Array, shape (..., n)
        Complex, the same numbers in the same order as ``eig(A).eigenvalues``.

    Raises
    ------
    InputError, NonFiniteError
        As for `arreig.eigvals`; NaN under `jax.jit`, as for `eig`.
    DegenerateEigenvaluesError, DefectiveMatrixError, LostPrecisionError, NonFiniteError
        As for `arreig.eigvals_vjp` and `arreig.eigvals_jvp`, from the derivative.
    """
    return _decompose(A, B, check, GeneralEigensystem, sort=sort, vectors=False)[0]


def eigvalsh(A: Array, B: Array | None = None, /, *, check: Check = True) -> Array:
    """Eigenvalues of a Hermitian matrix or definite pencil, real, in ascending order, for JAX to differentiate.

    Parameters
    ----------
    A : Array, shape (..., n, n)
        As for `eigh`.
    B : Array, shape (..., n, n), optional
        As for `eigh`.
    check : bool or callable
        As for `eig`.

    Returns
    -------
    Array, shape (..., n)

    Raises
    ------
    InputError, NonFiniteError
        As for `arreig.eigvalsh`; NaN under `jax.jit`, as for `eig`.
    DegenerateEigenvaluesError, NonFiniteError
        As for `arreig.eigvalsh_vjp` and `arreig.eigvalsh_jvp`, from the derivative.
    """
    return _decompose(A, B, check, HermitianEigensystem, vectors=False)[0]
