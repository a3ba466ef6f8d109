"""eigs and eigsh for torch, to first order.

arreig computes on the host and returns plain tensors, of which torch can differentiate nothing: the derivatives, reverse and
forward, are arreig's own, and a second one is refused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NoReturn, TypeAlias

import torch
from torch.autograd import Function, forward_ad

from arreig import ArreigError, Functional, InputTypeError
from arreig._decompositions import _inputs
from arreig._decompositions._partial import PartialEigensystem
from arreig._decompositions._selected import selected
from arreig._decompositions.eigs import KeptDegeneracy, Which
from arreig._decompositions.eigsh import WhichHermitian
from arreig._gauge import GaugeOption
from arreig._types import EigPair, SortOption

from ._modes import Tensor, Tensors, eager
from ._operator import LinearOperator, Matrix, matrix, refuse_batched, refuse_vmap

SolveOption: TypeAlias = Literal["auto", "direct", "iterative"] | Callable[[complex, Tensor, bool], Tensor]


@dataclass(eq=False)
class Problem:
    """A pencil and arreig's options, and, once it is solved, its eigenpairs."""

    A: Matrix
    B: Matrix | None
    options: dict[str, Any]
    system: PartialEigensystem | None = None

    @property
    def tensors(self) -> Tensors:
        """All that torch may differentiate by."""
        return self.A.tensors if self.B is None else (*self.A.tensors, *self.B.tensors)

    def _of_each(self, all_of_them: Sequence[Any]) -> list[tuple[Matrix, tuple[Any, ...]]]:
        """The matrices, each with its share."""
        count = len(self.A.tensors)
        shares = [(self.A, tuple(all_of_them[:count]))]
        return shares if self.B is None else [*shares, (self.B, tuple(all_of_them[count:]))]

    def solve(self, *tensors: Tensor) -> Tensors:
        """w, V."""
        A, *B = (X.matrix(*own) for X, own in self._of_each(tensors))
        self.system = selected(A, B=B[0] if B else None, **self.options)
        return self.system.A.array(self.system.w), self.system.A.array(self.system.V)

    def gradients(
        self, wanted: Sequence[bool], gw: Tensor | None, gV: Tensor | None, *tensors: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Gradients of the tensors, where they are wanted."""
        assert self.system is not None
        out: list[Tensor | None] = []
        each = zip(self._of_each(tensors), self._of_each(wanted), self.system.vjp(gV, gw), strict=False)
        for (X, own), (_, asked), gradient in each:
            assert gradient is not None
            out += X.gradients(gradient, own, asked)
        return tuple(out)

    def tangents(self, *tensors: Tensor | None) -> Tensors:
        """dw, dV, of the tensors and as many tangents."""
        assert self.system is not None
        count = len(self.tensors)
        each = zip(self._of_each(tensors[:count]), self._of_each(tensors[count:]), strict=True)
        moves = [
            X.tangent(own, tangents) if any(dx is not None for dx in tangents) else None
            for (X, own), (_, tangents) in each
        ]
        dA, *dB = moves
        dw, dV = self.system.jvp(self.A.zero() if dA is None else dA, dB[0] if dB else None)
        return dw, dV


class First(Function):
    """A first derivative, computed from tensors; of itself it has none."""

    @staticmethod
    def forward(compute: Callable[..., tuple[Tensor | None, ...]], *tensors: Tensor | None) -> Any:
        refuse_batched(*tensors)
        with forward_ad._set_fwd_grad_enabled(False):
            return compute(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *_: Tensor | None) -> NoReturn:
        _refuse()

    @staticmethod
    def jvp(ctx: Any, *_: Tensor | None) -> NoReturn:
        _refuse()

    @staticmethod
    def vmap(*_: Any) -> NoReturn:
        refuse_vmap()


def _refuse() -> NoReturn:
    raise ArreigError(
        "eigs and eigsh have first derivatives, and this would be a second one. Of a matrix that is small enough to be dense "
        "arreig_torch.eig and eigh have derivatives of every order; of a large one take differences of gradients"
    )


class Eigenpairs(Function):
    """The tensors of a problem -> w, V."""

    @staticmethod
    def forward(problem: Problem, *tensors: Tensor) -> Tensors:
        with forward_ad._set_fwd_grad_enabled(False):
            return problem.solve(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        ctx.problem, *tensors = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)
        ctx.set_materialize_grads(False)  # None, the absence of a loss on V, spares the systems of its gradient

    @staticmethod
    def backward(ctx: Any, gw: Tensor | None, gV: Tensor | None) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        if gw is None and gV is None:
            return (None,) * (1 + len(tensors))
        compute = partial(ctx.problem.gradients, ctx.needs_input_grad[1:])
        return None, *First.apply(compute, gw, gV, *tensors)  # type: ignore[no-untyped-call]

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: Tensor | None) -> Tensors:
        tensors = [forward_ad.unpack_dual(x).primal if x.layout == torch.strided else x for x in ctx.saved_tensors]
        # torch runs this with forward mode off, so that an outer forward derivative of this one would silently be zero.
        with forward_ad._set_fwd_grad_enabled(True):
            return First.apply(ctx.problem.tangents, *tensors, *tangents)  # type: ignore[no-any-return,no-untyped-call]

    @staticmethod
    def vmap(*_: Any) -> NoReturn:
        refuse_vmap()


def _eigenpairs(A: Any, B: Any, solve: Any, gauge: Any, **options: Any) -> EigPair:
    if isinstance(gauge, Functional) and _inputs.tracked(gauge.z):
        raise InputTypeError(
            "Functional(z) holds z constant, but this z is tracked for differentiation, and its gradient would be lost: "
            "detach() it"
        )
    problem = Problem(matrix("A", A), None if B is None else matrix("B", B), options | {"gauge": gauge})
    refuse_batched(*problem.tensors)
    device = problem.tensors[0].device if problem.tensors else None
    problem.options["solve"] = _of_tensors(solve, device) if callable(solve) else solve
    w, V = Eigenpairs.apply(problem, *problem.tensors)  # type: ignore[no-untyped-call]
    return EigPair(w, V)


def _of_tensors(solve: Callable[[complex, Tensor, bool], Tensor], device: torch.device | None) -> Callable[..., Any]:
    """A solver of tensors as arreig calls it."""

    def solve_on_host(shift: complex, x: Any, adjoint: bool) -> Any:
        y = solve(shift, torch.tensor(x, device=device), adjoint)
        return y.numpy(force=True) if isinstance(y, Tensor) else y

    return solve_on_host


@eager
def eigs(
    A: Tensor | LinearOperator,
    /,
    k: int = 6,
    *,
    B: Tensor | LinearOperator | None = None,
    which: Which = "LM",
    sigma: complex | None = None,
    v0: Tensor | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    sort: SortOption = None,
    gauge: GaugeOption = "canonical",
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> EigPair:
    """A few eigenvalues and eigenvectors of a large matrix, ``A v = w v`` or ``A v = w B v``, for torch to differentiate once.

    Parameters
    ----------
    A : Tensor or LinearOperator, shape (n, n)
        A sparse tensor (COO, also uncoalesced, CSR, CSC), a dense one, or a function with parameters, `LinearOperator`. float32,
        float64, complex64 or complex128, on any device; half precision is converted to float32 under autocast and refused
        otherwise. It is computed with on the host in double precision; results have the precision of A.
    k : int
        Number of eigenpairs, as for `arreig.eigs`.
    B : like A, optional
        Any matrix; without `sigma` it must be invertible. A, B, or both may be differentiated, and A may be a LinearOperator
        while B is a tensor.
    which, sigma, v0, ncv, tol, maxiter, sort, gauge, degeneracy, check
        As for `arreig.eigs`. `v0` and the z of `arreig.Functional` are tensors, held constant.
    solve : {"auto", "direct", "iterative"} or callable
        As for `arreig.eigs`; x and what the function ``solve(shift, x, adjoint)`` returns are tensors, in double precision.

    Returns
    -------
    EigPair
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (k,) and (n, k), complex, vectors as columns.

    Raises
    ------
    InputError, NonFiniteError, ConvergenceError, GaugeError
        As for `arreig.eigs`, when it is called.
    ConvergenceError, SpectrumNotSeparatedError, DegenerateEigenvaluesError, DefectiveMatrixError, GaugeDependentLossError,
    LostPrecisionError, NonFiniteError
        As for `arreig.eigs_vjp` and `arreig.eigs_jvp`, from the backward or forward derivative.
    ArreigError
        A second derivative, and vmap.

    Warns
    -----
    GaugeTieWarning, DenseSolverWarning, HostTransferWarning
        As for `arreig.eigs`.

    See Also
    --------
    eigsh, LinearOperator
    arreig.eigs : the same on arrays of any library, with the formulas and their sources.

    Notes
    -----
    The gradient of a sparse tensor has its layout and its entries, those of an uncoalesced one summed; it is COO for a CSC
    tensor, because torch cannot add CSC gradients. So it flows on to the values through `torch.sparse_coo_tensor` or
    `torch.sparse_csr_tensor` (torch itself has no gradient of complex values through the latter). The gradient of a dense tensor
    is dense: n^2 numbers.

    Forward mode and ``torch.func.jvp`` differentiate dense tensors and the parameters of a LinearOperator; torch 2.13 has no
    forward mode for sparse tensors. A gradient with ``create_graph=True`` raises where it is differentiated; but through
    `torch.sparse_coo_tensor` torch cuts it off by itself, as it does with its own functions, and says nothing.

    The eigenpairs keep what the derivatives need, a copy of A and a factorisation, as long as their graph lives, outside of
    torch's hooks for saved tensors.

    Examples
    --------
    The eigenvalue nearest to 2 of a tridiagonal matrix, and its gradient in the diagonal:

    >>> import torch, arreig_torch
    >>> i = torch.arange(1000)
    >>> rows, cols = torch.cat([i, i[1:], i[:-1]]), torch.cat([i, i[:-1], i[1:]])
    >>> d = torch.linspace(0, 1, 1000, dtype=torch.float64).requires_grad_()
    >>> values = torch.cat([d, torch.full((1998,), 0.1)])
    >>> A = torch.sparse_coo_tensor(torch.stack([rows, cols]), values, (1000, 1000), check_invariants=True)
    >>> w, V = arreig_torch.eigs(A, k=1, sigma=2)
    >>> w.real.sum().backward()
    >>> d.grad[-4:]
    tensor([0.0983, 0.0682, 0.0355, 0.0098], dtype=torch.float64)
    """
    return _eigenpairs(
        A,
        B,
        solve,
        gauge,
        hermitian=False,
        k=k,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        sort=sort,
        degeneracy=degeneracy,
        check=check,
    )


@eager
def eigsh(
    A: Tensor | LinearOperator,
    /,
    k: int = 6,
    *,
    B: Tensor | LinearOperator | None = None,
    which: WhichHermitian = "LM",
    sigma: float | None = None,
    v0: Tensor | None = None,
    ncv: int | None = None,
    tol: float = 0.0,
    maxiter: int | None = None,
    gauge: GaugeOption | Literal["B-norm"] | None = None,
    degeneracy: KeptDegeneracy = "raise",
    solve: SolveOption = "auto",
    check: bool = True,
) -> EigPair:
    """A few eigenvalues and eigenvectors of a large Hermitian matrix or definite pencil, for torch to differentiate once.

    ``A v = w v``, or ``A v = w B v`` with a positive definite B.

    Parameters
    ----------
    A : Tensor or LinearOperator, shape (n, n)
        As for `eigs`, and Hermitian up to ``|A - A^H|_F <= sqrt(u) |A|_F``; what is decomposed and differentiated is ``(A +
        A^H)/2``.
    k : int
        Number of eigenpairs, as for `arreig.eigsh`.
    B : like A, optional
        Hermitian and positive definite; otherwise as for `eigs`.
    which, sigma, v0, ncv, tol, maxiter, gauge, degeneracy, check
        As for `arreig.eigsh`. `v0` and the z of `arreig.Functional` are tensors, held constant.
    solve : {"auto", "direct", "iterative"} or callable
        As for `eigs`.

    Returns
    -------
    EigPair
        NamedTuple ``(eigenvalues, eigenvectors)``, shapes (k,) and (n, k): real eigenvalues in ascending order, orthogonal
        vectors (``v_i^H B v_j = 0``), real for real matrices.

    Raises
    ------
    InputError, NonFiniteError, ConvergenceError, GaugeError
        As for `arreig.eigsh`, when it is called.
    ConvergenceError, SpectrumNotSeparatedError, DegenerateEigenvaluesError, GaugeDependentLossError, LostPrecisionError,
    NonFiniteError
        As for `arreig.eigsh_vjp` and `arreig.eigsh_jvp`, from the backward or forward derivative.
    ArreigError
        A second derivative, and vmap.

    Warns
    -----
    GaugeTieWarning, DenseSolverWarning, HostTransferWarning
        As for `arreig.eigsh`.

    See Also
    --------
    eigs, LinearOperator
    arreig.eigsh : the same on arrays of any library, with the formulas and their sources.

    Notes
    -----
    As for `eigs`. If only eigenvalues are differentiated no system is solved.
    """
    return _eigenpairs(
        A,
        B,
        solve,
        gauge,
        hermitian=True,
        k=k,
        which=which,
        sigma=sigma,
        v0=v0,
        ncv=ncv,
        tol=tol,
        maxiter=maxiter,
        degeneracy=degeneracy,
        check=check,
    )
