"""Which flight would bring Pittsburgh more passengers? Importance and mixing in a real network, and the links that change them.

The network: the airline routes of the United States in July 2026, from the package bokeh-sampledata (US Bureau of Transportation
Statistics; public domain). A link i -> j has as its weight c_ij the number of airlines that flew it. A passenger without a plan
takes any of the flights that leave, P_ij = c_ij/r_i with r_i = sum_j c_ij, and n passengers without a plan move by the sparse
matrix T = P^T, whose columns sum to 1. It is not symmetric, and some routes are flown one way only.

- Importance: where they are in the long run, if a share 1 - d of them starts anew at any airport each time (PageRank). It is the
  eigenvector x of eigenvalue 1 of

      G = d T + (1 - d)/n 1 1^T,    sum x = 1,

  in the gauge Functional(1). G is full, and so it is a LinearOperator; the gradient of x_Pittsburgh is a rank 1 matrix y x^T,
  known by its factors. So it is known for the links that there are and for all that there are not.
- Mixing: how fast they forget where they started, the modulus of the second eigenvalue of T. T is sparse, and so is the gradient.

From T to the weights, with g_ij = dL/dP_ij: dL/dc_ij = (g_ij - sum_k P_ik g_ik)/r_i, as a new flight takes its
passengers from the others of its airport. That is the slope; what one airline more really does is computed beside it.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as linalg
from loggerhead import table
from numpy.typing import NDArray
from rich.console import Console

import arreig

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

PICTURE = Path("output/network.png")
AIRPORT, DAMPING, TOP = "PIT", 0.85, 6
LARGE = (
    20  # departures from which an airport is asked for new links: one flight more from a tiny one is no small change
)


def total(node: Indices, x: Floats, n: int) -> Floats:
    """The sums of x over links of the same node."""
    sums = np.zeros(n)
    np.add.at(sums, node, x)
    return sums


class Network(NamedTuple):
    """Airports, and a link for every pair that is flown."""

    codes: list[str]
    cities: list[str]
    lon: Floats
    lat: Floats
    source: Indices
    target: Indices
    weight: Floats

    def departures(self) -> Floats:
        """r (n,)."""
        return total(self.source, self.weight, len(self.codes))

    def one_more(self, i: int, j: int, airlines: float = 1.0) -> "Network":
        """With airlines added to the link i -> j, which may be new."""
        here = (self.source == i) & (self.target == j)
        if here.any():
            return self._replace(weight=self.weight + airlines * here)
        source, target = np.append(self.source, i), np.append(self.target, j)
        return self._replace(source=source, target=target, weight=np.append(self.weight, airlines))


def airline_network() -> Network:
    """The routes of bokeh-sampledata: all airports can be reached from each other."""
    try:
        from bokeh_sampledata.airport_routes import airports, routes
    except ImportError as error:
        raise ImportError("the airline routes are those of bokeh-sampledata: pip install bokeh-sampledata") from error
    codes = sorted({*routes["Source"], *routes["Destination"]})
    place = airports.set_index("IATA").loc[codes]
    index = {code: i for i, code in enumerate(codes)}
    pairs = np.array([[index[code] for code in routes[end]] for end in ("Source", "Destination")])
    (source, target), weight = np.unique(pairs, axis=1, return_counts=True)
    lon, lat = (place[name].to_numpy(dtype=np.float64) for name in ("Longitude", "Latitude"))
    return Network(codes, list(place["City"]), lon, lat, source, target, weight.astype(np.float64))


def transition(net: Network) -> sparse.coo_array:
    """T, with an entry for each link, in their order."""
    n = len(net.codes)
    return sparse.coo_array((net.weight / net.departures()[net.source], (net.target, net.source)), shape=(n, n))


def importance(net: Network, damping: float = DAMPING) -> arreig.EigsResult:
    """Eigenvalue 1 of G and x, which sums to 1."""
    T, n = transition(net).tocsr(), len(net.codes)
    G = linalg.LinearOperator(
        (n, n),
        matvec=lambda x: damping * (T @ x) + (1 - damping) / n * x.sum(),
        rmatvec=lambda y: damping * (T.T @ y) + (1 - damping) / n * y.sum(),
        dtype=np.float64,
    )
    return arreig.eigs(G, k=1, gauge=arreig.Functional(np.ones(n)))


def mixing(net: Network) -> arreig.EigsResult:
    """The two largest eigenvalues of T: 1, and the one that forgets slowest."""
    return arreig.eigs(transition(net), k=2, sort="abs")


def share(net: Network, airport: int, damping: float = DAMPING) -> float:
    """x at an airport."""
    return float(importance(net, damping).eigenvectors[airport, 0].real)


def memory(net: Network) -> float:
    """|w_1|, which part of a deviation is left after one flight."""
    return float(np.abs(mixing(net).eigenvalues[1]))


def slopes_of_share(net: Network, airport: int, damping: float = DAMPING) -> Floats:
    """d share/d weight for all pairs of airports [from, to], linked or not."""
    n, r = len(net.codes), net.departures()
    gV = np.zeros((n, 1))
    gV[airport] = 1
    Y, V = importance(net, damping).vjp(gV, factors=True)
    g = damping * V @ Y.T  # of P = T^T
    mean = total(net.source, net.weight / r[net.source] * g[net.source, net.target], n)
    slopes: Floats = (g - mean[:, None]) / r[:, None]
    return slopes


def slopes_of_memory(net: Network) -> Floats:
    """d memory/d weight for the links."""
    res, r = mixing(net), net.departures()
    gw = np.zeros(2, dtype=complex)
    gw[1] = res.eigenvalues[1] / abs(res.eigenvalues[1])
    g = res.vjp(gw=gw).data  # in the order of the links
    mean = total(net.source, net.weight / r[net.source] * g, len(r))
    slopes: Floats = (g - mean[net.source]) / r[net.source]
    return slopes


class Change(NamedTuple):
    """One airline more from i to j: the slope, and what it really changes."""

    i: int
    j: int
    slope: float
    real: float


class Result(NamedTuple):
    """The network, the airport; links that raise its share most, flown and not; those that make passengers forget fastest."""

    net: Network
    airport: int
    x: Floats
    flown: list[Change]
    new: list[Change]
    forgetting: list[Change]
    together: tuple[float, float]  # memory, and that with all of these


def analyse(net: Network, airport: int) -> Result:
    """Slopes for all links, and trials of the steepest."""
    n, r, x = len(net.codes), net.departures(), importance(net).eigenvectors[:, 0].real
    slopes, is_flown = slopes_of_share(net, airport), np.eye(n, dtype=bool)
    is_flown[net.source, net.target] = True
    large = r >= LARGE

    def steepest(allowed: NDArray[np.bool_]) -> list[Change]:
        order = np.argsort(np.where(allowed, -slopes, np.inf), axis=None, kind="stable")[:TOP]
        pairs = (divmod(int(k), n) for k in order)
        return [Change(i, j, slopes[i, j], share(net.one_more(i, j), airport) - x[airport]) for i, j in pairs]

    flown = steepest(is_flown & ~np.eye(n, dtype=bool) & large[:, None])
    new = steepest(~is_flown & large[:, None] & large)
    slope, before, better, forgetting = slopes_of_memory(net), memory(net), net, []
    for k in np.argsort(slope, kind="stable")[:TOP]:
        i, j = int(net.source[k]), int(net.target[k])
        forgetting.append(Change(i, j, slope[k], memory(net.one_more(i, j)) - before))
        better = better.one_more(i, j)
    return Result(net, airport, x, flown, new, forgetting, (before, memory(better)))


def report(console: Console, result: Result) -> None:
    """The tables."""
    net, x = result.net, result.x
    count, airlines, city = len(net.weight), int(net.weight.sum()), net.cities[result.airport]
    rank = int((x > x[result.airport]).sum()) + 1
    console.print(f"{len(net.codes)} airports, {count:,} links; airlines over all links: {airlines:,}")
    console.print(f"share of {city}: {100 * x[result.airport]:.4f} %, number {rank}\n")

    def show(title: str, changes: list[Change], unit: float, digits: int) -> None:
        t = table(title, "from", "to", "slope", "really")
        for i, j, slope, real in changes:
            t.add_row(net.cities[i], net.cities[j], f"{unit * slope:+.{digits}f}", f"{unit * real:+.{digits}f}")
        console.print(t)

    show(f"One airline more: share of {city}, %", result.flown, 100, 5)
    show(f"A new link between airports of {LARGE} departures and more: the same", result.new, 100, 5)
    before, after = result.together
    show(f"One airline more: memory, {before:.5f}", result.forgetting, 1, 5)
    halved = (np.log(0.5) / np.log(m) for m in (before, after))
    console.print(
        "with these {} together {:.5f}: {:.2f} flights halve a memory, not {:.2f}".format(
            TOP, after, *list(halved)[::-1]
        )
    )


def draw(picture: Path, result: Result) -> None:
    """Two maps: importance, and what is forgotten slowest."""
    from bokeh_sampledata.us_states import data as states
    from matplotlib import rc_context
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure  # without pyplot: a file is all it makes (Agg), whatever the user's backend

    net, blue, orange = result.net, "#0072B2", "#D55E00"  # told apart by colour-blind people too
    lon, lat = net.lon, net.lat

    def land(ax: Axes, title: str, window: tuple[float, float, float, float]) -> None:
        for state in states.values():
            ax.plot(state["lons"], state["lats"], color="0.8", linewidth=0.7, zorder=0)
        ax.set(xlim=window[:2], ylim=window[2:], title=title, xlabel="longitude (°)", ylabel="latitude (°)")
        ax.set_aspect(1 / np.cos(np.radians((window[2] + window[3]) / 2)))

    def arrows(ax: Axes, changes: list[Change], colour: str, label: str) -> None:
        arrow = {"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.15", "color": colour, "linewidth": 1.5}
        for i, j, *_ in changes:
            ax.annotate("", (lon[j], lat[j]), (lon[i], lat[i]), arrowprops={**arrow, "shrinkB": 5}, zorder=4)
        ax.plot([], [], color=colour, linewidth=2, label=label)

    def name(ax: Axes, changes: list[Change], centre: tuple[float, float]) -> None:
        box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.5}
        for i in {node for change in changes for node in change[:2]}:  # beside the airport, away from the centre
            away = np.array([lon[i], lat[i]]) - centre
            x, y = (20, 14) * away / np.hypot(*away)
            label = ax.annotate(net.codes[i], (lon[i], lat[i]), (x, y), textcoords="offset points", zorder=6)
            label.set(ha="center", va="center", fontsize=10, bbox=box)

    with rc_context({"font.size": 12, "axes.titlelocation": "left", "legend.framealpha": 1}):
        fig = Figure(figsize=(17, 7.2))
        fig.set_layout_engine("constrained", w_pad=0.15, h_pad=0.15)
        ax, ax_m = fig.subplots(1, 2, width_ratios=(1.5, 1))
        land(
            ax, f"Importance, and links that would raise that of {net.cities[result.airport]}", (-155, -65, 23.5, 62.5)
        )
        ax.plot(lon[[net.source, net.target]], lat[[net.source, net.target]], color="0.7", linewidth=0.15, zorder=1)
        area = 4e3 * result.x
        ax.scatter(lon, lat, area, color="0.35", edgecolor="white", linewidth=0.5, zorder=3, label="importance (area)")
        arrows(ax, result.flown, blue, "one airline more")
        arrows(ax, result.new, orange, "new link")
        name(ax, result.flown + result.new, (lon[result.airport] - 0.5, lat[result.airport]))
        ax.legend(loc="lower left")
        land(ax_m, "What is forgotten slowest, and links that would help", (-154, -118, 45, 62.5))
        excess = mixing(net).eigenvectors[:, 1].real / importance(net, 1.0).eigenvectors[:, 0].real
        excess /= np.abs(excess).max()
        dots = ax_m.scatter(
            lon, lat, 60, c=excess, cmap="PuOr_r", vmin=-1, vmax=1, edgecolor="0.3", linewidth=0.5, zorder=3
        )
        fig.colorbar(dots, ax=ax_m, label="excess of passengers over the long run (largest 1)", shrink=0.75)
        arrows(ax_m, result.forgetting, blue, "one airline more")
        name(ax_m, result.forgetting, (-134.3, 57))
        ax_m.legend(loc="lower left")
        picture.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(picture, dpi=110)


def main(picture: Path | None = PICTURE, airport: str = AIRPORT) -> Result:
    """Find the links, try them, print them and, unless `picture` is None, draw them."""
    console, net = Console(), airline_network()
    if airport not in net.codes:
        raise SystemExit(f"{airport} is not one of the airports: {', '.join(net.codes)}")
    result = analyse(net, net.codes.index(airport))
    report(console, result)
    if picture is not None:
        draw(picture, result)
        console.print(f"picture: {picture}")
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Which links change the importance of an airport.")
    parser.add_argument("--picture", type=Path, default=PICTURE, help="file of the picture")
    parser.add_argument("--airport", default=AIRPORT, help="its IATA code")
    args = parser.parse_args()
    main(args.picture, args.airport)
