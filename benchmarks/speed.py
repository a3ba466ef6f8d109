"""Speed: arreig beside what users would call otherwise, and beside the limit, on the same threads and in the same run.

`python -m benchmarks.speed` prints the tables and saves the pictures. All is measured in a process that starts with the number of
threads fixed: BLAS's by its environment variables, torch's by its own setting, XLA's by the cores that the process may use, and
with them all the others'. Times of one thread are processor time. Sides take turns, of several threads each on idle cores; times
are medians, and ratios medians of those within a turn.

BLAS chooses its kernels by the processor unless OPENBLAS_CORETYPE does; the table says which it has.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

# order: matrices in a batch, so that a batch takes a tenth of a second, and a side about one in all its turns. One from 256 on:
# torch 2.13 cannot solve batches of such matrices with two threads (its LAPACK reports wrong arguments).
BATCHES = {2: 20000, 3: 20000, 4: 10000, 8: 4000, 16: 1000, 32: 200, 64: 40, 128: 8, 256: 1, 512: 1, 1024: 1}
DTYPES = ("float64", "complex128", "float32", "complex64")
OPERATIONS = ("forward", "vjp", "both")
PEERS = {"arreig_torch": "torch", "arreig_jax": "jax"}  # what an adapter stands in for
TURNS = 5
SECONDS = 10.0  # of one case, after which it gets no further turn
NORMAL = 0.2  # part of the matrices that is not orthogonal
MANY = 2**16  # numbers in a batch of which the memory is measured
SETTLED = 0.12  # seconds after which no thread of the side before keeps a core busy, as those of OpenBLAS do for a tenth of one
WARM = 256  # largest order of which every side has a turn that does not count; above, only those that compile


class Case(NamedTuple):
    """Seconds of one batch: of each side forward and vjp, one of each a turn."""

    n: int
    batch: int
    dtype: str
    seconds: dict[str, list[tuple[float, float]]]
    memory: float  # peak of arreig's vjp beyond its inputs, in numbers n^2 of the dtype of A, for each matrix
    difference: float  # largest between the sides' gradients, relative to them

    def times(self, side: str, operation: str) -> list[float]:
        """Of every turn; none where the side has no such operation."""
        turns = self.seconds[side]
        if operation != "forward" and side == "numpy":
            return []
        return [{"forward": f, "vjp": b, "both": f + b}[operation] for f, b in turns]

    def share(self) -> float:
        """Part of the forward's time that arreig's vjp takes."""
        return median(b / f for f, b in self.seconds["arreig"])

    def ratio(self, slow: str, fast: str, operation: str) -> float:
        """How many times longer a side takes than another, turn by turn."""
        pairs = zip(self.times(slow, operation), self.times(fast, operation), strict=True)
        return median(x / y for x, y in pairs)


def random(n: int, batch: int, dtype: str) -> Any:
    """Orthogonal or unitary matrices, plus normal entries: eigenvalues in a ring, apart enough for single precision."""
    rng = np.random.default_rng(n)
    G, H = rng.standard_normal((2, batch, n, n))
    if dtype.startswith("complex"):
        G, H = ((X + 1j * rng.standard_normal(X.shape)) / 2**0.5 for X in (G, H))
    A: Any = np.linalg.qr(G)[0] + NORMAL * H / n**0.5
    return A.astype(dtype)


def clock() -> Callable[[], float]:
    """Seconds: of one thread those that it computes, whatever else the machine does; of several those that pass."""
    return process_time if os.environ.get("OPENBLAS_NUM_THREADS") == "1" else perf_counter


def measure(n: int, batch: int, dtype: str, turns: int) -> Case:
    """Of all sides, which take turns."""
    from benchmarks.sides import SIDES, cotangents

    now = clock()
    A = random(n, batch, dtype)
    r = np.random.default_rng(1).standard_normal((n, 1)).astype(A.real.dtype)
    sides = {name: make() for name, make in SIDES.items()}
    taken = {name: (side.take(A), side.take(r)) for name, side in sides.items()}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    gradients: dict[str, Any] = {}

    def turn(name: str) -> tuple[float, float]:
        side, (X, weights) = sides[name], taken[name]
        if now is perf_counter:
            sleep(SETTLED)
        start = now()
        state = side.forward(X)
        forward = now() - start
        if side.vjp is None:
            return forward, 0.0
        g = cotangents(*side.pair(state), weights, side.conjugate)
        start = now()
        gA = side.vjp(state, *g)
        backward = now() - start
        if side.exact and name not in gradients:
            gA = np.asarray(gA)
            gradients[name] = gA.conj() if side.conjugate else gA
        return forward, backward

    for name in sides:
        if n <= WARM or name.endswith("jax"):
            turn(name)
    start, names = now(), list(sides)
    for i in range(turns):
        if i > 1 and now() - start > SECONDS:
            break
        for name in names[i % len(names) :] + names[: i % len(names)]:
            seconds[name].append(turn(name))
    return Case(n, batch, dtype, seconds, memory(min(n, WARM), dtype), difference(gradients))


def difference(gradients: dict[str, Any]) -> float:
    """The largest of any gradient from arreig's, of the median matrix: some are ill conditioned."""
    own = gradients["arreig"]
    size = np.linalg.norm(own, axis=(-2, -1))
    return max(float(np.median(np.linalg.norm(g - own, axis=(-2, -1)) / size)) for g in gradients.values())


def memory(n: int, dtype: str) -> float:
    """Peak of the vjp beyond A, w, V and the cotangents, of a batch large enough that Python's own objects do not count."""
    import tracemalloc

    import arreig
    from benchmarks.sides import cotangents

    A = random(n, batch := max(1, MANY // n**2), dtype)
    res = arreig.eig(A)
    gw, gV = cotangents(res.eigenvalues, res.eigenvectors, np.ones((n, 1), A.real.dtype))
    tracemalloc.start()
    res.vjp(gV, gw)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak / (batch * n * n * A.itemsize))


def interleaved(calls: dict[str, Any], turns: int, repeat: int = 20) -> dict[str, list[float]]:
    """Seconds of each call, of as many turns, each the mean of some in a row."""
    now = clock()
    out: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(turns):
        for name, call in calls.items():
            start = now()
            for _ in range(repeat):
                call()
            out[name].append((now() - start) / repeat)
    return out


def single(turns: int) -> list[str]:
    """What one small matrix costs, and what refinement does where it is wanted."""
    import arreig
    from benchmarks.matrices import grcar
    from benchmarks.sides import SIDES, cotangents

    def gradient(name: str, A: Any) -> Any:
        side = SIDES[name]()
        X, r = side.take(A), side.take(np.arange(1.0, len(A) + 1)[:, None])

        def call() -> Any:
            state = side.forward(X)
            return side.vjp(state, *cotangents(*side.pair(state), r, side.conjugate))  # type: ignore[misc]

        return call

    A = random(3, 1, "float64")[0]
    small = interleaved({"arreig": lambda: arreig.eig(A), "numpy": lambda: np.linalg.eig(A)}, turns * 5)
    both = interleaved({name: gradient(name, A) for name in ("arreig", "arreig_torch", "torch")}, turns * 5)
    G = grcar(60)
    gV = arreig.eig(G).eigenvectors * np.arange(1.0, 61)[:, None]
    plain, refined = (lambda refine=refine: arreig.eig(G, refine=refine).vjp(gV) for refine in (False, "auto"))
    cost = interleaved({"plain": plain, "refined": refined}, turns, 2)

    def line(what: str, times: dict[str, list[float]], first: str, second: str) -> str:
        ratio = median(x / y for x, y in zip(times[first], times[second], strict=True))
        x, y = (median(times[name]) * 1e6 for name in (first, second))
        return f"{what}: {first} {x:.0f} us, {second} {y:.0f} us, ratio {ratio:.2f}"

    return [
        line("eig of one 3 x 3 matrix", small, "arreig", "numpy"),
        line("eig and gradient of one 3 x 3 matrix", both, "arreig_torch", "torch"),
        line("eig and gradient of one 3 x 3 matrix", both, "arreig", "torch"),
        line("eig and gradient of Grcar's matrix, n = 60, which asks for refinement", cost, "refined", "plain"),
    ]


def import_time(turns: int) -> str:
    """What `import arreig` adds to NumPy's and SciPy's own import, each in a process of its own."""
    own: list[float] = []
    theirs: list[float] = []
    for _ in range(turns):
        for out, what in ((own, "arreig"), (theirs, "numpy, scipy.linalg")):
            code = f"from time import process_time as t; s = t(); import {what}; print(t() - s)"
            run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            out.append(float(run.stdout))
    added = median(x - y for x, y in zip(own, theirs, strict=True))
    return (
        f"import arreig: {median(own):.2f} s; NumPy and scipy.linalg alone: {median(theirs):.2f} s; added {added:.2f} s"
    )


def machine(threads: int) -> str:
    """What the numbers depend on."""
    import torch
    from threadpoolctl import threadpool_info

    kernels = sorted({x["architecture"] for x in threadpool_info() if x["internal_api"] == "openblas"})
    names = ("arreig", "numpy", "scipy", "torch", "jax", "autograd")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    plural, kind = "s" * (threads > 1), "processor" if clock() is process_time else "elapsed"
    return (
        f"{threads} thread{plural}, {kind} time: {cores} of {os.cpu_count()} cores open to the process; "
        f"OPENBLAS_NUM_THREADS = {os.environ.get('OPENBLAS_NUM_THREADS')}, its kernels {' and '.join(kernels) or 'none'}, "
        f"torch {torch.get_num_threads()}; "
        f"Python {platform.python_version()}, {libraries}"
    )


def child(threads: int, turns: int, sizes: list[int], dtypes: list[str], shrink: int) -> None:
    """Measure, a line of JSON each."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import torch

    import arreig

    torch.set_num_threads(threads)
    warnings.simplefilter("ignore", arreig.GaugeTieWarning)
    print(json.dumps(machine(threads)), flush=True)
    for dtype in dtypes:
        for n in sizes:
            print(json.dumps(measure(n, max(1, BATCHES[n] // shrink), dtype, turns)), flush=True)
    print(json.dumps([*single(turns), import_time(turns)]), flush=True)


def run(
    threads: int, turns: int, sizes: list[int], dtypes: list[str], shrink: int
) -> tuple[str, list[Case], list[str]]:
    """The machine, the cases, and the notes, measured in a process whose libraries find their threads fixed."""
    variables = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(threads))
    command = [sys.executable, "-m", "benchmarks.speed", "--child", json.dumps([threads, turns, sizes, dtypes, shrink])]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    head, *cases, notes = map(json.loads, out.stdout.splitlines())
    return head, [Case(*case) for case in cases], notes


def tables(cases: list[Case], markdown: bool) -> list[str | Table]:
    """One a dtype and operation: milliseconds of a batch, and ratios."""
    out: list[str | Table] = []
    for dtype in dict.fromkeys(case.dtype for case in cases):
        for operation in OPERATIONS:
            rows = [case for case in cases if case.dtype == dtype]
            sides = [name for name in rows[0].seconds if rows[0].times(name, operation)]
            ratios = [(peer, own) for own, peer in PEERS.items()]
            ratios += [(name, "arreig") for name in ("torch", "jax", "autograd", "numpy") if name in sides]
            ratios.append(("arreig", "limit"))
            between = " / " if markdown else " /\n"
            heads = ["n", "batch", *(name.replace("_", " ") for name in sides)]
            heads += [f"{x}{between}{y}".replace("_", " ") for x, y in ratios]
            heads += [f"arreig's{between}forward"] * (operation == "vjp")
            title = f"{operation}, {dtype}: milliseconds of a batch, and ratios"
            body = [
                [
                    str(case.n),
                    f"{case.batch:,}",
                    *(f"{1e3 * median(case.times(name, operation)):.3g}" for name in sides),
                    *(f"{case.ratio(x, y, operation):.2f}" for x, y in ratios),
                    *[f"{case.share():.2f}"] * (operation == "vjp"),
                ]
                for case in rows
            ]
            if markdown:
                lines = [heads, ["---:"] * len(heads), *body]
                out.append("\n".join([title, "", *(f"| {' | '.join(line)} |" for line in lines), ""]))
                continue
            table = Table(title=title, box=box.SIMPLE_HEAD)
            for heading in heads:
                table.add_column(heading, justify="right")
            for line in body:
                table.add_row(*line)
            out.append(table)
    return out


def draw(path: Path, cases: list[Case], head: str) -> None:
    """Time of one matrix over n, in units of the limit: real above, complex below."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullLocator

    dtypes = list(dict.fromkeys(case.dtype for case in cases))
    figure, grid = plt.subplots(
        len(dtypes), 3, figsize=(13, 4 * len(dtypes)), layout="constrained", squeeze=False, sharex=True
    )
    for line, dtype in zip(grid, dtypes, strict=True):
        rows = [case for case in cases if case.dtype == dtype]
        for axes, operation in zip(line, OPERATIONS, strict=True):
            for name in rows[0].seconds:
                if name != "limit" and rows[0].times(name, operation):
                    own = name.startswith("arreig")
                    style = {"marker": "o" if own else "s", "linestyle": "-" if own else "--", "label": name}
                    axes.loglog([c.n for c in rows], [c.ratio(name, "limit", operation) for c in rows], **style)
            axes.axhline(1, color="grey", linestyle=":")
            axes.set(title=f"{operation}, {dtype}", ylabel="time / limit")
            axes.set_xticks([c.n for c in rows], [str(c.n) for c in rows])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("order n of the matrices")
    entries = grid[0][0].get_legend_handles_labels()  # with NumPy, which has no vjp
    figure.legend(*entries, loc="outside lower center", ncols=len(entries[0]))  # where it covers no line
    figure.suptitle(head.split(";")[0])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(output: Path | None, markdown: bool, threads: int, quick: bool, largest: int) -> None:
    """Print the tables and save the pictures, one a precision."""
    sizes = [n for n in ((2, 3, 8, 32, 128) if quick else BATCHES) if n <= largest]
    head, cases, notes = run(
        threads, 3 if quick else TURNS, sizes, list(DTYPES[:2] if quick else DTYPES), 10 if quick else 1
    )
    console = Console()
    console.width = max(console.width, 180)
    for table in tables(cases, markdown):
        console.print(table, markup=False, soft_wrap=markdown)
    worst = max(cases, key=lambda case: case.memory)
    notes = [
        head,
        *notes,
        f"peak memory of arreig's vjp beyond its inputs: at most {worst.memory:.1f} n^2 numbers of A's dtype a matrix, at n = "
        f"{min(worst.n, WARM)}, {worst.dtype}",
        "largest median difference of the sides' gradients: "
        + ", ".join(
            f"{max(c.difference for c in cases if c.dtype == d):.0e} ({d})"
            for d in dict.fromkeys(c.dtype for c in cases)
        ),
    ]
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)
    if output is not None:
        for precision, names in (("", DTYPES[:2]), ("_single", DTYPES[2:])):
            if shown := [case for case in cases if case.dtype in names]:
                draw(output.with_stem(output.stem + precision), shown, head)
        console.print(f"pictures: {output}, one a precision")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Speed of eigendecompositions and their gradients.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".png"), help="file of the picture")
    parser.add_argument("--markdown", action="store_true", help="tables to paste")
    parser.add_argument("--threads", type=int, default=1, help="threads of every side")
    parser.add_argument("--quick", action="store_true", help="a few sizes, double precision, small batches")
    parser.add_argument("--largest", type=int, default=1024, help="largest order of a matrix")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
    else:
        main(arguments.output, arguments.markdown, arguments.threads, arguments.quick, arguments.largest)
