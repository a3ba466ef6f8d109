"""Routines of LAPACK and BLAS, called without the GIL.

NumPy's functions release the GIL, and allocate what they return with no room between the columns; SciPy's hold it, so that
threads over a batch would wait for each other. Under them SciPy has the routines themselves, for whoever calls from C
(`scipy.linalg.cython_lapack`, `cython_blas`): here by ctypes, with addresses for arguments, as Fortran has them.

Matrices are stored by columns there. What is stored by rows here is the transpose.
"""

import ctypes
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cython_blas, cython_lapack

Numbers = np.ndarray[Any, Any]

# Room between columns. Those of a matrix of order 512 or 1024 begin at the same places of the cache, and each drives out the
# others: geev took twice as long.
_ROOM = 8

_name, _address = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_address.restype, _address.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


@cache
def _routine(name: str) -> Callable[..., None]:
    exported = cython_lapack.__pyx_capi__ | cython_blas.__pyx_capi__
    capsule = exported[name]
    signature = _name(capsule)
    if not re.search(rb"\bint \*", signature):  # of a build with longer ones
        raise ImportError(f"expected SciPy to export {name} with arguments of type int, got {signature.decode()}")
    count = signature.count(b",") + 1
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * count)(_address(capsule, signature))


def _call(name: str, dtype: Any, *arguments: Any) -> None:
    """Arguments: letters, integers, arrays by their first entry, None where the routine does not look, or what ctypes made."""
    letter = {"f": "s", "d": "d", "F": "c", "D": "z"}[np.dtype(dtype).char]
    _routine(letter + name)(*map(_as_address, arguments))


def _as_address(x: Any) -> Any:
    if isinstance(x, int):
        return ctypes.byref(ctypes.c_int(x))
    return x.ctypes.data if isinstance(x, np.ndarray) else x


def geev(A: Numbers) -> tuple[Numbers, Numbers]:
    """Eigenvalues (n,) and eigenvectors (n, n) of norm 1, both complex, of a finite matrix in double precision."""
    n, dtype = len(A), A.dtype
    ld = n + _ROOM
    info, size = ctypes.c_int(0), np.empty(1, dtype)
    a, v = np.empty((n, ld), dtype), np.empty((n, ld), dtype)
    a[:, :n] = A.T
    w, rwork = np.empty(n, np.complex128), np.empty(2 * n)
    complex_matrix = dtype.kind == "c"
    wr, wi = rwork[:n], rwork[n:]
    values = (w,) if complex_matrix else (wr, wi)
    last = (rwork, ctypes.byref(info)) if complex_matrix else (ctypes.byref(info),)
    arguments = (b"N", b"V", n, a, ld, *values, None, 1, v, ld)
    _call("geev", dtype, *arguments, size, -1, *last)
    work = np.empty(int(size[0].real), dtype)
    _call("geev", dtype, *arguments, work, len(work), *last)
    if info.value:
        raise LinAlgError(f"the QR algorithm did not converge (LAPACK's geev returned info = {info.value})")
    if complex_matrix:
        return w, np.ascontiguousarray(v[:, :n].T)
    w.real, w.imag = wr, wi
    V = v[:, :n].astype(np.complex128)  # of a pair real and imaginary part
    up = np.flatnonzero(w.imag > 0)
    V[up] += 1j * V[up + 1]
    V[up + 1] = V[up].conj()
    return w, np.ascontiguousarray(V.T)


def getrf(a: Numbers) -> list[int]:
    """Factorise, in place, the transpose of a matrix (n, n) stored by rows; the pivots."""
    n, info = len(a), ctypes.c_int(0)
    pivots = np.empty(n, np.int32)
    _call("getrf", a.dtype, n, n, a, n, pivots, ctypes.byref(info))
    return (pivots - 1).tolist()


def trsm(lu: Numbers, x: Numbers, *, lower: bool, transposed: bool) -> None:
    """x := x (n, m) multiplied from the left by the inverse of one of the factors that `getrf` made, or of its transpose.

    lower: of P L U = a^T the factor is L. transposed: the inverse of L^T, else of L. x: stored by rows, maybe of a wider matrix.
    """
    (n, m), one = x.shape, np.ones(1, x.dtype)
    # What Fortran sees is x^T, multiplied from the right: x^T L^-T is (L^-1 x)^T.
    letters = (b"R", b"L" if lower else b"U", b"N" if transposed else b"T", b"U" if lower else b"N")
    _call("trsm", x.dtype, *letters, m, n, one, lu, n, x, x.strides[0] // x.itemsize)
