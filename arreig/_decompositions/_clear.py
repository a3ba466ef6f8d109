"""The gradient of eigenvectors where matrices are far from all that is refused, which costs less to know than each bound.

A batch is computed in parts, so that what they need stays in the cache and the memory that is in use at a time is bounded.
"""

from typing import TYPE_CHECKING

from .._array_api import column_norm, namespace, real
from .._backends import backend_for
from .._degeneracy import Mask, Raise, moderate
from .._rules import _estimate as estimate
from .._rules._checks import loss_noise
from .._rules._distinct import DistinctAdjointEquation
from .._types import Array
from . import _inputs, _numbers
from ._flags import Flag, raised, wanted

if TYPE_CHECKING:
    from ._general import GeneralEigensystem

_FEW = 0.25  # part of the members of a batch that is best refined by itself
_ESTIMATED = 64  # least order for which estimates cost less than the norms themselves


def vjp_in_numbers(system: "GeneralEigensystem", gV: Array, gw: Array | None) -> Array | None:
    """gA of one small matrix without B, from cotangents as they came; None as for `clear_vjp`, and in other libraries."""
    V, options = system.V, system.options
    plain = type(options.degeneracy) in (Raise, Mask) and options.check and options.refine in ("auto", 0)
    made_here = not system.supplied and system.failed is None and system.pencil is None
    if not (plain and made_here and backend_for(V).in_numbers(V)):
        return None
    xp = namespace(V)
    if gw is None:
        values: list[complex] = [0.0] * V.shape[-1]
    else:
        values = _inputs.like("gw", gw, tuple(system.w.shape), V, complex_allowed=True).tolist()
    gV = _inputs.like("gV", gV, tuple(V.shape), V, complex_allowed=True)
    A, w, rows, cotangents = (x.tolist() for x in (system.A, system.w, V, gV))
    precision = _numbers.precision(xp, V.dtype)
    lost = options.degeneracy.lost[precision.bits]
    try:
        gA = _numbers.gradient(A, w, rows, cotangents, values, options.gauge, precision, lost, options.refine)
    except OverflowError:
        return None
    if gA is None:
        return None
    if system.real_matrix:
        return xp.asarray([[z.real for z in row] for row in gA], dtype=system.A.dtype)
    return xp.asarray(gA, dtype=V.dtype)


def clear_vjp(system: "GeneralEigensystem", gV: Array, gw: Array) -> Array | None:
    """gA without B; None where anything may be refused, or has to be waited for: then each bound decides."""
    options, backend = system.options, backend_for(system.V)
    if system.pencil is not None or system.split is not None or not (options.degeneracy.exact and options.check):
        return None
    if 0 in system.V.shape or not all(map(backend.at_hand, (gV, gw, system.V))):
        return None
    parts = system.parts
    if len(parts) == 1 and parts[0][1] is system:
        return _clear(system, gV, gw)
    xp, n = namespace(gV), gV.shape[-1]
    gV, gw = xp.reshape(gV, (-1, n, n)), xp.reshape(gw, (-1, n))

    def of_part(part: "tuple[slice, GeneralEigensystem]") -> Array | None:
        members, subsystem = part
        arranged = backend.spread if subsystem.spread else _unchanged
        g, h = arranged(gV[members, ...]), arranged(gw[members, ...])
        gA = _clear(subsystem, g, h)
        if gA is None:
            flags: list[Flag] = []
            gA, _ = subsystem.masked_vjp(g, h, None, flags)
            if raised(flags):
                return None
        return real(gA) if system.real_matrix else gA

    found = backend.run(of_part, parts)
    gradients = [gA for gA in found if gA is not None]
    return xp.reshape(xp.concat(gradients), system.V.shape) if len(gradients) == len(found) else None


def _unchanged(X: Array) -> Array:
    return X


def _clear(system: "GeneralEigensystem", gV: Array, gw: Array) -> Array | None:
    if wanted(~moderate(system.size), check=True):
        return None
    with backend_for(gV).quiet():  # what overflows is not clear
        return _of_moderate(system, gV, gw)


def _of_moderate(system: "GeneralEigensystem", gV: Array, gw: Array) -> Array | None:
    n, size = system.V.shape[-1], system.size
    degeneracy, gauge = system.options.degeneracy, system.options.gauge
    if gauge.open:
        basis = system.basis
        lengths = basis.lengths * column_norm(gV)
        reach = basis.together(lengths)

        def noise() -> Array:
            return loss_noise(lengths, gw, size, n)[..., None]

        if wanted(gauge.dependence(system.V, gV, reach, noise, basis.joint), check=True):
            return None
    if n < _ESTIMATED:
        Z, basis = None, system.inverted
        kappa = basis.norm(basis.left) * basis.lengths
    else:
        basis = system.basis
        Z = estimate.combinations(basis.V)
        kappa = basis.norm(basis.left_seen(Z)) * basis.lengths
    equation = DistinctAdjointEquation.of(
        gV, gw, system.decomposed, system.w, system.V, basis, Z, sensitivity=kappa, size=size, gauge=gauge
    )
    gP, largest_F2, terms = equation.coefficients()
    if wanted(~estimate.distinct(largest_F2, kappa, size, system.own_residual), check=True):
        return None
    Y = basis.solve_adjoint(gP)
    del gP  # before more is allocated
    gA = basis.outer(_refined(system, equation, Y))
    return None if wanted(~estimate.kept(gA, terms, equation.gw, kappa, degeneracy), check=True) else gA


def _refined(system: "GeneralEigensystem", equation: DistinctAdjointEquation, Y: Array) -> Array:
    """Y, refined as the options say; "auto" leaves members of a large batch alone that do not ask for it."""
    xp, asking = namespace(Y), equation.asking(Y)
    if equation.Z is None and asking.ndim == 2 and system.options.refine == "auto":
        ask = xp.any(asking, axis=-1)
        count = int(xp.count_nonzero(ask))
        if 0 < count < _FEW * ask.shape[0]:
            Y[ask] = system.refined(equation.some(ask), Y[ask])  # Y is nobody else's
            return Y
    return system.refined(equation, Y, asking)
