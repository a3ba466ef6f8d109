"""The spectral layer computes exp(A t), its loss has the gradient that torch finds, and training does what the example says."""

import copy
import io
from typing import Any

import numpy as np
import pytest

from arreig.testing import finite_differences, matching
from tests.conftest import examples

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")
pytest.importorskip("rich")
pytest.importorskip("statsmodels")

STEPS, RESAMPLES = 80, 2


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    """Small matrices, and a test process per core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def module() -> Any:
    with examples() as load:
        yield load("spectral_layer")


@pytest.fixture(scope="module")
def data(module: Any) -> Any:
    return module.sunspot_data()


@pytest.fixture(scope="module")
def result(module: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A short training, with what it wrote."""
    picture = tmp_path_factory.mktemp("output") / "new" / "modes.png"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out := io.StringIO())
        trained = module.main(picture, STEPS, resamples=RESAMPLES, progress=False)
    return trained, picture, out.getvalue()


def random_layer(module: Any, *, batch_shape: tuple[int, ...] = (), growing: bool = False) -> Any:
    """Five modes, two pairs and a real one, at a distance from each other; their shapes are near delays, but are not."""
    rng = np.random.default_rng(5)
    w = np.array([-0.1 + 1j, -0.1 - 1j, -0.3 + 2j, -0.3 - 2j, 0.25 if growing else -0.5])
    layer = module.SpectralLayer(5, batch_shape=batch_shape).double()
    for A in layer.A.detach().view(-1, 5, 5):
        noise = rng.standard_normal((5, 5)) + 1j * rng.standard_normal((5, 5))
        noise[:, 1::2], noise[:, 4] = noise[:, :4:2].conj(), noise[:, 4].real
        V = np.exp(-w * np.arange(5)[:, None]) * (1 + 0.3 * noise)
        A.copy_(torch.as_tensor(((V * w) @ np.linalg.inv(V)).real))
    return layer


def states(*shape: int, seed: int = 0) -> Any:
    return torch.as_tensor(np.random.default_rng(seed).standard_normal(shape))


def loss_of_matrix(module: Any, layer: Any, x: Any, t: Any, y: Any, **options: Any) -> Any:
    """A -> L."""

    def loss(A: Any) -> Any:
        forecast, modes = torch.func.functional_call(layer, {"A": A}, (x, t))
        return module.objective(forecast, modes, y, **options)

    return loss


# --- the forecast ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_shape", [(), (3,), (2, 2)])
def test_forecast_is_that_of_the_matrix_exponential(module: Any, batch_shape: tuple[int, ...]) -> None:
    layer = random_layer(module, batch_shape=batch_shape)
    x, times = states(6, 5), torch.tensor([-1.7, 0.0, 0.3, 1.0, 2.0, 3.14159, 9.0], dtype=torch.float64)
    y, (w, V, W) = layer(x, times)
    assert y.shape == (*batch_shape, 6, 7)
    assert y.dtype == torch.float64
    for k, t in enumerate(times):
        flow = torch.linalg.matrix_exp(layer.A * t)
        torch.testing.assert_close(y[..., k], (x @ flow.mT)[..., 0], rtol=0, atol=1e-11)
        modal = (V * torch.exp(w * t)[..., None, :]) @ W.mH
        torch.testing.assert_close(modal, flow.to(modal.dtype), rtol=0, atol=1e-11)
    torch.testing.assert_close(
        y[..., 1], x[:, 0].expand(*batch_shape, 6), rtol=0, atol=1e-12
    )  # t = 0: what is observed


def test_forecast_is_that_of_matrix_powers(module: Any) -> None:
    layer, x = random_layer(module), states(4, 5)
    step = torch.linalg.matrix_exp(layer.A)
    y, _ = layer(x, torch.arange(1, 13))
    for t in range(1, 13):
        power = torch.linalg.matrix_power(step, t)
        torch.testing.assert_close(y[:, t - 1], (x @ power.mT)[:, 0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 11])
def test_starts_as_a_damped_shift(module: Any, n: int) -> None:
    """y(t) = +-exp(-t/decay) y(t - n), the modes are their own delays, and the years in the state are reconstructed."""
    layer, x = module.SpectralLayer(n, decay=7.0).double(), states(3, n)
    layer.A.data = layer.A.data.round(decimals=12)
    y, modes = layer(x, torch.arange(1 - n, n + 1))
    torch.testing.assert_close(modes.w.real, torch.full((n,), -1 / 7, dtype=torch.float64), rtol=0, atol=1e-6)
    assert modes.w.imag.abs().max() < torch.pi  # below the Nyquist frequency
    assert modes.shape_defect() < 1e-10
    torch.testing.assert_close(y[:, :n], x.flip(-1), rtol=0, atol=1e-5)
    sign = 1 if n % 2 else -1
    torch.testing.assert_close(y[:, n:], sign * np.exp(-n / 7) * x.flip(-1), rtol=0, atol=1e-5)


def test_modes(module: Any) -> None:
    layer, x = random_layer(module, batch_shape=(3,)), states(4, 5)
    w, V, W = modes = layer.modes()
    A = layer.A.to(V.dtype)
    torch.testing.assert_close(A @ V, V * w[..., None, :], rtol=0, atol=1e-12)
    torch.testing.assert_close(W.mH @ V, torch.eye(5).to(V).expand(3, 5, 5), rtol=0, atol=1e-12)
    torch.testing.assert_close(V[:, 0], torch.ones_like(w), rtol=0, atol=1e-12)
    assert (w.real.diff(dim=-1) < 1e-12).all()
    a = modes.amplitudes(x)
    torch.testing.assert_close(a, (W.mH @ x.to(V.dtype).mT).mT, rtol=0, atol=1e-12)
    torch.testing.assert_close(a.sum(-1), x[:, 0].expand(3, 4).to(V.dtype), rtol=0, atol=1e-12)


def test_batch_is_a_loop(module: Any) -> None:
    layer, x, t, y = random_layer(module, batch_shape=(2, 3)), states(4, 5), torch.arange(1, 4), states(4, 3, seed=1)
    forecast, modes = layer(x, t)
    L = module.objective(forecast, modes, y)
    L.sum().backward()
    own = states(2, 3, 4, 5, seed=2)  # each member's own states
    own_forecast, _ = layer(own, t)
    single = module.SpectralLayer(5).double()
    for i in np.ndindex(2, 3):
        single.load_state_dict({"A": layer.A.detach()[i]})
        single.zero_grad()
        z, modes_i = single(x, t)
        torch.testing.assert_close(forecast[i], z, rtol=0, atol=1e-12)
        torch.testing.assert_close(own_forecast[i], single(own[i], t)[0], rtol=0, atol=1e-12)
        L_i = module.objective(z, modes_i, y)
        L_i.backward()
        torch.testing.assert_close(L[i], L_i, rtol=0, atol=1e-12)
        torch.testing.assert_close(layer.A.grad[i], single.A.grad, rtol=1e-10, atol=1e-12)


# --- the loss ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("mu", [0.0, 1.0, 30.0])
def test_gradient_is_that_of_finite_differences(module: Any, growing: bool, mu: float) -> None:
    layer = random_layer(module, growing=growing)
    x, y, t, weights = (
        states(4, 5),
        states(4, 3, seed=1),
        torch.tensor([0.5, 1.0, 3.0]).double(),
        states(4, seed=2) ** 2,
    )
    loss = loss_of_matrix(module, layer, x, t, y, weights=weights, mu=mu)
    A = layer.A
    (gA,) = torch.autograd.grad(loss(A), A)
    numeric = finite_differences(lambda M: float(loss(torch.as_tensor(M)).detach()), A.detach())
    np.testing.assert_allclose(gA, numeric, atol=1e-8 * np.abs(numeric).max())
    assert torch.autograd.gradcheck(loss, (A,), atol=1e-6, rtol=1e-6)


def test_gradient_is_that_of_finite_differences_where_training_starts_and_ends(
    module: Any, data: Any, result: Any
) -> None:
    x, y, t = data.x[::8], data.y[::8], torch.arange(1, module.LEADS + 1)
    for A in (module.SpectralLayer(module.N).double().A.detach(), result[0].layer.A.detach()[module.FIT]):
        loss = loss_of_matrix(module, result[0].layer, x, t, y)
        A = A.clone().requires_grad_()
        (gA,) = torch.autograd.grad(loss(A), A)
        numeric = finite_differences(lambda M: float(loss(torch.as_tensor(M)).detach()), A.detach(), step=1e-5)  # noqa: B023
        np.testing.assert_allclose(gA, numeric, atol=1e-6 * np.abs(numeric).max())


def test_shape_penalty_is_about_eigenvectors(module: Any) -> None:
    """It differs between matrices with one spectrum, and vanishes where the modes are exponentials in the delay."""
    layer = random_layer(module)
    w = layer.modes().w.detach()
    assert layer.modes().shape_defect() > 0.1
    shapes = torch.exp(-w * torch.arange(5)[:, None])
    layer.A.data = ((shapes * w) @ torch.linalg.inv(shapes)).real
    torch.testing.assert_close(torch.as_tensor(matching(layer.modes().w.detach(), w)), torch.arange(5))
    assert layer.modes().shape_defect() < 1e-20
    x = states(3, 5)
    torch.testing.assert_close(layer(x, -torch.arange(5))[0], x, rtol=0, atol=1e-10)  # and so the past is the state


def test_growth_is_penalised(module: Any) -> None:
    damped, growing = random_layer(module), random_layer(module, growing=True)
    for layer, expected in ((damped, 0.0), (growing, module.NU * 0.25**2)):
        y, modes = layer(states(3, 5), torch.arange(1, 4))
        assert np.isclose(module.objective(y, modes, y, mu=0.0).item(), expected)


def test_beside_torch_linalg_eig(module: Any) -> None:
    """Refused on the vectors as they come; the same gradient from those divided by hand."""
    layer = random_layer(module)
    x, y, t = states(4, 5), states(4, 3, seed=1), torch.arange(1, 4)
    A = layer.A

    def loss(w: Any, V: Any) -> Any:
        modes = module.Modes(w, V, torch.linalg.inv(V).mH)
        forecast = (modes.amplitudes(x) @ (V[0, :, None] * torch.exp(w[:, None] * t))).real
        return module.objective(forecast, modes, y)

    w, V = torch.linalg.eig(A)
    with pytest.raises(RuntimeError, match=r"phase|ill-defined"):
        loss(w, V).backward()
    w, V = torch.linalg.eig(A)
    by_hand = loss(w, V / V[:1])
    (expected,) = torch.autograd.grad(by_hand, A)
    ours = loss_of_matrix(module, layer, x, t, y)(A)
    (gA,) = torch.autograd.grad(ours, A)
    torch.testing.assert_close(ours, by_hand, rtol=1e-11, atol=0)
    torch.testing.assert_close(gA, expected, rtol=1e-9, atol=1e-10)


# --- the module --------------------------------------------------------------------------------------------------------


def test_state_dict_deepcopy_and_dtypes(module: Any) -> None:
    layer, x, t = random_layer(module, batch_shape=(2,)), states(4, 5), torch.arange(1, 4)
    y, _ = layer(x, t)
    assert [name for name, _ in layer.named_parameters()] == ["A"]
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = module.SpectralLayer(5, batch_shape=(2,)).double()
    assert not torch.allclose(other(x, t)[0], y)
    other.load_state_dict(torch.load(file))
    torch.testing.assert_close(other(x, t)[0], y, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="size mismatch"):
        module.SpectralLayer(5).load_state_dict(layer.state_dict())

    twin = copy.deepcopy(layer)
    torch.testing.assert_close(twin(x, t)[0], y, rtol=0, atol=0)
    twin(x, t)[0].square().sum().backward()
    assert layer.A.grad is None
    with torch.no_grad():
        twin.A.mul_(2)
    torch.testing.assert_close(layer(x, t)[0], y, rtol=0, atol=0)

    single = copy.deepcopy(layer).float()
    y32, modes = single(x.float(), t)
    assert (y32.dtype, modes.w.dtype, modes.V.dtype) == (torch.float32, torch.complex64, torch.complex64)
    torch.testing.assert_close(y32.double(), y, rtol=0, atol=1e-4)
    L = module.objective(y32, modes, torch.zeros_like(y32))
    L.sum().backward()
    assert single.A.grad.dtype == torch.float32
    y, modes = layer(x, t)
    module.objective(y, modes, torch.zeros_like(y)).sum().backward()
    torch.testing.assert_close(
        single.A.grad.double(), layer.A.grad, rtol=1e-3, atol=1e-3 * layer.A.grad.abs().max().item()
    )
    with pytest.raises(RuntimeError, match=r"dtype|scalar type"):
        single(x, t)  # as nn.Linear does
    assert single.double()(x, t)[0].dtype == torch.float64


def test_default_dtype(module: Any) -> None:
    assert module.SpectralLayer(4).A.dtype == torch.float32
    assert module.SpectralLayer(4, batch_shape=(2, 3)).A.shape == (2, 3, 4, 4)


def test_representation_and_devices(module: Any) -> None:
    layer = module.SpectralLayer(4, batch_shape=(2,))
    assert layer.to("meta").A.is_meta
    assert sum(p.numel() for p in layer.parameters()) == 32


# --- data and training -------------------------------------------------------------------------------------------------


def test_data(module: Any, data: Any) -> None:
    """States are the last values, newest first; targets what followed; and training knows nothing of the held-out years."""
    z = (data.series - data.mean) / data.std
    split = list(data.years).index(module.FIRST_HELD_OUT)
    assert (data.years[0], data.years[-1], split) == (1700, 2008, 250)
    assert np.isclose(z[:split].mean(), 0)
    assert np.isclose(z[:split].std(), 1)
    pairs = ((data.x, data.y, module.N - 1, split), (data.held_out_x, data.held_out_y, split - 1, len(z)))
    for x, y, first, end in pairs:
        assert x.shape == (end - module.LEADS - first, module.N)
        assert y.shape == (len(x), module.LEADS)
        for i in (0, len(x) - 1):
            np.testing.assert_array_equal(x[i], z[first + i - np.arange(module.N)])
            np.testing.assert_array_equal(y[i], z[first + i + 1 : first + i + 1 + module.LEADS])
        np.testing.assert_array_equal(y[-1], z[end - module.LEADS : end])


def test_training(module: Any, result: Any) -> None:
    trained, picture, printed = result
    history = trained.history
    assert history.shape == (STEPS, 2 + RESAMPLES)
    # The loss falls by a seventh, in no member by less than a tenth ...
    np.testing.assert_allclose(history[0, :2], 0.63710, atol=1e-5)
    assert history[-1, module.FIT] < 0.86 * history[0, module.FIT]
    assert (history[-1] < 0.9 * history[0]).all()
    # ... and with it the error where it was not trained, from 37 sunspots at the start.
    ahead = {name: rmse.mean() for name, rmse in trained.ahead.items()}
    untrained = module.evaluate(
        module.SpectralLayer(module.N, batch_shape=(2,)).double(), module.sunspot_data(), history
    )
    assert ahead["modes"] < untrained.ahead["modes"].mean() - 3
    assert ahead["modes"] < 34
    assert ahead["modes"] < 0.65 * min(ahead["persistence"], ahead["climatology"])
    assert np.isclose(ahead["autoregression(11)"], 32.2, atol=0.1)
    assert np.isclose(ahead["persistence"], 68.9, atol=0.1)
    assert np.isclose(ahead["climatology"], 59.1, atol=0.1)
    # Modes that are their own delays know the past, others do not.
    assert 5 * trained.past["modes"].mean() < trained.past["modes, µ = 0"].mean()
    # The slowest oscillation is the solar cycle.
    w = trained.layer.modes().w[module.FIT]
    assert (w.real < 0).all()
    assert 10 < 2 * np.pi / w[w.imag > 0][0].imag < 12
    for heading in (
        "Learned modes",
        "decay time, years",
        "RMSE in sunspots",
        "autoregression(11)",
        "climatology",
        "picture:",
    ):
        assert heading in printed
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_members_are_trained_alone_and_alike(module: Any, data: Any, result: Any) -> None:
    """The same seed gives the same numbers, and the fit does not depend on what is trained beside it."""
    history = []
    for members in (4, 4, 2):
        layer = module.SpectralLayer(module.N, batch_shape=(members,)).double()
        with module.Progress(disable=True) as progress:
            history.append(module.train(layer, data, 6, progress))
    np.testing.assert_array_equal(history[0], history[1])
    np.testing.assert_allclose(history[0][:, :2], history[2], rtol=1e-8)
    assert np.ptp(history[0][0, 1:]) > 0.01  # resampled data are other data


def test_no_picture_and_a_progress_bar(module: Any, capsys: pytest.CaptureFixture[str]) -> None:
    module.main(None, 2, resamples=1)
    printed = capsys.readouterr().out
    assert "step 2" in printed
    assert "picture" not in printed
