"""The examples run, and the numbers they are about are right."""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import arreig
from arreig.testing import directional_difference, finite_differences

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import an example by name, as Python does for a script and its neighbours."""
    monkeypatch.syspath_prepend(EXAMPLES)
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and Path(str(sys.modules[name].__file__)).parent == EXAMPLES:
            del sys.modules[name]


@pytest.mark.parametrize("name", ["naive_loss", "implicit_grad_eig", "batch_implicit_grad_eig"])
def test_runs(example: Any, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    example(name).main()
    assert len(capsys.readouterr().out.splitlines()) > 8


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_naive_loss(example: Any, kind: str) -> None:
    module = example("naive_loss")
    A = module.matrices()[kind]
    V = module.eigenvectors(A)
    assert np.iscomplex(V[:, 0]).any() == (kind == "complex")
    for loss, cotangent in module.LOSSES.values():
        gA = module.gradient(A, cotangent)
        np.testing.assert_allclose(gA, finite_differences(module.of_matrix(loss), A), atol=1e-10)
        values = [loss(module.rephased(V, seed)) for seed in range(5)]
        invariant = loss is module.invariant_loss
        assert (np.ptp(values) < 1e-12) == invariant
        if invariant or kind == "real":
            np.testing.assert_allclose(module.gradient(A, cotangent, gauge="phase-free"), gA, atol=1e-13)
        else:
            assert np.abs(gA).max() > 0.1
            with pytest.raises(arreig.GaugeDependentLossError):
                module.gradient(A, cotangent, gauge="phase-free")
    if kind == "real":
        assert np.abs(module.gradient(A, module.naive_cotangent)).max() < 1e-13
        assert np.isclose(module.naive_loss(V), 1)


def test_implicit_grad_eig(example: Any) -> None:
    module = example("implicit_grad_eig")
    for A, loss in module.problems().values():
        reference = finite_differences(module.of_matrix(loss), A)
        gV = finite_differences(loss, module.decomposition(A).eigenvectors)
        assert module.deviation(module.implicit_grad_eig(A, loss), reference) < 1e-9
        assert module.deviation(module.implicit_grad_eig(A, loss, gradient=lambda V, gV=gV: gV), reference) < 1e-9
        assert module.deviation(module.by_hand(A, gV), reference) < 1e-9
        assert module.deviation(module.web_version(A, gV), reference) > 1
        # and what does not tell them from nothing: no loss on eigenvectors changes along the identity
        assert abs(directional_difference(module.of_matrix(loss), A, np.eye(len(A)))) < 1e-9
    spectra = [np.iscomplex(arreig.eigvals(A)).any() for A, _ in module.problems().values()]
    assert spectra == [False, True]


def test_loggerhead(example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = example("loggerhead")
    picture = tmp_path / "turtles.png"
    result = module.main(picture, steps=300)
    printed = capsys.readouterr().out
    for heading in (
        "Published matrix",
        "finite differences",
        "Annual survival",
        "growth rate 0.945031 a year, published 0.945",
    ):
        assert heading in printed
    assert picture.read_bytes().startswith(b"\x89PNG")
    # the published matrix has the published distribution and reproductive values, in the digits given there
    A = module.projection_matrix(module.SURVIVAL)
    w, V, W = arreig.eig(A, gauge=module.GAUGE, sort="abs", left=True)
    np.testing.assert_allclose(100 * V[:, 0].real, module.PUBLISHED_SHARE, atol=0.0051)
    np.testing.assert_allclose(W[:, 0].real / W[0, 0].real, module.PUBLISHED_VALUE, atol=0.0051)
    assert module.check_sensitivities(module.Console(quiet=True), A) < 1e-7
    # the design meets its conditions, and no cheaper survival nearby does
    assert result.violation < 1e-4
    B = module.projection_matrix(result.survival)
    assert np.isclose(np.abs(np.linalg.eigvals(B)).max(), 1, atol=1e-4)
    np.testing.assert_allclose(module.CLASSES @ result.distribution, module.TARGET, rtol=1e-4)
    assert np.isclose(result.cost, 0.59976, atol=1e-3)  # as a sequential quadratic programme finds it too


def test_batch_implicit_grad_eig(example: Any) -> None:
    module = example("batch_implicit_grad_eig")
    A, weights = module.problem()
    assert A.shape == (4, 3, 3)

    def loss(V: Any) -> Any:
        return module.loss(V, weights)

    gA = module.batch_implicit_grad_eig(A, loss)
    np.testing.assert_allclose(gA, module.loop(A, weights, analytic=False), atol=1e-9)
    exact = module.batch_implicit_grad_eig(A, loss, gradient=lambda V: module.loss_gradient(V, weights))
    np.testing.assert_allclose(exact, module.loop(A, weights, analytic=True), atol=1e-12)
    np.testing.assert_allclose(exact, finite_differences(module.of_matrix(loss), A), atol=1e-9)
