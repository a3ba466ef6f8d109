"""Eigendecompositions for torch, differentiable by autograd to any order, called as those of `torch.linalg`.

``arreig_torch.eig(A)`` returns what ``torch.linalg.eig(A)`` returns, in a gauge, with gradients that do not stop at losses
which depend on phases, and with a reason where there is none. `arreig.Component`, `arreig.Functional`, `arreig.Split`,
`arreig.Perturb` and `arreig.Broaden` are its options, `arreig.ArreigError`, a `ValueError`, the base of its errors. There is no
`out`, and no `UPLO`.

Backward, backward of a backward, forward mode, ``torch.func`` (grad, vjp, jvp, jacrev, jacfwd, hessian, vmap) and their
compositions work, and batches. What the checks do in them:

- A decomposition is checked in eager mode and under every transform, vmap included, where the members of an error's batch count
  the mapped axis first. A derivative is checked in eager mode and under grad, vjp, jvp and their like.
- Under a vmap around the derivative (``vmap(grad(f))``, in part `jacrev`, `jacfwd`, `hessian`, ``is_grads_batched=True``) and
  with fake tensors there may be no numbers to read: where an error would be raised, that member of the batch is NaN. Without
  vmap, the same call on that member raises, and says why.
- ``check=False`` reads nothing anywhere, and gives NaN. A check costs one synchronisation with a GPU.
- Forward mode sees a tangent and no loss: ``gauge="phase-free"`` then gives the tangent with ``v^H dv = 0``, which is right for
  losses that do not depend on the phase, and cannot tell others. Nor can it tell losses that ``degeneracy="split"`` is not for.

The second derivative of a member with numerically equal eigenvalues is refused (`DegenerateEigenvaluesError`), even where the
first exists. For a loss which is a smooth function of the matrix, `arreig.Split` with ``separation=500`` gives it four to five
digits in double precision, and `arreig.Perturb` with ``delta`` 1e-4 to 1e-3 three at defective matrices; where rounding would
leave fewer, both refuse. Otherwise, between eigenvalues that are nearly equal, a second derivative of such a loss loses digits
like ``(|A|/gap)**2``, so that about two are left at a gap of ``1e-6 |A|``, and nothing tells.

With a second matrix the same functions solve ``A V = B V diag(w)`` and differentiate by either or both, to any order.

`spectral_projector` and `invariant_subspace` have derivatives of every order, at Jordan blocks too; `matrix_function` has two, a
third is refused. The first two compute on the host, and torch's older vmap (``is_grads_batched=True``) cannot map them.

`eigs` and `eigsh` compute a few eigenpairs of a large sparse tensor, whose gradient has its layout and its entries, or of a
`LinearOperator`, a module or a function that multiplies, whose parameters get gradients. They have first derivatives, reverse and
forward (torch has none of the latter for sparse tensors), under ``torch.func`` too; a second one and vmap are refused, so that of
`torch.func.jacrev` it takes ``chunk_size=1``. What they keep for the backward is outside of the hooks for saved tensors.

Plain tensors on the CPU are decomposed by torch, and the rest of a call and its first derivative are computed by NumPy in the
same memory, which is several times faster where matrices are small. What torch records or maps, a derivative with
``create_graph`` above all, is computed by torch: the same numbers up to rounding. NumPy's BLAS has threads of its own, which
`torch.set_num_threads` does not set.

`torch.compile` breaks its graph at each function and runs it eagerly; with ``fullgraph=True`` it says so. `torch.export` is
refused. Under autocast half-precision matrices are converted to float32, and neither values nor gradients are computed in half
precision (a second derivative is torch's own: take it outside autocast); elsewhere half precision is refused. A `GradScaler`
scales losses until gradients overflow and expects them to come back infinite or NaN: give it ``check=False``. A is saved for the
backward, so it must not be changed in place before.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("arreig_torch needs torch: pip install 'arreig[torch]'") from error

from arreig._types import EigPair, EigTriple

from ._functions import diagnose, eig, eigh, eigvals, eigvalsh
from ._matrix_function import logm, matrix_function, sqrtm
from ._operator import LinearOperator
from ._sparse import eigs, eigsh
from ._subspace import invariant_subspace, spectral_projector

__all__ = [
    "EigPair",
    "EigTriple",
    "LinearOperator",
    "diagnose",
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
