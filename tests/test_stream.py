"""Stacks of many matrices by dask: the example that streams from disk to disk, and the sides of the benchmark."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arreig.testing import finite_differences
from benchmarks import batches
from tests.conftest import examples


@pytest.fixture(scope="module")
def stream() -> Any:
    with examples() as load:
        yield load("stream")


def breeders(A: Any, stream: Any) -> Any:
    """Log of next year's breeders for each animal, after the years that it takes the ages to settle."""
    n = np.ones((*A.shape[:-1], 1))
    for _ in range(400):
        n = A @ n
        n = n / n.sum(axis=-2, keepdims=True)
    return np.log(((A @ n)[..., 0] * stream.BREEDS).sum(axis=-1))


def test_streams_from_disk_to_disk(stream: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Values and gradients by years of life, without eigenvectors; every block is read and written in its place."""
    sites = 23
    result = stream.main(tmp_path, sites, 5)
    A, gA = np.load(tmp_path / "leslie.npy"), np.load(tmp_path / "gradient.npy")
    assert A.shape == gA.shape == (sites, stream.AGES, stream.AGES)
    assert len(np.unique(A, axis=0)) == sites
    logs = breeders(A, stream)
    assert np.isclose(result.loss, logs.mean(), rtol=1e-11)
    expected = finite_differences(lambda X: breeders(X, stream), A, step=1e-5)  # of the norm, which births make large
    np.testing.assert_allclose(gA * sites, expected, atol=1e-8 * np.abs(expected).max())
    assert np.isclose(result.elasticities, 1)
    assert np.isclose((A * gA).sum(axis=(1, 2)) * sites, 1).all()
    assert result.site == np.abs(expected).max(axis=(1, 2)).argmax()
    moved = A[result.site] * (1 + 1e-3 * np.sign(gA[result.site]))
    assert np.isclose(result.measured, breeders(moved, stream) - logs[result.site], rtol=1e-6)
    assert np.isclose(result.predicted, result.measured, rtol=1e-2)
    printed = capsys.readouterr().out
    largest = f"site {result.site} has the largest gradient"
    for text in (f"L = {logs.mean():.9f}", f"{result.elasticities:.9f}, exactly 1", largest):
        assert text in printed
    assert "100% Completed" in printed


def test_surveyed_populations_are_plausible(stream: Any) -> None:
    A = stream.surveyed(0, 500)
    assert (A >= 0).all()
    assert (A[:, np.arange(1, stream.AGES), np.arange(stream.AGES - 1)] < 1).all()
    growth = np.abs(np.linalg.eigvals(A)).max(axis=-1)
    assert (growth > 1).any()
    assert (growth < 1).any()


@pytest.mark.parametrize("n", batches.ORDERS)
def test_both_sides_of_the_benchmark_compute_the_same(n: int) -> None:
    blocks = range(3, 6)
    found = [x.compute(scheduler="synchronous") for x in batches.lazy(blocks, n, 4)]
    np.testing.assert_allclose(found, np.sum([batches.plain(block, n, 4) for block in blocks], axis=0), rtol=1e-11)
