"""The grating solver obeys optics, its gradient is right where symmetry makes eigenvalues equal, and the design works."""

import io
import math
from typing import Any

import numpy as np
import pytest

import arreig
from tests.conftest import examples

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("rich")

ORDERS = [(1, 0), (-1, 0), (0, 1), (0, -1)]
STEPS = 12


@pytest.fixture(scope="module")
def module() -> Any:
    with examples() as load:
        yield load("grating")


@pytest.fixture(scope="module")
def grating(module: Any) -> Any:
    return module.Grating()


@pytest.fixture(scope="module")
def result(module: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A short descent, with what it wrote."""
    picture = tmp_path_factory.mktemp("output") / "new" / "grating.png"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out := io.StringIO())
        return module.main(picture, STEPS, progress=False), picture, out.getvalue()


def random_pattern(N: int = 8, seed: int = 0) -> Any:
    return torch.rand(N, N, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- optics --------------------------------------------------------------------------------------------------------------


def test_convolution_is_the_integral_over_a_period(module: Any, grating: Any) -> None:
    """Of pixels with the permittivity of their density, centred on the points of the grid."""
    p, N, fine = random_pattern(), 8, 400
    eps = np.asarray(module.EPS_LOW + (module.EPS_HIGH - module.EPS_LOW) * p)
    x = (np.arange(fine * N) + 0.5) / (fine * N) - 0.5 / N
    for m, n in [(0, 0), (1, 0), (-2, 3), (4, -4)]:
        wave = [np.exp(-2j * np.pi * k * x).reshape(N, fine).mean(1) for k in (m, n)]
        row = np.clip((m, n), -2, 2)
        i, j = grating.order(*row), grating.order(*(row - (m, n)))
        expected = wave[0] @ eps @ wave[1] / N**2
        np.testing.assert_allclose(grating.convolution(p)[i, j], expected, atol=1e-5)


@pytest.mark.parametrize("eig", ["plain", "split"])
def test_energy_is_conserved(module: Any, grating: Any, eig: str) -> None:
    rule = module.RULES[module.PLAIN if eig == "plain" else module.SPLIT]
    for p in (random_pattern(), module.pillar(8), torch.full((8, 8), 0.5, dtype=torch.float64)):
        for e in (grating.light("x"), grating.light("y", 1), grating.circular(), grating.light("x", 0, -1)):
            R, T = grating.efficiencies(p, e, rule)
            assert abs(R.sum() + T.sum() - 1) < 1e-10


def test_evanescent_orders_decay(module: Any, grating: Any) -> None:
    for eps in (module.EPS_ABOVE, module.EPS_BELOW):
        kz = grating.kz(eps)
        assert (kz.imag >= 0).all()
        assert (kz.real >= 0).all()
        assert (kz.imag > 0).any()
        assert kz.abs().min() > 0.1  # no order grazes


def test_uniform_layer_is_a_slab(module: Any, grating: Any) -> None:
    """Amplitudes by Fresnel and Airy, straight and oblique, for both polarisations."""
    k, d, eps = 1 / module.PERIOD, 2 * np.pi * module.DEPTH, (module.EPS_ABOVE, 2.2, module.EPS_BELOW)
    p = torch.full((8, 8), (eps[1] - module.EPS_LOW) / (module.EPS_HIGH - module.EPS_LOW), dtype=torch.float64)
    for m, axis in ((0, "x"), (0, "y"), (1, "x"), (1, "y"), (-1, "x")):
        kz = np.sqrt(np.array(eps) - (k * m) ** 2)
        # admittances of the tangential fields: p-polarised along x, s-polarised along y
        y1, y2, y3 = np.array(eps) / kz if axis == "x" else kz
        r12, r23 = (y1 - y2) / (y1 + y2), (y2 - y3) / (y2 + y3)
        phase = np.exp(1j * kz[1] * d)
        airy = 1 + r12 * r23 * phase**2
        j = grating.order(m, 0) + ("xy".index(axis)) * len(grating.orders)
        r, t = grating.solve(p, grating.light(axis, m), torch.linalg.eig)
        expected_r, expected_t = torch.zeros_like(r), torch.zeros_like(t)
        expected_r[j] = (r12 + r23 * phase**2) / airy
        expected_t[j] = (1 + r12) * (1 + r23) * phase / airy
        torch.testing.assert_close(r, expected_r, rtol=0, atol=1e-10)
        torch.testing.assert_close(t, expected_t, rtol=0, atol=1e-10)


def test_layer_is_the_matrix_exponential(module: Any, grating: Any) -> None:
    """Fields at the upper interface, carried through e' = P h, h' = Q e, are those at the lower one."""
    p, e = random_pattern(), grating.circular()
    P, Q = grating.PQ(grating.convolution(p))
    r, t = grating.solve(p, e, torch.linalg.eig)
    Y1, Y2 = grating.Y(module.EPS_ABOVE), grating.Y(module.EPS_BELOW)
    zero = torch.zeros_like(P)
    generator = torch.cat([torch.cat([zero, P], 1), torch.cat([Q, zero], 1)])
    through = torch.linalg.matrix_exp(generator * 2 * math.pi * module.DEPTH)
    above, below = torch.cat([e + r, Y1 @ (e - r)]), torch.cat([t, Y2 @ t])
    torch.testing.assert_close(through @ above, below, rtol=0, atol=1e-8)  # exp grows by 1e4
    torch.testing.assert_close(torch.linalg.solve(through, below), above, rtol=0, atol=1e-8)


def test_lamellar_grating_has_its_two_scalar_equations(grating: Any) -> None:
    """A pattern of x alone, and n = 0: -E'' = (eps - kx^2) Ey, and (I - Kx eps^-1 Kx) eps for Ex."""
    p = random_pattern()[:, :1].expand(8, 8)
    rows = [grating.order(m, 0) for m in range(-2, 3)]
    E = grating.convolution(p)[rows][:, rows]
    K = grating.Kx[rows][:, rows]
    P, Q = grating.PQ(grating.convolution(p))
    A, n = P @ Q, len(grating.orders)
    Ax, Ay = A[:n, :n][rows][:, rows], A[n:, n:][rows][:, rows]
    torch.testing.assert_close(Ay, K @ K - E, rtol=0, atol=1e-12)
    torch.testing.assert_close(Ax, (K @ torch.linalg.inv(E) @ K - torch.eye(5)) @ E, rtol=0, atol=1e-12)


def test_reciprocity(grating: Any) -> None:
    """Light sent back along a reflected order finds its way with the same amplitude, without any symmetry of the pattern."""
    p, n = random_pattern(), len(grating.orders)
    there, _ = grating.solve(p, grating.light("y", 1), torch.linalg.eig)
    back, _ = grating.solve(p, grating.light("y"), torch.linalg.eig)
    kz = grating.kz(1.0).real
    sent, returned = there[n + grating.order(0, 0)], back[n + grating.order(-1, 0)]
    assert abs(sent) > 1e-3
    # s-polarised amplitudes, each divided by the root of the power of its plane wave
    torch.testing.assert_close(
        sent / kz[grating.order(1, 0)].sqrt(), returned * kz[grating.order(-1, 0)].sqrt(), rtol=0, atol=1e-10
    )
    assert abs(returned - back[n + grating.order(1, 0)]) > 1e-3  # the pattern is another one seen from the other side


def test_symmetric_pillar_treats_orders_and_polarisations_alike(module: Any, grating: Any) -> None:
    p = module.pillar(8)
    efficiencies = {axis: grating.efficiencies(p, grating.light(axis)) for axis in "xy"}
    for side in (0, 1):
        x, y = efficiencies["x"][side], efficiencies["y"][side]
        for m, n in grating.orders.tolist():
            j = grating.order(m, n)
            for i in (grating.order(-m, n), grating.order(m, -n)):  # mirrors of the x and y axes
                torch.testing.assert_close(x[j], x[i], rtol=0, atol=1e-12)
            torch.testing.assert_close(x[j], y[grating.order(n, m)], rtol=0, atol=1e-12)  # mirror of the diagonal
        assert not math.isclose(x[grating.order(1, 0)], x[grating.order(0, 1)], rel_tol=0.05)
    circular = grating.efficiencies(p, grating.circular())[1]
    four = torch.stack([circular[grating.order(*order)] for order in ORDERS])
    torch.testing.assert_close(four, four[:1].expand(4), rtol=0, atol=1e-12)


def test_scattering_does_not_depend_on_the_signs_of_the_square_roots(grating: Any, monkeypatch: Any) -> None:
    """lambda -> -lambda swaps a and b; so nothing hangs on the branch cut, on which every propagating mode lies."""
    p, e, sqrt = random_pattern(), grating.circular(), torch.sqrt
    r, t = grating.solve(p, e, torch.linalg.eig)
    kz = grating.kz(2.0)

    def other_branch(x: Any) -> Any:
        root = sqrt(x)
        return torch.where(x.real < 0, -root, root) if x.shape == (2 * len(kz),) else root

    monkeypatch.setattr(torch, "sqrt", other_branch)
    for a, b in zip(grating.solve(p, e, torch.linalg.eig), (r, t), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


# --- the gradient --------------------------------------------------------------------------------------------------------


def relative(gradient: Any, exact: Any) -> float:
    return float(np.abs(gradient - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize("case", ["symmetric pillar", "uniform, two beams", "no symmetry"])
def test_gradient_in_every_pixel(module: Any, grating: Any, case: str) -> None:
    p, e = module.cases(grating, 8)[case]
    exact = module.differences(grating, p, e)
    assert np.abs(exact).max() > 1e-3
    assert relative(module.gradient(grating, p, e, module.RULES[module.SPLIT]), exact) < 1e-6
    if case == "no symmetry":
        assert relative(module.gradient(grating, p, e, module.RULES[module.RAISE]), exact) < 1e-9
        assert relative(module.gradient(grating, p, e, module.RULES[module.PLAIN]), exact) < 1e-9
        return
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        module.gradient(grating, p, e, module.RULES[module.RAISE])
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        module.gradient(grating, p, e, lambda A: module.arreig_torch.eig(A, gauge="phase-free", degeneracy="mask"))
    # What rounding makes of 1/d, or the basis that LAPACK returns, is not known; that it is wrong is.
    assert not relative(module.gradient(grating, p, e, module.RULES[module.PLAIN]), exact) < 1e-4
    for rule in (module.MASKED, *module.BROADENED):
        assert relative(module.gradient(grating, p, e, module.RULES[rule]), exact) > 0.01


def test_what_is_masked_is_wrong_in_every_basis(module: Any, grating: Any) -> None:
    """Also in one of modes along x and along y, where it is right for light along x; and of modes along the diagonals."""
    p, x = module.pillar(8), torch.linspace(-1, 1, 8, dtype=torch.float64)
    exact = module.differences(grating, p, grating.light("x"))
    circular = module.differences(grating, p, grating.circular())
    axes, diagonals = (
        p + 1e-9 * x.square()[:, None],
        p + 1e-9 * x[:, None] * x,
    )  # gaps far below those that are not masked
    assert relative(module.gradient(grating, axes, grating.light("x"), module.RULES[module.MASKED]), exact) < 1e-3
    for basis in (axes, diagonals):
        assert (
            relative(module.gradient(grating, basis, grating.circular(), module.RULES[module.MASKED]), circular) > 0.01
        )


def test_gradient_for_any_light_on_a_uniform_layer(module: Any, grating: Any) -> None:
    """All modes that carry power, of both polarisations, so that all of a cluster's couplings count."""
    p = torch.full((8, 8), 0.5, dtype=torch.float64)
    rng = torch.Generator().manual_seed(1)
    waves = [grating.light(axis, m, n) for axis in "xy" for m, n in [(0, 0), *ORDERS]]
    amplitudes = torch.randn(len(waves), dtype=torch.complex128, generator=rng)
    e = sum(a * wave for a, wave in zip(amplitudes, waves, strict=True))
    exact = module.differences(grating, p, e)
    assert relative(module.gradient(grating, p, e, module.RULES[module.SPLIT]), exact) < 1e-6


def test_home_made_rules_are_the_textbook_ones(module: Any, grating: Any) -> None:
    p, e = module.cases(grating, 8)["no symmetry"]
    plain = module.gradient(grating, p, e, torch.linalg.eig)
    assert relative(module.gradient(grating, p, e, module.home_made(lambda d: 1 / d)), plain) < 1e-10
    for eps in (1e-8, 1e-4):
        theirs = module.gradient(
            grating,
            p,
            e,
            lambda A, eps=eps: module.arreig_torch.eig(A, gauge="phase-free", degeneracy=arreig.Broaden(eps)),
        )
        assert relative(module.gradient(grating, p, e, module.broadened(eps)), theirs) < 1e-10
        assert relative(theirs, plain) > 1e-7


# --- the design ----------------------------------------------------------------------------------------------------------


def test_main(module: Any, grating: Any, result: Any) -> None:
    found, picture, printed = result
    assert picture.read_bytes().startswith(b"\x89PNG")
    for text in ("by finite differences", "plain (torch.linalg.eig)", "refused", "Where the light goes", "picture:"):
        assert text in printed
    assert found.history.shape == (STEPS + 1,)
    assert found.history[-1] > 3 * found.history[0]
    assert ((found.design > 0) & (found.design < 1)).all()
    assert np.isclose(found.history[-1], grating.deflected(found.design, grating.circular()).item())
    for case, errors in found.errors.items():
        assert errors[module.SPLIT] < 1e-6
        assert math.isinf(errors[module.RAISE]) == (case != "no symmetry")
