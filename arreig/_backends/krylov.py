"""A few eigenpairs of a pencil: ARPACK's iterations, with what it has to be told and what it leaves undone."""

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
import scipy.sparse.linalg as linalg

from .._errors import ConvergenceError, InputError
from .pencil import Host, Pencil, ShiftSolver, SingularShiftError, StagnationError, probe, start

WHICH = ("LM", "SM", "LR", "SR", "LI", "SI")
WHICH_HERMITIAN = ("LM", "SM", "LA", "SA", "BE")
_AS_GENERAL = {"LA": "LR", "SA": "SR"}
# u |A| times the growth of a vector in (A - sigma B)^-1, where sigma is an eigenvalue to two digits
_AT_EIGENVALUE = 1e-2
# of the largest 1/(w - sigma), what rounding makes of one that is 0
_INFINITE = 1e-13


class Request(NamedTuple):
    """What is asked of ARPACK, in SciPy's words."""

    k: int
    which: str
    sigma: complex | None
    v0: Host | None
    ncv: int | None
    tol: float
    maxiter: int | None


def eigenpairs(pencil: Pencil, request: Request, solver: ShiftSolver | None) -> tuple[Host, Host]:
    """w (k,) and V (n, k) by ARPACK; solver: for the shift sigma, or for B where there is no sigma."""
    k, which, sigma, v0, ncv, tol, maxiter = request
    n = pencil.n
    options = {
        "k": k,
        "v0": start(n) if v0 is None else v0,
        "ncv": ncv,
        "tol": tol,
        "maxiter": maxiter,
        "which": which,
    }
    inverse = (
        None if solver is None else linalg.LinearOperator((n, n), matvec=solver.solve, dtype=_dtype(pencil, sigma))
    )
    try:
        if pencil.hermitian and pencil.real:
            w, V = linalg.eigsh(
                pencil.A,
                M=pencil.B,
                sigma=sigma,
                OPinv=None if sigma is None else inverse,
                Minv=inverse if sigma is None else None,
                **options,
            )
            return w, V
        return _general(pencil, sigma, inverse, options)
    except linalg.ArpackNoConvergence as error:
        w, V = error.eigenvalues, error.eigenvectors
        if sigma is not None and not (pencil.hermitian and pencil.real):
            w = sigma + 1 / w
        raise ConvergenceError(
            f"ARPACK found {len(w)} of {k} eigenpairs (which={which!r}, sigma={sigma}); those are in this error's eigenvalues "
            f"and eigenvectors. Give it a shift sigma near the wanted eigenvalues, a larger ncv (subspace) or maxiter, or a "
            f"larger tol",
            eigenvalues=w,
            eigenvectors=V,
        ) from error
    except linalg.ArpackError as error:
        raise InputError(
            f"ARPACK cannot start: {error} Its first vector is what the matrix makes of v0, and must not vanish (as it does for "
            f"a matrix of zeros); pass another v0, or a sigma"
        ) from error
    except StagnationError as error:
        raise ConvergenceError(
            f"GMRES could not solve with A - sigma B, an operator whose entries are not known: relative residual "
            f"{error.args[0]:.1e}. Pass solve=, a solver of your own, or a sparse array",
            residuals=np.asarray(error.args),
        ) from error


def _general(pencil: Pencil, sigma: complex | None, inverse: Any, options: dict[str, Any]) -> tuple[Host, Host]:
    """A, B^-1 A or (A - sigma B)^-1 B, the last with eigenvalues 1/(w - sigma): B may be any matrix then."""
    n = pencil.n
    if sigma is None:
        operator = pencil.A
        if inverse is not None:
            operator = linalg.LinearOperator((n, n), matvec=lambda x: inverse @ (pencil.A @ x), dtype=inverse.dtype)
    else:
        operator = linalg.LinearOperator((n, n), matvec=lambda x: inverse @ pencil.mass(x), dtype=inverse.dtype)
    if pencil.hermitian:
        options["which"] = _AS_GENERAL.get(options["which"], options["which"])
    w, V = linalg.eigs(operator, **options)
    if sigma is not None:
        if pencil.B is not None and np.any(np.abs(w) <= _INFINITE * np.abs(w).max()):
            raise InputError(
                f"B is singular, and near sigma = {sigma} there are fewer than {options['k']} finite eigenvalues: ask for fewer"
            )
        w = sigma + 1 / w
    return _rayleigh_ritz(pencil, V) if pencil.hermitian else (w, V)


def _rayleigh_ritz(pencil: Pencil, V: Host) -> tuple[Host, Host]:
    """B-orthonormal eigenvectors of a complex Hermitian pencil in span V: ARPACK's general driver leaves them oblique."""
    V, _ = np.linalg.qr(V)
    w, X = _definite(_hermitian(V.conj().T @ (pencil.A @ V)), _hermitian(V.conj().T @ pencil.mass(V)))
    return w, V @ X


def _hermitian(X: Host) -> Host:
    return (X + X.conj().T) / 2


def _dtype(pencil: Pencil, sigma: complex | None) -> Any:
    return np.complex128 if isinstance(sigma, complex) else pencil.dtype


def shift_solver(pencil: Pencil, sigma: complex) -> ShiftSolver:
    """A solver for A - sigma B, refused where sigma is an eigenvalue."""
    message = (
        f"sigma = {sigma} is an eigenvalue to working precision, so that A - sigma B cannot be inverted: move sigma a little (a "
        f"Laplacian has the eigenvalue 0: take a small negative sigma)"
    )
    try:
        solver = pencil.factorise(sigma)
    except SingularShiftError:
        raise InputError(message) from None
    if pencil.explicit:
        x = probe(pencil.n)
        for _ in range(2):
            x = x / np.linalg.norm(x)
            x = solver.solve(pencil.mass(x))
        growth = float(np.linalg.norm(x))
        unit = np.finfo(float).eps / 2 * (pencil.unit + abs(sigma))
        if not growth * unit < _AT_EIGENVALUE:
            raise InputError(message)
    return solver


def dense_eigenpairs(pencil: Pencil) -> tuple[Host, Host]:
    """All eigenpairs by LAPACK."""
    A, B = (_dense(X) for X in (pencil.A, pencil.B))
    if pencil.hermitian:
        return _definite(A, B)
    w, V = scipy.linalg.eig(A, B)
    return w, V


def _definite(A: Host, B: Host | None) -> tuple[Host, Host]:
    try:
        w, V = scipy.linalg.eigh(A, B)
    except np.linalg.LinAlgError as error:
        raise indefinite("no Cholesky factor") from error
    return w, V


def indefinite(what: str) -> InputError:
    """The error where B was seen not to be positive definite."""
    return InputError(f"B must be positive definite for eigsh, but it has {what}; use eigs, which takes any B")


def _dense(X: Any) -> Host | None:
    if X is None:
        return None
    return X.toarray() if sparse.issparse(X) else X @ np.eye(X.shape[0])


def preference(w: Host, which: str, sigma: complex | None) -> Host:
    """Indices of w, the most wanted first; conjugate pairs together, +imag first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        x = w if sigma is None else np.where(w == sigma, np.inf, 1 / (w - sigma))
    if which == "BE":
        order = np.argsort(x.real, kind="stable")
        ends = [order[i // 2] if i % 2 else order[-1 - i // 2] for i in range(len(w))]
        return np.asarray(ends, dtype=int)
    key = {
        "LM": -np.abs(x),
        "SM": np.abs(x),
        "LR": -x.real,
        "SR": x.real,
        "LA": -x.real,
        "SA": x.real,
        "LI": -np.abs(x.imag),
        "SI": np.abs(x.imag),
    }[which]
    return np.lexsort((-w.imag, np.abs(w.imag), -w.real, key))
