"""matrix_function: against SciPy, exact derivatives and finite differences, at every gap, and what is refused."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import torch
from flint import acb, acb_mat, ctx

import arreig
from arreig.testing import adjoint_defect, directional_difference, finite_differences, host, matrix_with_spectrum
from benchmarks.matrices import grcar
from tests.conftest import BATCHES, EAGER, ON_GPU, WITH_JAX

Matrix = np.ndarray[Any, Any]
Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]

FUNCTIONS: dict[str, Pair] = {
    "exp": (np.exp, np.exp),
    "sqrt": (np.sqrt, lambda z: 0.5 / np.sqrt(z)),
    "log": (np.log, lambda z: 1 / z),
    "resolvent": (lambda z: 1 / (z + 3), lambda z: -1 / (z + 3) ** 2),
}
EXACT: dict[str, Callable[[acb_mat], acb_mat]] = {
    "exp": lambda A: A.exp(),
    "resolvent": lambda A: (A + 3 * acb_mat(A.nrows(), A.nrows(), np.eye(A.nrows()).ravel().tolist())).inv(),
}
N = 4
SPECTRUM = np.array([1.0, 2 + 1j, 2 - 1j, 4.0])
LIMIT = {"float64": 1e-12, "complex128": 1e-12, "float32": 1e-4, "complex64": 1e-4}


def random(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Matrix:
    x = rng.standard_normal(shape)
    return (x + 1j * rng.standard_normal(shape) if "complex" in dtype else x).astype(dtype)


def similar(J: Matrix, seed: int = 0) -> Matrix:
    """Moderately conditioned similarity."""
    rng = np.random.default_rng(seed)
    X = np.eye(len(J)) + 0.3 * rng.standard_normal(J.shape) / len(J) ** 0.5
    return np.asarray(X @ J @ np.linalg.inv(X))


def matrices(batch: tuple[int, ...], dtype: str, *, hermitian: bool) -> Matrix:
    """Eigenvalues with positive real parts."""
    rng = np.random.default_rng(3)
    A = random(rng, (*batch, N, N), dtype)
    if hermitian:
        return (A @ np.conj(A).mT + 2 * np.eye(N)).astype(dtype)
    return (np.diag([3.0, 4, 5, 6]) + 0.5 * A).astype(dtype)


def in_library(xp: Any) -> Pair:
    return (lambda z: xp.sqrt(z)), (lambda z: 0.5 / xp.sqrt(z))


CASES = [
    *((name, batch) for name in EAGER for batch in BATCHES),
    pytest.param("jax", (3,), marks=WITH_JAX),
    *(pytest.param(name, (3,), marks=pytest.mark.gpu) for name in ON_GPU),
]


@pytest.mark.parametrize(("lib", "batch"), CASES, indirect=["lib"])
@pytest.mark.parametrize("hermitian", [False, True])
def test_oracles(lib: Any, dtype: str, batch: tuple[int, ...], hermitian: bool) -> None:
    """The square root, its square, SciPy's; the adjoint identity; dtypes and devices."""
    rng = np.random.default_rng(0)
    a = matrices(batch, dtype, hermitian=hermitian)
    A, options = lib.array(a), {"hermitian": hermitian}
    f, df = in_library(lib.xp)
    F = arreig.matrix_function(A, f, df, **options)
    assert F.device == A.device
    assert ("complex" in str(F.dtype)) is (not hermitian or "complex" in dtype)
    limit = LIMIT[dtype]
    np.testing.assert_allclose(host(F) @ host(F), a, atol=20 * limit)
    expected = np.stack([scipy.linalg.sqrtm(x.astype(complex)) for x in a.reshape(-1, N, N)]).reshape(a.shape)
    np.testing.assert_allclose(host(F), expected, atol=20 * limit)

    dA, gF = random(rng, a.shape, dtype), random(rng, a.shape, str(host(F).dtype))
    if hermitian:
        dA = dA + np.conj(dA).mT
    dF = arreig.matrix_function_jvp(A, f, df, lib.array(dA), **options)
    gA = arreig.matrix_function_vjp(A, f, df, lib.array(gF, str(F.dtype).split(".")[-1]), **options)
    assert gA.dtype == A.dtype
    assert gA.device == A.device
    assert adjoint_defect([(gF, dF)], [(gA, dA)]) < limit
    np.testing.assert_allclose(host(dF) @ host(F) + host(F) @ host(dF), dA, atol=50 * limit)  # of F F = A
    if hermitian:
        np.testing.assert_allclose(host(gA), np.conj(host(gA)).mT, atol=limit)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_finite_differences(name: str, dtype: str, hermitian: bool) -> None:
    """Of the forward itself, every entry."""
    A, options = matrices((2,), dtype, hermitian=hermitian), {"hermitian": hermitian}
    rng = np.random.default_rng(1)
    f, df = FUNCTIONS[name]
    C = random(rng, A.shape, dtype if hermitian else "complex128")

    def loss(A: Matrix) -> Any:
        return np.real(np.sum(np.conj(C) * arreig.matrix_function(A, f, df, **options), axis=(-2, -1)))

    gA = arreig.matrix_function_vjp(A, f, df, C, **options)
    expected = finite_differences(loss, A, hermitian=hermitian)
    assert np.abs(gA - expected).max() < 1e-9 * np.abs(expected).max()
    dA = random(rng, A.shape, dtype)
    dA = dA + np.conj(dA).mT if hermitian else dA
    dF = arreig.matrix_function_jvp(A, f, df, dA, **options)
    difference = directional_difference(lambda A: arreig.matrix_function(A, f, df, **options), A, dA)
    assert np.abs(dF - difference).max() < 1e-9 * np.abs(difference).max()


def derivative(name: str, A: Matrix, E: Matrix) -> Matrix:
    """L(A, E) to rounding, also where A is defective: of exp and 1/(z + 3) at 300 bits, of roots and logarithms in closed form.

    R = sqrt(A) follows from R dR + dR R = E. The derivative of log A is the integral over t in (0, 1) of
    (1 + t(A - 1))^-1 E (1 + t(A - 1))^-1, here by Gauss and Legendre's rule after four square roots: log A = 16 log A^(1/16).
    """
    if name == "sqrt":
        R = scipy.linalg.sqrtm(A)
        return np.asarray(scipy.linalg.solve_sylvester(R, R, E))
    if name == "log":
        for _ in range(4):
            A = scipy.linalg.sqrtm(A)
            E = scipy.linalg.solve_sylvester(A, A, E)
        nodes, weights = np.polynomial.legendre.leggauss(16)
        inverses = [np.linalg.inv(np.eye(len(A)) + (t + 1) / 2 * (A - np.eye(len(A)))) for t in nodes]
        return np.asarray(16 * sum(w / 2 * X @ E @ X for w, X in zip(weights, inverses, strict=True)))
    ctx.prec = 300
    n = len(A)
    block = np.block([[A, E], [np.zeros_like(A), A]])
    F = EXACT[name](acb_mat(2 * n, 2 * n, [acb(complex(x).real, complex(x).imag) for x in block.ravel()]))
    out = np.array([complex(F[i, n + j]) for i in range(n) for j in range(n)]).reshape(n, n)
    return out if np.iscomplexobj(A) or np.iscomplexobj(E) else out.real


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("kind", ["pair", "triple", "complex", "hermitian"])
def test_every_gap(name: str, kind: str) -> None:
    """From 1e-1 to 1e-16 and 0: the gradient to 1e-9."""
    f, df = FUNCTIONS[name]
    for gap in (*10.0 ** np.arange(-1, -17, -1), 0.0):
        w = {"triple": [1, 1 + gap, 1 + 2 * gap, 2.5], "complex": [1 + 1j, 1 + 1j + gap * 1j, 2.5 + 0j, 0.7]}.get(
            kind, [1, 1 + gap, 2.5, 0.7]
        )
        A = matrix_with_spectrum(np.asarray(w), np.random.default_rng(2), hermitian=kind == "hermitian")
        G = random(np.random.default_rng(3), A.shape, "float64" if kind == "hermitian" else "complex128")
        options = {"hermitian": True} if kind == "hermitian" else {}
        if kind == "hermitian":
            A, G = (A + A.T) / 2, G + G.T
        gA = arreig.matrix_function_vjp(A, f, df, G, **options)
        # <G, L(A, E)> = <L(A^H, G), E>, the coefficients of these functions being real
        expected = derivative(name, np.conj(A).T, G)
        expected = expected if np.iscomplexobj(A) else expected.real
        assert np.abs(gA - expected).max() < 1e-9 * np.abs(expected).max(), gap


def rotations(angle: float) -> Matrix:
    R = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scipy.linalg.block_diag(R, R)


REPEATED: dict[str, Matrix] = {
    "identity": np.eye(6),
    "zero": np.zeros((4, 4)),
    "X diag(1,1,1,2,2,3,4,5) X^-1": similar(np.diag([1.0, 1, 1, 2, 2, 3, 4, 5])),
    "ones": np.ones((6, 6)),
    "rank one": np.outer(np.arange(1.0, 6), [1.0, -2, 3, 1, 2]),
    "rotations": rotations(0.7),
    "permutation": np.eye(6)[[1, 2, 0, 4, 5, 3]],
    "cycle": np.diag([2.0] * 8) - np.eye(8)[(np.arange(8) + 1) % 8] - np.eye(8)[(np.arange(8) - 1) % 8],
    "40 equal": similar(np.diag([2.0] * 40 + [3.0, 4.0])),
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("function", ["exp", "resolvent"])
def test_repeated_eigenvalues(name: str, function: str) -> None:
    """Gradients of exp and (A + 3)^-1 to 1e-9, values to 1e-11, also where LAPACK's own eigenvectors are dependent."""
    A = REPEATED[name]
    f, df = FUNCTIONS[function]
    G = np.random.default_rng(0).standard_normal(A.shape)
    expected = derivative(function, A.T, G)
    gA = arreig.matrix_function_vjp(A, f, df, G.astype(complex))
    assert np.abs(gA - expected).max() < 1e-9 * np.abs(expected).max()
    value = scipy.linalg.expm(A) if function == "exp" else np.linalg.inv(A + 3 * np.eye(len(A)))
    assert np.abs(arreig.matrix_function(A, f, df) - value).max() < 1e-11 * np.abs(value).max()


def test_square_root_at_the_identity() -> None:
    """d sqrt(A) = dA/2, exactly; through eigenvectors, torch's gradient is NaN."""
    f, df = FUNCTIONS["sqrt"]
    G = np.random.default_rng(0).standard_normal((5, 5))
    for options, cotangent in (({}, G.astype(complex)), ({"hermitian": True}, G)):
        gA = arreig.matrix_function_vjp(np.eye(5), f, df, cotangent, **options)
        np.testing.assert_allclose(gA, (G + G.T) / 4 if options else G / 2, atol=1e-15)
    A = torch.eye(5, dtype=torch.float64, requires_grad=True)
    w, V = torch.linalg.eig(A)
    (torch.as_tensor(G) * ((V * w.sqrt()) @ torch.linalg.inv(V)).real).sum().backward()
    assert A.grad is not None
    assert A.grad.isnan().any()


@pytest.mark.parametrize(("lib", "batch"), CASES, indirect=["lib"])
@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("name", ["sqrtm", "logm"])
def test_sqrtm_and_logm(lib: Any, dtype: str, batch: tuple[int, ...], hermitian: bool, name: str) -> None:
    """SciPy's values; the adjoint identity; the gradient at a repeated eigenvalue, where both are known: dA/2, and dA."""
    rng = np.random.default_rng(0)
    a, options = matrices(batch, dtype, hermitian=hermitian), {"hermitian": hermitian}
    function, vjp, jvp = (getattr(arreig, name + suffix) for suffix in ("", "_vjp", "_jvp"))
    A = lib.array(a)
    F = function(A, **options)
    flat = [getattr(scipy.linalg, name)(x.astype(complex)) for x in a.reshape(-1, N, N)]
    np.testing.assert_allclose(host(F), np.stack(flat).reshape(a.shape), atol=20 * LIMIT[dtype])
    dA, gF = random(rng, a.shape, dtype), random(rng, a.shape, str(host(F).dtype))
    dA = dA + np.conj(dA).mT if hermitian else dA
    dF = jvp(A, lib.array(dA), **options)
    gA = vjp(A, lib.array(gF, str(F.dtype).split(".")[-1]), **options)
    assert (gA.dtype, gA.device) == (A.dtype, A.device)
    assert adjoint_defect([(gF, dF)], [(gA, dA)]) < LIMIT[dtype]
    eye = lib.array(np.broadcast_to(np.eye(N), a.shape), dtype)
    expected = dA / 2 if name == "sqrtm" else dA
    np.testing.assert_allclose(host(jvp(eye, lib.array(dA), **options)), expected, atol=LIMIT[dtype])


@pytest.mark.parametrize("name", ["sqrtm", "logm"])
def test_sqrtm_and_logm_where_they_do_not_exist(name: str) -> None:
    """Named without a warning of NumPy's; on the cut a general matrix has a value, a Hermitian one has to be positive."""
    function, vjp = getattr(arreig, name), getattr(arreig, name + "_vjp")
    for hermitian in (False, True):
        with pytest.raises(arreig.NonFiniteError, match="must be finite at the eigenvalues of A, but at w"):
            function(np.diag([1.0, 0.0]), hermitian=hermitian)
    for call in (function, lambda A, **options: vjp(A, A, **options)):
        with pytest.raises(arreig.NonFiniteError, match=r"f must be finite.*= -1 it is nan"):
            call(np.diag([1.0, -1.0]), hermitian=True)
    expected = {"sqrtm": np.diag([1, 1j]), "logm": np.diag([0, np.pi * 1j])}[name]
    np.testing.assert_allclose(function(np.diag([1.0, -1.0])), expected, atol=1e-15)
    with pytest.raises(arreig.DefectiveMatrixError, match="numerically defective"):
        function(J0)


def test_small_eigenvalues_keep_their_digits() -> None:
    """sqrt and log of {1, 2, 3}e-10 beside 1, where every fixed step between eigenvalues would be too long."""
    w = np.array([1e-10, 2e-10, 3e-10, 1.0])
    Q = scipy.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    G = np.random.default_rng(1).standard_normal((4, 4))
    G = G + G.T
    for name, f in (("sqrt", np.sqrt), ("log", np.log)):
        rise, d = f(w) - f(w)[:, None], w - w[:, None]
        K = np.where(d == 0, FUNCTIONS[name][1](w), rise / np.where(d == 0, 1, d))
        gA = arreig.matrix_function_vjp(np.diag(w), *FUNCTIONS[name], G, hermitian=True)
        np.testing.assert_allclose(gA, K * G, rtol=1e-13)
        # conjugated, rounding of A itself, 1e-16, is 1e-6 of its least eigenvalue
        gA = arreig.matrix_function_vjp((Q * w) @ Q.T, *FUNCTIONS[name], Q @ G @ Q.T, hermitian=True)
        np.testing.assert_allclose(Q.T @ gA @ Q, K * G, rtol=2e-5)


def test_across_a_branch_cut() -> None:
    """A pair that the cut of the logarithm parts: the quotient of its two sides, 1000 pi, and no mean of 1/w."""
    A = np.array([[-1.0, 1e-3], [-1e-3, -1.0]])
    np.testing.assert_allclose(arreig.matrix_function(A, *FUNCTIONS["log"]), scipy.linalg.logm(A), atol=1e-12)
    rng = np.random.default_rng(0)
    C = random(rng, (2, 2), "complex128")
    gA = arreig.matrix_function_vjp(A, *FUNCTIONS["log"], C)
    difference = finite_differences(lambda A: np.real(np.sum(np.conj(C) * scipy.linalg.logm(A))), A, step=1e-5)
    np.testing.assert_allclose(gA, difference, atol=1e-6 * np.abs(difference).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(3))
def test_near_defective_matrices_are_right_or_refused(dtype: str, seed: int) -> None:
    """Value and gradient of exp for pairs, ever nearer to a Jordan block, and Grcar matrices: two digits, or an error."""
    outcomes: dict[str, list[float | None]] = {"value": [], "vjp": [], "jvp": []}
    rng = np.random.default_rng(seed)
    pairs = [similar(np.array([[1, 1.0, 0], [0, 1 + gap, 0], [0, 0, 2]]), seed) for gap in 10.0 ** -np.arange(0, 16)]
    for A in [*pairs, grcar(20), grcar(40)]:
        A = A.astype(dtype)
        G = rng.standard_normal(A.shape).astype(dtype)
        exact = {
            "value": scipy.linalg.expm(A.astype(float)),
            "vjp": derivative("exp", A.T.astype(float), G.astype(float)),
            "jvp": derivative("exp", A.astype(float), G.astype(float)),
        }
        calls: dict[str, Callable[[], Any]] = {
            "value": lambda A=A: arreig.matrix_function(A, np.exp, np.exp),
            "vjp": lambda A=A, G=G: arreig.matrix_function_vjp(A, np.exp, np.exp, G),
            "jvp": lambda A=A, G=G: arreig.matrix_function_jvp(A, np.exp, np.exp, G),
        }
        for name, call in calls.items():
            try:
                error = np.linalg.norm(call() - exact[name]) / np.linalg.norm(exact[name])
            except (arreig.LostPrecisionError, arreig.DefectiveMatrixError):
                outcomes[name].append(None)
                continue
            outcomes[name].append(error)
    for name, errors in outcomes.items():
        assert max(x for x in errors if x is not None) < 3e-2, (name, errors)
        assert all(x is not None for x in errors[:3]), (name, errors)
    assert None in outcomes["vjp"]


@WITH_JAX
def test_jax_transformations() -> None:
    A = np.concatenate([matrices((2,), "float64", hermitian=False), (np.eye(N) + np.eye(N, k=1))[None]])
    G = random(np.random.default_rng(0), A.shape, "complex128")
    pair = in_library(jnp)
    a, g = jnp.asarray(A), jnp.asarray(G)
    for transform in (jax.jit, lambda f: jax.jit(jax.vmap(f))):
        F = host(transform(lambda a: arreig.matrix_function(a, *pair))(a))
        gA = host(transform(lambda a, g: arreig.matrix_function_vjp(a, *pair, g))(a, g))
        np.testing.assert_allclose(F[:2], arreig.matrix_function(A[:2], *FUNCTIONS["sqrt"]), atol=1e-12)
        np.testing.assert_allclose(gA[:2], arreig.matrix_function_vjp(A[:2], *FUNCTIONS["sqrt"], G[:2]), atol=1e-12)
        assert np.isnan(F[2]).all()
        assert np.isnan(gA[2]).all()
    with pytest.raises(arreig.InputTypeError, match=r"is tracked for differentiation"):
        jax.grad(lambda a: jnp.abs(arreig.matrix_function(a, *pair)).sum())(a)


def test_batches_empty_and_small() -> None:
    pair = FUNCTIONS["exp"]
    for shape in ((0, 0), (2, 0, 0), (0, 3, 3), (1, 1)):
        A = np.ones(shape)
        for hermitian in (False, True):
            F = arreig.matrix_function(A, *pair, hermitian=hermitian)
            assert F.shape == A.shape
            np.testing.assert_allclose(F, np.exp(A))
            np.testing.assert_allclose(arreig.matrix_function_vjp(A, *pair, A, hermitian=hermitian), np.exp(A))
            np.testing.assert_allclose(arreig.matrix_function_jvp(A, *pair, A, hermitian=hermitian), np.exp(A))


def test_inputs_are_left_alone() -> None:
    A = np.asfortranarray(matrices((), "float64", hermitian=False))
    before = A.copy()
    A.flags.writeable = False
    G = np.eye(N)[::-1]
    G.flags.writeable = False
    arreig.matrix_function_vjp(A, np.exp, np.exp, G)
    np.testing.assert_array_equal(A, before)

    def careless(z: Matrix) -> Matrix:
        return np.exp(z, out=z)

    np.testing.assert_array_equal(
        arreig.matrix_function_vjp(A, careless, careless, G), arreig.matrix_function_vjp(A, np.exp, np.exp, G)
    )
    np.testing.assert_allclose(arreig.matrix_function(A, lambda z: z, np.ones_like), A, atol=1e-13)
    integers = np.array([[2, 1], [0, 3]])
    np.testing.assert_allclose(arreig.matrix_function(integers, np.exp, np.exp), scipy.linalg.expm(integers))


A0, S0 = matrices((), "float64", hermitian=False), matrices((), "float64", hermitian=True)
J0 = np.eye(3) + np.eye(3, k=1)
BAD: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no function": (lambda: arreig.matrix_function(A0, 3, np.exp), arreig.InputTypeError, "f must be a function"),
    "no derivative": (lambda: arreig.matrix_function(A0, np.exp, None), arreig.InputTypeError, "df must be a function"),
    "returns a list": (
        lambda: arreig.matrix_function(A0, lambda z: [1, 2, 3, 4], np.exp),
        arreig.InputTypeError,
        "what f returns must be a dense array.*got list",
    ),
    "returns another shape": (
        lambda: arreig.matrix_function(A0, lambda z: z.sum(), np.exp),
        arreig.InputError,
        r"what f returns must have shape \(4,\)",
    ),
    "returns another library's": (
        lambda: arreig.matrix_function(A0, np.exp, lambda z: torch.ones(z.shape)),
        arreig.InputTypeError,
        "what df returns must come from A's library",
    ),
    "factor of 2": (
        lambda: arreig.matrix_function(A0, np.sqrt, lambda z: 1 / np.sqrt(z)),
        arreig.InputError,
        r"df must be the derivative of f, but from the eigenvalue w\[0\] = .*differences of f",
    ),
    "sign": (
        lambda: arreig.matrix_function_vjp(S0, np.cos, np.sin, S0, hermitian=True),
        arreig.InputError,
        "df must be the derivative of f",
    ),
    "another function": (
        lambda: arreig.matrix_function(np.stack([A0, A0]), np.log, np.log),
        arreig.InputError,
        r"batch member \(0,\)",
    ),
    "log 0": (
        lambda: arreig.matrix_function(np.diag([0.0, 1.0]), quiet(np.log), quiet(lambda z: 1 / z)),
        arreig.NonFiniteError,
        r"f must be finite at the eigenvalues of A, but at w\[1\] = 0 it is -inf",
    ),
    "root of 0": (
        lambda: arreig.matrix_function(np.diag([0.0, 1.0]), *map(quiet, FUNCTIONS["sqrt"])),
        arreig.NonFiniteError,
        "df must be finite at the eigenvalues",
    ),
    "root of a negative number, real": (
        lambda: arreig.matrix_function(-S0, *map(quiet, FUNCTIONS["sqrt"]), hermitian=True),
        arreig.NonFiniteError,
        "f must be finite at the eigenvalues",
    ),
    "Jordan block": (
        lambda: arreig.matrix_function(J0, *FUNCTIONS["exp"]),
        arreig.DefectiveMatrixError,
        r"is numerically defective.*scipy.linalg.expm, sqrtm, logm.*spectral_projector.*degeneracy='perturb'",
    ),
    "Jordan block of 2": (
        lambda: arreig.matrix_function_vjp(np.array([[2.0, 1], [0, 2]]), *FUNCTIONS["exp"], np.eye(2)),
        arreig.DefectiveMatrixError,
        "is numerically defective",
    ),
    "nearly": (
        lambda: arreig.matrix_function_vjp(np.array([[2.0, 1], [0, 2 + 1e-8]]), *FUNCTIONS["exp"], np.eye(2)),
        arreig.LostPrecisionError,
        "the gradient for A is below rounding",
    ),
    "not Hermitian": (
        lambda: arreig.matrix_function(J0, *FUNCTIONS["exp"], hermitian=True),
        arreig.InputError,
        "must be Hermitian",
    ),
    "hermitian": (lambda: arreig.matrix_function(A0, np.exp, np.exp, hermitian=1), arreig.InputError, "hermitian must"),
    "not square": (lambda: arreig.matrix_function(A0[:2], np.exp, np.exp), arreig.InputError, "square"),
    "NaN": (lambda: arreig.matrix_function(A0 * np.nan, np.exp, np.exp), arreig.NonFiniteError, "A must be finite"),
    "shape of gF": (
        lambda: arreig.matrix_function_vjp(A0, np.exp, np.exp, np.eye(3)),
        arreig.InputError,
        "gF must have shape",
    ),
    "no gF": (
        lambda: arreig.matrix_function_vjp(A0, np.exp, np.exp, None),
        arreig.InputTypeError,
        "gF must be an array",
    ),
    "complex gF": (
        lambda: arreig.matrix_function_vjp(S0, np.exp, np.exp, 1j * S0, hermitian=True),
        arreig.InputTypeError,
        "gF must be real",
    ),
    "no dA": (
        lambda: arreig.matrix_function_jvp(A0, np.exp, np.exp, None),
        arreig.InputTypeError,
        "dA must be an array",
    ),
    "infinite dA": (
        lambda: arreig.matrix_function_jvp(A0, np.exp, np.exp, np.full((4, 4), np.inf)),
        arreig.NonFiniteError,
        "dA must be finite",
    ),
    "tracked": (
        lambda: arreig.matrix_function(torch.eye(2, requires_grad=True), torch.exp, torch.exp),
        arreig.InputTypeError,
        "A is tracked",
    ),
}


def quiet(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def silent(z: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(z)

    return silent


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    call, error, message = BAD[name]
    with pytest.raises(error, match=f"(?s){message}"):
        call()


def test_a_right_derivative_is_not_suspected() -> None:
    """Functions that vary fast, near their cuts and poles, and at zeros of theirs or of their derivatives."""
    cases: list[tuple[Pair, Any]] = [
        ((np.exp, np.exp), np.array([1e-300, 1.0, -700.0, 700.0])),
        ((lambda z: np.exp(1e3 * z), lambda z: 1e3 * np.exp(1e3 * z)), np.array([0.0, 0.3, -0.2])),
        ((lambda z: np.cos(1e4 * z), lambda z: -1e4 * np.sin(1e4 * z)), np.array([0.0, 0.3, -2.0])),
        (FUNCTIONS["log"], np.array([-1 + 1e-14j, -1.0, 1e-12, 1e12])),
        (FUNCTIONS["sqrt"], np.array([-1 - 1e-14j, -1e-10, 1e-200, 1e200])),
        ((lambda z: z**2, lambda z: 2 * z), np.array([0.0, 1e-8, 3.0])),
        ((lambda z: z * 0 + 2.0, lambda z: z * 0), np.array([0.0, 1.0])),
        ((lambda z: 1 / (z - 1), lambda z: -1 / (z - 1) ** 2), np.array([1 + 1e-9, 3.0])),
        ((lambda z: z**3, lambda z: 3 * z**2), np.array([0.0, 0.0, 1.0])),
    ]
    for (f, df), w in cases:
        A = np.diag(w)
        np.testing.assert_allclose(np.diag(arreig.matrix_function(A, f, df)), f(w.astype(complex)), rtol=1e-13)
        assert np.isfinite(arreig.matrix_function_vjp(A, f, df, np.eye(len(w)))).all()


def test_without_check_errors_are_nan() -> None:
    A = np.stack([A0, np.eye(N) + np.eye(N, k=1), np.full((N, N), np.nan)])
    for out in (
        arreig.matrix_function(A, np.exp, np.exp, check=False),
        arreig.matrix_function_vjp(A, np.exp, np.exp, np.stack([A0] * 3), check=False),
        arreig.matrix_function_jvp(A, np.exp, np.exp, np.stack([A0] * 3), check=False),
    ):
        assert np.isfinite(out[0]).all()
        assert np.isnan(out[1:]).all()
    assert np.isnan(arreig.matrix_function(A0, np.exp, np.cos, check=False)).all()
    infinite_df = np.diag([0.0, 1, 2])  # of which NumPy would warn
    assert np.isnan(arreig.sqrtm_vjp(infinite_df, np.ones((3, 3)), check=False)).all()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_badly_scaled_matrices_are_right_or_refused(dtype: str) -> None:
    """Their eigenvalues are simple and ill conditioned: moving A, which helps repeated ones, would move them."""
    outcomes = []
    matrices = [np.array([[2.0, 1 / b], [0.5 * b, 3.0]]) for b in 10.0 ** np.arange(0, 11)]
    matrices += [
        np.array([[0.6542151107374403, 6.885857398423776e-13], [6747632904.482236, 0.708024473537119]]),
        np.array([[564455260.851896, -2037345478.660704], [156384738.41861284, -564455257.743263]]),
        np.array([[14266838.988980442, 17993423.684788972], [-11312057.953891259, -14266835.959140245]]),
    ]
    for A in matrices:
        try:
            F = arreig.matrix_function(A.astype(dtype), *FUNCTIONS["log"])
        except (arreig.LostPrecisionError, arreig.DefectiveMatrixError):
            outcomes.append(None)
            continue
        expected = scipy.linalg.logm(A)
        outcomes.append(np.linalg.norm(F - expected) / np.linalg.norm(expected))
    assert max(x for x in outcomes if x is not None) < 1e-2, outcomes
    assert outcomes[-2:] == [None, None]
    assert all(x is not None for x in outcomes[:3])
    if dtype == "float64":
        assert all(x is not None and x < 1e-12 for x in outcomes[:9])
