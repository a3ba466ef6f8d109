"""What gauges fix, where they are unstable, and what phase-free refuses."""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import arreig
from arreig.testing import finite_differences, host, matching

RNG = np.random.default_rng(1)


def test_fixed_quantities(lib: Any, dtype: str, batch: tuple[int, ...]) -> None:
    A = lib.array(np.random.default_rng(0).standard_normal((*batch, 5, 5)), dtype)
    u = float(np.finfo(dtype).eps)
    z = lib.array(np.arange(1.0, 6.0) + 1j)
    for gauge in ("canonical", "phase-free"):
        V = host(arreig.eig(A, gauge=gauge).eigenvectors)
        np.testing.assert_allclose(np.linalg.norm(V, axis=-2), 1, atol=4 * u)
    V = host(arreig.eig(A).eigenvectors)
    largest = np.take_along_axis(V, np.argmax(np.abs(V), axis=-2)[..., None, :], axis=-2)
    assert (largest.imag == 0).all()
    assert (largest.real > 0).all()
    V = host(arreig.eig(A, gauge=arreig.Component(-1)).eigenvectors)
    np.testing.assert_allclose(V[..., -1, :], 1, atol=4 * u)
    V = host(arreig.eig(A, gauge=arreig.Functional(z)).eigenvectors)
    np.testing.assert_allclose(np.sum(np.conj(host(z))[:, None] * V, axis=-2), 1, atol=100 * u)


def test_real_matrix_stays_closed_under_conjugation(lib: Any) -> None:
    A = lib.array(np.random.default_rng(0).standard_normal((20, 7, 7)))
    for gauge in ("canonical", "phase-free", arreig.Component(1)):
        w, V = map(host, arreig.eig(A, gauge=gauge))
        upper = w.imag > 0
        assert upper.any()
        partner = np.arange(7) + upper - (w.imag < 0)
        np.testing.assert_array_equal(np.take_along_axis(w, partner, -1), np.conj(w))
        np.testing.assert_array_equal(np.take_along_axis(V, partner[:, None, :], -1), np.conj(V))
        assert (V.imag[np.broadcast_to((w.imag == 0)[:, None, :], V.shape)] == 0).all()


def test_a_batch_of_functionals(lib: Any) -> None:
    rng = np.random.default_rng(2)
    A, z, gV = rng.standard_normal((3, 4, 4)), rng.standard_normal((3, 4)), rng.standard_normal((3, 4, 4))
    whole = arreig.eig_vjp(lib.array(A), lib.array(gV), gauge=arreig.Functional(lib.array(z)))
    for i in range(3):
        one = arreig.eig_vjp(lib.array(A[i]), lib.array(gV[i]), gauge=arreig.Functional(lib.array(z[i])))
        np.testing.assert_allclose(host(whole)[i], host(one), rtol=1e-10)


def circulant(n: int) -> Any:
    return np.stack([np.roll(np.arange(1.0, n + 1), i) for i in range(n)])


@pytest.mark.parametrize("function", ["eig", "eig_vjp", "eig_jvp", "supplied"])
def test_tie_warns_where_the_caller_stands(lib: Any, dtype: str, function: str) -> None:
    """Every component of a circulant's eigenvector has one modulus."""
    A = lib.array(circulant(5), dtype)
    V = arreig.eig(A, gauge="phase-free").eigenvectors
    calls = {
        "eig": lambda: arreig.eig(A),
        "eig_vjp": lambda: arreig.eig_vjp(A, V),
        "eig_jvp": lambda: arreig.eig_jvp(A, A),
        "supplied": lambda: arreig.eig_vjp(A, V, eigensystem=tuple(arreig.eig(A, gauge="phase-free"))),
    }
    with pytest.warns(arreig.GaugeTieWarning, match=r"two components of largest modulus.*Component\(m\)") as caught:
        calls[function]()
    assert caught[0].filename == __file__


def test_no_warning_where_nothing_can_jump() -> None:
    """filterwarnings = error: each of these would raise."""
    arreig.eig(np.diag([1.0, 2.0, 3.0]))
    arreig.eig(circulant(5), gauge="phase-free")
    arreig.eig(circulant(5), gauge=arreig.Component(0))
    arreig.eig_vjp(circulant(5), gw=np.arange(5.0))  # eigenvalues do not depend on a gauge
    arreig.eig(circulant(5), check=False)
    # (1, 1)/sqrt(2): a tie of equal signs in a real vector, which stays real and takes over without a jump
    assert arreig.eig(np.array([[1.0, 2.0], [1.0, 2.0]])).eigenvectors.shape == (2, 2)


@pytest.mark.filterwarnings("ignore:eigenvector:arreig.GaugeTieWarning")
def test_canonical_vectors_never_jump_along_smooth_paths() -> None:
    """Along 1000 random real paths, wherever no components tie and no eigenvalues come near each other."""
    n, steps = 5, 400
    rng = np.random.default_rng(3)
    start, end = rng.standard_normal((2, 1000, n, n))
    w, V = arreig.eig(start)
    lapack = np.linalg.eig(start)[1]
    compared = lapack_jumps = 0
    motion = np.sqrt(np.linalg.norm(start, axis=(-2, -1)) ** 2 + np.linalg.norm(end, axis=(-2, -1)) ** 2) / steps
    for step in range(1, steps + 1):
        A = start * np.cos(step / steps) + end * np.sin(step / steps)
        w_new, V_new = arreig.eig(A)
        lapack_new = np.linalg.eig(A)[1]
        order = matching(w_new, w)[..., None, :]
        # |dA| kappa / gap: how far a vector may move in this step, to first order
        gap = np.abs(w[..., :, None] - w[..., None, :]) + np.where(np.eye(n, dtype=bool), np.inf, 0)
        kappa = np.linalg.norm(np.linalg.inv(V), axis=-1)
        bound = motion[:, None] * kappa.max(-1, keepdims=True) / np.maximum(gap.min(-1), 1e-300)
        size = np.sort(np.abs(V), axis=-2)
        calm = (bound < 0.05) & (size[..., -2, :] / size[..., -1, :] < 1 - 4 * bound)
        jump = np.linalg.norm(np.take_along_axis(V_new, order, -1) - V, axis=-2)
        assert (jump[calm] < 8 * bound[calm]).all()
        lapack_jump = np.linalg.norm(np.take_along_axis(lapack_new, order, -1) - lapack, axis=-2)
        lapack_jumps += int((lapack_jump[calm] > 0.5).sum())
        compared += int(calm.sum())
        w, V, lapack = w_new, V_new, lapack_new
    assert compared > 500_000
    assert lapack_jumps > 1000  # LAPACK's own signs jump on these paths, so the comparison sees jumps


def test_a_functional_keeps_its_own_z(lib: Any) -> None:
    z = np.ones(4)
    A, gV = RNG.standard_normal((2, 4, 4))
    res = arreig.eig(A, gauge=arreig.Functional(z))
    expected = res.vjp(gV)
    z *= [1, 2, 3, 4]
    np.testing.assert_array_equal(res.vjp(gV), expected)


def test_undefined(lib: Any) -> None:
    A = lib.array(np.stack([RNG.standard_normal((3, 3)), np.diag([3.0, 2.0, 1.0])]))
    with pytest.raises(arreig.NonFiniteError, match="must have finite components"):
        arreig.eig(A, gauge=arreig.Functional(lib.array([1.0, np.nan, 0.0])))
    for gauge in (arreig.Component(0), arreig.Functional(lib.array([1.0, 0.0, 0.0]))):
        with pytest.raises(arreig.GaugeError, match=r"eigenvector 1 of batch member \(1,\).*is 0"):
            arreig.eig(A, gauge=gauge)
        w, V = arreig.eig(A, gauge=gauge, check=False)
        assert np.isnan(host(V)[1]).all()
        assert np.isfinite(host(V)[0]).all()


def random_matrix(lib: Any, dtype: str, n: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if dtype.startswith("complex") else 0)
    return lib.array(A / np.sqrt(n), dtype)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e4])
@pytest.mark.parametrize("n", [3, 8, 30])
def test_phase_free_judges_relatively(lib: Any, dtype: str, n: int, scale: float) -> None:
    """A gauge-dependent loss is refused and an invariant one accepted, however they are scaled."""
    A = random_matrix(lib, dtype, n, n)
    res = arreig.eig(A, gauge="phase-free")
    rng = np.random.default_rng(n)
    weights = lib.array(rng.standard_normal((n, n)), "float32" if dtype in ("float32", "complex64") else "float64")
    invariant = scale * weights * res.eigenvectors
    assert np.isfinite(host(res.vjp(invariant))).all()
    dependent = scale * lib.xp.conj(res.eigenvectors) * weights
    with pytest.raises(arreig.GaugeDependentLossError, match="'phase-free' leaves the phase open"):
        res.vjp(dependent + 1j * scale * weights)
    free = arreig.eig(A, gauge="phase-free", check=False)
    assert np.isnan(host(free.vjp(dependent + 1j * scale * weights))).all()


@pytest.mark.parametrize("n", [3, 8, 30])
def test_phase_free_refuses_a_small_share(lib: Any, dtype: str, n: int) -> None:
    """An invariant loss with a gauge-dependent part of 1e-5 of it in double, 1e-2 in single precision."""
    single = dtype in ("float32", "complex64")
    res = arreig.eig(random_matrix(lib, dtype, n, n), gauge="phase-free")
    V = host(res.eigenvectors)
    weights = np.random.default_rng(n).standard_normal((n, n))
    share = 1e-2 if single else 1e-5
    gV = weights * V + share * 1j * np.linalg.norm(weights * V, axis=0) * V
    with pytest.raises(arreig.GaugeDependentLossError):
        res.vjp(lib.array(gV))


@pytest.mark.parametrize("n", [3, 8, 30])
def test_phase_free_accepts_a_function_of_the_matrix(lib: Any, dtype: str, n: int) -> None:
    """tr expm(A): the cotangents of the vectors vanish up to rounding, of which a test without floor makes a refusal."""
    for seed in range(10):
        A = random_matrix(lib, dtype, n, seed)
        res = arreig.eig(A, gauge="phase-free")
        w, V = res
        xp = lib.xp
        # of L = Re tr(C V diag(exp w) V^-1), C = I, in the library's own precision
        Vi = xp.linalg.inv(V)
        e = xp.exp(w)
        VieC = e[:, None] * Vi
        gw = xp.conj(xp.linalg.diagonal(Vi @ V) * e)
        gV = xp.conj(xp.matrix_transpose(VieC - Vi @ (V * e[None, :]) @ Vi))
        expected = expm(host(A)).conj().T
        tolerance = 1e-10 if dtype in ("float64", "complex128") else 1e-2
        np.testing.assert_allclose(host(res.vjp(gV, gw)), expected, atol=tolerance * np.abs(expected).max())


def test_gauge_dependent_loss_of_a_complex_pair_has_the_gradient_of_the_canonical_gauge() -> None:
    """Re sum(v^2), the loss of which every phase gives another value."""
    A = np.array([[0.2, -1.3, 0.4], [1.1, 0.3, -0.2], [0.5, 0.1, 2.0]])
    loss = lambda A: np.sum(arreig.eig(A, sort="abs").eigenvectors[..., :, 1] ** 2, axis=-1).real
    res = arreig.eig(A, sort="abs")
    assert res.eigenvalues[1].imag > 0
    gV = np.zeros((3, 3), complex)
    gV[:, 1] = 2 * np.conj(res.eigenvectors[:, 1])
    np.testing.assert_allclose(res.vjp(gV), finite_differences(loss, A), atol=1e-10)
