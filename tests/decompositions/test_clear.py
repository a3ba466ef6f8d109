"""Matrices far from all that is refused take a shorter way, in parts: it gives the same, and only them the gradient."""

from typing import Any

import numpy as np
import pytest

import arreig
from arreig._decompositions import _clear, _general
from arreig._rules import _estimate
from arreig._rules._spread import by_adjugates

SHORT_WAYS = ("vjp_in_numbers", "clear_vjp")
DTYPES = ("float32", "float64", "complex64", "complex128")


def random(shape: tuple[int, ...], dtype: str) -> Any:
    """Orthogonal matrices plus noise: eigenvalues apart, eigenvectors not orthogonal."""
    rng = np.random.default_rng(23)
    A = np.linalg.qr(rng.standard_normal(shape) + 1j * rng.standard_normal(shape))[0]
    A = A if dtype.startswith("complex") else np.linalg.qr(rng.standard_normal(shape))[0]
    return (A + 0.3 * rng.standard_normal(shape) / shape[-1] ** 0.5).astype(dtype)


def only(monkeypatch: pytest.MonkeyPatch, *ways: str) -> list[str]:
    """Lets no other short ways be taken; a list of the ones that were."""
    taken = []

    def way(name: str) -> Any:
        def short(*arguments: Any) -> Any:
            gA = getattr(_clear, name)(*arguments) if name in ways else None
            taken.extend([name] if gA is not None else [])
            return gA

        return short

    for name in SHORT_WAYS:
        monkeypatch.setattr(_general, name, way(name))
    return taken


def both_ways(monkeypatch: pytest.MonkeyPatch, A: Any, gV: Any, gw: Any, **options: Any) -> tuple[Any, Any]:
    """The gradient as it is, and where each bound decides; that a short way was taken, and the right one, is asserted."""
    taken = only(monkeypatch, *SHORT_WAYS)
    own = arreig.eig_vjp(A, gV, gw, **options)
    few = A.shape in ((2, 2), (3, 3)) and isinstance(options["gauge"], str)
    assert taken == ["vjp_in_numbers" if few else "clear_vjp"]
    only(monkeypatch)
    return own, arreig.eig_vjp(A, gV, gw, **options)


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("batch", "n"), [((), 2), ((), 3), ((), 7), ((), 80), ((3, 2), 70), ((80,), 2), ((5, 40), 3), ((70,), 5)]
)
@pytest.mark.parametrize("gauge", ["canonical", "phase-free", "component", "functional"])
def test_both_ways_agree(
    monkeypatch: pytest.MonkeyPatch, dtype: str, batch: tuple[int, ...], n: int, gauge: str
) -> None:
    rng = np.random.default_rng(29)
    z = rng.uniform(1, 2, (*batch[:-1], *(1,) * bool(batch), n)).astype(np.dtype(dtype).type(0).real.dtype)
    A = random((*batch, n, n), dtype)
    m = int(np.abs(arreig.eig(A, gauge="phase-free").eigenvectors).min((*range(len(batch)), -1)).argmax())
    gauges = {"component": arreig.Component(m), "functional": arreig.Functional(z)}
    w, V = arreig.eig(A, gauge=gauges.get(gauge, gauge))
    gV, gw = V * np.arange(1, n + 1)[:, None], w.conj()
    own, other = both_ways(monkeypatch, A, gV, gw, gauge=gauges.get(gauge, gauge))
    assert own.dtype == A.dtype
    kappa = np.linalg.norm(np.linalg.inv(V), axis=-1).max(-1) * np.linalg.norm(V, axis=-2).max(-1)
    gap = np.abs(w[..., None] - w[..., None, :] + 9 * np.eye(n)).min((-2, -1))
    tolerance = 100 * np.finfo(dtype).eps * kappa / gap.clip(max=1) * np.abs(other).max((-2, -1))
    assert (np.abs(own - other) <= tolerance[..., None, None]).all()


def outcome(A: Any, gV: Any) -> Any:
    """The gradient, or the type of the error."""
    try:
        return arreig.eig_vjp(A, gV)
    except arreig.ArreigError as error:
        return type(error)


def both_outcomes(monkeypatch: pytest.MonkeyPatch, A: Any, gV: Any) -> tuple[Any, Any] | None:
    """The gradient by the ways that are open, and where each bound decides; None where both refuse, with the same error."""
    own = outcome(A, gV)
    only(monkeypatch)
    other = outcome(A, gV)
    if isinstance(own, type) or isinstance(other, type):
        assert own is other
        return None
    return own, other


def repeated(n: int) -> Any:
    """Two equal eigenvalues."""
    rng = np.random.default_rng(29)
    X = np.linalg.qr(rng.standard_normal((n, n)))[0] + 0.1 * rng.standard_normal((n, n)) / n**0.5
    return X * np.array([1.0, 1.0, *np.linspace(2, 3, n - 2)]) @ np.linalg.inv(X)


@pytest.mark.parametrize("n", [3, 80])
def test_what_is_refused_stays_refused(n: int) -> None:
    rng = np.random.default_rng(29)
    gV = rng.standard_normal((n, n))
    for A in (repeated(n), np.diag([1.0, 1.0, *np.linspace(2, 3, n - 2)])):
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            arreig.eig_vjp(A, gV)
    with pytest.raises(arreig.DefectiveMatrixError):
        arreig.eig_vjp(np.diag(np.linspace(1, 2, n)) + 1e9 * np.eye(n, k=1), gV)
    with pytest.raises(arreig.GaugeDependentLossError):
        arreig.eig_vjp(random((n, n), "complex128"), gV, gauge="phase-free")


@pytest.mark.parametrize(
    ("dtype", "scales"), [("float64", [1e-300, 1e-160, 1e155, 1e300]), ("float32", [1e-30, 1e-9, 1e19, 1e30])]
)
def test_out_of_range(monkeypatch: pytest.MonkeyPatch, dtype: str, scales: list[float]) -> None:
    """Where squares overflow or vanish, as one member among many too, both ways find the same, without a warning."""
    B = np.array([[1.0, 2.0, 0.0], [3.0, 4.0, 1.0], [0.5, -1.0, 2.0]])
    for scale in scales:
        for A in (B * scale, B * np.where(np.arange(100) == 7, scale, 1.0)[:, None, None]):
            A = A.astype(dtype)
            w, V = arreig.eig(A)
            only(monkeypatch, *SHORT_WAYS)
            own = arreig.eig_vjp(A, V * B[0, :, None].astype(dtype), w / np.abs(w))
            only(monkeypatch)
            other = arreig.eig_vjp(A, V * B[0, :, None].astype(dtype), w / np.abs(w))
            size = np.abs(other).max((-2, -1), keepdims=True)
            assert (np.abs(own - other) <= 1e3 * np.finfo(dtype).eps * size).all()
    E = np.eye(3, dtype=dtype) * np.asarray(scales[-3], dtype)  # of equal eigenvalues
    np.testing.assert_allclose(arreig.eig_vjp(E, 0 * E, np.ones(3, dtype), degeneracy="mask"), np.eye(3), atol=1e-5)
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        arreig.eig_vjp(np.diag([1, 1, 2]).astype(dtype), np.full((3, 3), np.finfo(dtype).max / 1e8, dtype))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_gradient_that_overflows_is_refused(n: int) -> None:
    """Of gaps so small that their inverses are no numbers."""
    A = 1e-320 * (np.diag(np.arange(1.0, n + 1)) + np.eye(n, k=1))
    with pytest.raises(arreig.LostPrecisionError):
        arreig.eig_vjp(A, np.arange(1.0, n * n + 1).reshape(n, n))


@pytest.mark.parametrize("scale", [0.05, 0.2, 0.5, 1.0])
def test_far_from_normal(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    """Triangles above the diagonal, up to where V is singular: both ways find the same gradient, or the same error."""
    rng = np.random.default_rng(29)
    n = 70
    A = np.diag(np.linspace(1, 2, n)) + scale * np.triu(rng.standard_normal((n, n)), 1) / n**0.5
    gV = rng.standard_normal((n, n))
    if (both := both_outcomes(monkeypatch, A, gV)) is not None:
        own, other = both
        np.testing.assert_allclose(own, other, rtol=1e-6, atol=1e-8 * np.abs(other).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3])
def test_towards_what_is_refused(monkeypatch: pytest.MonkeyPatch, dtype: str, n: int) -> None:
    """Two eigenvalues that meet, with and without two vectors: in numbers the gradient, or error, as by each bound."""
    rng = np.random.default_rng(29)
    X, gV, eps = random((n, n), dtype), random((n, n), dtype), np.finfo(dtype).eps
    taken = []
    for gap in np.geomspace(10 * eps, 1, 60):
        for coupling in (0, 1):
            M = np.diag(np.arange(n).clip(1) + rng.uniform(-1, 1, n) * gap) + coupling * np.eye(n, k=1)
            A = (X @ M @ np.linalg.inv(X)).astype(dtype)
            taken.append(only(monkeypatch, "vjp_in_numbers"))
            if (both := both_outcomes(monkeypatch, A, gV)) is not None:
                own, other = both
                size = np.linalg.norm(other) + np.linalg.norm(gV)
                assert np.linalg.norm(own - other) <= 100 * eps / gap ** (1 + coupling) * size
    assert 0 < sum(map(len, taken)) < len(taken)


@pytest.mark.parametrize(("members", "n"), [(30000, 3), (400, 24)])
def test_one_member_of_a_batch(members: int, n: int) -> None:
    """A member that is refused is named by its index in the whole batch, and spoils no other."""
    A = random((2, members // 2, n, n), "float64")
    w, V = arreig.eig(A, check=False)
    gV = V * np.arange(1, n + 1)[:, None]
    clean = arreig.eig_vjp(A, gV)
    A[1, -2] = repeated(n)
    with pytest.raises(arreig.DegenerateEigenvaluesError, match=rf"\(1, {members // 2 - 2}\)"):
        arreig.eig_vjp(A, gV)
    quiet = arreig.eig_vjp(A, gV, check=False)
    assert np.isnan(quiet[1, -2]).all()
    quiet[1, -2] = clean[1, -2]
    np.testing.assert_allclose(quiet, clean, rtol=1e-9, atol=1e-9 * np.abs(clean).max((-2, -1)).min())
    masked = arreig.eig_vjp(A, np.where(np.isnan(gV), 0, 0) + 0 * gV, w * 0 + 1, degeneracy="mask")  # of the trace
    np.testing.assert_allclose(masked, np.broadcast_to(np.eye(n), A.shape), atol=1e-6)


@pytest.mark.parametrize("n", [64, 300])
def test_estimates(n: int) -> None:
    """Norms of vectors with any structure, up to the factor that is allowed for."""
    rng = np.random.default_rng(29)
    i = np.arange(n)
    structured = [
        np.eye(n),
        np.exp(2j * np.pi * np.outer(i, i) / n),
        np.tri(n),
        (-1.0) ** np.outer(i, i),
        np.outer(i, i + 1.0),
    ]
    for X in (*structured, rng.standard_normal((n, 20 * n)), rng.standard_cauchy((n, 20 * n))):
        Z = _estimate.combinations(np.empty((n, n), X.dtype))
        ratio = np.linalg.norm(Z.conj().T @ X, axis=0) / np.linalg.norm(X, axis=0).clip(1e-300)
        ratio = ratio[X.any(0)]
        assert (ratio > 1 / _estimate.SAFE).all()
        assert (ratio < 2.5).all()
    assert 0.95 < ratio.mean() < 1.05


@pytest.mark.parametrize("n", [2, 3, 4])
def test_adjugates(n: int) -> None:
    rng = np.random.default_rng(29)
    V = rng.standard_normal((50, n, n)) + 1j * rng.standard_normal((50, n, n))
    np.testing.assert_allclose(by_adjugates(V), np.linalg.inv(V).conj().mT, rtol=1e-10)
    V[7] = 1
    assert np.isnan(by_adjugates(V)[7]).all()
