"""A diffraction grating designed by gradient, through the eigenvalues that its symmetry makes equal.

A layer of thickness d, periodic in x and y, lies between two half spaces; light falls on it from above. This is a small
rigorous coupled-wave solver for it. Time goes as exp(-i omega t), lengths are in units of 1/k0 = wavelength/(2 pi), H in units
that make the impedance of vacuum 1:

    curl E = i H,    curl H = -i eps E.

Fields are sums over orders j = (m, n), |m|, |n| <= M, of exp(i (kx_j x + ky_j y)), kx = m wavelength/period, ky alike. On their
coefficients d/dx is i Kx, Kx = diag(kx), and multiplication by eps is the matrix E of its Fourier coefficients, E_jl = c_(j-l)
(Laurent's rule everywhere; Li's rules converge faster in M). Without the z components, e = (Ex, Ey), h = i (Hx, Hy):

    e' = P h,    P = [Kx E^-1 Ky,        I - Kx E^-1 Kx]        h' = Q e,    Q = [Kx Ky,      E - Kx Kx]
                     [Ky E^-1 Ky - I,    -Ky E^-1 Kx   ],                        [Ky Ky - E,  -Ky Kx   ],

    e'' = A e,    A = P Q,    A V = V diag(w),    lambda = sqrt(w),    X = exp(-lambda d),    U = -Q V diag(1/lambda),
    e = V (exp(-lambda z) a + exp(-lambda (d - z)) b),    h = U (exp(-lambda z) a - exp(-lambda (d - z)) b).

In a half space lambda = -i kz, kz = sqrt(eps - kx^2 - ky^2), and h = Y e for waves that go down, h = -Y e for those that go up,
Y = Q diag(1/(i kz)). With light e on the upper side, reflected r and transmitted t, e and h are continuous if

    V (a + X b) = e + r,    U (a - X b) = Y1 (e - r),        (U + Y1 V) a - (U - Y1 V) X b = 2 Y1 e,
    V (X a + b) = t,        U (X a - b) = Y2 t,      so      (U - Y2 V) X a - (U + Y2 V) b = 0.

No exponential grows, as in a scattering matrix. Order j carries the power Re(kz) (|Ex|^2 + |Ey|^2 + |Ez|^2), kz Ez = -+(kx Ex +
ky Ey); divided by that of the incident light it is the efficiency of the order.

r and t do not change with the basis of an eigenspace, nor with the sign of a lambda (it swaps a_j and b_j): where no w and no kz
is 0 they are smooth functions of A, so an efficiency has a gradient to every pixel of the pattern also where eigenvalues are
equal. They are: in pairs, if the pattern has the symmetry of the square, since light polarised along x and along y then sees the
same grating; and in larger clusters in a uniform layer. A change of one pixel couples the vectors of a cluster, and there

    plain      F = 1/(w_j - w_i)                   is infinite or made of rounding errors,
    broadened  F = conj(gap)/(|gap|^2 + eps)       leaves that coupling out for every eps (a number here, gap = w_j - w_i),
    masked     F = 0                               leaves it out, too,
    split      the usual rule, at eigenvalues that arreig has put a little apart, has it.

Of wrong gradients only NaN is seen. How wrong they are depends on the basis that the eigensolver happened to return. It matters
where the loss breaks the symmetry of the pattern, as the efficiency of one order does. A descent forgives it, because its second
pattern is not symmetric any more; a map of how sensitive a symmetric grating is to its pixels does not.

Sources. Formulation and stable matching: Moharam, Grann, Pommet, Gaylord, J. Opt. Soc. Am. A 12 (1995) 1068 and 1077. Products of
Fourier series: Li, J. Opt. Soc. Am. A 13 (1996) 1870. P, Q and scattering matrices: Rumpf, PIER B 35 (2011) 241.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from loggerhead import table
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

import arreig
import arreig_torch
from arreig.testing import finite_differences

Floats = NDArray[np.float64]
Eig = Callable[[Tensor], tuple[Tensor, Tensor]]

PICTURE = Path("output/grating.png")
PIXELS, M = 12, 2  # pixels a period, each way; highest order
PERIOD, DEPTH = 1.2, 0.8  # in wavelengths; no order grazes
EPS_ABOVE, EPS_BELOW, EPS_LOW, EPS_HIGH = 1.0, 2.25, 1.0, 4.0  # half spaces: air, glass; layer: air to silicon nitride
EPSILONS = [10.0**k for k in range(-16, -1)]


class Grating:
    """The solver with orders up to M; fields are coefficients (2 n,), those of Ex before those of Ey."""

    def __init__(self, M: int = M) -> None:
        m = torch.arange(-M, M + 1)
        self.M, self.orders = M, torch.cartesian_prod(m, m)
        self.kx, self.ky = self.orders.T.double() / PERIOD
        self.Kx, self.Ky = self.kx.diag() + 0j, self.ky.diag() + 0j
        self.I = torch.eye(len(self.kx), dtype=torch.complex128)

    def order(self, m: int, n: int) -> int:
        """The place of an order among the others."""
        return (m + self.M) * (2 * self.M + 1) + n + self.M

    def light(self, axis: str, m: int = 0, n: int = 0) -> Tensor:
        """A plane wave polarised along an axis, in the direction of an order: incident light, or a part of it."""
        e = torch.zeros(2, len(self.kx), dtype=torch.complex128)
        e["xy".index(axis), self.order(m, n)] = 1
        return e.flatten()

    def circular(self) -> Tensor:
        """Circularly polarised light from straight above."""
        return self.light("x") + 1j * self.light("y")

    def convolution(self, p: Tensor) -> Tensor:
        """E for densities p (N, N), first axis x, each constant on its pixel: the FFT of the values times that of a pixel."""
        k, N = torch.arange(-2 * self.M, 2 * self.M + 1), len(p)
        c: Tensor = torch.fft.fft2(EPS_LOW + (EPS_HIGH - EPS_LOW) * p)[k[:, None] % N, k % N] / N**2
        pixel = torch.sinc(k.double() / N)
        c = c * pixel[:, None] * pixel
        m, n = (self.orders[:, None] - self.orders + 2 * self.M).unbind(-1)
        return c[m, n]

    def PQ(self, E: Tensor) -> tuple[Tensor, Tensor]:
        """e' = P h, h' = Q e."""
        Kx, Ky, Z = self.Kx, self.Ky, torch.linalg.inv(E)
        P = _blocks(Kx @ Z @ Ky, self.I - Kx @ Z @ Kx, Ky @ Z @ Ky - self.I, -Ky @ Z @ Kx)
        return P, _blocks(Kx @ Ky, E - Kx @ Kx, Ky @ Ky - E, -Ky @ Kx)

    def kz(self, eps: float) -> Tensor:
        """In a half space: real for orders that carry power, on the positive imaginary axis for the others."""
        return torch.sqrt(eps - self.kx**2 - self.ky**2 + 0j)

    def Y(self, eps: float) -> Tensor:
        """h = Y e for waves that go down in a half space."""
        return self.PQ(eps * self.I)[1] / (1j * self.kz(eps).repeat(2))

    def solve(self, p: Tensor, e: Tensor, eig: Eig) -> tuple[Tensor, Tensor]:
        """r and t."""
        P, Q = self.PQ(self.convolution(p))
        w, V = eig(P @ Q)
        lam = torch.sqrt(w)
        X, U = torch.exp(-lam * 2 * math.pi * DEPTH), -Q @ V / lam
        Y1, Y2 = self.Y(EPS_ABOVE), self.Y(EPS_BELOW)
        matching = _blocks(U + Y1 @ V, -(U - Y1 @ V) * X, (U - Y2 @ V) * X, -(U + Y2 @ V))
        a, b = torch.linalg.solve(matching, torch.cat([2 * Y1 @ e, torch.zeros_like(e)])).chunk(2)
        return V @ (a + X * b) - e, V @ (X * a + b)

    def power(self, field: Tensor, eps: float) -> Tensor:
        """What each order carries along z."""
        kz, (Ex, Ey) = self.kz(eps), field.chunk(2)
        Ez = (self.kx * Ex + self.ky * Ey) / kz
        carried: Tensor = kz.real * (Ex.abs().square() + Ey.abs().square() + Ez.abs().square())
        return carried

    def efficiencies(self, p: Tensor, e: Tensor, eig: Eig = torch.linalg.eig) -> tuple[Tensor, Tensor]:
        """Of the orders reflected and transmitted."""
        r, t = self.solve(p, e, eig)
        incident = self.power(e, EPS_ABOVE).sum()
        return self.power(r, EPS_ABOVE) / incident, self.power(t, EPS_BELOW) / incident

    def deflected(self, p: Tensor, e: Tensor, eig: Eig = torch.linalg.eig) -> Tensor:
        """Efficiency of the transmitted order (1, 0): the loss."""
        return self.efficiencies(p, e, eig)[1][self.order(1, 0)]


def _blocks(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    return torch.cat([torch.cat([a, b], 1), torch.cat([c, d], 1)])


# --- rules ---------------------------------------------------------------------------------------------------------------


class HomeMade(torch.autograd.Function):
    """gA = V^-H (diag(gw) + conj(F) o (V^H gV)) V^H, with whatever F off the diagonal, for losses that no scale of V changes."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, F: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:  # noqa: D102
        w, V = torch.linalg.eig(A)
        ctx.save_for_backward(w, V)
        ctx.F = F
        return w, V

    @staticmethod
    def backward(ctx: Any, gw: Tensor, gV: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        w, V = ctx.saved_tensors
        F = ctx.F(w - w[:, None]).fill_diagonal_(0)
        return torch.linalg.solve(V.mH, (gw.diag() + F.conj() * (V.mH @ gV)) @ V.mH), None


def home_made(F: Callable[[Tensor], Tensor]) -> Eig:
    """torch.linalg.eig with that F(w_j - w_i)."""
    return lambda A: HomeMade.apply(A, F)  # type: ignore[no-untyped-call]


def broadened(eps: float) -> Eig:
    """F = conj(gap)/(|gap|^2 + eps)."""
    return home_made(lambda gap: gap.conj() / (gap.abs().square() + eps))


# Vectors of symmetric patterns have several largest components, so a gauge that fixes phases by one would jump; a loss that is
# smooth in A needs no phases.
RULES: dict[str, Eig] = {
    "plain (torch.linalg.eig)": torch.linalg.eig,
    **{f"broadened, eps = {eps:.0e}": broadened(eps) for eps in EPSILONS},
    "masked": home_made(lambda gap: torch.where(gap.abs() < 1e-8, 0, 1 / gap)),
    'arreig, degeneracy="raise"': lambda A: arreig_torch.eig(A, gauge="phase-free"),
    'arreig, degeneracy="split"': lambda A: arreig_torch.eig(A, gauge="phase-free", degeneracy="split"),
}
PLAIN, *BROADENED, MASKED, RAISE, SPLIT = RULES


# --- patterns ------------------------------------------------------------------------------------------------------------


def pillar(N: int = PIXELS) -> Tensor:
    """A round pillar, soft at its rim: the symmetry of the square."""
    x = (torch.arange(N, dtype=torch.float64) - (N - 1) / 2) / N
    return 0.15 + 0.7 * torch.sigmoid(20 * (0.3 - torch.hypot(x[:, None], x)))


def cases(grating: Grating, N: int = PIXELS) -> dict[str, tuple[Tensor, Tensor]]:
    """Patterns, and light. Two beams on a uniform layer: what a weak pattern moves from one to the other is of first order."""
    noise = torch.rand(N, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    beams = grating.light("y", 1) + 1j * grating.light("y", -1)
    return {
        "symmetric pillar": (pillar(N), grating.circular()),
        "uniform, two beams": (torch.full((N, N), 0.5, dtype=torch.float64), beams),
        "no symmetry": (noise, grating.circular()),
    }


class Result(NamedTuple):
    """Errors of the rules for each case, efficiencies at every step, and the patterns before and after."""

    errors: dict[str, dict[str, float]]
    history: Floats
    start: Tensor
    design: Tensor


def gradient(grating: Grating, p: Tensor, e: Tensor, eig: Eig) -> Floats:
    """Of the loss, to the pixels."""
    p = p.clone().requires_grad_()
    (gp,) = torch.autograd.grad(grating.deflected(p, e, eig), p)
    return np.asarray(gp)


def differences(grating: Grating, p: Tensor, e: Tensor) -> Floats:
    """The same by finite differences of the efficiency, which does not depend on any rule."""
    return finite_differences(lambda q: grating.deflected(torch.as_tensor(q), e).numpy(), p)


def gradient_errors(grating: Grating) -> dict[str, dict[str, float]]:
    """Largest error over the pixels, relative to the largest derivative; infinite where the rule refuses."""
    errors: dict[str, dict[str, float]] = {}
    for case, (p, e) in cases(grating).items():
        exact, errors[case] = differences(grating, p, e), {}
        for rule, eig in RULES.items():
            try:
                deviation = np.abs(gradient(grating, p, e, eig) - exact).max()
                errors[case][rule] = float(deviation / np.abs(exact).max())
            except arreig.DegenerateEigenvaluesError:
                errors[case][rule] = math.inf
    return errors


def descend(grating: Grating, eig: Eig, steps: int, progress: Progress) -> tuple[Floats, Tensor]:
    """Adam on logit(p), from the pillar: the efficiency at every step, and the last pattern."""
    x, e, history = torch.logit(pillar()).requires_grad_(), grating.circular(), []
    optimiser, task = torch.optim.Adam([x], lr=0.2), progress.add_task("", total=steps)
    for _ in range(steps):
        optimiser.zero_grad()
        efficiency = grating.deflected(torch.sigmoid(x), e, eig)
        (-efficiency).backward()
        optimiser.step()
        history.append(efficiency.item())
        progress.update(task, advance=1, description=f"efficiency {history[-1]:.3f}")
    design = torch.sigmoid(x.detach())
    return np.array([*history, grating.deflected(design, e).item()]), design


def report(console: Console, grating: Grating, result: Result) -> None:
    """Errors of the gradient, and what the design does with the light."""
    t = table("Largest error of the gradient to the pixels, relative, by finite differences", "rule", *result.errors)
    for rule in RULES:
        if rule not in BROADENED or rule.endswith(("-12", "-08", "-04")):
            row = (errors[rule] for errors in result.errors.values())
            t.add_row(rule, *("refused" if math.isinf(x) else f"{x:.1e}" for x in row))
    console.print(t)
    t = table("Where the light goes, %", "order", "pillar", "design")
    (R, T), (R1, T1) = (grating.efficiencies(p, grating.circular()) for p in (result.start, result.design))
    for m, n in ((1, 0), (-1, 0), (0, 0), (0, 1), (0, -1)):
        j = grating.order(m, n)
        t.add_row(f"transmitted ({m}, {n})", f"{100 * T[j]:.1f}", f"{100 * T1[j]:.1f}")
    t.add_row("reflected, all", f"{100 * R.sum():.1f}", f"{100 * R1.sum():.1f}")
    console.print(t)
    finer = Grating(grating.M + 2)
    efficiency = 100 * finer.deflected(result.design, finer.circular())
    console.print(f"(1, 0) of the design with orders up to {finer.M} in place of {grating.M}: {efficiency:.1f} %")


def draw(picture: Path, result: Result) -> None:
    """The errors over eps, a panel for each case; the patterns; the descent."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot: a file is all it makes (Agg), whatever the user's backend

    blue, orange, grey = "#0072B2", "#D55E00", "0.45"  # told apart by colour-blind people too
    with rc_context({"font.size": 12, "axes.titlelocation": "left", "axes.axisbelow": True, "legend.framealpha": 1}):
        fig = Figure(figsize=(15, 9.5), layout="constrained")
        rows = fig.subfigures(2, squeeze=False, hspace=0.05)[:, 0]
        top, bottom = (row.subplots(1, 3) for row in rows)
        for ax, (case, errors) in zip(top, result.errors.items(), strict=True):
            ax.axhline(errors[SPLIT], color=blue, linewidth=5, label="split")
            ax.loglog(EPSILONS, [errors[rule] for rule in BROADENED], "o-", color=orange, label="broadened")
            ax.axhline(errors[MASKED], color="black", linestyle="--", linewidth=2, label="masked")
            ax.axhline(errors[PLAIN], color=grey, linestyle=":", linewidth=3, label="plain")
            if math.isnan(errors[PLAIN]):
                ax.text(0.5, 0.55, "plain: NaN", transform=ax.transAxes, ha="center", color=grey)
            ax.set(
                ylim=(1e-12, 30), xlabel="eps of the broadened rule", xticks=EPSILONS[::4], title=f"Gradient: {case}"
            )
        top[0].set_ylabel("largest error, relative")
        top[0].legend(loc="center left")
        for ax, p, title in zip(
            bottom, (result.start, result.design), ("Density at the start", "Density of the design"), strict=False
        ):
            image = ax.imshow(
                np.tile(p.numpy().T, (2, 2)), origin="lower", extent=(0, 2, 0, 2), vmin=0, vmax=1, cmap="cividis"
            )
            ax.set(xticks=(0, 1, 2), yticks=(0, 1, 2), xlabel="x (periods)", ylabel="y (periods)", title=title)
        rows[1].colorbar(image, ax=bottom[:2], shrink=0.8)
        bottom[2].plot(100 * result.history, color=blue, linewidth=2.5)
        bottom[2].set(xlabel="gradient step", ylabel="efficiency (%)", title="Light in the order (1, 0)", ylim=(0, 75))
        for ax in (*top, bottom[2]):
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
        picture.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(picture, dpi=110)


def main(picture: Path | None = PICTURE, steps: int = 100, *, progress: bool = True) -> Result:
    """Compare the gradients, design a grating, print what came out and, unless `picture` is None, draw it."""
    console, grating = Console(), Grating()
    errors = gradient_errors(grating)
    columns = TextColumn("step {task.completed}"), BarColumn(30), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, disable=not progress) as bar:
        history, design = descend(grating, RULES[SPLIT], steps, bar)
        other = descend(grating, RULES[MASKED], steps, bar)[0]
    result = Result(errors, history, pillar(), design)
    report(console, grating, result)
    console.print(f"(1, 0) after the same descent with the masked rule: {100 * other[-1]:.1f} %")
    if picture is not None:
        draw(picture, result)
        console.print(f"picture: {picture}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A diffraction grating that sends light into one order.")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file of the picture")
    parser.add_argument("--steps", type=int, default=100, help="gradient steps")
    args = parser.parse_args()
    torch.set_num_threads(1)  # matrices as small as these gain nothing from more
    main(args.picture, args.steps)
