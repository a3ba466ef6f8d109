"""CuPy arrays: CuPy's own solvers, and LAPACK on the host where it has none for a general matrix."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import cupy
import numpy as np

from .._errors import HostTransferWarning, InputError, warn
from .._types import Array
from .standard import StandardBackend, warn_of_transfer


@cache
def lacking() -> str | None:
    """What cupy.linalg.eig lacks here, None if nothing. Asks for versions, launches nothing; one library serves all devices."""
    if not hasattr(cupy.linalg, "eig"):
        return f"cupy.linalg.eig needs CuPy 14, found {cupy.__version__}"
    if cupy.cuda.runtime.is_hip:
        return "cupy.linalg.eig needs CUDA, found ROCm"
    from cupyx.cusolver import check_availability  # loads cuSOLVER; where that is not installed CuPy's message says so

    if check_availability("geev"):
        return None
    found = ".".join(map(str, cupy.cuda.cusolver._getVersion()))
    return f"cupy.linalg.eig needs cuSOLVER 11.7 (CUDA 12.6 update 2), found {found}"


@cache
def _warn_once(reason: str) -> None:
    warn(
        HostTransferWarning(
            f"A was copied to the host and decomposed there, because {reason}. This waits for the GPU, copies A there and (w, V) "
            f"back, and runs numpy.linalg.eig; all else stays on the GPU. It is done at every call and said once. Upgrade, or, "
            f"if A is Hermitian, use eigh"
        )
    )


class CupyBackend(StandardBackend):
    """CuPy. Empty batches and n = 0 need no care: its solvers return empty arrays (eig real ones, for a real A)."""

    def admit(self, name: str, X: Array, /) -> Array:
        """X, if it is where CuPy computes: on the current device, whatever device the arguments are on."""
        current = cupy.cuda.runtime.getDevice()
        if X.device.id != current:
            raise InputError(
                f"{name} is on CUDA device {X.device.id}, but CuPy computes on the current device, which is {current}; call "
                f"this inside `with {name}.device:`"
            )
        return X

    def solver_eig(self, A: Array, /) -> tuple[Array, Array]:
        reason = lacking()
        if reason is None:
            return super().solver_eig(A)
        if A.size:
            _warn_once(reason)
        w, V = np.linalg.eig(A.get())
        return self.from_host(w, A), self.from_host(V, A)

    def away(self, X: Array, /) -> str | None:
        return "CuPy"

    def to_host(self, X: Array, /) -> Any:
        return X.get()

    def from_host(self, x: Any, like: Array, /) -> Array:
        with like.device:
            return cupy.asarray(x)

    def on_host(
        self, function: Callable[..., Any], results: Sequence[tuple[tuple[int, ...], Any]], /, *arrays: Array
    ) -> tuple[Array, ...]:
        warn_of_transfer("CuPy")
        return super().on_host(function, results, *arrays)


BACKEND = CupyBackend()
