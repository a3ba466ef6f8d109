"""Gradients as two or three eigenvalues approach each other, and the picture of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import arreig
import arreig_torch
from arreig.testing import matrix_with_spectrum
from benchmarks.exact import Floats, smooth_gradient
from benchmarks.libraries import SMOOTH, Decompose, error, of_torch

GAPS = 10.0 ** -np.linspace(1, 15, 43)
SEEDS = 5
SPLIT, BROADEN, PLAIN = 'arreig, "split"', "arreig, Broaden(1e-12)", "torch"


@dataclass(frozen=True)
class Case:
    """Eigenvalues that meet as the gap goes to 0, and who takes the gradient."""

    title: str
    spectrum: Callable[[float], list[float]]
    methods: dict[str, Decompose]
    hermitian: bool = False


def _own(function: Callable[..., Any], degeneracy: Any) -> Decompose:
    return lambda A: function(A, gauge="phase-free", degeneracy=degeneracy)


def _methods(plain: Decompose, function: Callable[..., Any]) -> dict[str, Decompose]:
    return {PLAIN: plain, BROADEN: _own(function, arreig.Broaden(1e-12)), SPLIT: _own(function, "split")}


_GENERAL, _HERMITIAN = (
    _methods(torch.linalg.eig, arreig_torch.eig),
    _methods(torch.linalg.eigh, arreig_torch.eigh),
)
CASES = [
    Case("eig: 1, 1 + g, 2, 3, 4, 5", lambda g: [1, 1 + g, 2, 3, 4, 5], _GENERAL),
    Case("eig: 1, 1 + g, 1 + 2.3 g, 2, 3, 4", lambda g: [1, 1 + g, 1 + 2.3 * g, 2, 3, 4], _GENERAL),
    Case("eigh: 1, 1 + g, 2, 3, 4, 5", lambda g: [1, 1 + g, 2, 3, 4, 5], _HERMITIAN, hermitian=True),
]


def sweep(case: Case) -> dict[str, Floats]:
    """For each method the errors (gap, seed and loss); infinite where there is no finite gradient."""
    errors = {method: np.full((len(GAPS), SEEDS * len(SMOOTH)), np.inf) for method in case.methods}
    for seed in range(SEEDS):
        C = np.random.default_rng(100 + seed).standard_normal((6, 6))
        for i, gap in enumerate(GAPS):
            A = matrix_with_spectrum(case.spectrum(gap), np.random.default_rng(seed), hermitian=case.hermitian)
            if case.hermitian:
                A = (A + A.T) / 2
            for k, (name, loss) in enumerate(SMOOTH.items()):
                exact = smooth_gradient(name, A, C)
                if case.hermitian:
                    exact = (exact + exact.T) / 2
                for method, decompose in case.methods.items():
                    found = error(of_torch(decompose, loss, A, C), exact)
                    if not isinstance(found, str) and np.isfinite(found):
                        errors[method][i, seed * len(SMOOTH) + k] = found
    return errors


def draw(output: Path, results: list[dict[str, Floats]]) -> None:
    """Median and worst error over the gap, a panel for each case."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot: a file is all it makes (Agg), whatever the user's backend

    note = f"marked: the median\nof {SEEDS} matrices\nand {len(SMOOTH)} losses;\nshaded: up to the worst;\ndashed: 1e-5"
    # of Okabe and Ito's colours, which colour-blind people tell apart, and marked by shape, too
    style = {PLAIN: ("#D55E00", "s"), BROADEN: ("#999999", "^"), SPLIT: ("#0072B2", "o")}
    with rc_context({"font.size": 11, "axes.titlelocation": "left", "axes.axisbelow": True, "axes.titlesize": 11}):
        fig = Figure(figsize=(13, 4.6))
        axes = fig.subplots(1, len(results), sharey=True)
        fig.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
        top = 1e3
        for ax, case, errors in zip(axes, CASES, results, strict=True):
            for method, values in errors.items():
                colour, marker = style[method]
                middle, worst = (np.minimum(f(values, axis=1), top) for f in (np.median, np.max))
                ax.fill_between(GAPS, middle, worst, color=colour, alpha=0.2, linewidth=0)
                ax.plot(GAPS, worst, color=colour, linewidth=0.8)
                ax.plot(GAPS, middle, color=colour, marker=marker, markersize=3.5, linewidth=1.8, label=method)
            ax.axhline(1e-5, color="black", linewidth=0.8, linestyle=(0, (4, 3)))
            ax.set(xscale="log", yscale="log", xlabel="gap g", title=case.title)
            ax.set_xlim(2e-1, 5e-16)
            ax.set_ylim(1e-16, top)
            ax.set_xticks([10.0**-k for k in (1, 3, 5, 7, 9, 11, 13, 15)])
            ax.set_yticks([10.0**k for k in range(-15, 4, 3)])
            ax.minorticks_off()
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
        axes[0].set_ylabel("relative error of the gradient")
        axes[0].legend(loc="lower right", framealpha=1, edgecolor="white")
        axes[1].text(0.98, 0.04, note, transform=axes[1].transAxes, ha="right", linespacing=1.3, fontsize=10)
        output.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(output, dpi=90)
