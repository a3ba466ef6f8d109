"""What the README shows works as it says."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

import arreig
from arreig._capabilities import markdown
from arreig.testing import directional_difference, finite_differences, host
from benchmarks.matrices import near_defective

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "repeated_eigenvalues.md").read_text()
CODE, PAGE_CODE = (re.findall(r"```python\n(.*?)```", text, re.DOTALL) for text in (README, PAGE))


def test_the_example() -> None:
    names: dict[str, Any] = {}
    exec(CODE[0], names)
    A = names["A"]

    def loss(A: Any) -> Any:
        V = arreig.eig(A).eigenvectors
        return np.abs(V[0, 0]) ** 2 + 3 * np.abs(V[1, 0]) ** 2

    np.testing.assert_allclose(names["gA"], finite_differences(loss, A), atol=1e-9)
    np.testing.assert_array_equal(names["res"].vjp(names["gV"]), names["gA"])
    np.testing.assert_allclose(names["dw"], directional_difference(arreig.eigvals, A, np.eye(2)), atol=1e-9)
    np.testing.assert_allclose(names["dV"], 0, atol=1e-14)


def test_the_torch_example() -> None:
    names: dict[str, Any] = {}
    exec(CODE[1], names)
    A = host(names["A"].detach())

    def loss(A: Any) -> Any:
        w, V = arreig.eig(A)
        return np.sum(V.real**2) + np.sum(np.abs(w))

    np.testing.assert_allclose(names["A"].grad, finite_differences(loss, A), atol=1e-5)  # in single precision
    H = host(names["H"]).reshape(9, 9)
    np.testing.assert_allclose(H, H.T, atol=1e-5)
    with pytest.raises(RuntimeError, match="ill-defined"):
        exec(CODE[1].replace("arreig_torch.eig(A)", "torch.linalg.eig(A)"), {})


def test_the_jax_example() -> None:
    names: dict[str, Any] = {}
    exec(CODE[2], names)
    A = np.asarray(names["A"], dtype=np.float64)
    assert names["H"].shape == (3, 3, 3, 3)

    def decayed(X: Any) -> float:
        moduli = 0.0
        for _ in range(50):
            moduli += np.abs(np.linalg.eigvals(X)).sum()
            X = expm(-0.01 * X) @ X
        return float(np.sum(X) + moduli)

    np.testing.assert_allclose(names["gA"], finite_differences(decayed, A), atol=1e-8 * np.abs(names["gA"]).max())


def test_the_autograd_example() -> None:
    names: dict[str, Any] = {}
    exec(CODE[3], names)
    expected = finite_differences(lambda A: np.sum(arreig.eig(A).eigenvectors.real ** 2), names["A"])
    np.testing.assert_allclose(names["gA"], expected, atol=1e-8)


def test_the_dask_example() -> None:
    names: dict[str, Any] = {}
    exec(CODE[4], names)
    few = slice(12_345, 12_348)

    def loss(A: Any) -> Any:
        w, V = arreig.eig(A)
        return (np.abs(V) ** 2).cumsum(axis=-2).sum((-2, -1)) + np.abs(w).sum(-1)

    expected = finite_differences(loss, names["A"][few].compute())
    np.testing.assert_allclose(names["gA"][few], expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(names["loss"], loss(names["A"].compute()).sum(), rtol=1e-12)


def test_the_example_of_subspaces_and_functions() -> None:
    names: dict[str, Any] = {}
    exec(CODE[5], names)
    A, C = names["A"], names["C"]

    def loss(A: Any) -> Any:
        return np.sum(C * arreig.spectral_projector(A, lambda w: w.real < 2))

    np.testing.assert_allclose(names["P"], np.diag([1.0, 1, 1, 0, 0, 0]), atol=1e-15)
    expected = finite_differences(loss, A)
    np.testing.assert_allclose(names["gA"], expected, atol=1e-11 * np.abs(expected).max())
    np.testing.assert_allclose(names["Q"] @ names["Q"].T, np.eye(6) - names["P"], atol=1e-14)
    np.testing.assert_allclose(names["gS"], np.eye(3) / 2, atol=1e-15)
    np.testing.assert_allclose(names["gT"], np.eye(3) / np.cosh(1) ** 2, atol=1e-15)


def test_the_diagnosis_is_what_it_prints() -> None:
    """But for the digits, of which rounding decides the last ones."""

    def words(text: str) -> str:
        return " ".join(re.sub(r"[\d.]+(e[-+]?\d+)?", "#", text).split())

    shown = README.split("$ python -m arreig diagnose")[1].split("```")[0]
    assert words(arreig.diagnose(near_defective(20, 1e-6)).verdict) in words(shown)


def test_the_table_of_libraries() -> None:
    assert markdown() in README


def test_links() -> None:
    for folder, text in ((ROOT, README), (ROOT / "docs", PAGE)):
        for target in re.findall(r"\]\(([^)]+)\)", text):
            assert (folder / target).exists(), target


def test_the_page_on_repeated_eigenvalues() -> None:
    for code, name in zip(PAGE_CODE, ("gA", "A.grad"), strict=True):
        names: dict[str, Any] = {}
        exec(code, names)
        gA = host(eval(name, names))
        expected = np.e * np.arange(9.0).reshape(3, 3).T
        np.testing.assert_allclose(gA, expected, atol=1e-7 * expected.max())


def test_the_table_of_degeneracies_is_complete() -> None:
    from arreig._decompositions._inputs import DEGENERACIES, GAUGES

    for name in (*DEGENERACIES, *GAUGES):
        assert f'"{name}"' in README
