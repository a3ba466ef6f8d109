"""Eigendecompositions of dask arrays and their derivatives, block by block: the functions of arreig, lazy.

``res = arreig_dask.eig(A)`` takes a dask array (..., n, n) that is chunked over the batch, and returns what `arreig.eig` does, as
dask arrays. Nothing is computed or read when it is called, but for types, shapes and options, which are checked then.

    w, V = res = arreig_dask.eig(A)
    loss = (abs(V) ** 2 * weights).sum()
    gA = res.vjp(2 * weights * V)
    loss, gA = dask.compute(loss, gA)

decomposes every block once: the task of a block keeps arreig's own result, eigensystem and factorisation with it, and w, V and
the gradient are tasks on that. The same in two calls of ``dask.compute`` decomposes twice, and so does what is optimised apart
(`dask.optimize`, and ``to_delayed`` but for ``optimize_graph=False``); `dask.array.store` with ``compute=False`` joins in. After
``w, V = dask.persist(w, V)`` it is ``eig_vjp(A, gV, eigensystem=(w, V))`` that does not decompose again. A loss that needs all of
the batch before its cotangents are known (a mean of V, a maximum) makes dask hold all eigensystems at once.

It works with every scheduler: synchronous, threads, processes, distributed. Blocks are computed by the library that they are
of, NumPy as a rule, and equal to the bit what arreig returns for them. Give each process one BLAS thread
(OPENBLAS_NUM_THREADS=1; distributed's workers have it), and blocks enough matrices to be worth a task: some milliseconds.

What is wrong with numbers (NaN, eigenvalues that coincide) is an `arreig.ArreigError` when the block is computed; it says which
member of the block, and a note on it in which block and where that begins. Warnings are given in the process that computes.

`arreig.Component`, `arreig.Functional`, `arreig.Split`, `arreig.Perturb` and `arreig.Broaden` are its options.
"""

try:
    import dask.array as _array  # noqa: F401
except ImportError as error:
    raise ImportError("arreig_dask needs dask: pip install 'arreig[dask]'") from error

from ._functions import (
    logm,
    logm_jvp,
    logm_vjp,
    matrix_function,
    matrix_function_jvp,
    matrix_function_vjp,
    sqrtm,
    sqrtm_jvp,
    sqrtm_vjp,
)
from ._general import eig, eig_jvp, eig_vjp, eigvals, eigvals_jvp, eigvals_vjp
from ._hermitian import eigh, eigh_jvp, eigh_vjp, eigvalsh, eigvalsh_jvp, eigvalsh_vjp
from ._results import EighResult, EigLeftResult, EigResult
from ._subspace import (
    invariant_subspace,
    invariant_subspace_jvp,
    invariant_subspace_vjp,
    spectral_projector,
    spectral_projector_jvp,
    spectral_projector_vjp,
)

__all__ = [
    "EigLeftResult",
    "EigResult",
    "EighResult",
    "eig",
    "eig_jvp",
    "eig_vjp",
    "eigh",
    "eigh_jvp",
    "eigh_vjp",
    "eigvals",
    "eigvals_jvp",
    "eigvals_vjp",
    "eigvalsh",
    "eigvalsh_jvp",
    "eigvalsh_vjp",
    "invariant_subspace",
    "invariant_subspace_jvp",
    "invariant_subspace_vjp",
    "logm",
    "logm_jvp",
    "logm_vjp",
    "matrix_function",
    "matrix_function_jvp",
    "matrix_function_vjp",
    "spectral_projector",
    "spectral_projector_jvp",
    "spectral_projector_vjp",
    "sqrtm",
    "sqrtm_jvp",
    "sqrtm_vjp",
]
