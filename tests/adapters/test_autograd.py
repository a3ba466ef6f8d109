"""The adapter hands arreig's rules to HIPS autograd: first derivatives are the core's, second ones are refused."""

from collections.abc import Callable
from typing import Any
from unittest import mock

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from autograd.builtins import tuple as boxed_tuple
from autograd.core import make_jvp, make_vjp
from autograd.differential_operators import make_ggnvp, make_jvp_reversemode
from autograd.misc.tracers import const_graph
from autograd.test_util import check_grads

import arreig
import arreig_autograd as ag
from arreig._backends import lapack
from arreig._decompositions._general import GeneralEigensystem
from arreig.testing import adjoint_defect, directional_difference, finite_differences

N = 4


def random(*shape: int, dtype: Any = float, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal(shape)
    return (X + 1j * rng.standard_normal(shape) if np.issubdtype(dtype, np.complexfloating) else X).astype(dtype)


adjoint = lambda X: anp.conj(anp.swapaxes(X, -1, -2))
hermitian = lambda X: (X + adjoint(X)) / 2
astuple = lambda x: x if isinstance(x, tuple) else (x,)

# function, arguments after A, options
CALLS: dict[str, tuple[str, tuple[Any, ...], dict[str, Any]]] = {
    "eig": ("eig", (), {"sort": "abs"}),
    "eig, left": ("eig", (), {"left": True, "gauge": arreig.Component(1)}),
    "eigh": ("eigh", (), {}),
    "eigvals": ("eigvals", (), {"sort": "real"}),
    "eigvalsh": ("eigvalsh", (), {}),
    "spectral_projector": ("spectral_projector", (2,), {}),
    "invariant_subspace": ("invariant_subspace", (2,), {"sort": "real"}),
    "matrix_function": ("matrix_function", (np.exp, np.exp), {}),
    "matrix_function, hermitian": ("matrix_function", (np.exp, np.exp), {"hermitian": True}),
    "sqrtm": ("sqrtm", (), {}),
    "sqrtm, hermitian": ("sqrtm", (), {"hermitian": True}),
    "logm": ("logm", (), {}),
    "logm, hermitian": ("logm", (), {"hermitian": True}),
}
HERMITIAN = ("eigh", "eigvalsh", "matrix_function, hermitian", "sqrtm, hermitian", "logm, hermitian")


def problem(name: str, batch: tuple[int, ...], dtype: str) -> Any:
    """Hermitian where it has to be, and without eigenvalues on the negative axis."""
    A = random(*batch, N, N, dtype=np.dtype(dtype), seed=3 + len(batch))
    A = A @ adjoint(A) if name in HERMITIAN else A
    return (A + (3 if name.startswith(("sqrtm", "logm")) else 0) * np.eye(N)).astype(dtype)


def results(name: str, module: Any = ag) -> Callable[..., tuple[Any, ...]]:
    function, arguments, options = CALLS[name]
    return lambda *matrices: astuple(getattr(module, function)(*matrices, *arguments, **options))


boxed = lambda name: lambda *matrices: boxed_tuple(results(name)(*matrices))


def cotangents(name: str, out: tuple[Any, ...]) -> list[Any]:
    gs = [random(*x.shape, dtype=x.dtype, seed=7 + i) for i, x in enumerate(out)]
    if name == "invariant_subspace":  # of a loss that does not depend on the basis
        gs = [(hermitian(random(N, N, dtype=x.dtype, seed=7)) @ x).astype(x.dtype) for x in out]
    return gs


def core_vjp(name: str, A: Any, gs: list[Any], B: Any = None) -> Any:
    function, arguments, options = CALLS[name]
    if function in ("eig", "eigh"):
        gw, gV, *gW = gs
        return getattr(arreig, function)(A, B, **options).vjp(gV, gw, **({"gW": gW[0]} if gW else {}))
    return getattr(arreig, f"{function}_vjp")(A, *arguments, *gs, **options, **({} if B is None else {"B": B}))


def core_jvp(name: str, A: Any, dA: Any, **pencil: Any) -> tuple[Any, ...]:
    function, arguments, options = CALLS[name]
    return astuple(getattr(arreig, f"{function}_jvp")(A, *arguments, dA, **options, **pencil))


@pytest.mark.parametrize("name", CALLS)
def test_as_the_core(dtype: str, batch: tuple[int, ...], name: str) -> None:
    """Values, gradients and tangents are the core's to the last bit, and adjoint to each other."""
    A = problem(name, batch, dtype)
    before = A.copy()
    out = results(name)(A)
    for x, y in zip(out, results(name, arreig)(A), strict=True):
        assert x.dtype == y.dtype
        ulps = 10 if name == "eigvalsh" else 0  # of which the core takes LAPACK's values without vectors
        np.testing.assert_allclose(x, y, rtol=0, atol=ulps * np.finfo(dtype).eps * np.abs(y).max())
    gs = cotangents(name, out)
    vjp, value = make_vjp(boxed(name), A)
    gA = vjp(tuple(map(np.conj, gs)))
    assert gA.dtype == A.dtype
    np.testing.assert_array_equal(gA.conj(), core_vjp(name, A, gs))
    dA = random(*A.shape, dtype=A.dtype, seed=11)
    again, tangents = make_jvp(boxed(name), A)(dA)
    for d, own, y, z in zip(tangents, core_jvp(name, A, dA), value, again, strict=True):
        assert d.dtype == y.dtype == z.dtype
        np.testing.assert_array_equal(d, own)
    assert adjoint_defect(zip(gs, tangents, strict=True), [(gA.conj(), dA)]) < 1e3 * np.finfo(dtype).eps
    np.testing.assert_array_equal(A, before)


@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)], ids=["A", "B", "both"])
@pytest.mark.parametrize("name", ["eig", "eigh", "eigvals", "eigvalsh"])
def test_two_matrices(name: str, which: tuple[int, ...]) -> None:
    """The derivatives by A, by B, by both, A complex and B real."""
    A, B = pencil = problem(name, (2,), "complex128"), problem("eigh", (2,), "float64")
    gs = cotangents(name, results(name)(A, B))
    expected = core_vjp(name, A, gs, B)
    gradients = autograd.make_vjp(boxed(name), which)(A, B)[0](tuple(map(np.conj, gs)))
    for k, g in zip(which, gradients, strict=True):
        assert g.dtype == pencil[k].dtype
        np.testing.assert_array_equal(g.conj(), expected[k])
    d = [(k in which) * random(*X.shape, dtype=X.dtype, seed=11 + k) for k, X in enumerate(pencil)]
    tangents = autograd.make_jvp(boxed(name), which)(A, B)(tuple(d[k] for k in which))[1]
    for dx, own in zip(tangents, core_jvp(name, A, d[0], B=B, dB=d[1]), strict=True):
        np.testing.assert_allclose(dx, own, rtol=1e-13, atol=1e-13)
    of = hermitian if name in HERMITIAN else lambda X: X
    np.random.seed(0)  # noqa: NPY002, what autograd's check draws from
    check_grads(lambda A, B: boxed(name)(of(A), of(B)), which, order=1)(A[0], B[0])


C = random(N, N, dtype=complex, seed=5)


def loss_of(name: str) -> Callable[[Any], Any]:
    """Depends on phases, and makes complex numbers of real results."""

    def loss(A: Any) -> Any:
        out = results(name)(hermitian(A) if name in HERMITIAN else A)
        if name == "invariant_subspace":
            out = (anp.matmul(out[0], adjoint(out[0])),)
        # through where, as through solve and concatenate, a complex cotangent comes back to a real x
        weighted = [(C if x.ndim == A.ndim else C[0]) * anp.where(True, x, 0j) ** 2 for x in out]
        return anp.real(sum(anp.sum(x, axis=tuple(range(A.ndim - 2, x.ndim))) for x in weighted))

    return loss


LOSSES = {name: loss_of(name) for name in CALLS}


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", LOSSES)
def test_differences(name: str, dtype: str) -> None:
    """Every entry, real and imaginary part."""
    A = problem(name, (), dtype)
    gA = autograd.grad(LOSSES[name])(A)
    expected = finite_differences(LOSSES[name], A)
    np.testing.assert_allclose(gA.conj(), expected, atol=1e-8 * np.abs(expected).max())
    np.random.seed(0)  # noqa: NPY002
    check_grads(LOSSES[name], order=1, modes=["fwd", "rev"])(A)


GENERAL, DEFINITE = problem("eig", (), "float64"), problem("eigh", (), "float64")
FRANK = np.where(np.subtract.outer(range(8), range(8)) > 1, 0.0, 8.0 - np.maximum.outer(range(8), range(8)))
NEAR = np.diag([1.0, 1.0, 2.0]) + np.outer([0.0, 0, 1], [0.3, 0.2, 0])  # a repeated eigenvalue
Z, LAST, BROADEN = arreig.Functional(np.array([1.0, 0.4, 0.7, 0.9])), arreig.Component(-1), arreig.Broaden(0.1)
# function, A, arguments, options, other options, of which the gradient is another
OPTIONS: dict[str, tuple[str, Any, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    "gauge": ("eig", GENERAL, (), {"gauge": Z}, {"gauge": LAST}),
    "gauge of eigh": ("eigh", DEFINITE, (), {"gauge": Z}, {"gauge": LAST}),
    "sort": ("eig", GENERAL, (), {"sort": "abs"}, {"sort": "real"}),
    "degeneracy": ("eig", NEAR, (), {"degeneracy": "perturb"}, {"degeneracy": BROADEN}),
    "degeneracy of eigh": ("eigh", hermitian(NEAR), (), {"degeneracy": "perturb"}, {"degeneracy": BROADEN}),
    "refine": ("eig", FRANK, (), {"refine": "auto"}, {"refine": False}),
    "sort of a count": ("spectral_projector", GENERAL, (1,), {"sort": "abs"}, {"sort": "real"}),
    "hermitian": ("sqrtm", DEFINITE, (), {"hermitian": True}, {"hermitian": False}),
}


@pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")
@pytest.mark.parametrize("option", OPTIONS)
def test_options(option: str) -> None:
    """Each reaches the core: the gradients under two values are the core's, and differ."""
    function, A, arguments, *both = OPTIONS[option]
    gradients = []
    for options in both:

        def result(A: Any, options: Any = options) -> Any:
            return astuple(getattr(ag, function)(A, *arguments, **options))[-1]

        value, vjp = result(A), make_vjp(result, A)[0]
        g = random(*value.shape, dtype=value.dtype)
        expected = getattr(arreig, f"{function}_vjp")(A, *arguments, g, **options)
        gradients.append(vjp(g.conj()))
        np.testing.assert_array_equal(gradients[-1], expected)
    assert not np.allclose(*gradients, rtol=1e-14, atol=0)


CLUSTER = np.diag([1.0, 1.0, 3.0])
UNDEFINED: dict[str, tuple[Any, ...]] = {  # matrix, error, arguments
    **dict.fromkeys(["eig", "eigh", "eigvals", "eigvalsh"], (CLUSTER, arreig.DegenerateEigenvaluesError)),
    **dict.fromkeys(["spectral_projector", "invariant_subspace"], (CLUSTER, arreig.SpectrumNotSeparatedError, 2)),
    **dict.fromkeys(["sqrtm", "logm"], (CLUSTER + np.eye(3, k=1), arreig.DefectiveMatrixError)),
    "matrix_function": (CLUSTER + np.eye(3, k=1), arreig.DefectiveMatrixError, np.exp, np.exp),
}


@pytest.mark.parametrize("function", UNDEFINED)
def test_check(function: str) -> None:
    """Where there is no derivative an error says so, or without checks it is NaN."""
    A, error, *arguments = UNDEFINED[function]

    def loss(A: Any, check: bool) -> Any:
        x = astuple(getattr(ag, function)(A, *arguments, check=check))[-1]
        return anp.real(anp.sum(x * np.arange(x.size).reshape(x.shape)))

    with pytest.raises(error):
        autograd.grad(loss)(A, True)
    assert np.isnan(autograd.grad(loss)(A, False)).all()


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Any:
    """A method that goes on as before, and counts its calls."""
    original = getattr(owner, name)
    monkeypatch.setattr(owner, name, spy := mock.create_autospec(original, side_effect=original))
    return spy


def test_decomposes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For all cotangents, and in forward mode; the cotangents of w and V reach the core together."""
    decompositions = counted(monkeypatch, lapack.LapackBackend, "eig")
    factorisations = counted(monkeypatch, lapack.LapackBackend, "factorise")
    gradients = counted(monkeypatch, GeneralEigensystem, "vjp")
    autograd.jacobian(lambda A: anp.real(ag.eig(A)[1] + ag.eigvals(A)))(GENERAL)
    assert [spy.call_count for spy in (decompositions, factorisations, gradients)] == [2, 2, 2 * N**2]

    def loss(A: Any) -> Any:
        w, V = ag.eig(A)
        return anp.sum(anp.abs(anp.matmul(V * w**2, V.T)) ** 2) + anp.sum(anp.real(V))

    autograd.grad(loss)(GENERAL)
    make_jvp(loss, GENERAL)(GENERAL)
    assert [spy.call_count for spy in (decompositions, factorisations, gradients)] == [4, 4, 2 * N**2 + 1]


def test_what_the_loss_does_not_use_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss on eigenvalues alone takes the rule for them, beside a Jordan block and at a repeated eigenvalue."""
    gradients = counted(monkeypatch, GeneralEigensystem, "vjp")
    A = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 3.0]])
    gA = autograd.grad(lambda A: anp.real(ag.eig(A, sort="abs")[0][0]))(A)
    np.testing.assert_allclose(gA, np.outer([0, 0.25, 1], [0, 0, 1]), atol=1e-14)
    assert gradients.call_args.args[1] is None  # gV
    for function in (ag.eig, ag.eigh):
        gA = autograd.grad(lambda A, f=function: anp.real(anp.sum(f(A, gauge="phase-free").eigenvalues ** 3)))(CLUSTER)
        np.testing.assert_allclose(gA, 3 * CLUSTER**2, rtol=1e-14, atol=1e-14)
    # V that is used, and whose cotangent happens to vanish, is not the same: its loss has to have a derivative
    with pytest.raises(arreig.DefectiveMatrixError):
        autograd.grad(lambda A: anp.real(anp.sum(0 * (r := ag.eig(A))[1]) + r[0][0]))(A)


SECOND: dict[str, Callable[..., Any]] = {
    "hessian": lambda loss, A: autograd.hessian(loss)(A),
    "grad of grad": lambda loss, A: autograd.grad(lambda A: anp.sum(autograd.grad(loss)(A)))(A),
    "jvp of grad": lambda loss, A: autograd.make_jvp(autograd.grad(loss))(A)(A),
    "grad of jvp": lambda loss, A: autograd.grad(lambda A: autograd.make_jvp(loss)(A)(A)[1])(A),
    "jvp of jvp": lambda loss, A: autograd.make_jvp(lambda A: autograd.make_jvp(loss)(A)(A)[1])(A)(A),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("order", SECOND)
def test_second_derivatives_are_refused(order: str, name: str) -> None:
    with pytest.raises(arreig.ArreigError, match=r"first derivatives, and this would be.* arreig_torch and arreig_jax"):
        SECOND[order](LOSSES[name], problem(name, (), "float64"))


def test_what_needs_no_second_derivative() -> None:
    """Products of Jacobians, the value beside a gradient, a gradient scaled by what is differentiated; a replayed trace."""
    A, v = GENERAL, random(N, N)
    f = lambda A: anp.real(anp.sum(ag.eig(A)[1], axis=0)) + anp.real(ag.eigvals(A))
    loss = lambda A: anp.sum(f(A) ** 2)
    J = autograd.jacobian(f)(A).reshape(N, -1)
    near = lambda x, y: np.testing.assert_allclose(np.ravel(x), np.ravel(y), rtol=1e-11, atol=1e-11)
    near(make_jvp_reversemode(f)(A)(v), J @ v.ravel())
    near(make_ggnvp(f)(A)(v), J.T @ J @ v.ravel())
    near(autograd.elementwise_grad(f)(A), J.sum(0))
    gA = autograd.value_and_grad(loss)(A)[1]
    near(autograd.grad(lambda A: autograd.value_and_grad(loss)(A)[0])(A), gA)
    near(autograd.grad(lambda t: anp.sum(autograd.grad(lambda A: t**2 * loss(A))(A)))(3.0), 6 * gA.sum())
    near(make_jvp(lambda t: autograd.grad(lambda A: t**2 * loss(A))(A), 3.0)(1.0)[1], 6 * gA)
    replayed = const_graph(loss)
    near([replayed(A), replayed(A + v / 9), replayed(A)], [loss(A), loss(A + v / 9), loss(A)])


A2 = np.array([[1.0, 2.0], [2.0, 4.0]])
TO_THE_ADAPTER = r"tracked for differentiation.* use the function of arreig_autograd, which .* autograd.tracer.getval"
NO_ARRAY = r" must be a NumPy array or autograd's box of one, got %s; for arrays of other libraries use arreig"
# what is called with a box, and the error's message
REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "core's eig": (arreig.eig, "A is " + TO_THE_ADAPTER),
    "core's eigs": (lambda A: arreig.eigs(A, 1), r"arreig_autograd, which .*\(there are all but eigs, eigsh and"),
    "core's B": (lambda A: arreig.eig(A2, A), "B must .* numpy.ndarray, got .*ArrayBox, which is " + TO_THE_ADAPTER),
    "core's gV": (lambda A: arreig.eig(A2).vjp(A), "gV must come from A's library.* which is " + TO_THE_ADAPTER),
    "list": (lambda A: ag.eig([[1.0]]), "A" + NO_ARRAY % "list"),
    "list for B": (lambda A: ag.eigh(A, [[1.0]]), "B" + NO_ARRAY % "list"),
    "boxes": (lambda A: ag.eigvals(np.array([[A[0, 0]]])), r"A must .* object.*with autograd.numpy.array"),
    "f": (lambda A: ag.matrix_function(A2, lambda w: w * A[0, 0], np.sign), "f contains .* into A"),
    "df": (lambda A: ag.matrix_function(A2, np.exp, lambda w: w * A[0, 0]), "df contains .*getval"),
    "no function": (lambda A: ag.matrix_function(A2, 1, np.exp), r"f must be a function .* got int"),
    # in forward mode autograd cannot copy z
    "z": (lambda A: ag.eig(A2, gauge=arreig.Functional(A[0])), r"holds z const.*getval\(z\)|\(z\) expects an array"),
    "z of eigh": (lambda A: ag.eigh(A2, gauge=arreig.Functional(A[0])), r"z constant|\(z\) expects"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_arguments(name: str) -> None:
    call, message = REFUSED[name]
    with pytest.raises(arreig.InputError, match=message):
        autograd.grad(call)(A2)
    with pytest.raises(arreig.InputError, match=message):
        make_jvp(call, A2)(A2)


def test_warns_where_it_is_called() -> None:
    with pytest.warns(arreig.GaugeTieWarning) as record:
        autograd.grad(lambda A: anp.sum(ag.eigh(A)[1]))(np.ones((2, 2)))
    assert {warning.filename for warning in record} == {__file__}


def test_light_through_layers() -> None:
    """As in codes for photonics: series of permittivities make matrices, their modes carry a wave on, layer by layer."""
    n, depth, k0 = 5, 0.3, 2 * np.pi
    index = np.subtract.outer(range(n), range(n)) + n - 1
    K2 = np.diag((0.2 + np.arange(n) - n // 2) ** 2)

    def power(eps: Any) -> Any:
        wave = np.eye(n)[n // 2]
        for series in eps:
            w, V = ag.eig(series[index] - K2, gauge="phase-free")
            wave = anp.dot(V, anp.exp(1j * k0 * depth * anp.sqrt(w)) * anp.linalg.solve(V, wave))
        return anp.sum(np.arange(1, n + 1) * anp.abs(wave) ** 2)

    eps = 0.3 * random(3, 2 * n - 1, seed=2) + 1.5 * (np.arange(2 * n - 1) == n - 1)
    direction = random(*eps.shape, seed=3)
    slope = np.sum(autograd.grad(power)(eps) * direction)
    np.testing.assert_allclose(slope, directional_difference(power, eps, direction, step=1e-4), rtol=1e-8)
