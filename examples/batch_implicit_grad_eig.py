"""dL_b/dA_b for a batch of matrices A_b with one loss L_b(V_b) each: one decomposition, one vjp.

L_b depends on A_b alone, so with L = sum_b L_b the gradient gA = dL/dA holds dL_b/dA_b in member b. Every step of
`implicit_grad_eig` acts on the last two axes: A, V, gV, gA are all (..., n, n), and the batch gives what the loop over its
members gives. loss_function maps V (..., n, n) to the losses (...,), one a matrix; it must not mix members, or the loop
would be another problem.

In torch, `.backward()` of the sum and torch.func.vmap(torch.func.grad(.)) of one loss are the two ways to write it, and give
the same through arreig_torch.eig. Through torch.linalg.eig, `.backward()` refuses the batch for its complex pairs, without a
word on which member; torch.func leaves that check out, and what comes back for the same members is silently wrong.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from implicit_grad_eig import (
    Array,
    Loss,
    Tensor,
    decomposition,
    deviation,
    implicit_grad_eig,
    in_torch,
    lapack_eigenvectors,
    of_matrix,
    outcome,
    torch_eigenvectors,
    torch_grad_eig,
    where_installed,
)

from arreig.testing import finite_differences


def batch_implicit_grad_eig(
    A: Array, loss_function: Loss, *, gradient: Callable[[Array], Array] | None = None
) -> Array:
    """gA (..., n, n) of the losses ``loss_function(V)``: `implicit_grad_eig` as it stands, for it never loops over a batch."""
    return implicit_grad_eig(A, loss_function, gradient=gradient)


def loss(V: Any, weights: Any) -> Any:
    """L_b = sum_ij weights_bij |V_bij - 1|^2: a loss that depends on the phases, so it is one of the canonical gauge."""
    return (weights * abs(V - 1) ** 2).sum((-2, -1))


def loss_gradient(V: Array, weights: Array) -> Array:
    """gV = 2 weights (V - 1)."""
    gV: Array = 2 * weights * (V - 1)
    return gV


def loop(A: Array, weights: Array, *, analytic: bool) -> Array:
    """`implicit_grad_eig` of one matrix (n, n) after the other, each with its own loss."""
    members = []
    for A_b, weights_b in zip(A, weights, strict=True):
        gradient = partial(loss_gradient, weights=weights_b) if analytic else None
        members.append(implicit_grad_eig(A_b, partial(loss, weights=weights_b), gradient=gradient))
    return np.stack(members)


def problem() -> tuple[Array, Array]:
    """A and weights, (4, 3, 3): matrices with complex pairs and without in one batch."""
    A, weights = np.random.default_rng(16).standard_normal((2, 4, 3, 3))
    return A, weights


def mapped(A: Array, weights: Array, eigenvectors: Callable[[Tensor], Tensor]) -> Array:
    """gA by torch.func.vmap(torch.func.grad(.)) of the loss of one matrix."""
    import torch

    def loss_of_one(A_b: Tensor, weights_b: Tensor) -> Tensor:
        return loss(eigenvectors(A_b), weights_b)

    gA = torch.func.vmap(torch.func.grad(loss_of_one))(torch.tensor(A), torch.tensor(weights))
    return np.asarray(gA)


def torch_half() -> None:
    """The batch in torch, through arreig_torch.eig and through torch.linalg.eig."""
    A, weights = problem()
    reference, losses = loop(A, weights, analytic=True), in_torch(partial(loss, weights=weights))
    print("torch, from the loop over the members in NumPy, relative:")
    for name, eigenvectors in {"arreig_torch.eig": torch_eigenvectors, "torch.linalg.eig": lapack_eigenvectors}.items():
        print(f"  {name}")
        print(f"    losses.sum().backward()  {outcome(partial(torch_grad_eig, A, losses, eigenvectors), reference)}")
        print(f"    vmap(grad(loss))         {outcome(partial(mapped, A, weights, eigenvectors), reference)}")
    gA = mapped(A, weights, lapack_eigenvectors)
    for b, w in enumerate(decomposition(A).eigenvalues):
        pairs = "complex pair" if np.iscomplex(w).any() else "real"
        print(f"      A[{b}], {pairs:13}    {deviation(gA[b], reference[b]):.1e}")


def main() -> None:
    """Deviation of the batch from the loop, and of each member from finite differences of every entry."""
    A, weights = problem()
    loss_function, gradient = partial(loss, weights=weights), partial(loss_gradient, weights=weights)
    gA = batch_implicit_grad_eig(A, loss_function)
    gA_analytic = batch_implicit_grad_eig(A, loss_function, gradient=gradient)
    reference = finite_differences(of_matrix(loss_function), A)

    print(f"A {A.shape}, losses {loss_function(decomposition(A).eigenvectors).shape}, gA {gA.shape}")
    print("batch from the loop over its members, relative:")
    print(f"  gV from differences of the loss  {deviation(gA, loop(A, weights, analytic=False)):.1e}")
    print(f"  gV = 2 weights (V - 1)           {deviation(gA_analytic, loop(A, weights, analytic=True)):.1e}")
    print("members from finite differences of all entries, relative:")
    for b, w in enumerate(decomposition(A).eigenvalues):
        pairs = "complex pair" if np.iscomplex(w).any() else "real"
        print(f"  A[{b}], {pairs:13} {deviation(gA[b], reference[b]):.1e}")
    where_installed(torch_half)


if __name__ == "__main__":
    main()
