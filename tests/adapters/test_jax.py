"""arreig_jax: the oracles under JAX's transformations, and what is JAX's own."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.test_util import check_grads

import arreig
import arreig_jax
import arreig_torch
from arreig.testing import adjoint_defect, equation_defect, finite_differences, matrix_with_spectrum
from benchmarks.matrices import grcar
from tests.conftest import DEGENERACIES, DTYPES

RNG = np.random.default_rng(8)
N = 4
REAL, IMAG, WEIGHTS, WEIGHTS_W = (RNG.standard_normal(s) for s in ((3, N, N), (3, N, N), (N, N), (N,)))
B = np.eye(N) + 0.2 * RNG.standard_normal((N, N))


def matrices(dtype: str, *, hermitian: bool = False) -> Any:
    A = (REAL + 1j * IMAG if "complex" in dtype else REAL).astype(dtype)
    return A + np.conj(A.mT) if hermitian else A


def loss(w: Any, V: Any, *others: Any) -> Any:
    """Of values and vectors, phases included; of JAX, torch and NumPy, for one matrix or many."""
    value = (abs(w) * WEIGHTS_W).sum(-1)
    for X in (V, *others):
        value = value + (X.real * WEIGHTS).sum((-2, -1))
        if "complex" in str(X.dtype):
            value = value + (X.imag * WEIGHTS.T).sum((-2, -1))
    return value


CASES = {
    "eig": lambda m, A: m.eig(A, sort="abs", left=True),
    "eig, B": lambda m, A: m.eig(A, A * 0 + m.B.astype(A.dtype), sort="abs"),
    "eigh": lambda m, A: m.eigh(A),
    "eigh, B": lambda m, A: m.eigh(A, A * 0 + m.M.astype(A.dtype)),
}


class Jax:
    """arreig_jax, and matrices of its library."""

    eig, eigh = arreig_jax.eig, arreig_jax.eigh
    B, M = jnp.asarray(B), jnp.asarray(B @ B.T)


class Numpy:
    """arreig, likewise."""

    eig, eigh = arreig.eig, arreig.eigh
    B, M = B, B @ B.T


@pytest.mark.parametrize(
    ("case", "dtype"),
    [
        *(("eig", dtype) for dtype in DTYPES),
        *(("eig, B", dtype) for dtype in ("complex128", "float32")),
        *(("eigh", dtype) for dtype in ("float64", "complex64")),
        *(("eigh, B", dtype) for dtype in ("complex128", "float32")),
    ],
)
def test_oracles_under_jit_and_vmap(case: str, dtype: str) -> None:
    """The differentiated equation, the adjoint identity, differences of the forward, and the eager results."""
    A = jnp.asarray(matrices(dtype, hermitian="eigh" in case))
    dA = A[::-1] * 0.3 + A
    function = CASES[case]

    def both(A: Any, dA: Any) -> Any:
        out, tangents = jax.jvp(lambda A: function(Jax, A), (A,), (dA,))
        g = jax.grad(lambda A: loss(*function(Jax, A)))(A)
        cotangents = jax.grad(lambda out: loss(*out))(tuple(out))
        return out, tangents, g, cotangents

    out, tangents, g, cotangents = jax.jit(jax.vmap(both))(A, dA)
    accuracy = 1e-12 if "64" in str(A.real.dtype) else 2e-4
    second = None if "B" not in case else (B if case == "eig, B" else B @ B.T)
    assert equation_defect(A, *out[:2], dA, *tangents[:2], B=second).max() < accuracy
    conjugates = [(jnp.conj(c), d) for c, d in zip(cotangents, tangents, strict=True)]
    assert adjoint_defect(conjugates, [(jnp.conj(g), dA)]) < accuracy
    assert g.dtype == A.dtype
    if accuracy < 1e-6:
        expected = finite_differences(
            lambda A: loss(*function(Numpy, A)), np.asarray(A), hermitian="eigh" in case, step=1e-4
        )
        np.testing.assert_allclose(np.conj(g), expected, atol=2e-9 * np.abs(expected).max())
    eager = jax.vmap(jax.grad(lambda A: loss(*function(Jax, A))))(A)
    np.testing.assert_allclose(g, eager, atol=accuracy * np.abs(eager).max())


OPTIONS = {
    **{f"gauge, {gauge}": {"gauge": gauge} for gauge in ("phase-free", arreig.Component(1), arreig.Functional(B[0]))},
    **{f"degeneracy, {name}": {"degeneracy": policy} for name, policy in DEGENERACIES.items() if name != "raise"},
    "refine": {"refine": 2},
    "sort": {"sort": "real"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_gradient_is_the_cores_vjp(options: dict[str, Any]) -> None:
    """Bit for bit in an eager call, to rounding in a compiled one."""
    A = matrices("complex128")
    given = dict(options)
    if isinstance(given.get("gauge"), arreig.Functional):
        given["gauge"] = arreig.Functional(jnp.asarray(B[0]))

    def of(A: Any) -> Any:
        w, V = arreig_jax.eig(A, **given)
        return jnp.sum(abs(w) * WEIGHTS_W) + jnp.sum(jnp.abs(V) ** 2 * WEIGHTS)

    w, V = res = arreig.eig(A, **options)
    expected = res.vjp(2 * V * WEIGHTS, w / np.abs(w) * WEIGHTS_W)
    np.testing.assert_allclose(np.conj(jax.grad(of)(jnp.asarray(A))), expected, rtol=1e-14, atol=1e-15)
    if "split" not in str(options) and "Component" not in str(options):  # to compile it takes seconds
        np.testing.assert_allclose(np.conj(jax.jit(jax.grad(of))(jnp.asarray(A))), expected, atol=3e-11)


def test_why_the_rule_of_cotangents_and_not_a_transposed_tangent() -> None:
    """Beside a repeated eigenvalue a simple one has a vector with a gradient; no tangent of all vectors exists there."""
    A = jnp.asarray(matrix_with_spectrum([1.0, 1, 3], np.random.default_rng(0)))
    simple = int(np.argmax(arreig.eig(np.asarray(A)).eigenvalues.real))
    gV = jnp.zeros((3, 3), dtype=complex).at[:, simple].set(jnp.arange(3.0))
    direct = jax.vjp(lambda A: arreig_jax.eig(A).eigenvectors, A)[1](gV)[0]
    np.testing.assert_allclose(direct, arreig.eig_vjp(np.asarray(A), np.asarray(gV)), atol=1e-13)
    transposed = jax.jit(lambda gV: jax.vjp(lambda dA: arreig.eig_jvp(A, dA)[1], A)[1](gV)[0])(gV)
    assert np.isnan(transposed).all()


def _trace(m: Any, A: Any, exp: Any) -> Any:
    w, V, W = m.eig(A, degeneracy="split", left=True)
    return ((V * exp(w)[..., None, :]) @ W.conj().mT * WEIGHTS.T).sum((-2, -1)).real


def test_split_under_jit_and_vmap() -> None:
    """At repeated eigenvalues: the gradient of tr C exp(A), as eager NumPy has it."""
    rng = np.random.default_rng(1)
    A = np.stack([np.eye(N), matrix_with_spectrum([1.0, 1, 2, 3], rng), matrix_with_spectrum([0.0, 2, 2, 2], rng)])
    w, V, W = res = arreig.eig(A, degeneracy="split", left=True)
    gF = np.broadcast_to(WEIGHTS.T, A.shape)
    gw = np.conj(np.exp(w)) * np.sum(np.conj(V) * (gF @ W), axis=-2)
    expected = res.vjp(gF @ W * np.conj(np.exp(w))[:, None, :], gw, gW=np.conj(gF.mT) @ V * np.exp(w)[:, None, :])
    for transform in (lambda f: jax.jit(jax.vmap(f)), jax.vmap):
        g = transform(jax.grad(lambda A: _trace(Jax, A, jnp.exp)))(jnp.asarray(A))
        np.testing.assert_allclose(g, expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(expected[0], np.e * WEIGHTS.T, rtol=1e-6)


SECOND = {
    "eig": lambda m, A: loss(*m.eig(A, sort="abs", left=True)),
    "eigh, B": lambda m, A: loss(*m.eigh(A @ A.T, A.T @ A + A @ A.T)),
    "eig, w alone": lambda m, A: abs(m.eig(A, sort="abs")[0] * WEIGHTS_W).sum(),
    "eigvals": lambda m, A: abs(m.eigvals(A, sort="abs") * WEIGHTS_W).sum(),
    "spectral_projector": lambda m, A: (m.spectral_projector(A, lambda w: w.real > 0) * WEIGHTS).sum(),
    "sqrtm": lambda m, A: (m.sqrtm(A @ A.T, hermitian=True) * WEIGHTS).sum(),
}


@pytest.mark.parametrize("case", SECOND)
def test_second_derivatives_are_those_of_torch(case: str) -> None:
    A = REAL[0]
    WEIGHTS_OF = torch.tensor(WEIGHTS), torch.tensor(WEIGHTS_W)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "WEIGHTS", WEIGHTS_OF[0])
        patch.setitem(globals(), "WEIGHTS_W", WEIGHTS_OF[1])
        expected = torch.func.hessian(lambda A: SECOND[case](arreig_torch, A))(torch.tensor(A)).numpy()
    scale = np.abs(expected).max()
    twice = (lambda f: jax.jacrev(jax.grad(f))) if case == "eig, w alone" else jax.hessian
    H = jax.jit(twice(lambda A: SECOND[case](arreig_jax, A)))(jnp.asarray(A))
    np.testing.assert_allclose(H, expected, atol=1e-11 * scale)


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_check_grads(kind: str) -> None:
    A = jnp.asarray(matrices("float64", hermitian=kind == "eigh")[0])

    def function(A: Any) -> Any:
        w, V = getattr(arreig_jax, kind)(A + A.T if kind == "eigh" else A)
        return w, V

    check_grads(jax.jit(function), (A,), order=2, modes=("fwd", "rev"), atol=1e-5, rtol=1e-5)


def _program(A: Any, eig: Any) -> Any:
    """Fifty steps towards a matrix whose modes have decayed by their eigenvalues."""

    def step(X: Any, _: None) -> Any:
        w, V = eig(X)
        P = (V * jnp.exp(-0.01 * w)) @ jnp.linalg.inv(V)
        return P.real @ X, jnp.max(abs(w))

    X, radii = jax.lax.scan(step, A, None, length=50)
    return jnp.sum(X * WEIGHTS) + jnp.sum(radii)


def test_a_scan_becomes_differentiable_by_exchanging_the_call() -> None:
    A = jnp.asarray(REAL[1])
    before = jax.jit(lambda A: _program(A, jnp.linalg.eig))
    with pytest.raises(NotImplementedError):
        jax.grad(before)(A)
    value, g = jax.jit(jax.value_and_grad(lambda A: _program(A, arreig_jax.eig)))(A)
    np.testing.assert_allclose(value, before(A), rtol=1e-12)
    expected = finite_differences(lambda A: float(before(A)), np.asarray(A))
    np.testing.assert_allclose(g, expected, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["eig", "eigh", "eigvals", "eigvalsh"])
def test_forward_mode_in_each_matrix_alone(kind: str) -> None:
    hermitian = "h" in kind
    X = matrices("complex128", hermitian=hermitian)[0]
    Y, dA, dB = X @ X.conj().T + np.eye(N), X + np.eye(N), np.eye(N) * 2.0
    together = getattr(arreig, f"{kind}_jvp")(X, dA, B=Y, dB=dB)

    def along(dA: Any, dB: Any) -> Any:
        X_, Y_ = jnp.asarray(X), jnp.asarray(Y)
        function = getattr(arreig_jax, kind)
        if dA is None:
            return jax.jvp(lambda B: function(X_, B), (Y_,), (jnp.asarray(dB, dtype=complex),))[1]
        return jax.jvp(lambda A: function(A, Y_), (X_,), (jnp.asarray(dA),))[1]

    parts = [x + y for x, y in zip(*map(jax.tree.leaves, (along(dA, None), along(None, dB))), strict=True)]
    for part, whole in zip(parts, jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(part, whole, atol=1e-11)


def test_under_checkpoint_linearize_and_cond() -> None:
    A, dA = jnp.asarray(REAL[0]), jnp.asarray(IMAG[0])

    def of(A: Any) -> Any:
        return loss(*arreig_jax.eig(A, sort="abs"))

    g = jax.grad(of)(A)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(of))(A), g, atol=1e-12)
    np.testing.assert_allclose(jax.linearize(of, A)[1](dA), jnp.sum(g * dA), rtol=1e-10)
    branch = jax.grad(lambda A: jax.lax.cond(A[0, 0] > A[0, 0] - 1, of, jnp.trace, A))
    np.testing.assert_allclose(branch(A), g, atol=1e-12)


def test_a_mapped_gauge_vector() -> None:
    """For a batch of matrices that is not mapped: z gets axes of length 1."""
    A, z = jnp.asarray(matrices("complex128")), jnp.asarray(IMAG[0])

    def vectors(A: Any, z: Any) -> Any:
        return arreig_jax.eig(A, gauge=arreig.Functional(z), sort="abs").eigenvectors

    out = jax.vmap(vectors, in_axes=(None, 1), out_axes=1)(A, z)
    expected = np.stack([vectors(A, np.asarray(z[:, i])) for i in range(N)], axis=1)
    np.testing.assert_allclose(out, expected, atol=1e-13)
    g = jax.vmap(jax.grad(lambda A, z: vectors(A, z).real.sum()), in_axes=(None, 0))(A, z[:2])
    np.testing.assert_allclose(g[1], jax.grad(lambda A: vectors(A, z[1]).real.sum())(A), atol=1e-13)


def test_a_reason_is_told_once() -> None:
    told: list[Exception] = []
    logm = jax.jit(jax.grad(lambda A: arreig_jax.logm(A, check=told.append).real.sum()))
    eigh = jax.jit(jax.grad(lambda A: arreig_jax.eigh(A, check=told.append)[0].sum()))
    P = jax.jit(jax.grad(lambda A: arreig_jax.spectral_projector(A, 2, check=told.append).sum()))
    nan = jax.jit(jax.grad(lambda A: arreig_jax.eigvals(A, check=told.append).real.sum()))
    f = jax.jit(lambda A: arreig_jax.matrix_function(A, jnp.log, lambda w: 1 / w, check=told.append))
    for function, A, error in (
        (logm, jnp.zeros((3, 3)), arreig.NonFiniteError),
        (eigh, jnp.triu(jnp.ones((3, 3))), arreig.InputError),
        (P, jnp.eye(3), arreig.SpectrumNotSeparatedError),
        (nan, jnp.full((3, 3), jnp.nan), arreig.NonFiniteError),
        (f, jnp.zeros((3, 3)), arreig.ArreigError),
    ):
        told.clear()
        assert np.isnan(function(A)).all()
        jax.effects_barrier()
        assert [type(error) for error in told] == [error]
    assert "outside of jax.jit the same call" in str(told[0])


def test_errors_are_raised_where_there_are_numbers_and_told_where_not() -> None:
    told: list[Exception] = []
    twice = jnp.stack([jnp.asarray(REAL[0, :3, :3]), jnp.eye(3)])

    def vectors(A: Any, check: Any = True) -> Any:
        return jnp.sum(abs(arreig_jax.eig(A, check=check)[1]))

    for call in (lambda: jax.grad(vectors)(twice[1]), lambda: jax.vmap(jax.grad(vectors))(twice)):
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            call()
    with pytest.raises(arreig.DegenerateEigenvaluesError, match=r"batch member \(1,\)"):
        jax.grad(lambda A: jax.vmap(vectors)(A).sum())(twice)
    compiled = jax.jit(jax.vmap(jax.grad(lambda A: vectors(A, told.append))))
    g = compiled(twice)
    jax.effects_barrier()
    assert np.isnan(g[1]).all()
    np.testing.assert_allclose(g[0], jax.grad(vectors)(twice[0]), atol=1e-13)
    assert [type(error) for error in told] == [arreig.DegenerateEigenvaluesError]
    assert "batch member (1,)" in str(told[0])
    told.clear()
    compiled(twice[:1].repeat(2, axis=0))
    jax.effects_barrier()
    assert not told
    trace = jax.grad(lambda A: arreig_jax.eigvals(A, check=told.append).sum().real)
    np.testing.assert_allclose(jax.jit(trace)(jnp.eye(3)), np.eye(3), atol=1e-15)
    assert np.isnan(jax.jit(jax.jacfwd(trace))(jnp.eye(3))).all()
    jax.effects_barrier()
    assert "second derivative" in str(told[-1])
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="second derivative"):
        jax.jacrev(trace)(jnp.eye(3))
    rotation = jnp.array([[0.0, 1], [-1, 0]])
    parted = jax.jit(lambda A: arreig_jax.spectral_projector(A, 1, check=told.append))(rotation)
    jax.effects_barrier()
    assert np.isnan(parted).all()
    assert "parts a conjugate pair" in str(told[-1])
    assert np.isnan(jax.grad(lambda A: vectors(A, check=False))(jnp.eye(3))).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda A: arreig_jax.eig(A.tolist()), arreig.InputTypeError, "array of JAX or NumPy, got list"),
        (lambda A: arreig_jax.eig(A[0]), arreig.InputError, "square|two dimensions"),
        (lambda A: arreig_jax.eig(A.astype(jnp.float16)), arreig.InputTypeError, "got float16"),
        (lambda A: arreig_jax.eig(A, A[:2, :2]), arreig.InputError, "B must have the shape of A"),
        (
            lambda A: arreig_jax.eig(A, gauge=arreig.Component(np.array(1))),
            arreig.InputTypeError,
            "one of these has none",
        ),
        (lambda A: arreig_jax.eig(A, check=2), arreig.InputError, "True, False or a function"),
        (lambda A: arreig_jax.eig(jnp.full_like(A, jnp.nan)), arreig.NonFiniteError, "finite"),
        (
            lambda A: jax.grad(lambda z: abs(arreig_jax.eig(A, gauge=arreig.Functional(z))[1]).sum())(A[0]),
            arreig.InputTypeError,
            r"holds z constant.*stop_gradient",
        ),
        (
            lambda A: jax.grad(lambda a: arreig_jax.matrix_function(A, lambda w: a * w, lambda w: a).real.sum())(1.0),
            arreig.InputTypeError,
            "f contains an array that JAX traces",
        ),
        (
            lambda A: jax.jit(lambda A, t: arreig_jax.spectral_projector(A, lambda w: w.real > t))(A, 0.0),
            arreig.InputTypeError,
            "select contains an array that JAX traces",
        ),
        (
            lambda A: jax.jit(lambda A: arreig_jax.matrix_function(A, None, None))(A),
            arreig.InputTypeError,
            "f must be a function",
        ),
        (
            lambda A: jax.hessian(
                lambda A: arreig_jax.matrix_function(A, jnp.exp, lambda w: jax.lax.stop_gradient(jnp.exp(w))).real.sum()
            )(A),
            arreig.InputError,
            "must be the derivative of df",
        ),
        (
            lambda A: jax.jit(lambda A: arreig_jax.invariant_subspace(A, lambda w: w.real > 0))(A),
            arreig.InputError,
            "which a tracer .* must know",
        ),
        (
            lambda A: jax.grad(lambda A: abs(arreig_jax.invariant_subspace(A, 2, sort="abs")[0, 0]))(A @ A.T),
            arreig.GaugeDependentLossError,
            "depends on the basis",
        ),
        (
            lambda A: jax.grad(jax.grad(jax.grad(lambda t: arreig_jax.logm(t * A @ A.T, hermitian=True).sum())))(1.0),
            arreig.ArreigError,
            "would be a third one",
        ),
    ],
)
def test_what_is_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call(jnp.asarray(REAL[2]))


def test_functions_of_jax_under_jit_and_vmap() -> None:
    """f, df and a selection are the caller's, of JAX's arrays, and see one matrix of a mapped axis."""
    A = jnp.asarray(matrices("complex128"))

    def F(A: Any) -> Any:
        exp = arreig_jax.matrix_function(A, jnp.exp, jnp.exp)
        P = arreig_jax.spectral_projector(A, lambda w: (abs(w) == jnp.max(abs(w))) & (w.ndim == 1))
        Q = arreig_jax.invariant_subspace(A, 2, sort="abs")
        return jnp.sum((exp * P).real * WEIGHTS) + jnp.sum((Q @ jnp.conj(Q.T)).imag * WEIGHTS)

    expected = jnp.stack([jax.grad(F)(a) for a in A])
    np.testing.assert_allclose(jax.vmap(jax.grad(F))(A), expected, atol=1e-13)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(F)))(A), expected, atol=1e-12)
    dA = A[::-1]
    along = jax.vmap(lambda A, dA: jax.jvp(F, (A,), (dA,))[1])(A, dA)
    np.testing.assert_allclose(along, jnp.sum((expected * dA).real, axis=(-2, -1)), atol=1e-12)


def test_in_single_precision_alone() -> None:
    """Without jax_enable_x64, which is global: in a process of its own, with warnings as errors."""
    code = """
import jax, jax.numpy as jnp, arreig_jax
A = jnp.arange(9).reshape(3, 3) + 5 * jnp.eye(3, dtype=int)
def loss(A):
    w, V = arreig_jax.eig(A, left=True)[:2]
    return jnp.sum(V.real ** 2 * A) + jnp.sum(abs(w))
assert arreig_jax.eigvals(A).dtype == jnp.complex64
A = A.astype(float)
g, h = jax.grad(loss)(A), jax.jit(jax.grad(loss))(A)
assert g.dtype == jnp.float32 and jnp.allclose(g, h, atol=1e-4), (g, h)
H = jax.jit(jax.jacfwd(lambda A: arreig_jax.eigh(A + A.T)[1]))(A)
assert H.dtype == jnp.float32 and bool(jnp.isfinite(H).all())
w = arreig_jax.eigs(A, k=1, sigma=1.0).eigenvalues
assert w.dtype == jnp.complex64
"""
    root = Path(arreig.__file__).parent.parent
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=root / "adapters", timeout=120)


def test_compiled_code_corrects_what_asks() -> None:
    """By one step of refinement, which is only computed where a residual asks for it."""
    A = jnp.asarray(grcar(24))
    weights = np.arange(1.0, A.size + 1).reshape(A.shape)

    def gradient(refine: Any) -> Any:
        def of(A: Any) -> Any:
            return jnp.sum(jnp.abs(arreig_jax.eig(A, gauge="phase-free", refine=refine)[1]) ** 2 * weights)

        return jax.jit(jax.grad(of))

    auto, never, once = (gradient(refine) for refine in ("auto", False, 1))
    np.testing.assert_array_equal(auto(A), once(A))
    assert (once(A) != never(A)).any()
    assert ["stablehlo.case" in g.lower(A).as_text() for g in (auto, never, once)] == [True, False, False]


@pytest.mark.parametrize("eig", [arreig.eig, arreig.eigh])
def test_a_result_outlives_a_trace(eig: Any) -> None:
    """Made eagerly and first differentiated under jit, by tracers or with constants, it keeps none of jit's tracers."""
    A = jnp.asarray(matrices("float64", hermitian=True)[0])
    gV = eig(A).eigenvectors * jnp.arange(1.0, len(A) + 1)[:, None]
    expected = eig(A).vjp(gV)

    def with_constants(result: Any) -> Any:
        return jax.jit(lambda: result.vjp(gV))()

    for traced in (with_constants, lambda result: jax.jit(result.vjp)(gV)):
        result = eig(A, check=False)
        np.testing.assert_allclose(traced(result), expected, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(result.vjp(gV), expected, rtol=1e-12, atol=1e-14)
        assert np.isfinite(result.jvp(A)[1]).all()
