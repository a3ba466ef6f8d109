"""Every combination of options against the oracles: differentiated equation, adjoint identity, finite differences.

The finite differences are those of the forward function itself, in double precision, eigenvalues matched, with losses that
depend on the gauge wherever the gauge fixes the vectors. Single precision is compared with them too.
"""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pytest

import arreig
from arreig.testing import adjoint_defect, directional_difference, equation_defect, finite_differences, host, matching
from tests.conftest import BATCHES, DEGENERACIES, EAGER, ON_GPU, WITH_JAX

N = 4
Z = np.array([1.0, -0.4, 0.7, 0.9])
GAUGES = ("canonical", "phase-free", "Component", "Functional")
# Libraries with batch shapes; one shape for JAX, which compiles for each, and for a GPU.
EAGERLY = [
    pytest.param(name, batch, kind, id=f"{name}-{batch}-{kind}")
    for name in EAGER
    for batch in BATCHES
    for kind in ("eig", "eigh", *(["eig, refine=2", "eig, refine=False"] if batch == (3,) else []))
]
ONCE = [
    pytest.param(name, (3,), kind, id=f"{name}-{kind}", marks=pytest.mark.gpu if name in ON_GPU else WITH_JAX)
    for name in ("jax", *ON_GPU)
    for kind in ("eig", "eigh")
]
# Gradients of matrices with gaps around 0.5 and condition numbers below 10; single precision has u = 6e-8.
TOLERANCE = {"float64": 1e-8, "complex128": 1e-8, "float32": 2e-4, "complex64": 2e-4}


def gauge_of(name: str, array: Any, dtype: str, kind: str) -> Any:
    """The gauge's option; a complex functional wherever the vectors may be complex."""
    if name == "Component":
        return arreig.Component(-2)
    if name == "Functional":
        complex_z = kind == "eig" or dtype.startswith("complex")
        return arreig.Functional(array(Z * np.exp(0.3j * np.arange(N)) if complex_z else Z))
    return name


def dot(x: Any, y: Any, axes: int) -> Any:
    """<x, y> over the last axes."""
    return np.sum(np.real(np.conj(x) * y), axis=tuple(range(-axes, 0)))


@dataclass(frozen=True, eq=False)
class Loss:
    """<gw, w> + <gV, V> + <gW, W>; or, for a gauge that leaves the phase open, <gw, w> + sum_j Re(v_j^H M_j v_j)."""

    gw: Any
    gV: Any
    gW: Any  # of the left eigenvectors of eig, or None
    M: Any  # (..., n, n, n), one matrix for each eigenvector, or None

    def value(self, w: Any, V: Any) -> Any:
        if self.gW is not None:
            W = np.conj(np.swapaxes(np.linalg.inv(V), -1, -2))
            return dot(self.gw, w, 1) + dot(self.gV, V, 2) + dot(self.gW, W, 2)
        if self.M is None:
            return dot(self.gw, w, 1) + dot(self.gV, V, 2)
        Mv = np.einsum("...jab,...bj->...aj", self.M, V)
        return dot(self.gw, w, 1) + dot(V, Mv, 2)

    def cotangents(self, V: Any) -> tuple[Any, Any]:
        if self.M is None:
            return self.gV, self.gw
        H = self.M + np.conj(np.swapaxes(self.M, -1, -2))
        g = np.einsum("...jab,...bj->...aj", H, V)
        return (g if np.iscomplexobj(V) else g.real), self.gw


def matrix(rng: np.random.Generator, is_complex: bool, hermitian: bool) -> Any:
    """A matrix with gaps of order one on which every gauge is well conditioned, so that differences keep ten digits."""
    spectrum = np.diag([2.0, 0.9, -0.4, -1.5]).astype(complex if is_complex else float)
    if not hermitian and is_complex:
        spectrum[2, 2] += 0.8j
    elif not hermitian:
        spectrum[1:3, 1:3] = [[0.3, 1.1], [-1.1, 0.3]]
    while True:
        X = np.eye(N) + 0.5 * rng.standard_normal((N, N))
        if is_complex:
            X = X + 0.5j * rng.standard_normal((N, N))
        if hermitian:
            X = np.linalg.qr(X)[0]
        A = X @ spectrum @ np.linalg.inv(X)
        V = np.linalg.eig(A)[1]
        size = np.sort(np.abs(V), axis=0)
        functional = np.abs(np.conj(Z * np.exp(0.3j * np.arange(N))) @ V), np.abs(Z @ V)
        held = min(np.abs(V[-2]).min(), *(f.min() for f in functional))
        if held > 0.25 and (size[-2] / size[-1]).max() < 0.95 and np.linalg.cond(V) < 8:
            return (A + np.conj(A.T)) / 2 if hermitian else A


@dataclass(frozen=True, eq=False)
class Case:
    """A batch of matrices in double precision with what must come out of their derivatives."""

    A: Any
    dA: Any
    w: Any
    V: Any  # as supplied: of any phase where the gauge allows it
    loss: Loss
    gA: Any  # by finite differences
    dw: Any
    dV: Any

    @staticmethod
    @cache
    def of(
        kind: str, is_complex: bool, batch: tuple[int, ...], gauge: str, supplied: bool, perturbed: float | None
    ) -> "Case":
        """With perturbed the forward is that of Perturb(perturbed)."""
        rng = np.random.default_rng(len(batch) + 10 * is_complex + 100 * GAUGES.index(gauge))

        def random(*shape: int, real: bool = False) -> Any:
            x = rng.standard_normal((*batch, *shape))
            return x if real else x + 1j * rng.standard_normal(x.shape)

        hermitian = kind == "eigh"
        complex_vectors = is_complex or not hermitian

        def herm(X: Any) -> Any:
            return (X + np.conj(np.swapaxes(X, -1, -2))) / 2 if hermitian else X

        count = int(np.prod(batch))
        A = np.stack([matrix(rng, is_complex, hermitian) for _ in range(count)]).reshape(*batch, N, N)
        dA = herm(random(N, N, real=not is_complex))

        degeneracy: Any = "raise" if perturbed is None else arreig.Perturb(perturbed)
        forward = partial(getattr(arreig, kind), degeneracy=degeneracy)
        option = gauge_of(gauge, np.asarray, "complex128" if is_complex else "float64", kind)
        w, V = forward(A, gauge=option)
        phase = np.ones(w.shape)
        if supplied:
            w, V = w[..., ::-1], V[..., ::-1]
            if gauge in ("canonical", "phase-free"):
                phase = np.exp(2j * random(N, real=True)) if complex_vectors else np.sign(random(N, real=True))
        V = V * phase[..., None, :]

        M = random(N, N, N, real=not complex_vectors) if gauge == "phase-free" else None
        gW = None if hermitian or M is not None else random(N, N)
        loss = Loss(random(N, real=hermitian), random(N, N, real=not complex_vectors), gW, M)

        def followed(A: Any) -> tuple[Any, Any]:
            w_new, V_new = forward(A, gauge=option)
            order = matching(w_new, w)
            w_new = np.take_along_axis(w_new, order, -1)
            return w_new, np.take_along_axis(V_new, order[..., None, :], -1) * phase[..., None, :]

        return Case(
            A=A,
            dA=dA,
            w=w,
            V=V,
            loss=loss,
            gA=finite_differences(lambda A: loss.value(*followed(A)), A, hermitian=hermitian),
            dw=directional_difference(lambda A: followed(A)[0], A, dA),
            dV=None if M is not None else directional_difference(lambda A: followed(A)[1], A, dA),
        )


@pytest.mark.parametrize("supplied", [False, True], ids=["own", "supplied"])
@pytest.mark.parametrize("degeneracy", DEGENERACIES)
@pytest.mark.parametrize("gauge", GAUGES)
@pytest.mark.parametrize(("lib", "batch", "kind"), [*EAGERLY, *ONCE], indirect=["lib"])
def test_oracles(
    lib: Any, dtype: str, batch: tuple[int, ...], kind: str, gauge: str, degeneracy: str, supplied: bool
) -> None:
    kind, _, refine = kind.partition(", refine=")
    precision = "64" if dtype in ("float32", "complex64") else "128"
    # what is supplied is not perturbed; the default depends on the precision
    policy: Any = arreig.Perturb(1e-3) if degeneracy == "perturb" else DEGENERACIES[degeneracy]
    perturbed = policy.delta if degeneracy == "perturb" and not supplied else None
    case = Case.of(kind, dtype.startswith("complex"), batch, gauge, supplied, perturbed)
    tolerance = TOLERANCE[dtype]

    def array(x: Any) -> Any:
        """x in the library, its precision that of the test."""
        kind_of = "complex" + precision if np.iscomplexobj(x) else "float" + str(int(precision) // 2)
        return lib.array(x, kind_of)

    options = {"gauge": gauge_of(gauge, array, dtype, kind), "degeneracy": policy}
    A, dA = array(case.A), array(case.dA)
    if refine:
        options["refine"] = int(refine) if refine.isdigit() else False
    if kind == "eig" and not supplied:
        options["sort"] = {0: None, 1: "abs", 2: "real"}[len(batch)]
    if supplied:
        w, V = array(case.w), array(case.V)
        options["eigensystem"] = (w, V)
    else:
        w, V = getattr(arreig, kind)(A, **options)
    order = matching(w, case.w)  # of the library's eigenpairs to the reference's
    back = np.argsort(order, axis=-1)
    w_ref, V_ref = np.take_along_axis(host(w), order, -1), np.take_along_axis(host(V), order[..., None, :], -1)

    gV, gw = case.loss.cotangents(V_ref)
    gV, gw = array(np.take_along_axis(gV, back[..., None, :], -1)), array(np.take_along_axis(gw, back, -1))
    if case.loss.gW is None:
        gA = getattr(arreig, f"{kind}_vjp")(A, gV, gw, **options)
        dw, dV = getattr(arreig, f"{kind}_jvp")(A, dA, **options)
        left = []
    else:
        gW = array(np.take_along_axis(case.loss.gW, back[..., None, :], -1))
        gA = arreig.eig_vjp(A, gV, gw, gW=gW, **options)
        dw, dV, dW = arreig.eig_jvp(A, dA, left=True, **options)
        left = [(gW, dW)]

    # the forward
    np.testing.assert_allclose(w_ref, case.w, atol=tolerance)
    if gauge != "phase-free":
        np.testing.assert_allclose(V_ref, case.V, atol=tolerance)
    # placement and type
    for x in (gA, dw, dV):
        assert type(x) is type(A)
        assert x.device == A.device
    assert gA.dtype == A.dtype
    assert (dw.dtype, dV.dtype) == (w.dtype, V.dtype)
    # derivatives
    scale = np.abs(case.gA).max()
    np.testing.assert_allclose(host(gA), case.gA, atol=tolerance * scale)
    np.testing.assert_allclose(np.take_along_axis(host(dw), order, -1), case.dw, atol=tolerance * np.abs(case.dw).max())
    if case.dV is not None:
        dV_ref = np.take_along_axis(host(dV), order[..., None, :], -1)
        np.testing.assert_allclose(dV_ref, case.dV, atol=tolerance * np.abs(case.dV).max())
    rounding = 1e3 * float(np.finfo(dtype).eps)
    decomposed = (A, dA)
    if perturbed is not None:  # what is decomposed is A + E(A)
        size = lib.xp.linalg.matrix_norm(A)
        decomposed = policy.matrix(A, size, kind == "eigh"), policy.tangent(dA, A, size, kind == "eigh")
    assert equation_defect(decomposed[0], w, V, decomposed[1], dw, dV).max() < rounding
    assert adjoint_defect([(gV, dV), (gw, dw), *left], [(gA, dA)]) < rounding
