"""Every exception and warning that arreig raises."""


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


class LostPrecisionError(ArreigError):
    """Rounding leaves fewer than about two digits of the gradient."""


class GaugeTieWarning(UserWarning):
    """Two components of an eigenvector share the largest modulus, so the canonical gauge may jump between them."""
