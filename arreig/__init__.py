"""Eigendecompositions and their derivatives for every Python array library.

``res = arreig.eig(A)`` decomposes, ``res.vjp(gV, gw)`` takes a gradient through it, ``arreig.eig_vjp(A, gV)`` does both.
"""

import importlib as _importlib
import typing as _typing

from ._decompositions.diagnose import diagnose
from ._decompositions.eig import EigLeftResult, EigResult, eig, eig_jvp, eig_vjp
from ._decompositions.eigh import EighResult, eigh, eigh_jvp, eigh_vjp, eigvalsh, eigvalsh_jvp, eigvalsh_vjp
from ._decompositions.eigvals import eigvals, eigvals_jvp, eigvals_vjp
from ._decompositions.function import matrix_function, matrix_function_jvp, matrix_function_vjp
from ._decompositions.roots import logm, logm_jvp, logm_vjp, sqrtm, sqrtm_jvp, sqrtm_vjp
from ._decompositions.subspace import (
    invariant_subspace,
    invariant_subspace_jvp,
    invariant_subspace_vjp,
    spectral_projector,
    spectral_projector_jvp,
    spectral_projector_vjp,
)
from ._degeneracy import Broaden
from ._diagnosis import Diagnosis
from ._errors import (
    ArreigError,
    ConvergenceError,
    DefectiveMatrixError,
    DegenerateEigenvaluesError,
    DenseSolverWarning,
    EigensystemError,
    GaugeDependentLossError,
    GaugeError,
    GaugeTieWarning,
    HostTransferWarning,
    InfiniteEigenvalueError,
    InputError,
    InputTypeError,
    LostPrecisionError,
    NonFiniteError,
    SpectrumNotSeparatedError,
)
from ._gauge import Component, Functional
from ._perturb import Perturb
from ._split import Split

if _typing.TYPE_CHECKING:
    from ._decompositions._factors import GradientFactors
    from ._decompositions.eigs import EigsResult, eigs, eigs_jvp, eigs_vjp
    from ._decompositions.eigsh import eigsh, eigsh_jvp, eigsh_vjp

__version__ = "0.1.0"

__all__ = [
    "ArreigError",
    "Broaden",
    "Component",
    "ConvergenceError",
    "DefectiveMatrixError",
    "DegenerateEigenvaluesError",
    "DenseSolverWarning",
    "Diagnosis",
    "EigLeftResult",
    "EigResult",
    "EigensystemError",
    "EighResult",
    "EigsResult",
    "Functional",
    "GaugeDependentLossError",
    "GaugeError",
    "GaugeTieWarning",
    "GradientFactors",
    "HostTransferWarning",
    "InfiniteEigenvalueError",
    "InputError",
    "InputTypeError",
    "LostPrecisionError",
    "NonFiniteError",
    "Perturb",
    "SpectrumNotSeparatedError",
    "Split",
    "__version__",
    "diagnose",
    "eig",
    "eig_jvp",
    "eig_vjp",
    "eigh",
    "eigh_jvp",
    "eigh_vjp",
    "eigs",
    "eigs_jvp",
    "eigs_vjp",
    "eigsh",
    "eigsh_jvp",
    "eigsh_vjp",
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

# Imported when they are first asked for, with SciPy's part for sparse matrices: a third of the time that all takes.
_SPARSE = {
    "EigsResult": "eigs",
    "GradientFactors": "_factors",
    "eigs": "eigs",
    "eigs_jvp": "eigs",
    "eigs_vjp": "eigs",
    "eigsh": "eigsh",
    "eigsh_jvp": "eigsh",
    "eigsh_vjp": "eigsh",
}


def __getattr__(name: str) -> _typing.Any:
    if name not in _SPARSE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_importlib.import_module(f"._decompositions.{_SPARSE[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_SPARSE})
