"""arreig_torch.spectral_projector and invariant_subspace: every order of derivative, torch's transforms and modes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, vmap

import arreig
import arreig_torch
from arreig.testing import finite_differences


def matrix(*batch: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Two eigenvalues near 6, two near 1, of which two are conjugate."""
    near = torch.tensor([[6.0, 1, 0, 0], [-1, 6, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.5]], dtype=dtype)
    return near + 0.3 * torch.randn(*batch, 4, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))


def large(w: torch.Tensor) -> torch.Tensor:
    return w.real > 3.5


def range_projector(A: torch.Tensor, select: Any, **options: Any) -> torch.Tensor:
    Q = arreig_torch.invariant_subspace(A, select, **options)
    return Q @ Q.mH


FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "spectral_projector": arreig_torch.spectral_projector,
    "invariant_subspace": range_projector,
}


def upper(w: torch.Tensor) -> torch.Tensor:
    return w.imag > 0.1


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("dtype", "select", "expected"),
    [
        (torch.float64, large, torch.float64),
        (torch.float64, 2, torch.float64),
        (torch.float64, upper, torch.complex128),  # it parts a conjugate pair
        (torch.complex128, large, torch.complex128),
        (torch.complex128, 2, torch.complex128),
    ],
    ids=["function", "count", "parted", "complex, function", "complex, count"],
)
@pytest.mark.parametrize("batch", [(), (2,)], ids=str)
def test_gradcheck(
    batch: tuple[int, ...], dtype: torch.dtype, select: Any, expected: torch.dtype, function: str
) -> None:
    A = matrix(*batch, dtype=dtype).requires_grad_()

    def f(A: torch.Tensor) -> torch.Tensor:
        return FUNCTIONS[function](A, select)

    assert f(A).dtype == expected
    assert gradcheck(f, A, check_forward_ad=True, check_undefined_grad=True)
    assert gradgradcheck(f, A, check_fwd_over_rev=True)


def jordan() -> np.ndarray[Any, Any]:
    X = np.eye(6) + 0.2 * np.random.default_rng(0).standard_normal((6, 6))
    J = np.kron(np.diag([1.0, 4.0]), np.eye(3)) + np.kron(np.eye(2), np.eye(3, k=1))
    return np.asarray(X @ J @ np.linalg.inv(X))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_derivatives_at_jordan_blocks(function: str) -> None:
    """Two exact blocks of 3: gradient to 1e-8, Hessian to 1e-7, against differences of values and of gradients."""
    A = jordan()
    C = torch.as_tensor(np.random.default_rng(1).standard_normal((6, 6)))

    def loss(A: torch.Tensor) -> torch.Tensor:
        return (C * FUNCTIONS[function](A, lambda w: w.real < 2.5)).sum()

    def value(A: np.ndarray[Any, Any]) -> float:
        return float(loss(torch.as_tensor(A)))

    gradient = grad(loss)(torch.as_tensor(A))
    expected = finite_differences(value, A)
    np.testing.assert_allclose(gradient, expected, atol=1e-8 * np.abs(expected).max())

    H = hessian(loss)(torch.as_tensor(A))
    G = torch.as_tensor(np.random.default_rng(2).standard_normal((6, 6)))
    expected = finite_differences(lambda A: float((G * grad(loss)(torch.as_tensor(A))).sum()), A)
    along = torch.einsum("ij,ijkl->kl", G, H)
    np.testing.assert_allclose(along, expected, atol=1e-7 * np.abs(expected).max())
    torch.testing.assert_close(jacrev(jacrev(loss))(torch.as_tensor(A)), H, rtol=1e-9, atol=1e-9 * float(H.abs().max()))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_third_derivative(function: str) -> None:
    A, C = matrix(), torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def along(t: torch.Tensor) -> torch.Tensor:
        return (C * FUNCTIONS[function](A + t * C, 2)).sum()

    third = grad(grad(grad(along)))
    h, t = 1e-3, torch.tensor(0.0, dtype=torch.float64)
    second = grad(grad(along))
    expected = (8 * (second(t + h) - second(t - h)) - (second(t + 2 * h) - second(t - 2 * h))) / (12 * h)
    torch.testing.assert_close(third(t), expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_transforms(function: str) -> None:
    """vmap around and inside of derivatives; a selecting function sees the eigenvalues of one matrix."""
    A = matrix(3)
    C = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def larger_half(w: torch.Tensor) -> torch.Tensor:
        assert w.shape == (4,)
        return w.real > w.real.mean()

    for select in (2, larger_half):

        def loss(A: torch.Tensor, select: Any = select) -> torch.Tensor:
            return (C * FUNCTIONS[function](A, select)).sum()

        one_by_one = torch.stack([hessian(loss)(a) for a in A])
        torch.testing.assert_close(vmap(hessian(loss))(A), one_by_one)
        torch.testing.assert_close(vmap(jacrev(jacfwd(loss)))(A), one_by_one)
        torch.testing.assert_close(vmap(grad(loss))(A), torch.stack([grad(loss)(a) for a in A]))
        torch.testing.assert_close(vmap(loss)(A), torch.stack([loss(a) for a in A]))
        both = vmap(vmap(grad(loss)))(torch.stack([A, 2 * A]))
        torch.testing.assert_close(both[1], torch.stack([grad(loss)(a) for a in 2 * A]))


def test_refusals() -> None:
    A = matrix().requires_grad_()
    with pytest.raises(arreig.GaugeDependentLossError, match="depends on the basis of the subspace"):
        arreig_torch.invariant_subspace(A, 2)[0, 0].backward()
    with pytest.raises(arreig.SpectrumNotSeparatedError, match="Select both or neither"):
        arreig_torch.spectral_projector(torch.eye(3), 1)
    with pytest.raises(arreig.InputTypeError, match=r"must be a torch.Tensor"):
        arreig_torch.spectral_projector(np.eye(3), 1)
    with pytest.raises(arreig.ArreigError, match=r"no batching rule.*use torch.func.vmap"):
        torch.autograd.grad(
            arreig_torch.spectral_projector(A, 2), A, torch.ones(5, 4, 4, dtype=A.dtype), is_grads_batched=True
        )
    with pytest.raises(arreig.NonFiniteError, match="gP must be finite"):
        arreig_torch.spectral_projector(A, 2).backward(torch.full((4, 4), torch.inf, dtype=A.dtype))
    assert (
        arreig_torch.spectral_projector(torch.stack([torch.eye(4), torch.diag(torch.arange(4.0))]), 2, check=False)[0]
        .isnan()
        .all()
    )


def test_modes() -> None:
    A = matrix().requires_grad_()
    with torch.no_grad():
        assert not arreig_torch.spectral_projector(A, 2).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        P = arreig_torch.spectral_projector(A.bfloat16(), 2)
        assert P.dtype == torch.float32
        (g,) = torch.autograd.grad(P[0, 1], A)
    (expected,) = torch.autograd.grad(arreig_torch.spectral_projector(A.bfloat16().float(), 2)[0, 1], A)
    torch.testing.assert_close(g, expected)
    value = arreig_torch.spectral_projector(A, 2)[0, 1]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = arreig_torch.spectral_projector(mode.from_tensor(A.detach()), 2)
        assert fake.shape == (4, 4)
    compiled = torch.compile(lambda A: 2 * arreig_torch.spectral_projector(A, 2)[0, 1], backend="eager")
    torch.testing.assert_close(compiled(A.detach()), 2 * value.detach())
    with torch.autograd.graph.save_on_cpu():
        torch.testing.assert_close(
            torch.autograd.grad(arreig_torch.spectral_projector(A, 2)[0, 1], A), torch.autograd.grad(value, A)
        )
