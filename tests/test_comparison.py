"""torch's and JAX's own gradients beside arreig's: where they agree, and every statement of the README's comparison."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy.linalg import expm
from torch.func import grad, jacrev, vmap

import arreig
import arreig_torch
from arreig.testing import finite_differences, host

N = 50


def matrix(dtype: str, n: int = N, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    return A + 1j * rng.standard_normal((n, n)) if dtype == "complex128" else A


def weights(n: int = N) -> Any:
    return np.random.default_rng(9).standard_normal((2, n, n))


def invariant(xp: Any, w: Any, V: Any) -> Any:
    """Of eigenvalues, of moduli and of phase differences within each vector: no loss on phases, whatever their gauge.

    Sums over all eigenpairs, weighted by functions of w, because libraries may return them in different orders.
    """
    a, b = (xp.asarray(x) for x in weights(V.shape[-1]))
    moduli = (a @ (xp.abs(V) ** 2)) ** 2
    relative = ((b * 1j) * (V[..., :, None, :] * V.conj()[..., None, :, :]).sum(-1)).real
    return (xp.abs(w) ** 2).sum() + (moduli * xp.abs(w)).sum() + relative.sum()


def of_torch(decompose: Callable[..., Any], A: Any) -> Any:
    A = torch.tensor(A, requires_grad=True)
    invariant(torch, *decompose(A)).backward()
    assert A.grad is not None
    return host(A.grad)


def of_jax(A: Any, loss: Callable[..., Any] = invariant) -> Any:
    def f(A: Any) -> Any:
        w, V = jax.lax.linalg.eig(A, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
        return loss(jnp, w, V)

    return np.conj(host(jax.grad(f)(jnp.asarray(A))))  # JAX's convention for complex gradients


def relative(gA: Any, reference: Any) -> float:
    return float(np.linalg.norm(gA - reference) / np.linalg.norm(reference))


@pytest.mark.parametrize("gauge", ["canonical", "phase-free"])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_same_gradient_of_an_invariant_loss(dtype: str, gauge: Any) -> None:
    A = matrix(dtype)
    own = of_torch(lambda A: arreig_torch.eig(A, gauge=gauge), A)
    assert relative(own, of_torch(torch.linalg.eig, A)) < 1e-10
    assert relative(own, of_jax(A)) < 1e-10


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_the_same_gradient_for_hermitian_matrices(dtype: str) -> None:
    A = matrix(dtype)
    A = A + A.conj().T
    own = of_torch(lambda A: arreig_torch.eigh(A), A)

    def jax_loss(A: Any) -> Any:
        return invariant(jnp, *jnp.linalg.eigh(A))

    assert relative(own, of_torch(torch.linalg.eigh, A)) < 1e-10
    assert relative(own, np.conj(host(jax.grad(jax_loss)(jnp.asarray(A))))) < 1e-10


def test_jax_fixes_the_same_gauge_up_to_signs() -> None:
    """The opt-in of jax.lax.linalg.eig holds LAPACK's normalisation: norm 1, the largest component real, of either sign."""
    A = matrix("complex128")
    a = weights()[0] + 0j

    def depends_on_phase(xp: Any, w: Any, V: Any) -> Any:
        return ((xp.asarray(a) @ V**2) * w).sum().real

    tracked = torch.tensor(A, requires_grad=True)
    depends_on_phase(torch, *arreig_torch.eig(tracked)).backward()
    assert relative(host(tracked.grad), of_jax(A, depends_on_phase)) < 1e-10


PAIR = np.random.default_rng(1).standard_normal((3, 3))  # with a complex pair
PHASED = np.array([[1.0], [0.0], [2.0]])


def naive(decompose: Callable[..., Any], scale: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    """Re sum_ij PHASED_i V_ij^2, which depends on the phases of the pair's eigenvectors, but not on signs."""

    def loss(A: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = scale * (torch.as_tensor(PHASED) * decompose(A)[1] ** 2).sum().real
        return total

    return loss


def backward(loss: Callable[[torch.Tensor], torch.Tensor], A: Any) -> Any:
    A = torch.as_tensor(A).clone().requires_grad_()
    loss(A).backward()
    return host(A.grad)


def test_torch_refuses_by_the_size_of_the_loss() -> None:
    reference = finite_differences(lambda A: (PHASED * np.linalg.eig(A)[1] ** 2).sum().real, PAIR)  # LAPACK's phases
    with pytest.raises(
        RuntimeError, match="The specified loss function depends on this quantity, so it is ill-defined"
    ):
        backward(naive(torch.linalg.eig), PAIR)
    accepted = backward(naive(torch.linalg.eig, 1e-3), PAIR)
    assert relative(accepted, 1e-3 * reference) > 0.4
    for scale in (1, 1e-3):
        assert relative(backward(naive(arreig_torch.eig, scale), PAIR), scale * reference) < 1e-8
        with pytest.raises(arreig.GaugeDependentLossError):
            backward(naive(lambda A: arreig_torch.eig(A, gauge="phase-free"), scale), PAIR)


def test_torch_does_not_check_under_torch_func() -> None:
    A = torch.tensor(PAIR)
    reference = backward(naive(arreig_torch.eig), PAIR)
    loss = naive(torch.linalg.eig)
    tracked = A.clone().requires_grad_()
    batched = torch.autograd.grad(loss(tracked), tracked, torch.ones(1, dtype=A.dtype), is_grads_batched=True)
    for gA in (grad(loss)(A), vmap(grad(loss))(A[None])[0], jacrev(loss)(A), batched[0][0]):
        assert relative(host(gA), reference) > 0.4
    own = naive(arreig_torch.eig)
    for gA in (grad(own)(A), vmap(grad(own))(A[None])[0], jacrev(own)(A)):
        assert relative(host(gA), reference) < 1e-12


def test_torch_refuses_an_invariant_loss_that_is_large() -> None:
    A = torch.tensor(matrix("complex128", 8), dtype=torch.complex64)
    a = torch.tensor(weights(8)[0], dtype=torch.float32)

    def loss(decompose: Callable[..., Any]) -> Callable[[torch.Tensor], torch.Tensor]:
        return lambda A: 1e6 * (a * decompose(A)[1].abs() ** 2).sum()

    with pytest.raises(RuntimeError, match="ill-defined"):
        backward(loss(torch.linalg.eig), A)
    own = backward(loss(lambda A: arreig_torch.eig(A, gauge="phase-free")), A)
    assert relative(own, backward(loss(torch.linalg.eig), A.to(torch.complex128))) < 1e-4


def exponential(xp: Any, w: Any, V: Any, C: Any = None) -> Any:
    """tr C exp(A) written through eigenvectors: its gradient exists everywhere."""
    exp = (V * xp.exp(w)) @ xp.linalg.inv(V)
    return xp.trace(exp if C is None else xp.asarray(C + 0j) @ exp).real


def projector(xp: Any, w: Any, V: Any) -> Any:
    """A loss on the projector onto the first two eigenvectors of a symmetric matrix."""
    P = V[:, :2] @ V[:, :2].T
    return (xp.asarray(weights(3)[0]) * P).sum()


def test_at_the_identity() -> None:
    I3 = np.eye(3)
    assert np.isnan(backward(lambda A: exponential(torch, *torch.linalg.eig(A)), I3)).all()
    assert np.isnan(of_jax(I3, exponential)).all()
    own = backward(lambda A: exponential(torch, *arreig_torch.eig(A)), I3)
    np.testing.assert_allclose(own, np.e * I3, rtol=1e-14)  # exact, as the cotangent of V = I vanishes; elsewhere:
    P, C = (np.random.default_rng(2).standard_normal((4, 4)) for _ in range(2))
    A = P @ np.diag([1.0, 1.0, 3.0, 2.0]) @ np.linalg.inv(P)
    reference = finite_differences(lambda A: np.trace(C @ expm(A)), A)
    theirs = backward(lambda A: exponential(torch, *torch.linalg.eig(A), C), A)
    # how wrong is a matter of rounding: 13 and 0.03 were seen for torch, 0.38 for JAX
    assert relative(theirs, reference) > 1e-3
    assert relative(of_jax(A, lambda xp, w, V: exponential(xp, w, V, C)), reference) > 1e-3
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="are numerically equal"):
        backward(lambda A: exponential(torch, *arreig_torch.eig(A), C), A)
    # eigenvalues alone are no problem to anyone
    for decompose in (torch.linalg.eigvals, arreig_torch.eigvals):
        np.testing.assert_allclose(backward(lambda A, f=decompose: f(A).sum().real, I3), I3)


def test_a_projector_at_a_repeated_eigenvalue() -> None:
    A = np.diag([1.0, 1.0, 3.0])
    assert np.isnan(backward(lambda A: projector(torch, *torch.linalg.eigh(A)), A)).any()
    assert np.isnan(host(jax.grad(lambda A: projector(jnp, *jnp.linalg.eigh(A)))(jnp.asarray(A)))).any()
    own = backward(lambda A: projector(torch, *arreig_torch.eigh(A, degeneracy="mask")), A)
    loss = lambda A: np.array(projector(np, *np.linalg.eigh(A)))
    np.testing.assert_allclose(own, finite_differences(loss, A, hermitian=True), atol=1e-9)


def test_jax_refuses_eigenvectors_without_the_flag() -> None:
    A = jnp.asarray(PAIR)
    with pytest.raises(NotImplementedError, match="enable_eigvec_derivs"):
        jax.grad(lambda A: jnp.abs(jnp.linalg.eig(A)[1]).sum())(A)
    with pytest.raises(NotImplementedError, match="enable_eigvec_derivs"):  # of eigenvalues taken from eig, too
        jax.grad(lambda A: jnp.abs(jnp.linalg.eig(A)[0]).sum())(A)
    assert jnp.isfinite(jax.grad(lambda A: jnp.abs(jnp.linalg.eigvals(A)).sum())(A)).all()
