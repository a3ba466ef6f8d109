"""What `diagnose` returns: its numbers as a table, in words, and as a picture."""

import io
from dataclasses import dataclass
from math import floor, inf, log10
from typing import TYPE_CHECKING, Any, NamedTuple

from ._array_api import cached_property, relative_tolerance, roundoff
from ._backends import backend_for
from ._degeneracy import ILL, positive
from ._types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS = 20
_INFINITE = 1e25  # condition numbers are cut off at u^-2
_BLUE = "#cfe3f1"
_NAMED = 6  # eigenvalues that a sentence lists


class _Row(NamedTuple):
    w: complex
    kappa: float
    gap: float
    separation: float
    distance: float
    tie: float
    tied: float
    error: float
    cluster: float
    defective: float

    @property
    def room(self) -> float:
        """Distance to the next eigenvalue outside the cluster; where that holds all, to the next one."""
        return self.separation if self.separation < inf else self.gap


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """Of each eigenpair of a matrix, what its derivatives suffer from; arrays of the matrix's library.

    Attributes
    ----------
    eigenvalues : array, shape (n,)
        w, in the order of `eig`.
    condition_numbers : array, shape (n,)
        kappa, ``|w_j| |v_j|/|w_j^H v_j|`` with the left eigenvector: a change E of A moves the eigenvalue by ``kappa |E|`` at
        most, to first order. 1 for a normal matrix, infinite (here: very large) at a Jordan block.
    gaps : array, shape (n,)
        Distance to the nearest other eigenvalue.
    separations : array, shape (n,)
        Distance to the nearest eigenvalue outside the own cluster.
    distances_to_defectiveness : array, shape (n,)
        Estimate of the least change of A that makes the eigenvalue meet another in a Jordan block, the least
        ``|w_i - w_j|/(2 (kappa_i + kappa_j))``, to first order.
    tie_ratios : array, shape (n,)
        Of the eigenvector, the second largest modulus of a component relative to the largest, among those that could take over
        the canonical gauge's condition: at 1 the gauge jumps.
    ties : array of bool, shape (n,)
        Where `GaugeTieWarning` is given.
    error_estimates : array, shape (n,)
        Relative size of the first step of refinement, for a generic cotangent: about what the rule for the gradient adds to the
        errors of w and V, which near a Jordan block are larger (see `sensitivity`). Infinite where eigenvectors are numerically
        dependent.
    clusters : array of int, shape (n,)
        Eigenvalues that are numerically equal have the same number, that of the first of them.
    defective : array of bool, shape (n,)
        Where the eigenvector is numerically dependent on others.
    norm : array, shape ()
        Frobenius norm of A.
    departure_from_normality : array, shape ()
        Henrici's, relative: ``sqrt(|A|_F^2 - sum |w|^2)/|A|_F``, between 0 (orthogonal eigenvectors) and 1.
    hermitian : array of bool, shape ()
        Whether A is Hermitian, as `eigh` asks.
    """

    eigenvalues: Array
    condition_numbers: Array
    gaps: Array
    separations: Array
    distances_to_defectiveness: Array
    tie_ratios: Array
    ties: Array
    error_estimates: Array
    clusters: Array
    defective: Array
    norm: Array
    departure_from_normality: Array
    hermitian: Array

    @cached_property
    def _rows(self) -> list[_Row]:
        columns = (
            self.eigenvalues,
            self.condition_numbers,
            self.gaps,
            self.separations,
            self.distances_to_defectiveness,
            self.tie_ratios,
            self.ties,
            self.error_estimates,
            self.clusters,
            self.defective,
        )
        read = [[backend_for(x).number(x[j]) for j in range(x.shape[0])] for x in columns]
        return [_Row(w, *(x.real for x in others)) for w, *others in zip(*read, strict=True)]

    @cached_property
    def groups(self) -> list[list[int]]:
        """Indices of the eigenvalues of each cluster of two or more."""
        members: dict[int, list[int]] = {}
        for j, row in enumerate(self._rows):
            members.setdefault(int(row.cluster), []).append(j)
        return [group for group in members.values() if len(group) > 1]

    @cached_property
    def _numbers(self) -> tuple[float, float, bool]:
        norm, departure, hermitian = (
            backend_for(x).number(x).real for x in (self.norm, self.departure_from_normality, self.hermitian)
        )
        return norm, departure, bool(hermitian)

    @cached_property
    def sensitivity(self) -> float:
        """By how much, relatively, rounding of A itself may change gradients: ``u |A|_F kappa/separation`` at most."""
        norm, _, _ = self._numbers
        return roundoff(self.eigenvalues) * max(
            (r.kappa * norm / r.room for r in self._rows if r.room > 0), default=0.0
        )

    @property
    def safe(self) -> bool:
        """Whether `eig` with its default options serves cotangents of every eigenvalue and eigenvector, without a warning.

        And whether rounding of A leaves the gradients six digits, in single precision three.
        """
        return not (self.groups or any(r.tied or r.defective for r in self._rows) or self._sensitive)

    @property
    def _sensitive(self) -> bool:
        return any(r.defective for r in self._rows) or self.sensitivity > relative_tolerance(self.eigenvalues)

    @cached_property
    def verdict(self) -> str:
        """Which cotangents are safe, and which option to choose."""
        norm, departure, hermitian = self._numbers
        rows, parts = self._rows, []
        bad = [j for j, row in enumerate(rows) if row.defective]
        ill = roundoff(self.eigenvalues) ** -ILL
        near = [group for group in self.groups if not set(group) & set(bad) and rows[group[0]].kappa > ill]
        whole = [group for group in self.groups if not set(group) & set(bad) and group not in near]
        ties = [j for j, row in enumerate(rows) if row.tied]
        normality = "normal" if departure == 0 else f"{departure:.2g} from normal (of 1)"
        kappa = max((row.kappa for row in rows), default=1.0)
        parts.append(
            f"Order {len(rows)}, norm {norm:.3g}, {'Hermitian' if hermitian else normality}; the largest condition number of an "
            f"eigenvalue is {_short(kappa)}."
        )
        if self.safe:
            parts.append(
                f"SAFE: cotangents of every eigenvalue (gw) and every eigenvector (gV), with the default options of eig. About "
                f"{_digits(self.sensitivity)} digits of a gradient survive rounding of A."
            )
        if bad:
            parts.append(
                f"NOT SAFE: {self._named(bad)} lack eigenvectors of their own, as at a Jordan block. Any gV raises a "
                f"DefectiveMatrixError, and gw is refused (LostPrecisionError, DegenerateEigenvaluesError), unless it is on "
                f"other eigenvalues and rounding leaves it two digits. For a loss that is a smooth function of the matrix use "
                f"degeneracy='perturb'; for one on the space of the whole cluster spectral_projector or invariant_subspace, "
                f"which are exact here: the sum of its eigenvalues is tr(A P)."
            )
        if whole:
            others = ", and gV of the other eigenvectors" * (not bad)
            parts.append(
                f"NOT SAFE: {self._listed(whole)} are repeated, with all their eigenvectors. Single ones have no derivative: gV "
                f"on them, or gw that tells them apart, raises a DegenerateEigenvaluesError. Safe are gw that is equal on each "
                f"cluster{others}. For a loss that is a smooth function of the matrix use degeneracy='split', or "
                f"matrix_function; for one that depends on a cluster by its space and its mean eigenvalue degeneracy='mask', "
                f"spectral_projector or invariant_subspace."
            )
        if near:
            parts.append(
                f"NOT SAFE: {self._listed(near)} are so ill conditioned that rounding cannot tell them apart: the matrix is "
                f"nearly defective, or badly scaled. gV on them, or gw that tells them apart, raises a "
                f"DegenerateEigenvaluesError. Scale the matrix, if its rows and columns differ much in size, or take losses on "
                f"their space by spectral_projector or invariant_subspace."
            )
        if ties:
            parts.append(
                f"NOT SAFE: in the eigenvectors of {self._named(ties)} two components share the largest modulus, and the default "
                f"gauge jumps between them (GaugeTieWarning). Losses that depend on no phase are safe with gauge='phase-free'; "
                f"others with gauge=Component(m) or Functional(z), whose condition no other component can take over."
            )
        if self._sensitive and not bad:
            worst = max((r for r in rows if r.room > 0), key=lambda r: r.kappa / r.room)
            parts.append(
                f"NOT SAFE: sensitive. Rounding, of A in its last digit and in its decomposition, may change gradients by "
                f"{self.sensitivity:.1g} of their size, so that about {_digits(self.sensitivity)} digits are to be relied upon. "
                f"The worst is w = {_short(worst.w)}, of condition number {_short(worst.kappa)}, {_short(worst.room)} from "
                f"the next; a change of A by about {_short(worst.distance)} makes two meet in a Jordan block. Take losses on the "
                f"space of such a group by spectral_projector or invariant_subspace."
            )
        if hermitian and len(rows) > 1:
            parts.append("eigh is made for this matrix: real eigenvalues, orthonormal eigenvectors, less work.")
        return "\n".join(parts)

    def _named(self, group: list[int]) -> str:
        named = ", ".join(f"w[{j}] = {_short(self._rows[j].w)}" for j in group[:_NAMED])
        return named + f" and {len(group) - _NAMED} more" * (len(group) > _NAMED)

    def _listed(self, groups: list[list[int]]) -> str:
        return "; ".join(map(self._named, groups[:_NAMED])) + " and more" * (len(groups) > _NAMED)

    def __repr__(self) -> str:
        n = len(self._rows)
        return f"<Diagnosis of a matrix of order {n}: {'safe' if self.safe else 'not safe'}; print it for a table>"

    def __str__(self) -> str:
        rich = _import("rich.console", "printing a diagnosis", "rich")
        out = io.StringIO()
        console = rich.Console(file=out, width=110, color_system=None, highlight=False)
        console.print(self.table())
        console.print(self.verdict, markup=False)
        return out.getvalue().rstrip()

    def table(self) -> Any:
        """A `rich.table.Table` of the eigenpairs, of a large matrix those that matter most."""
        table = _import("rich.table", "a diagnosis as a table", "rich").Table(
            box=_import("rich.box", "a table", "rich").SIMPLE_HEAD
        )
        for head in ("j", "eigenvalue", "condition", "gap", "to defective", "tie", "error", "cluster"):
            table.add_column(head, justify="right")
        rows, shown = self._rows, self._shown()
        grouped = {j for group in self.groups for j in group}
        for j in shown:
            r = rows[j]
            table.add_row(
                str(j),
                _short(r.w),
                "defective" if r.defective else _short(r.kappa),
                _short(r.gap),
                _short(r.distance),
                f"{r.tie:.3f}" + "!" * bool(r.tied),
                _short(r.error),
                str(int(r.cluster)) if j in grouped else "",
            )
        if len(shown) < len(rows):
            table.caption = (
                f"{len(rows) - len(shown)} of {len(rows)} eigenpairs are not shown: those that are the safest"
            )
        return table

    def _shown(self) -> list[int]:
        rows = self._rows
        grouped = {j for group in self.groups for j in group}

        def severity(j: int) -> tuple[float, bool, float]:
            return rows[j].defective, j in grouped, -rows[j].distance

        return sorted(sorted(range(len(rows)), key=severity, reverse=True)[:_ROWS])

    def plot(self, *, perturbation: float = 1e-3, ax: "Axes | None" = None) -> "Axes":
        """Eigenvalues in the complex plane, each with a disc of the size by which a perturbation of A moves it.

        Parameters
        ----------
        perturbation : float
            Relative to ``|A|_F``. The radius of a disc is ``r = kappa perturbation |A|_F`` to first order. Where that reaches
            other eigenvalues it is ``(r d_1 ... d_k)**(1/(k+1))`` with the distances to the k nearest, for the least such number:
            the characteristic polynomial is changed by as much. Of a defective cluster of m it is
            ``perturbation**(1/m) |A|_F``, as at one Jordan block.
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes
            ``ax.figure.savefig`` saves it.

        Raises
        ------
        InputError
            `perturbation` is not a positive finite number.
        ImportError
            matplotlib is not installed.
        """
        perturbation = positive(perturbation, "plot(perturbation=...) expects a positive finite number")
        figure = _import("matplotlib.figure", "the plot of a diagnosis", "matplotlib")
        Circle = _import("matplotlib.patches", "the plot of a diagnosis", "matplotlib").Circle
        if ax is None:
            ax = figure.Figure(figsize=(6.4, 6.4), layout="constrained").subplots()
        rows, radii = self._rows, self._radii(perturbation)
        for j, (row, radius) in enumerate(zip(rows, radii, strict=True)):
            centre, label = (
                (row.w.real, row.w.imag),
                f"moved by a change of A of {perturbation:g} |A|" if j == 0 else None,
            )
            # without edges, so that overlapping discs make one flat area
            ax.add_patch(Circle(centre, radius, facecolor=_BLUE, edgecolor="none", zorder=1, label=label))
            ax.add_patch(Circle(centre, radius, fill=False, edgecolor="#0072b2", linewidth=0.4, zorder=2))
        grouped = {j for group in self.groups for j in group}
        kinds = (
            ("simple", "o", "black", [j for j, row in enumerate(rows) if j not in grouped and not row.defective]),
            ("numerically equal", "s", "#b04600", [j for j in sorted(grouped) if not rows[j].defective]),
            ("defective", "X", "#b0307c", [j for j, row in enumerate(rows) if row.defective]),
        )
        for label, marker, colour, chosen in kinds:
            points = [rows[j].w for j in chosen]
            if points:
                small = marker == "o"
                ax.plot(
                    [z.real for z in points],
                    [z.imag for z in points],
                    marker,
                    color=colour,
                    markersize=3 if small else 8,
                    fillstyle="full" if small else "none",
                    label=label,
                )
        for group in self.groups:
            z = rows[group[0]].w
            ax.annotate(
                f"\N{MULTIPLICATION SIGN}{len(group)}",
                (z.real, z.imag),
                (5, 6),
                textcoords="offset points",
                fontsize="small",
            )
        _limits(ax, [row.w for row in rows], radii)
        ax.set_aspect("equal")
        ax.set(
            xlabel="Re w", ylabel="Im w", title=f"Eigenvalues, n = {len(rows)}: {'safe' if self.safe else 'not safe'}"
        )
        if rows:
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=3, fontsize="small", frameon=False)
        return ax

    def _radii(self, perturbation: float) -> list[float]:
        """Of the discs."""
        norm, _, _ = self._numbers
        size = {j: len(group) for group in self.groups for j in group}
        radii = []
        for j, row in enumerate(self._rows):
            if row.defective:
                radii.append(norm * perturbation ** (1 / size.get(j, 1)))
                continue
            least = product = row.kappa * perturbation * norm
            for k, gap in enumerate(sorted(abs(row.w - other.w) for i, other in enumerate(self._rows) if i != j), 2):
                product *= gap
                if not 0 < product < 1e300:
                    break
                least = min(least, product ** (1 / k))
            radii.append(least)
        return radii


def _limits(ax: "Axes", points: list[complex], radii: list[float]) -> None:
    """All eigenvalues, and of their discs what is not much larger than the spectrum."""
    if not points:
        return
    left, right = min(z.real for z in points), max(z.real for z in points)
    low, high = min(z.imag for z in points), max(z.imag for z in points)
    reach = max(right - left, high - low) / 2
    margin = min(max(radii), reach) if reach > 0 else max(radii)
    half = 1.1 * max(reach + margin, 1e-3 * max(map(abs, points)), 1e-300)
    ax.set_xlim((left + right) / 2 - half, (left + right) / 2 + half)
    ax.set_ylim((low + high) / 2 - half, (low + high) / 2 + half)


def _digits(error: float) -> int:
    return max(0, min(15, floor(-log10(max(error, 1e-300)))))


def _short(z: complex) -> str:
    if isinstance(z, complex) and z.imag:
        return f"{z.real:.4g}{z.imag:+.3g}j"
    return "infinite" if z.real > _INFINITE else f"{z.real:.4g}"


def _import(module: str, purpose: str, package: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{purpose} needs {package}: pip install 'arreig[diagnose]'") from error
