"""A dense decomposition and its derivatives as functions of arrays, for libraries that keep their own record of derivatives.

Such a library asks for w and V, keeps them, and comes back with them for a derivative: nothing is decomposed twice.
"""

from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

from .._array_api import is_complex
from .._backends import Backend, backend_for
from .._gauge import Functional
from .._split import Split
from .._types import Array
from . import _inputs
from ._general import GeneralEigensystem
from ._hermitian import HermitianEigensystem

System: TypeAlias = GeneralEigensystem | HermitianEigensystem


@dataclass(frozen=True)
class Problem:
    """Which decomposition, with which options; vectors: whether V is for the user or only for derivatives.

    The z of a gauge `Functional` is an array, which the library has to be shown: it stands beside A and B.
    """

    system: type[System]
    gauge: Any = "canonical"  # of a Functional, only that it is one
    degeneracy: Any = "raise"
    sort: Any = None
    left: bool = False
    check: bool = True
    refine: Any = None
    vectors: bool = True

    @property
    def silent(self) -> Self:
        """For dV where it is there for second derivatives alone: where it does not exist, it must not keep dw from existing."""
        return replace(self, check=False, refine=0, vectors=True)

    @property
    def separates(self) -> bool:
        """Whether eigenvalues may be separated, and the results tell which."""
        return isinstance(_inputs.degeneracy(self.degeneracy), Split)

    def functional(self, A: Array, B: Array | None) -> Array | None:
        """The z of a `Functional`, checked, if that is the gauge."""
        if not isinstance(self.gauge, Functional):
            return None
        complex_vectors = self.system is GeneralEigensystem or any(is_complex(x) for x in (A, B) if x is not None)
        _inputs.gauge(self.gauge, A, complex_vectors=complex_vectors)
        return self.gauge.z

    def _options(self, z: Array | None) -> dict[str, Any]:
        gauge = self.gauge if z is None else Functional(z)
        options = {"gauge": gauge, "degeneracy": self.degeneracy, "check": self.check}
        return options | ({"refine": self.refine} if self.system is GeneralEigensystem else {})

    def decompose(self, A: Array, B: Array | None, z: Array | None) -> tuple[Array, ...]:
        """w, V, for left W, and, if eigenvalues are separated, which pairs."""
        shared = backend_for(A).shared(A) if B is None and z is None else None
        if shared is None:
            return self._decomposed(A, B, z)
        out = self._decomposed(shared.arrays[0], None, None, shared.backend)
        return tuple(map(shared.back, out))

    def _decomposed(
        self, A: Array, B: Array | None, z: Array | None, solver: Backend | None = None
    ) -> tuple[Array, ...]:
        options = self._options(z) | {"vectors": self.vectors, "solver": solver}
        system: System
        if self.system is HermitianEigensystem:
            system, flags = HermitianEigensystem.of(A, B, **options)
        else:
            system, flags = GeneralEigensystem.of(A, B, sort=self.sort, **options)
        arrays: tuple[Array, ...] = (system.eigenvalues, system.V)
        if isinstance(system, GeneralEigensystem):
            arrays, flags = system.arrays(self.left, flags)
        arrays = system.settle(arrays, flags)
        return arrays if system.separated is None else (*arrays, system.separated)

    def again(self, A: Array, B: Array | None, z: Array | None, w: Array, V: Array, separated: Array | None) -> System:
        """The eigensystem of an earlier call of `decompose`."""
        return self.system.again(A, w, V, separated, B=B, **self._options(z))

    def plain_vjp(
        self, saved: tuple[Array | None, ...], gw: Array | None, gV: Array | None, gW: Array | None
    ) -> tuple[Array, ...] | None:
        """As `vjp` of the eigensystem `again`, where nothing can differentiate it and NumPy may compute it in the same memory."""
        A, B, z = saved[:3]
        shared = backend_for(A).shared(*saved, gw, gV, gW) if B is None and z is None else None
        if shared is None:
            return None
        *arrays, gw, gV, gW = shared.arrays
        return tuple(map(shared.back, self.vjp(self.again(*arrays), gw, gV, gW)))

    def vjp(self, system: System, gw: Array | None, gV: Array | None, gW: Array | None) -> tuple[Array, ...]:
        """gA and, with B, gB."""
        g = system.vjp(gV, gw) if isinstance(system, HermitianEigensystem) else system.vjp(gV, gw, gW)
        return (g,) if system.pencil is None else g

    def jvp(self, system: System, dA: Array, dB: Array | None) -> tuple[Array, ...]:
        """dw, dV and, for left, dW; where vectors are not the user's, dw."""
        if not self.vectors:
            return (system.eigenvalue_jvp(dA, dB),)
        return system.jvp(dA, dB) if isinstance(system, HermitianEigensystem) else system.jvp(dA, dB, self.left)
