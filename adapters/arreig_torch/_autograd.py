"""torch's side of a decomposition: what is saved, and which of arreig's rules answers which of torch's questions.

The rules are made of differentiable operations on w and V, which are outputs of `Decomposition` themselves. So the backward
of a backward, and the forward mode of either, is torch's own differentiation of the rule, which ends in `Decomposition` again.
"""

from inspect import Signature, signature
from typing import Any, NamedTuple

import torch
from torch.autograd import Function, forward_ad

from arreig._decompositions._problem import Problem, System
from arreig._decompositions._system import second_derivative

from ._modes import Tensor, Tensors, full_precision


class Decomposition(Function):
    """A, B, z -> w, V, for left W, and the pairs of eigenvalues that were separated, if the policy does that."""

    @staticmethod
    def forward(A: Tensor, B: Tensor | None, z: Tensor | None, problem: Problem) -> Tensors:
        return problem.decompose(A.detach(), None if B is None else B.detach(), z)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        A, B, z, ctx.problem = inputs
        separated = output[-1] if output[-1].dtype == torch.bool else None
        if separated is not None:
            ctx.mark_non_differentiable(separated)
        ctx.save_for_backward(A, B, z, *output[:2], separated)
        ctx.save_for_forward(A, B, z, *output[:2], separated)
        ctx.set_materialize_grads(False)  # None, the absence of a loss on V, has a rule of its own

    @staticmethod
    def backward(
        ctx: Any, gw: Tensor | None, gV: Tensor | None, *others: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        gW = others[0] if ctx.problem.left else None
        if gw is None and gV is None and gW is None:
            return None, None, None, None
        saved, problem = ctx.saved_tensors, ctx.problem
        if (plain := problem.plain_vjp(saved, gw, gV, gW)) is not None:
            return plain[0], None, None, None
        with full_precision(saved[0]):
            system = problem.again(*saved)
            gA, *gB = (_guarded(g, system) for g in problem.vjp(system, gw, gV, gW))
            return gA, gB[0] if gB else None, None, None

    @staticmethod
    def jvp(ctx: Any, dA: Tensor | None, dB: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        A, B, z, w, V, separated = ctx.saved_tensors
        A = forward_ad.unpack_dual(A).primal  # its tangent is dA: a tangent may have none of the same level
        B = None if B is None else forward_ad.unpack_dual(B).primal
        dA = torch.zeros_like(A) if dA is None else dA
        # torch runs this with forward mode off, so that an outer forward derivative of this one would silently be zero.
        with full_precision(V), forward_ad._set_fwd_grad_enabled(True):
            saved, problem = (A, B, z, w, V, separated), ctx.problem
            system = problem.again(*saved)
            moved = problem.jvp(system, dA, dB)
            if not problem.vectors:
                moved = (*moved, problem.silent.jvp(problem.silent.again(*saved), dA, dB)[1])
            tangents = tuple(_guarded(x, system) for x in moved)
            return tangents if separated is None else (*tangents, None)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, int | None, int | None, None],
        A: Tensor,
        B: Tensor | None,
        z: Tensor | None,
        problem: Problem,
    ) -> tuple[Tensors, tuple[int, ...]]:
        A_dim, B_dim, z_dim, _ = in_dims
        A = A.expand(info.batch_size, *A.shape) if A_dim is None else A.movedim(A_dim, 0)
        if B is not None:
            B = B.expand(info.batch_size, *B.shape) if B_dim is None else B.movedim(B_dim, 0)
        if z is not None and z_dim is not None:
            z = z.movedim(z_dim, 0)
            z = z.reshape(len(z), *(1,) * (A.ndim - 1 - z.ndim), *z.shape[1:])
        out = Decomposition.apply(A, B, z, problem)  # type: ignore[no-untyped-call]
        return out, (0,) * len(out)


class _Positional(Signature):
    """That of a function which is called with all its arguments, by position."""

    def bind(self, *args: Any, **kwargs: Any) -> Any:
        assert not kwargs
        return _Bound(args, kwargs)


class _Bound(NamedTuple):
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def apply_defaults(self) -> None:
        """There are none."""


# torch binds the arguments of a Function at every call, which takes inspect 10 us.
_parameters = signature(Decomposition.forward).parameters.values()
Decomposition.forward.__signature__ = _Positional(list(_parameters))  # type: ignore[attr-defined]


class _Once(Function):
    """x, whose derivative is refused where eigenvalues are degenerate: x is a derivative itself."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, pairs: Tensor, w: Tensor, check: bool) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, pairs, w, ctx.check = inputs
        ctx.save_for_backward(pairs, w)
        ctx.save_for_forward(pairs, w)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        if g is None:
            return None, None, None, None
        return second_derivative(g, *ctx.saved_tensors, check=ctx.check), None, None, None

    @staticmethod
    def jvp(ctx: Any, dx: Tensor, *_: Tensor | None) -> Tensor:
        with forward_ad._set_fwd_grad_enabled(True):  # as in Decomposition.jvp
            return second_derivative(dx, *ctx.saved_tensors, check=ctx.check)  # type: ignore[no-any-return]


def _guarded(x: Tensor, system: System) -> Tensor:
    pairs, w = system.refused_twice, system.eigenvalues.detach()
    guarded: Tensor = _Once.apply(x, pairs, w, system.options.check)  # type: ignore[no-untyped-call]
    return guarded
