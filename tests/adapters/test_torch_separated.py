"""torch through eigenvalues that meet: every mode agrees with torch's own derivatives of the matrix exponential."""

from typing import Any

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vmap

import arreig
import arreig_torch

GENERATOR = torch.Generator().manual_seed(0)
C = torch.randn(4, 4, dtype=torch.float64, generator=GENERATOR)
X = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64, generator=GENERATOR))[0] + 0.2 * torch.eye(4)


def conjugated(J: torch.Tensor) -> torch.Tensor:
    return X @ J.double() @ torch.linalg.inv(X)


def diagonal(*w: float) -> torch.Tensor:
    return torch.diag(torch.tensor(w, dtype=torch.float64))


ROTATION = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
JORDAN = torch.block_diag(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), torch.diag(torch.tensor([3.0, 4.0])))
MATRICES = torch.stack(
    [
        conjugated(diagonal(1, 1.5, 2, 3)),
        conjugated(diagonal(1, 1, 1, 3)),
        conjugated(torch.block_diag(ROTATION, ROTATION)),
        torch.eye(4, dtype=torch.float64),
        torch.zeros(4, 4, dtype=torch.float64),
    ]
)


def exact(A: torch.Tensor) -> torch.Tensor:
    return (C * torch.matrix_exp(A).mT).sum()


def smooth(A: torch.Tensor, degeneracy: Any = "split", function: str = "eig") -> torch.Tensor:
    w, V = getattr(arreig_torch, function)(A, degeneracy=degeneracy, gauge="phase-free")
    f = (V * torch.exp(w)[..., None, :]) @ torch.linalg.inv(V)
    return (C * f.mT).sum().real


def singles(A: torch.Tensor, **options: Any) -> torch.Tensor:
    """A loss on single eigenvectors."""
    return (C * arreig_torch.eig(A, degeneracy="split", **options).eigenvectors.abs() ** 2).sum()


def close(x: torch.Tensor, reference: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(x, reference, rtol=0, atol=tolerance * float(reference.abs().max()))


@pytest.mark.parametrize(("degeneracy", "tolerance"), [("split", 1e-6), ("perturb", 3e-5)])
def test_transforms(degeneracy: Any, tolerance: float) -> None:
    """Forward and reverse, vmap over and under, and a batch, with clusters in some members."""
    reference = torch.stack([grad(exact)(A) for A in MATRICES])
    f = lambda A: smooth(A, degeneracy)
    tracked = MATRICES.clone().requires_grad_()
    sum(f(A) for A in tracked).backward()
    assert tracked.grad is not None
    batch = MATRICES.clone().requires_grad_()
    f(batch).backward()
    assert batch.grad is not None
    gradients = {
        "backward": tracked.grad,
        "batch": batch.grad,
        "vmap(grad)": vmap(grad(f))(MATRICES),
        "grad(vmap)": grad(lambda A: vmap(f)(A).sum())(MATRICES),
        "vmap(jacrev)": vmap(jacrev(f))(MATRICES),
        "vmap(jacfwd)": vmap(jacfwd(f))(MATRICES),
        "jacfwd": torch.stack([jacfwd(f)(A) for A in MATRICES]),
    }
    for name, gA in gradients.items():
        for k in range(len(MATRICES)):
            try:
                close(gA[k], reference[k], tolerance)
            except AssertionError as error:
                raise AssertionError(f"{name}, member {k}") from error
    dA = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    slopes = torch.stack([jvp(f, (A,), (dA,))[1] for A in MATRICES])
    close(slopes, (reference * dA).sum((-2, -1)), tolerance)


def test_hermitian() -> None:
    Q = torch.linalg.qr(X)[0]
    for A in (Q @ diagonal(1, 1, 2, 2) @ Q.mT, torch.eye(4, dtype=torch.float64), Q @ diagonal(-1, 0, 0, 0) @ Q.mT):
        A = (A + A.mT) / 2
        reference = grad(exact)(A)
        close(grad(lambda A: smooth(A, function="eigh"))(A), (reference + reference.mT) / 2, 1e-6)


# At A = 0 the new gap is smaller than at I by the root of |I|, and u/gap^2 larger.
SECOND = {
    "separate": (MATRICES[0], "split", 1e-9),
    "three equal": (MATRICES[1], arreig.Split(separation=500), 3e-5),
    "two pairs": (MATRICES[2], arreig.Split(separation=500), 3e-5),
    "identity": (MATRICES[3], arreig.Split(separation=500), 3e-5),
    "zero": (MATRICES[4], arreig.Split(separation=500), 1e-4),
    "perturbed": (MATRICES[1], arreig.Perturb(1e-5), 1e-4),
    "Jordan": (JORDAN.double(), arreig.Perturb(1e-4), 1e-3),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name: str) -> None:
    A, degeneracy, tolerance = SECOND[name]
    reference = hessian(exact)(A)
    f = lambda A: smooth(A, degeneracy)
    for H in (hessian(f)(A), jacrev(jacrev(f))(A), jacfwd(jacfwd(f))(A), torch.autograd.functional.hessian(f, A)):
        close(H, reference, tolerance)
    close(vmap(hessian(f))(A[None])[0], reference, tolerance)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_second_derivatives_that_rounding_would_drown(k: int) -> None:
    """Refused, with the way out; NaN where nothing can be read."""
    message = r"Second derivatives need separate eigenvalues.*Split\(separation=500\)"
    for order in (hessian, lambda f: jacrev(jacrev(f))):
        with pytest.raises(arreig.DegenerateEigenvaluesError, match=message):
            order(smooth)(MATRICES[k])
    with pytest.raises(arreig.DegenerateEigenvaluesError, match=r"Perturb\(1e-4\)"):
        torch.autograd.functional.hessian(lambda A: smooth(A, "perturb"), JORDAN.double())
    mapped = vmap(hessian(smooth))(MATRICES[[0, k]])
    assert mapped[1].isnan().all()
    close(mapped[0], hessian(exact)(MATRICES[0]), 1e-9)


def test_ill_defined_losses() -> None:
    """An error where numbers can be read; NaN in that member alone where they cannot."""
    for A in MATRICES[1:]:
        with pytest.raises(arreig.DegenerateEigenvaluesError, match="separated by degeneracy='split'"):
            singles(A.clone().requires_grad_()).backward()
    for gA in (vmap(grad(singles))(MATRICES), grad(lambda A: singles(A, check=False))(MATRICES)):
        assert gA[1:].isnan().all()
        close(gA[0], grad(singles)(MATRICES[0]), 1e-12)


def test_defective() -> None:
    A = JORDAN.double()
    close(grad(lambda A: smooth(A, "perturb"))(A), grad(exact)(A), 1e-5)
    for degeneracy in ("raise", "split"):
        with pytest.raises((arreig.DefectiveMatrixError, arreig.DegenerateEigenvaluesError), match="'perturb'"):
            grad(lambda A, d=degeneracy: smooth(A, d))(A)


def test_what_is_saved() -> None:
    """The pairs that were separated, too: they cannot be told from w and V afterwards."""
    shapes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: shapes.append((tuple(x.shape), x.dtype)) or x, lambda x: x):
        smooth(MATRICES[1].clone().requires_grad_()).backward()
    assert ((4, 4), torch.bool) in shapes
    w, V = arreig_torch.eig(MATRICES[1].clone().requires_grad_(), degeneracy="split")
    assert w.requires_grad
    assert V.requires_grad
