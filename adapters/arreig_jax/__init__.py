"""Eigendecompositions for JAX, differentiable in every mode, called as those of `jax.numpy.linalg`.

``arreig_jax.eig(A)`` returns what ``jnp.linalg.eig(A)`` returns, in a gauge, with derivatives, and with a reason where there is
none. `arreig.Component`, `arreig.Functional`, `arreig.Split`, `arreig.Perturb` and `arreig.Broaden` are its options,
`arreig.ArreigError`, a `ValueError`, the base of its errors. `arreig.diagnose` takes JAX's arrays as they are.

`jax.jit`, `grad`, `vjp`, `jvp`, `linearize`, `jacfwd`, `jacrev`, `hessian`, `vmap`, `checkpoint`, and control flow such as `scan`
work, and their compositions, to any order, in single precision and, with ``jax_enable_x64``, in double. What the checks do in
them:

- Where there are numbers, outside of `jit` and of what compiles (`scan`, `while_loop`, `cond`), errors are raised, by values and
  by derivatives, `vmap` included, where the members of an error's batch count the mapped axis first.
- Where there are none a member of the batch is NaN where an error would be raised. ``check=print``, or another function, is told
  why: what came out as NaN is then computed again on the host, by a `jax.debug.callback`.
- ``check=False`` reads nothing anywhere, and gives NaN.
- Forward mode sees a tangent and no loss: ``gauge="phase-free"`` then gives the tangent with ``v^H dv = 0``, which is right for
  losses that do not depend on the phase, and cannot tell others. Nor can it tell losses that ``degeneracy="split"`` is not for.

On a CPU an eager call computes with NumPy, in the same memory, because JAX would compile every step of it for every shape. What
is compiled computes with JAX's own functions; results differ by rounding, and a singular B is for eager calls alone.

The second derivative of a member with numerically equal eigenvalues is refused (`DegenerateEigenvaluesError`), even where the
first exists; `arreig_torch` describes what `arreig.Split` and `arreig.Perturb` do there, and here they do the same.

With a second matrix the same functions solve ``A V = B V diag(w)`` and differentiate by either or both. `spectral_projector` and
`invariant_subspace` have derivatives of every order, at Jordan blocks too; `matrix_function` has two, a third is refused. `eigs`
and `eigsh` compute a few eigenpairs of a large dense or sparse (BCOO) matrix on the host and have first derivatives, forward and
reverse.

JAX's gradient of a real loss in a complex matrix is the complex conjugate of arreig's and torch's: for a descent take its
conjugate, as with all of JAX.
"""

try:
    import jax as _jax  # noqa: F401
except ImportError as error:
    raise ImportError("arreig_jax needs JAX: pip install 'arreig[jax]'") from error

from arreig._types import EigPair, EigTriple

from ._functions import eig, eigh, eigvals, eigvalsh
from ._matrix_function import logm, matrix_function, sqrtm
from ._sparse import eigs, eigsh
from ._subspace import invariant_subspace, spectral_projector

__all__ = [
    "EigPair",
    "EigTriple",
    "eig",
    "eigh",
    "eigs",
    "eigsh",
    "eigvals",
    "eigvalsh",
    "invariant_subspace",
    "logm",
    "matrix_function",
    "spectral_projector",
    "sqrtm",
]
