"""Numerically equal eigenvalues and defective matrices."""

from typing import Any

import numpy as np
import pytest
from scipy.linalg import block_diag, expm_frechet

import arreig
from arreig.testing import adjoint_defect, directional_difference, finite_differences, host, matrix_with_spectrum

SPECTRUM = np.array([1.0, 1.0, 1.0, 2.0, 3.5])
CLUSTER = np.abs(SPECTRUM - 1) < 0.5
PRECISION = {"float64": 1e-7, "complex128": 1e-7, "float32": 5e-3, "complex64": 5e-3}


def adjoint(X: Any) -> Any:
    return np.conj(np.swapaxes(X, -1, -2))


def repeated(dtype: str, kind: str, seed: int = 0) -> Any:
    """A batch (2, 5, 5); a triple eigenvalue in member (1,) only, in generic position."""
    rng = np.random.default_rng(seed)
    members = []
    for w in (np.array([1.0, 1.4, 0.5, 2.0, 3.5]), SPECTRUM):
        w = w.astype(complex) if dtype.startswith("complex") else w
        members.append(matrix_with_spectrum(w, rng, hermitian=kind == "eigh"))
    A = np.stack(members)
    return (A + adjoint(A)) / 2 if kind == "eigh" else A


def projector_loss(A: Any, G: Any, kind: str) -> tuple[Any, Any]:
    """Re tr(G P) + mean of w^2 over the cluster around 1, P its projector; by eigenvectors as they come."""
    if kind == "eigh":
        w, V = np.linalg.eigh(A)
        W = V
    else:
        w, V = np.linalg.eig(A)
        W = adjoint(np.linalg.inv(V))
    inside = np.abs(w - 1) < 0.6
    P = (V * inside[..., None, :]) @ adjoint(W)
    mean = np.sum(w * inside, -1) / np.sum(inside, -1)
    return np.real(np.trace(G @ P, axis1=-2, axis2=-1)) + np.real(mean**2)


def projector_cotangents(w: Any, V: Any, G: Any, kind: str) -> tuple[Any, Any]:
    """Of the loss above, as an autodiff framework would hand them over."""
    inside = (np.abs(w - 1) < 0.6)[..., None, :]
    mean = np.sum(w * inside[..., 0, :], -1, keepdims=True) / np.sum(inside, -1)
    gw = 2 * np.conj(mean) * inside[..., 0, :] / np.sum(inside, -1)
    if kind == "eigh":
        gV = (G + adjoint(G)) @ (V * inside)
        return (gV if np.iscomplexobj(V) else gV.real), gw.real
    W = adjoint(np.linalg.inv(V))
    P = (V * inside) @ adjoint(W)
    return (adjoint(G) @ (W * inside)) - (adjoint(P) @ adjoint(G) @ W), gw


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_mask_differentiates_projectors(lib: Any, dtype: str, kind: str) -> None:
    A = repeated(dtype, kind)
    G = np.random.default_rng(3).standard_normal(A.shape)
    expected = finite_differences(lambda A: projector_loss(A, G, kind), A, hermitian=kind == "eigh")
    a = lib.array(A, dtype)
    w, V = getattr(arreig, kind)(a, gauge="phase-free", degeneracy="mask")
    gV, gw = projector_cotangents(host(w), host(V), G, kind)
    gV, gw = (lib.array(g, str(x.dtype).rsplit(".", 1)[-1]) for g, x in ((gV, V), (gw, w)))
    gA = getattr(arreig, f"{kind}_vjp")(a, gV, gw, gauge="phase-free", degeneracy="mask")
    np.testing.assert_allclose(host(gA), expected, atol=PRECISION[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_mask_tangents_move_the_span(kind: str) -> None:
    A = repeated("complex128", kind)[1]
    rng = np.random.default_rng(4)
    dA = rng.standard_normal(A.shape) + 1j * rng.standard_normal(A.shape)
    dA = dA + adjoint(dA) if kind == "eigh" else dA

    def projector(A: Any) -> Any:
        w, V = getattr(np.linalg, kind)(A)
        inside = np.abs(w - 1) < 0.5
        return (V * inside) @ np.linalg.inv(V)

    res = getattr(arreig, kind)(A, degeneracy="mask")
    dw, dV = res.jvp(dA)
    w, V = res
    inside, Vi = np.abs(w - 1) < 0.5, np.linalg.inv(V)
    dP = (dV * inside) @ Vi - (V * inside) @ Vi @ dV @ Vi
    np.testing.assert_allclose(dP, directional_difference(projector, A, dA), atol=1e-7 * np.abs(dP).max())
    assert np.isclose(dw[inside].sum(), np.trace(projector(A) @ dA))


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_raise_names_the_pair_and_the_choices(lib: Any, dtype: str, kind: str) -> None:
    A = lib.array(repeated(dtype, kind), dtype)
    res = getattr(arreig, kind)(A)
    w, V = res
    for derivative in (lambda: res.vjp(V), lambda: res.jvp(A)):
        with pytest.raises(arreig.DegenerateEigenvaluesError, match=r"batch member \(1,\).*gap .*'mask'.*Broaden"):
            derivative()
    # no cotangent on the cluster: nothing to refuse, and the rest is right
    outside = lib.array((np.abs(host(w) - 1) > 0.6).astype(float), str(w.dtype).rsplit(".", 1)[-1])
    free = getattr(arreig, kind)(A, gauge="phase-free")
    gA = free.vjp(free.eigenvectors * outside[..., None, :], outside)
    assert np.isfinite(host(gA)).all()
    # eigenvalues alone: equal cotangents pass, others do not
    ones = lib.xp.ones_like(w)
    identity = np.broadcast_to(np.eye(5), A.shape)
    np.testing.assert_allclose(host(res.vjp(None, ones)), identity, atol=PRECISION[dtype])
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="Single eigenvalues"):
        res.vjp(None, lib.array(np.arange(10.0).reshape(2, 5)))


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_mask_refuses_what_depends_on_the_basis(lib: Any, dtype: str, kind: str) -> None:
    A = lib.array(repeated(dtype, kind), dtype)
    res = getattr(arreig, kind)(A, degeneracy="mask")
    random = np.random.default_rng(5).standard_normal(A.shape)
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="basis inside"):
        res.vjp(lib.array(random))
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="eigenvalues apart"):
        res.vjp(res.eigenvectors * 0, lib.array(random[..., 0]))


@pytest.mark.parametrize("degeneracy", ["raise", "mask"])
@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_without_checks_only_the_member_is_nan(lib: Any, kind: str, degeneracy: str) -> None:
    A = repeated("float64", kind)
    gV = np.random.default_rng(6).standard_normal(A.shape)
    whole = getattr(arreig, kind)(lib.array(A), degeneracy=degeneracy, check=False).vjp(lib.array(gV))
    alone = getattr(arreig, f"{kind}_vjp")(lib.array(A[0]), lib.array(gV[0]), degeneracy=degeneracy)
    assert np.isnan(host(whole)[1]).all()
    np.testing.assert_allclose(host(whole)[0], host(alone), rtol=1e-12)


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_broaden_is_the_formula_it_says(kind: str) -> None:
    eps = 1e-2
    A = repeated("complex128", kind)[0]
    rng = np.random.default_rng(7)
    gV = rng.standard_normal(A.shape) + 1j * rng.standard_normal(A.shape)
    dA = rng.standard_normal(A.shape)
    res = getattr(arreig, kind)(A, degeneracy=arreig.Broaden(eps), gauge=arreig.Component(0))
    w, V = res
    d = w[None, :] - w[:, None]
    F = np.conj(d) / (np.abs(d) ** 2 + eps)
    Vi = np.linalg.inv(V)
    dA = (dA + dA.T) / 2 if kind == "eigh" else dA
    U = V @ (F * (Vi @ dA @ V))
    dw, dV = res.jvp(dA)
    np.testing.assert_allclose(dV, U - V * U[0], atol=1e-12)
    assert adjoint_defect([(gV, dV)], [(res.vjp(gV), dA)]) < 1e-12
    # where it would divide by zero it does not, and nothing is refused
    assert np.isfinite(getattr(arreig, f"{kind}_vjp")(np.eye(3), np.ones((3, 3)), degeneracy=arreig.Broaden(eps))).all()


def test_equal_is_what_rounding_makes_of_equal_eigenvalues() -> None:
    """Repeats in generic position are found, gaps well above rounding are not taken for repeats."""
    rng = np.random.default_rng(8)
    for _ in range(50):
        A = matrix_with_spectrum(SPECTRUM, rng)
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            arreig.eig(A).jvp(A)
        gap = 1e-10
        A = matrix_with_spectrum(SPECTRUM + gap * np.arange(5), rng)
        assert np.isfinite(arreig.eig(A).jvp(A)[1]).all()
    scaled = [s * np.diag(SPECTRUM) for s in (1e-200, 1.0, 1e200)]
    for A in scaled:  # no absolute threshold
        with pytest.raises(arreig.DegenerateEigenvaluesError):
            arreig.eig(A).jvp(A)


def test_clusters_close_transitively() -> None:
    """A chain of equal neighbours is one cluster, though its ends are farther apart than two equal ones may be."""
    from arreig._degeneracy import transitive_closure

    n = 9
    chain = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) == 1
    np.testing.assert_array_equal(transitive_closure(chain), ~np.eye(n, dtype=bool))


JORDAN = {
    "2": np.eye(2, k=1),
    "3": 2 * np.eye(3) + np.eye(3, k=1),
    "3 + 1": block_diag(np.eye(3) + np.eye(3, k=1), 4.0),
    "30": np.eye(30, k=1),
}


@pytest.mark.parametrize("jordan", JORDAN.values(), ids=JORDAN)
def test_defective(lib: Any, dtype: str, jordan: Any) -> None:
    A = lib.array(np.stack([np.diag(np.arange(1.0, len(jordan) + 1)), jordan]), dtype)
    res = arreig.eig(A)
    gV = lib.xp.ones_like(res.eigenvectors)
    message = r"A of batch member \(1,\) is numerically defective.*condition number"
    for call in (lambda: res.vjp(gV), lambda: res.vjp(gW=gV), lambda: res.jvp(A), lambda: arreig.eig(A, left=True)):
        with pytest.raises(arreig.DefectiveMatrixError, match=message):
            call()
    free = arreig.eig(A, check=False).vjp(gV)
    assert np.isnan(host(free)[1]).all()
    assert np.isfinite(host(free)[0]).all()


def grcar(n: int) -> Any:
    """Toeplitz with -1 below and 1 on and three times above the diagonal: the eigenvectors' condition grows like 2^n."""
    return sum(np.eye(n, k=k) for k in range(4)) - np.eye(n, k=-1)


def test_numerically_singular_depends_on_the_precision() -> None:
    """u kappa: 1.5e-7 for Grcar 60 in double, 80 in single precision, 4 for Grcar 100 in double."""
    gV = np.ones((60, 60))
    assert np.isfinite(arreig.eig_vjp(grcar(60), gV)).all()
    with pytest.raises(arreig.DefectiveMatrixError):
        arreig.eig_vjp(grcar(60).astype(np.float32), gV)
    with pytest.raises(arreig.DefectiveMatrixError):
        arreig.eig_vjp(grcar(100), np.ones((100, 100)))


@pytest.mark.parametrize("jordan", JORDAN.values(), ids=JORDAN)
def test_eigenvalues_of_a_defective_matrix(lib: Any, dtype: str, jordan: Any) -> None:
    """What rounding leaves of their gradient is refused: the sum of w^2 has the gradient 2 A^T, which V no longer knows."""
    A = lib.array(jordan, dtype)
    w = arreig.eigvals(A)
    n = len(jordan)
    first = lib.array(np.abs(host(w) - host(w)[0]) == 0)
    for gw in (lib.xp.ones_like(w), lib.xp.conj(2 * w + 1), lib.xp.astype(first, w.dtype)):
        with pytest.raises((arreig.LostPrecisionError, arreig.DegenerateEigenvaluesError)):
            arreig.eigvals_vjp(A, gw)
    with pytest.raises(arreig.DefectiveMatrixError):
        arreig.eigvals_jvp(A, lib.array(np.eye(n), dtype))


@pytest.mark.parametrize("order", [4, 8, 12, 20])
def test_one_eigenvalue_of_a_defective_cluster(lib: Any, order: int) -> None:
    """Rounding scatters the eigenvalues of a Jordan block of order n over a disc of u^(1/n); a single one has no derivative."""
    rng = np.random.default_rng(order)
    Q = np.linalg.qr(rng.standard_normal((order + 2, order + 2)))[0]
    J = block_diag(np.eye(order) + np.eye(order, k=1), 3.0, 5.0)
    A = lib.array(Q @ J @ Q.T)
    w = host(arreig.eigvals(A, sort="real"))
    one, outside = np.zeros(order + 2), np.zeros(order + 2)
    one[2] = 1
    outside[0] = 1
    with pytest.raises((arreig.LostPrecisionError, arreig.DegenerateEigenvaluesError)):
        arreig.eigvals_vjp(A, lib.array(one), sort="real")
    v = Q @ np.linalg.svd(J - 5 * np.eye(order + 2))[2][-1]
    y = Q @ np.linalg.svd((J - 5 * np.eye(order + 2)).T)[2][-1]
    assert np.isclose(w[0], 5)
    try:
        gA = host(arreig.eigvals_vjp(A, lib.array(outside), sort="real"))
    except arreig.LostPrecisionError:
        assert order > 4
    else:  # two digits at least; near the cluster of order 4 rounding is amplified to u^(1/4)
        np.testing.assert_allclose(gA, np.outer(y, v) / (y @ v), atol=1e-3 if order == 4 else 1e-2)


@pytest.mark.parametrize("after", [2, 3, 5])
def test_a_simple_eigenvalue_beside_defective_ones(lib: Any, after: int) -> None:
    """Growth rates of Leslie matrices with stages after the last birth: a Jordan block for the eigenvalue 0."""
    rng = np.random.default_rng(0)
    n = 4 + after
    A = np.zeros((200, n, n))
    A[:, 0, :4] = rng.uniform(0.1, 2, (200, 4))
    A[:, range(1, n), range(n - 1)] = rng.uniform(0.2, 0.95, (200, n - 1))
    served = 0
    for a in A:
        w = np.linalg.eigvals(a)
        dominant = np.zeros(n)
        dominant[0] = 1
        try:
            gA = host(arreig.eigvals_vjp(lib.array(a), lib.array(dominant), sort="abs"))
        except arreig.LostPrecisionError:
            continue
        served += 1
        y, v = (np.linalg.svd(M - w[np.argmax(np.abs(w))].real * np.eye(n))[2][-1] for M in (a.T, a))
        np.testing.assert_allclose(gA, np.outer(y, v) / (y @ v), atol=1e-9)
    if lib.xp is np:
        assert served == 200
    else:  # the standard's solve raises at an exactly singular V, which is refused
        assert served > 150 or after > 2


def test_eigenvalue_cotangents_that_cancel(lib: Any) -> None:
    """Sums over all eigenvalues, where the eigenvectors are ill conditioned but not lost."""
    for n, tolerance in ((20, 1e-11), (30, 1e-10), (50, 1e-6)):
        A = grcar(n)
        a = lib.array(A)
        np.testing.assert_allclose(host(arreig.eigvals_vjp(a, lib.array(np.ones(n)))), np.eye(n), atol=tolerance)
        gw = 2 * lib.xp.conj(arreig.eigvals(a))
        np.testing.assert_allclose(host(arreig.eigvals_vjp(a, gw)), 2 * A.T, atol=tolerance)
    batch = lib.array(np.stack([np.diag(np.arange(100.0)), grcar(100)]))
    with pytest.raises(arreig.LostPrecisionError, match=r"for A of batch member \(1,\) is below rounding"):
        arreig.eigvals_vjp(batch, lib.array(np.ones((2, 100))))


def test_no_cotangent_no_refusal(lib: Any) -> None:
    for A in JORDAN.values():
        np.testing.assert_array_equal(host(arreig.eigvals_vjp(lib.array(A), lib.array(np.zeros(len(A))))), 0)


def through_eigenvectors(A: Any, G: Any) -> Any:
    """Gradient of <G, expm A> by res.vjp, with the cotangents of L = <G, V exp(w) W^H>."""
    res = arreig.eig(A, left=True, gauge="phase-free")
    w, V, W = res
    e = np.exp(w)
    return res.vjp(G @ W * e.conj(), np.diag(adjoint(V) @ G @ W) * e.conj(), gW=G.T @ V * e)


LOSING = {
    "Toeplitz": np.eye(10, k=1) + 0.01 * np.eye(10, k=-1),
    "Grcar 50": grcar(50),
    "Grcar 60": grcar(60),
}


@pytest.mark.parametrize("A", LOSING.values(), ids=LOSING)
def test_a_function_of_the_matrix_whose_terms_cancel_below_rounding(A: Any) -> None:
    """u kappa is 1e-2 at most, but nothing of the gradient is left."""
    with pytest.raises((arreig.LostPrecisionError, arreig.DegenerateEigenvaluesError, arreig.DefectiveMatrixError)):
        through_eigenvectors(A, np.random.default_rng(0).standard_normal(A.shape))


@pytest.mark.parametrize("name", ["float32", "float64"])
@pytest.mark.parametrize("n", [5, 30, 100, 200])
def test_no_precision_is_missed_where_none_is_lost(name: str, n: int) -> None:
    """Random matrices of usual sizes, a loss that cancels in both precisions: served, and right to two digits."""
    rng = np.random.default_rng(n)
    for _ in range(10 if n < 100 else 2):
        A = (rng.standard_normal((n, n)) / np.sqrt(n)).astype(name)
        G = rng.standard_normal((n, n)).astype(name)
        exact = expm_frechet(A.astype(float).T, G.astype(float), compute_expm=False)
        gA = through_eigenvectors(A, G)
        assert np.linalg.norm(gA - exact) < (1e-2 if name == "float32" else 1e-9) * np.linalg.norm(exact)


def test_a_lost_column_draws_no_other_to_it() -> None:
    """An eigenvalue without meaningful kappa is not called equal to one far away."""
    J = block_diag(np.eye(3, k=1), 5.0)
    X = np.eye(4) + 0.2 * np.random.default_rng(0).standard_normal((4, 4))
    A = np.triu(X) @ J @ np.linalg.inv(np.triu(X))
    with pytest.raises(arreig.ArreigError) as refusal:
        arreig.eigvals_jvp(A, np.eye(4))
    assert "w[0] = 5" not in str(refusal.value)
    assert "= 5," not in str(refusal.value)


@pytest.mark.parametrize("kind", ["eigvals", "eigvalsh"])
def test_a_covariance_with_a_noise_floor(kind: str) -> None:
    """log det A: gw = 1/w, large and badly determined relative to |A|, on a repeated small eigenvalue."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        A = matrix_with_spectrum(np.array([1e-6, 1e-6, 1e-6, 0.5, 1.0]), rng, hermitian=True)
        A = (A + A.T) / 2
        gA = getattr(arreig, f"{kind}_vjp")(A, 1 / getattr(arreig, kind)(A).real)
        expected = np.linalg.inv(A)
        np.testing.assert_allclose(gA, expected, atol=1e-7 * np.abs(expected).max())


def test_left_eigenvectors_outside_a_cluster(lib: Any, dtype: str) -> None:
    """gW of a simple eigenpair does not reach the cluster, though -W gW^H W has an entry for every vector."""
    A = repeated(dtype, "eig")[1]
    A = A + 10 * np.eye(5)
    gW = np.zeros((5, 5))
    gW[:, 0] = 1  # sort="real": the simple eigenvalue 13.5

    def loss(A: Any) -> Any:
        return np.sum(np.linalg.inv(arreig.eig(A, sort="real", check=False).eigenvectors)[..., 0, :].real, -1)

    expected = finite_differences(loss, A, step=2e-5)
    a = lib.array(A, dtype)
    gA = arreig.eig(a, sort="real").vjp(gW=lib.array(gW))
    np.testing.assert_allclose(host(gA), expected, atol=PRECISION[dtype] * np.abs(expected).max())
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        arreig.eig(a, sort="real").vjp(gW=lib.array(np.roll(gW, 3, axis=1)))


def test_an_approximate_eigensystem_resolves_no_more_than_its_residual() -> None:
    """The exact decomposition of a matrix 1e-9 away does not make two equal eigenvalues different."""
    A = np.diag([1.0, 1.0, 2.0])
    rng = np.random.default_rng(0)
    swap = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    for E in (swap, swap - np.diag([1.0, 0.3, 0.0]), np.ones((3, 3)), *rng.standard_normal((20, 3, 3))):
        nearby = A + 1e-9 * (E + E.T)
        for function in ("eig", "eigh"):
            eigensystem = tuple(getattr(arreig, function)(nearby, gauge="phase-free"))
            gV = eigensystem[1] * rng.standard_normal((3, 3))
            with pytest.raises(arreig.DegenerateEigenvaluesError):
                getattr(arreig, f"{function}_vjp")(A, gV, eigensystem=eigensystem, gauge="phase-free")


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_broaden_at_any_scale(scale: float) -> None:
    """F = conj(d)/(|d|^2 + eps) is 1/d where |d|^2 outweighs eps, also where |d|^2 is no floating point number."""
    A = scale * np.diag([1.0, 2.0, 4.0]) + scale * np.eye(3, k=1)
    gV = np.arange(9.0).reshape(3, 3)
    plain = arreig.eig_vjp(A, gV)
    np.testing.assert_allclose(arreig.eig_vjp(A, gV, degeneracy=arreig.Broaden(1e-320)), plain, rtol=1e-9)
    for function in ("eig", "eigh"):
        single = np.diag([1.0, 2.0, 4.0]).astype(np.float32)
        dw, dV = getattr(arreig, f"{function}_jvp")(single, single, degeneracy=arreig.Broaden(np.float64(1e-50)))
        assert np.isfinite(dV).all()
        assert dV.dtype.itemsize == single.dtype.itemsize * (2 if function == "eig" else 1)


@pytest.mark.parametrize("kind", ["eigvals", "eigvalsh"])
def test_smooth_functions_of_repeated_eigenvalues_pass(lib: Any, dtype: str, kind: str) -> None:
    """Sum of w^2 = tr(A^2): its cotangents 2 w differ in a cluster by rounding only."""
    A = repeated(dtype, "eigh" if kind == "eigvalsh" else "eig")
    a = lib.array(A, dtype)
    w = getattr(arreig, kind)(a)
    gA = host(getattr(arreig, f"{kind}_vjp")(a, 2 * lib.xp.conj(w) if kind == "eigvals" else 2 * w))
    np.testing.assert_allclose(gA, 2 * adjoint(A), atol=PRECISION[dtype] * 10)


@pytest.mark.parametrize("kind", ["eigvals", "eigvalsh"])
def test_tangents_that_split_a_cluster_are_refused(kind: str) -> None:
    A = repeated("float64", "eigh" if kind == "eigvalsh" else "eig")
    jvp = getattr(arreig, f"{kind}_jvp")
    np.testing.assert_allclose(jvp(A, np.broadcast_to(np.eye(5), A.shape)), 1, atol=1e-10)
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="Single eigenvalues"):
        jvp(A, np.random.default_rng(9).standard_normal(A.shape))
    for dA in (np.diag([1.0, 2.0]), np.array([[1.0, 1.0], [1.0, 1.0]])):
        with pytest.raises(arreig.DegenerateEigenvaluesError, match="Single eigenvalues"):
            jvp(np.eye(2), dA)


@pytest.mark.parametrize("kind", ["eig", "eigh"])
def test_a_gradient_may_vanish(lib: Any, dtype: str, kind: str) -> None:
    """Of tr(M V V^-1), or tr(M V V^H) for orthonormal V: constant, though every vector has a cotangent."""
    rng = np.random.default_rng(0)
    A, M = rng.standard_normal((2, 5, 5))
    A = A + A.T
    a = lib.array(A, dtype)
    if kind == "eigh":
        gV = (M + M.T) @ host(arreig.eigh(a).eigenvectors)
        gA = arreig.eigh_vjp(a, lib.array(gV, dtype))
    else:
        w, V, W = map(host, arreig.eig(a, left=True))
        name = "complex64" if dtype in ("float32", "complex64") else "complex128"
        # tr(M V W^H): gV = M^H W, gW = M V
        gA = arreig.eig_vjp(a, lib.array(M.T @ W, name), gW=lib.array(M @ V, name))
    assert np.abs(host(gA)).max() < 1e3 * np.finfo(dtype).eps
