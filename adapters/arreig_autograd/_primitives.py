"""autograd's side of every function: what it records, and how derivatives reach arreig's rules.

`decompose` makes of the matrices a `Solution`: the results, and the rules of the eigensystem that they came from, so that no
derivative decomposes again. It is the value of autograd's node, not a state of the primitive. `take` picks a result. The
cotangents of all results that were used meet on their way back, and one call of `pull` makes gradients of them; in forward mode
one call of `push` makes tangents of the results. A result that was not used has no cotangent, rather than a zero one: for that
arreig has rules of its own, and refuses less.

`push` and `pull` are linear in their second argument, and adjoint to each other. By the first, the solution, a derivative would
be a second one, of rules that autograd cannot trace. It comes first so that its refusal does, before what a rule would say.
"""

from collections.abc import Callable
from typing import Any, NoReturn, Self

import autograd.numpy as np
from autograd.core import defjvp_argnums, defvjp_argnums, sum_outgrads
from autograd.extend import Box, VSpace, defjvp, defvjp, primitive
from autograd.tracer import getval

from arreig import ArreigError, InputTypeError
from arreig._types import Array


class Parts(tuple[Any, ...]):
    """Arrays that belong together, such as the cotangents of w and V; None for one that there is not."""


class Solution(Parts):
    """The results of a function, in the order of the arguments of `vjp` and the results of `jvp`."""

    vjp: Callable[..., Any]  # cotangents, in arreig's convention, to gA or (gA, gB)
    jvp: Callable[..., Any]  # dA, with a second matrix also dB, to the tangents of the results

    @classmethod
    def of(cls, results: tuple[Array, ...], vjp: Callable[..., Any], jvp: Callable[..., Any]) -> Self:
        """Results and the rules of their eigensystem."""
        solution = cls(results)
        solution.vjp, solution.jvp = vjp, jvp
        return solution


class _PartsBox(Box):  # type: ignore[misc]
    __slots__ = ()

    def __len__(self) -> int:
        return len(self._value)


class _PartsSpace(VSpace):  # type: ignore[misc]
    def _add(self, xs: Parts, ys: Parts) -> Parts:
        return Parts(y if x is None else x if y is None else x + y for x, y in zip(xs, ys, strict=True))

    _mut_add = _add  # in place it would change a cotangent that another node has as well


for _kind in (Parts, Solution):
    _PartsBox.register(_kind)
    _PartsSpace.register(_kind)


def _tuple(x: Any) -> tuple[Any, ...]:
    return x if isinstance(x, tuple) else (x,)


def _decompose(A: Array, B: Array | None, solve: Callable[..., Solution]) -> Solution:
    return solve(A) if B is None else solve(A, B)


def _take(parts: Parts, k: int) -> Array:
    return parts[k]


def _put(x: Array, k: int, n: int) -> Parts:
    """x as the k-th of n parts, the only one that there is."""
    return Parts(x if j == k else None for j in range(n))


def _pull(solution: Solution, cotangents: Parts) -> Parts:
    """gA and, with a second matrix, gB; autograd's convention is the conjugate of arreig's."""
    arreigs = (
        # of a real x only Re g counts, and some of autograd's rules (of where, concatenate, solve) leave the rest in
        None if g is None else np.conj(g if np.iscomplexobj(x) else np.real(g))
        for g, x in zip(cotangents, solution, strict=True)
    )
    return Parts(map(np.conj, _tuple(solution.vjp(*arreigs))))


def _push(solution: Solution, tangents: Parts) -> Parts:
    """The tangents of the results."""
    dA, *dB = tangents
    if dA is None:
        dA = np.zeros_like(np.real(dB[0]))
    return Parts(_tuple(solution.jvp(dA, *dB)))


decompose, take, put, pull, push = map(primitive, (_decompose, _take, _put, _pull, _push))


def _refuse(*_: Any) -> NoReturn:
    raise ArreigError(
        "arreig_autograd has first derivatives, and this would be a second one, for which autograd would have to trace arreig's "
        "rules. arreig_torch and arreig_jax have second derivatives; or take differences of first ones"
    )


def _decompose_vjp(argnums: tuple[int, ...], solution: Any, args: Any, kwargs: Any) -> Callable[[Any], list[Any]]:
    def vjp(cotangents: Any) -> list[Any]:
        gradients = pull(solution, cotangents)
        return [take(gradients, k) for k in argnums]

    return vjp


def _decompose_jvp(argnums: tuple[int, ...], gs: Any, solution: Any, args: Any, kwargs: Any) -> Any:
    n = 1 if args[1] is None else 2
    return push(solution, sum_outgrads(put(g, k, n) for k, g in zip(argnums, gs, strict=True)))


defvjp_argnums(decompose, _decompose_vjp)
defjvp_argnums(decompose, _decompose_jvp)
defvjp(take, lambda ans, parts, k: lambda g: put(g, k, len(parts)))
defjvp(take, lambda d, ans, parts, k: take(d, k))
defvjp(put, lambda ans, x, k, n: lambda g: take(g, k))
defjvp(put, lambda d, ans, x, k, n: put(d, k, n))
for _linear, _adjoint in ((pull, push), (push, pull)):
    defvjp(_linear, lambda *_: _refuse, lambda ans, solution, x, adjoint=_adjoint: lambda g: adjoint(solution, g))
    defjvp(_linear, _refuse, lambda dx, ans, solution, x, linear=_linear: linear(solution, dx))


def _admit(name: str, X: Array) -> None:
    value = getval(X)
    if not isinstance(value, np.ndarray):
        raise InputTypeError(
            f"{name} must be a NumPy array or autograd's box of one, got {type(value).__name__}; for arrays of other libraries "
            f"use arreig"
        )
    if value.dtype == object:
        raise InputTypeError(
            f"{name} must be an array of numbers, got one of dtype object, such as numpy.array makes of autograd's boxes; make "
            f"it with autograd.numpy.array"
        )


def solved(solve: Callable[..., Solution], A: Array, B: Array | None = None) -> tuple[Array, ...]:
    """The results that solve makes of A, or of A and B, for autograd to differentiate."""
    _admit("A", A)
    if B is not None:
        _admit("B", B)
    solution = decompose(A, B, solve)
    return tuple(take(solution, k) for k in range(len(solution)))
