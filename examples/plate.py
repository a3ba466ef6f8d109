"""A vibrating plate whose nodal line is moved to where an instrument sits, by gradient to the thickness of every element.

A rectangular plate of aluminium is clamped at one side. Its modes obey the sparse pencil

    K v = (2 pi f)^2 M v,    K = sum_e t_e^3 K_e,    M = sum_e t_e M_e,

with t_e the thickness of element e, and v the deflections and slopes at the nodes of a grid. An instrument is mounted at a
point p where the third mode shakes it: the amplitude there, relative to that of the plate in the mean, is to vanish, while the
plate keeps its mass, and the mode its frequency:

    L(t) = v_p^2/mean v^2 + mu (log w/w_0)^2,    sum_e t_e = its value at the start,    t_min <= t_e <= t_max.

So L depends on an eigenvector, but not on its scale and sign (hence gauge="phase-free"). K and M are given to `eigsh` as COO
arrays that still have the entries of each element apart (144 an element, duplicates included), and the gradients gK and gM come
in the same entries. So the chain rule needs no assembly: dL/dt_e = 3 t_e^2 <gK_e, K_e> + <gM_e, M_e>.

Elements: Adini, Clough and Melosh's rectangle, a cubic with deflection and both slopes at its four corners; thickness is smoothed
over neighbours, as in topology optimisation, so that no checkerboard pays. Optimiser: SciPy's SLSQP.
"""

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sparse
from loggerhead import table
from numpy.typing import NDArray
from rich.console import Console
from scipy.optimize import minimize

import arreig

Floats = NDArray[np.float64]

PICTURE = Path("output/plate.png")
LENGTH, WIDTH = 0.30, 0.20  # m
E, NU, RHO = 70e9, 0.33, 2700.0  # aluminium: Pa, -, kg/m^3
START, THIN, THICK = 2e-3, 1.2e-3, 3e-3  # thickness, m
MODE, KEPT = 2, 5  # counted from 0; eigenpairs that are computed
INSTRUMENT = (17 / 24, 0.75)  # of length and width; the nearest node
MU, RADIUS = 10.0, 2.0  # weight of the frequency; reach of the smoothing, elements
POWERS = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3), (3, 1), (1, 3)]


def derivative(x: Any, p: int, order: int) -> Any:
    """Of x^p."""
    factor = np.prod([p - i for i in range(order)]) if order else 1
    return factor * x ** max(p - order, 0)


def monomials(x: float, y: float, dx: int = 0, dy: int = 0) -> Floats:
    """The derivatives of the 12 monomials at a point."""
    return np.array([derivative(x, p, dx) * derivative(y, q, dy) for p, q in POWERS])


def element(a: float, b: float) -> tuple[Floats, Floats, Floats]:
    """Stiffness and mass for thickness 1 of an a x b rectangle, and its area matrix, int N^T N; (w, w_x, w_y) at the corners."""
    corners = [(0.0, 0.0), (a, 0.0), (a, b), (0.0, b)]
    C = np.array([monomials(x, y, *d) for x, y in corners for d in ((0, 0), (1, 0), (0, 1))])
    shape = np.linalg.inv(C)  # monomials of the 12 shape functions
    D = E / (12 * (1 - NU**2)) * np.array([[1, NU, 0], [NU, 1, 0], [0, 0, (1 - NU) / 2]])
    points, weights = np.polynomial.legendre.leggauss(4)
    K, S = np.zeros((12, 12)), np.zeros((12, 12))
    for x, u in zip(a * (points + 1) / 2, weights, strict=True):
        for y, v in zip(b * (points + 1) / 2, weights, strict=True):
            N = monomials(x, y) @ shape
            curvature = np.array([monomials(x, y, 2, 0), monomials(x, y, 0, 2), 2 * monomials(x, y, 1, 1)]) @ shape
            K += u * v * a * b / 4 * curvature.T @ D @ curvature
            S += u * v * a * b / 4 * np.outer(N, N)
    return K, RHO * S, S


class Plate:
    """Clamped at x = 0; cells (nx, ny). Freedoms are those of the nodes that move."""

    def __init__(self, nx: int = 24, ny: int = 16) -> None:
        self.shape = nx, ny
        self.K_1, self.M_1, self.S_1 = element(LENGTH / nx, WIDTH / ny)
        node = np.arange((nx + 1) * (ny + 1)).reshape(nx + 1, ny + 1) - (ny + 1)  # negative: clamped
        corner = np.stack([node[:-1, :-1], node[1:, :-1], node[1:, 1:], node[:-1, 1:]], -1).reshape(-1, 4)
        freedom = (3 * corner[..., None] + np.arange(3)).reshape(-1, 12)
        rows, cols = np.broadcast_arrays(freedom[:, :, None], freedom[:, None, :])
        self.moves = (rows >= 0) & (cols >= 0)  # (cells, 12, 12)
        self.entries = rows[self.moves], cols[self.moves]
        self.n = 3 * nx * (ny + 1)
        self.area = self.assembled(np.ones(nx * ny), self.S_1).tocsc()
        i, j = (round(s * m) for s, m in zip(INSTRUMENT, self.shape, strict=True))
        self.instrument, self.at = int(3 * node[i, j]), (i, j)
        x, y = (z.ravel() for z in np.meshgrid(range(nx), range(ny), indexing="ij"))
        near = np.maximum(0, RADIUS - np.hypot(x[:, None] - x, y[:, None] - y))
        self.smoothing = near / near.sum(1, keepdims=True)

    def assembled(self, scale: Floats, X_1: Floats) -> sparse.coo_array:
        """sum_e scale_e X_e, the entries of each element apart."""
        data = (scale[:, None, None] * X_1)[self.moves]
        return sparse.coo_array((data, self.entries), shape=(self.n, self.n))

    def by_element(self, gX: sparse.coo_array, X_1: Floats) -> Floats:
        """<gX_e, X_e>: the adjoint of `assembled`."""
        g = np.zeros(self.moves.shape)
        g[self.moves] = gX.data
        by_element: Floats = np.einsum("eij,ij->e", g, X_1)
        return by_element

    def modes(self, t: Floats) -> arreig.EigsResult:
        """The lowest."""
        K, M = self.assembled(t**3, self.K_1), self.assembled(t, self.M_1)
        return arreig.eigsh(K, k=KEPT, B=M, sigma=0.0, gauge="phase-free")

    def deflection(self, v: Floats) -> Floats:
        """Of the nodes (nx + 1, ny + 1), relative to its root mean square."""
        nx, ny = self.shape
        w = np.concatenate([np.zeros(ny + 1), v[::3]]).reshape(nx + 1, ny + 1)
        relative: Floats = w / np.sqrt(v @ (self.area @ v) / (LENGTH * WIDTH))
        return relative

    def loss(self, t: Floats, w_0: float) -> tuple[float, Floats, arreig.EigsResult]:
        """L, its gradient to t, and the modes."""
        w, V = res = self.modes(t)
        v, gV, gw = V[:, MODE], np.zeros_like(V), np.zeros_like(w)
        Sv = self.area @ v / (LENGTH * WIDTH)
        square, mean = v[self.instrument] ** 2, v @ Sv
        gV[:, MODE] = -2 * square / mean**2 * Sv
        gV[self.instrument, MODE] += 2 * v[self.instrument] / mean
        gw[MODE] = 2 * MU * np.log(w[MODE] / w_0) / w[MODE]
        gK, gM = res.vjp(gV, gw)
        gt = 3 * t**2 * self.by_element(gK, self.K_1) + self.by_element(gM, self.M_1)
        return float(square / mean + MU * np.log(w[MODE] / w_0) ** 2), gt, res


class Result(NamedTuple):
    """The plate, thickness and modes before and after, and L at every evaluation."""

    plate: Plate
    start: Floats
    design: Floats
    before: arreig.EigsResult
    after: arreig.EigsResult
    history: Floats


def frequency(w: Floats) -> Floats:
    """In Hz."""
    return np.sqrt(w) / (2 * np.pi)


def optimise(plate: Plate, steps: int) -> Result:
    """SLSQP in the thickness before smoothing, in units of START."""
    size = plate.shape[0] * plate.shape[1]
    before, history = plate.modes(np.full(size, START)), []
    w_0 = float(before.eigenvalues[MODE])
    volume = plate.smoothing.sum(0)

    def value(z: Floats) -> tuple[float, Floats]:
        L, gt, _ = plate.loss(START * plate.smoothing @ z, w_0)
        history.append(L)
        return L, START * plate.smoothing.T @ gt

    found = minimize(
        value,
        np.ones(size),
        jac=True,
        method="SLSQP",
        bounds=[(THIN / START, THICK / START)] * size,
        constraints={"type": "eq", "fun": lambda z: volume @ z / size - 1, "jac": lambda z: volume / size},
        options={"maxiter": steps, "ftol": 1e-12},
    )
    design = START * plate.smoothing @ found.x
    return Result(plate, np.full(size, START), design, before, plate.modes(design), np.array(history))


def report(console: Console, result: Result) -> None:
    """Frequencies, amplitudes and thickness."""
    plate = result.plate
    console.print(f"{len(result.start)} elements, {plate.n:,} freedoms, {len(plate.entries[0]):,} entries of elements")
    t = table(f"Mode {MODE + 1} of the plate", "", "uniform", "design")
    pairs = [(result.start, result.before), (result.design, result.after)]
    amplitudes = [abs(plate.deflection(res.eigenvectors[:, MODE])[plate.at]) for _, res in pairs]
    t.add_row("amplitude at the instrument", *(f"{a:.6f}" for a in amplitudes))
    for j in range(KEPT):
        t.add_row(f"frequency {j + 1}, Hz", *(f"{frequency(res.eigenvalues)[j]:.3f}" for _, res in pairs))
    t.add_row("thickness, mm", *(f"{1e3 * x.min():.3f} to {1e3 * x.max():.3f}" for x, _ in pairs))
    t.add_row("mass, g", *(f"{1e3 * RHO * LENGTH * WIDTH * x.mean():.4f}" for x, _ in pairs))
    console.print(t)
    console.print(f"amplitude: relative to the root mean square of the plate; {len(result.history)} evaluations of L")


def draw(picture: Path, result: Result) -> None:
    """Thickness and mode, before and after, and the descent."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot: a file is all it makes (Agg), whatever the user's backend

    plate, blue = result.plate, "#0072B2"
    (nx, ny), mm = plate.shape, (1e3 * LENGTH, 1e3 * WIDTH)
    x, y = np.linspace(0, mm[0], nx + 1), np.linspace(0, mm[1], ny + 1)
    images = [plate.deflection(res.eigenvectors[:, MODE]) for res in (result.before, result.after)]
    images = [image * np.sign(image[-1, 0]) for image in images]  # the same sign at a corner
    top = max(np.abs(image).max() for image in images)
    with rc_context({"font.size": 12, "axes.titlelocation": "left", "axes.axisbelow": True}):
        fig = Figure(figsize=(16.5, 7.6))
        fig.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
        panels = fig.subplot_mosaic("ABE;CDE", width_ratios=(1, 1, 0.8))
        for name, t, title in (("A", result.start, "Uniform plate"), ("C", result.design, "Design")):
            cells = t.reshape(nx, ny).T * 1e3
            shown = panels[name].pcolormesh(x, y, cells, cmap="YlGnBu", vmin=1e3 * THIN, vmax=1e3 * THICK)
            panels[name].set_title(f"{title}: thickness")
            fig.colorbar(shown, ax=panels[name], label="thickness (mm)", shrink=0.85)
        for name, image, res in (("B", images[0], result.before), ("D", images[1], result.after)):
            ax, f = panels[name], frequency(res.eigenvalues)[MODE]
            shown = ax.pcolormesh(x, y, image.T, cmap="PuOr_r", vmin=-top, vmax=top, shading="gouraud")
            ax.contour(x, y, image.T, [0], colors="black", linewidths=2)
            ax.set_title(f"Mode {MODE + 1}, {f:.1f} Hz (line: at rest)")
            fig.colorbar(shown, ax=ax, label="deflection (rms 1)", shrink=0.85)
        for name in "ABCD":
            ax = panels[name]
            ax.plot(
                x[plate.at[0]],
                y[plate.at[1]],
                "o",
                markersize=11,
                color="white",
                markeredgecolor="black",
                label="instrument",
            )
            ax.axvline(0, color="black", linewidth=6)
            ax.set(xlabel="x (mm), clamped at 0", ylabel="y (mm)", aspect="equal")
        panels["A"].legend(loc="lower right")
        ax = panels["E"]
        ax.semilogy(result.history, "o-", color=blue)
        ax.set(xlabel="evaluation", ylabel="loss L", title="Descent")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        picture.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(picture, dpi=110)


def main(picture: Path | None = PICTURE, steps: int = 20, plate: Plate | None = None) -> Result:
    """Optimise the thickness, print what came out and, unless `picture` is None, draw it."""
    console = Console()
    result = optimise(plate or Plate(), steps)
    report(console, result)
    if picture is not None:
        draw(picture, result)
        console.print(f"picture: {picture}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A plate whose third mode leaves an instrument at rest.")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file of the picture")
    parser.add_argument("--steps", type=int, default=20, help="steps of the optimiser")
    args = parser.parse_args()
    main(args.picture, args.steps)
