"""A dense decomposition, and its tangent and cotangent maps, as operations of JAX."""

from dataclasses import dataclass

import jax
import numpy as np

from arreig._decompositions._hermitian import HermitianEigensystem
from arreig._decompositions._problem import Problem, System
from arreig._decompositions._system import second_derivative

from ._admit import refuse_tracked_z
from ._operation import Arrays, Linear, Operation, Parts, Shapes, Tell, Unmapped, zeros

_Z = 2  # where the z of `Functional` stands, which may have fewer axes than the batch


def _batch(operation: Operation, size: int, *parts: Parts) -> tuple[Parts, ...]:
    """As `Operation.batch`, but z, which is broadcast, gets axes of length 1."""
    first, *others = parts
    z, A = first[_Z], first[0]
    ndim = A.x.ndim if isinstance(A, Unmapped) else A.ndim - 1  # of one member
    if isinstance(z, Unmapped):
        z = z.x
    elif z is not None:
        z = z.reshape(size, *(1,) * (ndim - z.ndim), *z.shape[1:])
    first, *others = Operation.batch(operation, size, (*first[:_Z], None, *first[_Z + 1 :]), *others)
    return (*first[:_Z], z, *first[_Z + 1 :]), *others


@dataclass(frozen=True)
class Decomposition(Operation):
    """A, B, z -> w, V, for left W, and the pairs of eigenvalues that were separated, if the policy does that."""

    problem: Problem
    tell: Tell | None = None

    def compute(self, *parts: Parts) -> Arrays:
        return self.problem.decompose(*parts[0])

    def shapes(self, *parts: Parts) -> Shapes:
        ((A, B, _),) = parts
        vectors = np.result_type(A.dtype, *(() if B is None else (B.dtype,)))
        values = np.finfo(vectors).dtype
        if self.problem.system is not HermitianEigensystem:
            vectors = values = np.result_type(vectors, np.complex64)
        out = [jax.ShapeDtypeStruct(A.shape[:-1], values)]
        out += [jax.ShapeDtypeStruct(A.shape, vectors)] * (1 + self.problem.left)
        if self.problem.separates:
            out.append(jax.ShapeDtypeStruct(A.shape, bool))
        return tuple(out)

    def jvp(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> tuple[Arrays, Parts]:
        ((A, B, z),), ((dA, dB, dz),) = parts, tangents
        refuse_tracked_z(dz)
        out = self((A, B, z))
        saved = (A, B, z, *out[:2], out[-1] if self.problem.separates else None)
        if self.problem.vectors:
            moved = Tangent(self.problem, self.tell)(saved, (dA, dB))
        else:
            # dV is there for second derivatives alone: where it does not exist, it must not keep dw from existing.
            (dw,) = Tangent(self.problem, self.tell)(saved, (dA, dB))
            moved = (dw, Tangent(self.problem.silent)(saved, (dA, dB))[1])
        return out, moved + (None,) * self.problem.separates

    batch = _batch


@dataclass(frozen=True)
class SecondDerivative(Linear):
    """Pairs of eigenvalues, w; what is part of a second derivative -> the same, unless a cluster forbids that."""

    check: bool
    tell: Tell | None = None

    @property
    def adjoint(self) -> "SecondDerivative":
        return self

    def compute(self, *parts: Parts) -> Arrays:
        (pairs, w), (x,) = parts
        return (second_derivative(x, pairs, w, check=self.check),)

    def shapes(self, *parts: Parts) -> Shapes:
        return parts[1]


class _Derivative(Linear):
    problem: Problem
    tell: Tell | None

    def _system(self, saved: Parts) -> System:
        return self.problem.again(*saved)

    def along(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> Arrays:
        system = self._system(parts[0])
        w = jax.lax.stop_gradient(system.eigenvalues)
        guarded, saved = SecondDerivative(self.problem.check, self.tell), (system.refused_twice, w)
        return tuple(guarded(saved, (dx,))[0] for dx in super().along(parts, tangents))

    batch = _batch


@dataclass(frozen=True)
class Tangent(_Derivative):
    """dA, dB -> dw, dV and, for left, dW; where vectors are not the user's, dw."""

    problem: Problem
    tell: Tell | None = None

    @property
    def adjoint(self) -> "Cotangent":
        return Cotangent(self.problem, self.tell)

    def compute(self, *parts: Parts) -> Arrays:
        saved, (dA, *dB) = parts
        dA = zeros(saved[0]) if dA is None else dA
        return self.problem.jvp(self._system(saved), dA, dB[0] if dB else None)

    def shapes(self, *parts: Parts) -> Shapes:
        (_, _, _, w, V, _), _ = parts
        if not self.problem.vectors:
            return (w,)
        return (w, V, V) if self.problem.left else (w, V)


@dataclass(frozen=True)
class Cotangent(_Derivative):
    """gw, gV and, for left, gW -> gA and, with B, gB."""

    problem: Problem
    tell: Tell | None = None

    @property
    def adjoint(self) -> "Tangent":
        return Tangent(self.problem, self.tell)

    def compute(self, *parts: Parts) -> Arrays:
        saved, (gw, *others) = parts
        gV, gW = (*others, None, None)[:2]
        return self.problem.vjp(self._system(saved), gw, gV, gW)

    def shapes(self, *parts: Parts) -> Shapes:
        (A, B, *_), _ = parts
        return (A,) if B is None else (A, B)
