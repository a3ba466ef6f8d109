"""Ordered Schur form and the Sylvester equations that belong to it, by LAPACK through SciPy.

No array library but SciPy has them, on no device. So these functions take and return NumPy arrays, over any batch, for the
`on_host` of a backend. A = Q T Q^H with T upper triangular; for real A quasi-triangular, with 2x2 blocks for conjugate pairs.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from scipy.linalg import get_lapack_funcs, rsf2csf

Host: TypeAlias = np.ndarray[Any, Any]


def schur(A: Host) -> tuple[Host, Host, Host]:
    """Eigenvalues in the order of T's diagonal, conjugate pairs with +imag first, and T and Q."""
    T, Q = np.empty_like(A), np.empty_like(A)
    w: Host = np.empty(A.shape[:-1], dtype=np.result_type(A.dtype, np.complex64))
    if A.size:
        (gees,) = get_lapack_funcs(("gees",), dtype=A.dtype)
        work = int(gees(_unsorted, A.reshape(-1, *A.shape[-2:])[0], lwork=-1)[-2][0].real)
        for i in np.ndindex(A.shape[:-2]):
            T[i], _, *values, Q[i], _, info = gees(_unsorted, A[i], lwork=work)
            w[i] = values[0] + 1j * values[1] if len(values) == 2 else values[0]
            if info:
                raise np.linalg.LinAlgError(f"LAPACK's gees found no Schur form (info = {info})")
    return w, T, Q


def _unsorted(*_: Any) -> None:
    """gees asks for a selection, and ignores it unless it sorts."""


def reorder(T: Host, Q: Host, selected: Host, *, keep_dtype: bool = False) -> tuple[Host, Host, Host, Host, Host]:
    """The Schur form with the selected eigenvalues first.

    selected (..., n): which, in the order of the diagonal. A selection of a real matrix that parts conjugates has complex
    results, for the whole batch; with keep_dtype real ones that mean nothing, and a separation of NaN.

    Returns
    -------
    T, Q : (..., n, n)
    count : (...)
        How many are selected, int32.
    P : (..., n, n)
        Spectral projector, Q [I Z; 0 0] Q^H with T11 Z - Z T22 = T12.
    separation : (...)
        Estimate of sep(T11, T22), the smallest singular value of X -> T11 X - X T22 [1]_; infinite if all or none are
        selected, 0 if the eigenvalues are too close to be reordered.

    References
    ----------
    .. [1] Bai, Demmel, McKenney, "On computing condition numbers for the nonsymmetric eigenproblem", ACM Trans. Math. Softw.
       19 (1993) 202-223; what LAPACK's trsen returns.
    """
    parted = np.zeros(T.shape[:-2], dtype=bool)
    if not np.iscomplexobj(T):
        in_block = np.diagonal(T, -1, -2, -1) != 0
        parted = (in_block & (selected[..., 1:] != selected[..., :-1])).any(axis=-1)
        if parted.any() and not keep_dtype:
            T, Q, selected = _complex_form(T, Q, selected, in_block)
            parted = np.zeros_like(parted)
    out_T, out_Q, P = np.empty_like(T), np.empty_like(T), np.zeros_like(T)
    count = np.empty(T.shape[:-2], dtype=np.int32)
    separation = np.empty(T.shape[:-2], dtype=T.real.dtype)
    if T.size:
        (trsen,) = get_lapack_funcs(("trsen",), dtype=T.dtype)
        for i in np.ndindex(T.shape[:-2]):
            chosen, n = selected[i].astype(np.int32), T.shape[-1]
            work = {"lwork": 2 * n * n} if np.iscomplexobj(T) else {"lwork": 2 * n * n, "liwork": n * n}
            unit = _unit(T[i])
            out_T[i], out_Q[i], *_, m, _, sep, info = trsen(chosen, T[i] / unit, Q[i], job=b"B", **work)
            out_T[i] *= unit
            count[i], separation[i] = m, np.inf if m in (0, n) else sep * unit
            if info:
                separation[i] = 0
            Q1, Q2 = out_Q[i][:, :m], out_Q[i][:, m:]
            P[i] = Q1 @ (Q1.conj().T + _sylvester(out_T[i][:m, :m], out_T[i][m:, m:], out_T[i][:m, m:]) @ Q2.conj().T)
    else:
        count[...], separation[...] = 0, np.inf
    separation[parted] = np.nan
    return out_T, out_Q, count, P, separation


def _complex_form(T: Host, Q: Host, selected: Host, in_block: Host) -> tuple[Host, Host, Host]:
    """The complex Schur form of a real one, and the selection in its order."""
    dtype = np.result_type(T.dtype, np.complex64)
    form, basis, chosen = np.empty(T.shape, dtype=dtype), np.empty(T.shape, dtype=dtype), selected.copy()
    for i in np.ndindex(T.shape[:-2]):
        form[i], basis[i] = rsf2csf(T[i], Q[i])
        swapped = np.flatnonzero(in_block[i] & (np.diagonal(form[i])[:-1].imag < 0))
        chosen[i][swapped], chosen[i][swapped + 1] = selected[i][swapped + 1], selected[i][swapped]
    return form, basis, chosen


def off_diagonal(T: Host, Q: Host, count: Host, P: Host, C: Host) -> Host:
    """X = P X P' + P' X P with A X - X A = P C P' + P' C P, where P' = I - P.

    In the basis Q S, S = [I -Z; 0 I], A and P are block diagonal, and the two blocks of X solve a Sylvester equation each.
    """
    X = np.empty(C.shape, dtype=np.result_type(T, C))
    for i in np.ndindex(count.shape):
        q, m = Q[i], int(count[i])
        Z = q[:, :m].conj().T @ P[i] @ q[:, m:]
        C11, C12, C21, C22 = _blocks(q.conj().T @ C[i] @ q, m)
        (T11, _, _, T22) = _blocks(T[i], m)
        X12 = _sylvester(T11, T22, C12 + Z @ C22 - C11 @ Z - Z @ C21 @ Z)
        X21 = _sylvester(T22, T11, C21)
        X[i] = q @ np.block([[-Z @ X21, X12 - Z @ X21 @ Z], [X21, X21 @ Z]]) @ q.conj().T
    return X


def into_complement(T: Host, Q: Host, C: Host, *, adjoint: bool) -> Host:
    """X = Q2 M with T22 M - M T11 = Q2^H C, or with adjoint T22^H M - M T11^H = Q2^H C; C (..., n, m), T11 (m, m)."""
    X, m = np.empty(C.shape, dtype=np.result_type(T, C)), C.shape[-1]
    for i in np.ndindex(C.shape[:-2]):
        (T11, _, _, T22), Q2 = _blocks(T[i], m), Q[i][:, m:]
        X[i] = Q2 @ _sylvester(T22, T11, Q2.conj().T @ C[i], adjoint=adjoint)
    return X


def _blocks(X: Host, m: int) -> tuple[Host, Host, Host, Host]:
    return X[:m, :m], X[:m, m:], X[m:, :m], X[m:, m:]


def _sylvester(A: Host, B: Host, C: Host, *, adjoint: bool = False) -> Host:
    """X with A X - X B = C, A and B (quasi-)triangular, or both replaced by their adjoints."""
    if C.size == 0:
        return C
    (trsyl,) = get_lapack_funcs(("trsyl",), dtype=np.result_type(A, C))
    form, unit, right = b"C" if adjoint else b"N", max(_unit(A), _unit(B)), _unit(C)
    X, scale, _ = trsyl(A / unit, B / unit, C / right, trana=form, tranb=form, isgn=-1)
    return np.asarray(X * (right / unit / scale))


def _unit(X: Host) -> float:
    """The power of two below the largest entry. LAPACK takes what is small against 1 for 0 in these equations, whatever X is."""
    size = float(np.abs(X).max(initial=0.0))
    return 2.0 ** (math.frexp(size)[1] - 1) if size > 0 else 1.0
