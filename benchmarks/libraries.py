"""Gradients as each library takes them, of one loss through w and V written once for all."""

import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import torch

import arreig
import arreig_torch
from arreig.testing import matching
from benchmarks.exact import POLE, Complexes, Floats

jax.config.update("jax_enable_x64", True)

Decompose = Callable[[torch.Tensor], Any]
Loss = Callable[[Any, Any, Any, Any], Any]  # of (xp, w, V, C)
REFUSED = "refused"

_FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "expm": lambda xp, w: xp.exp(w),
    "sqrtm": lambda xp, w: xp.sqrt(w),
    "resolvent": lambda xp, w: 1 / (w - POLE),
}


def _smooth(function: str) -> Loss:
    def loss(xp: Any, w: Any, V: Any, C: Any) -> Any:
        V = V + 0j  # eigh's is real
        return xp.trace((C + 0j) @ (V * _FUNCTIONS[function](xp, w)) @ xp.linalg.inv(V)).real

    return loss


def ill_defined(xp: Any, w: Any, V: Any, C: Any) -> Any:
    """sum_ij C_ij |V_ij|^2, which depends on single eigenvectors."""
    return (C * abs(V) ** 2).sum()


SMOOTH = {name: _smooth(name) for name in _FUNCTIONS}  # Re tr(C f(A))


def own(degeneracy: Any = "raise", **options: Any) -> Decompose:
    """arreig's, for losses that depend on no phase."""
    return lambda A: arreig_torch.eig(A, gauge="phase-free", degeneracy=degeneracy, **options)


def _of_torchs_own(problem: RuntimeError) -> str:
    """An inverse that does not exist, or a loss that torch takes for one on phases; anything else is a mistake here."""
    if not any(reason in str(problem) for reason in ("singular", "ill-defined")):
        raise problem
    return "error"


def of_torch(decompose: Decompose, loss: Loss, A: Floats, C: Floats) -> Floats | str:
    """The gradient, or that there is none: "refused" by arreig, or an "error" of torch's."""
    tracked = torch.tensor(A, requires_grad=True)
    try:
        w, V = decompose(tracked)
        loss(torch, w, V, torch.tensor(C)).backward()
    except arreig.ArreigError:
        return REFUSED
    except RuntimeError as problem:
        return _of_torchs_own(problem)
    assert tracked.grad is not None
    return np.asarray(tracked.grad)


def _jax_eig(A: Any) -> Any:
    return jax.lax.linalg.eig(A, compute_left_eigenvectors=False, enable_eigvec_derivs=True)


_of_jax = jax.jit(jax.grad(lambda A, C, loss: loss(jnp, *_jax_eig(A), C)), static_argnums=2)


def of_jax(loss: Loss, A: Floats, C: Floats) -> Floats:
    """The same, by JAX."""
    return np.asarray(_of_jax(jnp.asarray(A), jnp.asarray(C), loss))


def error(gA: Floats | str, exact: Floats) -> float | str:
    """The largest error, relative to the largest entry."""
    return gA if isinstance(gA, str) else float(np.abs(gA - exact).max() / np.abs(exact).max())


def _order(w: Any, exact: Complexes) -> Any:
    """For each of a library's eigenvalues the exact one that is nearest."""
    order = matching(exact, w)
    if len(set(order.tolist())) < len(order):
        raise ArithmeticError("Two eigenvalues have the same nearest exact one")
    return order


def pair_losses(w: Any, V: Any, r: Any, a: Any) -> Any:
    """L_j = sum_i r_ij |V_ij|^2 + a_j |w_j|^2, one loss an eigenpair."""
    return (r * abs(V) ** 2).sum(0) + a * abs(w) ** 2


def pairs_of_torch(decompose: Decompose, A: Floats, r: Floats, a: Floats, exact: Complexes) -> tuple[Any, Complexes]:
    """The exact eigenpair that each of the library's is, and its gradient, NaN where refused; A as a complex matrix."""
    tracked = torch.tensor(A, dtype=torch.complex128, requires_grad=True)
    w, V = decompose(tracked)
    order = _order(w.detach().numpy(), exact)
    losses = pair_losses(w, V, torch.tensor(r[:, order]), torch.tensor(a[order]))
    G = np.full((len(A), *A.shape), np.nan + 0j)
    for j, loss in enumerate(losses):
        try:
            G[j] = torch.autograd.grad(loss, tracked, retain_graph=True)[0].numpy()
        except arreig.ArreigError:
            continue
        except RuntimeError as problem:
            _of_torchs_own(problem)
    return order, G


def pairs_of_jax(A: Floats, r: Floats, a: Floats, exact: Complexes) -> tuple[Any, Complexes]:
    """The same, by JAX, whose complex gradients are the conjugates of torch's."""
    X = jnp.asarray(A, dtype=jnp.complex128)
    order = _order(np.asarray(_jax_eig(X)[0]), exact)

    def losses(X: Any) -> Any:
        w, V = _jax_eig(X)
        return pair_losses(w, V, r[:, order], a[order])

    _, pullback = jax.vjp(losses, X)
    return order, np.conj(np.array([pullback(e)[0] for e in jnp.eye(len(A))]))
