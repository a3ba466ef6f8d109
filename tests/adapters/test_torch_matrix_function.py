"""arreig_torch.matrix_function: gradients and Hessians at repeated eigenvalues, torch's transforms, and where it ends."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, hessian, jacfwd, jacrev, vmap

import arreig
import arreig_torch

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]
EXP: Pair = (torch.exp, torch.exp)
SQRT: Pair = (torch.sqrt, lambda z: 0.5 / torch.sqrt(z))
CUBE: Pair = (lambda z: z**3, lambda z: 3 * z**2)


def similar(w: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    X = torch.eye(4, dtype=dtype) + 0.2 * torch.randn(4, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
    return X @ torch.diag(torch.tensor(w, dtype=dtype)) @ torch.linalg.inv(X)


MATRICES = {
    "identity": torch.eye(4, dtype=torch.float64),
    "repeated": similar([1.0, 1, 2, 2]),
    "nearly repeated": similar([1.0, 1 + 1e-7, 2, 2 + 1e-3]),
    "complex": similar([1 + 1j, 1 + 1j, 2, 3 - 1j], torch.complex128),
    "batch": torch.stack([similar([1.0, 1, 2, 2]), similar([1.0, 2, 3, 4])]),
}
C = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("pair", [EXP, SQRT], ids=["exp", "sqrt"])
def test_gradcheck(pair: Pair, name: str) -> None:
    """Along random directions: entry by entry a repeated eigenvalue becomes a Jordan block, whose values are inaccurate."""
    A = MATRICES[name].clone().requires_grad_()

    def f(A: torch.Tensor) -> torch.Tensor:
        return arreig_torch.matrix_function(A, *pair)

    options = {"check_batched_grad": True, "fast_mode": True}
    assert gradcheck(f, A, check_forward_ad=True, check_undefined_grad=True, **options)
    assert gradgradcheck(f, A, check_fwd_over_rev=True, **options)


@pytest.mark.parametrize("name", ["identity", "repeated", "batch"])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_hermitian(name: str, kind: str) -> None:
    A = (MATRICES[name] + MATRICES[name].mT).requires_grad_()
    pair: Pair = SQRT if kind == "real" else (lambda z: torch.exp(1j * z), lambda z: 1j * torch.exp(1j * z))

    def f(A: torch.Tensor) -> torch.Tensor:
        return arreig_torch.matrix_function((A + A.mT) / 2, *pair, hermitian=True)

    assert f(A).dtype == (torch.float64 if kind == "real" else torch.complex128)
    assert gradcheck(f, A, check_forward_ad=True)
    assert gradgradcheck(f, A, check_fwd_over_rev=True)


@pytest.mark.parametrize("name", ["identity", "repeated", "complex"])
def test_sqrtm_and_logm(name: str) -> None:
    """Derivatives of both orders at repeated eigenvalues, and those of their definitions, R R = A and expm(L) = A."""
    A = MATRICES[name].clone().requires_grad_()
    for f in (arreig_torch.sqrtm, arreig_torch.logm):
        assert gradcheck(f, A, check_forward_ad=True, fast_mode=True)
        assert gradgradcheck(f, A, check_fwd_over_rev=True, fast_mode=True)
    own = A.detach().to(torch.complex128)

    def identity(A: torch.Tensor) -> torch.Tensor:
        R, L = arreig_torch.sqrtm(A), arreig_torch.logm(A)
        return (C * (R @ R)).real.sum() + (C * torch.linalg.matrix_exp(L)).real.sum()

    torch.testing.assert_close(grad(identity)(own), 2 * C.to(own.dtype), rtol=1e-11, atol=1e-11)
    S = (A + A.mH).detach().requires_grad_()
    for f in (arreig_torch.sqrtm, arreig_torch.logm):
        assert gradcheck(lambda A, f=f: f((A + A.mH) / 2, hermitian=True), S, check_forward_ad=True)
        assert gradgradcheck(lambda A, f=f: f((A + A.mH) / 2, hermitian=True), S, check_fwd_over_rev=True)


def loss(A: torch.Tensor, pair: Pair = EXP) -> torch.Tensor:
    return (C * arreig_torch.matrix_function(A, *pair).real).sum()


@pytest.mark.parametrize("name", ["identity", "repeated", "nearly repeated"])
def test_against_torchs_own_exponential_and_powers(name: str) -> None:
    """Gradient and Hessian, entry by entry."""
    A = MATRICES[name]
    for pair, own in ((EXP, torch.linalg.matrix_exp), (CUBE, lambda A: A @ A @ A)):
        expected = grad(lambda A, own=own: (C * own(A)).sum())(A), hessian(lambda A, own=own: (C * own(A)).sum())(A)
        torch.testing.assert_close(grad(loss)(A, pair), expected[0], rtol=1e-11, atol=1e-11)
        for transform in (
            hessian,
            lambda f: jacrev(jacrev(f)),
            lambda f: jacfwd(jacfwd(f)),
            lambda f: jacrev(jacfwd(f)),
        ):
            torch.testing.assert_close(transform(loss)(A, pair), expected[1], rtol=1e-10, atol=1e-9)


def test_transforms() -> None:
    A = MATRICES["batch"]
    one_by_one = torch.stack([hessian(loss)(a) for a in A])
    torch.testing.assert_close(vmap(hessian(loss))(A), one_by_one)
    torch.testing.assert_close(vmap(grad(loss))(A), torch.stack([grad(loss)(a) for a in A]))
    torch.testing.assert_close(vmap(vmap(grad(loss)))(torch.stack([A, A + 1]))[0], vmap(grad(loss))(A))
    tangent = torch.func.jvp(loss, (A[0],), (C,))[1]
    torch.testing.assert_close(tangent, (grad(loss)(A[0]) * C).sum())


def test_a_third_derivative_is_refused() -> None:
    A = MATRICES["repeated"]

    def along(t: torch.Tensor) -> torch.Tensor:
        return loss(A + t * C)

    zero = torch.tensor(0.0, dtype=torch.float64)
    assert grad(grad(along))(zero).isfinite()
    forward = lambda f: lambda t: torch.func.jvp(f, (t,), (torch.ones_like(t),))[1]
    for first in (grad, forward):
        for last in (grad, forward):
            with pytest.raises(arreig.ArreigError, match="this would be a third one"):
                last(first(grad(along)))(zero)
    assert grad(lambda t: grad(grad(along))(t.detach()) * t)(zero).isfinite()


def test_refusals() -> None:
    A = MATRICES["repeated"].clone().requires_grad_()
    t = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    with pytest.raises(
        arreig.InputTypeError, match=r"f contains a tensor that is tracked.*detach\(\) it, or put it into A"
    ):
        arreig_torch.matrix_function(A, lambda z: torch.exp(t * z), lambda z: t * torch.exp(t * z))
    with pytest.raises(arreig.InputTypeError, match="df contains a tensor that is tracked"):
        arreig_torch.matrix_function(A, torch.exp, lambda z: t / t * torch.exp(z))
    with pytest.raises(arreig.InputTypeError, match="f contains a tensor that vmap maps"):
        vmap(lambda t: arreig_torch.matrix_function(A.detach(), lambda z: torch.exp(t * z), torch.exp))(torch.ones(2))
    with pytest.raises(arreig.InputTypeError, match="f must be a function"):
        arreig_torch.matrix_function(A, None, torch.exp)
    with pytest.raises(arreig.DefectiveMatrixError, match="is numerically defective"):
        arreig_torch.matrix_function(torch.tensor([[2.0, 1], [0, 2]], dtype=torch.float64), *EXP)
    assert (
        arreig_torch.matrix_function(torch.tensor([[2.0, 1], [0, 2]], dtype=torch.float64), *EXP, check=False)
        .isnan()
        .all()
    )
    # exact to first order, but torch cannot differentiate it
    hidden = (torch.exp, lambda z: torch.exp(z).detach())
    (g,) = torch.autograd.grad(loss(A, hidden), A, create_graph=True)
    with pytest.raises(arreig.InputError, match=r"its derivative by the library must be the derivative of df"):
        g.sum().backward()


def test_modes() -> None:
    A = MATRICES["repeated"].clone().requires_grad_()
    with torch.no_grad():
        assert not arreig_torch.matrix_function(A, *EXP).requires_grad
    with torch.autocast("cpu", dtype=torch.bfloat16):
        F = arreig_torch.matrix_function(A.bfloat16(), *EXP)
        assert F.dtype == torch.complex64
        (g,) = torch.autograd.grad(F[0, 1].real, A)
    (expected,) = torch.autograd.grad(arreig_torch.matrix_function(A.bfloat16().float(), *EXP)[0, 1].real, A)
    torch.testing.assert_close(g, expected)
    with torch.autograd.graph.save_on_cpu():
        torch.testing.assert_close(torch.autograd.grad(loss(A), A), torch.autograd.grad(loss(A), A))
    F = arreig.matrix_function(A.detach(), *EXP)
    np.testing.assert_allclose(F.numpy().real, torch.linalg.matrix_exp(A.detach()), atol=1e-13)
    assert arreig_torch.diagnose(A).groups == arreig.diagnose(A.detach()).groups != []
