"""diagnose: why a gradient through eigenvectors explodes, in numbers."""

from math import log

from .._array_api import adjoint, device, matrix_norm, namespace, on_diagonal, promote_complex, roundoff
from .._backends import backend_for
from .._degeneracy import Raise, gaps, numerically_singular, transitive_closure
from .._diagnosis import Diagnosis
from .._errors import InputError
from .._gauge import Canonical
from .._generic import generic_matrix
from .._rules import eig as rules
from .._rules._basis import ComplexBasis
from .._types import Array
from . import _inputs
from ._general import GeneralEigensystem

_ROUNDING = 100.0  # n u times this is what rounding makes of a commutator, relative to |A|^2
_SCATTERED = 10.0  # u times this is what rounding makes of A, where it scatters the eigenvalues of a Jordan block


def diagnose(A: Array, /) -> Diagnosis:
    r"""What makes derivatives of the eigenvalues and eigenvectors of a matrix large, inaccurate or undefined.

    Parameters
    ----------
    A : array, shape (n, n)
        One matrix, as for `eig`.

    Returns
    -------
    Diagnosis
        Condition numbers, gaps, distances to defectiveness, ties of the canonical gauge, an estimate of the error, clusters, and
        the departure from normality. ``print`` shows a table and a verdict in plain language; ``plot()`` draws the eigenvalues
        with the discs over which a perturbation of A moves them. Without effect on derivatives.

    Raises
    ------
    InputError, NonFiniteError
        As for `eig`; a batch; a tracer, which has no numbers.

    References
    ----------
    Wilkinson, The Algebraic Eigenvalue Problem (1965), ch. 2, for condition numbers. Henrici, "Bounds for iterates, inverses,
    spectral variation and fields of values of non-normal matrices", Numer. Math. 4 (1962) 24-40. Trefethen, Embree, Spectra and
    Pseudospectra (2005), ch. 48 and 52.

    Examples
    --------
    >>> import numpy as np, arreig
    >>> d = arreig.diagnose(np.array([[1.0, 1e6], [0.0, 2.0]]))
    >>> np.round(d.condition_numbers)
    array([1000000., 1000000.])
    >>> np.round(d.distances_to_defectiveness, 9)  # a change of A by 2.5e-7 may make its eigenvalues meet
    array([2.5e-07, 2.5e-07])
    """
    A, backend = _inputs.matrix(A)
    if A.ndim != 2:
        raise InputError(
            f"A must be one matrix, (n, n), got shape {tuple(A.shape)}: diagnose the matrices of a batch one by one"
        )
    if not backend.readable(A):
        raise InputError("diagnose reads numbers, which a tracer (jax.jit, vmap) does not have: call it outside")
    gauge, policy = Canonical(), Raise()
    system, flags = GeneralEigensystem.of(A)
    # ties are a part of the report, and no reason to warn
    w, V = system.settle((system.w, system.V), [flag for flag in flags if not flag.warning])
    xp = namespace(w)
    n, kappa = w.shape[-1], system.kappa
    own = on_diagonal(V)
    linked = transitive_closure(_equal(system)) | own
    d = xp.where(own, xp.inf, xp.abs(gaps(w)))
    i = xp.arange(n, device=device(w))
    equation = rules.MaskedAdjointEquation.of(
        promote_complex(generic_matrix(V, 5)) + 1j * generic_matrix(V, 6),
        xp.zeros_like(w),
        system.A,
        w,
        V,
        ComplexBasis(V, system.factor, backend_for(V)),
        pairs=system.pairs,
        kappa=kappa,
        sensitivity=kappa,
        size=system.size,
        gauge=gauge,
        degeneracy=policy,
    )
    return Diagnosis(
        eigenvalues=xp.asarray(w, copy=True),
        condition_numbers=kappa,
        gaps=_least(d),
        separations=_least(xp.where(linked, xp.inf, d)),
        distances_to_defectiveness=_least(d / (2 * (kappa[:, None] + kappa[None, :]))),
        tie_ratios=gauge.tie_ratio(V, system.real_matrix),
        ties=gauge.tie(V, system.real_matrix, gauge.anchors(V)),
        error_estimates=rules.refinement_step(equation),
        clusters=_least(xp.where(linked, i[None, :], n)),
        defective=numerically_singular(kappa),
        norm=system.size,
        departure_from_normality=_departure(promote_complex(system.A), w),
        hermitian=matrix_norm(system.A - adjoint(system.A)) <= roundoff(w) ** 0.5 * system.size,
    )


def _least(x: Array) -> Array:
    """The least entry of every row."""
    xp = namespace(x)
    return xp.min(x, axis=-1) if x.shape[-1] else xp.sum(x, axis=-1)


def _equal(system: GeneralEigensystem) -> Array:
    """The pairs that the derivatives treat as equal, but for those of dependent columns that are far apart.

    The condition numbers of these mean nothing, and all are refused. Which belong together is told by how far rounding scatters
    the eigenvalues of a Jordan block, of their number at most (Lidskii).
    """
    xp = namespace(system.w)
    lost = numerically_singular(system.kappa)
    number = xp.sum(xp.astype(lost, system.kappa.dtype))
    scatter = system.size * xp.exp(log(_SCATTERED * roundoff(system.w)) / xp.where(number > 0, number, 1.0))
    both = lost[:, None] & lost[None, :]
    return system.pairs & (~both | (xp.abs(gaps(system.w)) <= scatter))


def _departure(A: Array, w: Array) -> Array:
    """Henrici's sqrt(|A|^2 - sum |w|^2)/|A|: the norm of the strictly triangular part of a Schur form, relative.

    The difference is rounding where A is normal, which is seen better from its commutator with A^H.
    """
    xp = namespace(A)
    size = matrix_norm(A)
    unit = xp.where(size > 0, size, 1.0)
    B = A / unit
    square = matrix_norm(B) ** 2 - matrix_norm((w / unit)[:, None]) ** 2
    normal = matrix_norm(adjoint(B) @ B - B @ adjoint(B)) <= _ROUNDING * A.shape[-1] * roundoff(A)
    return xp.where(normal | (square <= 0), 0.0, xp.sqrt(xp.where(square > 0, square, 0.0)))
