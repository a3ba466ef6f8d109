"""Where would another flow cool a box faster? The gradient of an eigenpair to three fields, at 100,000 grid points.

A fluid with velocity b and diffusivity kappa stirs heat in a square box of side 1 with cold walls. Its temperature u obeys

    du/dt = -A u,    A u = b . grad u - div(kappa grad u),    u = 0 at the walls,

and in the long run u ~ exp(-w_0 t) v_0: w_0, the eigenvalue of A nearest to 0, is the rate at which the box cools, and v_0 is
where the heat is left. On a grid of m x m points at distance h = 1/(m + 1), central differences give a sparse matrix that is not
symmetric; its entries from a point P to a neighbour Q, in the direction +-e, and to itself are

    A_PQ = -(kappa_P + kappa_Q)/(2 h^2) +- (b_P . e)/(2 h),    A_PP = sum over four sides of (kappa_P + kappa_Q)/(2 h^2)

with kappa_Q = kappa_P behind a wall. Differentiated are w_0, and the share of the heat of v_0 that is in a part of the box,

    L = sum_part v_0/sum v_0,    gV_P0 = ((1 if P in the part else 0) - L)/sum v_0.

From the gradient of A to that of b and kappa there are two ways:

- through the entries: `res.vjp` has the format and pattern of A, here COO, so that its data are in the order in which `matrix`
  put A's, and the chain rule of the formulas above does the rest.
- through products, for A that is never assembled: `res.vjp(factors=True)` has few columns y_j, v_j, and dL = sum_j y_j^T dA v_j.
  So what is to be differentiated to b and kappa is the number sum_j y_j^T (A v_j), y_j and v_j held fixed.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse
from loggerhead import table
from numpy.typing import NDArray
from rich.console import Console

import arreig

Floats = NDArray[np.float64]

PICTURE = Path("output/convection_diffusion.png")
M, K = 316, 4  # points along a side; eigenpairs
SPEED = 60.0  # about the largest; times side over diffusivity, this is the Peclet number of the box
RATE, SHARE = "Cooling rate", "Share in disc"  # the losses
SIDES = [(axis, sign) for axis in (0, 1) for sign in (1, -1)]


class Fields(NamedTuple):
    """Diffusivity (m, m) and velocity (2, m, m) at the grid points [x, y]; or a gradient to them."""

    kappa: Floats
    b: Floats

    @property
    def h(self) -> float:
        """Distance of grid points."""
        return 1 / (len(self.kappa) + 1)

    def moved(self, step: float, along: "Fields") -> "Fields":
        """These fields and step times others."""
        return Fields(self.kappa + step * along.kappa, self.b + step * along.b)

    def dot(self, other: "Fields") -> float:
        """Inner product."""
        return float(np.vdot(self.kappa, other.kappa) + np.vdot(self.b, other.b))


def grid(m: int) -> tuple[Floats, Floats]:
    """x and y of the points, as columns and rows that broadcast."""
    x = np.arange(1, m + 1) / (m + 1)
    return x[:, None], x[None, :]


def stirred(m: int) -> Fields:
    """Two vortices, the upper one larger, b = (dpsi/dy, -dpsi/dx), in a fluid of diffusivity 1."""
    x, y = (np.pi * z for z in grid(m))
    # psi = SPEED/(2 pi) sin x (sin 2y - sin y / 2)
    b_x = SPEED / 2 * np.sin(x) * (2 * np.cos(2 * y) - np.cos(y) / 2)
    b_y = -SPEED / 2 * np.cos(x) * (np.sin(2 * y) - np.sin(y) / 2)
    return Fields(np.ones((m, m)), np.stack([b_x, b_y]))


def part(m: int) -> NDArray[np.bool_]:
    """A disc, in which the heat is watched."""
    x, y = grid(m)
    return np.hypot(x - 0.72, y - 0.72) < 0.15


def ends(X: Any, axis: int, sign: int) -> tuple[Any, Any]:
    """Views of X (m, m) at the points that have a neighbour in this direction, and at that neighbour."""
    first, last = (X[:-1], X[1:]) if axis == 0 else (X[:, :-1], X[:, 1:])
    return (first, last) if sign > 0 else (last, first)


def wall(X: Any, axis: int, sign: int) -> Any:
    """The view of X at the points that have a wall there."""
    last = -1 if sign > 0 else 0
    return X[last] if axis == 0 else X[:, last]


def matrix(fields: Fields) -> sparse.coo_array:
    """A, one block of entries for the points themselves and one for each side."""
    (kappa, b), h = fields, fields.h
    index, centre = np.arange(kappa.size).reshape(kappa.shape), np.zeros_like(kappa)
    blocks = [(index, index, centre)]
    for axis, sign in SIDES:
        (P, Q), (kappa_P, kappa_Q), (centre_P, _) = (ends(X, axis, sign) for X in (index, kappa, centre))
        face = (kappa_P + kappa_Q) / (2 * h**2)
        centre_P += face
        at_wall = wall(centre, axis, sign)
        at_wall += wall(kappa, axis, sign) / h**2
        blocks.append((P, Q, sign * ends(b[axis], axis, sign)[0] / (2 * h) - face))
    rows, cols, data = (np.concatenate([block[i].ravel() for block in blocks]) for i in range(3))
    return sparse.coo_array((data, (rows, cols)), shape=(index.size, index.size))


def through_entries(fields: Fields, gA: sparse.coo_array) -> Fields:
    """The gradient to the fields from that to the entries that `matrix` made of them."""
    (m, _), h = fields.kappa.shape, fields.h
    gradient = Fields(np.zeros((m, m)), np.zeros((2, m, m)))
    g_centre, *g_sides = np.split(gA.data, m * m + m * (m - 1) * np.arange(4))
    g_centre = g_centre.reshape(m, m)
    for (axis, sign), g in zip(SIDES, g_sides, strict=True):
        (g_P, _), (to_P, to_Q) = ends(g_centre, axis, sign), ends(gradient.kappa, axis, sign)
        g = g.reshape(g_P.shape)
        to_P += (g_P - g) / (2 * h**2)
        to_Q += (g_P - g) / (2 * h**2)
        at_wall = wall(gradient.kappa, axis, sign)
        at_wall += wall(g_centre, axis, sign) / h**2
        to_b = ends(gradient.b[axis], axis, sign)[0]
        to_b += sign * g / (2 * h)
    return gradient


def product(fields: Fields, v: Any) -> Any:
    """A v without A; v is an image (m, m), 0 at the walls."""
    h, u = fields.h, np.pad(v, 1)
    kappa = np.pad(fields.kappa, 1, mode="edge")
    flow_x = (kappa[1:, 1:-1] + kappa[:-1, 1:-1]) / (2 * h) * (u[1:, 1:-1] - u[:-1, 1:-1])
    flow_y = (kappa[1:-1, 1:] + kappa[1:-1, :-1]) / (2 * h) * (u[1:-1, 1:] - u[1:-1, :-1])
    u_x, u_y = gradient_of(v, h)
    return fields.b[0] * u_x + fields.b[1] * u_y - (np.diff(flow_x, axis=0) + np.diff(flow_y, axis=1)) / h


def product_adjoint(fields: Fields, y: Any) -> Any:
    """A^H y: diffusion is symmetric, a central difference antisymmetric."""
    still = Fields(fields.kappa, np.zeros_like(fields.b))
    by = fields.b * y
    return product(still, y) - gradient_of(by[0], fields.h)[0] - gradient_of(by[1], fields.h)[1]


def gradient_of(v: Any, h: float) -> Any:
    """grad v (2, m, m) by central differences."""
    u = np.pad(v, 1)
    return np.stack([u[2:, 1:-1] - u[:-2, 1:-1], u[1:-1, 2:] - u[1:-1, :-2]]) / (2 * h)


def through_products(fields: Fields, Y: Floats, V: Floats) -> Fields:
    """The gradient to the fields of sum_j y_j^T (A v_j), Y and V held fixed: A is linear in b and kappa.

    y^T A v = sum_P y_P b_P . (grad v)_P + sum over faces of (kappa_P + kappa_Q)/(2 h^2) (y_P - y_Q) (v_P - v_Q)
    """
    (m, _), h = fields.kappa.shape, fields.h
    gradient = Fields(np.zeros((m, m)), np.zeros((2, m, m)))
    for y, v in zip(Y.T.reshape(-1, m, m), V.T.reshape(-1, m, m), strict=True):
        gradient.b[...] += y * gradient_of(v, h)
        y, v = np.pad(y, 1), np.pad(v, 1)
        in_x = np.diff(y, axis=0)[:, 1:-1] * np.diff(v, axis=0)[:, 1:-1] / (2 * h**2)
        in_y = np.diff(y, axis=1)[1:-1] * np.diff(v, axis=1)[1:-1] / (2 * h**2)
        for face, cut in ((in_x, np.s_[:1]), (in_x, np.s_[-1:]), (in_y, np.s_[:, :1]), (in_y, np.s_[:, -1:])):
            face[cut] *= 2  # at a wall all of kappa_P counts, not half of it
        gradient.kappa[...] += in_x[1:] + in_x[:-1] + in_y[:, 1:] + in_y[:, :-1]
    return gradient


def losses(res: arreig.EigsResult, m: int) -> dict[str, tuple[float, Any, Any]]:
    """The rate and the share, each with its cotangents gV and gw."""
    w, V = res
    v, gw, gV = V[:, 0].real, np.zeros(len(w)), np.zeros(V.shape)
    inside = part(m).ravel()
    share = v[inside].sum() / v.sum()
    gw[0], gV[:, 0] = 1, (inside - share) / v.sum()
    return {RATE: (float(w[0].real), None, gw), SHARE: (float(share), gV, None)}


def decompose(fields: Fields) -> arreig.EigsResult:
    """The eigenpairs next to 0, the slowest first."""
    return arreig.eigs(matrix(fields), k=K, sigma=0.0)


class Result(NamedTuple):
    """Fields, eigenpairs, and for each loss its value, its gradients the two ways, and their largest difference (relative)."""

    fields: Fields
    res: arreig.EigsResult
    values: dict[str, float]
    gradients: dict[str, Fields]
    by_products: dict[str, Fields]
    differences: dict[str, float]


def analyse(fields: Fields) -> Result:
    """Eigenpairs and all gradients."""
    res = decompose(fields)
    values, entries, products, differences = {}, {}, {}, {}
    for name, (value, gV, gw) in losses(res, len(fields.kappa)).items():
        values[name] = value
        entries[name] = one = through_entries(fields, res.vjp(gV, gw))
        products[name] = two = through_products(fields, *res.vjp(gV, gw, factors=True))
        differences[name] = max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(one, two, strict=True))
    return Result(fields, res, values, entries, products, differences)


def tried(result: Result, name: str) -> tuple[float, float, float]:
    """How a loss changes by a small step along its gradient: as that says, and as two other decompositions do; and the step.

    The step is one at which no field moves by more than 0.1 %.
    """
    fields, gradient = result.fields, result.gradients[name]
    step = min(1e-3 * np.abs(x).max() / np.abs(g).max() for x, g in zip(fields, gradient, strict=True))
    there, back = (losses(decompose(fields.moved(s, gradient)), len(fields.kappa))[name][0] for s in (step, -step))
    return step * gradient.dot(gradient), (there - back) / 2, step


def report(console: Console, result: Result) -> None:
    """Eigenvalues, both gradients and a trial."""
    m = len(result.fields.kappa)
    A = matrix(result.fields)
    console.print(f"A is {m * m:,} x {m * m:,} with {A.nnz:,} entries; gradients are to {3 * m * m:,} numbers\n")
    t = table("Eigenvalues next to 0", "mode", "decay rate", "oscillation")
    for j, w in enumerate(result.res.eigenvalues):
        t.add_row(str(j), f"{w.real:.4f}", f"{w.imag:+.4f}" if w.imag else "none")
    console.print(t)
    title = (
        "A step along the gradient: change of the loss by it and as tried; difference of the two gradients, relative"
    )
    t = table(title, "loss", "value", "by gradient", "tried", "difference")
    for name, value in result.values.items():
        predicted, measured, _ = tried(result, name)
        t.add_row(name, f"{value:.6f}", f"{predicted:+.5e}", f"{measured:+.5e}", f"{result.differences[name]:.1e}")
    console.print(t)
    slower = result.gradients[RATE].kappa < 0
    console.print(f"more diffusion would slow the cooling on {100 * slower.mean():.1f} % of the box")


def draw(picture: Path, result: Result) -> None:
    """The flow with v_0, the next mode, and what would change rate and share."""
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # without pyplot: a file is all it makes (Agg), whatever the user's backend

    (w, V), m, b = result.res, len(result.fields.kappa), result.fields.b
    x, density = grid(m)[1][0], 1 / result.fields.h**2  # derivatives per area do not depend on the grid
    every = np.s_[m // 36 :: max(m // 18, 1)]

    def image(ax: Axes, X: Floats, title: str, cmap: str, label: str, *, signed: bool = False) -> None:
        top = np.abs(X).max()
        shown = ax.imshow(X.T, origin="lower", extent=(0, 1, 0, 1), cmap=cmap, vmin=-top if signed else 0, vmax=top)
        fig.colorbar(shown, ax=ax, label=label, shrink=0.9)
        ax.set(title=title, xticks=(0, 0.5, 1), yticks=(0, 0.5, 1), xlabel="x (sides)", ylabel="y (sides)")

    def disc(ax: Axes, colour: str) -> None:
        ax.contour(x, x, part(m).T, [0.5], colors=colour, linewidths=2, linestyles="--")

    with rc_context({"font.size": 12, "axes.titlelocation": "left"}):
        fig = Figure(figsize=(16, 9))
        fig.set_layout_engine("constrained", w_pad=0.2, h_pad=0.15)
        (ax, *_), (ax_1, *_) = rows = fig.subplots(2, 3)
        v = V[:, 0].real.reshape(m, m)
        image(ax, v / v.mean(), f"Flow, and heat ~ exp(-{w[0].real:.1f} t)", "inferno", "temperature (mean 1)")
        ax.streamplot(x, x, b[0].T, b[1].T, color="white", linewidth=0.8, density=1.1, arrowsize=0.9)
        ax.set(xlim=(0, 1), ylim=(0, 1))
        disc(ax, "cyan")
        v = (V[:, 1] * np.exp(-1j * np.angle(V[:, 1].sum()))).real.reshape(m, m)
        label = "temperature (largest 1)"
        image(ax_1, v / np.abs(v).max(), f"The next mode, ~ exp(-{w[1].real:.1f} t)", "PuOr_r", label, signed=True)
        for (_, ax_k, ax_b), (name, g) in zip(rows, result.gradients.items(), strict=True):
            title, label = f"{name}, to the diffusivity", "derivative per area"
            image(ax_k, density * g.kappa, title, "RdBu_r", f"{label} (line: 0)", signed=True)
            ax_k.contour(x, x, g.kappa.T, [0], colors="0.4", linewidths=0.8)
            image(ax_b, density * np.hypot(*g.b), f"{name}, to the velocity", "YlOrBr", f"{label}, along the arrows")
            ax_b.quiver(x[every], x[every], *(c[every, every].T for c in g.b), pivot="mid", width=0.005)
            if name == SHARE:
                disc(ax_k, "black")
                disc(ax_b, "black")
        picture.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(picture, dpi=110)


def main(picture: Path | None = PICTURE, m: int = M) -> Result:
    """Decompose, differentiate both ways, try the gradient out and, unless `picture` is None, draw it."""
    console = Console()
    result = analyse(stirred(m))
    report(console, result)
    if picture is not None:
        draw(picture, result)
        console.print(f"picture: {picture}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Sensitivity of a convection-diffusion operator to its flow.")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file of the picture")
    parser.add_argument("--points", type=int, default=M, help="grid points along a side")
    args = parser.parse_args()
    main(args.picture, args.points)
