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
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import arreig
from arreig.testing import directional_difference, finite_differences

Array: TypeAlias = NDArray[Any]
Loss: TypeAlias = Callable[[Array], Any]  # (..., n, n) -> real (...), one number a matrix


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


def problems() -> dict[str, tuple[Array, Loss]]:
    """Matrices with a loss: a real spectrum and a loss on V.real, and complex pairs and a loss on all of V."""
    rng = np.random.default_rng(2)
    weights, S = rng.standard_normal((2, 4, 4))
    real_spectrum = S @ np.diag([3.0, 2.0, 1.0, -1.0]) @ np.linalg.inv(S)
    complex_pairs = rng.standard_normal((4, 4))
    target = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    return {
        "real spectrum, L = sum(weights * V.real**2)": (real_spectrum, lambda V: np.sum(weights * V.real**2)),
        "complex pairs, L = sum(weights * abs(V - target)**2)": (
            complex_pairs,
            lambda V: np.sum(weights * np.abs(V - target) ** 2),
        ),
    }


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


if __name__ == "__main__":
    main()
