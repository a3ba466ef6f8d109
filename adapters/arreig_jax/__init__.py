from ._functions import eig, eigh, eigvals, eigvalsh
from ._matrix_function import logm, matrix_function, sqrtm
from ._subspace import invariant_subspace, spectral_projector
