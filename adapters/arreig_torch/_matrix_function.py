"""matrix_function for torch, to second order.

Its derivative L(A, E) and the adjoint of that are one function of torch.autograd, `Derivative`, whose own derivatives have rules
of second order. There it ends: a third derivative is refused.
"""

from collections.abc import Callable
from typing import Any, NoReturn

import torch
from torch.autograd import Function, forward_ad

from arreig import ArreigError, InputTypeError
from arreig._decompositions import _inputs
from arreig._decompositions._function import FunctionProblem, ScalarFunction
from arreig._decompositions.roots import LOG, SQRT

from ._modes import Tensor, Tensors, admit, eager, full_precision
from ._subspace import to_front


class Twice(FunctionProblem):
    """With d2f, torch's derivative of df."""

    def d2f(self, z: Tensor) -> Tensor:
        """f''. Of a real loss torch's gradient in a complex z is the conjugate of the derivative."""

        def part(which: str) -> Tensor:
            gradient: Tensor = torch.func.grad(lambda z: getattr(self.df(z), which).sum())(z)
            return gradient

        if z.is_complex():
            return part("real").conj() * 1.0  # not lazily: vmap has no rule for that
        return torch.complex(part("real"), part("imag")) if self.df(z).is_complex() else part("real")


class Last(Function):
    """x, made of the sources, whose derivative is refused."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, *sources: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Tensors, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> NoReturn:
        _refuse()

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> NoReturn:
        _refuse()


def _refuse() -> NoReturn:
    raise ArreigError("matrix_function has first and second derivatives, and this would be a third one")


class Derivative(Function):
    """A, E, w, V -> L(A, E), or of its adjoint, for gA from gF."""

    @staticmethod
    def forward(A: Tensor, E: Tensor, w: Tensor, V: Tensor, problem: Twice, starred: bool) -> Tensor:
        function = problem.again(A, w, V)
        return function.frechet_adjoint(E) if starred else function.frechet(E)  # type: ignore[no-any-return]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.problem, ctx.starred = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        A, E, w, V = ctx.saved_tensors
        with full_precision(A):
            with torch.no_grad():
                function = ctx.problem.again(A, w, V)
                gA = function.second_vjp(g, E, ctx.problem.d2f, starred=ctx.starred)
            gA = Last.apply(gA, A, E, g)  # type: ignore[no-untyped-call]
            gE = Derivative.apply(A, g, w, V, ctx.problem, not ctx.starred)  # type: ignore[no-untyped-call]
        return gA, gE, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, dA: Tensor | None, dE: Tensor | None, *_: None) -> Tensor:
        A, E, w, V = ctx.saved_tensors
        A, E = (forward_ad.unpack_dual(x).primal for x in (A, E))
        with full_precision(A), forward_ad._set_fwd_grad_enabled(True):
            dL = torch.zeros_like(V)
            if dE is not None:
                dL = Derivative.apply(A, dE, w, V, ctx.problem, ctx.starred)  # type: ignore[no-untyped-call]
            if dA is not None:
                with torch.no_grad(), forward_ad._set_fwd_grad_enabled(False):
                    function = ctx.problem.again(A, w, V)
                    along = function.second_jvp(dA, E, ctx.problem.d2f, starred=ctx.starred)
                dL = dL + Last.apply(along, A, E, dA)  # type: ignore[no-untyped-call]
            return dL

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        *tensors, problem, starred = args
        return Derivative.apply(*to_front(info, in_dims, *tensors), problem, starred), 0  # type: ignore[no-untyped-call]


class Value(Function):
    """A -> F, w, V."""

    @staticmethod
    def forward(A: Tensor, problem: Twice) -> Tensors:
        return problem.decompose(A.detach())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensors) -> None:
        A, ctx.problem = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(A, *output[1:])
        ctx.save_for_forward(A, *output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, gF: Tensor | None, *_: None) -> tuple[Tensor | None, None]:
        if gF is None:
            return None, None
        A, w, V = ctx.saved_tensors
        with full_precision(A):
            function = ctx.problem.again(A, w, V)
            return function.vjp(gF, [], adjoint_map=_derivative(A, w, V, ctx.problem, starred=True)), None

    @staticmethod
    def jvp(ctx: Any, dA: Tensor, _: None) -> tuple[Tensor | None, ...]:
        A, w, V = ctx.saved_tensors
        A = forward_ad.unpack_dual(A).primal
        with full_precision(A), forward_ad._set_fwd_grad_enabled(True):
            function = ctx.problem.again(A, w, V)
            dF = function.jvp(dA, [], linear_map=_derivative(A, w, V, ctx.problem, starred=False))
        return dF, None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], A: Tensor, problem: Twice) -> tuple[Tensors, tuple[int, ...]]:
        return Value.apply(*to_front(info, in_dims, A), problem), (0, 0, 0)  # type: ignore[no-untyped-call]


def _derivative(A: Tensor, w: Tensor, V: Tensor, problem: Twice, *, starred: bool) -> Callable[[Tensor], Tensor]:
    def derivative(E: Tensor) -> Tensor:
        L: Tensor = Derivative.apply(A, E, w, V, problem, starred)  # type: ignore[no-untyped-call]
        return L

    return derivative


def _value(A: Tensor, f: ScalarFunction, df: ScalarFunction, hermitian: bool, check: bool) -> Tensor:
    A = admit(A)
    hermitian = _inputs.switch("hermitian", hermitian)
    for name, function in (("f", f), ("df", df)):
        probe = torch.ones(1, dtype=A.dtype if hermitian else A.dtype.to_complex(), device=A.device)
        y = function(probe.real if hermitian else probe) if callable(function) else None
        if isinstance(y, Tensor) and torch._C._functorch.is_batchedtensor(y):
            raise InputTypeError(f"{name} contains a tensor that vmap maps: call it for each value, or put it into A")
        if isinstance(y, Tensor) and _inputs.tracked(y):
            raise InputTypeError(
                f"{name} contains a tensor that is tracked for differentiation, and its gradient would be lost: detach() it, or "
                f"put it into A"
            )
    with full_precision(A):
        out: Tensor = Value.apply(A, Twice(f, df, hermitian, check))[0]  # type: ignore[no-untyped-call]
    return out


@eager
def matrix_function(
    A: Tensor, f: ScalarFunction, df: ScalarFunction, /, *, hermitian: bool = False, check: bool = True
) -> Tensor:
    """A function of a matrix, ``f(A) = V diag(f(w)) V^-1``, for torch to differentiate twice.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `arreig_torch.eig`, diagonalisable; repeated eigenvalues are welcome.
    f, df : callable
        The function and its derivative, elementwise, as for `arreig.matrix_function`. A second derivative differentiates df by
        torch. They must not contain tensors that are tracked for differentiation, whose gradients would be lost.
    hermitian, check : bool
        As for `arreig.matrix_function`.

    Returns
    -------
    Tensor, shape (..., n, n)
        As `arreig.matrix_function`: complex, unless ``hermitian=True`` and f is real.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.matrix_function` and its derivatives.
    ArreigError
        A third derivative.

    Notes
    -----
    A second derivative takes n^3 numbers of memory for each matrix.

    Examples
    --------
    The square root at the identity, of which torch's gradient through eigenvectors is NaN:

    >>> import torch, arreig_torch
    >>> A = torch.eye(2, dtype=torch.float64, requires_grad=True)
    >>> R = arreig_torch.matrix_function(A, torch.sqrt, lambda w: 0.5 * torch.rsqrt(w), hermitian=True)
    >>> R[0, 1].backward()
    >>> A.grad
    tensor([[0.0000, 0.2500],
            [0.2500, 0.0000]], dtype=torch.float64)
    """
    return _value(A, f, df, hermitian, check)


@eager
def sqrtm(A: Tensor, /, *, hermitian: bool = False, check: bool = True) -> Tensor:
    """Principal square root of a matrix, for torch to differentiate twice, also at repeated eigenvalues.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `arreig_torch.matrix_function`.
    hermitian, check : bool
        As for `arreig.sqrtm`.

    Returns
    -------
    Tensor, shape (..., n, n)
        As `arreig.sqrtm`.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.sqrtm` and its derivatives.
    ArreigError
        A third derivative.
    """
    return _value(A, *SQRT, hermitian, check)


@eager
def logm(A: Tensor, /, *, hermitian: bool = False, check: bool = True) -> Tensor:
    """Principal logarithm of a matrix, for torch to differentiate twice, also at repeated eigenvalues.

    Parameters
    ----------
    A : Tensor, shape (..., n, n)
        As for `arreig_torch.matrix_function`.
    hermitian, check : bool
        As for `arreig.logm`.

    Returns
    -------
    Tensor, shape (..., n, n)
        As `arreig.logm`.

    Raises
    ------
    InputError, NonFiniteError, DefectiveMatrixError, LostPrecisionError
        As for `arreig.logm` and its derivatives.
    ArreigError
        A third derivative.
    """
    return _value(A, *LOG, hermitian, check)
