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
COMBINATIONS = [
    pytest.param(
        name,
        batch,
        kind,
        gauge,
        dtypes,
        supplied,
        id=f"{name}-{batch}-{kind}-{gauge}-{dtypes}{', supplied' * supplied}",
    )
    for name in EAGER
    for kind in KINDS
    for gauge in GAUGES[kind]
    for batch in BATCHES
    if batch == (3,) or gauge == GAUGES[kind][0]
    for dtypes in PAIRS
    if gauge == GAUGES[kind][0] or dtypes in ("float64", "complex64", "real B")
    for supplied in (False, True)
    if batch == (3,) or not supplied
] + [
    pytest.param(name, (3,), kind, GAUGES[kind][0], dtypes, False, id=f"{name}-{kind}-{dtypes}", marks=marks)
    for name, marks in (("jax", WITH_JAX), *((name, pytest.mark.gpu) for name in ON_GPU))
    for kind, dtypes in (("eig", "float64"), ("eigh", "complex64"))
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


@pytest.mark.parametrize(("lib", "batch", "kind", "gauge", "dtypes", "supplied"), COMBINATIONS, indirect=["lib"])
def test_oracles(lib: Any, batch: tuple[int, ...], kind: str, gauge: str, dtypes: str, supplied: bool) -> None:
    dtype_A, dtype_B = PAIRS[dtypes]
    complex_A, complex_B = dtype_A.startswith("complex"), dtype_B.startswith("complex")
    case = Case.of(kind, complex_A, complex_B, batch, gauge)
    tolerance = TOLERANCE[dtype_A]
    real_dtype = "float64" if dtype_A in ("float64", "complex128") else "float32"
    complex_dtype = {"float64": "complex128", "float32": "complex64"}[real_dtype]

    def array(x: Any) -> Any:
        return lib.array(x, complex_dtype if np.iscomplexobj(x) else real_dtype)

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


def smooth_loss(C: Any, w: Any, V: Any) -> tuple[Any, Any]:
    """gV and gw of <C, exp(B^-1 A)> = <C, V diag(exp w) V^-1>."""
    X = np.linalg.inv(V)
    D = np.exp(w)[..., None, :]
    gV = C @ adjoint(D.swapaxes(-1, -2) * X) - adjoint((V * D) @ X) @ C @ adjoint(X)
    return gV, np.sum(np.conj(V) * (C @ adjoint(X)), axis=-2) * np.conj(np.exp(w))


def smooth_gradients(C: Any, A: Any, B: Any) -> tuple[Any, Any]:
    """gA and gB of the same, by torch and without eigenvectors."""
    a, b = (torch.tensor(X, requires_grad=True) for X in (A, B))
    F = torch.linalg.matrix_exp(torch.linalg.solve(b, a))
    torch.sum(torch.real(torch.tensor(np.conj(C)) * F)).backward()
    return a.grad.numpy(), b.grad.numpy()


def largest_error(pairs: Any) -> float:
    """Of arrays x against references y."""
    return max(float(np.abs(host(x) - y).max() / np.abs(y).max()) for x, y in pairs)


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("kind", KINDS)
def test_torch_differentiates_the_reduced_problem_to_the_same(kind: str, is_complex: bool) -> None:
    """A loss blind to phases, through torch.linalg alone: B^-1 A, or L^-1 A L^-H with B = L L^H."""
    rng = np.random.default_rng(3)
    A, B = pencil(rng, is_complex, is_complex, kind)
    r, a = rng.standard_normal((N, N)), rng.standard_normal(N)
    w, V = getattr(arreig, kind)(A, B, gauge="canonical")
    tA, tB = (torch.tensor(X, requires_grad=True) for X in (A, B))
    if kind == "eig":
        tw, tV = torch.linalg.eig(torch.linalg.solve(tB, tA))
    else:
        L = torch.linalg.cholesky(tB)
        C = torch.linalg.solve(L, torch.linalg.solve(L, (tA + tA.mH) / 2).mH)
        tw, tX = torch.linalg.eigh((C + C.mH) / 2)
        tV = torch.linalg.solve(L.mH, tX)
        tV = tV / torch.linalg.vector_norm(tV, dim=0)
    order = torch.tensor(matching(tw.detach().numpy(), w))
    tw, tV = tw[order], tV[:, order]
    ((torch.tensor(r) * tV.abs() ** 2).sum() + (torch.tensor(a) * tw.abs() ** 2).sum()).backward()
    gA, gB = getattr(arreig, f"{kind}_vjp")(A, 2 * r * V, 2 * a * w, B=B, gauge="canonical")
    expected = tA.grad.numpy(), tB.grad.numpy()
    if kind == "eigh":
        expected = tuple(map(herm, expected))
    assert largest_error(zip((gA, gB), expected, strict=True)) < 1e-12


STANDARD = {
    "separate": lambda rng: rng.standard_normal((6, 6)),
    "close": lambda rng: matrix_with_spectrum([1, 1 + 1e-9, 2, 3, 4, 5.0], rng),
    "repeated": lambda rng: matrix_with_spectrum([1, 1, 2, 3, 4, 5.0], rng),
    "Jordan block": lambda rng: np.eye(6) + np.eye(6, k=1),
    "nearly defective": lambda rng: np.diag(np.arange(1.0, 7)) + 50 * np.triu(np.ones((6, 6)), 1),
    "identity": lambda rng: np.eye(6),
    "zero": lambda rng: np.zeros((6, 6)),
}


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")
@pytest.mark.parametrize("degeneracy", ["raise", "mask", "split", "perturb"])
@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("kind", KINDS)
def test_identity(kind: str, name: str, degeneracy: str) -> None:
    """With B = I the same gradients and tangents, or the same refusal, as without B."""
    rng = np.random.default_rng(4)
    A, C = STANDARD[name](rng), rng.standard_normal((6, 6))
    A, dA = (herm(A), herm(C)) if kind == "eigh" else (A, C)

    def outcomes(B: Any) -> Any:
        options: dict[str, Any] = {"gauge": "canonical", "degeneracy": degeneracy} | (
            {"sort": "real"} if kind == "eig" else {}
        )
        with_B = {} if B is None else {"B": B}
        arguments = (A,) if B is None else (A, B)
        vjp, jvp = getattr(arreig, f"{kind}_vjp"), getattr(arreig, f"{kind}_jvp")
        w, V = getattr(arreig, kind)(*arguments, **options)
        smooth = smooth_loss(C, w, V) if np.linalg.cond(V) < 1e12 else (V, w)
        smooth = (smooth[0].real, smooth[1].real) if kind == "eigh" else smooth
        calls = {
            "vectors": lambda: vjp(A, 2 * np.abs(C) * V, **with_B, **options),
            "smooth": lambda: vjp(A, *smooth, **with_B, **options),
            "values": lambda: vjp(A, None, w**2, **with_B, **options),
            "left": lambda: vjp(A, **({"gW": V} if kind == "eig" else {"gw": 0 * w + 1}), **with_B, **options),
            "jvp": lambda: jvp(A, dA, **with_B, **options)[0],
        }
        found = {}
        for key, call in calls.items():
            try:
                result = call()
                found[key] = result[0] if isinstance(result, tuple) else result
            except arreig.ArreigError as error:
                found[key] = type(error)
        return found

    alone, with_B = outcomes(None), outcomes(np.eye(6))
    # two solvers agree to u kappa, over the gaps of single vectors; and to what a policy moves a smooth loss by
    exact = {"close": 1e-5, "nearly defective": 1e-7}.get(name, 1e-9)
    tolerance = max(exact, {"raise": 0.0, "mask": 0.0, "split": 1e-5, "perturb": 1e-3}[degeneracy])
    for key, expected in alone.items():
        if isinstance(expected, type):
            assert with_B[key] is expected, key
            continue
        assert not isinstance(with_B[key], type), (key, with_B[key])
        # the basis of a cluster is each solver's own
        if key == "smooth" or degeneracy == "raise" or name == "separate":
            assert np.abs(with_B[key] - expected).max() <= tolerance * (np.abs(expected).max() or 1), key


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_scaled(kind: str, dtype: str) -> None:
    """Units of A and B change the derivatives by their powers, and no check."""
    rng = np.random.default_rng(5)
    A, B = (X.astype(dtype) for X in pencil(rng, False, False, kind))
    g, gw = rng.standard_normal((2, N, N)).astype(dtype)
    gw = gw[0]
    jvp, vjp = getattr(arreig, f"{kind}_jvp"), getattr(arreig, f"{kind}_vjp")
    values = getattr(arreig, f"{kind.replace('eig', 'eigvals')}_vjp")
    dA, dB = (herm(X) if kind == "eigh" else X for X in rng.standard_normal((2, N, N)).astype(dtype))
    exponents = (-20, 0, 20) if dtype == "float64" else (-12, 0, 12)
    found = {}
    for p in exponents:
        for q in exponents:
            a, b = (np.asarray(10.0**x, dtype=dtype) for x in (p, q))
            gA, gB = vjp(A * a, g, gw * (b / a), B=B * b, gauge="canonical")
            hA, hB = values(A * a, gw * (b / a), B=B * b)
            dw, dV = jvp(A * a, dA * a, B=B * b, dB=dB * b, gauge="canonical")
            found[p, q] = gA * a, gB * b, hA * a, hB * b, dw * (b / a), dV
    rounding = 1e3 * float(np.finfo(dtype).eps)
    for result in found.values():
        assert largest_error(zip(result, map(host, found[0, 0]), strict=True)) < rounding


def exact_gradients(A: Any, B: Any, r: Any, a: Any, w: Any) -> tuple[Any, Any]:
    """For each pair the gradients (n, n, n) of sum_i r_ij |v_ij|^2/|v_j|^2 + a_j log |w_j|, by differences in 500 bits."""
    n, h = len(A), 2.0**-150
    before, ctx.prec = ctx.prec, 500

    def losses(A: Any, B: Any) -> list[Any]:
        values, V = (B.inv() * A).eig(right=True)
        values, V = [x.mid() for x in values], V.mid()
        order = [int(np.argmin(np.abs(np.array([complex(x) for x in values]) / x - 1))) for x in w]
        out = []
        for j, k in enumerate(order):
            square = [abs(V[i, k]) ** 2 for i in range(n)]
            weighted = sum(float(r[i, j]) * x for i, x in enumerate(square))
            out.append((weighted / sum(square) + float(a[j]) * abs(values[k]).log()).mid())
        return out

    try:
        matrices = [acb_mat(X.astype(complex).tolist()) for X in (A, B)]
        gradients = np.zeros((2, n, n, n))
        for which, i, k in np.ndindex(2, n, n):
            E = acb_mat(n, n)
            E[i, k] = acb(h)
            moved = [[X + sign * E * (index == which) for index, X in enumerate(matrices)] for sign in (1, -1)]
            gradients[which, :, i, k] = [
                float((x - y) / (2 * h)) for x, y in zip(*(losses(*m) for m in moved), strict=True)
            ]
    finally:
        ctx.prec = before
    return gradients[0], gradients[1]


def errors_with_ill_conditioned_B(kind: str, cond: float, seed: int) -> list[Any]:
    """For each pair, by increasing |w|, the relative error of its gradients, or the error that refuses them."""
    rng, n = np.random.default_rng(seed), 5
    U, W = (np.linalg.qr(X)[0] for X in rng.standard_normal((2, n, n)))
    B = U @ np.diag(np.geomspace(1, 1 / cond, n)) @ (U.T if kind == "eigh" else W)
    A = rng.standard_normal((n, n))
    A, B = (herm(A), herm(B)) if kind == "eigh" else (A, B)
    r, a = rng.standard_normal((n, n)), rng.standard_normal(n)
    try:
        w, V = getattr(arreig, kind)(A, B, gauge="canonical")
    except arreig.ArreigError as error:
        return [error]
    exact, results = exact_gradients(A, B, r, a, w), []
    for j in np.argsort(np.abs(w)):
        gV, gw = np.zeros_like(V), np.zeros_like(w)
        gV[:, j], gw[j] = 2 * r[:, j] * V[:, j], a[j] / np.conj(w[j])
        try:
            found = getattr(arreig, f"{kind}_vjp")(A, gV, gw, B=B, gauge="canonical")
        except arreig.ArreigError as error:
            results.append(error)
            continue
        expected = [herm(g[j]) if kind == "eigh" else g[j] for g in exact]
        results.append(largest_error(zip(found, expected, strict=True)))
    return results


@pytest.mark.parametrize("cond", [1e3, 1e10, 1e13])
@pytest.mark.parametrize("kind", KINDS)
def test_ill_conditioned_B(kind: str, cond: float) -> None:
    """Eigenvalues from 1 to cond. Rounding of B moves the large ones by u cond; eig's refinement squares that for the small."""
    u = 2.0**-53
    errors = errors_with_ill_conditioned_B(kind, cond, 6)
    assert max(errors) < 50 * u * cond
    if kind == "eig":
        assert errors[0] < 1e2 * u + (u * cond) ** 2


@pytest.mark.parametrize("cond", [1e14, 1e15, 1e16])
@pytest.mark.parametrize("kind", KINDS)
def test_two_digits_or_a_reason(kind: str, cond: float) -> None:
    for seed in range(5):
        for result in errors_with_ill_conditioned_B(kind, cond, seed):
            assert isinstance(result, arreig.ArreigError) or result < 1e-2


@pytest.mark.parametrize("largest", [1e3, 1e6, 1e10])
def test_repeated_eigenvalues_below_large_ones(largest: float) -> None:
    """The reduction of a definite pencil spreads small eigenvalues by rounding of the large ones, and that is known."""
    rng, w = np.random.default_rng(14), np.array([1.0, 1, 1, 2, 3, largest])
    X = np.eye(6) + 0.4 * rng.standard_normal((6, 6))
    X[:, -1] *= largest**0.5
    Y = np.linalg.inv(X)
    A, B = herm(Y.T @ np.diag(w) @ Y), herm(Y.T @ Y)
    res, g = arreig.eigh(A, B), np.zeros((6, 6))
    spread = np.ptp(res.eigenvalues[:3])
    assert 0 < spread < 1e-13 * largest
    g[:, 0] = 1
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        res.vjp(g)
    g = np.zeros((6, 6))
    g[:, -1] = 1
    res.vjp(g)


def test_lost_precision_of_large_eigenvalues() -> None:
    """Near a Jordan block the terms cancel; where |w| exceeds |A| in units of B it is those of gB that do, and tell."""
    rng, refused, served = np.random.default_rng(15), 0, 0
    for e in (5e-6, 1e-5, 1e-4):
        for beta in (1.0, 0.1, 0.02):
            A, B = scipy.linalg.block_diag([[1, 1], [e * e, 1]], 2.0, 3.0), np.diag([beta, beta, 1, 1])
            for _ in range(20):
                C = np.zeros((4, 4))
                C[:2, :2] = rng.standard_normal((2, 2))
                w, V = arreig.eig(A, B)
                gV, gw = smooth_loss(C, w * beta, V)  # of exp(beta B^-1 A)
                try:
                    found = arreig.eig_vjp(A, gV, gw * beta, B=B, refine=False)
                except arreig.LostPrecisionError:
                    refused += 1
                    continue
                served += 1
                expected = smooth_gradients(C, A, B / beta)
                expected = expected[0], expected[1] / beta
                assert largest_error(zip(found, expected, strict=True)) < 1e-2
    assert refused > 30
    assert served > 30


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
def test_singular_B(is_complex: bool, count: int) -> None:
    """Finite pairs have derivatives, in all directions of B, most of which make the infinite ones finite."""
    rng = np.random.default_rng(8)
    n = 5
    X, Y = (2 * np.eye(n) + random(rng, is_complex, n, n) / 2 for _ in range(2))
    values = np.diag([1.5, 0.7, -0.8, -1.6, 0.4])
    mask = np.diag([0.0] * count + [1.0] * (n - count))
    A, B = X @ (mask @ values + np.eye(n) - mask) @ Y, X @ mask @ Y
    res = arreig.eig(A, B)
    w, V = res
    finite = np.isfinite(w)
    assert np.sum(~finite) == count
    assert (w[~finite] == np.inf + 0j).all()
    np.testing.assert_allclose(np.sort(w[finite].real), np.sort(np.diag(values)[count:]), atol=1e-12)
    assert np.abs(B @ V[:, ~finite]).max() < 1e-14
    gV, gw = random(rng, True, n, n) * finite, random(rng, True, n) * finite

    def loss(A: Any, B: Any) -> Any:
        new, V_new = arreig.eig(A, B)
        order = [int(np.argmin(np.abs(np.where(np.isfinite(new), new, 1e300) - x))) for x in w[finite]]
        return dot(gw[finite], new[order], 1) + dot(gV[:, finite], V_new[:, order], 2)

    gA, gB = res.vjp(gV, gw)
    expected = finite_differences(lambda A: loss(A, B), A), finite_differences(lambda B: loss(A, B), B, step=2e-5)
    assert largest_error(zip((gA, gB), expected, strict=True)) < 1e-7
    dA, dB = random(rng, is_complex, n, n), random(rng, is_complex, n, n)
    dw, dV = res.jvp(dA, dB)
    assert np.isnan(dw[~finite]).all()
    assert np.isnan(dV[:, ~finite]).all()
    defect = adjoint_defect([(gV[:, finite], dV[:, finite]), (gw[finite], dw[finite])], [(gA, dA), (gB, dB)])
    assert defect < 1e-13
    np.testing.assert_allclose(arreig.eigvals_jvp(A, dA, B=B, dB=dB)[finite], dw[finite], rtol=1e-12)
    hA, hB = arreig.eigvals_vjp(A, gw, B=B)
    assert largest_error(zip((hA, hB), res.vjp(0 * gV, gw), strict=True)) < 1e-12
    # what SciPy returns, inf and nan
    w_scipy, V_scipy = scipy.linalg.eig(A, B)
    V_scipy = V_scipy / np.linalg.norm(V_scipy, axis=0)
    w_scipy[~np.isfinite(w_scipy)] = np.inf + 1j * np.nan
    if np.sum(~np.isfinite(w_scipy)) == count:  # its threshold is another
        gw_scipy = np.isfinite(w_scipy) * np.conj(np.where(np.isfinite(w_scipy), w_scipy, 0))
        mine, theirs = (
            arreig.eigvals_vjp(A, g, B=B, **options)
            for g, options in (
                (np.conj(np.where(finite, w, 0)), {}),
                (gw_scipy, {"eigensystem": (w_scipy, V_scipy)}),
            )
        )
        assert largest_error(zip(mine, theirs, strict=True)) < 1e-10
    # infinite pairs
    infinite = int(np.argmin(finite))
    for options in ({"gV": (~finite) * V}, {"gw": 1.0 * ~finite}, {"gW": gV}):
        with pytest.raises(arreig.InfiniteEigenvalueError, match=rf"eigenpair {infinite}, w\[{infinite}\] = inf"):
            arreig.eig_vjp(A, B=B, **options)
        unread = arreig.eig_vjp(A, B=B, check=False, **options)
        assert all(np.isnan(x).all() for x in unread)
    for call in (lambda: arreig.eig(A, B, left=True), lambda: arreig.eig_jvp(A, dA, B=B, left=True)):
        with pytest.raises(arreig.InfiniteEigenvalueError, match="left eigenvectors"):
            call()
    ordered = arreig.eigvals(A, B, sort="abs")
    assert np.isinf(ordered[:count]).all()
    np.testing.assert_allclose(np.abs(ordered[count:]), np.sort(np.abs(w[finite]))[::-1], rtol=1e-12)
    with pytest.raises(arreig.InputError, match="too ill conditioned: degeneracy='split'"):
        arreig.eig(A, B, degeneracy="split")
    with pytest.raises(arreig.EigensystemError, match=r"\|A v - w B v\|"):
        arreig.eig_vjp(A, gV, B=B, eigensystem=(np.where(finite, np.inf, 1.0), V))


def test_defective_infinite_eigenvalue() -> None:
    A, B = np.eye(3), np.diag([0.0, 0, 1]) + np.eye(3, k=1) * [[1], [0], [0]]
    assert np.isinf(arreig.eigvals(A, B)).sum() == 2
    gw = np.isfinite(arreig.eigvals(A, B)) * 1.0
    gA, gB = arreig.eigvals_vjp(A, gw, B=B)
    np.testing.assert_allclose(gA, np.diag([0, 0, 1.0]), atol=1e-14)
    np.testing.assert_allclose(gB, np.diag([0, 0, -1.0]), atol=1e-14)
    with pytest.raises(arreig.DefectiveMatrixError, match=r"the pencil of A and B is numerically defective.*inf"):
        arreig.eig_vjp(A, gw * np.ones((3, 3)), B=B)


def test_eigenvalue_that_rounding_moves_to_infinity() -> None:
    """It is reported as a large number, and has no derivative."""
    A, B = np.eye(2), np.array([[1.0, 1e3], [0, 2e-11]])
    w = arreig.eigvals(A, B, sort="abs")
    assert np.isfinite(w).all()
    for call in (arreig.eigvals_vjp, lambda A, gw, **options: arreig.eig_vjp(A, None, gw, **options)):
        with pytest.raises(arreig.InfiniteEigenvalueError, match=r"eigenpair 0, w\[0\] = 5e\+10"):
            call(A, np.array([1.0, 0]), B=B, sort="abs")
    assert np.isnan(arreig.eigvals_jvp(A, A, B=B, sort="abs")[0])


CLUSTERS = {
    "repeated": np.diag([1.0, 1, 1, 0.3, -0.5, -1.2]),
    "close": np.diag([1.0, 1 + 1e-10, 1 - 1e-10, 0.3, -0.5, -1.2]),
    "repeated conjugates": scipy.linalg.block_diag([[0.3, 1], [-1, 0.3]], [[0.3, 1], [-1, 0.3]], -0.5, -1.2),
    "Jordan block": np.diag([1.0, 1, 1, 0.3, -0.5, -1.2]) + np.eye(6, k=1) * (np.arange(6) == 1),
}


def clustered(rng: np.random.Generator, T: Any, is_complex: bool, kind: str) -> tuple[Any, Any]:
    """A pencil with the eigenvalues of T."""
    X = np.eye(6) + 0.2 * random(rng, is_complex, 6, 6)
    if kind == "eigh":
        Y = np.linalg.inv(X)
        return herm(adjoint(Y) @ T @ Y), herm(adjoint(Y) @ Y)
    B = 2 * np.eye(6) + 0.4 * random(rng, is_complex, 6, 6)
    return B @ X @ T @ np.linalg.inv(X), B


@pytest.mark.parametrize("refine", ["auto", False, 2])
@pytest.mark.parametrize("degeneracy", ["raise", "mask", "split", "perturb"])
@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_smooth_losses_at_clusters(library: str, is_complex: bool, name: str, degeneracy: str, refine: Any) -> None:
    """<C, exp(B^-1 A)>: right where the policy is for such losses, with each kind of eigensystem; refused otherwise."""
    rng = np.random.default_rng(9)
    A, B = clustered(rng, CLUSTERS[name], is_complex, "eig")
    C = rng.standard_normal((6, 6))
    array = np.asarray if library == "numpy" else torch.tensor
    a, b = array(A), array(B)
    options = {"degeneracy": degeneracy, "refine": refine}
    res = arreig.eig(a, b, **options)
    gV, gw = (array(g) for g in smooth_loss(C, *map(host, res)))
    calls = [lambda: res.vjp(gV, gw), lambda: arreig.eig_vjp(a, gV, gw, B=b, eigensystem=res)]
    if degeneracy != "perturb":  # what is supplied is not perturbed
        calls.append(lambda: arreig.eig_vjp(a, gV, gw, B=b, eigensystem=tuple(res), **options))
    tolerance = {"split": 1e-5, "perturb": 2e-4}.get(degeneracy)
    if name == "Jordan block" and degeneracy == "split":
        tolerance = None
    if name == "close" and tolerance is None:
        tolerance = 1e-4  # separate; u over the gap
    if tolerance is None:
        for call in calls:
            with pytest.raises((arreig.DegenerateEigenvaluesError, arreig.DefectiveMatrixError)):
                call()
        return
    expected = smooth_gradients(C, A, B)
    for call in calls:
        assert largest_error(zip(call(), expected, strict=True)) < tolerance
    # tangents, through V diag(exp w) V^-1
    dA, dB = random(rng, is_complex, 6, 6), random(rng, is_complex, 6, 6)
    dw, dV = map(host, res.jvp(array(dA), array(dB)))
    change = np.sum(np.real(np.conj(host(gV)) * dV)) + np.sum(np.real(np.conj(host(gw)) * dw))
    assert abs(change - dot(expected[0], dA, 2) - dot(expected[1], dB, 2)) < 1e-3 * abs(change)


@pytest.mark.parametrize("gauge", ["B-norm", "canonical"])
@pytest.mark.parametrize("degeneracy", ["raise", "mask", "split", "perturb"])
@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_smooth_losses_at_clusters_of_definite_pencils(
    library: str, is_complex: bool, degeneracy: str, gauge: str
) -> None:
    rng = np.random.default_rng(10)
    A, B = clustered(rng, CLUSTERS["repeated"], is_complex, "eigh")
    C = rng.standard_normal((6, 6))
    array = np.asarray if library == "numpy" else torch.tensor
    res = arreig.eigh(array(A), array(B), degeneracy=degeneracy, gauge=gauge)
    gV, gw = smooth_loss(C, *map(host, res))
    gV, gw = array(gV if is_complex else gV.real), array(gw.real)
    calls = [
        lambda: res.vjp(gV, gw),
        lambda: arreig.eigh_vjp(array(A), gV, gw, B=array(B), eigensystem=res),
    ]
    if degeneracy != "perturb":
        pair = {"eigensystem": tuple(res), "degeneracy": degeneracy, "gauge": gauge}
        calls.append(lambda: arreig.eigh_vjp(array(A), gV, gw, B=array(B), **pair))
    for call in calls:
        if degeneracy in ("raise", "mask"):
            with pytest.raises(arreig.DegenerateEigenvaluesError):
                call()
        else:
            expected = map(herm, smooth_gradients(C, A, B))
            assert largest_error(zip(call(), expected, strict=True)) < (1e-5 if degeneracy == "split" else 2e-4)


@pytest.mark.parametrize("is_complex", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("kind", KINDS)
def test_mask(kind: str, is_complex: bool) -> None:
    """Losses on the projector and the mean eigenvalue of a cluster, by differences; the part of gB without a gap, too."""
    rng = np.random.default_rng(11)
    A, B = clustered(rng, CLUSTERS["repeated"], is_complex, kind)
    C = herm(random(rng, is_complex, 6, 6))

    def projector(w: Any, V: Any) -> tuple[Any, Any]:
        near = np.abs(w - 1) < 0.2
        assert near.sum() == 3
        left = adjoint(V) if kind == "eigh" else np.linalg.inv(V)
        return (V * near) @ left, near

    def loss(A: Any, B: Any) -> Any:
        w, V = getattr(arreig, kind)(A, B)
        P, near = projector(w, V)
        return dot(C, P, 2) + np.mean(w[near]).real

    res = getattr(arreig, kind)(A, B, degeneracy="mask")
    w, V = res
    P, near = projector(w, V)
    if kind == "eigh":
        gV = 2 * C @ V * near
    else:
        W = adjoint(np.linalg.inv(V))
        gV = C @ W * near - adjoint(P) @ C @ W
    gw = near / 3 + 0 * w
    expected = [
        finite_differences(f, X, hermitian=kind == "eigh")
        for f, X in ((lambda A: loss(A, B), A), (lambda B: loss(A, B), B))
    ]
    assert largest_error(zip(res.vjp(gV, gw), expected, strict=True)) < 1e-6
    for options in ({"eigensystem": res}, {"eigensystem": (w, V), "degeneracy": "mask"}):
        found = getattr(arreig, f"{kind}_vjp")(A, gV, gw, B=B, **options)
        assert largest_error(zip(found, expected, strict=True)) < 1e-6
    dA, dB = random(rng, is_complex, 6, 6), random(rng, is_complex, 6, 6)
    dA, dB = (herm(dA), herm(dB)) if kind == "eigh" else (dA, dB)
    dw, dV = res.jvp(dA, dB)
    assert adjoint_defect([(gV, dV), (gw, dw)], zip(res.vjp(gV, gw), (dA, dB), strict=True)) < 1e-12
    single = np.zeros_like(V)
    single[:, int(np.argmax(near))] = random(rng, is_complex, 6)
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="basis inside it"):
        res.vjp(single)
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="Single eigenvalues"):
        getattr(arreig, f"{kind.replace('eig', 'eigvals')}_jvp")(A, dA, B=B, dB=dB)


def test_eigensystem_of_another_library_call() -> None:
    """SciPy's, of any phase; the scale is the gauge's."""
    rng = np.random.default_rng(12)
    A, B = pencil(rng, False, False, "eigh")
    g = rng.standard_normal((N, N))
    w, V = scipy.linalg.eigh(A, B)
    mine = arreig.eigh(A, B)
    sign = np.sign(np.sum(V * mine.eigenvectors, axis=0))
    found = arreig.eigh_vjp(A, g * sign, B=B, eigensystem=(w, V))
    assert largest_error(zip(found, mine.vjp(g), strict=True)) < 1e-12
    with pytest.raises(arreig.EigensystemError, match="not scaled as"):
        arreig.eigh_vjp(A, g, B=B, eigensystem=(w, 2 * V))
    # every basis consists of eigenvectors of A v = w A v
    X = rng.standard_normal((N, N))
    X = X / np.sqrt(np.sum(X * (B @ X), axis=0))
    with pytest.raises(arreig.EigensystemError, match=r"\|Q\^H B Q - I\|"):
        arreig.eigh_vjp(B, g, B=B, eigensystem=(np.ones(N), X), degeneracy="mask")


GOOD = np.array([[2.0, 1.0], [0.5, 3.0]])
SYMMETRIC = np.array([[2.0, 1.0], [1.0, 3.0]])
MESSAGES = {
    "shape": (
        lambda: arreig.eig(GOOD, np.stack([GOOD, GOOD])),
        arreig.InputError,
        "B must have the shape of A, batch incl",
    ),
    "batch": (lambda: arreig.eig(np.stack([GOOD, GOOD]), GOOD), arreig.InputError, "neither is broadcast"),
    "precision": (
        lambda: arreig.eig(GOOD, GOOD.astype("float32")),
        arreig.InputTypeError,
        "B must have the precision of A",
    ),
    "library": (lambda: arreig.eig(GOOD, torch.tensor(GOOD)), arreig.InputTypeError, "B must come from A's library"),
    "list": (lambda: arreig.eig(GOOD, GOOD.tolist()), arreig.InputTypeError, "B must be a dense array"),
    "finite": (
        lambda: arreig.eig(GOOD, GOOD * [[np.nan, 1], [1, 1]]),
        arreig.NonFiniteError,
        r"B must be finite, but entry \(0, 0",
    ),
    "tracked": (
        lambda: arreig.eig(torch.tensor(GOOD), torch.tensor(GOOD, requires_grad=True)),
        arreig.InputTypeError,
        "B is tracked for differentiation",
    ),
    "singular pencil": (lambda: arreig.eig(np.diag([1.0, 0]), np.diag([2.0, 0])), arreig.InputError, "singular pencil"),
    "zero": (lambda: arreig.eig(np.zeros((2, 2)), np.diag([2.0, 0])), arreig.InputError, "singular pencil"),
    "conditioned": (
        lambda: arreig.eig(torch.tensor(GOOD), torch.diag(torch.tensor([1.0, 1e-9], dtype=torch.float64))),
        arreig.InputError,
        "B is too ill conditioned: this library multiplies A by the inverse of B.*1e-09 of the largest.*NumPy",
    ),
    "Hermitian": (lambda: arreig.eigh(SYMMETRIC, GOOD), arreig.InputError, r"B must be Hermitian.*\|B - B\^H\|"),
    "definite": (
        lambda: arreig.eigh(SYMMETRIC, np.diag([1.0, -0.25])),
        arreig.InputError,
        "positive definite.*-0.25 times",
    ),
    "definite, torch": (
        lambda: arreig.eigvalsh(torch.tensor(SYMMETRIC), -torch.eye(2, dtype=torch.float64)),
        arreig.InputError,
        "B must be positive definite",
    ),
    "semidefinite": (
        lambda: arreig.eigh(SYMMETRIC, np.diag([1.0, 0])),
        arreig.InputError,
        "positive definite, but.* 0 times",
    ),
    "B-norm of eig": (lambda: arreig.eig(GOOD, GOOD, gauge="B-norm"), arreig.InputError, "B-norm.*needs.*eigh"),
    "B-norm without B": (lambda: arreig.eigh(SYMMETRIC, gauge="B-norm"), arreig.InputError, "B-norm.*needs.*canonical"),
    "gauge": (
        lambda: arreig.eigh(SYMMETRIC, SYMMETRIC, gauge="x"),
        arreig.InputError,
        "gauge must be 'B-norm', 'canonical'",
    ),
    "dB alone": (lambda: arreig.eig_jvp(GOOD, GOOD, dB=GOOD), arreig.InputError, "there is no B"),
    "complex dB": (lambda: arreig.eig_jvp(GOOD, GOOD, B=GOOD, dB=1j * GOOD), arreig.InputTypeError, "dB must be real"),
    "result with B": (
        lambda: arreig.eig_vjp(GOOD, GOOD, eigensystem=arreig.eig(GOOD, GOOD @ GOOD)),
        arreig.InputError,
        "pass its B",
    ),
    "result without": (
        lambda: arreig.eig_vjp(GOOD, GOOD, B=GOOD, eigensystem=arreig.eig(GOOD)),
        arreig.InputError,
        "without B",
    ),
    "other B": (
        lambda: arreig.eig_vjp(GOOD, GOOD, B=GOOD, eigensystem=arreig.eig(GOOD, GOOD @ GOOD)),
        arreig.EigensystemError,
        r"\|A v - w B v\|",
    ),
    "result's dtype": (
        lambda: arreig.eig_vjp(GOOD, GOOD, B=GOOD + 0j, eigensystem=arreig.eig(GOOD, GOOD)),
        arreig.InputTypeError,
        "B has dtype complex128",
    ),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages(name: str) -> None:
    call, error, message = MESSAGES[name]
    with pytest.raises(error, match=message):
        call()


@WITH_JAX
@pytest.mark.parametrize("kind", KINDS)
def test_traced(kind: str) -> None:
    """Under jax.jit or vmap a member with an error is NaN, as without checks; the others are as without."""
    rng = np.random.default_rng(13)
    A, B = (np.stack(X) for X in zip(*(pencil(rng, False, False, kind) for _ in range(3)), strict=True))
    g = rng.standard_normal((3, N, N))
    B[1] = -B[1] if kind == "eigh" else B[1] * (np.arange(N) > 0)

    def gradients(A: Any, B: Any, g: Any) -> Any:
        return getattr(arreig, f"{kind}_vjp")(A, g, B=B, gauge="canonical")

    good = np.array([0, 2])
    expected = gradients(A[good], B[good], g[good])
    unread = getattr(arreig, f"{kind}_vjp")(A, g, B=B, gauge="canonical", check=False)
    transform = jax.jit if kind == "eig" else jax.vmap
    for found in (transform(gradients)(A, B, g), unread):
        for x, y in zip(found, expected, strict=True):
            assert np.isnan(np.asarray(x)[1]).all()
            np.testing.assert_allclose(np.asarray(x)[good], y, atol=1e-11 * np.abs(y).max())


def test_integers_and_empty() -> None:
    w, V = arreig.eigh(np.array([[2]]), np.array([[4]]))
    np.testing.assert_allclose(w, [0.5])
    np.testing.assert_allclose(V, [[0.5]])
    for shape in ((0, 3, 3), (2, 0, 0)):
        empty = np.zeros(shape)
        for kind in KINDS:
            assert [x.shape for x in getattr(arreig, f"{kind}_vjp")(empty, empty, B=empty)] == [shape, shape]
            assert [x.shape for x in getattr(arreig, f"{kind}_jvp")(empty, empty, B=empty)] == [shape[:-1], shape]
