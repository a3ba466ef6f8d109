"""Two losses on the eigenvector v = V[:, 0] of a real 3x3 matrix: one has a gradient, one has a gradient per gauge.

    naive       L = Re sum_i v_i^2 = Re v^T v                dL = Re(2 v^T dv)               gv = 2 conj(v)
    invariant   L = sum_i weights_i |v_i|^2                  dL = Re(2 (weights v)^H dv)     gv = 2 weights v

with dL = Re(gv^H dv), that is gv = dL/dRe v + i dL/dIm v. The sum v^T v is complex where v is, and a loss is a real number,
so the real part is taken. Replace v by exp(i phi) v, an eigenvector of norm 1 as good as v:

- v^T v becomes exp(2 i phi) v^T v. The equation A v = w v and norm 1 leave phi open, and eigensolvers promise none.
  * v real: it stays real as a real A varies, and v^T v = |v|^2 = 1. The loss is constant, its gradient 0, at either sign.
    gauge="phase-free" accepts it: exp(i phi) v has the loss cos(2 phi), whose derivative at the real v, phi = 0, is 0.
  * v complex: value and gradient are those of the phase convention (the gauge). In arreig's canonical gauge, the largest
    component real and positive, both are well defined, but another solver's phases give another loss.
    gauge="phase-free" refuses the loss here, as torch.linalg.eig does in its backward.
- |v_i|^2 stays as it is: one value and one gradient in every gauge.

In torch, `.backward()` through arreig_torch.eig gives these gradients. torch.linalg.eig returns LAPACK's vectors: norm 1 and,
for a real A, the largest component real, of either sign. Both losses are even in v, so they have the canonical gauge's values
there, and by finite differences its gradients. Its backward, however, requires Im(v^H gv) = 0, up to 0.01 whatever the size
of the loss: it refuses the first loss and accepts a thousandth of it, with the gradient of no gauge, for 0 w added to the loss
changes it. (It has phases with Im(u^H dv) = 0, u the left eigenvector, and where w is not used, gw = i Im(v^H gv).)
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
from implicit_grad_eig import (
    Array,
    Tensor,
    deviation,
    lapack_eigenvectors,
    outcome,
    torch_eigenvectors,
    torch_grad_eig,
    where_installed,
)

import arreig
from arreig.testing import finite_differences

WEIGHTS = (1.0, 2.0, 4.0)


def matrices() -> dict[str, Array]:
    """Matrices whose pair 0 (sort="real": the one of largest real part) is real, and complex."""
    seeds = {"real": 2, "complex": 1}
    return {kind: np.random.default_rng(seed).standard_normal((3, 3)) for kind, seed in seeds.items()}


def naive_loss(V: Any) -> Any:
    """Re v^T v, of an array or a tensor."""
    return (V[:, 0] ** 2).sum().real


def naive_cotangent(V: Array) -> Array:
    """gV of naive_loss: 2 conj(v) in column 0."""
    gV = np.zeros_like(V)
    gV[:, 0] = 2 * V[:, 0].conj()
    return gV


def invariant_loss(V: Any) -> Any:
    """sum_i weights_i |v_i|^2, of an array or a tensor."""
    return sum(weight * abs(x) ** 2 for weight, x in zip(WEIGHTS, V[:, 0], strict=True))


def invariant_cotangent(V: Array) -> Array:
    """gV of invariant_loss: 2 weights v in column 0."""
    gV = np.zeros_like(V)
    gV[:, 0] = 2 * np.array(WEIGHTS) * V[:, 0]
    return gV


LOSSES: dict[str, tuple[Callable[[Any], Any], Callable[[Array], Array]]] = {
    "Re sum(V[:, 0]**2)": (naive_loss, naive_cotangent),
    "sum(weights * abs(V[:, 0])**2)": (invariant_loss, invariant_cotangent),
}


def eigenvectors(A: Array) -> Array:
    """V in the canonical gauge."""
    V: Array = arreig.eig(A, sort="real").eigenvectors
    return V


def of_matrix(loss: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """A -> L(V(A)), V in the canonical gauge, for finite differences."""
    return lambda A: loss(eigenvectors(A))


def gradient(
    A: Array, cotangent: Callable[[Array], Array], gauge: Literal["canonical", "phase-free"] = "canonical"
) -> Array:
    """gA = dL/dA of a loss on V, from its gV."""
    res = arreig.eig(A, gauge=gauge, sort="real")
    gA: Array = res.vjp(cotangent(res.eigenvectors))
    return gA


def rephased(V: Array, seed: int) -> Array:
    """V diag(exp(i phi)), random phi: eigenvectors of norm 1, as another solver could return them."""
    phi = np.random.default_rng(seed).uniform(0, 2 * np.pi, V.shape[-1])
    rotated: Array = V * np.exp(1j * phi)
    return rotated


def torch_gradient(
    A: Array, loss: Callable[[Tensor], Tensor], eigenvectors: Callable[[Tensor], Tensor], scale: float
) -> Array:
    """gA of ``scale * loss`` by `.backward()`, divided by the scale."""
    return torch_grad_eig(A, lambda V: scale * loss(V), eigenvectors) / scale


def torch_differences(A: Array, loss: Callable[[Tensor], Tensor]) -> Array:
    """gA by finite differences of the loss on what torch.linalg.eig returns."""
    import torch

    return finite_differences(lambda A: loss(lapack_eigenvectors(torch.tensor(A))), A)


TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "arreig_torch.eig": torch_eigenvectors,
    "  gauge='phase-free'": partial(torch_eigenvectors, gauge="phase-free"),
    "torch.linalg.eig": lapack_eigenvectors,
}


def torch_half() -> None:
    """`.backward()` of both losses and of a thousandth of them where pair 0 is complex."""
    A = matrices()["complex"]
    print("torch, pair 0 complex: deviation from dL/dA above (of L/1000: from its thousandth), relative")
    for name, (loss, cotangent) in LOSSES.items():
        gA = gradient(A, cotangent)
        V = eigenvectors(A)
        print(f"  L = {name}: Im(v^H gv) = {np.vdot(V, cotangent(V)).imag:.3f}, torch.linalg.eig's threshold 0.01")
        for name_of_eig, V_of in TORCH.items():
            for what, scale in {"L.backward()": 1, "(L/1000).backward()": 1e-3}.items():
                print(f"    {name_of_eig:22}{what:21}{outcome(partial(torch_gradient, A, loss, V_of, scale), gA)}")
        print(f"    {'torch.linalg.eig':22}{'finite differences':21}{deviation(torch_differences(A, loss), gA):.1e}")


def main() -> None:
    """Value, gradient and finite differences of both losses, in two gauges and at random phases."""
    for kind, A in matrices().items():
        V = eigenvectors(A)
        print(f"Pair 0 {kind}: v = {np.round(V[:, 0] if kind == 'complex' else V[:, 0].real, 4)}")
        for name, (loss, cotangent) in LOSSES.items():
            gA = gradient(A, cotangent)
            error = np.abs(gA - finite_differences(of_matrix(loss), A)).max()
            entries = np.array2string(np.round(gA, 4) + 0.0, prefix=" " * 29)  # + 0.0: no -0
            print(f"  L = {name}")
            print(f"    value                    {loss(V):.6f}")
            print(f"    dL/dA, canonical gauge   {entries}")
            print(f"    from finite differences  {error:.1e} away at most, of all entries")
            if kind == "complex":
                print(f"    values at random phases  {', '.join(f'{loss(rephased(V, s)):.6f}' for s in range(3))}")
            else:  # the sign is all that is open: eigensolvers return the eigenvector of a real pair real
                print(f"    value at -v              {loss(-V):.6f}")
            try:
                difference = np.abs(gradient(A, cotangent, gauge="phase-free") - gA).max()
                print(f"    gauge='phase-free'       the same gradient, difference {difference:.1e}")
            except arreig.GaugeDependentLossError as refusal:
                print(f"    gauge='phase-free'       {type(refusal).__name__}: {str(refusal).split(':')[0]}")
        print()
    print("v real:     the first loss is |v|^2 = 1, its gradient 0; it says nothing about A.")
    print("v complex:  the first loss and its gradient belong to the canonical gauge; other phases give others.")
    print("Either:     the second loss is a function of A alone, and so is its gradient.\n")
    where_installed(torch_half)


if __name__ == "__main__":
    main()
