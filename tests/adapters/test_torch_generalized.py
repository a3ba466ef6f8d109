"""arreig_torch of two matrices: torch's own checks of first and second derivatives, in every mode, by either matrix or both."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import arreig
import arreig_torch

N = 3
DTYPES = {
    "real": (torch.float64, torch.float64),
    "complex": (torch.complex128, torch.complex128),
    "real A": (torch.float64, torch.complex128),
    "real B": (torch.complex128, torch.float64),
}


def matrices(dtypes: str, *batch: int) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(1)
    A, B = (torch.randn(*batch, N, N, dtype=dtype, generator=generator) for dtype in DTYPES[dtypes])
    return A, B / 2 + 2 * torch.eye(N)


def definite(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The function on a Hermitian and a positive definite matrix made of any two."""
    return lambda A, B: function((A + A.mH) / 2, B @ B.mH / 4 + torch.eye(N), **options)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eig": arreig_torch.eig,
    "eig, left": lambda A, B: arreig_torch.eig(A, B, left=True),
    "eig, Component": lambda A, B: arreig_torch.eig(A, B, gauge=arreig.Component(1), sort="real"),
    "eigvals": arreig_torch.eigvals,
    "eigh": definite(arreig_torch.eigh),
    "eigh, canonical": definite(arreig_torch.eigh, gauge="canonical"),
    "eigh, Functional": definite(
        arreig_torch.eigh, gauge=arreig.Functional(torch.tensor([1.0, -0.4, 0.7], dtype=torch.float64))
    ),
    "eigvalsh": definite(arreig_torch.eigvalsh),
}


@pytest.mark.parametrize(
    ("name", "dtypes", "tracked"),
    [
        (name, dtypes, "both")
        for name in FUNCTIONS
        for dtypes in DTYPES
        if dtypes in ("real", "complex") or name in ("eig", "eigh")
    ]
    + [(name, "real A", tracked) for name in FUNCTIONS for tracked in ("A", "B")],
)
def test_derivatives(name: str, dtypes: str, tracked: str) -> None:
    A, B = matrices(dtypes)
    A.requires_grad_(tracked != "B")
    B.requires_grad_(tracked != "A")
    # A + A.mH itself fails in torch's batched forward mode, for complex A
    batched_forward = dtypes == "real" or not name.startswith(("eigh", "eigvalsh"))
    # with "both" every entry, else one random direction
    assert gradcheck(
        FUNCTIONS[name],
        (A, B),
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=batched_forward,
        check_undefined_grad=True,
        fast_mode=tracked != "both",
    )
    if tracked == "both":
        assert gradgradcheck(FUNCTIONS[name], (A, B), check_fwd_over_rev=True, check_batched_grad=True, fast_mode=True)


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_transforms(kind: str) -> None:
    """Vmap over A, B or both, grad by either, and hessians, against a loop."""
    A, B = matrices("real", 3)

    def loss(A: Any, B: Any) -> Any:
        w, V = FUNCTIONS[kind](A, B)
        return ((V**2).sum() + (w**3).sum()).real

    for argnums in (0, 1, (0, 1)):
        for mapped in ((0, None), (None, 0), (0, 0)):
            arguments = [X if dim == 0 else X[0] for X, dim in zip((A, B), mapped, strict=True)]
            derivative = torch.func.grad(loss, argnums)
            found = torch.func.vmap(derivative, in_dims=mapped)(*arguments)
            loop = [
                derivative(*(X[k] if dim == 0 else X for X, dim in zip(arguments, mapped, strict=True)))
                for k in range(3)
            ]
            found, loop = (found, loop) if isinstance(argnums, tuple) else ((found,), [(x,) for x in loop])
            for x, y in zip(found, zip(*loop, strict=True), strict=True):
                torch.testing.assert_close(x, torch.stack(y), rtol=1e-10, atol=1e-10)
    one = torch.func.hessian(loss, (0, 1))(A[0], B[0])
    two = torch.func.jacfwd(torch.func.jacfwd(loss, (0, 1)), (0, 1))(A[0], B[0])
    for i in range(2):
        for j in range(2):
            torch.testing.assert_close(one[i][j], two[i][j], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(one[0][1], one[1][0].permute(2, 3, 0, 1), rtol=1e-9, atol=1e-9)


def test_b_norm_is_the_default_of_definite_pencils() -> None:
    A, B = matrices("complex")
    H, M = (A + A.mH) / 2, B @ B.mH
    w, V = arreig_torch.eigh(H, M)
    torch.testing.assert_close(V.mH @ M @ V, torch.eye(N, dtype=V.dtype), rtol=0, atol=1e-13)
    torch.testing.assert_close(H @ V, M @ V * w, rtol=0, atol=1e-12)
    largest = V.gather(0, V.abs().argmax(0, keepdim=True))
    assert largest.imag.abs().max() < 1e-15
    assert (largest.real > 0).all()
    norms = arreig_torch.eigh(H, M, gauge="canonical").eigenvectors.norm(dim=0)
    torch.testing.assert_close(norms, torch.ones(N, dtype=torch.float64), rtol=0, atol=1e-14)


def test_refusals() -> None:
    A, B = (X.requires_grad_() for X in matrices("real"))
    eye = torch.eye(N, dtype=torch.float64)
    with pytest.raises(arreig.InputTypeError, match=r"B must be a torch\.Tensor"):
        arreig_torch.eig(A, B.detach().numpy())
    with pytest.raises(arreig.InputError, match="B must have the shape of A"):
        arreig_torch.eig(A, B[:2, :2])
    with pytest.raises(arreig.InputTypeError, match="B must have the precision of A"):
        arreig_torch.eigvals(A, B.float())
    with pytest.raises(arreig.InputError, match="B must be positive definite"):
        arreig_torch.eigvalsh(A + A.mT, -eye)
    with pytest.raises(arreig.InputError, match="too ill conditioned"):
        arreig_torch.eig(A, B * torch.tensor([0.0, 1, 1]))
    # clusters, as for one matrix
    D = torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))
    P = (B @ D).detach().requires_grad_()
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="numerically equal"):
        (arreig_torch.eig(P, B).eigenvectors.abs() ** 4).sum().backward()
    (gB,) = torch.autograd.grad(arreig_torch.eigvals(P, B).sum().real, B, create_graph=True)
    torch.testing.assert_close(gB, -torch.linalg.inv(B).mT @ D, rtol=1e-9, atol=1e-9)  # of tr B^-1 P
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="second derivative"):
        gB.sum().backward()


def test_second_derivative_at_a_cluster_with_split() -> None:
    """tr(C (B^-1 A)^3), by A and B, against torch without eigenvectors."""
    X, B = matrices("real")
    X, D = X / 4 + torch.eye(N), torch.diag(torch.tensor([1.0, 1.0, 2.0], dtype=torch.float64))
    A = B @ X @ D @ torch.linalg.inv(X)
    C = torch.randn(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def through_pairs(A: Any, B: Any) -> Any:
        w, V = arreig_torch.eig(A, B, degeneracy=arreig.Split(separation=500))
        return torch.trace(C.to(V) @ (V * w**3) @ torch.linalg.inv(V)).real

    def directly(A: Any, B: Any) -> Any:
        X = torch.linalg.solve(B, A)
        return torch.trace(C @ X @ X @ X)

    found, expected = (torch.func.hessian(f, (0, 1))(A, B) for f in (through_pairs, directly))
    for i, j in ((0, 0), (0, 1), (1, 1)):
        assert (found[i][j] - expected[i][j]).abs().max() < 1e-3 * expected[i][j].abs().max()
