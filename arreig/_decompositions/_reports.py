"""Flags that more than one public function raises, with their messages: what was expected, what came, what to do."""

from .. import _errors
from .._array_api import column_norm, namespace, roundoff
from .._backends import backend_for
from .._degeneracy import numerically_singular
from .._gauge import Anchors, Gauge
from .._rules._checks import CotangentFlags
from .._types import Array
from ._flags import Flag, Index, unset


def member(batch: Index) -> str:
    """Which matrix of the batch, for a message; nothing where there is only one."""
    return f" of batch member {batch}" if batch else ""


def number(x: Array) -> str:
    """A zero-dimensional array in six digits."""
    z = backend_for(x).number(x)
    return f"{z.real:.6g}" if z.imag == 0 else f"{z.real:.6g}{z.imag:+.6g}j"


def tame(name: str, X: Array, core: int, flags: list[Flag]) -> Array:
    """X with 0 for NaN and infinity, and a flag that names the first; X itself if it is seen to have none.

    Nothing later meets them: LAPACK raises for a whole batch or hangs, and NumPy warns at every step.
    """
    xp = namespace(X)
    if (plain := getattr(xp, "plain_finite", None)) is not None and plain(X):
        return X
    finite = xp.isfinite(X)
    if unset(~finite):
        return X

    def report(index: Index) -> Exception:
        batch, entry = index[: len(index) - core], index[len(index) - core :]
        return _errors.NonFiniteError(f"{name} must be finite, but entry {entry}{member(batch)} is {number(X[index])}")

    flags.append(Flag(~finite, core, report))
    return xp.where(finite, X, 0.0)


def undefined_gauge(V: Array, gauge: Gauge) -> list[Flag]:
    """The gauge's condition cannot be met by V, of any scale; nothing for a gauge that can always be met."""
    undefined = gauge.undefined(V)
    if undefined is None:
        return []

    def report(index: Index) -> Exception:
        *batch, j = index
        if not bool(namespace(V).isfinite(gauge.scale(V)[index])):
            return _errors.NonFiniteError(f"{gauge!r} must have finite components")
        return _errors.GaugeError(
            f"{gauge!r} cannot scale eigenvector {j}{member(tuple(batch))}: what it sets to 1 is "
            f"{number(gauge.scale(V)[index])} there, below sqrt(u) of the vector. Choose another component or functional, "
            f"or gauge='canonical'"
        )

    return [Flag(undefined, 1, report)]


def gauge_tie(V: Array, gauge: Gauge, real_matrix: bool, anchors: Anchors | None) -> list[Flag]:
    """The canonical gauge has to choose between components of one modulus; nothing where it is seen not to.

    anchors: those of V, which may be of any scale.
    """
    if anchors is None or unset(anchors.rivals):
        return []

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.GaugeTieWarning(
            f"eigenvector {j}{member(tuple(batch))} has two components of largest modulus, as structured matrices do "
            f"(circulant, symmetric under an exchange): a small change of A can move the canonical gauge from one to the "
            f"other, and the vector jumps. Use gauge=Component(m) or Functional(z), or 'phase-free' if the loss does not "
            f"depend on the phase"
        )

    return [Flag(gauge.tie(V, real_matrix, anchors), 1, report, warning=True)]


def not_an_eigensystem(
    residual: Array, w: Array, V: Array, size: Array, departure: float, equation: str = "|A v - w v|/|v|"
) -> Flag:
    """A supplied (w, V) is not A's; residual: what equation says, departure: see `Degeneracy`."""
    xp = namespace(V)
    size = size if departure == 0 else xp.where(size > 0, size, 1.0)
    bound = xp.broadcast_to((roundoff(V) ** 0.5 + departure) * size[..., None], residual.shape)
    of_what = "sqrt(u) |A|" + " and what the degeneracy option moves" * (departure > 0)

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.EigensystemError(
            f"the supplied eigensystem is not A's: eigenpair {j}{member(tuple(batch))}, w = {number(w[index])}, has "
            f"{equation} = {number(residual[index])}, expected at most {of_what} = {number(bound[index])}. Pass the "
            f"decomposition of this very A, eigenvectors as columns, in the order of the eigenvalues"
        )

    return Flag(~(residual <= bound) | (column_norm(V) == 0), 1, report)


def off_scale(V: Array, gauge: Gauge) -> Flag:
    """Supplied eigenvectors do not have the scale that the gauge fixes."""
    scale = gauge.scale(V)

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.EigensystemError(
            f"supplied eigenvector {j}{member(tuple(batch))} is not scaled as {gauge!r} asks: expected 1, got "
            f"{number(scale[index])}. Scale it (any phase is accepted where the gauge fixes a norm), or name its gauge"
        )

    return Flag(~(namespace(V).abs(scale - 1) <= roundoff(V) ** 0.5), 1, report)


def defective(w: Array, kappa: Array, what: str = "A") -> Flag:
    """V is numerically singular."""
    singular = numerically_singular(kappa)

    def report(index: Index) -> Exception:
        *head, j = index
        batch = tuple(head)
        columns = [k for k in range(j, w.shape[-1]) if bool(singular[(*batch, k)])]
        named = ", ".join(f"w[{k}] = {number(w[(*batch, k)])}" for k in columns[:4]) + ", ..." * (len(columns) > 4)
        return _errors.DefectiveMatrixError(
            f"{what}{member(batch)} is numerically defective: the eigenvectors of {named} are linearly dependent to working "
            f"precision (condition number {number(kappa[index])}), so they have no derivative. Losses on its other eigenvalues "
            f"can be differentiated with gw alone, a loss that is a smooth function of the matrix with degeneracy='perturb'"
        )

    return Flag(singular, 1, report)


def singular_pencil(where: Array) -> Flag:
    """alpha and beta of an eigenvalue are both rounding."""

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.InputError(
            f"A and B{member(tuple(batch))} form a singular pencil: to working precision det(A - z B) vanishes for every z, as "
            f"where A and B share a null vector, so that every number is an eigenvalue (0/0 was found at position {j}). Remove "
            f"the common null space"
        )

    return Flag(where, 1, report)


def ill_conditioned(rcond: Array, who: str) -> Flag:
    """B is singular, or too nearly for what multiplies by its inverse."""

    def report(batch: Index) -> Exception:
        return _errors.InputError(
            f"B{member(batch)} is too ill conditioned: {who} multiplies A by the inverse of B, whose smallest singular value "
            f"is {number(rcond[batch])} of the largest, expected sqrt(u) at least. With NumPy arrays the QZ algorithm has no "
            f"such limit, and finds infinite eigenvalues of a singular B (without degeneracy='split')"
        )

    return Flag(~(rcond >= roundoff(rcond) ** 0.5), 0, report)


def not_definite(least: Array) -> Flag:
    """B of eigh is not positive definite."""

    def report(batch: Index) -> Exception:
        return _errors.InputError(
            f"B{member(batch)} must be positive definite, but its smallest eigenvalue is {number(least[batch])} times its "
            f"largest; swap A and B if A is positive definite (the eigenvalues are then 1/w), else use eig(A, B)"
        )

    return Flag(~(least > 0), 0, report)


def at_infinity(where: Array, name: str, w: Array) -> Flag:
    """An eigenpair with an infinite eigenvalue is asked for; where (..., n)."""

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.InfiniteEigenvalueError(
            f"{name} asks for eigenpair {j}{member(tuple(batch))}, w[{j}] = {number(w[index])}: B is singular to "
            f"working precision, B v = 0, so that it has neither derivatives nor a left eigenvector with w^H B v = 1. Give it a "
            f"zero cotangent: the finite pairs have derivatives; or take eig(B, A), whose eigenvalues are 1/w"
        )

    return Flag(where, 1, report)


def lost_precision(where: Array) -> Flag:
    """The gradient is below the rounding errors of the terms that it is the sum of."""

    def report(batch: Index) -> Exception:
        return _errors.LostPrecisionError(
            f"the gradient for A{member(batch)} is below rounding: its eigenvectors are so nearly linearly dependent, or its "
            f"eigenvalues so close, that the terms through them cancel to less than two digits. Compute in double precision if "
            f"this is single, leave the eigenpairs concerned out of the loss, or, if the loss is a function of the matrix (a "
            f"trace, a power, an exponential), differentiate that without eigenvectors"
        )

    return Flag(where, 0, report)


_FUNCTION_ELSEWHERE = (
    "For functions with an algorithm of their own there are scipy.linalg.expm, sqrtm, logm and expm_frechet; for a projector, a "
    "sign function, a step in the spectrum arreig.spectral_projector; for losses smooth in A "
    "arreig.eig(A, degeneracy='perturb')"
)


def defective_function(singular: Array, w: Array, kappa: Array) -> Flag:
    """V, of which w and kappa are, has no inverse to make a function of A with; singular (..., n)."""

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.DefectiveMatrixError(
            f"A{member(tuple(batch))} is numerically defective: the eigenvector of w[{j}] = {number(w[index])} depends linearly "
            f"on others to working precision (condition number {number(kappa[index])}), and functions of A are made with all of "
            f"them. {_FUNCTION_ELSEWHERE}"
        )

    return Flag(singular, 1, report)


def lost_function(where: Array, what: str) -> Flag:
    """Rounding has drowned a function of a matrix, or its derivative."""

    def report(batch: Index) -> Exception:
        return _errors.LostPrecisionError(
            f"{what} for A{member(batch)} is below rounding: its eigenvectors are so nearly linearly dependent that the terms "
            f"through them cancel to less than two digits. Compute in double precision if this is single. {_FUNCTION_ELSEWHERE}"
        )

    return Flag(where, 0, report)


def not_finite_at(name: str, y: Array, w: Array) -> Flag:
    """f or df has no value at an eigenvalue."""

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.NonFiniteError(
            f"{name} must be finite at the eigenvalues of A, but at w[{j}] = {number(w[index])}{member(tuple(batch))} it is "
            f"{number(y[index])}: there the function of the matrix, or its derivative, does not exist"
        )

    return Flag(~namespace(y).isfinite(y), 1, report)


def not_the_derivative(where: Array, of: str, w: Array, dfw: Array) -> Flag:
    """What should be the derivative of f, or of df, is that of another function."""
    derivative = {"f": "df", "df": "its derivative by the library"}[of]

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.InputError(
            f"{derivative} must be the derivative of {of}, but from the eigenvalue w[{j}] = {number(w[index])}"
            f"{member(tuple(batch))} along the real axis differences of {of} are not those of the integral of {derivative}, "
            f"which is {number(dfw[index])} there"
        )

    return Flag(where, 1, report)


def degenerate(where: Array, w: Array, advice: str) -> Flag:
    """A refused pair of numerically equal eigenvalues."""

    def report(index: Index) -> Exception:
        *head, i, j = index
        batch = tuple(head)
        w_i, w_j = w[(*batch, i)], w[(*batch, j)]
        return _errors.DegenerateEigenvaluesError(
            f"eigenvalues {i} and {j}{member(batch)} are numerically equal: w[{i}] = {number(w_i)}, w[{j}] = {number(w_j)}, "
            f"gap {abs(backend_for(w).number(w_i - w_j)):.1e}. {advice}"
        )

    return Flag(where, 2, report)


EIGENVALUES_SPLIT = (
    "Single eigenvalues of such a cluster have no derivative, only their mean has, and the cotangents gw, or the tangent dA, "
    "tell them apart. Use a loss that is symmetric in them, such as their sum"
)


def split_eigenvalues(where: Array, w: Array) -> Flag:
    """Eigenvalue cotangents or tangents that tell the members of a cluster apart."""
    return degenerate(where, w, EIGENVALUES_SPLIT)


_SECOND = (
    "Even a loss that has a gradient there has no second derivative that would follow from w and V: inside a cluster it depends "
    "on how fast the loss varies with each pair, which their cotangents do not tell. Second derivatives need separate "
    "eigenvalues. For a loss that is a smooth function of the matrix, degeneracy=arreig.Split(separation=500) moves them far "
    "enough apart for four digits in double precision; at a defective matrix Perturb(1e-4) or Perturb(1e-3) does, for three"
)

_ILL_DEFINED = (
    "They were separated by degeneracy='split', which is for losses that are smooth functions of the matrix, but the cotangents "
    "depend on the basis inside the cluster, or tell its eigenvalues apart: the loss has no derivative here. Make it a function "
    "of the matrix as a whole, or of the cluster's projector and mean eigenvalue"
)


def second_derivative(where: Array, w: Array) -> Flag:
    """A derivative of a derivative at a cluster."""
    return degenerate(where, w, _SECOND)


def gauge_dependent(where: Array | None) -> list[Flag]:
    """A loss on a phase that the gauge leaves open."""
    if where is None:
        return []

    def report(index: Index) -> Exception:
        *batch, j = index
        return _errors.GaugeDependentLossError(
            f"the loss depends on the phase of eigenvector {j}{member(tuple(batch))}: Im(v^H gV) is not zero, but "
            f"gauge='phase-free' leaves the phase open, so it has no gradient. Make the loss invariant under v -> exp(i phi) v, "
            f"or fix the phase with gauge='canonical', Component(m) or Functional(z)"
        )

    return [Flag(where, 1, report)]


def refused(flags: CotangentFlags, w: Array, advice: str) -> list[Flag]:
    """What the rule says of the cotangents of eigenvectors."""
    pairs = ((flags.degenerate, advice), (flags.ill_defined, _ILL_DEFINED))
    return [
        *(degenerate(where, w, why) for where, why in pairs if where is not None),
        *gauge_dependent(flags.gauge_dependent),
        lost_precision(flags.lost),
    ]
