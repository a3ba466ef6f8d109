"""A stack of matrices larger than the memory that it may take, from disk through a loss to its gradient on disk.

At each site of a survey lives a population of eight age classes that steps from one year to the next by n(t+1) = A n(t), A a
Leslie matrix: births in its first row, survival below the diagonal. In the long run it grows by the dominant eigenvalue w of A a
year, and its ages have the shares v, the eigenvector scaled to sum 1. One number for the survey:

    L = mean over the sites of log(w) + log(b),    b = the share of breeders in v,

exp(L) being how many breeders there are next year for each animal of today, in geometric mean. Its gradient tells of every site
and every entry of its matrix how much it matters: where a little more survival, or births, would add most.

The stack of A lies in an NPY file. dask reads a block of it, arreig_dask decomposes that once, for the loss and for the gradient,
which goes to another NPY file block by block. The process measures its own peak (maximum resident set above the start) and stops
with an error if it is above LIMIT: the memory depends on the size of a block and the number of threads, not on the stack.

Two checks. L is homogeneous: multiplying one A by c adds log(c)/sites, so sum(A * dL/dA) of a site is 1/sites, and of all 1. And
the site with the largest entry is moved by what the gradient proposes, and decomposed again.

Leslie, "On the use of matrices in certain population mathematics", Biometrika 33 (1945) 183-212; for the sensitivities Caswell,
Matrix Population Models (2001), ch. 9.
"""

import argparse
import os
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # a thread of dask takes a block; read when NumPy is imported

import dask
import dask.array as da
import numpy as np
from dask.diagnostics import ProgressBar

import arreig_dask

AGES, FIRST_BREEDING = 8, 3
SITES, BLOCK, LIMIT = 400_000, 1_000, 120  # matrices; of a block; MB
BREEDS = (np.arange(AGES) >= FIRST_BREEDING).astype(float)


class Stack:
    """Matrices in an NPY file, read and written a block at a time: the pages of a memory map would count as memory."""

    dtype, ndim = np.dtype(float), 3

    def __init__(self, path: Path, sites: int) -> None:
        self.path, self.shape = path, (sites, AGES, AGES)
        if not path.exists():
            np.lib.format.open_memmap(path, mode="w+", dtype=self.dtype, shape=self.shape)
        self.offset = np.load(path, mmap_mode="r").offset

    def _at(self, first: int) -> int:
        return int(self.offset + first * AGES**2 * self.dtype.itemsize)

    def __getitem__(self, index: tuple[slice, ...]) -> Any:
        first, last, _ = index[0].indices(self.shape[0])
        X = np.fromfile(self.path, self.dtype, (last - first) * AGES**2, offset=self._at(first))
        return X.reshape(-1, AGES, AGES)[(slice(None), *index[1:])]

    def __setitem__(self, index: tuple[slice, ...], block: Any) -> None:
        with self.path.open("r+b") as file:
            file.seek(self._at(index[0].indices(self.shape[0])[0]))
            file.write(np.ascontiguousarray(block).data)

    def blocks(self, size: int) -> Any:
        """As a dask array, lazily."""
        return da.from_array(self, chunks=(size, AGES, AGES), name=False, meta=np.empty((0, AGES, AGES)))


def surveyed(first: int, last: int) -> Any:
    """Leslie matrices of the sites from first to last."""
    rng, sites = np.random.default_rng(first), last - first
    survival = 0.75 - 0.4 * np.exp(-np.arange(AGES - 1) / 2) + 0.1 * rng.standard_normal((sites, AGES - 1))
    births = BREEDS * rng.uniform(2, 8, (sites, 1)) * np.sqrt(np.arange(AGES))
    A = np.zeros((sites, AGES, AGES))
    A[:, 0] = births
    A[:, np.arange(1, AGES), np.arange(AGES - 1)] = survival.clip(0.05, 0.98)
    return A


def loss_and_gradient(A: Any) -> tuple[Any, Any]:
    """L and dL/dA of a dask array of matrices, lazily."""
    w, V = res = arreig_dask.eig(A, sort="abs")
    growth, v = w[:, 0].real, V[:, :, 0].real  # real and positive, by Perron and Frobenius
    breeding, all_ages = (v * BREEDS).sum(axis=1), v.sum(axis=1)
    loss = da.log(growth * breeding / all_ages).mean()
    first = np.arange(AGES) == 0  # the cotangents of the other eigenpairs are 0
    gv = BREEDS / breeding[:, None] - 1 / all_ages[:, None]
    return loss, res.vjp(gv[:, :, None] * first / len(A), first / growth[:, None] / len(A))


def peak() -> float:
    """Largest resident set so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


class Result(NamedTuple):
    """L, the sum of the elasticities, MB, and the site with the largest gradient with its change of L by both ways."""

    loss: float
    elasticities: float
    memory: float
    site: int
    predicted: float
    measured: float


def main(folder: Path, sites: int = SITES, block: int = BLOCK) -> Result:
    """Survey, then stream the stack in the folder, and print what came of it."""
    stack, gradient = Stack(folder / "leslie.npy", sites), Stack(folder / "gradient.npy", sites)
    for start in range(0, sites, block):
        stack[start : min(start + block, sites), :, :] = surveyed(start, min(start + block, sites))
    size, before = sites * AGES**2 * 8 / 1e6, peak()
    print(f"stack: {sites:,} matrices {AGES} x {AGES}, {size:.0f} MB, in blocks of {block * AGES**2 * 8 / 1e6:.2f} MB")
    A = stack.blocks(block)
    loss, gA = loss_and_gradient(A)
    written = da.store([gA], [gradient], lock=False, compute=False)
    largest = abs(gA).max(axis=(1, 2)).argmax()
    with ProgressBar():
        L, elasticities, site, _ = dask.compute(loss, (A * gA).sum(), largest, written, num_workers=2)
    memory = peak() - before
    print(f"L = {L:.9f}: {np.exp(L):.4f} breeders next year for each animal of today")
    print(f"sum of A * dL/dA: {elasticities:.9f}, exactly 1")
    A_site, g_site = stack[site : site + 1, :, :], gradient[site : site + 1, :, :] * sites
    step = 1e-3 * (A_site > 0) * np.sign(g_site) * A_site
    here, there = (
        loss_and_gradient(da.from_array(X))[0].compute(scheduler="synchronous") for X in (A_site, A_site + step)
    )
    predicted, measured = float((g_site * step).sum()), float(there - here)
    change = "0.1 % of each rate, up or down as it says, adds"
    print(f"site {site} has the largest gradient: {change} {predicted:.3e} to its log; {measured:.3e} if done")
    print(f"memory: {memory:.0f} MB above the start ({LIMIT} allowed), for {2 * size:.0f} MB of matrices and gradients")
    return Result(float(L), float(elasticities), memory, int(site), predicted, measured)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A gradient by blocks from disk to disk.")
    parser.add_argument("--sites", type=int, default=SITES, help="matrices of the stack")
    parser.add_argument("--block", type=int, default=BLOCK, help="matrices of a block")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        result = main(Path(temporary), arguments.sites, arguments.block)
    if result.memory > LIMIT:
        raise SystemExit(f"more than {LIMIT} MB")
