"""Accuracy of gradients, beside torch's and JAX's own: far from normal, at repeated eigenvalues, and on the way there.

Prints what it measures against exact gradients and saves one picture. Every number is an error relative to the exact gradient;
"refused" is an error raised by arreig, "error" one by torch, NaN a gradient that is not finite.
"""

import argparse
import warnings
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

import arreig
from benchmarks import exact, libraries, matrices, sweep
from benchmarks.libraries import REFUSED, SMOOTH, Decompose, own

Entry = float | str
PAIRS = 100  # eigenpairs a median is taken over, at least: of small matrices with several losses
GAIN = 5  # how many times below torch's and JAX's the default has to be, far from normal


class Results(NamedTuple):
    """A table, and what can be said of it."""

    title: str
    headings: Sequence[str]
    rows: list[list[Entry]]
    notes: list[str]


def text(x: Entry) -> str:
    """As it is printed."""
    return x if isinstance(x, str) else f"{x:.1e}" if np.isfinite(x) else "NaN"


def show(console: Console, results: Results, markdown: bool) -> None:
    """A table on the console, or one to paste."""
    rows = [[text(x) for x in row] for row in results.rows]
    if markdown:
        lines = [list(results.headings), ["---"] * len(results.headings), *rows]
        print(f"**{results.title}**\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in lines) + "\n")
    else:
        table = Table(
            title=results.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
        )
        for k, heading in enumerate(results.headings):
            table.add_column(heading, justify="right" if k else "left", no_wrap=True)
        for last, row in zip([[""], *rows], rows, strict=False):
            table.add_row("" if row[0] == last[0] else row[0], *row[1:])
        console.print(table)
    for note in results.notes:
        console.print(note)
    console.print()


def pair_errors(G: exact.Complexes, reference: exact.Complexes) -> exact.Floats:
    """Relative errors, infinite where there is no gradient."""
    errors = np.linalg.norm(G - reference, axis=(1, 2)) / np.linalg.norm(reference, axis=(1, 2))
    return np.asarray(np.where(np.isfinite(errors), errors, np.inf))


def far_from_normal() -> Results:
    """Median error over eigenpairs, each with losses of its own."""
    torch_methods: list[Decompose] = [torch.linalg.eig, own(refine=False), own()]
    rows: list[list[Entry]] = []
    notes = []
    for name, A in matrices.far_from_normal().items():
        errors: list[list[exact.Floats]] = [[] for _ in range(4)]
        rng = np.random.default_rng(1)
        for _ in range(ceil(PAIRS / len(A))):
            r, a = rng.standard_normal(A.shape), rng.standard_normal(len(A))
            w, reference = exact.pair_gradients(A, r, a)
            found = [libraries.pairs_of_torch(method, A, r, a, w) for method in torch_methods]
            found.insert(1, libraries.pairs_of_jax(A, r, a, w))
            for column, (order, G) in zip(errors, found, strict=True):
                column.append(pair_errors(G, reference[order]))
        medians = [float(np.median(column)) for column in errors]
        gain = min(medians[:2]) / medians[3]
        rows.append([name, *medians, f"{gain:.1f}"])
        if name.startswith("random"):
            notes.append(f"{name}: " + ("unchanged" if medians[3] == medians[2] else "CHANGED"))
        elif gain < GAIN:
            units = medians[3] / np.finfo(float).eps * 2
            notes.append(f"{name}: NOT {GAIN} times below both, but {gain:.1f}; the default's median is {units:.0f} u")
    notes.append(f"elsewhere the default is at least {GAIN} times below torch's and JAX's")
    headings = ["matrix", "torch", "JAX", "refine=False", "default", "gain"]
    return Results("Far from normal: median error over eigenpairs", headings, rows, notes)


def losses_of(A: exact.Floats) -> list[str]:
    """The root is left out where an eigenvalue lies on the closed negative axis."""
    w = np.linalg.eigvals(A)
    on_axis = (np.abs(w.imag) < 1e-6) & (w.real < 1e-12)
    return [name for name in SMOOTH if not (name == "sqrtm" and on_axis.any())]


POLICIES = {
    "raise": own("raise"),
    "mask": own("mask"),
    "Broaden": own(arreig.Broaden(1e-12)),
    "split": own("split"),
    "perturb": own("perturb"),
}


def ill_defined(A: exact.Floats, C: exact.Floats, kind: matrices.Kind) -> Entry:
    """What "split" says to sum C_ij |V_ij|^2; where eigenvalues are simple its worst error over eigenpairs."""
    if kind != "simple":
        gA = libraries.of_torch(own("split"), libraries.ill_defined, A, C)
        return gA if isinstance(gA, str) else "ACCEPTED"
    w, reference = exact.pair_gradients(A, C, np.zeros(len(A)))
    order, G = libraries.pairs_of_torch(own("split"), A, C, np.zeros(len(A)), w)
    return float(pair_errors(G, reference[order]).max())


def repeated_eigenvalues() -> Results:
    """Errors of the gradient of Re tr(C f(A)), and what "split" says to a loss on single eigenvectors."""
    rows: list[list[Entry]] = []
    worst: dict[str, dict[str, float]] = {"split": {}, "perturb": {}}
    failures = []
    for name, (A, kind) in matrices.repeated().items():
        C = np.random.default_rng(1).standard_normal(A.shape)
        single = ill_defined(A, C, kind)
        if single == "ACCEPTED":
            failures.append(f"{name}: a loss on single eigenvectors was accepted")
        for function in losses_of(A):
            loss = SMOOTH[function]
            reference = exact.smooth_gradient(function, A, C)
            plain = libraries.of_torch(torch.linalg.eig, loss, A, C), libraries.of_jax(loss, A, C)
            found = {policy: libraries.of_torch(d, loss, A, C) for policy, d in POLICIES.items()}
            errors = {policy: libraries.error(gA, reference) for policy, gA in found.items()}
            rows.append([name, function, *(libraries.error(gA, reference) for gA in plain), *errors.values(), single])
            meant = "perturb" if kind == "defective" else "split"
            if isinstance(error := errors[meant], str):
                failures.append(f"{name}, {function}: {meant} {error}")
            else:
                worst[meant][name] = max(worst[meant].get(name, 0), error)
            if kind == "defective" and not errors["split"] == errors["raise"] == REFUSED:
                failures.append(f"{name}, {function}: not refused")
    headings = ["matrix", "f", "torch", "JAX", *POLICIES, "vectors"]
    notes = []
    for policy, found_worst in worst.items():
        (last, x), (_, y) = sorted(found_worst.items(), key=lambda item: -item[1])[:2]
        notes.append(f"largest error of {policy}: {text(x)}, at {last!r}; at any other: {text(y)}")
    notes += failures or ["split and raise refuse every Jordan block"]
    notes += ["Broaden has eps = 1e-12; vectors: sum C_ij |V_ij|² with split, ill-defined at repeated eigenvalues"]
    return Results("Repeated eigenvalues: error of the gradient of Re tr(C f(A))", headings, rows, notes)


def condensed(results: Results) -> Results:
    """The worst over the functions f of each matrix."""

    def worst(column: Sequence[Entry]) -> Entry:
        for word in ("error", REFUSED):
            if word in column:
                return word
        numbers = [x for x in column if not isinstance(x, str)]
        return float(np.max(numbers)) if numbers else column[0]

    rows: list[list[Entry]] = []
    for name in dict.fromkeys(row[0] for row in results.rows):
        group = [row for row in results.rows if row[0] == name]
        functions = ", ".join(str(row[1]) for row in group)
        rows.append([name, functions, *(worst(column) for column in list(zip(*group, strict=True))[2:])])
    return results._replace(title=results.title + ", the worst of f", rows=rows)


def gap_sweep(output: Path | None) -> Results:
    """Worst errors as eigenvalues approach each other; the picture has the rest."""
    results = [sweep.sweep(case) for case in sweep.CASES]
    if output is not None:
        sweep.draw(output, results)
    rows: list[list[Entry]] = []
    for case, errors in zip(sweep.CASES, results, strict=True):
        rows += [[case.title, m, float(np.max(np.median(e, axis=1))), float(e.max())] for m, e in errors.items()]
    headings = ["eigenvalues", "method", "largest median", "worst"]
    title = f"Gaps from {sweep.GAPS[0]:.0e} to {sweep.GAPS[-1]:.0e}, three losses, {sweep.SEEDS} matrices each"
    return Results(title, headings, rows, [])


def main(output: Path | None, markdown: bool) -> None:
    """Print all tables and, if `output` is given, save the picture there."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", arreig.GaugeTieWarning)
    console = Console()
    console.width = max(console.width, 120)
    start = perf_counter()
    show(console, far_from_normal(), markdown)
    repeated = repeated_eigenvalues()
    show(console, condensed(repeated) if markdown else repeated, markdown)
    show(console, gap_sweep(output), markdown)
    if not markdown:
        console.print(f"{perf_counter() - start:.0f} seconds" + (f"; picture: {output}" if output else ""))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Accuracy of gradients through eigendecompositions.")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".png"), help="file of the picture")
    parser.add_argument("--markdown", action="store_true", help="tables to paste, the second one condensed")
    arguments = parser.parse_args()
    main(arguments.output, arguments.markdown)
