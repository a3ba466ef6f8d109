"""A torch layer of eigenvalues and eigenvectors: two and a half centuries of sunspots, learned as damped oscillations.

The state x of a series y is its last n values, x_k = y(-k), k = 0 ... n-1 (delay coordinates), and moves by dx/dt = A x, A a
real n x n matrix, not symmetric: a linear Koopman model in continuous time. With A V = V diag(w) and W = V^-H,

    x(t) = exp(A t) x(0) = V diag(exp(w t)) a,    a = W^H x(0).

An eigenvector is determined up to a factor. Here V_0j = 1 (the gauge Component(0)), so that a_j is the part of mode j in
y = x_0 itself, in the units of y, and a forecast is a sum over modes,

    y(t) = sum_j a_j exp(w_j t),    with period 2 pi/|Im w_j| and decay time -1/Re w_j.

Why modes and not powers of a matrix: one decomposition serves every lead time t, also between the years and before the last
value, where powers know whole steps forwards; and periods, decay times and shapes of the modes can be part of the loss,

    L = mean (y(t) - y_t)^2 + mu mean_kj |V_kj exp(w_j k) - 1|^2 + nu sum_j max(Re w_j, 0)^2,    t = 1 ... 11 years.

The second term is about eigenvectors. k years ago, mode j was a_j V_kj by the state and a_j exp(-w_j k) by the forecast
run backwards. A fit of y(t) at t > 0 does not make them agree: with mu = 0 it forecasts about as well, but reconstructs the
years before, which it holds in its state, wrongly. The third term keeps modes from growing.

A may be a batch. Here it holds the fit, the fit with mu = 0, and fits to training data resampled in blocks of 22 years, which
show how well the data determine each mode. All are trained at once; each is its own model. What comes out: the penalty makes
the modes consistent, and hardly changes the forecasts; these beat persistence and climatology, while an autoregression with as
many delays, fitted by least squares to one year ahead, is slightly better still.

With `torch.linalg.eig`, whose vectors have norm 1 and LAPACK's phases, the backward pass refuses this loss until V is divided
by V[..., :1, :] and W is taken from its inverse; then the gradients agree.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from loggerhead import table
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from statsmodels.datasets import sunspots  # type: ignore[import-untyped]
from torch import Tensor, nn

import arreig
import arreig_torch
from arreig.testing import matching

Floats = NDArray[np.float64]

PICTURE = Path("output/spectral_layer.png")
N, LEADS, FIRST_HELD_OUT = 11, 11, 1950  # delays; lead times of 1 ... 11 years; the years from 1950 on are for judging
MU, NU, BLOCK, SEED = 1.0, 1.0, 22, 0
FIT, FREE = 0, 1  # members of the batch: the fit to all training data, and the one with mu = 0


class Modes(NamedTuple):
    """Eigenvalues w (..., n), eigenvectors V and left eigenvectors W (..., n, n) as columns, V[..., 0, :] = 1."""

    w: Tensor
    V: Tensor
    W: Tensor

    def amplitudes(self, x: Tensor) -> Tensor:
        """a = W^H x for states x (..., N, n), real."""
        return torch.complex(x @ self.W.real, -(x @ self.W.imag))

    def shape_defect(self) -> Tensor:
        """mean_kj |V_kj exp(w_j k) - 1|^2 (...): how far the modes are from their own delays."""
        k = torch.arange(self.w.shape[-1], device=self.w.device)
        return (self.V * torch.exp(self.w[..., None, :] * k[:, None]) - 1).abs().square().mean((-2, -1))


class SpectralLayer(nn.Module):
    """Forecasts y(t) of dx/dt = A x, y = x_0, from the eigenvalues and eigenvectors of the parameter A (*batch_shape, n, n).

    A starts as the shift in time with period n (antiperiodic for even n), damped: w_j = -1/decay + 2 pi i (j - (n-1)/2)/n.
    """

    def __init__(self, n: int, *, decay: float = 20.0, batch_shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        k = torch.arange(n, dtype=torch.float64)
        w = -1 / decay + 2j * math.pi * (k - (n - 1) / 2) / n
        V = torch.exp(-w * k[:, None])
        A = ((V * w) @ torch.linalg.inv(V)).real.to(torch.get_default_dtype())
        self.A = nn.Parameter(A.repeat(*batch_shape, 1, 1))

    def modes(self) -> Modes:
        """The modes, slowest decay first."""
        return Modes(*arreig_torch.eig(self.A, gauge=arreig.Component(0), sort="real", left=True))

    def forward(self, x: Tensor, t: Tensor) -> tuple[Tensor, Modes]:
        """Forecasts (..., N, T) from states x (..., N, n) at times t (T,), and the modes that they are made of."""
        modes = self.modes()
        y: Tensor = (modes.amplitudes(x) @ torch.exp(modes.w[..., :, None] * t)).real
        return y, modes


def objective(y: Tensor, modes: Modes, truth: Tensor, weights: Tensor | float = 1, mu: Tensor | float = MU) -> Tensor:
    """L for each member of the batch; a state counts as many times as its weight (..., N) says."""
    error, growth = ((y - truth).square().mean(-1) * weights).mean(-1), torch.relu(modes.w.real).square().sum(-1)
    return error + mu * modes.shape_defect() + NU * growth


class Data(NamedTuple):
    """The series and its scale, and scaled states x with what followed, y: from the training years, and held out."""

    years: Floats
    series: Floats
    mean: float
    std: float
    x: Tensor
    y: Tensor
    held_out_x: Tensor
    held_out_y: Tensor


def sunspot_data() -> Data:
    """Yearly sunspot numbers 1700-2008; nothing from FIRST_HELD_OUT on enters the training or the scale."""
    columns = sunspots.load_pandas().data
    years, series = (np.array(columns[name], dtype=np.float64) for name in ("YEAR", "SUNACTIVITY"))
    split = int(np.searchsorted(years, FIRST_HELD_OUT))
    mean, std = float(series[:split].mean()), float(series[:split].std())
    z = torch.as_tensor((series - mean) / std)

    def windows(first: int, end: int) -> tuple[Tensor, Tensor]:
        now = torch.arange(first, end - LEADS)[:, None]
        return z[now - torch.arange(N)], z[now + torch.arange(1, LEADS + 1)]

    return Data(years, series, mean, std, *windows(N - 1, split), *windows(split - 1, len(z)))


def train(layer: SpectralLayer, data: Data, steps: int, progress: Progress) -> Floats:
    """Adam on the sum over the batch, whose members do not meet in it; returns L (steps, members)."""
    members, count = layer.A.shape[0], len(data.x)
    starts = torch.randint(count, (members, -(-count // BLOCK), 1), generator=torch.Generator().manual_seed(SEED))
    drawn = (starts + torch.arange(BLOCK)).flatten(1)[:, :count] % count  # blocks, with replacement
    drawn[:2] = torch.arange(count)
    weights = torch.stack([row.bincount(minlength=count) for row in drawn]).double()
    mu = torch.full((members,), MU, dtype=torch.float64)
    mu[FREE] = 0
    optimiser = torch.optim.Adam(layer.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.02, total_steps=steps + 1)
    history = np.empty((steps, members))
    task = progress.add_task("", total=steps)
    for k in range(steps):
        optimiser.zero_grad()
        forecast, modes = layer(data.x, torch.arange(1, LEADS + 1))
        L = objective(forecast, modes, data.y, weights, mu)
        L.sum().backward()
        optimiser.step()
        schedule.step()
        history[k] = L.detach().numpy()
        progress.update(task, advance=1, description=f"L = {history[k, FIT]:.4f}")
    return history


class Result(NamedTuple):
    """The trained batch, its L at every step, and RMSE in sunspots on held-out years by lead time, ahead and past."""

    layer: SpectralLayer
    history: Floats
    ahead: dict[str, Floats]
    past: dict[str, Floats]


@torch.no_grad()
def evaluate(layer: SpectralLayer, data: Data, history: Floats) -> Result:
    """Forecasts from every held-out year, beside three that need no modes; and the years that the state holds."""
    x = data.held_out_x
    ahead, past = layer(x, torch.arange(1, LEADS + 1))[0], layer(x, -torch.arange(1, N))[0]
    # The autoregression y(1) = c^T x by least squares, and its matrix powers.
    c = torch.linalg.lstsq(data.x, data.y[:, :1]).solution
    step = torch.cat([c, torch.eye(N, dtype=c.dtype)[:, :-1]], 1)
    forecasts = {
        "modes": ahead[FIT],
        "modes, µ = 0": ahead[FREE],
        f"autoregression({N})": torch.stack([x @ step.matrix_power(t)[:, 0] for t in range(1, LEADS + 1)], 1),
        "persistence": x[:, :1].expand(-1, LEADS),
        "climatology": torch.zeros(1, LEADS, dtype=x.dtype),
    }

    def rmse(forecast: Tensor, truth: Tensor) -> Floats:
        return data.std * (forecast - truth).square().mean(0).sqrt().numpy()

    errors = {name: rmse(forecast, data.held_out_y) for name, forecast in forecasts.items()}
    return Result(layer, history, errors, {name: rmse(past[k], x[:, 1:]) for k, name in enumerate(list(errors)[:2])})


@torch.no_grad()
def report(console: Console, data: Data, result: Result) -> None:
    """The modes of the fit, one of each conjugate pair, and errors by lead time."""
    modes = result.layer.modes()
    w, rms = modes.w.numpy(), data.std * modes.amplitudes(data.x)[FIT].abs().square().mean(0).sqrt()
    near = np.array([v[matching(v, w[FIT])] for v in w[2:]])  # for each mode the nearest one of each resampled fit

    def entry(value: float, others: Floats) -> str:
        low, high = np.quantile(others, [0.1, 0.9]) if len(others) else (value, value)
        return f"{value:.2f} ({low:.2f} to {high:.2f})"

    t = table("Learned modes", "period, years", "decay time, years", "rms, sunspots")
    for j in np.flatnonzero(w[FIT].imag >= 0):
        v, others, period = w[FIT, j], near[:, j], "none"
        if v.imag > 0:
            period = entry(2 * np.pi / v.imag, 2 * np.pi / others.imag[others.imag > 0])
        t.add_row(period, entry(-1 / v.real, -1 / others.real), f"{rms[j] * (2 if v.imag > 0 else 1):.1f}")
    console.print(t, f"in brackets: 10 to 90 % of {len(near)} fits to resampled training data\n")
    leads = [1, 2, 3, 5, 8, 11]
    t = table("RMSE in sunspots on held-out years", "lead time, years", *map(str, leads), "1 to 11", f"{1 - N} to -1")
    for name, rmse in result.ahead.items():
        past = f"{result.past[name].mean():.1f}" if name in result.past else ""
        t.add_row(name, *(f"{rmse[h - 1]:.1f}" for h in leads), f"{rmse.mean():.1f}", past)
    console.print(t)


@torch.no_grad()
def draw(picture: Path, data: Data, result: Result) -> None:
    """Forecasts beside the series; errors by lead time, spectrum and the shape of the slowest oscillation."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # without pyplot: a file is all it makes (Agg), whatever the user's backend

    blue, light, orange, grey = "#0072B2", "#9CC7E0", "#D55E00", "0.55"  # told apart by colour-blind people too
    t = torch.linspace(0, LEADS, 111, dtype=torch.float64)  # ten times a year: modes do not mind
    z, (w, V, _) = result.layer(data.held_out_x, t)
    y = data.mean + data.std * z
    low, high = y[2:].quantile(torch.tensor([0.1, 0.9]).to(y), dim=0)
    with rc_context({"font.size": 12, "axes.titlelocation": "left", "axes.axisbelow": True, "legend.framealpha": 1}):
        fig = Figure(figsize=(15, 10), layout="constrained")
        panels = fig.subplot_mosaic("AAA;BCD")
        ax = panels["A"]
        ax.axvspan(1930, FIRST_HELD_OUT - 0.5, color="0.94")
        ax.plot(data.years, data.series, "o-", color="black", markersize=3.5, linewidth=1, label="observed")
        for i in range(0, len(y[FIT]), 12):
            now, show = FIRST_HELD_OUT - 1 + i, "_" if i else ""  # the legend has what does not start with _
            ax.plot(now + t, y[FIT, i], color=blue, linewidth=2.5, label=show + "forecast")
            ax.fill_between(now + t, low[i], high[i], color=light, label=show + "resampled fits, 10-90 %")
            ax.plot(now, y[FIT, i, 0], "o", color=blue, markersize=9, label=show + "its last known value")
        ax.set(xlim=(1930, 2009), ylim=(-35, 235), xlabel="year", ylabel="sunspot number")
        ax.set_title(f"Forecasts of {LEADS} years by models of the years before {FIRST_HELD_OUT} (shaded)")
        ax.legend(loc="upper left", ncols=4)
        ax, colours, dashes = panels["B"], (blue, orange, "black", grey, grey), ("-", "-", "--", "-.", ":")
        for (name, rmse), colour, dash in zip(result.ahead.items(), colours, dashes, strict=True):
            ax.plot(range(1, LEADS + 1), rmse, dash, color=colour, linewidth=2, label=name)
            if name in result.past:
                ax.plot(range(-1, -N, -1), result.past[name], dash, color=colour, linewidth=2)
        ax.set(yscale="log", xlabel="lead time (years)", ylabel="RMSE (sunspot number)")
        ax.set_title("Errors; left of 0: years the state holds")
        ax.set_yticks(ticks := [2, 5, 10, 20, 50, 100, 200], map(str, ticks), minor=False)
        ax.minorticks_off()
        ax.legend(fontsize=10, loc="lower right")
        ax, start = panels["C"], SpectralLayer(N).modes().w
        for v, label, colour, marker in (
            (start, "start", grey, "x"),
            (w[2:].flatten(), "resampled fits", light, "."),
            (w[FREE], "fit, µ = 0", orange, "^"),
            (w[FIT], "fit", blue, "o"),
        ):
            ax.scatter(v.real, v.imag / (2 * math.pi), s=50, marker=marker, color=colour, label=label)
        for v in w[FIT][w[FIT].imag > 0]:
            ax.text(v.real, v.imag / (2 * math.pi) + 0.015, f"{2 * math.pi / v.imag:.1f} years", ha="center")
        ax.set(xlim=(-0.4, 0.05), ylim=(-0.02, 0.5), xlabel="Re w (1/years)", ylabel="Im w / 2π (cycles/year)")
        ax.set_title("Upper half of the spectrum")
        ax.legend(fontsize=10, loc="lower left")
        ax, k = panels["D"], torch.linspace(0, N - 1, 101)
        for member, colour, marker, label in ((FREE, orange, "^", ", µ = 0"), (FIT, blue, "o", "")):
            j = int((w[member] - 2j * math.pi / 11).abs().argmin())
            ax.plot(-k, torch.exp(-w[member, j] * k).real, color=colour, label=f"exp(-wk){label}")
            ax.plot(-torch.arange(N), V[member, :, j].real, marker, color=colour, markersize=8, label=f"V{label}")
        ax.set(xlabel="delay -k (years)", ylabel="real part (1 at delay 0)", title="Shape of the 11-year mode")
        ax.legend(fontsize=10, loc="upper center")
        for ax in panels.values():
            ax.grid(alpha=0.3)
            ax.spines[["top", "right"]].set_visible(False)
        picture.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(picture, dpi=110)


def main(picture: Path | None = PICTURE, steps: int = 1000, *, resamples: int = 14, progress: bool = True) -> Result:
    """Train the batch, print what it found and, unless `picture` is None, draw it."""
    console, data = Console(), sunspot_data()
    layer = SpectralLayer(N, batch_shape=(2 + resamples,)).double()
    columns = TextColumn("step {task.completed}"), BarColumn(30), TimeElapsedColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=console, disable=not progress) as bar:
        history = train(layer, data, steps, bar)
    result = evaluate(layer, data, history)
    report(console, data, result)
    if picture is not None:
        draw(picture, data, result)
        console.print(f"picture: {picture}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The sunspot numbers as a sum of learned damped oscillations.")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file of the picture")
    parser.add_argument("--steps", type=int, default=1000, help="gradient steps")
    args = parser.parse_args()
    torch.set_num_threads(1)  # matrices as small as these gain nothing from more
    main(args.picture, args.steps)
