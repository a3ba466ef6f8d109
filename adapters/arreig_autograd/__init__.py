"""Eigendecompositions for HIPS autograd, differentiable in reverse and forward mode, on NumPy arrays.

``arreig_autograd.eig(A)`` is called within a function that `autograd.grad` or `autograd.make_jvp` differentiates, between
operations of `autograd.numpy`, and takes the options of `arreig.eig`, with the same effect on derivatives. `arreig.Component`,
`arreig.Functional`, `arreig.Split`, `arreig.Perturb` and `arreig.Broaden` are options; `arreig.ArreigError`, a `ValueError`, is
the base of the errors.

Conventions. A gradient is autograd's: ``dL = Re sum(gA * dA)``, the complex conjugate of arreig's (and torch's), real for a real
matrix. Single precision stays single. The named tuples that `eig` and `eigh` return hold arrays or boxes, but are no box
themselves: a function that is differentiated and returns w and V returns ``autograd.builtins.tuple((w, V))``.

Modes. A matrix is decomposed and factorised once a call, for any number of cotangents and tangents (`autograd.jacobian`,
`autograd.elementwise_grad`, `autograd.make_vjp`). All cotangents of one result reach arreig together; a loss on eigenvalues alone
takes the rule without gaps, good at repeated eigenvalues. Forward mode computes the tangents of w and V, whatever is made of
them: where those of V do not exist, at repeated eigenvalues, use `eigvals` and `eigvalsh`. It sees a tangent and no loss:
``gauge="phase-free"`` then gives the tangent with ``v^H dv = 0``, which is right for losses that do not depend on the phase, and
cannot tell others.

Limits. There are first derivatives only. What would be a second one (`autograd.hessian`, a gradient of a gradient, a tangent of
either) raises an `arreig.ArreigError`; `arreig_torch` and `arreig_jax` have second derivatives. Products of Jacobians, as in
`autograd.make_ggnvp`, are first derivatives and work. The z of `arreig.Functional`, and what f, df and `select` hold besides
their argument, are constants.
"""

try:
    import autograd as _autograd  # noqa: F401
except ImportError as error:
    raise ImportError("arreig_autograd needs autograd: pip install 'arreig[autograd]'") from error

from arreig._types import EigPair, EigTriple

from ._functions import eig, eigh, eigvals, eigvalsh
from ._matrix_function import logm, matrix_function, sqrtm
from ._subspace import invariant_subspace, spectral_projector

__all__ = [
    "EigPair",
    "EigTriple",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "invariant_subspace",
    "logm",
    "matrix_function",
    "spectral_projector",
    "sqrtm",
]
