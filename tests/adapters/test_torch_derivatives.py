"""The adapter hands arreig's rules to torch: every derivative equals the core's, and torch's transforms agree with loops.

The core is tested against its oracles elsewhere; here the adapter is compared with the core, and second derivatives with
finite differences of first ones.
"""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import arreig
import arreig_torch
from arreig.testing import directional_difference, host
from tests.conftest import DEGENERACIES

N = 4
Z = torch.tensor([1.0, -0.4, 0.7, 0.9])
GAUGES = {
    "canonical": lambda dtype: "canonical",
    "phase-free": lambda dtype: "phase-free",
    "Component": lambda dtype: arreig.Component(-2),
    "Functional": lambda dtype: arreig.Functional(Z.to(dtype)),
}


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def hermitian(A: torch.Tensor) -> torch.Tensor:
    return (A + A.mH) / 2


def same_to_rounding(x: torch.Tensor, y: torch.Tensor) -> None:
    """To what 1e3 rounding errors make of numbers of this size."""
    bound = 1e3 * torch.finfo(y.dtype).eps * float(y.abs().max())
    torch.testing.assert_close(x, y, rtol=0, atol=bound)


def problem(kind: str, batch: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    A = random(*batch, N, N, dtype=dtype, seed=len(batch))
    return hermitian(A) if kind == "eigh" else A


@pytest.mark.parametrize("degeneracy", DEGENERACIES)
@pytest.mark.parametrize("gauge", GAUGES)
@pytest.mark.parametrize("kind", ["eig", "eig, left", "eigh"])
def test_as_the_core(dtype: str, batch: tuple[int, ...], kind: str, gauge: str, degeneracy: str) -> None:
    """Backward with create_graph and forward mode are the core's to the last bit; values and backward, by NumPy, to rounding."""
    tdtype = getattr(torch, dtype)
    kind, left = kind.split(",")[0], "left" in kind
    A = problem(kind, batch, tdtype)
    options: Any = {"gauge": GAUGES[gauge](tdtype), "degeneracy": DEGENERACIES[degeneracy]}
    if kind == "eig":
        options |= {"sort": "abs", "left": left}
    decompose = getattr(arreig_torch, kind)
    result = getattr(arreig, kind)(A, **options)

    tracked = A.clone().requires_grad_()
    out = decompose(tracked, **options)
    assert type(out).__name__ == ("EigTriple" if left else "EigPair")
    for x, y in zip(out, result, strict=True):
        same_to_rounding(x.detach(), y)
    cotangents = [random(*x.shape, dtype=x.dtype, seed=7) for x in out]
    if gauge == "phase-free":  # a loss that does not depend on the phase: Re sum v_j^H M v_j
        cotangents[1:] = [random(N, N, dtype=x.dtype, seed=8) for x in result[1:]]
        cotangents[1:] = [hermitian(M) @ x for M, x in zip(cotangents[1:], result[1:], strict=True)]
    gw, gV, *gW = cotangents
    gA = result.vjp(gV, gw, gW=gW[0]) if left else result.vjp(gV, gw)
    torch.autograd.backward(out, cotangents)
    same_to_rounding(tracked.grad, gA)
    with forward_ad.dual_level():  # nothing is computed by NumPy
        (recorded,) = torch.autograd.grad(decompose(tracked, **options), tracked, cotangents, create_graph=True)
    torch.testing.assert_close(recorded.detach(), gA, rtol=0, atol=0)

    dA = problem(kind, batch, tdtype) @ A
    dA = hermitian(dA) if kind == "eigh" else dA
    with forward_ad.dual_level():
        duals = decompose(forward_ad.make_dual(A, dA), **options)
        tangents = [forward_ad.unpack_dual(x).tangent for x in duals]
    for x, y in zip(tangents, result.jvp(dA), strict=True):
        torch.testing.assert_close(x, y, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["eigvals", "eigvalsh"])
def test_eigenvalues_as_the_core(dtype: str, batch: tuple[int, ...], kind: str) -> None:
    A = problem(kind.replace("vals", ""), batch, getattr(torch, dtype))
    dA = problem(kind.replace("vals", ""), batch, A.dtype).mT.contiguous()
    options: Any = {"sort": "real"} if kind == "eigvals" else {}
    decompose = getattr(arreig_torch, kind)
    tracked = A.clone().requires_grad_()
    w = decompose(tracked, **options)
    # eigvalsh of the core takes LAPACK's values without vectors, which differ in the last bits
    torch.testing.assert_close(w.detach(), getattr(arreig, kind)(A, **options))
    gw = random(*w.shape, dtype=w.dtype, seed=7)
    w.backward(gw)
    same_to_rounding(tracked.grad, getattr(arreig, f"{kind}_vjp")(A, gw, **options))
    with forward_ad.dual_level():
        dw = forward_ad.unpack_dual(decompose(forward_ad.make_dual(A, dA), **options)).tangent
    torch.testing.assert_close(dw, getattr(arreig, f"{kind}_jvp")(A, dA, **options), rtol=0, atol=0)


def test_what_the_loss_does_not_use_costs_and_refuses_nothing() -> None:
    """A loss on eigenvalues alone is differentiated beside a Jordan block, where V has no gradient."""
    A = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 3.0]], dtype=torch.float64, requires_grad=True)
    w, _ = arreig_torch.eig(A, sort="abs")
    w[0].real.backward()
    V, W = torch.tensor([[0.0], [0.0], [1.0]]), torch.tensor([[0.0], [0.25], [1.0]])
    torch.testing.assert_close(A.grad, (W @ V.mT).double())


M = random(N, N, dtype=torch.complex128, seed=5)
LOSSES = {
    # depends on the phases: it belongs to its gauge
    "eig": lambda A: (M * arreig_torch.eig(A).eigenvectors).sum().real + arreig_torch.eig(A)[0].pow(3).sum().real,
    "eig, Component": lambda A: (M * arreig_torch.eig(A, gauge=arreig.Component(1))[1]).sum().real,
    "eig, Functional": lambda A: (M * arreig_torch.eig(A, gauge=arreig.Functional(Z.double()))[1]).sum().real,
    "eig, left": lambda A: sum((M * x).sum().abs() for x in arreig_torch.eig(A, left=True)[1:]),
    "eig, phase-free": lambda A: (M.abs() * arreig_torch.eig(A, gauge="phase-free")[1].abs() ** 2).sum(),
    "eigvals": lambda A: (arreig_torch.eigvals(A).abs() * M[0].abs()).sum() + arreig_torch.eigvals(A).pow(2).sum().real,
    "eigh": lambda A: (
        (M * arreig_torch.eigh(hermitian(A))[1]).sum().real + arreig_torch.eigh(hermitian(A))[0].pow(3).sum()
    ),
    "eigvalsh": lambda A: arreig_torch.eigvalsh(hermitian(A)).pow(3).sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_transforms_agree(name: str) -> None:
    """grad, vjp, jvp, jacrev, jacfwd, and vmap over and under each, against backward() in a loop."""
    loss = LOSSES[name]
    A = random(3, N, N, seed=3)
    dA = random(3, N, N, seed=4)

    def backward(a: torch.Tensor) -> torch.Tensor:
        a = a.clone().requires_grad_()
        loss(a).backward()
        assert a.grad is not None
        return a.grad

    reference = torch.stack([backward(a) for a in A])
    slope = (reference * dA).sum((-2, -1))
    one = torch.ones((), dtype=torch.float64)
    gradients = {
        "grad": torch.stack([grad(loss)(a) for a in A]),
        "vmap(grad)": vmap(grad(loss))(A),
        "grad(vmap)": grad(lambda A: vmap(loss)(A).sum())(A),
        "vmap(vjp)": vmap(lambda a: vjp(loss, a)[1](one)[0])(A),
        "vmap(jacrev)": vmap(jacrev(loss))(A),
        "vmap(jacfwd)": vmap(jacfwd(loss))(A),
        "vmap, in_dims=1": vmap(grad(loss), in_dims=1)(A.movedim(0, 1)),
        "vmap(vmap)": vmap(vmap(grad(loss)))(torch.stack([A, A.flip(0)]))[0],
        "jacrev(vmap)": torch.stack([jacrev(lambda A: vmap(loss)(A))(A)[i, i] for i in range(3)]),
        "jacfwd(vmap)": torch.stack([jacfwd(lambda A: vmap(loss)(A))(A)[i, i] for i in range(3)]),
    }
    for transform, gA in gradients.items():
        torch.testing.assert_close(gA, reference, rtol=1e-11, atol=1e-11, msg=lambda m, t=transform: f"{t}: {m}")
    slopes = {
        "jvp": torch.stack([jvp(loss, (a,), (d,))[1] for a, d in zip(A, dA, strict=True)]),
        "vmap(jvp)": vmap(lambda a, d: jvp(loss, (a,), (d,))[1])(A, dA),
        "jvp(vmap)": jvp(lambda A: vmap(loss)(A), (A,), (dA,))[1],
    }
    for transform, dL in slopes.items():
        torch.testing.assert_close(dL, slope, rtol=1e-11, atol=1e-11, msg=lambda m, t=transform: f"{t}: {m}")


@pytest.mark.parametrize("name", LOSSES)
def test_second_derivatives(name: str) -> None:
    """Every order of forward and reverse gives one symmetric Hessian, that of finite differences of the gradient."""
    loss = LOSSES[name]
    A = random(2, N, N, seed=3)
    reference = hessian(loss)(A[1]).reshape(N * N, N * N)
    scale = reference.abs().max()
    torch.testing.assert_close(reference, reference.mT, rtol=0, atol=1e-11 * float(scale))
    orders = {f"{a.__name__}({b.__name__})": a(b(loss))(A[1]) for a, b in product((jacrev, jacfwd), repeat=2)}
    orders["vmap(hessian)"] = vmap(hessian(loss))(A)[1]
    orders["autograd.functional"] = torch.autograd.functional.hessian(loss, A[1])
    orders["autograd.functional, vectorised"] = torch.autograd.functional.hessian(loss, A[1], vectorize=True)
    for order, H in orders.items():
        H = H.reshape(N * N, N * N)
        torch.testing.assert_close(H, reference, rtol=0, atol=1e-11 * float(scale), msg=lambda m, o=order: f"{o}: {m}")
    directions = np.random.default_rng(0).standard_normal((3, N, N))
    for d in directions:
        difference = directional_difference(lambda a: host(grad(loss)(torch.as_tensor(a))), A[1], d, step=1e-4)
        H_d = (reference @ torch.as_tensor(d).flatten()).reshape(N, N)
        np.testing.assert_allclose(H_d, difference, atol=1e-8 * float(scale))


SMOOTH = {
    "eig": lambda A: (M * arreig_torch.eig(A, sort="real").eigenvectors).sum().real,
    "eig, left": lambda A: sum((M * x).sum().real for x in arreig_torch.eig(A, left=True, sort="real")[1:]),
    "eigh": LOSSES["eigh"],
}


@pytest.mark.parametrize("entries", ["dense", "with zeros"])
@pytest.mark.parametrize("name", SMOOTH)
def test_third_derivatives(name: str, entries: str) -> None:
    """Where eigenvectors have zeros, too: torch's second derivative of abs(x)**2 is wrong there, so no rule may use it."""
    loss = SMOOTH[name]
    A = random(N, N, seed=3)
    if entries == "with zeros":
        A = torch.diag(torch.tensor([4.0, 2.5, 1.0, -1.0], dtype=torch.float64))
        A = A if name == "eigh" else A + torch.triu(random(N, N, seed=3), 2)
    third = [jacfwd(hessian(loss))(A), jacrev(hessian(loss))(A)]
    scale = float(third[0].abs().max())
    torch.testing.assert_close(third[0], third[1], rtol=0, atol=1e-10 * scale)
    d = np.random.default_rng(0).standard_normal((N, N))
    difference = directional_difference(lambda a: host(hessian(loss)(torch.as_tensor(a))), A, d, step=1e-4)
    np.testing.assert_allclose(torch.einsum("abcdef,ef", third[0], torch.as_tensor(d)), difference, atol=1e-8 * scale)


def test_vmap_over_functionals() -> None:
    A, z = random(3, N, N, seed=3), random(2, N, seed=4) + 2

    def loss(A: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return (M * arreig_torch.eig(A, gauge=arreig.Functional(z)).eigenvectors).sum().real

    loop = torch.stack([torch.stack([grad(loss)(a, b) for b in z]) for a in A])
    both = vmap(vmap(grad(loss), in_dims=(None, 0)), in_dims=(0, None))
    torch.testing.assert_close(both(A, z), loop, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(vmap(grad(loss), (0, None))(A, z[1]), loop[:, 1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(vmap(grad(loss), (None, 0))(A[2], z), loop[2], rtol=1e-12, atol=1e-12)
    # a batch of matrices, each with the functionals mapped over
    batched = vmap(lambda z: arreig_torch.eig(A, gauge=arreig.Functional(z)).eigenvectors)(z)
    for i, j in product(range(2), range(3)):
        torch.testing.assert_close(batched[i, j], arreig.eig(A[j], gauge=arreig.Functional(z[i])).eigenvectors)
    with pytest.raises(arreig.InputTypeError, match=r"holds z constant.* detach\(\) it"):
        grad(loss, argnums=1)(A[0], z[0])
    with pytest.raises(arreig.InputTypeError, match=r"holds z constant.* detach\(\) it"):
        loss(A[0], z[0].clone().requires_grad_())


def test_refinement() -> None:
    """Where it corrects, in every mode, and without a share in second derivatives: what it adds is 0 in exact arithmetic."""
    i, j = np.indices((8, 8))
    A = torch.as_tensor(np.where(j < i - 1, 0.0, 8.0 - np.maximum(i, j)))  # Frank's matrix
    C = random(8, 8, dtype=torch.complex128, seed=1)

    def loss(refine: Any) -> Any:
        return lambda A: (C * arreig_torch.eig(A, refine=refine).eigenvectors).sum().real

    plain, refined = grad(loss(False))(A), grad(loss("auto"))(A)
    same_to_rounding(refined, arreig.eig_vjp(A, C.conj()))
    assert (plain != refined).any()
    torch.testing.assert_close(vmap(grad(loss("auto")))(A[None])[0], refined, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(jacfwd(loss("auto"))(A), refined, rtol=1e-10, atol=1e-10)
    hessians = [hessian(loss(refine))(A).reshape(64, 64) for refine in (False, "auto", 2)]
    for H in hessians:
        scale = float(H.abs().max())
        torch.testing.assert_close(H, H.mT, rtol=0, atol=1e-8 * scale)
        torch.testing.assert_close(H, hessians[0], rtol=0, atol=1e-7 * scale)
