"""A V = B V diag(w) against the oracles, the standard problem, torch's autograd, and differences in 400 bits."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np
import pytest
import scipy.linalg
import torch
from flint import acb, acb_mat, ctx

import arreig
from arreig.testing import (
    adjoint_defect,
    directional_difference,
    equation_defect,
    finite_differences,
    host,
    matching,
    matrix_with_spectrum,
)
from tests.conftest import BATCHES, EAGER, ON_GPU, WITH_JAX
from tests.decompositions.test_oracles import TOLERANCE, Z, dot

N = 4
GAUGES = {"eig": ("canonical", "phase-free", "Component", "Functional")}
GAUGES["eigh"] = ("B-norm", *GAUGES["eig"])
KINDS = ("eig", "eigh")
# dtypes of A and B; the mixed ones have complex vectors and one real gradient
PAIRS = {
    "float64": ("float64", "float64"),
    "complex128": ("complex128", "complex128"),
    "float32": ("float32", "float32"),
    "complex64": ("complex64", "complex64"),
    "real A": ("float64", "complex128"),
    "real B": ("complex128", "float64"),
}
EAGERLY = [
    pytest.param(name, batch, kind, gauge, id=f"{name}-{batch}-{kind}-{gauge}")
    for name in EAGER
    for kind in KINDS
    for gauge in GAUGES[kind]
    for batch in BATCHES
    if batch == (3,) or gauge == GAUGES[kind][0]
]
ONCE = [
    pytest.param(name, (3,), kind, GAUGES[kind][0], id=f"{name}-{kind}", marks=marks)
    for name, marks in (("jax", WITH_JAX), *((name, pytest.mark.gpu) for name in ON_GPU))
    for kind in KINDS
]


def herm(X: Any) -> Any:
    return (X + np.conj(np.swapaxes(X, -1, -2))) / 2


def adjoint(X: Any) -> Any:
    return np.conj(np.swapaxes(X, -1, -2))


def random(rng: np.random.Generator, is_complex: bool, *shape: int) -> Any:
    x = rng.standard_normal(shape)
    return x + 1j * rng.standard_normal(shape) if is_complex else x


def gauge_of(name: str, array: Any, complex_vectors: bool) -> Any:
    if name == "Component":
        return arreig.Component(-2)
    if name == "Functional":
        return arreig.Functional(array(Z * np.exp(0.3j * np.arange(N)) if complex_vectors else Z))
    return name


def pencil(rng: np.random.Generator, complex_A: bool, complex_B: bool, kind: str) -> tuple[Any, Any]:
    """Matrices on which every gauge is well conditioned, with gaps, so that differences keep ten digits."""
    for _ in range(10000):
        A, B = random(rng, complex_A, N, N), 2 * np.eye(N) + random(rng, complex_B, N, N)
        if kind == "eigh":
            A, B = herm(A), np.eye(N) + herm(B @ adjoint(B)) / 4
        w, V = scipy.linalg.eig(A, B)
        V = V / np.linalg.norm(V, axis=0)
        size = np.sort(np.abs(V), axis=0)
        held = min(np.abs(V[-2]).min(), np.abs(np.conj(Z * np.exp(0.3j * np.arange(N))) @ V).min(), np.abs(Z @ V).min())
        gap = np.abs(w[:, None] - w + 1e3 * np.eye(N)).min()
        tame = (size[-2] / size[-1]).max() < 0.95 and np.linalg.cond(V) < 12 and np.linalg.cond(B) < 12
        if held > 0.15 and gap > 0.25 and np.abs(w).max() < 3 and tame:
            return A, B
    raise AssertionError("no pencil found")


@dataclass(frozen=True, eq=False)
class Case:
    """A batch of pencils in double precision with what must come out of their derivatives."""

    A: Any
    B: Any
    dA: Any
    dB: Any
    w: Any
    V: Any
    gw: Any
    gV: Any
    gW: Any  # of (B V)^-H, for eig in the gauges that fix the phase
    gA: Any  # by finite differences
    gB: Any
    dw: Any
    dV: Any

    @staticmethod
    @cache
    def of(kind: str, complex_A: bool, complex_B: bool, batch: tuple[int, ...], gauge: str) -> "Case":
        rng = np.random.default_rng(len(batch) + 10 * complex_A + 20 * complex_B)
        complex_vectors = complex_A or complex_B or kind == "eig"
        hermitian = kind == "eigh"
        count = int(np.prod(batch))
        A, B = (
            np.stack(X).reshape(*batch, N, N)
            for X in zip(*(pencil(rng, complex_A, complex_B, kind) for _ in range(count)), strict=True)
        )
        dA, dB = random(rng, complex_A, *batch, N, N), random(rng, complex_B, *batch, N, N)
        dA, dB = (herm(dA), herm(dB)) if hermitian else (dA, dB)
        options = {"gauge": gauge_of(gauge, np.asarray, complex_vectors)}
        if not hermitian:
            options["left"] = True
        forward = getattr(arreig, kind)
        w, V, *_ = forward(A, B, **options)
        gw, R = random(rng, not hermitian, *batch, N), random(rng, complex_vectors, *batch, N, N)
        gW = random(rng, True, *batch, N, N) if not hermitian and gauge != "phase-free" else None
        r = rng.standard_normal((*batch, N, N))
        invariant = gauge == "phase-free"  # sum r |V|^2

        def followed(A: Any, B: Any) -> tuple[Any, ...]:
            found = forward(A, B, **options)
            order = matching(found[0], w)
            return (
                np.take_along_axis(found[0], order, -1),
                *(np.take_along_axis(X, order[..., None, :], -1) for X in found[1:]),
            )

        def loss(A: Any, B: Any) -> Any:
            w, V, *W = followed(A, B)
            if invariant:
                return dot(gw, w, 1) + np.sum(r * np.abs(V) ** 2, axis=(-2, -1))
            return dot(gw, w, 1) + dot(R, V, 2) + (dot(gW, W[0], 2) if W else 0)

        def along(index: int) -> Any:
            """By t in A + t dA, B + t dB."""
            t = np.zeros((*batch, 1, 1))
            return directional_difference(lambda t: followed(A + t * dA, B + t * dB)[index], t, t + 1, step=2e-4)

        return Case(
            A=A,
            B=B,
            dA=dA,
            dB=dB,
            w=w,
            V=V,
            gw=gw,
            gV=2 * r * V if invariant else R,
            gW=gW,
            gA=finite_differences(lambda A: loss(A, B), A, hermitian=hermitian),
            gB=finite_differences(lambda B: loss(A, B), B, hermitian=hermitian),
            dw=along(0),
            dV=None if invariant else along(1),
        )


@pytest.mark.parametrize("supplied", [False, True], ids=["own", "supplied"])
@pytest.mark.parametrize("dtypes", PAIRS)
@pytest.mark.parametrize(("lib", "batch", "kind", "gauge"), [*EAGERLY, *ONCE], indirect=["lib"])
def test_oracles(lib: Any, batch: tuple[int, ...], kind: str, gauge: str, dtypes: str, supplied: bool) -> None:
    dtype_A, dtype_B = PAIRS[dtypes]
    complex_A, complex_B = dtype_A.startswith("complex"), dtype_B.startswith("complex")
    case = Case.of(kind, complex_A, complex_B, batch, gauge)
    double = dtype_A in ("float64", "complex128")
    tolerance = TOLERANCE[dtype_A]

    def array(x: Any) -> Any:
        return lib.array(
            x,
            ("complex128" if double else "complex64")
            if np.iscomplexobj(x)
            else dtype_A.replace("complex128", "float64").replace("complex64", "float32"),
        )

    A, B, dA, dB = map(array, (case.A, case.B, case.dA, case.dB))
    options: dict[str, Any] = {"gauge": gauge_of(gauge, array, complex_A or complex_B or kind == "eig")}
    if supplied:
        w, V = array(case.w), array(case.V)
        options["eigensystem"] = (w, V)
    else:
        w, V = getattr(arreig, kind)(A, B, **options)
    order = matching(w, case.w)
    back = np.argsort(order, axis=-1)
    gw = array(np.take_along_axis(case.gw, back, -1))
    gV_ref = case.gV
    if gauge == "phase-free":  # whatever phase the library leaves
        V_ref = np.take_along_axis(host(V), order[..., None, :], -1)
        gV_ref = case.gV * np.sum(np.conj(case.V) * V_ref, axis=-2, keepdims=True)
    gV = array(np.take_along_axis(gV_ref, back[..., None, :], -1))
    vjp, jvp = getattr(arreig, f"{kind}_vjp"), getattr(arreig, f"{kind}_jvp")
    outputs = []
    if case.gW is None:
        gA, gB = vjp(A, gV, gw, B=B, **options)
        dw, dV = jvp(A, dA, B=B, dB=dB, **options)
    else:
        gW = array(np.take_along_axis(case.gW, back[..., None, :], -1))
        gA, gB = vjp(A, gV, gw, gW=gW, B=B, **options)
        dw, dV, dW = jvp(A, dA, B=B, dB=dB, left=True, **options)
        outputs = [(gW, dW)]
    np.testing.assert_allclose(np.take_along_axis(host(w), order, -1), case.w, atol=tolerance)
    for x, like in ((gA, A), (gB, B), (dw, w), (dV, V)):
        assert type(x) is type(A)
        assert (x.dtype, x.device) == (like.dtype, A.device)
    for g, expected in ((gA, case.gA), (gB, case.gB)):
        np.testing.assert_allclose(host(g), expected, atol=tolerance * np.abs(expected).max())
    np.testing.assert_allclose(np.take_along_axis(host(dw), order, -1), case.dw, atol=tolerance * np.abs(case.dw).max())
    if case.dV is not None:
        dV_ref = np.take_along_axis(host(dV), order[..., None, :], -1)
        np.testing.assert_allclose(dV_ref, case.dV, atol=tolerance * np.abs(case.dV).max())
    rounding = 1e3 * float(np.finfo(dtype_A).eps)
    assert equation_defect(A, w, V, dA, dw, dV, B=B, dB=dB).max() < rounding
    assert adjoint_defect([(gV, dV), (gw, dw), *outputs], [(gA, dA), (gB, dB)]) < rounding
    # a fixed B
    dw, dV = jvp(A, dA, B=B, **options)
    assert equation_defect(A, w, V, dA, dw, dV, B=B).max() < rounding
    # eigenvalues alone
    values = kind.replace("eig", "eigvals")
    known = {"eigensystem": options["eigensystem"]} if supplied else {}
    for mine, other in zip(
        getattr(arreig, f"{values}_vjp")(A, gw, B=B, **known), vjp(A, 0 * gV, gw, B=B, **options), strict=True
    ):
        np.testing.assert_allclose(host(mine), host(other), atol=tolerance * np.abs(host(other)).max())
    np.testing.assert_allclose(
        host(getattr(arreig, f"{values}_jvp")(A, dA, B=B, **known)), host(dw), atol=tolerance * np.abs(case.dw).max()
    )
