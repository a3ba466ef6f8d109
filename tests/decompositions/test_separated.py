"""Losses that are smooth in A, through eigenvalues that meet: "split" and "perturb"."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import block_diag, expm_frechet, solve_sylvester, sqrtm

import arreig
from arreig._generic import generic_matrix
from arreig.testing import adjoint_defect, finite_differences, host, matrix_with_spectrum
from benchmarks import exact, matrices
from benchmarks.accuracy import losses_of
from tests.conftest import LIBRARIES, WITH_JAX

REPEATED = matrices.repeated()
WHOLE = {name: A for name, (A, kind) in REPEATED.items() if kind != "defective"}
DEFECTIVE = {name: A for name, (A, kind) in REPEATED.items() if kind == "defective"}
POLE = exact.POLE


def adjoint(X: Any) -> Any:
    return np.conj(np.swapaxes(X, -1, -2))


def cotangents(function: str, w: Any, V: Any, C: Any) -> tuple[Any, Any]:
    """gV and gw of Re tr(C V f(w) V^-1), in the precision of V."""
    f, df = {
        "expm": lambda w: (np.exp(w), np.exp(w)),
        "sqrtm": lambda w: (np.sqrt(w), 0.5 / np.sqrt(w)),
        "resolvent": lambda w: (1 / (w - POLE), -1 / (w - POLE) ** 2),
    }[function](w + 0j)
    C = C.astype(f.dtype)
    W = adjoint(np.linalg.inv(V + 0 * f[..., None, :]))
    K = adjoint(W) @ C @ V  # V^-1 C V
    gV = adjoint(C) @ W * np.conj(f)[..., None, :] - W @ (adjoint(K) * np.conj(f)[..., :, None])
    gw = np.conj(np.diagonal(K, axis1=-2, axis2=-1) * df)
    real = not np.iscomplexobj(V), not np.iscomplexobj(w)
    return (gV.real if real[0] else gV), (gw.real if real[1] else gw)


def gradient(function: str, A: Any, C: Any, kind: str = "eig", lib: Any = LIBRARIES["numpy"], **options: Any) -> Any:
    """Of Re tr(C f(A)) by arreig, on arrays of a library."""
    res = getattr(arreig, kind)(lib.array(A), gauge="phase-free", **options)
    w, V = (host(x).astype(str(x.dtype).rsplit(".", 1)[-1]) for x in res)
    return host(res.vjp(*(lib.array(g) for g in cotangents(function, w, V, C))))


def smooth_gradient(function: str, A: Any, C: Any) -> Any:
    """Of Re tr(C f(A)), complex A too: the adjoint of the derivative of f at A."""
    if function == "expm":
        return adjoint(expm_frechet(A, C + 0 * A, compute_expm=False))
    if function == "sqrtm":
        S = sqrtm(A)
        return adjoint(solve_sylvester(S, S, C + 0 * A))
    R = np.linalg.inv(A - POLE * np.eye(len(A)))
    return adjoint(-R @ C @ R)


def error(gA: Any, reference: Any) -> float:
    return float(np.abs(gA - reference).max() / np.abs(reference).max())


def is_symmetric(A: Any) -> bool:
    return bool((A == A.T).all())


KINDS = [(name, kind) for name, A in WHOLE.items() for kind in ("eig", "eigh") if kind == "eig" or is_symmetric(A)]
# Three equal eigenvalues near 0 are moved by their own size times 1e-3, as rounding costs as much: right to that, or refused.
TOLERANCE = {"identity, n = 6": 1e-6, "zero, n = 6": 1e-6, "graded, {1,1,1}e-10 and {.5,1,2}": 2e-3}


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_split_serves_smooth_losses(name: str, kind: str) -> None:
    A = WHOLE[name]
    C = np.random.default_rng(1).standard_normal(A.shape)
    for function in losses_of(A):
        reference = exact.smooth_gradient(function, A, C)
        reference = (reference + reference.T) / 2 if kind == "eigh" else reference
        for refine in ({}, {"refine": 3}, {"refine": False}) if kind == "eig" else ({},):
            try:
                gA = gradient(function, A, C, kind, degeneracy="split", **refine)
            except arreig.LostPrecisionError:
                assert name == "graded, {1,1,1}e-10 and {.5,1,2}"
                continue
            assert error(gA, reference) < TOLERANCE.get(name, 1e-5), (function, refine)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_split_refuses_ill_defined_losses(name: str, kind: str) -> None:
    """Of single vectors, of a share of them, of single eigenvalues with and without vectors elsewhere."""
    A = WHOLE[name]
    res = getattr(arreig, kind)(A, degeneracy="split", gauge="phase-free")
    w, V = res
    split = res._carried.split.any(-1)
    if not split.any():
        assert name == "graded, {1,2,3}e-10 and {.5,1,2}"
        return
    rng = np.random.default_rng(7)
    basis = 2 * rng.standard_normal(A.shape) * V
    losses = {"vectors": (basis, 0 * w), "eigenvalues": (None, rng.standard_normal(len(A)).astype(w.dtype))}
    if not split.all():
        outside = V * np.where(split, 0, np.arange(len(A)))
        losses["eigenvalues, and vectors elsewhere"] = outside, np.where(split, np.arange(len(A)), 0).astype(w.dtype)
    gV, gw = cotangents("expm", w, V, rng.standard_normal(A.shape))
    share = 1e-2 * max(np.linalg.norm(gV), np.linalg.norm(gw)) / np.linalg.norm(basis)
    losses["a share of one in a hundred"] = gV + share * basis, gw
    for loss, g in losses.items():  # pytest shows which
        if name == "graded, {1,1,1}e-10 and {.5,1,2}" and not loss.startswith("eig"):
            continue  # legitimate gaps of 1e-10 beside it hide it
        with pytest.raises(arreig.DegenerateEigenvaluesError, match=r"eigenvalues \d+ and \d+ .*numerically equal"):
            res.vjp(*g)


@pytest.mark.parametrize("name", WHOLE)
def test_a_split_decomposition(name: str) -> None:
    """It decomposes a matrix nearby; real matrices stay closed under conjugation; what is not in a cluster is untouched."""
    A = WHOLE[name]
    w, V = res = arreig.eig(A, degeneracy="split", gauge="phase-free")
    plain = arreig.eig(A, gauge="phase-free")
    split = res._carried.split
    size = np.linalg.norm(A) or 1
    assert np.abs(A @ V - V * w).max() < 1e-7 * size
    np.testing.assert_array_equal(w[~split.any(-1)], plain.eigenvalues[~split.any(-1)])
    np.testing.assert_array_equal(V[:, ~split.any(-1)], plain.eigenvectors[:, ~split.any(-1)])
    np.testing.assert_array_equal(split, split.T)
    np.testing.assert_allclose((adjoint(V) @ V)[split], 0, atol=1e-14)
    assert split.any() == (name != "graded, {1,2,3}e-10 and {.5,1,2}")
    partner = np.argmin(np.abs(w[:, None].conj() - w[None, :]), axis=1)
    np.testing.assert_array_equal(w[partner], w.conj())
    np.testing.assert_array_equal(V[:, partner], V.conj())
    gaps = np.abs(w[:, None] - w)[split]
    assert not len(gaps) or gaps.min() > 1e-14 * size


@pytest.mark.parametrize("scale", [1e-150, 2.0**-20, 1e-3, 1e3, 1e150])
def test_split_is_invariant_under_scaling(scale: float) -> None:
    for name in ("X diag(1,1,1,2,2,3,4,5) X⁻¹", "twice and 3, conjugated", "Laplacian, 4 x 4 grid"):
        A = WHOLE[name]
        C = np.random.default_rng(1).standard_normal(A.shape)
        res = arreig.eig(scale * A, degeneracy="split", gauge="phase-free")
        gV, gw = cotangents("expm", res.eigenvalues / scale, res.eigenvectors, C)
        assert error(res.vjp(gV, gw / scale) * scale, smooth_gradient("expm", A, C).real) < 1e-5


@pytest.mark.parametrize("shift", [-30.0, 7.0])
def test_split_is_invariant_under_shifts(shift: float) -> None:
    for name in ("X diag(1,1,1,2,2,3,4,5) X⁻¹", "rotation block, three times", "Laplacian, star 7"):
        A = WHOLE[name]
        C = np.random.default_rng(1).standard_normal(A.shape)
        res = arreig.eig(A + shift * np.eye(len(A)), degeneracy="split", gauge="phase-free")
        gV, gw = cotangents("expm", res.eigenvalues - shift, res.eigenvectors, C)
        assert error(res.vjp(gV, gw), smooth_gradient("expm", A, C).real) < 1e-5


@pytest.mark.parametrize("spectrum", [[0, 1], [0, 1, 2.3], [0, 1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("kind", ["eig", "eigh", "complex"])
def test_gaps(kind: str, spectrum: list[float]) -> None:
    """From one tenth to below rounding: never above 1e-5, whatever the gap."""
    rng = np.random.default_rng(0)
    C = rng.standard_normal((len(spectrum) + 3,) * 2)
    for gap in 10.0 ** -np.arange(1, 15.5, 0.25):
        w = np.array([*(1 + gap * np.array(spectrum)), 2, 3, 4.5])
        w = w * np.exp(0.6j) if kind == "complex" else w
        A = matrix_with_spectrum(w, np.random.default_rng(1), hermitian=kind == "eigh")
        A = (A + A.T) / 2 if kind == "eigh" else A
        for function in ("expm", "sqrtm", "resolvent"):
            reference = smooth_gradient(function, A, C)
            reference = reference if kind == "complex" else reference.real
            reference = (reference + reference.T) / 2 if kind == "eigh" else reference
            gA = gradient(function, A, C, "eigh" if kind == "eigh" else "eig", degeneracy="split")
            assert error(gA, reference) < 1e-5, (gap, function)


def batch_of(kind: str, dtype: str) -> Any:
    """Members without a cluster, with a triple eigenvalue, A = I, A = 0, and a doubled complex pair, or Hermitian ones."""
    rng = np.random.default_rng(0)
    pairs = matrices.blocks(matrices.rotation(0.7), matrices.rotation(0.7), 2.0)
    members = [
        matrix_with_spectrum([1.0, 1.5, 2.0, 3.0, 4.0], rng, hermitian=kind == "eigh"),
        matrix_with_spectrum([1.0, 1.0, 1.0, 3.0, 4.0], rng, hermitian=kind == "eigh"),
        np.eye(5),
        np.zeros((5, 5)),
        np.diag([2.0, 2, 0, 1, 1]) if kind == "eigh" else matrices.conjugated(pairs),
    ]
    A = np.stack(members)
    return ((A + adjoint(A)) / 2 if kind == "eigh" else A).astype(dtype)


@pytest.mark.parametrize("kind", ["eig", "eigh"])
@pytest.mark.parametrize("lib", [*LIBRARIES], indirect=True)
def test_batches_over_libraries_and_precisions(lib: Any, dtype: str, kind: str) -> None:
    A = batch_of(kind, dtype)
    C = np.random.default_rng(1).standard_normal((5, 5))
    gA = gradient("expm", A, C, kind, lib, degeneracy="split")
    tolerance = 1e-6 if dtype in ("float64", "complex128") else 1e-2
    for k, a in enumerate(A.astype("complex128" if dtype.startswith("complex") else "float64")):
        reference = smooth_gradient("expm", a, C)
        reference = (reference + adjoint(reference)) / 2 if kind == "eigh" else reference
        assert error(gA[k], reference) < tolerance, k
    options = {} if kind == "eigh" else {"sort": "real"}
    plain, split = (getattr(arreig, kind)(lib.array(A), degeneracy=d, **options) for d in ("raise", "split"))
    for x, y in zip(plain, split, strict=True):
        np.testing.assert_array_equal(host(x)[0], host(y)[0])
    w = host(split.eigenvalues).real
    assert (np.diff(w, axis=-1) * (1 if kind == "eigh" else -1) >= 0).all()  # also inside clusters
    assert getattr(arreig, kind)(lib.array(A[:0]), degeneracy="split").eigenvectors.shape == (0, 5, 5)


@pytest.mark.parametrize("degeneracy", ["split", "perturb"])
@pytest.mark.parametrize("n", [0, 1])
def test_smallest(lib: Any, n: int, degeneracy: str) -> None:
    for shape in ((n, n), (2, n, n)):
        A = lib.array(np.full(shape, 3.0))
        for kind in ("eig", "eigh"):
            res = getattr(arreig, kind)(A, degeneracy=degeneracy)
            gA = host(res.vjp(None, res.eigenvalues))
            np.testing.assert_allclose(gA, host(A), rtol=1e-4)
            assert res.vjp(0 * res.eigenvectors).shape == shape
            assert res.jvp(A)[1].shape == shape


@WITH_JAX
@pytest.mark.parametrize("degeneracy", ["split", "perturb"])
@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_under_jit_and_vmap(kind: str, degeneracy: str) -> None:
    """The gradient of every member, by the cotangents that belong to the vectors found there; NaN for a defective one."""
    A, C = batch_of(kind, "float64"), np.random.default_rng(1).standard_normal((5, 5))
    traced = lambda f: lambda *arrays: jax.jit(jax.vmap(f))(*map(jnp.asarray, arrays))

    def decompose(A: Any) -> Any:
        return getattr(arreig, kind)(A, degeneracy=degeneracy, gauge="phase-free")

    w, V = map(host, traced(lambda A: tuple(decompose(A)))(A))
    np.testing.assert_allclose(w, decompose(A).eigenvalues, atol=1e-12)
    vjp = traced(lambda A, gV, gw: decompose(A).vjp(gV, gw))
    gV, gw = cotangents("expm", w, V, C)
    for a, gA in zip(A, host(vjp(A, gV, gw)), strict=True):
        reference = smooth_gradient("expm", a, C)
        reference = (reference + reference.T) / 2 if kind == "eigh" else reference
        assert error(gA, reference) < (1e-6 if degeneracy == "split" else 2e-5)
    if kind == "eig" and degeneracy == "split":
        jordan = np.stack([A[0], np.eye(5, k=1) + np.eye(5)])
        gA = host(vjp(jordan, gV[:2], gw[:2]))
        assert np.isnan(gA[1]).all()
        assert np.isfinite(gA[0]).all()


@pytest.mark.parametrize("name", DEFECTIVE)
def test_defective_clusters(name: str) -> None:
    """Served by "perturb", named by the others. It takes about 1e-5 of a gradient, and rounding as much, or by chance more."""
    A = DEFECTIVE[name]
    weights = np.random.default_rng(1).standard_normal((9, *A.shape))
    C = weights[0]
    for function in losses_of(A):
        references = [exact.smooth_gradient(function, A, C) for C in weights]
        for refine in ("auto", False, 2):
            gradients = (gradient(function, A, C, degeneracy="perturb", refine=refine) for C in weights)
            errors = [*map(error, gradients, references)]
            assert np.median(errors) < 2e-5, (function, errors)
            assert max(errors) < 5e-5, (function, errors)
    for degeneracy in ("raise", "mask", "split"):
        res = arreig.eig(A, degeneracy=degeneracy)
        derivatives = [lambda r=res: r.vjp(C)]
        if degeneracy != "mask":  # which leaves rotations inside a cluster out of tangents, and refuses none
            derivatives.append(lambda r=res: r.jvp(C))
        for derivative in derivatives:
            with pytest.raises(
                (arreig.DefectiveMatrixError, arreig.DegenerateEigenvaluesError, arreig.LostPrecisionError),
                match=r"w\[\d\] = (1|0\.99).*'perturb'",
            ):
                derivative()


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_the_perturbation(kind: str, dtype: str) -> None:
    """Of relative size delta, the same in every library, real for real A, Hermitian for eigh; it splits I and 0."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((2, 5, 5)).astype(dtype)
    A[1] = 0
    A = (A + adjoint(A)) / 2 if kind == "eigh" else A
    policy = arreig.Perturb(1e-3)
    moved = {}
    for name, library in LIBRARIES.items():
        a = library.array(A)
        moved[name] = host(policy.matrix(a, library.array(np.linalg.norm(A, axis=(-2, -1))), kind == "eigh"))
        np.testing.assert_allclose(moved[name], moved["numpy"], rtol=0, atol=2 * np.finfo(dtype).eps)
        np.testing.assert_array_equal(host(generic_matrix(a, 1)), host(generic_matrix(A, 1)))
    E = moved["numpy"] - A
    np.testing.assert_allclose(np.linalg.norm(E, axis=(-2, -1)), [1e-3 * np.linalg.norm(A[0]), 1e-3], rtol=1e-3)
    if kind == "eigh":
        np.testing.assert_array_equal(moved["numpy"], adjoint(moved["numpy"]))
    res = getattr(arreig, kind)(A, degeneracy=policy)
    w, V = map(host, res)
    np.testing.assert_allclose(moved["numpy"] @ V, V * w[..., None, :], atol=50 * np.finfo(dtype).eps)


def test_generic_numbers() -> None:
    """Fixed for ever, without pattern: a basis or a direction made of them is no special one."""
    x = generic_matrix(np.zeros(3), 1)
    np.testing.assert_array_equal(65536 * x, [[-32817, 22189, 14007], [-43145, -11949, -42023], [-9151, 44221, -40283]])
    X = generic_matrix(np.zeros(200), 1)
    assert abs(X.mean()) < 0.01
    assert abs(X.var() - 1 / 6) < 0.01
    values = np.linalg.svd(X, compute_uv=False)
    assert values[0] < 1.1 * 2 * np.sqrt(200 / 6)
    assert values[-1] > 1e-3
    assert abs(np.corrcoef(X[:-1].ravel(), X[1:].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(X.ravel(), generic_matrix(np.zeros(200), 2).ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("degeneracy", ["split", "perturb"])
@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_tangents_at_a_cluster(kind: str, degeneracy: str) -> None:
    """The adjoint identity, with the large tangents inside the cluster; and the slope of a smooth loss."""
    A = batch_of(kind, "float64")[1]
    rng = np.random.default_rng(3)
    dA, C = rng.standard_normal((2, 5, 5))
    dA = dA + dA.T if kind == "eigh" else dA
    res = getattr(arreig, kind)(A, degeneracy=degeneracy, gauge="phase-free")
    gV, gw = cotangents("expm", *res, C)
    dw, dV = res.jvp(dA)
    assert adjoint_defect([(gV, dV), (gw, dw)], [(res.vjp(gV, gw), dA)]) < 1e-8
    slope = np.sum(np.real(np.conj(gV) * dV)) + np.sum(np.real(np.conj(gw) * dw))
    dE = expm_frechet(A, dA, compute_expm=False)
    tolerance = 1e-6 if degeneracy == "split" else 1e-5
    assert abs(slope - np.trace(C @ dE)) < tolerance * np.linalg.norm(C) * np.linalg.norm(dE)


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_supplied_decompositions(kind: str) -> None:
    """One that was split is differentiated as it is; one that was not is refused at a cluster, and served elsewhere."""
    A = batch_of(kind, "float64")
    C = np.random.default_rng(1).standard_normal((5, 5))
    vjp = getattr(arreig, f"{kind}_vjp")
    res = getattr(arreig, kind)(A, degeneracy="split", gauge="phase-free")
    gV, gw = cotangents("expm", *res, C)
    expected = res.vjp(gV, gw)
    for eigensystem, options in ((res, {}), (tuple(res), {"degeneracy": "split", "gauge": "phase-free"})):
        np.testing.assert_allclose(vjp(A, gV, gw, eigensystem=eigensystem, **options), expected, rtol=1e-12, atol=1e-12)
    basis = 2 * np.random.default_rng(7).standard_normal(A.shape) * res.eigenvectors
    plain = getattr(arreig, kind)(A, gauge="phase-free")
    for eigensystem in (tuple(res), tuple(plain)):
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            vjp(A, basis, eigensystem=eigensystem, degeneracy="split", gauge="phase-free")
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="was not made with degeneracy='split'"):
        vjp(A, gV, gw, eigensystem=tuple(plain), degeneracy="split", gauge="phase-free")
    simple = tuple(x[0] for x in plain)
    np.testing.assert_allclose(
        vjp(A[0], gV[0], gw[0], eigensystem=simple, degeneracy="split", gauge="phase-free"), expected[0], rtol=1e-9
    )
    perturbed = getattr(arreig, kind)(A, degeneracy="perturb", gauge="phase-free")
    gV, gw = cotangents("expm", *perturbed, C)
    np.testing.assert_allclose(
        vjp(A, gV, gw, eigensystem=tuple(perturbed), degeneracy="perturb", gauge="phase-free"),
        perturbed.vjp(gV, gw),
        atol=1e-4,
    )


def test_messages() -> None:
    """Of a perturbation that is too small, and of a decomposition of another matrix."""
    with pytest.raises(arreig.DegenerateEigenvaluesError, match=r"even after degeneracy='perturb'.*a larger delta"):
        arreig.eig(np.eye(3), degeneracy=arreig.Perturb(1e-16)).jvp(np.ones((3, 3)))
    A = np.diag([1.0, 1.0, 2.0])
    w, V = arreig.eig(A + np.diag([0.3, 0, 0]))
    for degeneracy in ("split", "perturb"):
        with pytest.raises(arreig.EigensystemError, match=r"expected at most sqrt\(u\) \|A\| and what the degeneracy"):
            arreig.eig_vjp(A, V, eigensystem=(w, V), degeneracy=degeneracy)


def test_without_checks_only_the_member_is_nan(lib: Any) -> None:
    A = batch_of("eig", "float64")
    res = arreig.eig(lib.array(A), degeneracy="split", check=False)
    gV = 2 * np.random.default_rng(7).standard_normal(A.shape) * host(res.eigenvectors)
    gA = host(res.vjp(lib.array(gV)))
    assert np.isfinite(gA[0]).all()
    assert np.isnan(gA[1:]).all()


def test_refinement_beside_a_cluster() -> None:
    """It works against the matrix that (w, V) decomposes: against A it would undo the split."""
    rng = np.random.default_rng(0)
    J = block_diag(np.diag([1.0, 1.0, 1.0]), [[2.0, 1.0], [0.0, 2.0 + 1e-3]], 3.0, 4.0)
    X = np.eye(7) + 0.2 * rng.standard_normal((7, 7))
    A = X @ J @ np.linalg.inv(X)
    C = rng.standard_normal((7, 7))
    reference = exact.smooth_gradient("expm", A, C)
    for refine in (False, "auto", 1, 4):
        assert error(gradient("expm", A, C, degeneracy="split", refine=refine), reference) < 1e-5
    res = arreig.eig(A, degeneracy="split")._carried
    R = res.decomposed @ res.V - res.V * res.w
    assert np.abs(R).max() < 1e-13
    assert np.abs(A @ res.V - res.V * res.w).max() > 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_mask_still_serves_projectors(seed: int) -> None:
    """Of every matrix here with a cluster apart from the rest."""
    for name in ("X diag(1,1,1,2,2,3,4,5) X⁻¹", "Laplacian, star 7"):
        A = WHOLE[name]
        G = np.random.default_rng(seed).standard_normal(A.shape)

        def projector(w: Any, V: Any) -> Any:
            return (V * (np.abs(w - 1) < 0.3)) @ np.linalg.inv(V)

        def loss(A: Any, G: Any = G) -> Any:
            return np.real(np.trace(G @ projector(*np.linalg.eig(A))))

        w, V = arreig.eig(A, gauge="phase-free", degeneracy="mask")
        W, P = adjoint(np.linalg.inv(V)), projector(w, V)
        gV = adjoint(G) @ W * (np.abs(w - 1) < 0.3) - adjoint(P) @ adjoint(G) @ W
        gA = arreig.eig_vjp(A, gV, gauge="phase-free", degeneracy="mask")
        np.testing.assert_allclose(gA, finite_differences(loss, A, step=1e-5), atol=1e-6 * np.abs(gA).max())


@pytest.mark.parametrize(
    ("policy", "options", "message"),
    [
        (arreig.Split, {"separation": 0}, r"Split\(separation=...\) expects a positive finite number, got 0"),
        (arreig.Split, {"radius": np.inf}, r"Split\(radius=...\) expects"),
        (arreig.Split, {"isolation": "30"}, r"Split\(isolation=...\) expects"),
        (
            arreig.Perturb,
            {"delta": 1},
            r"Perturb\(delta\) expects a number between 0 and 1, or None for the default, got 1",
        ),
        (arreig.Perturb, {"delta": -1e-6}, r"Perturb\(delta\) expects"),
        (arreig.Perturb, {"delta": True}, r"Perturb\(delta\) expects"),
    ],
)
def test_options(policy: Any, options: Any, message: str) -> None:
    with pytest.raises(arreig.InputError, match=message):
        policy(**options)


def test_what_options_change() -> None:
    A = WHOLE["rotation block, twice"]
    C = np.random.default_rng(1).standard_normal(A.shape)
    gap = {s: np.ptp(arreig.eigh(np.eye(2), degeneracy=arreig.Split(separation=s)).eigenvalues) for s in (1, 100)}
    assert np.isclose(gap[100], 100 * gap[1], rtol=1e-6)
    reference = smooth_gradient("expm", A, C).real
    errors = [error(gradient("expm", A, C, degeneracy=arreig.Perturb(d)), reference) for d in (1e-3, 1e-5)]
    assert errors[0] > 10 * errors[1]
    close = np.diag([1.0, 1 + 1e-9, 3.0])
    for radius, clusters in ((1.0, True), (1e-3, False)):
        res = arreig.eig(close, degeneracy=arreig.Split(radius=radius))
        assert res._carried.split.any() == clusters
    ladder = np.diag([1.0, 1 + 1e-9, 1 + 2.5e-8, 3.0])
    for isolation, clusters in ((30.0, False), (10.0, True)):
        res = arreig.eig(ladder, degeneracy=arreig.Split(isolation=isolation))
        assert res._carried.split.any() == clusters


def test_vectors_that_the_solver_did_not_find(lib: Any) -> None:
    """LAPACK returns dependent ones for the repeated eigenvalue of a matrix of ones, though a basis exists."""
    rng = np.random.default_rng(0)
    ranks = [np.outer(rng.integers(1, 5, n), rng.integers(1, 5, n)) / 10 for n in (4, 6, 8, 10)]
    for A in (*(np.ones((n, n)) for n in (4, 5, 6, 9, 12)), *ranks, np.outer([2.0, 3, 4, 4], [1.0, 1, 4, 4])):
        A = A / np.linalg.norm(A)
        C = rng.standard_normal(A.shape)
        reference = smooth_gradient("expm", A, C)
        assert error(gradient("expm", A, C, lib=lib, degeneracy="split"), reference) < 1e-6
    batch = np.stack([np.diag(np.arange(4.0)), np.ones((4, 4)), np.eye(4, k=1)])
    V = host(arreig.eig(lib.array(batch), degeneracy="split", check=False).eigenvectors)
    np.testing.assert_array_equal(V[0], host(arreig.eig(lib.array(batch[:1])).eigenvectors)[0])
    assert np.linalg.cond(V[1]) < 10
    assert np.linalg.cond(V[2]) > 1e8


@pytest.mark.parametrize("seed", [3, 7, 8, 25, 26])
def test_far_from_normal(seed: int) -> None:
    """Kronecker sums, whose eigenvalues w_i + w_j are doubled, with condition numbers up to 200: the error grows with them."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 6))
    D = rng.standard_normal((n, n)) / np.sqrt(n)
    A = np.kron(D, np.eye(n)) + np.kron(np.eye(n), D)
    C = rng.standard_normal(A.shape)
    kappa = arreig.eig(A, degeneracy="split")._carried.kappa.max()
    gA = gradient("expm", A, C, degeneracy="split")
    assert error(gA, smooth_gradient("expm", A, C)) < 1e-7 * kappa**1.5


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_symmetric_functions_of_eigenvalues(kind: str) -> None:
    """Of eigenvalues alone, also near 0, where they vary fast: log det, the trace of the inverse and of the root."""
    for e in (1e-2, 1e-4, 1e-6):
        w = np.array([1.0, 2.0, e, e, 3.0])
        A = np.diag(w)
        for df in (lambda w: 1 / w, lambda w: -1 / w**2, lambda w: 0.5 / np.sqrt(w), np.exp):
            res = getattr(arreig, kind)(A, degeneracy="split")
            gw = df(res.eigenvalues).conj()
            for gV in (None, 0 * res.eigenvectors):
                assert error(res.vjp(gV, gw), np.diag(df(w))) < 2e-5


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_members_without_clusters_are_those_of_the_plain_call(lib: Any, dtype: str, kind: str) -> None:
    """To the bit, whatever the other members make of the arrays' layout; with their gradients."""
    rng = np.random.default_rng(2)
    A = rng.standard_normal((8, 6, 6)).astype(dtype)
    A = A + adjoint(A) if kind == "eigh" else A
    A[[1, 5]] = np.eye(6)
    gV = lib.array(rng.standard_normal(A.shape))
    results = [getattr(arreig, kind)(lib.array(A), degeneracy=d, check=False) for d in ("raise", "split")]
    rest = [0, 2, 3, 4, 6, 7]
    for x, y in zip(*results, strict=True):
        np.testing.assert_array_equal(host(x)[rest], host(y)[rest])
    plain, split = (host(res.vjp(gV))[rest] for res in results)
    np.testing.assert_allclose(split, plain, rtol=0, atol=100 * np.finfo(dtype).eps * np.abs(plain).max())


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")
@pytest.mark.parametrize("refine", ["auto", False, 2])
@pytest.mark.parametrize("gauge", ["canonical", "phase-free", "Component", "Functional"])
@pytest.mark.parametrize("name", ["X diag(1,1,1,2,2,3,4,5) X⁻¹", "twice and 3, conjugated", "permutation, 3 + 3"])
def test_every_gauge_at_a_cluster(name: str, gauge: str, refine: Any) -> None:
    """A smooth loss does not see the gauge, whether it goes through V alone or through left eigenvectors, too."""
    A = WHOLE[name]
    rng = np.random.default_rng(0)
    C, z = rng.standard_normal(A.shape), rng.standard_normal(len(A)) + 1
    option = {"Component": arreig.Component(0), "Functional": arreig.Functional(z)}.get(gauge, gauge)
    w, V, W = res = arreig.eig(A, degeneracy="split", gauge=option, refine=refine, sort="abs", left=True)
    reference = smooth_gradient("expm", A, C)
    e = np.exp(w)
    assert error(res.vjp(*cotangents("expm", w, V, C)), reference) < 1e-6
    gV, gw, gW = C.T @ W * e.conj(), np.diag(adjoint(V) @ C.T @ W) * e.conj(), C @ V * e
    gA = res.vjp(gV, gw, gW=gW)
    assert error(gA, reference) < 1e-6
    dA = rng.standard_normal(A.shape)
    dw, dV, dW = res.jvp(dA)
    assert adjoint_defect([(gV, dV), (gw, dw), (gW, dW)], [(gA, dA)]) < 1e-7
