"""A few eigenpairs of large sparse matrices and their gradients: time, memory, and how they grow.

`python -m benchmarks.sparse` prints the tables and saves the picture. Every size is measured in processes of its own, one BLAS
thread each: peak memory is the operating system's (maximum resident set), less what the process had before the forward.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse
from rich.console import Console
from rich.table import Table
from scipy.sparse.linalg import norm

import arreig
from arreig._backends.pencil import sparse_factor

GRIDS = (32, 56, 100, 178, 316, 562, 1000)
K = 6
LIMIT = 250_000  # of the order of the matrix, beyond which one run is enough


class Cost(NamedTuple):
    """Seconds and megabytes at one size."""

    n: int
    nnz: int
    factorisation: float
    forward: float
    vjp: float
    ratio: float
    memory_forward: float
    memory: float
    residual: float


def convection_diffusion(m: int, rows: int | None = None) -> Any:
    """-Laplacian + (20, 10) . gradient on the unit square, central differences on a grid of m x rows points."""

    def one(points: int, speed: float) -> Any:
        h = 1 / (points + 1)
        stencil = [-1 / h**2 - speed / (2 * h), 2 / h**2, -1 / h**2 + speed / (2 * h)]
        return sparse.diags_array(stencil, offsets=[-1, 0, 1], shape=(points, points))

    rows = rows or m
    both = sparse.kron(one(m, 20.0), sparse.eye_array(rows)) + sparse.kron(sparse.eye_array(m), one(rows, 10.0))
    return sparse.csc_array(both)


def peak() -> float:
    """Largest resident set so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def child(m: int, gradient: bool) -> dict[str, Any]:
    """One process: times over repetitions, and the peak of the memory."""
    A = convection_diffusion(m)
    rng = np.random.default_rng(0)
    gV, gw = rng.standard_normal((A.shape[0], K)), rng.standard_normal(K)
    before, times = peak(), []
    for _ in range(1 if A.shape[0] > LIMIT else 3):
        start = perf_counter()
        res = arreig.eigs(A, K, sigma=0.0)
        forward, start = perf_counter() - start, perf_counter()
        if gradient:
            Y, V = res.vjp(gV, gw, factors=True)
        times.append((forward, perf_counter() - start))
        if not gradient or len(times) == 1:
            memory = peak() - before
    out: dict[str, Any] = {"n": A.shape[0], "nnz": A.nnz, "times": times, "memory": memory}
    if gradient:
        start = perf_counter()
        sparse_factor(A.copy())
        out |= {"factorisation": perf_counter() - start, "residual": worst_residual(A, res, gV, Y, V)}
    return out


def worst_residual(A: Any, res: Any, gV: Any, Y: Any, V: Any) -> float:
    """Largest |(A^T - w) y + gh| / (|A| |y| + |gh|) of the columns, which are in the order of their solution; all w are real."""
    w, X = res.eigenvalues.real, res.eigenvectors.real
    gh = gV - X * np.sum(X * gV, axis=0)
    order = [int(np.argmax(abs(X.T @ v))) for v in V.T]
    R = A.T @ Y - Y * w[order] + gh[:, order]
    size = norm(A, 1) * np.linalg.norm(Y, axis=0) + np.linalg.norm(gh[:, order], axis=0)
    return float(np.max(np.linalg.norm(R, axis=0) / size))


def cost(m: int) -> Cost:
    """Of both processes: the forward alone, for its memory, and with the gradient."""

    def run(gradient: bool) -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.sparse", "--child", str(m), *(["--gradient"] if gradient else [])]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(out.stdout.splitlines()[-1])  # type: ignore[no-any-return]

    alone, both = run(False), run(True)
    forward, vjp = (median(t[i] for t in both["times"]) for i in (0, 1))
    ratio = median(t[1] / t[0] for t in both["times"])
    memories = alone["memory"], both["memory"]
    return Cost(both["n"], both["nnz"], both["factorisation"], forward, vjp, ratio, *memories, both["residual"])


def growth(costs: list[Cost], name: str) -> float:
    """Exponent of a power law through the three largest sizes."""
    x, y = (np.log([getattr(c, key) for c in costs[-3:]]) for key in ("n", name))
    return float(np.polyfit(x, y, 1)[0])


def against_dense(repetitions: int = 2) -> tuple[list[float], list[float]]:
    """Seconds of forward and gradient for n = 2000, k = 4: ours, and torch's of the dense matrix."""
    import torch

    torch.set_num_threads(1)
    A = convection_diffusion(40, 50)
    n, k = A.shape[0], 4
    gV = np.random.default_rng(0).standard_normal((n, k))
    ours, theirs = [], []
    for _ in range(repetitions):
        start = perf_counter()
        res = arreig.eigs(A, k, sigma=0.0)
        g = res.vjp(gV * res.eigenvectors, np.ones(k))  # of a loss that depends on no phase: torch has no other
        ours.append(perf_counter() - start)
        X = torch.as_tensor(A.toarray(), dtype=torch.float64).requires_grad_()
        start = perf_counter()
        w, V = torch.linalg.eig(X)
        kept = torch.argsort(w.abs())[:k]
        loss = (torch.as_tensor(gV) * V[:, kept].abs() ** 2).sum() / 2 + w[kept].real.sum()
        loss.backward()
        theirs.append(perf_counter() - start)
        assert X.grad is not None
        expected = X.grad.numpy() * (A.toarray() != 0)
        assert np.linalg.norm(g.toarray() - expected) < 1e-6 * np.linalg.norm(expected)
    return ours, theirs


def draw(path: Path, costs: list[Cost]) -> None:
    """Time and memory over n, with the growth of a factorisation and n^2 beside them."""
    import matplotlib.pyplot as plt

    n = np.array([c.n for c in costs], dtype=float)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for name, label, marker in (
        ("factorisation", "one sparse factorisation", "s"),
        ("forward", f"forward, k = {K}", "o"),
        ("vjp", "gradient", "^"),
    ):
        left.loglog(n, [getattr(c, name) for c in costs], marker=marker, label=label)
    right.loglog(n, [c.memory_forward for c in costs], "o-", color="C1", label="forward")
    right.loglog(n, [c.memory for c in costs], "^-", color="C2", label="forward and gradient")
    for axes, start, unit in ((left, costs[0].vjp, "seconds"), (right, costs[0].memory, "MB above the start")):
        axes.loglog(n, start * (n / n[0]) ** 2, ":", color="grey", label=r"$n^2$")
        axes.set(xlabel="order n of the matrix", ylabel=unit)
        axes.set_ylim(top=30 * max(axes.lines[-2].get_ydata()))
        axes.grid(alpha=0.3)
        axes.legend(loc="upper left")
    figure.suptitle(
        "Convection and diffusion on a square grid: six eigenpairs nearest to 0, and the gradient of a loss on them"
    )
    figure.savefig(path, dpi=150)


def table(costs: list[Cost], markdown: bool) -> str | Table:
    """The costs as a table."""
    heads = ["n", "nonzeros", "factorisation", "forward", "gradient", "ratio"]
    heads += ["memory of forward", "with gradient", "ratio", "backward error"]
    rows = [
        [
            f"{c.n:,}",
            f"{c.nnz:,}",
            *(f"{x:.3g} s" for x in (c.factorisation, c.forward, c.vjp)),
            f"{c.ratio:.2f}",
            *(f"{x:.0f} MB" for x in (c.memory_forward, c.memory)),
            f"{c.memory / c.memory_forward:.2f}",
            f"{c.residual:.0e}",
        ]
        for c in costs
    ]
    if markdown:
        lines = [heads, ["---"] * len(heads), *rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    out = Table(*heads, title=f"Convection and diffusion, k = {K}, sigma = 0")
    for row in rows:
        out.add_row(*row)
    return out


def main(output: Path | None, markdown: bool, largest: int) -> None:
    """Print the tables and save the picture."""
    console = Console()
    console.width = max(console.width, 130)
    costs = [cost(m) for m in GRIDS if m * m <= largest]
    console.print(table(costs, markdown), markup=False)
    if len(costs) > 2:
        exponents = {
            name: growth(costs, name) for name in ("factorisation", "forward", "vjp", "memory_forward", "memory")
        }
        console.print("growth, as a power of n: " + ", ".join(f"{name} {x:.2f}" for name, x in exponents.items()))
    ours, theirs = against_dense()
    ratios = [y / x for x, y in zip(ours, theirs, strict=True)]
    console.print(
        f"n = 2000, k = 4, forward and gradient: arreig.eigs {median(ours):.3g} s, torch.linalg.eig of the dense matrix "
        f"{median(theirs):.3g} s, {median(ratios):.0f} times as much"
    )
    if output is not None:
        draw(output, costs)
        console.print(f"picture: {output}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Cost of the gradients of a few eigenpairs of sparse matrices.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".png"), help="file of the picture")
    parser.add_argument("--markdown", action="store_true", help="a table to paste")
    parser.add_argument("--largest", type=int, default=1_000_000, help="largest order of a matrix")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--gradient", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child, arguments.gradient)))
    else:
        main(arguments.output, arguments.markdown, arguments.largest)
