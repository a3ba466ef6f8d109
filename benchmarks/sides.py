"""The sides of the comparison of speed: arreig in three libraries, what users would call otherwise, and the limit.

A side decomposes a batch of matrices and takes cotangents of w and V back to the matrices, in two calls that are timed apart.
The loss is sum_ij r_i |V_ij|^2 |w_j|^2, which depends on no phase (torch and JAX have no gradients of others) and on no order.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import autograd
import autograd.numpy
import jax
import numpy as np
import torch
from autograd.builtins import tuple as traced_tuple

import arreig
import arreig_jax
import arreig_torch

jax.config.update("jax_enable_x64", True)

Numbers = np.ndarray[Any, Any]
State = Any  # what a side keeps between the two calls


class Side(NamedTuple):
    """Each call is of the side's own arrays; results may be read when it returns (JAX's are waited for)."""

    take: Callable[[Numbers], Any]  # NumPy's array into its own
    forward: Callable[[Any], State]
    pair: Callable[[State], tuple[Any, Any]]  # w and V
    vjp: Callable[[State, Any, Any], Any] | None  # of gw and gV; None where there is no derivative
    conjugate: bool = False  # whether cotangents are the conjugates of arreig's
    exact: bool = True  # whether vjp returns the gradient, not only what costs as much


def cotangents(w: Any, V: Any, r: Any, conjugate: bool = False) -> tuple[Any, Any]:
    """gw and gV of the loss, for weights r (n, 1), in any library."""
    moduli = abs(w) ** 2
    gw, gV = 2 * w * (r * abs(V) ** 2).sum(-2), 2 * r * V * moduli[..., None, :]
    return (gw.conj(), gV.conj()) if conjugate else (gw, gV)


def _own() -> Side:
    return Side(lambda A: A, arreig.eig, tuple, lambda res, gw, gV: res.vjp(gV, gw))


def _of_torch(eig: Callable[[torch.Tensor], Any]) -> Side:
    def forward(A: torch.Tensor) -> State:
        A = A.detach().requires_grad_()
        return A, tuple(eig(A))

    def vjp(state: State, gw: Any, gV: Any) -> Any:
        A, outputs = state
        return torch.autograd.grad(outputs, A, (gw, gV), retain_graph=True)[0]

    return Side(torch.as_tensor, forward, lambda state: tuple(x.detach() for x in state[1]), vjp)


def _of_jax(eig: Callable[[Any], Any]) -> Side:
    forward = jax.jit(lambda A: jax.vjp(lambda X: tuple(eig(X)), A))
    pull = jax.jit(lambda pullback, gw, gV: pullback((gw, gV))[0])
    return Side(
        jax.numpy.asarray,
        lambda A: jax.block_until_ready(forward(A)),
        lambda state: state[0],
        lambda state, gw, gV: jax.block_until_ready(pull(state[1], gw, gV)),
        conjugate=True,
    )


def _of_autograd() -> Side:
    def forward(A: Numbers) -> State:
        return autograd.make_vjp(lambda X: traced_tuple(tuple(autograd.numpy.linalg.eig(X))))(A)

    return Side(lambda A: A, forward, lambda state: state[1], lambda state, gw, gV: state[0]((gw, gV)), conjugate=True)


def _limit() -> Side:
    """LAPACK's decomposition, and what the rule cannot do without: one LU factorisation with one solution, and three products.

    They are V^H gV, V^-H of that, the product with V^H, and the one of the residual check. No inverse: condition numbers of the
    eigenvalues, for what is refused, come on top. Of a real matrix all of it in real arithmetic.
    """

    def forward(A: Numbers) -> State:
        return A, np.linalg.eig(A)

    def vjp(state: State, gw: Numbers, gV: Numbers) -> Any:
        A, (_, V) = state
        basis = V if np.iscomplexobj(A) else V.real + V.imag
        G = gV if np.iscomplexobj(A) else gV.real
        left, transposed = basis.conj().mT, A.conj().mT
        Y = np.linalg.solve(left, left @ G)
        transposed @ Y
        return Y @ left

    return Side(lambda A: A, forward, lambda state: state[1], vjp, exact=False)


SIDES: Mapping[str, Callable[[], Side]] = {
    "arreig": _own,
    "arreig_torch": lambda: _of_torch(arreig_torch.eig),
    "arreig_jax": lambda: _of_jax(arreig_jax.eig),
    "torch": lambda: _of_torch(torch.linalg.eig),
    "jax": lambda: _of_jax(lambda A: jax.lax.linalg.eig(A, compute_left_eigenvectors=False, enable_eigvec_derivs=True)),
    "autograd": _of_autograd,
    "numpy": lambda: Side(lambda A: A, np.linalg.eig, tuple, None),
    "limit": _limit,
}
