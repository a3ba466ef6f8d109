"""Eigendecompositions for torch, differentiable by autograd to any order: drop-ins for those of `torch.linalg`.

``arreig_torch.eig(A)`` returns what ``torch.linalg.eig(A)`` returns, in a gauge, with gradients that do not stop at losses
which depend on phases, and with a reason where there is none. `arreig.Component`, `arreig.Functional` and `arreig.Broaden` are
its options, `arreig.ArreigError` the base of its errors.

Backward, backward of a backward, forward mode, ``torch.func`` (grad, vjp, jvp, jacrev, jacfwd, hessian, vmap) and their
compositions work, and batches. What the checks do in them:

- A decomposition is checked in eager mode and under every transform, vmap included, where the members of an error's batch count
  the mapped axis first. A derivative is checked in eager mode and under grad, vjp, jvp and their like.
- Under a vmap around the derivative (``vmap(grad(f))``, `jacrev`, `jacfwd`, `hessian`, ``is_grads_batched=True``) and with fake
  tensors there are no numbers to read: where an error would be raised, that member of the batch is NaN. Without vmap, the same
  call on that member raises, and says why.
- ``check=False`` reads nothing anywhere, and gives NaN. A check costs one synchronisation with a GPU.

The second derivative at numerically equal eigenvalues is refused (`DegenerateEigenvaluesError`) even where the first exists.
`torch.compile` breaks its graph at each function and runs it eagerly; with ``fullgraph=True`` it says so. Under autocast
half-precision matrices are converted to float32 and nothing is computed in half precision; outside they are refused. A
`GradScaler` scales losses until gradients overflow and expects them to come back infinite or NaN: give it ``check=False``.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("arreig_torch needs torch: pip install 'arreig[torch]'") from error

from arreig._types import EigPair, EigTriple

from ._functions import eig, eigh, eigvals, eigvalsh

__all__ = ["EigPair", "EigTriple", "eig", "eigh", "eigvals", "eigvalsh"]
