"""CuPy's sparse matrices as those of which a few eigenpairs are wanted."""

from typing import Any

import cupyx.scipy.sparse as sparse
import cupyx.scipy.sparse.linalg as linalg

from .._types import Array
from .cupy import BACKEND
from .krylov import Request
from .pencil import Host, start
from .sources import Sparse, double, in_library
from .standard import warn_of_host


class CupySparse(Sparse):
    """CSR, CSC, COO and DIA matrices: CuPy's own eigsh where it can do what is asked, all else on the host."""

    title = "a sparse matrix of CuPy"
    family = "cupy"

    def __init__(self, name: str, A: Any) -> None:
        super().__init__(name, A.get())
        self._like = A.data
        self._there = A

    def eigenpairs(self, request: Request, *, hermitian: bool, alone: bool) -> tuple[Host, Host] | None:
        k, which, sigma, v0, ncv, tol, maxiter = request
        if not (hermitian and alone and sigma is None and which in ("LM", "LA", "SA")):
            warn_of_host("CuPy")
            return None
        first = (start(self.shape[0]) if v0 is None else v0).astype(self._like.dtype)
        options = {
            "which": which,
            "v0": BACKEND.from_host(first, self._like),
            "ncv": ncv,
            "maxiter": maxiter,
            "tol": tol,
        }
        with self._like.device:
            w, V = linalg.eigsh(self._there.tocsr(), k, **options)
        return double("CuPy's eigenvalues", w.get()), double("CuPy's eigenvectors", V.get())

    def gradient(self, Y: Host, V: Host) -> Any:
        with self._like.device:
            return getattr(sparse, f"{self._A.format}_matrix")(super().gradient(Y, V))

    def array(self, x: Host) -> Array:
        return BACKEND.from_host(super().array(x), self._like)

    def vector(self, name: str, x: Array) -> Host:
        warn_of_host("CuPy")  # a derivative begins
        return in_library(name, x, self._like)
