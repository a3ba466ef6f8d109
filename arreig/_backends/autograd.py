"""Boxes of HIPS autograd: they call themselves arrays, but are what it traces, and nothing is computed on them."""

from .._types import Array
from .standard import StandardBackend


class AutogradBackend(StandardBackend):
    """autograd's boxes, which stand for NumPy arrays."""

    def tracked(self, X: Array, /) -> str | None:
        return (
            "use the function of arreig_autograd, which autograd differentiates (there are all but eigs, eigsh and diagnose), or "
            "pass the array in the box, autograd.tracer.getval of it"
        )


BACKEND = AutogradBackend()
