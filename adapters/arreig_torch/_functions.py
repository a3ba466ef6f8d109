"""The public functions: torch's tensors and modes in, arreig's options on, torch.autograd's function called."""

from typing import Literal, overload

from arreig import Diagnosis, InputTypeError
from arreig import diagnose as of_arrays
from arreig._decompositions import _inputs
from arreig._decompositions._general import GeneralEigensystem
from arreig._decompositions._hermitian import HermitianEigensystem
from arreig._decompositions._problem import Problem
from arreig._degeneracy import DegeneracyOption
from arreig._gauge import GaugeOption
from arreig._types import EigPair, EigTriple, RefineOption, SortOption

from ._autograd import Decomposition
from ._modes import Tensor, Tensors, admit, eager, full_precision


def _decompose(A: Tensor, B: Tensor | None, problem: Problem) -> Tensors:
    A = admit(A)
    B = None if B is None else _inputs.second(admit(B, "B"), A)
    z = problem.functional(A, B)
    if z is not None and _inputs.tracked(z):
        raise InputTypeError(
            "Functional(z) holds z constant, but this z is tracked for differentiation, and its gradient would be lost: "
            "detach() it"
        )
    with full_precision(A):
        out: Tensors = Decomposition.apply(A, B, z, problem)  # type: ignore[no-untyped-call]
    return out


@overload
def eig(
    A: Tensor,
    B: Tensor | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: Literal[False] = ...,
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigPair: ...
@overload
def eig(
    A: Tensor,
    B: Tensor | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: Literal[True],
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigTriple: ...
@overload
def eig(
    A: Tensor,
    B: Tensor | None = ...,
    /,
    *,
    gauge: GaugeOption = ...,
    sort: SortOption = ...,
    left: bool,
    degeneracy: DegeneracyOption = ...,
    check: bool = ...,
    refine: RefineOption = ...,
) -> EigPair | EigTriple: ...
@eager
def eig(
    A: Tensor,
    B: Tensor | None = None,
    /,
    *,
    gauge: GaugeOption = "canonical",
    sort: SortOption = None,
    left: bool = False,
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
    refine: RefineOption = "auto",
) -> EigPair | EigTriple:
    r"""Eigenvalues and eigenvectors, ``A V = V diag(w)`` or ``A V = B V diag(w)``, for torch to differentiate.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        float32, float64, complex64 or complex128, on any device. Half precision is converted to float32 under autocast and
        refused otherwise.
    B : Tensor, shape (..., n, n), optional
        As for `arreig.eig`: with a condition number below ``1/sqrt(u)``. torch differentiates by A, by B, or by both.
    gauge, sort, left, degeneracy, check, refine
        As for `arreig.eig`, with the same effect on derivatives. ``gauge="phase-free"`` is torch's own contract, with a
        relative test in place of torch's absolute one. The z of `Functional` is held constant and must not require a gradient.

    Returns
    -------
    EigPair or EigTriple
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n), always complex; with ``left=True`` a
        third, ``left_eigenvectors``, ``W = V^-H``, with B ``(B V)^-H``.

    Raises
    ------
    InputError, NonFiniteError, GaugeError, DefectiveMatrixError
        As for `arreig.eig`, when it is called.
    DegenerateEigenvaluesError, DefectiveMatrixError, GaugeDependentLossError, LostPrecisionError, NonFiniteError
        As for `arreig.eig_vjp` and `arreig.eig_jvp`, from the backward or forward derivative: where the loss has no gradient.

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

    >>> import torch, arreig_torch
    >>> A = torch.tensor([[1.0, 2.0], [-3.0, 0.5]], dtype=torch.float64, requires_grad=True)
    >>> w, V = arreig_torch.eig(A)
    >>> (V[:, 0] ** 2).sum().real.backward()
    >>> A.grad
    tensor([[ 0.0333, -0.2417],
            [-0.1556, -0.0333]], dtype=torch.float64)
    """
    _inputs.switch("left", left)
    problem = Problem(
        GeneralEigensystem, gauge=gauge, sort=sort, left=left, degeneracy=degeneracy, check=check, refine=refine
    )
    w, V, *W = _decompose(A, B, problem)
    return EigTriple(w, V, W[0]) if left else EigPair(w, V)


@eager
def eigh(
    A: Tensor,
    B: Tensor | None = None,
    /,
    *,
    gauge: GaugeOption | None = None,
    degeneracy: DegeneracyOption = "raise",
    check: bool = True,
) -> EigPair:
    """Eigenvalues and orthogonal eigenvectors of a Hermitian matrix or definite pencil, for torch to differentiate.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `eig`, and Hermitian up to ``|A - A^H|_F <= sqrt(u) |A|_F``: what is decomposed and differentiated is
        ``(A + A^H)/2``, where `torch.linalg.eigh` reads one triangle.
    B : Tensor, shape (..., n, n), optional
        As for `arreig.eigh`: Hermitian likewise, and positive definite.
    gauge, degeneracy, check
        As for `arreig.eigh`.

    Returns
    -------
    EigPair
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (..., n) and (..., n, n): real eigenvalues in ascending order,
        vectors as columns in the dtype of A.

    Raises
    ------
    InputError, NonFiniteError, GaugeError
        As for `arreig.eigh`, when it is called.
    DegenerateEigenvaluesError, GaugeDependentLossError, LostPrecisionError, NonFiniteError
        As for `arreig.eigh_vjp` and `arreig.eigh_jvp`, from the backward or forward derivative.

    Warns
    -----
    GaugeTieWarning
        As for `arreig.eigh`.
    """
    w, V, *_ = _decompose(A, B, Problem(HermitianEigensystem, gauge=gauge, degeneracy=degeneracy, check=check))
    return EigPair(w, V)


@eager
def eigvals(A: Tensor, B: Tensor | None = None, /, *, sort: SortOption = None, check: bool = True) -> Tensor:
    """Eigenvalues of a general matrix or pencil, for torch to differentiate.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `eig`.
    B : Tensor, shape (..., n, n), optional
        As for `eig`.
    sort, check
        As for `arreig.eigvals`.

    Returns
    -------
    Tensor, shape (..., n)
        Complex, the same numbers in the same order as ``eig(A).eigenvalues``.

    Raises
    ------
    InputError, NonFiniteError
        As for `arreig.eigvals`, when it is called.
    DegenerateEigenvaluesError, DefectiveMatrixError, LostPrecisionError, NonFiniteError
        As for `arreig.eigvals_vjp` and `arreig.eigvals_jvp`, from the backward or forward derivative.
    """
    return _decompose(A, B, Problem(GeneralEigensystem, sort=sort, check=check, vectors=False))[0]


@eager
def eigvalsh(A: Tensor, B: Tensor | None = None, /, *, check: bool = True) -> Tensor:
    """Eigenvalues of a Hermitian matrix or definite pencil, real, in ascending order, for torch to differentiate.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `eigh`.
    B : Tensor, shape (..., n, n), optional
        As for `eigh`.
    check : bool
        As for `arreig.eigvalsh`.

    Returns
    -------
    Tensor, shape (..., n)

    Raises
    ------
    InputError, NonFiniteError
        As for `arreig.eigvalsh`, when it is called.
    DegenerateEigenvaluesError, NonFiniteError
        As for `arreig.eigvalsh_vjp` and `arreig.eigvalsh_jvp`, from the backward or forward derivative.
    """
    return _decompose(A, B, Problem(HermitianEigensystem, check=check, vectors=False))[0]


@eager
def diagnose(A: Tensor, /) -> Diagnosis:
    """What makes derivatives of eigenvalues and eigenvectors large, inaccurate or undefined; itself it has none.

    Parameters
    ----------
    A : Tensor, shape (n, n)
        One matrix, tracked or not.

    Returns
    -------
    Diagnosis
        As `arreig.diagnose`, of tensors.

    Raises
    ------
    InputError, NonFiniteError
        As for `arreig.diagnose`.
    """
    A = admit(A).detach()
    with full_precision(A):
        return of_arrays(A)
