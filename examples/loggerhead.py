"""Loggerhead sea turtles: what would hold a declining population, found by descent through an eigenvector.

A stage-structured population steps from one year to the next by n(t+1) = A n(t). In the long run it grows by the dominant
eigenvalue of A a year, the right eigenvector is its stage distribution, and the left one says what an animal of each stage
is worth for the future (its reproductive value). This script decomposes the published matrix; differentiates its growth
rate and a share of its distribution, beside finite differences; looks for the smallest change of annual survival with which
the population neither grows nor shrinks, and 1 % of it are subadults and 0.3 % breeders; and draws what it found.

Matrix and published results: Crouse, Crowder and Caswell, "A stage-based population model for loggerhead sea turtles and
implications for conservation", Ecology 68 (1987) 1412-1423.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import arreig

Floats = NDArray[np.float64]

LIFE_TABLE = [  # stage, eggs a year, survive and stay, survive and move on; published share in % and reproductive value
    ("eggs, hatchlings", 0, 0, 0.6747, 20.65, 1.00),
    ("small juveniles", 0, 0.7370, 0.0486, 66.975, 1.40),
    ("large juveniles", 0, 0.6610, 0.0147, 11.46, 6.00),
    ("subadults", 0, 0.6907, 0.0518, 0.66, 115.845),
    ("novice breeders", 127, 0, 0.8091, 0.04, 568.78),
    ("1st-yr remigrants", 4, 0, 0.8091, 0.03, 507.373),
    ("mature breeders", 80, 0.8089, 0, 0.18, 587.669),
]
STAGES = [row[0] for row in LIFE_TABLE]
EGGS, STAY, MOVE, PUBLISHED_SHARE, PUBLISHED_VALUE = np.array([row[1:] for row in LIFE_TABLE], dtype=np.float64).T
PUBLISHED_GROWTH = 0.945

# Annual survival s, which the design changes, and the share g of the survivors that moves on, which it does not. (In the
# paper g follows from survival and the years that a stage lasts, and rises with survival; here it is held for brevity, so
# the design shows the method and is no advice on turtles.)
SURVIVAL = STAY + MOVE
G = MOVE / SURVIVAL

# The eigenvector itself is to be the stage distribution: its components sum to 1. A gauge holds for all eigenvectors,
# so none may sum to 0; here the sums of the unit vectors exceed 0.14.
GAUGE = arreig.Functional(np.ones(7))

# Conditions on the distribution n are conditions on CLASSES n: subadults, and breeders of all three kinds. The younger stages
# share the rest: growth and all seven shares together would fix all seven survivals, and leave nothing to choose.
CLASSES = np.array([[0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1.0]])
TARGET = np.array([0.010, 0.003])
ROWS, ROW_NAMES = np.vstack([np.eye(7)[:3], CLASSES]), [*STAGES[:4], "breeders"]


class Design(NamedTuple):
    """The survival found, what it leads to, and a row (cost, violation) for every step."""

    survival: Floats
    growth: float
    distribution: Floats
    cost: float
    violation: float
    history: Floats


def projection_matrix(s: Floats) -> Floats:
    """A for annual survival s: of the survivors the share g moves on, the others stay."""
    A = np.diag(s * (1 - G)) + np.diag((s * G)[:-1], -1)
    A[0] += EGGS
    return A


def dominant(A: Floats) -> tuple[arreig.EigResult, float, Floats]:
    """The decomposition, and its first pair, real by Perron and Frobenius: growth rate and stage distribution."""
    res = arreig.eig(A, gauge=GAUGE, sort="abs")
    w, V = res
    return res, float(w[0].real), V[:, 0].real


def table(title: str, *headings: str) -> Table:
    """An empty table, the first column for names, the others for numbers."""
    result = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for k, heading in enumerate(headings):
        result.add_column(heading, justify="right" if k else "left", no_wrap=True)
    return result


def analyse(console: Console, A: Floats) -> None:
    """Growth rate, stage distribution and reproductive values beside the published ones."""
    w, V, W = arreig.eig(A, gauge=GAUGE, sort="abs", left=True)
    growth, n, value = w[0].real, V[:, 0].real, W[:, 0].real / W[0, 0].real
    t = table("Published matrix", "stage", "share %", "publ.", "diff.", "repr. value", "publ.", "diff.")
    rows = zip(STAGES, 100 * n, PUBLISHED_SHARE, value, PUBLISHED_VALUE, strict=True)
    for k, (name, a, b, c, d) in enumerate(rows, 1):
        t.add_row(f"{k} {name}", f"{a:.4f}", f"{b:g}", f"{a - b:+.4f}", f"{c:.4f}", f"{d:g}", f"{c - d:+.4f}")
    console.print(t)
    gap = np.abs(w[:, None] - w + np.diag(np.full(7, np.inf))).min()
    console.print(f"growth rate {growth:.6f} a year, published {PUBLISHED_GROWTH}")
    console.print(f"moduli of the eigenvalues {np.round(np.abs(w), 3)},\nsmallest distance of two of them {gap:.3f}\n")


def check_sensitivities(console: Console, A: Floats) -> float:
    """Derivatives to the entries of A by vjp and by central differences; returns the largest relative deviation."""
    res, *_ = dominant(A)
    gw, gV = np.zeros(7), np.zeros((7, 7))
    gw[0] = 1  # L = w_0, the growth rate
    gV[1, 0] = 1  # L = V_10, the share of stage 2, small juveniles
    gradients = res.vjp(gw=gw), res.vjp(gV)
    entries = np.argwhere(A)
    exact = np.array([[gA[i, j] for gA in gradients] for i, j in entries])
    numeric = np.empty_like(exact)
    for row, (i, j) in zip(numeric, entries, strict=True):
        h = np.zeros_like(A)
        h[i, j] = 1e-5 * A[i, j]
        (_, wp, vp), (_, wm, vm) = dominant(A + h), dominant(A - h)
        row[:] = np.array([wp - wm, vp[1] - vm[1]]) / (2 * h[i, j])

    title = "Derivatives to the entries a of A, by vjp and finite differences (FD)"
    t = table(title, "entry", "a", "d growth/da", "FD", "d share of 2/da", "FD")
    for (i, j), (a, b), (c, d) in zip(entries, exact, numeric, strict=True):
        t.add_row(f"{j + 1} → {i + 1}", f"{A[i, j]:g}", f"{a:.8f}", f"{c:.8f}", f"{b:+.8f}", f"{d:+.8f}")
    console.print(t)
    deviation = float((np.abs(exact - numeric).max(0) / np.abs(exact).max(0)).max())
    console.print(f"largest deviation, relative to the largest derivative: {deviation:.1e}\n")
    return deviation


def design(console: Console, steps: int) -> Design:
    """Survival that meets the conditions with the smallest change of x = logit(s).

    The cost |x - x0|^2 counts factors of the odds s/(1 - s), for which 0.800 to 0.810 is about as far as 0.980 to 0.981,
    and 0 < s < 1 needs no condition. The conditions are c = (log growth of a decade, log(share/target)) = 0, logarithms
    because the shares are small. Gradient descent with momentum goes down the augmented Lagrangian
    L = |x - x0|^2 + y.c + rho/2 |c|^2, and y <- y + rho c every 25 steps.
    """
    rate, momentum, rho, decade = 0.005, 0.9, 20.0, 10
    x0 = np.log(SURVIVAL / (1 - SURVIVAL))
    x, u, y = x0.copy(), np.zeros(7), np.zeros(3)
    gw, gV = np.zeros(7), np.zeros((7, 7))
    history = []
    columns = TextColumn("step {task.completed}"), BarColumn(30), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=steps)
        for k in range(steps + 1):
            s = 1 / (1 + np.exp(-x))
            res, growth, n = dominant(projection_matrix(s))
            share = CLASSES @ n
            cost, violation = float(np.sum((x - x0) ** 2)), float(np.abs([growth - 1, *(share / TARGET - 1)]).max())
            history.append((cost, violation))
            progress.update(task, completed=k, description=f"cost {cost:.6f}, violation {violation:.1e}")
            if k == steps:
                break
            c = np.array([decade * np.log(growth), *np.log(share / TARGET)])
            if k and k % 25 == 0:
                y += rho * c
            # dL = p.dc + ..., p = y + rho c: to the cotangents of w_0 and V_0, and through the decomposition to A.
            p = y + rho * c
            gw[0] = p[0] * decade / growth
            gV[:, 0] = CLASSES.T @ (p[1:] / share)
            gA = res.vjp(gV, gw)
            # To s, by A_ii = s_i (1 - g_i) and A_i+1,i = s_i g_i, and to x by ds/dx = s (1 - s).
            gs = np.diag(gA) * (1 - G) + np.append(np.diag(gA, -1), 0) * G
            u = momentum * u - rate * (2 * (x - x0) + gs * s * (1 - s))
            x += u
    return Design(s, growth, n, cost, violation, np.array(history))


def report(console: Console, before: Floats, result: Design) -> None:
    """The design as tables; `before` is the stage distribution of the published matrix."""
    t = table("Annual survival", "stage", "published", "design", "change", "factor of the odds")
    for name, a, b in zip(STAGES, SURVIVAL, result.survival, strict=True):
        t.add_row(name, f"{a:.4f}", f"{b:.4f}", f"{b - a:+.4f}", f"{b / (1 - b) * (1 - a) / a:.4f}")
    console.print(t)
    t = table("Stable distribution, %", "class", "published", "target", "design")
    targets = ["free"] * 3 + [f"{100 * share:.4f}" for share in TARGET]
    for name, a, target, b in zip(ROW_NAMES, ROWS @ before, targets, ROWS @ result.distribution, strict=True):
        t.add_row(name, f"{100 * a:.4f}", target, f"{100 * b:.4f}")
    console.print(t)
    console.print(f"growth rate {result.growth:.9f} a year, target 1; cost {result.cost:.6f}")
    console.print(f"largest violation of a condition, relative: {result.violation:.1e}\n")


def draw(output: Path, before: Floats, result: Design, paths: list[Floats]) -> None:
    """Distributions, survival, the projected populations `paths` and convergence."""
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # without pyplot: a file is all it makes (Agg), whatever the user's backend

    old, new = "#D55E00", "#0072B2"  # of Okabe and Ito's colours, which colour-blind people tell apart

    def changes(ax: Axes, names: list[str], a: Floats, b: Floats, digits: int) -> None:
        ax.hlines(range(len(a)), a, b, color="0.6", linewidth=3, zorder=2)
        for x, colour, label in ((a, old, "published matrix"), (b, new, "design")):
            ax.scatter(x, range(len(a)), s=80, color=colour, edgecolor="white", label=label, zorder=3)
        for i, (p, q) in enumerate(zip(a, b, strict=True)):
            ax.text(1.03, i, f"{p:.{digits}f} → {q:.{digits}f}", transform=ax.get_yaxis_transform(), va="center")
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)

    with rc_context({"font.size": 12, "axes.titlelocation": "left", "axes.axisbelow": True}):
        fig = Figure(figsize=(13.5, 9))
        (ax_n, ax_s), (ax_t, ax_c) = fig.subplots(2, 2)
        fig.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15)
        changes(ax_n, ROW_NAMES, 100 * ROWS @ before, 100 * ROWS @ result.distribution, 2)
        ax_n.scatter(100 * TARGET, [3, 4], s=260, marker="D", facecolor="none", edgecolor="black", label="target")
        ax_n.set(xscale="log", xlabel="share of the population (%)", title="Stable stage distribution")
        ax_n.set_xticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
        ax_n.legend(loc="lower right", labelspacing=0.8, framealpha=1, edgecolor="white")
        changes(ax_s, STAGES, SURVIVAL, result.survival, 3)
        ax_s.set(xlabel="annual survival (probability)", title="The smallest change of survival that leads there")
        for path, colour in zip(paths, (old, new), strict=True):
            for count, dash, who in ((path.sum(1), "-", "all stages"), (path[:, 4:].sum(1), "--", "breeders")):
                ax_t.plot(count, dash, color=colour, linewidth=2.5)
                ax_t.text(51, count[-1], f"{who}:\n{count[-1]:,.0f}", color=colour, va="center")
        ax_t.set(yscale="log", xlabel="time (years)", ylabel="number of turtles", title="500,000 turtles projected")
        ax_t.set_xlim(0, 50)
        ax_c.semilogy(result.history[:, 1], color=new, linewidth=1.5)
        ax_c.set(xlabel="gradient step", ylabel="largest relative violation", title="Conditions met in the descent")
        for ax in fig.axes:
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
        output.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(output, dpi=120)


def main(output: Path | None = None, steps: int = 800) -> Design:
    """Print all results and, if `output` is given, save the picture there."""
    console = Console()
    A = projection_matrix(SURVIVAL)
    analyse(console, A)
    check_sensitivities(console, A)
    result = design(console, steps)
    before = dominant(A)[2]
    report(console, before, result)

    # n(t) -> V_0 w_0^t (W_0^H n(0)), and V_0 sums to 1: the left eigenvector foretells the total.
    B, start = projection_matrix(result.survival), 500_000 * before
    paths = [np.array([np.linalg.matrix_power(M, t) @ start for t in range(51)]) for M in (A, B)]
    now, then = (path[-1].sum() for path in paths)
    total = arreig.eig(B, gauge=GAUGE, sort="abs", left=True).left_eigenvectors[:, 0].real @ start
    console.print(f"500,000 turtles, after 50 years: published matrix {now:,.0f}, design {then:,.0f};")
    console.print(f"by the design's left eigenvector, in the long run: {total:,.0f} * {result.growth:.6f}^years")
    if output is not None:
        draw(output, before, result, paths)
        console.print(f"picture: {output}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Design of a loggerhead population that neither grows nor shrinks.")
    parser.add_argument("--output", type=Path, default=Path("output/loggerhead.png"), help="file of the picture")
    parser.add_argument("--steps", type=int, default=800, help="gradient steps of the design")
    arguments = parser.parse_args()
    main(arguments.output, arguments.steps)
