"""Every exception and warning that arreig raises, and how a warning is given."""

import sys
import warnings
from types import FrameType
from typing import Any


class ArreigError(ValueError):
    """Base of all errors raised by arreig."""


class InputError(ArreigError):
    """An argument has a wrong shape, device or value, or an option is unknown."""


class InputTypeError(InputError, TypeError):
    """An argument is no array, or an array of a wrong library or dtype."""


class NonFiniteError(InputError):
    """A matrix or a cotangent contains NaN or infinity."""


class EigensystemError(InputError):
    """A supplied eigensystem does not decompose A, or is not scaled as the gauge asks."""


class GaugeError(ArreigError):
    """The gauge's condition cannot be met: the component or functional that it sets to 1 vanishes."""


class GaugeDependentLossError(ArreigError):
    """The loss depends on the phase of an eigenvector, which ``gauge="phase-free"`` leaves open."""


class DegenerateEigenvaluesError(ArreigError):
    """Eigenvalues are numerically equal and the cotangents ask for more than their cluster determines."""


class DefectiveMatrixError(ArreigError):
    """The eigenvectors are numerically linearly dependent: the matrix is defective or too close to it."""


class InfiniteEigenvalueError(ArreigError):
    """A cotangent of an eigenpair of A V = B V diag(w) with a singular B whose eigenvalue is infinite."""


class SpectrumNotSeparatedError(ArreigError):
    """Selected eigenvalues are too close to others for their invariant subspace to have a derivative."""


class ConvergenceError(ArreigError):
    """An iteration did not reach its tolerance.

    Attributes
    ----------
    eigenvalues, eigenvectors : array or None
        The eigenpairs that did converge, of `eigs` and `eigsh`.
    residuals : array or None
        Relative residuals of the systems of a derivative.
    """

    def __init__(
        self, message: str, *, eigenvalues: Any = None, eigenvectors: Any = None, residuals: Any = None
    ) -> None:
        super().__init__(message)
        self.eigenvalues, self.eigenvectors, self.residuals = eigenvalues, eigenvectors, residuals


class LostPrecisionError(ArreigError):
    """Rounding leaves fewer than about two digits of the gradient."""


class GaugeTieWarning(UserWarning):
    """Two components of an eigenvector share the largest modulus, so the canonical gauge may jump between them."""


class HostTransferWarning(UserWarning):
    """Arrays of a GPU were decomposed on the host, because their library cannot do it there."""


class DenseSolverWarning(UserWarning):
    """So many eigenpairs of a small matrix were asked for that all of them were computed by LAPACK."""


def kind(x: object) -> str:
    """The type of an argument as an error message shows it."""
    return f"{type(x).__module__}.{type(x).__qualname__}".removeprefix("builtins.")


# autograd, dask, JAX and torch stand between their adapters and the core that these call
_INSIDE = {"arreig", "autograd", "dask", "jax", "torch"} | {
    f"arreig_{name}" for name in ("autograd", "dask", "jax", "torch")
}


def warn(problem: Warning) -> None:
    """Warn at the caller's line: the first frame outside the package, its adapters and what calls them back."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(problem, stacklevel=level)
