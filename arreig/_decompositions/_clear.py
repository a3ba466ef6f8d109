"""The gradient of eigenvectors where matrices are far from all that is refused, which costs less to know than each bound."""

from typing import TYPE_CHECKING

from .._array_api import column_norm
from .._backends import backend_for
from .._rules import _estimate as estimate
from .._rules._checks import loss_noise
from .._rules._distinct import DistinctAdjointEquation
from .._types import Array
from ._flags import wanted

if TYPE_CHECKING:
    from ._general import GeneralEigensystem

_ESTIMATED = 64  # least order for which estimates cost less than the norms themselves


def clear_vjp(system: "GeneralEigensystem", gV: Array, gw: Array) -> Array | None:
    """gA without B; None where anything may be refused, or cannot be read: then each bound decides."""
    options, n = system.options, system.V.shape[-1]
    degeneracy, gauge = options.degeneracy, options.gauge
    if system.pencil is not None or system.split is not None or not (degeneracy.exact and options.check and n):
        return None
    if not all(map(backend_for(gV).readable, (gV, gw, system.V))):
        return None
    basis, size = system.basis, system.size
    if gauge.open:
        lengths = basis.lengths * column_norm(gV)
        noise = loss_noise(lengths, gw, size, n)[..., None]
        if wanted(gauge.dependence(system.V, gV, basis.together(lengths), noise, basis.joint), check=True):
            return None
    if n < _ESTIMATED:
        Z, kappa, basis = None, system.kappa, system.inverted
    else:
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
    gA = basis.outer(system.refined(equation, Y, None if Z is None else equation.asking(Y)))
    return None if wanted(~estimate.kept(gA, terms, equation.gw, kappa, degeneracy), check=True) else gA
