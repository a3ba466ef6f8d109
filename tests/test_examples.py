"""The examples run, and the numbers they are about are right."""

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import arreig
from arreig.testing import directional_difference, finite_differences
from tests.conftest import EXAMPLES, examples

WORKED = ["naive_loss", "implicit_grad_eig", "batch_implicit_grad_eig"]
REFUSAL = "linalg_eig_backward: The eigenvectors in the complex case are specified up to multiplication"  # torch's


@pytest.fixture
def example() -> Any:
    with examples() as load:
        yield load


@pytest.mark.parametrize("name", WORKED)
def test_runs(example: Any, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    example(name).main()
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) > 8
    assert "\ntorch" in printed
    assert "RuntimeError: linalg_eig_backward" in printed


@pytest.mark.parametrize("name", WORKED)
def test_runs_without_torch(name: str) -> None:
    program = f"""
import sys

class NoTorch:
    def find_spec(name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'")

sys.meta_path.insert(0, NoTorch)
sys.path[:] = [{str(EXAMPLES)!r}, *{sys.path!r}]
import {name}
{name}.main()
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    *numpy_half, last = run.stdout.splitlines()
    assert len(numpy_half) > 8
    assert last == "The torch half is left out: arreig_torch needs torch: pip install 'arreig[torch]'"


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


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("scale", [1, 1e-3])
def test_naive_loss_in_torch(example: Any, kind: str, scale: float) -> None:
    module = example("naive_loss")
    A = module.matrices()[kind]
    canonical, phase_free, plain = module.TORCH.values()
    for loss, cotangent in module.LOSSES.values():
        gA = module.gradient(A, cotangent)
        gradient = partial(module.torch_gradient, A, loss, scale=scale)
        np.testing.assert_allclose(gradient(canonical), gA, atol=1e-13)
        # the loss of what torch.linalg.eig returns has this gradient too
        np.testing.assert_allclose(module.torch_differences(A, loss), gA, atol=1e-10)
        if kind == "real" or loss is module.invariant_loss:
            np.testing.assert_allclose(gradient(phase_free), gA, atol=1e-13)
            np.testing.assert_allclose(gradient(plain), gA, atol=1e-13)
            continue
        with pytest.raises(arreig.GaugeDependentLossError):
            gradient(phase_free)
        if scale == 1:
            with pytest.raises(RuntimeError, match=REFUSAL):
                gradient(plain)
        else:
            assert module.deviation(gradient(plain), gA) > 0.5


def test_naive_loss_and_what_torch_makes_of_it(example: Any) -> None:
    module = example("naive_loss")
    A = module.matrices()["complex"]
    w, V, W = res = arreig.eig(A, sort="real", left=True)
    v, u, gV = V[:, 0], W[:, 0], module.naive_cotangent(V)
    phase = np.vdot(v, gV[:, 0]).imag
    accepted = module.torch_gradient(A, module.naive_loss, module.lapack_eigenvectors, 0.0099 / phase)
    with pytest.raises(RuntimeError, match=REFUSAL):
        module.torch_gradient(A, module.naive_loss, module.lapack_eigenvectors, 0.0101 / phase)

    # phases with Im(u^H dv) = 0, entry by entry of A, and i Im(v^H gv) in the place of gw
    dV = np.array([res.jvp(unit)[1][:, 0] for unit in np.eye(9).reshape(9, 3, 3)])
    dV = dV - 1j * (dV @ u.conj()).imag[:, None] * v
    left_phase = (dV @ gV[:, 0].conj()).real.reshape(3, 3)
    np.testing.assert_allclose(accepted, left_phase + (1j * phase * np.outer(u, v.conj())).real, atol=1e-13)

    leaf = torch.tensor(A, requires_grad=True)
    w, V = torch.linalg.eig(leaf)
    (1e-3 * module.naive_loss(V[:, w.real.argsort(descending=True)]) + 0 * w.real.sum()).backward()
    np.testing.assert_allclose(leaf.grad.numpy() / 1e-3, left_phase, atol=1e-13)  # 0 w changes it
    gA = module.gradient(A, module.naive_cotangent)
    assert module.deviation(left_phase, gA) > 0.3


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


def test_implicit_grad_eig_in_torch(example: Any) -> None:
    module = example("implicit_grad_eig")
    for name, (A, loss) in module.problems().items():
        tensors = module.in_torch(loss)
        gA = module.implicit_grad_eig(A, loss)
        backward = partial(module.torch_grad_eig, A, tensors)
        assert module.deviation(backward(module.torch_eigenvectors), gA) < 1e-10
        assert (
            module.deviation(backward(module.torch_eigenvectors), finite_differences(module.of_matrix(loss), A)) < 1e-9
        )
        # the same loss of the same numbers: only the backward is another
        V = module.lapack_eigenvectors(torch.tensor(A))
        np.testing.assert_allclose(V.numpy(), module.decomposition(A).eigenvectors, atol=1e-13)
        if name.startswith("real"):
            assert module.deviation(backward(module.lapack_eigenvectors), gA) < 1e-10
        else:
            with pytest.raises(RuntimeError, match=REFUSAL):
                backward(module.lapack_eigenvectors)


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


def test_batch_implicit_grad_eig_in_torch(example: Any) -> None:
    module = example("batch_implicit_grad_eig")
    A, weights = module.problem()
    losses = partial(module.loss, weights=torch.tensor(weights))
    loop = module.loop(A, weights, analytic=True)
    np.testing.assert_allclose(module.torch_grad_eig(A, losses, module.torch_eigenvectors), loop, atol=1e-12)
    np.testing.assert_allclose(module.mapped(A, weights, module.torch_eigenvectors), loop, atol=1e-12)

    plain = module.lapack_eigenvectors
    differences = finite_differences(lambda A: losses(plain(torch.tensor(A))), A)
    np.testing.assert_allclose(differences, loop, atol=1e-9)
    with pytest.raises(RuntimeError, match=REFUSAL):
        module.torch_grad_eig(A, losses, plain)
    wrong = [
        module.deviation(g, reference) for g, reference in zip(module.mapped(A, weights, plain), loop, strict=True)
    ]
    pairs = np.iscomplex(module.decomposition(A).eigenvalues).any(-1)
    assert list(pairs) == [False, True, False, True]
    for deviation, pair in zip(wrong, pairs, strict=True):
        assert deviation > 0.5 if pair else deviation < 1e-13
    # torch.func leaves torch's check out without vmap, too
    one = torch.func.grad(lambda A: module.loss(plain(A), torch.tensor(weights[1])))(torch.tensor(A[1]))
    assert module.deviation(one.numpy(), loop[1]) > 0.5
