"""Many small matrices on dask: throughput of values, vectors and gradient beside that of two plain processes.

`python -m benchmarks.batches` prints the table: 10^6 matrices of orders 3 to 16, as many of each, through `arreig_dask.eig`, a
loss on values and vectors, and its gradient, on a LocalCluster of two processes; and the same calls of arreig on the same blocks
in a `ProcessPoolExecutor` of two. One BLAS thread each. Blocks are made where they are used, from a seed, and what comes back is
the loss and the size of the gradient: nothing large is sent. The two sides take turns, a part of the blocks each.

Peak memory is the operating system's (maximum resident set) of the larger of dask's workers, less what it had before; beside it
what the matrices and their gradients would take.
"""

import argparse
import os
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import perf_counter
from typing import Any, NamedTuple

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when NumPy is imported, here and in the processes that this one starts

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from rich.console import Console
from rich.table import Table

import arreig
import arreig_dask

ORDERS = (3, 4, 6, 8, 12, 16)
COUNT = 1_000_000
BYTES = 1_000_000  # of a block: large enough for the scheduler, which takes about a millisecond a task
PARTS = 4


class Cost(NamedTuple):
    """Of one order."""

    n: int
    number: int
    plain: float  # seconds
    dask: float
    peak: float  # MB
    data: float


def matrices(block: int, n: int, size: int) -> Any:
    """A block of the stack."""
    return np.random.default_rng((n, block)).standard_normal((size, n, n))


def weights(n: int) -> Any:
    """Of the loss sum(weights |V|^2) + sum |w|^2."""
    return np.arange(1.0, n * n + 1).reshape(n, n)


def plain(block: int, n: int, size: int) -> tuple[float, float]:
    """Loss, and squared norm of its gradient, of one block."""
    w, V = res = arreig.eig(matrices(block, n, size))
    loss = (weights(n) * abs(V) ** 2).sum() + (abs(w) ** 2).sum()
    gA = res.vjp(2 * weights(n) * V, 2 * w)
    return float(loss), float((gA**2).sum())


def lazy(blocks: range, n: int, size: int) -> tuple[Any, Any]:
    """The same of a dask array of blocks."""

    def made(block_id: tuple[int, ...]) -> Any:
        return matrices(blocks[block_id[0]], n, size)

    A = da.map_blocks(made, chunks=((size,) * len(blocks), (n,), (n,)), dtype=float, meta=np.empty((0, n, n)))
    w, V = res = arreig_dask.eig(A)
    loss = (weights(n) * abs(V) ** 2).sum() + (abs(w) ** 2).sum()
    return loss, (res.vjp(2 * weights(n) * V, 2 * w) ** 2).sum()


def peak() -> float:
    """Largest resident set so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def cost(n: int, count: int) -> Cost:
    """Of both sides, in processes of their own."""
    rounds = 2 * PARTS  # every process has as many blocks of a part as the other
    number = rounds * max(1, round(count * 8 * n * n / BYTES / rounds))
    size = max(1, count // number)
    parts = [range(number * k // PARTS, number * (k + 1) // PARTS) for k in range(PARTS)]
    local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
    seconds = {"plain": 0.0, "dask": 0.0}
    with (
        ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool,
        LocalCluster(n_workers=2, threads_per_worker=1, **local) as cluster,
        Client(cluster) as client,
    ):

        def on_pool(blocks: range) -> Any:
            return np.sum(list(pool.map(plain, blocks, [n] * len(blocks), [size] * len(blocks))), axis=0)

        def on_cluster(blocks: range) -> Any:
            return np.array(client.gather(client.compute(list(lazy(blocks, n, size)))))

        list(pool.map(plain, range(2), [n] * 2, [1] * 2))  # imports
        dask.compute(*lazy(range(2), n, 1))
        before = client.run(peak)
        for k, blocks in enumerate(parts):
            turns = {"plain": on_pool, "dask": on_cluster}
            results = {}
            for name in sorted(turns, reverse=k % 2 == 0):
                start = perf_counter()
                results[name] = turns[name](blocks)
                seconds[name] += perf_counter() - start
            np.testing.assert_allclose(results["dask"], results["plain"], rtol=1e-9)
        memory = max(after - before[worker] for worker, after in client.run(peak).items())
    done = number * size
    return Cost(n, done, seconds["plain"], seconds["dask"], memory, 2 * done * n * n * 8 / 1e6)


def rows(costs: list[Cost]) -> list[list[str]]:
    """Of the table, the last for all together."""
    first, second = sum(c.plain for c in costs), sum(c.dask for c in costs)
    peaks, data = max(c.peak for c in costs), sum(c.data for c in costs)
    total = Cost(0, sum(c.number for c in costs), first, second, peaks, data)
    return [
        [
            str(c.n or "all"),
            f"{c.number:,}",
            f"{c.plain:.3g} s",
            f"{c.dask:.3g} s",
            f"{c.plain / c.dask:.2f}",
            f"{c.peak:.0f} MB",
            f"{c.data:.0f} MB",
        ]
        for c in (*costs, total)
    ]


def main(count: int, markdown: bool) -> list[Cost]:
    """Print the table."""
    console = Console()
    console.width = max(console.width, 110)
    costs = [cost(n, count // len(ORDERS)) for n in ORDERS]
    heads = ["n", "matrices", "two processes", "dask", "throughput, relative", "peak of a worker", "A and gA"]
    if markdown:
        console.print("\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *rows(costs))))
    else:
        table = Table(*heads, title="Values, vectors and gradient of many small matrices")
        for row in rows(costs):
            table.add_row(*row)
        console.print(table)
    return costs


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Throughput of many small matrices on dask, beside plain processes.")
    parser.add_argument("--count", type=int, default=COUNT, help="of all matrices; a few thousand show only overhead")
    parser.add_argument("--markdown", action="store_true", help="a table to paste")
    arguments = parser.parse_args()
    main(arguments.count, arguments.markdown)
