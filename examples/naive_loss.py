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
"""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

import arreig
from arreig.testing import finite_differences

Array: TypeAlias = NDArray[Any]

WEIGHTS: Array = np.array([1.0, 2.0, 4.0])


def matrices() -> dict[str, Array]:
    """Matrices whose pair 0 (sort="real": the one of largest real part) is real, and complex."""
    seeds = {"real": 2, "complex": 1}
    return {kind: np.random.default_rng(seed).standard_normal((3, 3)) for kind, seed in seeds.items()}


def naive_loss(V: Array) -> float:
    """Re v^T v."""
    return float(np.sum(V[:, 0] ** 2).real)


def naive_cotangent(V: Array) -> Array:
    """gV of naive_loss: 2 conj(v) in column 0."""
    gV = np.zeros_like(V)
    gV[:, 0] = 2 * V[:, 0].conj()
    return gV


def invariant_loss(V: Array) -> float:
    """sum_i weights_i |v_i|^2."""
    return float(np.sum(WEIGHTS * np.abs(V[:, 0]) ** 2))


def invariant_cotangent(V: Array) -> Array:
    """gV of invariant_loss: 2 weights v in column 0."""
    gV = np.zeros_like(V)
    gV[:, 0] = 2 * WEIGHTS * V[:, 0]
    return gV


LOSSES: dict[str, tuple[Callable[[Array], float], Callable[[Array], Array]]] = {
    "Re sum(V[:, 0]**2)": (naive_loss, naive_cotangent),
    "sum(weights * abs(V[:, 0])**2)": (invariant_loss, invariant_cotangent),
}


def eigenvectors(A: Array) -> Array:
    """V in the canonical gauge."""
    V: Array = arreig.eig(A, sort="real").eigenvectors
    return V


def of_matrix(loss: Callable[[Array], float]) -> Callable[[Array], float]:
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
    print("Either:     the second loss is a function of A alone, and so is its gradient.")


if __name__ == "__main__":
    main()
