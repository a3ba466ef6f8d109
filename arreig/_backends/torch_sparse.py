"""torch's sparse tensors as matrices of which a few eigenpairs are wanted."""

import scipy.sparse as sparse
import torch

from .._errors import InputTypeError
from .._types import Array
from .pencil import Host
from .sources import Sparse, in_library
from .standard import warn_of_host
from .torch import BACKEND

_DTYPES = (torch.float32, torch.float64, torch.complex64, torch.complex128)


class TorchSparse(Sparse):
    """COO, CSR and CSC tensors. Stored entries are what a gradient is given for, uncoalesced ones each by itself."""

    title = "a sparse tensor of torch"
    family = "torch"

    def __init__(self, name: str, A: Array) -> None:
        if A.ndim != 2:
            raise InputTypeError(
                f"{name} must be one sparse matrix, without batch; got a tensor of shape {tuple(A.shape)}"
            )
        if (A.is_floating_point() or A.is_complex()) and A.dtype not in _DTYPES:
            raise InputTypeError(
                f"{name} must be float32, float64, complex64 or complex128, got {A.dtype}; convert it to the precision you want"
            )
        if A.layout == torch.sparse_coo:
            values = A._values()  # indices() and values() refuse duplicates
            host = sparse.coo_array((_host(values), tuple(_host(A._indices()))), shape=tuple(A.shape))
        elif A.layout == torch.sparse_csr:
            values = A.values()
            host = sparse.csr_array(
                (_host(values), _host(A.col_indices()), _host(A.crow_indices())), shape=tuple(A.shape)
            )
        elif A.layout == torch.sparse_csc:
            values = A.values()
            host = sparse.csc_array(
                (_host(values), _host(A.row_indices()), _host(A.ccol_indices())), shape=tuple(A.shape)
            )
        else:
            raise InputTypeError(f"{name} must be a sparse tensor in the layout COO, CSR or CSC; got {A.layout}")
        if A.device.type != "cpu":
            warn_of_host("torch")
        super().__init__(name, host)
        self._like = values.detach()
        self._structure = A.detach()

    def gradient(self, Y: Host, V: Host) -> Array:
        return with_values(self._structure, self.array(super().gradient(Y, V).data))

    def array(self, x: Host) -> Array:
        return BACKEND.from_host(super().array(x), self._like)

    def vector(self, name: str, x: Array) -> Host:
        return in_library(name, x, self._like)


def with_values(A: Array, values: Array) -> Array:
    """A sparse tensor of the structure of A, which it does not share, with other values."""
    size = tuple(A.shape)
    if A.layout == torch.sparse_coo:
        return torch.sparse_coo_tensor(
            A._indices().clone(), values, size, is_coalesced=A.is_coalesced(), check_invariants=False
        )
    if A.layout == torch.sparse_csr:
        return torch.sparse_csr_tensor(
            A.crow_indices().clone(), A.col_indices().clone(), values, size, check_invariants=False
        )
    return torch.sparse_csc_tensor(
        A.ccol_indices().clone(), A.row_indices().clone(), values, size, check_invariants=False
    )


def _host(x: Array) -> Host:
    return x.numpy(force=True)
