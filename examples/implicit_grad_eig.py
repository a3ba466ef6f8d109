"""dL/dA of any loss L(V) on eigenvectors, by implicit differentiation of A V = V diag(w).

Column j:  A v_j = w_j v_j  gives

    (A - w_j I) dv_j - v_j dw_j = -dA v_j                                                        (1)

A - w_j I is singular, and dv_j is determined up to a multiple of v_j. The gauge says which: for norm 1 and a real positive
largest component v_kj (arreig's canonical gauge) it gives two real conditions,

    Re(v_j^H dv_j) = 0,     Im(dv_kj) = 0.                                                       (2)

(1) and (2) are 2n + 2 real equations for the real and imaginary parts x_j = (Re dv_j, Im dv_j, Re dw_j, Im dw_j):
K_j x_j = b_j, b_j = (-Re dA v_j, -Im dA v_j, 0, 0). K_j is regular where w_j is a simple eigenvalue.

Gradient: with dL = sum_j Re(gv_j^H dv_j) = sum_j g_j^T x_j, g_j = (Re gv_j, Im gv_j, 0, 0), solve the transposed system,

    K_j^T y_j = g_j,   u_j = y_j[:n] + i y_j[n:2n]:     g_j^T x_j = y_j^T b_j = -Re(u_j^H dA v_j) = Re tr((-u_j v_j^H)^H dA)

so gA = -sum_j u_j v_j^H, of which a real A takes the real part. arreig computes the same from one factorisation of V.

The widely copied system A - diag(w) is another one: column j of A dV - dV diag(w) is (A - w_j I) dv_j, whereas diag(w) dV
scales the rows of dV. And no check along the identity finds that: A + t I has the eigenvectors of A for every t.

In torch, `.backward()` of the same loss on V = arreig_torch.eig(A).eigenvectors is all there is to do: torch's gV is the one
above, and so is gA. torch.linalg.eig has the same vectors for a real A, up to order and sign, as LAPACK makes the largest
component real. But its backward takes the phase as open: it refuses a loss with Im(v_j^H gv_j) above 0.01 for some j.
"""

from collections.abc import Callable
from functools import partial
from textwrap import shorten
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import arreig
from arreig.testing import directional_difference, finite_differences

Array: TypeAlias = NDArray[Any]
Tensor: TypeAlias = Any  # torch.Tensor; torch may be missing
Loss: TypeAlias = Callable[[Any], Any]  # arrays or tensors, (..., n, n) -> real (...), one number a matrix


def decomposition(A: Array) -> arreig.EigResult:
    """w, V in the canonical gauge, ordered by the real part, so that column j means one eigenvector for all A nearby."""
    return arreig.eig(A, sort="real")


def of_matrix(loss_function: Loss) -> Loss:
    """A -> L(V(A)), for finite differences."""
    return lambda A: loss_function(decomposition(A).eigenvectors)


def implicit_grad_eig(A: Array, loss_function: Loss, *, gradient: Callable[[Array], Array] | None = None) -> Array:
    """gA of ``loss_function(V)``, with gV = ``gradient(V)``, or from differences of the loss, without an eigenproblem."""
    res = decomposition(A)
    V = res.eigenvectors
    gV = finite_differences(loss_function, V) if gradient is None else gradient(V)
    gA: Array = res.vjp(gV)
    return gA


def by_hand(A: Array, gV: Array) -> Array:
    """gA = -sum_j u_j v_j^H: equations (1) and (2), one real system of size 2n + 2 for each eigenpair."""
    w, V = decomposition(A)
    n = len(w)
    gA = np.zeros((n, n), dtype=complex)
    for j in range(n):
        v = V[:, j]
        k = np.abs(v).argmax()
        B = np.column_stack([A - w[j] * np.eye(n), -v])  # (1): B (dv, dw)
        K = np.zeros((2 * n + 2, 2 * n + 2))
        re, im = np.r_[0:n, 2 * n], np.r_[n : 2 * n, 2 * n + 1]  # where x holds Re (dv, dw) and Im (dv, dw)
        K[:n, re], K[:n, im] = B.real, -B.imag
        K[n : 2 * n, re], K[n : 2 * n, im] = B.imag, B.real
        K[2 * n, : 2 * n] = np.r_[v.real, v.imag]  # (2): Re(v^H dv)
        K[2 * n + 1, n + k] = 1  # (2): Im(dv_k)
        y = np.linalg.solve(K.T, np.r_[gV[:, j].real, gV[:, j].imag, 0, 0])
        gA -= np.outer(y[:n] + 1j * y[n : 2 * n], v.conj())
    return gA if np.iscomplexobj(A) else gA.real


def web_version(A: Array, gV: Array) -> Array:
    """WRONG, for comparison: (A - diag(w)) dV = -dA V, read in its favour, as its adjoint is taken correctly."""
    w, V = decomposition(A)
    gA: Array = -np.linalg.solve((A - np.diag(w)).conj().T, gV) @ V.conj().T
    return gA if np.iscomplexobj(A) else gA.real


def deviation(g: Array, reference: Array) -> float:
    """Largest difference of all entries, relative to the largest entry."""
    return float(np.abs(g - reference).max() / np.abs(reference).max())


def loss_of_real_part(V: Any, weights: Any) -> Any:
    """sum(weights * V.real**2), of arrays or tensors."""
    return (weights * V.real**2).sum((-2, -1))


def loss_of_distance(V: Any, weights: Any, target: Any) -> Any:
    """sum(weights * abs(V - target)**2), of arrays or tensors."""
    return (weights * abs(V - target) ** 2).sum((-2, -1))


def problems() -> dict[str, tuple[Array, "partial[Any]"]]:
    """Matrices with a loss: a real spectrum and a loss on V.real, and complex pairs and a loss on all of V."""
    rng = np.random.default_rng(2)
    weights, S = rng.standard_normal((2, 4, 4))
    real_spectrum = S @ np.diag([3.0, 2.0, 1.0, -1.0]) @ np.linalg.inv(S)
    complex_pairs = rng.standard_normal((4, 4))
    target = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    return {
        "real spectrum, L = sum(weights * V.real**2)": (
            real_spectrum,
            partial(loss_of_real_part, weights=weights),
        ),
        "complex pairs, L = sum(weights * abs(V - target)**2)": (
            complex_pairs,
            partial(loss_of_distance, weights=weights, target=target),
        ),
    }


def torch_eigenvectors(A: Tensor, *, gauge: Literal["canonical", "phase-free"] = "canonical") -> Tensor:
    """V of `decomposition`, with its gradient."""
    import arreig_torch

    return arreig_torch.eig(A, gauge=gauge, sort="real").eigenvectors


def lapack_eigenvectors(A: Tensor) -> Tensor:
    """The same V from torch.linalg.eig: ordered by the real part, and the largest component, real for a real A, positive."""
    import torch

    w, V = torch.linalg.eig(A)
    V = V.take_along_dim(w.real.argsort(descending=True, stable=True)[..., None, :], -1)
    return V * V.take_along_dim(abs(V).argmax(-2, keepdim=True), -2).real.sign()


def torch_grad_eig(A: Array, loss_function: Loss, eigenvectors: Callable[[Tensor], Tensor]) -> Array:
    """`implicit_grad_eig` in torch: the sum of all losses, `.backward()`."""
    import torch

    leaf = torch.tensor(A, requires_grad=True)
    loss_function(eigenvectors(leaf)).sum().backward()
    return np.asarray(leaf.grad)


def in_torch(loss_function: "partial[Any]") -> "partial[Any]":
    """The loss with tensors for its weights and target."""
    import torch

    return partial(loss_function.func, **{name: torch.tensor(x) for name, x in loss_function.keywords.items()})


def outcome(gradient: Callable[[], Any], reference: Array) -> str:
    """Deviation of the gradient from the reference, or the error in its place, and how its message begins."""
    try:
        return f"{deviation(np.asarray(gradient()), reference):.1e}"
    except (RuntimeError, arreig.ArreigError) as refusal:
        return shorten(f"{type(refusal).__name__}: {refusal}", 90, placeholder=" ...")


def where_installed(torch_half: Callable[[], None]) -> None:
    """Run the torch half, or say why not."""
    try:
        import arreig_torch  # noqa: F401
    except ImportError as error:
        print(f"The torch half is left out: {error}")
    else:
        torch_half()


def torch_half() -> None:
    """`.backward()` of the same losses, through arreig_torch.eig and through torch.linalg.eig."""
    import torch

    print("torch: deviation of .backward() from implicit_grad_eig, relative")
    for name, (A, loss_function) in problems().items():
        gA, loss = implicit_grad_eig(A, loss_function), in_torch(loss_function)
        V = decomposition(A).eigenvectors
        plain = partial(torch_grad_eig, A, loss, lapack_eigenvectors)
        print(f"  {name}")
        print(f"    arreig_torch.eig      {outcome(partial(torch_grad_eig, A, loss, torch_eigenvectors), gA)}")
        print(f"    torch.linalg.eig      {outcome(plain, gA)}")
        print(f"      its V from arreig's {deviation(lapack_eigenvectors(torch.tensor(A)).numpy(), V):.1e}")


def main() -> None:
    """Deviation of three gradients from finite differences of every entry, and the check that finds nothing."""
    for name, (A, loss_function) in problems().items():
        L, (w, V) = of_matrix(loss_function), decomposition(A)
        gV = finite_differences(loss_function, V)
        gradients = {
            "implicit_grad_eig": implicit_grad_eig(A, loss_function),
            "by_hand": by_hand(A, gV),
            "web_version (wrong)": web_version(A, gV),
        }
        reference = finite_differences(L, A)
        print(f"{name}\n  w = {np.round(w, 3)}")
        print("  largest deviation from finite differences of all entries, relative:")
        for method, gA in gradients.items():
            print(f"    {method:22}{deviation(gA, reference):.1e}")
        print("  a check along the identity: A + t I keeps the eigenvectors, so gA = 0 would pass it")
        print(f"    dL/dt by differences  {directional_difference(L, A, np.eye(len(A))):+.1e}")
        print(f"    tr gA                 {np.trace(gradients['implicit_grad_eig']):+.1e}\n")
    where_installed(torch_half)


if __name__ == "__main__":
    main()
