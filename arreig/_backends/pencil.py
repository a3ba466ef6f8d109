"""A pencil A - w B of large matrices on the host: products, and solvers for a shift.

Sparse matrices are factorised by SuperLU, dense ones by LAPACK; what is known by its products alone is solved with by GMRES, or
by what the caller has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.linalg
import scipy.sparse as sparse
import scipy.sparse.linalg as linalg

from .._errors import InputError, InputTypeError, NonFiniteError

Host: TypeAlias = Any  # a NumPy array; SciPy's matrices and operators stand for it where only products are taken
Solve: TypeAlias = Callable[..., Any]

_RESTART, _CYCLES = 60, 20
_INNER = 1e-12  # relative residual of a solve with an operator that has no factorisation
PIVOT = 0.1  # of a symmetric pattern: how small a diagonal pivot may be against its column before rows are exchanged


class ShiftSolver(Protocol):
    """Solves with (A - s B) and its adjoint, for vectors (n,)."""

    def solve(self, x: Host, /) -> Host:
        """(A - s B)^-1 x."""

    def solve_adjoint(self, x: Host, /) -> Host:
        """(A - s B)^-H x."""


class SingularShiftError(Exception):
    """A - s B has no inverse."""


@dataclass(frozen=True, eq=False)
class SparseFactor:
    """L U = A - s B, permuted."""

    lu: Any
    real: bool

    def _solve(self, x: Host, trans: str) -> Host:
        if self.real and np.iscomplexobj(x):
            return self.lu.solve(np.ascontiguousarray(x.real), trans) + 1j * self.lu.solve(
                np.ascontiguousarray(x.imag), trans
            )
        return self.lu.solve(np.ascontiguousarray(x if self.real else x.astype(complex)), trans)

    def solve(self, x: Host, /) -> Host:
        return self._solve(x, "N")

    def solve_adjoint(self, x: Host, /) -> Host:
        return self._solve(x, "T" if self.real else "H")


@dataclass(frozen=True, eq=False)
class DenseFactor:
    """The same by LAPACK."""

    lu: Any

    def solve(self, x: Host, /) -> Host:
        return scipy.linalg.lu_solve(self.lu, x, check_finite=False)

    def solve_adjoint(self, x: Host, /) -> Host:
        return scipy.linalg.lu_solve(self.lu, x, trans=2, check_finite=False)


@dataclass(frozen=True, eq=False)
class Supplied:
    """The caller's solver."""

    function: Solve
    shift: complex

    def _solve(self, x: Host, adjoint: bool) -> Host:
        out = np.asarray(self.function(self.shift, x, adjoint))
        if out.shape != x.shape:
            raise InputError(
                f"solve(shift, x, adjoint) must return a vector of the shape of x, {x.shape}; got {out.shape}"
            )
        real = np.isrealobj(x) and not isinstance(self.shift, complex)
        return plain_product("what solve(shift, x, adjoint) returns", out, real=real)

    def solve(self, x: Host, /) -> Host:
        return self._solve(x, False)

    def solve_adjoint(self, x: Host, /) -> Host:
        return self._solve(x, True)


@dataclass(frozen=True, eq=False)
class Iterative:
    """Krylov solves with the products alone."""

    pencil: "Pencil"
    shift: complex

    def _solve(self, x: Host, product: Callable[[Host], Host]) -> Host:
        if not x.any():
            return np.zeros_like(x)
        dtype = np.result_type(x.dtype, self.pencil.dtype, np.asarray(self.shift).dtype)
        operator = linalg.LinearOperator((len(x), len(x)), matvec=product, dtype=dtype)
        y, failed = linalg.gmres(operator, x, rtol=_INNER, restart=min(_RESTART, len(x)), maxiter=_CYCLES)
        residual = np.linalg.norm(product(y) - x) / np.linalg.norm(x)
        if failed and residual > 1e-6:
            raise StagnationError(float(residual))
        return y

    def solve(self, x: Host, /) -> Host:
        return self._solve(x, lambda y: self.pencil.apply(self.shift, y))

    def solve_adjoint(self, x: Host, /) -> Host:
        return self._solve(x, lambda y: self.pencil.apply_adjoint(self.shift, y))


class StagnationError(Exception):
    """An iterative solver stopped short of a residual."""


@dataclass(frozen=True, eq=False)
class Pencil:
    """A - w B; B None for the identity. Both are in double precision, sparse arrays in CSC format without duplicates."""

    A: Any
    B: Any = None
    hermitian: bool = False

    @property
    def n(self) -> int:
        """Order."""
        return int(self.A.shape[0])

    @property
    def dtype(self) -> Any:
        """The dtype of products with real vectors."""
        return np.result_type(*(X.dtype for X in (self.A, self.B) if X is not None), np.float64)

    @property
    def real(self) -> bool:
        """Whether products with real vectors are real."""
        return not np.issubdtype(self.dtype, np.complexfloating)

    @property
    def explicit(self) -> bool:
        """Whether the entries are known."""
        return not any(isinstance(X, linalg.LinearOperator) for X in (self.A, self.B))

    @cached_property
    def size(self) -> float:
        """About ||A||_2, from above if entries are known, else from below."""
        return _size(self.A)

    @cached_property
    def mass_size(self) -> float:
        """About ||B||_2."""
        return 1.0 if self.B is None else _size(self.B)

    @property
    def unit(self) -> float:
        """||A||/||B||, the size of an eigenvalue."""
        return self.size / self.mass_size

    def mass(self, X: Host) -> Host:
        """B X."""
        return X if self.B is None else self.B @ X

    def mass_adjoint(self, X: Host) -> Host:
        """B^H X."""
        return X if self.B is None else _adjoint_product(self.B, X, self.hermitian)

    def apply(self, w: Any, X: Host) -> Host:
        """A X - B X diag(w)."""
        return self.A @ X - self.mass(X) * w

    def apply_adjoint(self, w: Any, Y: Host) -> Host:
        """A^H Y - B^H Y conj(diag w)."""
        return _adjoint_product(self.A, Y, self.hermitian) - self.mass_adjoint(Y) * np.conj(w)

    def require_adjoint(self) -> None:
        """Refuse operators whose products with the adjoint are not those: <A x, y> = <x, A^H y>."""
        if self.hermitian or self.explicit:
            return
        x, y = generic(self.n, 2).T
        forth, back = np.vdot(y, self.apply(1.0, x)), np.vdot(self.apply_adjoint(1.0, y), x)
        size = np.linalg.norm(self.apply(1.0, x)) * np.linalg.norm(y)
        if not abs(forth - back) <= 1e-8 * size:
            raise InputError(
                f"rmatvec must multiply with the adjoint of what matvec multiplies with, but y^H (A x) = {forth:.6g} and (A^H "
                f"y)^H x = {back:.6g} for generic x and y"
            )

    def factorise(self, shift: complex) -> ShiftSolver:
        """A solver for the shift: a factorisation if entries are known, else Krylov solves."""
        if not self.explicit:
            return Iterative(self, shift)
        if sparse.issparse(self.A) and (self.B is None or sparse.issparse(self.B)):
            B = sparse.eye_array(self.n, format="csc") if self.B is None else self.B
            return sparse_factor(sparse.csc_array(self.A - shift * B if shift else self.A))
        A, B = (X.toarray() if sparse.issparse(X) else X for X in (self.A, self.B))
        M = A - shift * (np.eye(self.n) if B is None else B)
        if not self.real or np.iscomplexobj(shift):
            M = M.astype(complex)
        return dense_factor(M)


def sparse_factor(M: Any) -> SparseFactor:
    """LU of a sparse matrix, with the order of columns that suits its pattern."""
    M.sum_duplicates()
    pattern = sparse.csc_array((np.ones(M.nnz, dtype=np.int8), M.indices, M.indptr), shape=M.shape)
    symmetric = (abs(pattern - pattern.T)).nnz == 0
    options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": PIVOT} if symmetric else {"permc_spec": "COLAMD"}
    try:
        lu = linalg.splu(M, **options)
    except RuntimeError as error:
        if "singular" not in str(error):
            raise
        raise SingularShiftError from error
    return SparseFactor(lu, not np.iscomplexobj(M.data))


def dense_factor(M: Host) -> DenseFactor:
    """LU of a dense matrix."""
    lu, pivots = scipy.linalg.lu_factor(M, check_finite=False)
    if np.any(lu.diagonal() == 0):
        raise SingularShiftError
    return DenseFactor((lu, pivots))


def _adjoint_product(A: Any, X: Host, hermitian: bool) -> Host:
    if hermitian:
        return A @ X
    if isinstance(A, linalg.LinearOperator):
        try:
            return A.rmatmat(X) if X.ndim == 2 else A.rmatvec(X)
        except NotImplementedError as error:
            raise InputError(
                "derivatives need products with the adjoint of the operator: give the LinearOperator an rmatvec (for a real "
                "symmetric or Hermitian operator use eigsh, which needs none)"
            ) from error
    return A.conj().T @ X


def _size(A: Any) -> float:
    if sparse.issparse(A):
        return float(np.sqrt(linalg.norm(A, 1)) * np.sqrt(linalg.norm(A, np.inf)))
    if isinstance(A, linalg.LinearOperator):
        x = probe(A.shape[0])
        size = 0.0
        for _ in range(3):
            y = A @ x
            size = max(size, float(np.linalg.norm(y) / np.linalg.norm(x)))
            if not size:
                break
            x = y
        return size
    return float(np.linalg.norm(A))


def plain_product(what: str, y: Any, *, real: bool) -> Host:
    """What a caller's function makes of a vector, if it is finite, and real where that is due."""
    y = np.asarray(y)
    if real and np.iscomplexobj(y):
        raise InputTypeError(f"{what} must be real where the matrices and x are, got {y.dtype}")
    if not np.isfinite(y).all():
        raise NonFiniteError(f"{what} must be finite, but has an entry that is {y[~np.isfinite(y)][0]}")
    return y


def generic(n: int, m: int) -> Host:
    """The same m generic vectors in every call."""
    return np.random.default_rng(0).standard_normal((n, m))


def start(n: int) -> Host:
    """Where ARPACK starts."""
    return generic(n, 2)[:, 0]


def probe(n: int) -> Host:
    """Another one, to look for what was left out: of an eigenvalue's space ARPACK finds just the part in which it starts."""
    return generic(n, 2)[:, 1]
