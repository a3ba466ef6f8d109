"""spectral_projector and invariant_subspace for torch.

Their derivatives are made of P, or Q, and of solutions of Sylvester equations. Each is a function of torch.autograd whose
derivative is made of the same, so that every order exists, and is computed only when asked for.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch.autograd import Function, forward_ad

from arreig._decompositions._subspace import Select, Selection, Sylvester
from arreig._decompositions.subspace import CountOrder

from ._modes import Tensor, Tensors, admit, eager, full_precision


def _mapped(selection: Selection) -> Selection:
    """The same under vmap, which a function of the eigenvalues must not see."""
    return replace(selection, select=torch.func.vmap(selection.select)) if callable(selection.select) else selection


def to_front(info: Any, in_dims: tuple[int | None, ...], *tensors: Tensor) -> list[Tensor]:
    """Tensors with the mapped axis in front, and those without one expanded."""
    return [
        x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
        for x, dim in zip(tensors, in_dims, strict=False)
    ]


class Solution(Function):
    """A, B, C, T, U, count -> X."""

    @staticmethod
    def forward(A: Tensor, B: Tensor, C: Tensor, T: Tensor, U: Tensor, count: Tensor, equation: Sylvester) -> Tensor:
        return equation.solve(B, C, T, U, count)  # type: ignore[no-any-return]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.equation = inputs
        ctx.save_for_backward(*tensors, output)
        ctx.save_for_forward(*tensors, output)

    @staticmethod
    def backward(ctx: Any, gX: Tensor) -> tuple[Tensor | None, ...]:
        A, B, C, T, U, count, X = ctx.saved_tensors
        with full_precision(A):
            return (*ctx.equation.vjp(gX, A, B, C, X, _solve(A, B, T, U, count)), None, None, None, None)

    @staticmethod
    def jvp(ctx: Any, dA: Tensor | None, dB: Tensor | None, dC: Tensor | None, *_: None) -> Tensor:
        *primals, T, U, count, X = ctx.saved_tensors
        with full_precision(X), forward_ad._set_fwd_grad_enabled(True):
            A, B, C = (forward_ad.unpack_dual(x).primal for x in primals)
            tangents = (
                torch.zeros_like(x) if dx is None else dx for x, dx in zip((A, B, C), (dA, dB, dC), strict=True)
            )
            return ctx.equation.jvp(*tangents, A, B, C, X, _solve(A, B, T, U, count))  # type: ignore[no-any-return]

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        *tensors, equation = args
        return Solution.apply(*to_front(info, in_dims, *tensors), equation), 0  # type: ignore[no-untyped-call]


def _solve(A: Tensor, B: Tensor, T: Tensor, U: Tensor, count: Tensor) -> Callable[..., Tensor]:
    def solve(C: Tensor, /, *, equation: Sylvester) -> Tensor:
        X: Tensor = Solution.apply(A, B, C, T, U, count, equation)  # type: ignore[no-untyped-call]
        return X

    return solve


class Subspace(Function):
    """A -> P or Q, T, U, count."""

    @staticmethod
    def forward(A: Tensor, selection: Selection) -> Tensors:
        return selection.decompose(A.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        A, ctx.selection = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(A, *output)
        ctx.save_for_forward(A, *output)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, *_: None) -> tuple[Tensor | None, None]:
        if g is None:
            return None, None
        A, out, *form = ctx.saved_tensors
        with full_precision(A):
            system = ctx.selection.again(A, out, *form)
            solve = _solve(A.to(out.dtype), out, *form)
            return ctx.selection.vjp(system, g, solve), None

    @staticmethod
    def jvp(ctx: Any, dA: Tensor, _: None) -> tuple[Tensor | None, ...]:
        A, out, *form = ctx.saved_tensors
        A = forward_ad.unpack_dual(A).primal
        with full_precision(A), forward_ad._set_fwd_grad_enabled(True):
            system = ctx.selection.again(A, out, *form)
            solve = _solve(A.to(out.dtype), out, *form)
            return ctx.selection.jvp(system, dA, solve), None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], A: Tensor, selection: Selection) -> tuple[Tensors, Any]:
        out = Subspace.apply(*to_front(info, in_dims, A), _mapped(selection))  # type: ignore[no-untyped-call]
        return out, (0,) * len(out)


def _subspace(A: Tensor, selection: Selection) -> Tensor:
    A = admit(A)
    with full_precision(A):
        out: Tensor = Subspace.apply(A, selection)[0]  # type: ignore[no-untyped-call]
    return out


@eager
def spectral_projector(A: Tensor, select: Select, /, *, sort: CountOrder = None, check: bool = True) -> Tensor:
    """Spectral projector onto selected eigenvalues of a general matrix, also where it is defective, for torch to differentiate.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `arreig_torch.eig`.
    select, sort, check
        As for `arreig.spectral_projector`. Under `torch.func.vmap` a function sees the eigenvalues of one matrix of the mapped
        axis.

    Returns
    -------
    Tensor, shape (..., n, n)
        As `arreig.spectral_projector`; real for a real A, unless the selection parts a conjugate pair.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `arreig.spectral_projector`.

    Notes
    -----
    Derivatives of every order, forward and reverse, and `torch.func`. Its solutions are computed on the host: torch's older
    vmap (``is_grads_batched=True``) cannot map them, and says so.

    Examples
    --------
    >>> import torch, arreig_torch
    >>> A = torch.tensor([[2.0, 1.0, 1.0], [0.0, 2.0, 3.0], [0.0, 0.0, 5.0]], dtype=torch.float64, requires_grad=True)
    >>> arreig_torch.spectral_projector(A, lambda w: w.abs() < 3)[0, 2].backward()  # of a Jordan block and 5
    >>> A.grad
    tensor([[-0.2222, -0.3333, -0.3333],
            [-0.0741, -0.1111, -0.1111],
            [ 0.4444,  0.5556,  0.3333]], dtype=torch.float64)
    """
    return _subspace(A, Selection(select, sort, check, projector=True))


@eager
def invariant_subspace(A: Tensor, select: Select, /, *, sort: CountOrder = None, check: bool = True) -> Tensor:
    """Orthonormal basis of the invariant subspace of selected eigenvalues, for torch to differentiate.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `arreig_torch.eig`.
    select, sort, check
        As for `arreig_torch.spectral_projector`.

    Returns
    -------
    Tensor, shape (..., n, m)
        As `arreig.invariant_subspace`.

    Raises
    ------
    InputError, NonFiniteError, SpectrumNotSeparatedError
        As for `arreig.invariant_subspace`, when it is called.
    GaugeDependentLossError
        From the backward: the loss depends on the basis. Forward mode gives the tangent with ``Q^H dQ = 0``, and cannot tell.

    Notes
    -----
    As for `arreig_torch.spectral_projector`.
    """
    return _subspace(A, Selection(select, sort, check, projector=False))
