"""The examples of eigs and eigsh: whole chains beside finite differences, and what they print is true."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sparse

from tests.conftest import examples

pytest.importorskip("matplotlib")
pytest.importorskip("rich")


@pytest.fixture(scope="module")
def example() -> Any:
    with examples() as load:
        yield load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """main with a picture: what it returned and printed."""

    def run(main: Callable[..., Any], *args: Any) -> tuple[Any, str]:
        picture = tmp_path_factory.mktemp("output") / "new" / "picture.png"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", out := io.StringIO())
            result = main(picture, *args)
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert "picture:" in out.getvalue()
        return result, out.getvalue()

    return run


def largest(x: Any) -> float:
    return float(np.abs(x).max())


# --- convection and diffusion --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flow(example: Any) -> Any:
    return example("convection_diffusion")


def uneven(flow: Any, m: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    still = flow.stirred(m)
    return flow.Fields(still.kappa * (0.5 + rng.random((m, m))), still.b + 3 * rng.standard_normal((2, m, m)))


def test_operator_is_convection_and_diffusion(flow: Any) -> None:
    """On sin(pi x) sin(2 pi y), where what it does is known, to second order; and constants stay, but for the walls."""
    errors = []
    for m in (50, 101):
        x, y = (np.pi * z for z in flow.grid(m))
        v = np.sin(x) * np.sin(2 * y)
        kappa, b = 1 + x * y**2, np.stack([np.broadcast_to(np.cos(y), (m, m)), x * y])
        v_x, v_y = np.pi * np.cos(x) * np.sin(2 * y), 2 * np.pi * np.sin(x) * np.cos(2 * y)
        kappa_x, kappa_y = np.pi * y**2, 2 * np.pi * x * y
        exact = b[0] * v_x + b[1] * v_y - kappa_x * v_x - kappa_y * v_y + 5 * np.pi**2 * kappa * v
        # one row from the walls, where kappa is not that of this field
        errors.append(largest((flow.product(flow.Fields(kappa, b), v) - exact)[1:-1, 1:-1]) / largest(exact))
    assert errors[0] < 0.01
    assert errors[1] < 0.27 * errors[0]


def test_products_are_those_of_the_matrix(flow: Any) -> None:
    m, rng = 9, np.random.default_rng(3)
    fields, (v, y) = uneven(flow, m), rng.standard_normal((2, m, m)) + 1j * rng.standard_normal((2, m, m))
    A = flow.matrix(fields)
    np.testing.assert_allclose(flow.product(fields, v).ravel(), A @ v.ravel(), rtol=1e-11)
    np.testing.assert_allclose(flow.product_adjoint(fields, y).ravel(), A.T @ y.ravel(), rtol=1e-11, atol=1e-10)


def test_default_size(flow: Any) -> None:
    A = flow.matrix(flow.stirred(flow.M))
    assert A.shape == (99856, 99856)
    assert A.nnz == 498016


def test_both_gradients_are_those_of_finite_differences(flow: Any) -> None:
    """Of the whole chain, in every grid point, for both losses; and of a loss on all pairs, two of them conjugates."""
    m = 6
    fields, rng = uneven(flow, m), np.random.default_rng(1)
    weights = rng.standard_normal((m * m, flow.K)) + 1j * rng.standard_normal((m * m, flow.K))

    def all_losses(fields: Any) -> Any:
        w, V = res = flow.decompose(fields)
        named = [value for value, *_ in flow.losses(res, m).values()]
        return np.array([*named, np.vdot(weights, V).real + np.vdot(weights[0], w).real])

    res = flow.decompose(fields)
    assert (np.abs(res.eigenvalues.imag) > 1).sum() == 2
    cotangents = [(gV, gw) for _, gV, gw in flow.losses(res, m).values()] + [(weights, weights[0])]
    parts = np.concatenate([fields.kappa.ravel(), fields.b.ravel()])

    def unpacked(x: Any) -> Any:
        return flow.Fields(x[: m * m].reshape(m, m), x[m * m :].reshape(2, m, m))

    steps = 1e-5 * np.eye(len(parts))
    exact = np.array([all_losses(unpacked(parts + h)) - all_losses(unpacked(parts - h)) for h in steps]).T / 2e-5
    for (gV, gw), expected in zip(cotangents, exact, strict=True):
        assert largest(expected) > 1e-4
        by_entries = flow.through_entries(fields, res.vjp(gV, gw))
        by_products = flow.through_products(fields, *res.vjp(gV, gw, factors=True))
        for gradient in (by_entries, by_products):
            found = np.concatenate([gradient.kappa.ravel(), gradient.b.ravel()])
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * largest(expected))


def test_convection_diffusion(flow: Any, run: Any) -> None:
    """The differences, the trial and the share of the box that are printed."""
    result, printed = run(flow.main, 40)
    assert (result.res.eigenvalues.real > 0).all()
    v = result.res.eigenvectors[:, 0].real
    assert v.min() > 0
    dense = scipy.linalg.eigvals(flow.matrix(result.fields).toarray())
    assert np.isclose(dense.real.min(), result.values[flow.RATE], rtol=1e-9)
    for name, value in result.values.items():
        assert result.differences[name] < 1e-11
        predicted, measured, step = flow.tried(result, name)
        assert step > 0
        assert np.isclose(predicted, measured, rtol=1e-4)
        assert f"{value:.6f}" in printed
        assert f"{predicted:+.5e}" in printed
    slower = result.gradients[flow.RATE].kappa < 0
    assert 0.05 < slower.mean() < 0.2
    assert f"slow the cooling on {100 * slower.mean():.1f} %" in printed
    more = result.fields._replace(kappa=result.fields.kappa + 0.01 * slower)
    assert flow.decompose(more).eigenvalues[0].real < result.values[flow.RATE]


def test_own_solver(example: Any, flow: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Products alone, and a solver that leaves a residual, lead to the gradient of the factorised matrix."""
    module = example("own_solver")
    m = 16
    result = module.main(m)
    direct = flow.decompose(flow.stirred(m)).eigenvalues
    np.testing.assert_allclose(result.res.eigenvalues, direct, rtol=1e-8)
    for name, gradient in result.gradients.items():
        for found, expected in zip(gradient, result.direct[name], strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * largest(expected))
    assert result.solver.solves > 20
    printed = capsys.readouterr().out
    assert "forward:" in printed
    assert flow.SHARE in printed


def test_solver_solves_both_ways(example: Any, flow: Any) -> None:
    module, m = example("own_solver"), 12
    fields = flow.stirred(m)
    A, dense, x = (
        module.operator(fields),
        flow.matrix(fields).toarray(),
        np.random.default_rng(0).standard_normal(m * m),
    )
    solver = module.Solver(A, fields)
    for shift in (0.0, 3.0, 1.0 + 2.0j):
        for adjoint in (False, True):
            M = dense - shift * np.eye(m * m)
            M = M.conj().T if adjoint else M
            np.testing.assert_allclose(M @ solver(shift, x, adjoint), x, rtol=0, atol=1e-8 * np.linalg.norm(x))
    assert solver.solves == 6


# --- the network ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(example: Any) -> Any:
    pytest.importorskip("bokeh_sampledata")
    return example("network")


@pytest.fixture(scope="module")
def airlines(network: Any) -> Any:
    return network.airline_network()


def by_linear_system(network: Any, net: Any, damping: float) -> Any:
    """x of (I - d T) x = (1 - d)/n 1."""
    n = len(net.codes)
    T = network.transition(net).toarray()
    return np.linalg.solve(np.eye(n) - damping * T, np.full(n, (1 - damping) / n))


def test_network_is_the_packages(network: Any, airlines: Any) -> None:
    n, connected = len(airlines.codes), sparse.csgraph.connected_components
    assert n > 300
    assert len(airlines.weight) > 5000
    T = network.transition(airlines)
    np.testing.assert_allclose(T.sum(0), 1, atol=1e-13)
    assert connected(T, connection="strong")[0] == 1
    assert abs(T.astype(bool).astype(int) - T.astype(bool).astype(int).T).nnz > 0  # some are flown one way only


def test_importance_is_pagerank(network: Any, airlines: Any) -> None:
    x = network.importance(airlines).eigenvectors[:, 0].real
    np.testing.assert_allclose(x, by_linear_system(network, airlines, network.DAMPING), atol=1e-13)
    assert np.isclose(x.sum(), 1)
    stationary = network.importance(airlines, 1.0).eigenvectors[:, 0].real
    np.testing.assert_allclose(network.transition(airlines) @ stationary, stationary, atol=1e-14)
    assert stationary.min() > 0


def test_slopes_are_those_of_finite_differences(network: Any, airlines: Any) -> None:
    """Of links that are flown and others, drawn and the steepest of either sign; the share by another method."""
    rng, n, target = np.random.default_rng(0), len(airlines.codes), airlines.codes.index("PIT")
    slopes, memory = network.slopes_of_share(airlines, target), network.slopes_of_memory(airlines)
    flown = [*rng.choice(len(memory), 12, replace=False), memory.argmin(), memory.argmax()]
    pairs = [(int(airlines.source[k]), int(airlines.target[k])) for k in flown]
    pairs += [(int(i), int(j)) for i, j in rng.integers(0, n, (6, 2)) if i != j]
    pairs += [divmod(int(k), n) for k in (slopes.argmin(), slopes.argmax())]
    for i, j in pairs:
        # forward, as a new link has no weight to take away; of second order by three points
        here, once, twice = (
            by_linear_system(network, airlines.one_more(i, j, h), network.DAMPING)[target] for h in (0.0, 1e-3, 2e-3)
        )
        assert np.isclose((4 * once - twice - 3 * here) / 2e-3, slopes[i, j], rtol=1e-4, atol=1e-10)
    for k in flown:
        i, j = int(airlines.source[k]), int(airlines.target[k])
        there, back = (network.memory(airlines.one_more(i, j, h)) for h in (1e-4, -1e-4))
        assert np.isclose((there - back) / 2e-4, memory[k], rtol=1e-5, atol=1e-8)


def test_network(network: Any, airlines: Any, run: Any) -> None:
    """What one airline more does is what it does, and of the sign that the slope has."""
    result, printed = run(network.main)
    net, target = result.net, result.airport
    assert net.codes[target] == "PIT"
    before = by_linear_system(network, net, network.DAMPING)[target]
    for changes in (result.flown, result.new):
        assert len(changes) == network.TOP
        for i, j, slope, real in changes:
            assert ((net.source == i) & (net.target == j)).any() == (changes is result.flown)
            after = by_linear_system(network, net.one_more(i, j), network.DAMPING)[target]
            assert np.isclose(after - before, real, rtol=1e-6)
            assert np.isclose(real, slope, rtol=0.1)
            assert f"{100 * real:+.5f}" in printed
    memory = sorted(np.abs(np.linalg.eigvals(network.transition(net).toarray())))[-2]
    for i, j, slope, real in result.forgetting:
        after = sorted(np.abs(np.linalg.eigvals(network.transition(net.one_more(i, j)).toarray())))[-2]
        assert np.isclose(after - memory, real, rtol=1e-6)
        assert slope < real < 0
    assert np.isclose(result.together[0], memory)
    assert result.together[1] < memory - 0.05
    assert "352 airports" in printed


def test_network_says_what_to_install(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bokeh_sampledata.airport_routes", None)
    with pytest.raises(ImportError, match="pip install bokeh-sampledata"):
        network.airline_network()


# --- the plate -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plate(example: Any) -> Any:
    return example("plate")


def test_square_cantilever(plate: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leissa's frequencies of a square plate, Poisson's ratio 0.3, w a^2 sqrt(rho t/D) (NASA SP-160, 1969)."""
    monkeypatch.setattr(plate, "LENGTH", 0.2)
    monkeypatch.setattr(plate, "NU", 0.3)
    square, t = plate.Plate(16, 16), plate.START
    w = square.modes(np.full(256, t)).eigenvalues
    D = plate.E * t**3 / (12 * (1 - 0.3**2))
    np.testing.assert_allclose(
        np.sqrt(w) * 0.2**2 * np.sqrt(plate.RHO * t / D), [3.492, 8.525, 21.43, 27.33, 31.11], rtol=8e-3
    )


def test_elements_bend_and_weigh_as_they_should(plate: Any) -> None:
    """No energy in a rigid motion, that of a curvature in w = x^2/2, and the mass of the plate."""
    a, b = 0.03, 0.02
    K, M, S = plate.element(a, b)
    corners = np.array([(0, 0), (a, 0), (a, b), (0, b)])

    def freedoms(w: Any, w_x: Any, w_y: Any) -> Any:
        return np.array([[f(x, y) for f in (w, w_x, w_y)] for x, y in corners]).ravel()

    ones = freedoms(lambda x, y: 1, lambda x, y: 0, lambda x, y: 0)
    tilt = freedoms(lambda x, y: x + 2 * y, lambda x, y: 1, lambda x, y: 2)
    bent = freedoms(lambda x, y: x**2 / 2, lambda x, y: x, lambda x, y: 0)
    assert np.isclose(ones @ M @ ones, plate.RHO * a * b)
    assert np.isclose(ones @ S @ ones, a * b)
    assert largest(K @ ones) < 1e-12 * largest(K)
    assert largest(K @ tilt) < 1e-12 * largest(K)
    assert np.isclose(bent @ K @ bent, a * b * plate.E / (12 * (1 - plate.NU**2)))


@pytest.mark.parametrize("mu", [0.0, 10.0])
def test_gradient_to_every_thickness(plate: Any, mu: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plate, "MU", mu)
    small, rng = plate.Plate(6, 4), np.random.default_rng(0)
    t = plate.START * (1 + 0.1 * rng.standard_normal(24))
    w_0 = 1.1 * small.modes(t).eigenvalues[plate.MODE]
    _, gt, _ = small.loss(t, w_0)
    h = 1e-7
    exact = [(small.loss(t + d, w_0)[0] - small.loss(t - d, w_0)[0]) / (2 * h) for d in h * np.eye(24)]
    np.testing.assert_allclose(gt, exact, rtol=0, atol=1e-7 * largest(exact))


def test_plate(plate: Any, run: Any) -> None:
    """The design leaves the instrument at rest, by a dense eigensolver too, and keeps mass, frequency and bounds."""
    result, printed = run(plate.main)
    design, small = result.design, result.plate
    K, M = small.assembled(design**3, small.K_1).toarray(), small.assembled(design, small.M_1).toarray()
    w, V = scipy.linalg.eigh(K, M)
    rounding = np.finfo(float).eps * w[-1]  # the dense solver's
    np.testing.assert_allclose(result.after.eigenvalues, w[: plate.KEPT], rtol=0, atol=rounding)
    before, after = (
        abs(small.deflection(v)[small.at]) for v in (result.before.eigenvectors[:, plate.MODE], V[:, plate.MODE])
    )
    assert before > 0.3
    assert after < 1e-3 * before
    assert result.history[-1] < 1e-5 * result.history[0]
    assert np.isclose(w[plate.MODE], result.before.eigenvalues[plate.MODE], rtol=1e-3)
    assert np.isclose(design.mean(), plate.START, rtol=1e-9)
    assert design.min() > plate.THIN - 1e-12
    assert design.max() < plate.THICK + 1e-12
    for text in (f"{before:.6f}", f"{after:.6f}", "evaluations of L"):
        assert text in printed
