"""torch tensors: an LU factorisation that is kept, and what autograd, vmap and fake tensors make of a tensor."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._C import _functorch  # torch has no public way to ask whether a tensor is wrapped by vmap or grad
from torch._subclasses import FakeTensor
from torch.autograd import forward_ad

from .. import _order
from .._array_api import adjoint, diagonal_matrix, real
from .._errors import ArreigError, InputTypeError
from .._types import Array, EigPair
from . import small
from .lapack import LapackBackend
from .protocol import Factor, Shared
from .standard import StandardBackend, as_tuple, warn_of_transfer


class LUFactor:
    """P L U = V^H, of V^H and with tiny numbers for vanishing pivots, for the reasons given in `lapack.LUFactor`.

    Every step can be differentiated, for second derivatives, and vmapped. linalg.lu_solve is not used: in torch 2.13 it is
    wrong where a batch of factors is broadcast against a larger one of right-hand sides, as vmap over these alone does.
    """

    def __init__(self, V: Array) -> None:
        self._shape = V.shape
        lu, pivots, _ = torch.linalg.lu_factor_ex(adjoint(V))
        P, self._L, U = torch.lu_unpack(lu, pivots)
        zero = torch.diagonal(U, dim1=-2, dim2=-1) == 0
        self._U = U + diagonal_matrix(zero.to(U.dtype) * torch.finfo(U.dtype).eps ** 2)
        rows = torch.arange(V.shape[-1], device=V.device)
        self._permutation = (real(P).to(rows.dtype) * rows[:, None]).sum(-2)

    def solve(self, X: Array, /) -> Array:
        y = torch.linalg.solve_triangular(adjoint(self._U), X, upper=False)
        y = torch.linalg.solve_triangular(adjoint(self._L), y, upper=True, unitriangular=True)
        return torch.take_along_dim(y, self._permutation.argsort(-1)[..., None], -2)

    def solve_adjoint(self, X: Array, /) -> Array:
        y = torch.take_along_dim(X, self._permutation[..., None], -2)
        y = torch.linalg.solve_triangular(self._L, y, upper=False, unitriangular=True)
        return torch.linalg.solve_triangular(self._U, y, upper=True)

    def inverse_adjoint(self) -> Array:
        eye = torch.eye(self._shape[-1], dtype=self._L.dtype, device=self._L.device)
        return self.solve_adjoint(eye.expand(self._shape))


class TorchBackend(StandardBackend):
    """torch, on any of its devices."""

    normalised = True

    def admit(self, name: str, X: Array, /) -> Array:
        """X, if its layout is strided."""
        if X.layout != torch.strided:
            raise InputTypeError(f"{name} must be a dense tensor, got layout {X.layout}; convert it with to_dense()")
        return X

    def tracked(self, X: Array, /) -> str | None:
        tracked = any(
            (x.requires_grad and torch.is_grad_enabled())
            or (x.layout == torch.strided and forward_ad.unpack_dual(x).tangent is not None)  # others have none
            for x in _layers(X)
            if not _is_batched(x)
        )
        return (
            "use the function of arreig_torch, which torch differentiates, or pass a detach()ed tensor"
            if tracked
            else None
        )

    def readable(self, X: Array, /) -> bool:
        return not (
            torch.compiler.is_compiling()
            or any(_is_batched(x) or isinstance(x, FakeTensor) or x.is_meta for x in _layers(X))
        )

    def at_hand(self, X: Array, /) -> bool:
        return self.readable(X) and X.device.type == "cpu"

    def constant(self, X: Array, /) -> Array:
        with torch.no_grad(), forward_ad._set_fwd_grad_enabled(False):
            return X.clone()  # detach() is not known to torch's older vmap

    def shared(self, *arrays: Array | None) -> Shared | None:
        recorded = torch.is_grad_enabled() or forward_ad._current_level >= 0
        if recorded or _functorch.peek_interpreter_stack() is not None or torch._C._len_torch_dispatch_stack():
            return None
        if torch.compiler.is_compiling() or not all(x is None or _plain(x) for x in arrays):
            return None
        return Shared(tuple([None if x is None else self.to_host(x) for x in arrays]), ON_MEMORY, torch.from_numpy)

    def number(self, X: Array, /) -> complex:
        return complex(X.detach())  # torch warns where a tracked tensor becomes a number

    def eig(self, A: Array, /) -> EigPair:
        one = A.ndim == 2 and A.shape[-1] in _order.SMALL and A.device.type == "cpu" and self.readable(A)
        if not one:
            return super().eig(A)
        w, V = torch.linalg.eig(A)
        order = small.reordering(w, not A.is_complex())
        return EigPair(w, V) if order is None else EigPair(w[order], V[:, order])

    def factorise(self, V: Array, /) -> Factor:
        return LUFactor(V)

    def away(self, X: Array, /) -> str | None:
        return None if X.device.type == "cpu" else "torch"

    def to_host(self, X: Array, /) -> Any:
        return X.numpy(force=True)

    def from_host(self, x: Any, like: Array, /) -> Array:
        return torch.as_tensor(x, device=like.device)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def on_host(
        self, function: Callable[..., Any], results: Sequence[tuple[tuple[int, ...], Any]], /, *arrays: Array
    ) -> tuple[Array, ...]:
        layers = [x for array in arrays for x in _layers(array)]
        for advice in filter(None, map(self.tracked, arrays)):
            raise InputTypeError(f"what is tracked for differentiation cannot leave torch: {advice}")
        if any(map(_functorch.is_legacy_batchedtensor, layers)):
            raise ArreigError(
                "what arreig computes on the host has no batching rule in torch.autograd's own vmap (is_grads_batched=True, "
                "vectorize=True): use torch.func.vmap, jacrev or hessian"
            )
        if any(isinstance(x, FakeTensor) or x.is_meta for x in layers):
            return tuple(arrays[0].new_empty(shape, dtype=dtype) for shape, dtype in results)
        out: tuple[Array, ...] = _OnHost.apply(function, *arrays)  # type: ignore[no-untyped-call]
        return out


class SharedBackend(LapackBackend):
    """NumPy arrays whose memory is that of tensors, decomposed as torch does it; tiny ones as NumPy does."""

    def solve_eig(self, A: Array, /) -> EigPair:
        if self.in_numbers(A):
            return super().solve_eig(A)
        return EigPair(*(x.numpy() for x in torch.linalg.eig(torch.from_numpy(A))))

    def eigh(self, A: Array, /) -> EigPair:
        return EigPair(*(x.numpy() for x in torch.linalg.eigh(torch.from_numpy(A))))

    def eigvalsh(self, A: Array, /) -> Array:
        return torch.linalg.eigvalsh(torch.from_numpy(A)).numpy()


class _OnHost(torch.autograd.Function):
    """A function of NumPy arrays over any batch, which torch.func.vmap can map."""

    @staticmethod
    def forward(function: Callable[..., Any], *arrays: Array) -> tuple[Array, ...]:
        if arrays[0].device.type != "cpu":
            warn_of_transfer("torch")
        out = as_tuple(function(*map(BACKEND.to_host, arrays)))
        return tuple(BACKEND.from_host(x, arrays[0]) for x in out)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Array, ...]) -> None:
        ctx.mark_non_differentiable(*output)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], function: Callable[..., Any], *arrays: Array
    ) -> tuple[tuple[Array, ...], tuple[int, ...]]:
        mapped = (
            x.expand(info.batch_size, *x.shape) if dim is None else x.movedim(dim, 0)
            for x, dim in zip(arrays, in_dims[1:], strict=True)
        )
        out = _OnHost.apply(function, *mapped)  # type: ignore[no-untyped-call]
        return out, (0,) * len(out)


def _is_batched(x: Array) -> bool:
    """Whether x is the tensor of a vmap, of torch.func's or of the older one behind autograd.grad(is_grads_batched=True)."""
    return bool(_functorch.is_batchedtensor(x) or _functorch.is_legacy_batchedtensor(x))


def _layers(X: Array) -> list[Array]:
    """X and the tensors inside it that torch.func's transforms have wrapped, one a level."""
    layers = [X]
    while _functorch.is_functorch_wrapped_tensor(layers[-1]):
        layers.append(_functorch.get_unwrapped(layers[-1]))
    return layers


def _plain(x: Array) -> bool:
    """Whether x is nothing but numbers in the host's memory."""
    dense = type(x) in (torch.Tensor, torch.nn.Parameter) and x.is_cpu and x.layout == torch.strided
    return dense and not _functorch.is_legacy_batchedtensor(x)


ON_MEMORY = SharedBackend()
BACKEND = TorchBackend()
