"""The matrices of eigs and eigsh as torch has them: tensors with entries, or functions of tensors that multiply."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from numbers import Integral
from typing import Any, NoReturn, TypeAlias

import torch
from torch.func import functional_call

from arreig import ArreigError, InputError, InputTypeError
from arreig._decompositions import _inputs
from arreig._decompositions._factors import Gradient
from arreig._types import Products

from ._modes import Tensor, Tensors, full_precision, in_autocast, refuse_export

Product: TypeAlias = Callable[..., Tensor]  # (x, *tensors) -> A x
_HALF = (torch.float16, torch.bfloat16)


class LinearOperator:
    """A matrix for `eigs` and `eigsh` that is known by its products, with parameters that get gradients.

    Parameters
    ----------
    function : torch.nn.Module or callable
        ``function(x, *params)`` is the product of the matrix with a vector x, shape (n,), linear in x, by operations that torch
        can differentiate. It is called with x and params in double precision; so are a module's parameters and buffers.
    n : int
        Order of the matrix.
    *params : Tensor
        Tensors that the matrix depends on, besides the parameters of a module. All of them get gradients, if they require
        them; a tracked tensor that the function takes from elsewhere is refused, because its gradient would be lost.
    dtype : torch.dtype, optional
        Precision of eigenvalues and eigenvectors; complex if the function wants complex vectors. None for that of the
        parameters, or torch's default if there are none. A function with complex values for real x is a complex matrix.

    Raises
    ------
    InputError
        Bad arguments.

    Notes
    -----
    The eigenpairs need products alone, and `eigs` those with the adjoint, which are vector-Jacobian products of the function in
    x. A gradient takes the factors of ``gA = Y V^H``, and differentiates ``Re y_j^H A v_j`` in the parameters, one product a
    column: no matrix is formed.

    Examples
    --------
    The lowest frequency of a chain of springs, and how it changes with each:

    >>> import torch, arreig_torch
    >>> def stiffness(x, c):
    ...     force = c * torch.diff(x, prepend=x.new_zeros(1), append=x.new_zeros(1))
    ...     return force[:-1] - force[1:]
    >>> c = torch.ones(11, dtype=torch.float64, requires_grad=True)
    >>> w, V = arreig_torch.eigsh(arreig_torch.LinearOperator(stiffness, 10, c), k=1, which="SA")
    >>> w.sum().backward()
    >>> c.grad[:4]
    tensor([0.0144, 0.0122, 0.0084, 0.0043], dtype=torch.float64)
    """

    def __init__(
        self, function: Callable[..., Tensor], n: int, /, *params: Tensor, dtype: torch.dtype | None = None
    ) -> None:
        if not callable(function):
            raise InputTypeError(
                f"function must be a torch.nn.Module or a function of a vector, got {_inputs.kind(function)}"
            )
        order: Any = n
        if isinstance(order, bool) or not isinstance(order, Integral) or int(order) < 1:
            raise InputError(f"n, the order of the matrix, must be a positive integer; got {n!r}")
        for x in params:
            if not isinstance(x, Tensor):
                raise InputTypeError(
                    f"params must be tensors, got {_inputs.kind(x)}; what else the function needs it can hold itself"
                )
        self.function, self.n, self.params, self.dtype = function, int(order), params, dtype


class Matrix(ABC):
    """What torch differentiates by, `tensors`, and how a core that knows no autograd is asked about it."""

    tensors: Tensors

    @abstractmethod
    def matrix(self, *tensors: Tensor) -> Any:
        """What arreig is given, of tensors in the place of its own."""

    @abstractmethod
    def gradients(self, gradient: Gradient, tensors: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Gradients of the tensors from that of the matrix."""

    @abstractmethod
    def tangent(self, tensors: Tensors, tangents: Sequence[Tensor]) -> Any:
        """The tangent of the matrix."""

    @abstractmethod
    def zero(self) -> Products:
        """The tangent of a matrix that does not move."""


@dataclass(frozen=True, eq=False)
class Stored(Matrix):
    """A sparse or dense tensor."""

    tensors: Tensors

    def matrix(self, *tensors: Tensor) -> Tensor:
        """Duplicates are summed: in torch, entries of a gradient at the same place would be, too."""
        A = tensors[0].detach()
        A = A.float() if A.dtype in _HALF else A
        return A.coalesce() if A.layout == torch.sparse_coo else A

    def gradients(self, gradient: Gradient, tensors: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """In the layout of the tensor; for CSC, which torch's engine cannot add, in COO."""
        if not wanted[0]:
            return [None]
        g: Tensor = gradient.given(factors=False)
        g = g.to(tensors[0].dtype)
        return [g.to_sparse_coo() if g.layout == torch.sparse_csc else g]

    def tangent(self, tensors: Tensors, tangents: Sequence[Tensor]) -> Tensor:
        return self.matrix(*tangents)

    def zero(self) -> Products:
        A = self.tensors[0]
        like = torch.empty(0, dtype=torch.float32 if A.dtype in _HALF else A.dtype, device=A.device)
        return Products(A.shape[-1], like, torch.zeros_like, None)


@dataclass(frozen=True, eq=False)
class Applied(Matrix):
    """A function of a vector and of tensors."""

    tensors: Tensors
    function: Product
    n: int
    like: Tensor

    def matrix(self, *tensors: Tensor) -> Products:
        fixed = [_double(x.detach()) for x in tensors]
        adjoint = _Adjoint(self, fixed)

        def product(x: Tensor) -> Tensor:
            with torch.no_grad(), full_precision(x):
                return self.function(x, *fixed)

        return Products(self.n, self.like, product, adjoint)

    def gradients(self, gradient: Gradient, tensors: Tensors, wanted: Sequence[bool]) -> list[Tensor | None]:
        """By autograd of one product a column of the factors."""
        out: list[Tensor | None] = [None] * len(tensors)
        asked = [i for i, want in enumerate(wanted) if want]
        if not asked:
            return out
        own = [_double(x.detach()) for x in tensors]
        for i in asked:
            own[i].requires_grad_()
        for y, v in zip(*(_double(X).mT.contiguous() for X in gradient.given(factors=True)), strict=True):
            with torch.enable_grad(), full_precision(v):
                Av = self.function(v.clone(), *own)
            if not Av.requires_grad:
                break
            along = torch.autograd.grad(Av, [own[i] for i in asked], y, allow_unused=True)
            for i, g in zip(asked, along, strict=True):
                before = out[i]
                out[i] = g if before is None or g is None else before + g
        return [None if g is None else g.to(x.dtype) for g, x in zip(out, tensors, strict=True)]

    def tangent(self, tensors: Tensors, tangents: Sequence[Tensor]) -> Products:
        moving = [i for i, dx in enumerate(tangents) if dx is not None]
        own = [_double(x.detach()) for x in tensors]
        along = tuple(_double(tangents[i].detach()) for i in moving)

        def product(x: Tensor) -> Tensor:
            def of(*parts: Tensor) -> Tensor:
                replaced = dict(zip(moving, parts, strict=True))
                return self.function(x, *(replaced.get(i, own[i]) for i in range(len(own))))

            with full_precision(x):
                dAx: Tensor = torch.autograd.functional.jvp(of, tuple(own[i] for i in moving), along)[1]
            return dAx

        return Products(self.n, self.like, product, None)

    def zero(self) -> Products:
        return Products(self.n, self.like, torch.zeros_like, None)


class _Adjoint:
    """Products with A^H, by the vector-Jacobian product of x -> A x, which is the same at every x: one graph serves all."""

    def __init__(self, of: Applied, fixed: list[Tensor]) -> None:
        self._of, self._fixed = of, fixed
        self._graph: tuple[Tensor, Tensor] | None = None

    def __call__(self, y: Tensor) -> Tensor:
        if self._graph is None:
            with torch.enable_grad(), full_precision(y):
                x = torch.zeros_like(y).requires_grad_()
                self._graph = x, self._of.function(x.clone(), *self._fixed)
        x, Ax = self._graph
        if not Ax.requires_grad:
            raise InputError(
                "derivatives of eigs need products with the adjoint, which torch finds by differentiating the function in x, but "
                "what it returns torch cannot differentiate: use torch's operations on x (for a Hermitian operator use eigsh, "
                "which needs none)"
            )
        with full_precision(y):
            return torch.autograd.grad(Ax, x, y, retain_graph=True)[0]


def matrix(name: str, A: Tensor | LinearOperator) -> Matrix:
    """A, if it is a matrix that torch has."""
    refuse_export()
    if isinstance(A, LinearOperator):
        return _applied(name, A)
    if not isinstance(A, Tensor):
        raise InputTypeError(
            f"{name} must be a torch.Tensor, sparse or dense, or an arreig_torch.LinearOperator, got {_inputs.kind(A)}; "
            + (
                "wrap it: arreig_torch.LinearOperator(function, n), with n the order of the matrix"
                if callable(A)
                else "for arrays of other libraries use arreig"
            )
        )
    if A.dtype in _HALF and not in_autocast(A):
        raise InputTypeError(f"{name} must be float32, float64, complex64 or complex128, got {A.dtype}")
    return Stored((A,))


def _applied(name: str, A: LinearOperator) -> Applied:
    """The operator, with what one product tells about it."""
    tensors, function = A.params, A.function
    if isinstance(A.function, torch.nn.Module):
        parameters = dict(A.function.named_parameters())
        tensors, function = (*parameters.values(), *A.params), _functional(A.function, tuple(parameters))
    own = [_double(x.detach()) for x in tensors]
    numbers = [x for x, y in zip(tensors, own, strict=True) if y.is_floating_point() or y.is_complex()]
    device = numbers[0].device if numbers else None
    dtype = A.dtype
    if dtype is None:
        dtype = reduce(torch.promote_types, [x.dtype for x in numbers]) if numbers else torch.get_default_dtype()
        if dtype in _HALF:
            raise InputTypeError(
                f"{name} has parameters in {dtype}, in which there are no eigenvectors: give the LinearOperator a dtype for them"
            )
    if dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        raise InputTypeError(
            f"dtype of a LinearOperator must be float32, float64, complex64 or complex128, got {dtype}"
        )
    x = _double(torch.zeros(A.n, dtype=dtype, device=device))
    with full_precision(x):
        Ax = function(x, *own)
    if isinstance(Ax, Tensor):
        refuse_batched(Ax)
        if _inputs.tracked(Ax):
            raise InputTypeError(
                f"the function of {name} contains a tensor that is tracked for differentiation, and its gradient would be lost: "
                f"make it one of the LinearOperator's params, an argument of the function, or detach() it"
            )
        dtype = dtype.to_complex() if Ax.is_complex() else dtype
    return Applied(tensors, function, A.n, torch.empty(0, dtype=dtype, device=device))


def _functional(module: torch.nn.Module, names: tuple[str, ...]) -> Product:
    """The module as a function of its parameters."""
    buffers = {name: _double(x.detach()) for name, x in module.named_buffers()}

    def function(x: Tensor, *tensors: Tensor) -> Tensor:
        state = buffers | dict(zip(names, tensors, strict=False))
        y: Tensor = functional_call(module, state, (x, *tensors[len(names) :]))
        return y

    return function


def refuse_batched(*tensors: Tensor | None) -> None:
    """Refuse what a vmap maps."""
    functorch = torch._C._functorch
    if any(x is not None and (functorch.is_batchedtensor(x) or functorch.is_legacy_batchedtensor(x)) for x in tensors):
        refuse_vmap()


def refuse_vmap() -> NoReturn:
    """Refuse vmap, of the function or of its derivative."""
    raise ArreigError(
        "eigs and eigsh compute on the host, one matrix and one derivative at a time, and cannot be mapped by vmap or "
        "is_grads_batched=True: use a loop, and for a Jacobian torch.func.jacrev(..., chunk_size=1), which is one"
    )


def _double(x: Tensor) -> Tensor:
    if x.is_complex():
        return x.to(torch.complex128)
    return x.to(torch.float64) if x.is_floating_point() else x
