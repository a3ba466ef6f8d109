"""Matrices of which a few eigenpairs are wanted, as they come: on the host for SciPy, and their gradients in their own format."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sparse
import scipy.sparse.linalg as linalg

from .._array_api import device, namespace
from .._errors import InputError, InputTypeError, NonFiniteError, kind
from .._types import Array, Products
from . import backend_for
from .pencil import Host, generic, plain_product
from .standard import warn_of_host

_DTYPES = ("float32", "float64", "complex64", "complex128")
ROOT = float(np.finfo(np.float64).eps / 2) ** 0.5
_FORMATS = ("csr", "csc", "coo", "bsr", "dia", "lil", "dok")


class Source:
    """A matrix as the caller has it. host: the same in double precision, for SciPy."""

    title: ClassVar[str]
    family: str = "NumPy and SciPy"  # matrices of one problem are of one
    host: Any
    single: bool
    real: bool
    shape: tuple[int, ...]

    @property
    def described(self) -> str:
        """What it is, as far as a gradient has its form."""
        precision_, kind_ = "single" if self.single else "double", "real" if self.real else "complex"
        return f"{self.title}, {precision_}, {kind_}, of shape {self.shape}"

    def eigenpairs(self, request: Any, *, hermitian: bool, alone: bool) -> tuple[Host, Host] | None:
        """What the library computes by itself; alone: there is no B. None leaves it to ARPACK on the host."""
        return None

    def array(self, x: Host) -> Array:
        """A result in the library, on the device and in the precision of the matrix."""
        if not self.single:
            return x.copy()
        return x.astype(np.complex64 if np.iscomplexobj(x) else np.float32)

    def vector(self, name: str, x: Array) -> Host:
        """An array of the caller's, in double precision on the host."""
        if not isinstance(x, np.ndarray):
            raise InputTypeError(f"{name} must be a NumPy array, as what comes with {self.title} is; got {kind(x)}")
        return double(name, x)


class Stored(Source, ABC):
    """A matrix whose entries are known, so that a gradient has the form of the matrix."""

    @abstractmethod
    def gradient(self, Y: Host, V: Host) -> Any:
        """Y V^H in the format of the matrix."""


class Operator(Source):
    """SciPy's LinearOperator: products only."""

    title = "a LinearOperator"

    def __init__(self, name: str, A: Any) -> None:
        if A.dtype is None:
            raise InputTypeError(f"{name}, a LinearOperator, must have a dtype")
        _check_dtype(name, np.dtype(A.dtype))
        self.shape = A.shape
        self.single, self.real = precision(A.dtype)
        matvec, rmatvec, matmat = (self._checked(name, product) for product in (A.matvec, A.rmatvec, A.matmat))
        dtype = np.float64 if self.real else np.complex128
        self.host = linalg.LinearOperator(A.shape, matvec=matvec, rmatvec=rmatvec, matmat=matmat, dtype=dtype)

    def _checked(self, name: str, product: Callable[[Host], Host]) -> Callable[[Host], Host]:
        def checked(x: Host) -> Host:
            return plain_product(f"the product of {name} with a vector", product(x), real=self.real and np.isrealobj(x))

        return checked


class Sparse(Stored):
    """SciPy's sparse arrays and matrices, of any format."""

    title = "a SciPy sparse array"

    def __init__(self, name: str, A: Any) -> None:
        if A.format not in _FORMATS:
            raise InputTypeError(
                f"{name} must be a sparse array of one of the formats {', '.join(_FORMATS)}; got {A.format}"
            )
        _check_dtype(name, A.dtype)
        self._A = A.copy()
        self.shape = A.shape
        self.single, self.real = precision(A.dtype)
        if len(A.shape) == 2:
            M = sparse.csc_array(self._A)
            self.host = sparse.csc_array(M.astype(np.float64 if self.real else np.complex128))
            self.host.sum_duplicates()
            _check_finite(name, self.host.data)
            self.host.eliminate_zeros()

    def gradient(self, Y: Host, V: Host) -> Any:
        return on_pattern(self._A, Y, V)


class Dense(Stored):
    """An array of an array library."""

    title = "a dense array"

    def __init__(self, name: str, A: Array) -> None:
        self._backend = backend_for(A)
        A = self._backend.admit(name, A)
        if not self._backend.readable(A):
            raise InputTypeError(
                f"{name} has no numbers here: eigs and eigsh run on the host, outside jit, vmap and their like"
            )
        self._like = A
        if not isinstance(A, np.ndarray):
            self.family = type(A).__module__.partition(".")[0]
        library = self._backend.away(A)
        if library is not None:
            warn_of_host(library)
        x = self._backend.to_host(A)
        self.host = double(name, x)
        self.shape = tuple(A.shape)
        self.single, self.real = precision(x.dtype)

    def gradient(self, Y: Host, V: Host) -> Any:
        return self.array(Y @ V.conj().T)

    def array(self, x: Host) -> Array:
        return self._backend.from_host(super().array(x), self._like)

    def vector(self, name: str, x: Array) -> Host:
        return in_library(name, x, self._like)


def in_library(name: str, x: Array, like: Array) -> Host:
    """An array of the library and on the device of another, on the host."""
    try:
        same = namespace(x) is namespace(like)
    except TypeError:
        same = False
    if not same:
        raise InputTypeError(f"{name} must come from A's library: expected {kind(like)}, got {kind(x)}")
    if device(x) != device(like):
        raise InputError(f"{name} must be on A's device: expected {device(like)}, got {device(x)}")
    return double(name, backend_for(x).to_host(backend_for(x).admit(name, x)))


def source(name: str, A: Any) -> Source:
    """What A is."""
    special: Source
    if sparse.issparse(A):
        return Sparse(name, A)
    if isinstance(A, linalg.LinearOperator):
        return Operator(name, A)
    if isinstance(A, Products):
        from .products import LibraryOperator

        special = LibraryOperator(name, A)
        return special
    library = type(A).__module__.partition(".")[0]
    if library == "torch" and str(A.layout) != "torch.strided":
        from .torch_sparse import TorchSparse

        special = TorchSparse(name, A)
        return special
    if library == "cupyx":
        from .cupy_sparse import CupySparse

        special = CupySparse(name, A)
        return special
    try:
        namespace(A)
    except TypeError:
        raise InputTypeError(
            f"{name} must be a SciPy sparse array, a LinearOperator, a sparse tensor of torch, a sparse matrix of CuPy or a "
            f"dense array, got {kind(A)}; products alone are a scipy.sparse.linalg.LinearOperator(shape, matvec, rmatvec)"
        ) from None
    return Dense(name, A)


def entries(A: Any) -> tuple[Host, Host]:
    """Rows and columns of what a sparse array stores, in the order of its data; duplicates and explicit zeros included."""
    if A.format == "dia":
        cols = np.arange(A.data.shape[1])
        rows = cols[None, :] - A.offsets[:, None]
        return rows, np.broadcast_to(cols, rows.shape)
    if A.format in ("coo", "bsr"):
        C = A.tocoo(copy=False)
        return C.row, C.col
    minor = A.indices
    major = np.repeat(np.arange(len(A.indptr) - 1, dtype=minor.dtype), np.diff(A.indptr))
    return (major, minor) if A.format == "csr" else (minor, major)


def evaluated(rows: Host, cols: Host, Y: Host, V: Host) -> Host:
    """Entries of Y V^H, one column after the other: O(entries) memory."""
    out = np.zeros(rows.shape, dtype=np.result_type(Y, V))
    for y, v in zip(Y.T, V.T, strict=True):
        out += y[rows] * v.conj()[cols]
    return out


def on_pattern(A: Any, Y: Host, V: Host) -> Any:
    """Y V^H in what A stores, in A's format and precision."""
    if np.iscomplexobj(Y) and not np.issubdtype(A.dtype, np.complexfloating):
        raise InputTypeError(
            f"a complex gradient has no place in a real pattern: expected a complex matrix, got one of {A.dtype}"
        )
    if A.format in ("lil", "dok"):
        C = A.tocoo()
        values = evaluated(C.row, C.col, Y, V).astype(A.dtype)
        return type(C)((values, (C.row, C.col)), shape=A.shape).asformat(A.format)
    rows, cols = entries(A)
    dtype = A.dtype if np.issubdtype(A.dtype, np.inexact) else np.result_type(Y, V)
    if A.format == "dia":
        inside = (rows >= 0) & (rows < A.shape[0]) & (cols < A.shape[1])
        values = evaluated(np.where(inside, rows, 0), np.where(inside, cols, 0), Y, V)
        return type(A)((np.where(inside, values, 0).astype(dtype), A.offsets.copy()), shape=A.shape)
    values = evaluated(rows, cols, Y, V).astype(dtype)
    if A.format == "coo":
        return type(A)((values, (A.row.copy(), A.col.copy())), shape=A.shape)
    parts = (A.indices.copy(), A.indptr.copy())
    return type(A)((values.reshape(A.data.shape), *parts), shape=A.shape)


def double(name: str, x: Host) -> Host:
    """x in double precision, a copy; refused if it is no array of numbers, or not finite."""
    _check_dtype(name, x.dtype)
    x = x.astype(np.complex128 if np.iscomplexobj(x) else np.float64)
    _check_finite(name, x)
    return x


def precision(dtype: Any) -> tuple[bool, bool]:
    """Whether it is single, whether it is real; integers are taken for doubles."""
    return dtype in (np.float32, np.complex64), not np.issubdtype(dtype, np.complexfloating)


def _check_dtype(name: str, dtype: Any) -> None:
    if str(np.dtype(dtype).newbyteorder("=")) not in _DTYPES and not np.issubdtype(dtype, np.integer):
        raise InputTypeError(
            f"{name} must have one of the dtypes {', '.join(_DTYPES)} (integers are converted to float64), got {dtype}"
        )


def _check_finite(name: str, x: Host) -> None:
    if not np.isfinite(x).all():
        bad = x[~np.isfinite(x)][0]
        raise NonFiniteError(f"{name} must be finite, but has an entry that is {bad}")


def hermitian_part(name: str, X: Any) -> Any:
    """(X + X^H)/2, refused where that is not X; of an operator, whose products with two vectors must agree, X itself."""
    if isinstance(X, linalg.LinearOperator):
        x, y = generic(X.shape[0], 2).T
        Xx, Xy = X @ x, X @ y
        skew, size = abs(np.vdot(x, Xy) - np.vdot(Xx, y)), np.linalg.norm(x) * np.linalg.norm(Xy)
    else:
        norm = linalg.norm if sparse.issparse(X) else np.linalg.norm
        skew, size = norm(X - X.conj().T), norm(X)
    if not skew <= ROOT * size:
        raise InputError(
            f"{name} must be Hermitian (symmetric if real): expected |{name} - {name}^H| <= sqrt(u) |{name}|, got {skew:.6g} "
            f"with |{name}| = {size:.6g}. Pass ({name} + {name}^H)/2, or use eigs"
        )
    return X if isinstance(X, linalg.LinearOperator) else (X + X.conj().T) / 2
