"""Shapes, dtypes, devices and synchronisation without a GPU, on torch's fake tensors and a device that does not exist.

Run by test_torch_modes.py in a process of its own.
"""

from typing import Any

import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import arreig
import arreig_torch

DEVICE = "fakegpu:0"


class NoTransfer(TorchDispatchMode):
    """Raises where an operation on the device returns something on the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def devices(tree: Any) -> set[str]:
            return {x.device.type for x in tree_leaves(tree) if isinstance(x, torch.Tensor)}

        out = func(*args, **(kwargs or {}))
        if "fakegpu" in devices((args, kwargs)) and "cpu" in devices(out):
            raise RuntimeError(f"a transfer to the host: {func}")
        return out


def there(*arrays: Any) -> None:
    for x in arrays:
        assert str(x.device) == DEVICE, x.device


def placement() -> None:
    """Forward, backward, their derivatives and the core's functions leave nothing on the host and wait for nothing."""
    A = torch.randn(2, 3, 3, dtype=torch.float64, device=DEVICE, requires_grad=True)
    S = A.detach() + A.detach().mT
    z = torch.ones(3, dtype=torch.float64, device=DEVICE)
    for options in (
        {},
        {"gauge": arreig.Functional(z)},
        {"degeneracy": arreig.Broaden(1e-9), "check": False},
        {"degeneracy": "split"},
        {"degeneracy": "perturb"},
    ):
        w, V, W = arreig_torch.eig(A, sort="abs", left=True, **options)
        (gA,) = torch.autograd.grad(w.abs().sum() + V.abs().sum() + W.abs().sum(), A, create_graph=True)
        (gB,) = torch.autograd.grad(gA.sum(), A)
        there(w, V, W, gA, gB)
        assert gA.shape == gB.shape == A.shape
        assert gA.dtype == gB.dtype == A.dtype
        res = arreig.eig(A.detach(), **options)
        there(*res, res.vjp(res.eigenvectors, res.eigenvalues), *res.jvp(S))
        resh = arreig.eigh(S, **options)
        there(*resh, resh.vjp(resh.eigenvectors, resh.eigenvalues), *resh.jvp(S))
    there(arreig.eigvals_vjp(A.detach(), w.detach()), arreig.eigvalsh_jvp(S, S))
    for f in (
        lambda A: arreig_torch.matrix_function(A, torch.exp, torch.exp),
        lambda A: arreig_torch.matrix_function(A, torch.exp, torch.exp, hermitian=True),
        lambda A: arreig_torch.spectral_projector(A, lambda w: w.real > 0),
        lambda A: arreig_torch.invariant_subspace(A, 2),
    ):
        out = f(A)
        (gA,) = torch.autograd.grad(out.abs().square().sum(), A, create_graph=True)
        there(out, gA, *torch.autograd.grad(gA.sum(), A))
        assert gA.dtype == A.dtype
    there(*arreig_torch.eigh(S), arreig_torch.eigvals(S), arreig_torch.eigvalsh(S))


def catches() -> None:
    """The device would notice."""
    A = torch.randn(3, 3, device=DEVICE)
    for slip, error in ((lambda: A.cpu(), RuntimeError), (lambda: bool((A > 0).all()), DataDependentOutputException)):
        try:
            slip()
        except error:
            continue
        raise AssertionError("not noticed")


if __name__ == "__main__":
    _setup_privateuseone_for_python_backend("fakegpu")
    with FakeTensorMode(), NoTransfer():
        placement()
        print("placement: passed")
        catches()
        print("what the fake device catches: passed")
