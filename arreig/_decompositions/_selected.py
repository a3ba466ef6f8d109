"""What eigs and eigsh do before there is anything to differentiate: admit the matrices, compute or take the eigenpairs."""

from numbers import Complex, Integral, Real
from typing import Any, NamedTuple

from .._array_api import adjoint, column_dot, column_norm, imag, is_complex, namespace, real, roundoff
from .._backends.deflated import Method
from .._backends.krylov import (
    WHICH,
    WHICH_HERMITIAN,
    Request,
    dense_eigenpairs,
    eigenpairs,
    indefinite,
    preference,
    shift_solver,
)
from .._backends.pencil import Host, Pencil, ShiftSolver, SingularShiftError, Supplied
from .._backends.sources import Source, Stored, hermitian_part, source
from .._degeneracy import Mask, Raise
from .._errors import DenseSolverWarning, EigensystemError, InputError, InputTypeError, kind, warn
from .._gauge import Functional, Gauge
from .._order import descending
from .._types import Array
from . import _inputs, _reports
from ._flags import settle
from ._partial import PartialEigensystem
from ._system import Result, carried

_NOT_ITS = "the supplied eigensystem is not that of these matrices: eigenpair"
_DIRECTION = "an eigenvector with v^H B v <= 0"
SMALL = 1000  # order up to which all eigenpairs are computed where ARPACK cannot compute so many


class PartialResult(Result):
    """Marks the results of eigs and eigsh."""

    _carried: PartialEigensystem  # type: ignore[assignment]


def admitted(A: Any, B: Any, hermitian: bool) -> tuple[Source, Source | None, Pencil]:
    """The matrices, and the pencil of their host copies."""
    a = _matrix("A", A)
    b = None if B is None else _matrix("B", B)
    if b is not None:
        if b.shape != a.shape:
            raise InputError(f"B must have the shape of A, {a.shape}; got {b.shape}")
        if b.family != a.family:
            raise InputTypeError(f"B must come from A's library: A is {a.title}, B is {b.title}")
    if isinstance(b, Stored) and not abs(b.host).max() > 0:
        raise InputError("B is zero, so that no number is an eigenvalue")
    if not hermitian:
        return a, b, Pencil(a.host, None if b is None else b.host)
    mass = None if b is None else hermitian_part("B", b.host)
    if isinstance(b, Stored) and mass is not None and not bool((real(mass.diagonal()) > 0).all()):
        raise indefinite("a diagonal entry that is not positive")
    return a, b, Pencil(hermitian_part("A", a.host), mass, hermitian=True)


def _matrix(name: str, A: Any) -> Source:
    _inputs.untracked(name, A)
    X = source(name, A)
    if len(X.shape) != 2 or X.shape[0] != X.shape[1]:
        raise InputError(f"{name} must be one square matrix, shape (n, n); got shape {X.shape}")
    if X.shape[0] == 0:
        raise InputError(f"{name} must have at least one row, got shape {X.shape}")
    return X


class Kind(NamedTuple):
    """What options are checked against where there is no matrix yet."""

    n: int
    hermitian: bool
    real: bool


def requested(
    pencil: Pencil | Kind,
    k: object,
    which: object,
    sigma: object,
    v0: Host | None,
    ncv: object,
    tol: object,
    maxiter: object,
) -> Request:
    """The options of ARPACK, checked."""
    n, names = pencil.n, WHICH_HERMITIAN if pencil.hermitian else WHICH
    k = _integer("k", k)
    if not 1 <= k <= n:
        raise InputError(f"k must be between 1 and the order of the matrix, {n}; got {k}")
    if not isinstance(which, str) or which not in names:
        raise InputError(f"which must be one of {', '.join(map(repr, names))}; got {which!r}")
    if which == "BE" and not pencil.real:
        raise InputError("which='BE' is for real symmetric matrices only; ask for 'LA' and 'SA' one after the other")
    number = Real if pencil.hermitian else Complex
    if sigma is not None:
        if isinstance(sigma, bool) or not isinstance(sigma, number) or not _finite(sigma):
            raise InputError(f"sigma must be a finite {'real ' * pencil.hermitian}number or None; got {sigma!r}")
        sigma = complex(sigma) if complex(sigma).imag else complex(sigma).real
    if v0 is not None and v0.shape != (n,):
        raise InputError(f"v0 must have shape {(n,)}, got {v0.shape}")
    if ncv is not None:
        ncv, least = _integer("ncv", ncv), k + (1 if pencil.hermitian and pencil.real else 2)
        if not least <= ncv <= n:
            raise InputError(f"ncv must be between {least} and {n} for k = {k}; got {ncv}")
    if isinstance(tol, bool) or not isinstance(tol, Real) or not 0 <= float(tol) < 1:
        raise InputError(f"tol must be a number between 0 (rounding) and 1; got {tol!r}")
    if maxiter is not None:
        maxiter = _integer("maxiter", maxiter)
        if maxiter < 1:
            raise InputError(f"maxiter must be positive, got {maxiter}")
    return Request(k, str(which), sigma, v0, ncv, float(tol), maxiter)


def _finite(x: Any) -> bool:
    try:
        return bool(abs(complex(x)) < float("inf"))
    except OverflowError:  # of a Python integer
        return False


def _integer(name: str, x: object) -> int:
    if isinstance(x, bool) or not isinstance(x, Integral):
        raise InputError(f"{name} must be an integer, got {x!r}")
    return int(x)


def method(solve: object) -> Method:
    """The option solve."""
    if callable(solve) or (isinstance(solve, str) and solve in ("auto", "direct", "iterative")):
        return solve  # type: ignore[return-value]
    raise InputError(
        f"solve must be 'auto', 'direct', 'iterative' or a function solve(shift, x, adjoint); got {solve!r}"
    )


def policy_of(degeneracy: object) -> Raise | Mask:
    """The option degeneracy."""
    if isinstance(degeneracy, str) and degeneracy in ("raise", "mask"):
        return Raise() if degeneracy == "raise" else Mask()
    raise InputError(
        f"degeneracy must be 'raise' or 'mask' for a few eigenpairs: the other policies are for losses smooth in the matrix as a "
        f"whole, which need all eigenpairs (arreig.eig, arreig.eigh); got {degeneracy!r}"
    )


def computed(a: Source, pencil: Pencil, request: Request, solve: Method) -> tuple[Host, Host, ShiftSolver | None]:
    """w, V in the order of preference, ascending if Hermitian, and what was factorised for sigma."""
    most = max(pencil.n - (1 if pencil.hermitian and pencil.real else 2), 0)
    solver = None
    if request.k > most:
        if pencil.n > SMALL:
            raise InputError(
                f"k must be at most {most} for a matrix of order {pencil.n}: ARPACK computes no more; got {request.k}"
            )
        warn(
            DenseSolverWarning(
                f"ARPACK computes at most {most} eigenpairs of a matrix of order {pencil.n}: all were computed by LAPACK as of a "
                f"dense matrix, and {request.k} taken. arreig.eig and eigh do that directly, with all their options"
            )
        )
        w, V = dense_eigenpairs(pencil)
    else:
        if request.sigma is not None:
            solver = Supplied(solve, request.sigma) if callable(solve) else shift_solver(pencil, request.sigma)
        alone = pencil.B is None
        pairs = a.eigenpairs(request, hermitian=pencil.hermitian, alone=alone)
        w, V = pairs or eigenpairs(pencil, request, solver or _mass_solver(pencil))
    best = preference(w, request.which, request.sigma)[: request.k]
    if pencil.hermitian:
        best = best[w[best].argsort(kind="stable")]
    w, V = w[best], V[:, best]
    if pencil.real and not pencil.hermitian and not isinstance(request.sigma, complex):
        # Of a pair that k cuts ARPACK keeps the one or the other.
        lone = [j for j in range(len(w)) if imag(w[j]) < 0 and not bool((w == w[j].conj()).any())]
        w[lone], V[:, lone] = w[lone].conj(), V[:, lone].conj()
    return w, V, solver


def _mass_solver(pencil: Pencil) -> ShiftSolver | None:
    if pencil.B is None:
        return None
    try:
        return Pencil(pencil.B, hermitian=pencil.hermitian).factorise(0.0)
    except SingularShiftError:
        raise InputError(
            "B is singular, so that without a shift there is no matrix for ARPACK to multiply with: pass sigma, near which "
            "the eigenvalues are wanted"
        ) from None


def gauge_of(option: object, a: Source, pencil: Pencil, V: Host) -> Gauge:
    """The gauge, with what it holds on the host."""
    if option is None:
        option = "B-norm" if pencil.hermitian and pencil.B is not None else "canonical"
    if isinstance(option, Functional):
        option = Functional(a.vector("Functional's z", option.z))
    like = namespace(V).broadcast_to(V[:, :1], (pencil.n, pencil.n))  # of the shape of a matrix
    metric = pencil.hermitian and pencil.B is not None
    return _inputs.gauge(option, like, complex_vectors=is_complex(V), metric=metric).bound(pencil.mass)


def selected(
    A: Any,
    eigensystem: object = None,
    *,
    hermitian: bool,
    k: object = 6,
    B: Any = None,
    which: object = "LM",
    sigma: object = None,
    v0: Array | None = None,
    ncv: object = None,
    tol: object = 0.0,
    maxiter: object = None,
    sort: object = None,
    gauge: object = None,
    degeneracy: object = "raise",
    solve: object = "auto",
    check: object = True,
) -> PartialEigensystem:
    """Compute the eigenpairs, or take what the caller has."""
    if isinstance(eigensystem, PartialResult):
        return _own(A, B, carried(eigensystem), hermitian)
    checking = _inputs.switch("check", check)
    policy = policy_of(degeneracy)
    a, b, pencil = admitted(A, B, hermitian)
    solving = method(solve)
    start = None if v0 is None else a.vector("v0", v0)
    if eigensystem is None:
        request = requested(pencil, k, which, sigma, start, ncv, tol, maxiter)
        w, V, solver = computed(a, pencil, request, solving)
        if not bool(namespace(w).all(namespace(w).isfinite(w))):
            raise InputError(
                "B is singular, and the matrices have fewer than k finite eigenvalues: ask for fewer, near a sigma"
            )
        if hermitian and b is not None and not bool((real(column_dot(V, pencil.mass(V))) > 0).all()):
            raise indefinite(_DIRECTION)
        _require_residual(
            pencil, w, V, roundoff(V) ** 0.5 + request.tol, "what was computed solves another problem: eigenpair"
        )
    else:
        w, V = _supplied(eigensystem, a, pencil)
        request = requested(pencil, w.shape[0], which, sigma, start, ncv, tol, maxiter)
        solver = None
    if not hermitian:
        w, V = w + 0j, V + 0j
    chosen = gauge_of(gauge, a, pencil, V)
    if eigensystem is None:
        order = _inputs.sort(sort)
        if order is not None:
            by = descending(w, order, pencil.real)
            w, V = w[by], V[:, by]
        settle((V,), _reports.undefined_gauge(V, chosen), check=True)
        V = chosen.fix(V)
    else:
        xp, scale = namespace(V), chosen.scale(V)
        V = V / xp.where(xp.abs(scale - 1) <= _tolerance(a), scale, 1.0)  # to double precision, where it was single
        settle((V,), [*_reports.undefined_gauge(V, chosen), _reports.off_scale(V, chosen)], check=True)
    if solving in ("auto", "direct") and pencil.explicit:
        solver = None  # one near each eigenvalue takes its place, and its memory
    if checking:
        settle((V,), _reports.gauge_tie(V, chosen, pencil.real, chosen.anchors(V)), check=True)
    interval = which in ("LA", "SA", "SM") if request.sigma is None else which == "LM"
    return PartialEigensystem(
        a,
        b,
        pencil,
        w,
        V,
        chosen,
        policy,
        checking,
        solving,
        request.sigma,
        solver,
        request.tol,
        interval and eigensystem is None,
    )


def _own(A: Any, B: Any, system: PartialEigensystem, hermitian: bool) -> PartialEigensystem:
    """The system of a result, if it is of matrices of these shapes."""
    if system.pencil.hermitian != hermitian:
        raise InputTypeError("eigensystem is a result of eigs for a derivative of eigsh, or the other way round")
    a, b, pencil = admitted(A, B, hermitian)
    if (b is None) != (system.B is None):
        raise InputError(
            f"B was {'not ' * (b is None)}given, but the supplied result is of a problem with{'out' * (b is not None)} B"
        )
    for name, X, own in (("A", a, system.A), ("B", b, system.B)):
        if X is not None and own is not None and X.described != own.described:
            raise InputError(
                f"{name} must be of the kind and shape of the supplied result's matrix, {own.described}, got {X.described}; pass "
                f"that matrix, or (w, V)"
            )
    _require_residual(pencil, system.w, system.V, _tolerance(a) + system.tol, _NOT_ITS)
    return system


def _supplied(eigensystem: object, a: Source, pencil: Pencil) -> tuple[Host, Host]:
    if not isinstance(eigensystem, tuple | list) or len(eigensystem) != 2:
        raise InputTypeError(f"eigensystem must be a result of arreig or a pair (w, V), got {kind(eigensystem)}")
    w, V = (a.vector(f"the eigensystem's {name}", x) for name, x in zip("wV", eigensystem, strict=True))
    if V.ndim != 2 or V.shape[0] != pencil.n or w.shape != V.shape[1:] or not w.size:
        raise InputError(
            f"the eigensystem's w and V must have shapes (k,) and ({pencil.n}, k), got {w.shape} and {V.shape}"
        )
    if pencil.hermitian and is_complex(w):
        raise InputTypeError("the eigensystem's w must be real, because A is Hermitian")
    if pencil.hermitian and pencil.real and is_complex(V):
        raise InputTypeError("the eigensystem's V must be real, because A is real symmetric")
    if pencil.hermitian and not pencil.real:
        V = V + 0j
    _require_residual(pencil, w, V, _tolerance(a), _NOT_ITS)
    if pencil.hermitian:
        _require_orthogonal(pencil, V, _tolerance(a))
    return w, V


def _require_residual(pencil: Pencil, w: Host, V: Host, tolerance: float, whose: str) -> None:
    residual = column_norm(pencil.apply(w, V))
    norm = column_norm(V)
    bound = tolerance * (pencil.size + pencil.mass_size * namespace(w).abs(w)) * norm
    bad = [j for j in range(len(w)) if not (residual[j] <= bound[j] and norm[j] > 0)]
    if bad:
        j = bad[0]
        raise EigensystemError(
            f"{whose} {j}, w = {_reports.number(w[j])}, has |A v - w B v| = {residual[j]:.6g}, expected at most "
            f"{tolerance:.1e} (|A| + |w| |B|) |v| = {bound[j]:.6g}. Is it of these matrices, and does a solve= solve with them?"
        )


def _tolerance(a: Source) -> float:
    """sqrt(u) of the precision of what is supplied."""
    return 2.0**-12 if a.single else 2.0**-26.5


def _require_orthogonal(pencil: Pencil, V: Host, tolerance: float) -> None:
    G = adjoint(V) @ pencil.mass(V)
    d = real(namespace(G).linalg.diagonal(G))
    if not bool(namespace(d).all(d > 0)):
        raise indefinite(_DIRECTION)
    G = G / (d[:, None] * d[None, :]) ** 0.5
    overlap = float(namespace(G).max(namespace(G).abs(G - namespace(G).eye(len(d)))))
    if not overlap <= tolerance:
        raise EigensystemError(
            f"supplied eigenvectors must be orthogonal, v_i^H B v_j = 0, up to sqrt(u); got {overlap:.6g}. Eigenvectors from a "
            f"general solver are not, where eigenvalues repeat: use eigsh"
        )
