"""spectral_projector and invariant_subspace: the oracles, defective matrices, what is refused."""

from collections.abc import Callable
from typing import Any

import array_api_strict
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import arreig
from arreig.testing import adjoint_defect, directional_difference, finite_differences, host, matrix_with_spectrum
from tests.conftest import BATCHES, EAGER, ON_GPU, WITH_JAX

N = 5
ROUNDING = {"float64": 1e-13, "complex128": 1e-13, "float32": 5e-5, "complex64": 5e-5}
# Conjugate pairs are selected as a whole, so that real matrices have real results.
SPECTRA = {False: [3.0, 2 + 1j, 2 - 1j, -1.0, 0.4], True: [3.0, 2 + 1j, 1 - 1j, -1.0, 0.4j]}
SELECT: dict[str, Any] = {"function": lambda w: abs(w) > 1.2, "count": 3, "all": N, "none": 0}


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if "complex" in dtype else x).astype(dtype)


def matrices(batch: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(3)
    cplx = "complex" in dtype
    w = np.asarray(SPECTRA[cplx])
    A = np.stack([matrix_with_spectrum(w + 0j, rng) for _ in range(int(np.prod(batch)))])
    if not cplx:  # of a complex conjugate spectrum, by real similarity
        block = np.diag([3.0, 2.0, 2.0, -1.0, 0.4]) + np.diag([0, 1.0, 0, 0], 1) - np.diag([0, 1.0, 0, 0], -1)
        X = np.eye(N) + 0.3 * rng.standard_normal((len(A), N, N))
        A = X @ block @ np.linalg.inv(X)
    return A.reshape(*batch, N, N).astype(dtype)


def loss_gradient(Q: np.ndarray[Any, Any], H: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of Re tr(H Q Q^H), H Hermitian."""
    return 2 * H @ Q


# One shape for JAX, which compiles for each, and for a GPU.
CASES = [
    *((name, batch, select) for name in EAGER for batch in BATCHES for select in SELECT),
    pytest.param("jax", (3,), "function", marks=WITH_JAX),
    *(pytest.param(name, (3,), "function", marks=pytest.mark.gpu) for name in ON_GPU),
]


@pytest.mark.parametrize(("lib", "batch", "select"), CASES, indirect=["lib"])
def test_oracles(lib: Any, dtype: str, batch: tuple[int, ...], select: str) -> None:
    """P P = P, A P = P A, tr P the count; A Q = Q Q^H A Q, P Q = Q; the adjoint identity; all in A's dtype, on its device."""
    rng = np.random.default_rng(0)
    a, chosen = matrices(batch, dtype), SELECT[select]
    count = 3 if select == "function" else chosen
    A = lib.array(a)
    P, Q = arreig.spectral_projector(A, chosen), arreig.invariant_subspace(A, chosen)
    assert P.dtype == Q.dtype == A.dtype
    assert P.device == Q.device == A.device
    assert Q.shape == (*batch, N, count)
    A_, P_, Q_ = map(host, (A, P, Q))
    limit = ROUNDING[dtype]
    np.testing.assert_allclose(P_ @ P_, P_, atol=10 * limit)
    np.testing.assert_allclose(A_ @ P_, P_ @ A_, atol=10 * limit)
    np.testing.assert_allclose(np.trace(P_, axis1=-2, axis2=-1), count, atol=10 * limit)
    np.testing.assert_allclose(P_ @ Q_, Q_, atol=10 * limit)
    np.testing.assert_allclose(np.conj(Q_).mT @ Q_, np.broadcast_to(np.eye(count), (*batch, count, count)), atol=limit)
    np.testing.assert_allclose(Q_ @ (np.conj(Q_).mT @ A_ @ Q_), A_ @ Q_, atol=10 * limit)

    dA, gP, H = (random(rng, a.shape, dtype) for _ in range(3))
    H = H + np.conj(H).mT
    gQ = lib.array(loss_gradient(Q_, H), dtype)
    dP = arreig.spectral_projector_jvp(A, chosen, lib.array(dA))
    gA = arreig.spectral_projector_vjp(A, chosen, lib.array(gP))
    assert adjoint_defect([(gP, dP)], [(gA, dA)]) < limit
    np.testing.assert_allclose(P_ @ host(dP) @ P_, np.zeros_like(P_), atol=100 * limit)
    dQ = arreig.invariant_subspace_jvp(A, chosen, lib.array(dA), basis=Q)
    gA = arreig.invariant_subspace_vjp(A, chosen, gQ, basis=Q)
    assert gA.dtype == A.dtype
    assert adjoint_defect([(gQ, dQ)], [(gA, dA)]) < limit
    np.testing.assert_allclose(np.conj(Q_).mT @ host(dQ), np.zeros((*batch, count, count)), atol=10 * limit)


def jordan(blocks: list[tuple[complex, int]], seed: int = 1) -> np.ndarray[Any, Any]:
    """Jordan blocks (eigenvalue, size), conjugated by a moderately conditioned matrix."""
    n = sum(size for _, size in blocks)
    J = np.diag(np.repeat([w for w, _ in blocks], [size for _, size in blocks]))
    start = 0
    for _, size in blocks:
        J[range(start, start + size - 1), range(start + 1, start + size)] = 1
        start += size
    rng = np.random.default_rng(seed)
    X = np.eye(n) + 0.3 * rng.standard_normal((n, n))
    if np.iscomplexobj(J):
        X = X + 0.3j * rng.standard_normal((n, n))
    return np.asarray(X @ J @ np.linalg.inv(X))


DEFECTIVE: dict[str, tuple[np.ndarray[Any, Any], Any]] = {
    "two blocks of 3": (jordan([(1.0, 3), (4.0, 3)]), lambda w: w.real < 2.5),
    "two blocks of 3, not conjugated": (
        np.kron(np.diag([1.0, 4.0]), np.eye(3)) + np.kron(np.eye(2), np.eye(3, k=1)),
        lambda w: w.real < 2.5,
    ),
    "two blocks of 3, complex": (jordan([(1.0 + 0j, 3), (1 + 3j, 3)]), lambda w: w.imag < 1.5),
    "block of 2 twice, and 3": (jordan([(1.0, 2), (1.0, 2), (3.0, 1)]), lambda w: abs(w) < 2),
    "identity, and 3": (np.diag([1.0, 1.0, 1.0, 3.0]), lambda w: abs(w) < 2),
    "parted conjugates": (jordan([(1.0, 1), (3.0, 1)]), 1),
}


@pytest.mark.parametrize("name", DEFECTIVE)
def test_gradients_at_defective_matrices(name: str) -> None:
    """Against finite differences of the forward in every entry, to 1e-8."""
    A, select = DEFECTIVE[name]
    rng = np.random.default_rng(2)
    dtype = A.dtype.name
    C, H = random(rng, A.shape, dtype), random(rng, A.shape, dtype)
    H = H + np.conj(H).T

    def through_projector(A: np.ndarray[Any, Any]) -> Any:
        return np.real(np.sum(np.conj(C) * arreig.spectral_projector(A, select), axis=(-2, -1)))

    def through_subspace(A: np.ndarray[Any, Any]) -> Any:
        Q = arreig.invariant_subspace(A, select)
        return np.real(np.einsum("ij,jk,ik->", H, Q, np.conj(Q)))

    Q = arreig.invariant_subspace(A, select)
    for loss, gA in (
        (through_projector, arreig.spectral_projector_vjp(A, select, C)),
        (through_subspace, arreig.invariant_subspace_vjp(A, select, loss_gradient(Q, H))),
    ):
        expected = finite_differences(loss, A)
        assert np.abs(gA - expected).max() < 1e-8 * np.abs(expected).max()


def test_finite_differences_of_complex_results_of_a_real_matrix() -> None:
    """A selection that parts conjugates: complex P and Q, in a batch for all, and real gradients."""
    A = matrices((2,), "float64")
    rng = np.random.default_rng(2)

    def upper(w: Any) -> Any:
        return w.imag > 0

    C = random(rng, A.shape, "complex128")
    for select, count in ((upper, 1), (2, 2)):  # 2: the real one, and one of the pair of moduli 2.2
        P = arreig.spectral_projector(A, select)
        assert P.dtype == arreig.invariant_subspace(A, select).dtype == np.complex128
        np.testing.assert_allclose(np.trace(P, axis1=-2, axis2=-1), count, atol=1e-13)
        np.testing.assert_allclose(A @ P, P @ A, atol=1e-13)

        def loss(A: np.ndarray[Any, Any], select: Any = select) -> Any:
            return np.real(np.sum(np.conj(C) * arreig.spectral_projector(A, select), axis=(-2, -1)))

        gA = arreig.spectral_projector_vjp(A, select, C)
        assert gA.dtype == np.float64
        expected = finite_differences(loss, A)
        assert np.abs(gA - expected).max() < 1e-8 * np.abs(expected).max()
        dA = random(rng, A.shape, "float64")
        dP = arreig.spectral_projector_jvp(A, select, dA)
        difference = directional_difference(lambda A, s=select: arreig.spectral_projector(A, s), A, dA, step=1e-4)
        np.testing.assert_allclose(dP, difference, atol=1e-8)
    mixed = np.stack([A[0], np.diag([5.0, 4, 3, 2, 1])])  # the second has no pair to part
    np.testing.assert_allclose(
        arreig.spectral_projector(mixed, 2)[1], arreig.spectral_projector(mixed[1], 2), atol=1e-15
    )


def test_agrees_with_the_way_through_eigenvectors() -> None:
    """sum v_j w_j^H over the selected, whose gradient eig_vjp knows where eigenvalues are simple."""
    A = matrices((), "complex128")
    C = random(np.random.default_rng(5), A.shape, "complex128")
    res = arreig.eig(A, left=True, sort="abs")
    S = np.diag([1.0, 1, 1, 0, 0])
    _, V, W = res
    np.testing.assert_allclose(arreig.spectral_projector(A, 3), V @ S @ np.conj(W).T, atol=1e-14)
    through = res.vjp(gV=C @ W @ S, gW=np.conj(C).T @ V @ S)
    np.testing.assert_allclose(arreig.spectral_projector_vjp(A, 3, C), through, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("coupling", [0.0, 1.0, 100.0])
def test_what_is_let_pass_keeps_two_digits(dtype: str, coupling: float) -> None:
    """Eigenvalues come closer, ten times a step, and the error grows up to a thousand times: refused, but not much too early.

    How far it has grown is rounding, which differs between processors: of several rotations one comes near enough.
    """
    C = np.random.default_rng(0).standard_normal((3, 3))
    last = []
    for seed in range(1, 6):
        outcomes = []
        for gap in 10.0 ** np.arange(0, -16, -1):
            A = np.array([[1.0, coupling, 0.3], [0, 1 + gap, 0.2], [0, 0, -2.0]])
            Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
            # P = [[0, z, .], [0, 1, .], [0, 0, 0]] in closed form, and so its derivative
            exact = exact_gradient(A, Q, C)
            a = (Q @ A @ Q.T).astype(dtype)
            try:
                gA = arreig.spectral_projector_vjp(a, 1, C.astype(dtype), sort="real")
            except arreig.SpectrumNotSeparatedError:
                outcomes.append(None)
                continue
            outcomes.append(float(np.abs(gA - exact).max() / np.abs(exact).max()))
        passed = [x for x in outcomes if x is not None]
        assert outcomes[0] is not None
        assert outcomes[-1] is None
        assert max(passed) < 3e-2, outcomes
        assert all(x is None for x in outcomes[len(passed) :]), outcomes
        last.append(passed[-1])
    assert max(last) > 2e-5, last


def exact_gradient(A: np.ndarray[Any, Any], Q: np.ndarray[Any, Any], C: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Of tr(C^T P(Q A Q^T)), P onto the middle eigenvalue of a triangular A of order 3, by eigenvectors in closed form."""
    V = np.array([[1, A[0, 1] / (A[1, 1] - A[0, 0]), 0], [0, 1, 0], [0, 0, 1.0]])
    V[1, 2] = A[1, 2] / (A[2, 2] - A[1, 1])
    V[0, 2] = (A[0, 2] + A[0, 1] * V[1, 2]) / (A[2, 2] - A[0, 0])
    W = np.linalg.inv(V)
    w, j = A.diagonal(), 1
    G = Q.T @ C @ Q
    gA = np.zeros((3, 3))
    for i in (0, 2):  # dP = sum_i (v_i w_i dA v_j w_j + v_j w_j dA v_i w_i)/(w_j - w_i)
        Pi, Pj = np.outer(V[:, i], W[i]), np.outer(V[:, j], W[j])
        gA += (Pi.T @ G @ Pj.T + Pj.T @ G @ Pi.T) / (w[j] - w[i])
    return Q @ gA @ Q.T


@WITH_JAX
def test_jax_transformations() -> None:
    """Under jit and vmap as outside, through a callback; NaN for an error, and for results that would have to be complex."""
    A = np.concatenate([matrices((2,), "float64"), np.eye(N)[None]])
    gP = random(np.random.default_rng(0), A.shape, "float64")

    def large(w: Any) -> Any:
        return jnp.abs(w) > 1.2

    a, g = jnp.asarray(A), jnp.asarray(gP)
    for transform in (jax.jit, lambda f: jax.jit(jax.vmap(f))):
        P = host(transform(lambda a: arreig.spectral_projector(a, large))(a))
        gA = host(transform(lambda a, g: arreig.spectral_projector_vjp(a, 3, g))(a, g))
        Q = host(transform(lambda a: arreig.invariant_subspace(a, 3))(a))
        np.testing.assert_allclose(P[:2], arreig.spectral_projector(A[:2], lambda w: abs(w) > 1.2), atol=1e-14)
        np.testing.assert_allclose(P[2], np.zeros((N, N)), atol=1e-14)
        np.testing.assert_allclose(gA[:2], arreig.spectral_projector_vjp(A[:2], 3, gP[:2]), atol=1e-13)
        np.testing.assert_allclose(Q[:2], arreig.invariant_subspace(A[:2], 3), atol=1e-14)
        assert np.isnan(gA[2]).all()
        assert np.isnan(Q[2]).all()
        assert np.isnan(host(transform(lambda a: arreig.spectral_projector(a, 2))(a))).all()  # parts a pair
    with pytest.raises(arreig.InputError, match=r"a tracer \(jax.jit, vmap\) must know: select a count"):
        jax.jit(lambda a: arreig.invariant_subspace(a, large))(a)
    with pytest.raises(arreig.InputTypeError, match=r"is tracked for differentiation"):
        jax.grad(lambda a: arreig.spectral_projector(a, 3).sum())(a)


def test_torch_vmap_and_tracking() -> None:
    A = torch.tensor(matrices((2,), "float64"))
    expected = arreig.spectral_projector(A, 3)
    mapped = torch.func.vmap(lambda a: arreig.spectral_projector(a, 3))(A)
    torch.testing.assert_close(mapped, expected, rtol=0, atol=0)
    mapped = torch.func.vmap(lambda a: arreig.spectral_projector(a, lambda w: w.abs() > 1.2))(A)
    torch.testing.assert_close(mapped, expected)
    with pytest.raises(
        arreig.InputTypeError, match=r"A is tracked for differentiation.*use the function of arreig_torch"
    ):
        arreig.spectral_projector(A.requires_grad_(), 3)
    with pytest.raises(arreig.InputTypeError, match="cannot leave torch: use the function of arreig_torch"):
        arreig.spectral_projector_vjp(A.detach(), 3, torch.ones_like(A).requires_grad_())


def test_inputs_are_left_alone() -> None:
    A = np.asfortranarray(matrices((), "float64"))
    gP = np.eye(N)[::-1]
    before = A.copy()
    A.flags.writeable = False

    def careless(w: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        chosen = abs(w) > 1.2
        w[:] = 0
        return chosen

    P = arreig.spectral_projector(A, careless)
    np.testing.assert_allclose(P, arreig.spectral_projector(A[:, :], 3), atol=1e-14)
    arreig.spectral_projector_vjp(A, careless, gP)
    np.testing.assert_array_equal(A, before)
    Q = arreig.invariant_subspace(A, 3)
    Q[:] = 0  # the caller's own
    np.testing.assert_allclose(
        arreig.invariant_subspace(A, 3).T @ arreig.invariant_subspace(A, 3), np.eye(3), atol=1e-14
    )


@pytest.mark.parametrize("shape", [(0, 0), (3, 0, 0), (0, 3, 3), (1, 1)])
def test_small_and_empty(shape: tuple[int, ...]) -> None:
    A = np.ones(shape)
    for select in (0, shape[-1], lambda w: abs(w) < 0.5):
        P = arreig.spectral_projector(A, select)
        assert P.shape == A.shape
        assert arreig.spectral_projector_vjp(A, select, A).shape == A.shape
        Q = arreig.invariant_subspace(A, select)
        assert Q.shape[:-1] == A.shape[:-1]
        assert arreig.invariant_subspace_vjp(A, select, Q).shape == A.shape
        np.testing.assert_array_equal(arreig.spectral_projector_jvp(A, select, A), np.zeros(shape))


@pytest.mark.parametrize("turn", ["rotated", "own"])
def test_any_basis_can_be_differentiated(turn: str) -> None:
    A = matrices((2,), "complex128")
    H = random(np.random.default_rng(0), A.shape, "complex128")
    H = H + np.conj(H).mT
    dA = random(np.random.default_rng(1), A.shape, "complex128")
    Q = arreig.invariant_subspace(A, 3)
    U = np.linalg.qr(random(np.random.default_rng(2), (3, 3), "complex128"))[0] if turn == "rotated" else np.eye(3)
    expected = arreig.invariant_subspace_vjp(A, 3, loss_gradient(Q, H))
    np.testing.assert_allclose(
        arreig.invariant_subspace_vjp(A, 3, loss_gradient(Q @ U, H), basis=Q @ U), expected, atol=1e-13
    )
    np.testing.assert_allclose(
        arreig.invariant_subspace_jvp(A, 3, dA, basis=Q @ U), arreig.invariant_subspace_jvp(A, 3, dA) @ U, atol=1e-13
    )


A0 = matrices((), "float64")
BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "not square": (lambda: arreig.spectral_projector(np.ones((2, 3)), 1), arreig.InputError, "square"),
    "NaN": (lambda: arreig.spectral_projector(A0 * np.nan, 1), arreig.NonFiniteError, "finite"),
    "select": (lambda: arreig.spectral_projector(A0, "lhp"), arreig.InputTypeError, "select must be a function.*'lhp'"),
    "bool": (lambda: arreig.spectral_projector(A0, True), arreig.InputTypeError, "a number of leading ones; got True"),
    "too many": (lambda: arreig.spectral_projector(A0, 6), arreig.InputError, "select=6 eigenvalues, but A has 5"),
    "negative": (lambda: arreig.spectral_projector(A0, -1), arreig.InputError, "select=-1"),
    "sort": (
        lambda: arreig.spectral_projector(A0, lambda w: abs(w) > 1, sort="abs"),
        arreig.InputError,
        "a function selects them itself",
    ),
    "no mask": (
        lambda: arreig.spectral_projector(A0, lambda w: w.real),
        arreig.InputTypeError,
        r"must return a boolean array of the eigenvalues' shape \(5,\).*float64 of shape \(5,\)",
    ),
    "indices": (
        lambda: arreig.spectral_projector(A0, lambda w: [0, 1]),
        arreig.InputTypeError,
        "must return a boolean array.*got list",
    ),
    "mask of another shape": (
        lambda: arreig.spectral_projector(A0, lambda w: np.array([True])),
        arreig.InputTypeError,
        r"of shape \(1,\)",
    ),
    "one of two equal": (
        lambda: arreig.spectral_projector(np.stack([A0, np.eye(5)]), 3),
        arreig.SpectrumNotSeparatedError,
        r"batch member \(1,\) are not separated.*sep\(T11, T22\) = .*e-16, expected.*are 1, selected, and 1, not selected",
    ),
    "zero": (
        lambda: arreig.invariant_subspace(np.zeros((3, 3)), 1),
        arreig.SpectrumNotSeparatedError,
        "Select both or",
    ),
    "part of a Jordan block": (
        lambda: arreig.invariant_subspace(np.eye(3) + np.eye(3, k=1), 1),
        arreig.SpectrumNotSeparatedError,
        "not separated",
    ),
    "different counts": (
        lambda: arreig.invariant_subspace(np.stack([A0, np.eye(5)]), lambda w: abs(w) > 1.2),
        arreig.InputError,
        "between 0 and 3 selected eigenvalues",
    ),
    "depends on the basis": (
        lambda: arreig.invariant_subspace_vjp(A0, 3, np.ones((5, 3)) * [1, 2, 3]),
        arreig.GaugeDependentLossError,
        "depends on the basis of the subspace",
    ),
    "shape of gP": (lambda: arreig.spectral_projector_vjp(A0, 3, np.eye(4)), arreig.InputError, "gP must have shape"),
    "no gP": (lambda: arreig.spectral_projector_vjp(A0, 3, None), arreig.InputTypeError, "gP must be an array"),
    "complex gP": (lambda: arreig.spectral_projector_vjp(A0, 3, 1j * A0), arreig.InputTypeError, "gP must be real"),
    "complex dA": (lambda: arreig.spectral_projector_jvp(A0, 3, 1j * A0), arreig.InputTypeError, "dA must be real"),
    "infinite gQ": (
        lambda: arreig.invariant_subspace_vjp(A0, 3, np.full((5, 3), np.inf)),
        arreig.NonFiniteError,
        "gQ must be finite",
    ),
    "another basis": (
        lambda: arreig.invariant_subspace_vjp(A0, 3, np.eye(5, 3), basis=np.eye(5, 3)),
        arreig.EigensystemError,
        "basis is no orthonormal basis of the selected subspace",
    ),
    "basis not orthonormal": (
        lambda: arreig.invariant_subspace_jvp(A0, 3, A0, basis=2 * arreig.invariant_subspace(A0, 3)),
        arreig.EigensystemError,
        r"\|Q\^H Q - I\|",
    ),
    "check": (lambda: arreig.spectral_projector(A0, 3, check=1), arreig.InputError, "check must be True or False"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    call, error, message = BAD[name]
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_without_check_errors_are_nan() -> None:
    A = np.stack([A0, np.eye(N), np.full((N, N), np.nan)])
    gP, gQ = np.stack([A0] * 3), np.ones((3, N, 3))
    for out in (
        arreig.spectral_projector(A, 3, check=False),
        arreig.spectral_projector_vjp(A, 3, gP, check=False),
        arreig.spectral_projector_jvp(A, 3, gP, check=False),
        arreig.invariant_subspace(A, 3, check=False),
        arreig.invariant_subspace_jvp(A, 3, gP, check=False),
    ):
        assert np.isfinite(out[0]).all()
        assert np.isnan(out[1:]).all()
    assert np.isnan(arreig.invariant_subspace_vjp(A, 3, gQ, check=False)).all()  # depends on the basis


def test_strict_device_is_kept() -> None:
    there = array_api_strict.Device("device1")
    A = array_api_strict.asarray(A0, device=there)
    P = arreig.spectral_projector(A, lambda w: array_api_strict.abs(w) > 1.2)
    assert P.device == there
    np.testing.assert_allclose(host(P), arreig.spectral_projector(A0, 3), atol=1e-14)


@pytest.mark.parametrize(
    ("dtype", "scale"), [("float32", 1e-34), ("float32", 1e34), ("float64", 1e-300), ("float64", 1e300)]
)
def test_scale_is_no_matter(dtype: str, scale: float) -> None:
    """LAPACK takes what is small against 1 for 0 in a Sylvester equation."""
    A, gP = A0, np.eye(N, N, 1)
    scaled, limit = (A * scale).astype(dtype), ROUNDING[dtype]
    np.testing.assert_allclose(arreig.spectral_projector(scaled, 3), arreig.spectral_projector(A, 3), atol=10 * limit)
    expected = arreig.spectral_projector_vjp(A, 3, gP)
    gA = arreig.spectral_projector_vjp(scaled, 3, (gP * scale).astype(dtype))
    np.testing.assert_allclose(gA, expected, atol=10 * limit * np.abs(expected).max())
    dA, Q = np.random.default_rng(1).standard_normal((N, N)), arreig.invariant_subspace(scaled, 3)
    dQ = arreig.invariant_subspace_jvp(scaled, 3, (dA * scale).astype(dtype))
    expected = arreig.invariant_subspace_jvp(A, 3, dA) @ (arreig.invariant_subspace(A, 3).T @ Q)
    np.testing.assert_allclose(dQ, expected, atol=10 * limit * np.abs(expected).max())
    with pytest.raises(arreig.SpectrumNotSeparatedError):
        arreig.spectral_projector((np.eye(3) * scale).astype(dtype), 1)
