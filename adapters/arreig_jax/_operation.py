"""JAX's side of arreig's operations: one primitive, whose parameter says which operation it is.

A primitive of its own, and not `jax.custom_jvp`, for what that cannot do: to transpose a tangent map into arreig's own rule for
cotangents, whose checks look at the cotangents and whose refinement is not linear to the last bit; to leave out what has no
cotangent; and to be mapped by vmap as one batch, of which an eager call reads the checks. Tangent and cotangent maps are each
other's transpose, so every composition of transformations has a rule.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from arreig import ArreigError, InputTypeError

Array: TypeAlias = jax.Array
Arrays: TypeAlias = tuple[Array, ...]
Shapes: TypeAlias = tuple[jax.ShapeDtypeStruct, ...]
Tell: TypeAlias = Callable[[ArreigError], Any]
Parts: TypeAlias = tuple[Any, ...]  # of arrays, or None


class Operation(ABC):
    """A function of tuples of arrays, some of which may be None.

    tell: what is called with the error where one was found and, under a tracer, could not be raised.
    """

    tell: Tell | None = None

    @property
    def calls_jax(self) -> bool:
        """Whether it computes with functions of the caller, JAX's, which must not run in a callback: it may wait for itself."""
        return False

    def __call__(self, *parts: Parts) -> Arrays:
        """Results, differentiable."""
        try:
            hash(self)
        except TypeError as error:
            raise InputTypeError(
                f"JAX compares options by their hashes, and one of these has none ({error}): pass plain numbers, strings and "
                f"arreig's own objects made of them"
            ) from None
        leaves, tree = jax.tree.flatten(parts)
        return tuple(_operation.bind(*leaves, operation=self, tree=tree))

    @abstractmethod
    def compute(self, *parts: Parts) -> Arrays:
        """Results, of arrays with values or of tracers of a compilation; of NumPy arrays too."""

    def compiled(self, *parts: Parts) -> Arrays:
        """Results of tracers of a compilation."""
        out = self.compute(*parts)
        if self.tell is not None:
            lost = _any_nan(out) & ~_any_nan(parts[:-1])  # what is NaN before it is derived from has been told
            again = _Again(self)
            jax.lax.cond(lost, lambda: jax.debug.callback(again, *parts), lambda: None)
        return out

    @abstractmethod
    def shapes(self, *parts: Parts) -> Shapes:
        """Shapes and dtypes of the results."""

    @abstractmethod
    def jvp(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> tuple[Arrays, Parts]:
        """Results and their tangents; None for a tangent that vanishes."""

    def batch(self, size: int, *parts: Parts) -> tuple[Parts, ...]:
        """Parts as they are computed with: mapped arrays, which come with the mapped axis in front, and others, `Unmapped`."""
        expanded: tuple[Parts, ...] = jax.tree.map(
            lambda x: x.expand(size) if isinstance(x, Unmapped) else x, parts, is_leaf=_is_unmapped
        )
        return expanded

    def mapped(self) -> "Operation":
        """The operation on a batch with one more axis in front, where that makes a difference."""
        return self


class Unmapped:
    """An array that vmap does not map."""

    def __init__(self, x: Array) -> None:
        self.x = x

    def expand(self, size: int) -> Array:
        """The same for every member of the mapped axis."""
        return jnp.broadcast_to(self.x, (size, *self.x.shape))


def _is_unmapped(x: Any) -> bool:
    return isinstance(x, Unmapped)


class Linear(Operation):
    """An operation of two parts, saved arrays and those in which it is linear.

    It speaks arreig's language: a cotangent gX means dL = Re tr(gX^H dX), and `adjoint` is the adjoint in that inner product.
    JAX's cotangents are the complex conjugates; here, and nowhere else, they are converted.
    """

    @property
    @abstractmethod
    def adjoint(self) -> "Linear":
        """The adjoint, of the same saved arrays."""

    def along(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> Arrays:
        """Tangents of the results, where saved arrays have tangents.

        By differentiating what computes them: of a cotangent that moves together with the eigenvectors, its tangent alone is none
        that the checks should see.
        """
        return cast(Arrays, _along(replace(self, tell=None), parts, tangents))  # type: ignore[type-var]

    def jvp(self, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> tuple[Arrays, Parts]:
        out = self(*parts)
        if all(dx is None for dx in tangents[0]):
            return out, self(parts[0], tangents[1])
        return out, self.along(parts, tangents)

    def transpose(self, cotangents: Parts, saved: Parts, moved: Parts) -> Parts:
        """Cotangents of the last part."""
        back = self.adjoint(saved, tuple(None if g is None else jnp.conj(g) for g in cotangents))
        return tuple(None if x is None else jnp.conj(g) for x, g in zip(moved, back, strict=False))


@partial(jax.jit, static_argnums=0)
def _along(operation: Linear, parts: tuple[Parts, ...], tangents: tuple[Parts, ...]) -> Arrays:
    leaves: list[Any]
    tree: Any
    leaves, tree = jax.tree.flatten(parts)
    moves = tree.flatten_up_to(tangents)
    active = [i for i, dx in enumerate(moves) if dx is not None]

    def results(*some: Array) -> Arrays:
        own = dict(zip(active, some, strict=True))
        return operation.compute(*tree.unflatten([own.get(i, x) for i, x in enumerate(leaves)]))

    return cast(Arrays, jax.jvp(results, [leaves[i] for i in active], [moves[i] for i in active])[1])


def _on_cpu(x: Array) -> bool:
    """Whether x has values, in the host's memory."""
    return not isinstance(x, jax.core.Tracer) and all(device.platform == "cpu" for device in x.devices())


def zeros(x: Array) -> Array:
    """Zeros like x, of NumPy where x is."""
    return np.zeros_like(x) if isinstance(x, np.ndarray) else jnp.zeros_like(x)


def _vanishing(x: Any) -> bool:
    return isinstance(x, ad.Zero)


def _abstract(*avals: Any, operation: Operation, tree: Any) -> list[Any]:
    return [jax.core.ShapedArray(x.shape, x.dtype) for x in operation.shapes(*tree.unflatten(avals))]


def _eager(*leaves: Array, operation: Operation, tree: Any) -> Arrays:
    if all(isinstance(x, np.ndarray) or _on_cpu(x) for x in leaves):
        # The same memory as NumPy's arrays: JAX would compile every operation for every shape before it runs it once.
        devices = {device for x in leaves if isinstance(x, jax.Array) for device in x.devices()}
        device = devices.pop() if len(devices) == 1 else None
        parts = tree.unflatten([np.asarray(x) for x in leaves])
        return tuple(jnp.asarray(x, device=device) for x in operation.compute(*parts))
    return operation.compute(*tree.unflatten(leaves))


def _compiled(*leaves: Array, operation: Operation, tree: Any) -> Arrays:
    return operation.compiled(*tree.unflatten(leaves))


def _any_nan(parts: Any) -> Array:
    found = [jnp.any(jnp.isnan(x)) for x in jax.tree.leaves(parts) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.any(jnp.stack(found)) if found else jnp.asarray(False)


class _Again:
    """What came out as NaN, computed again by NumPy on the host, where the error is raised that says why."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation

    def __call__(self, *parts: Parts) -> None:
        tell = self.operation.tell
        assert tell is not None
        if self.operation.calls_jax:
            tell(ArreigError(_UNTOLD))
            return
        try:
            out = self.operation.compute(*jax.tree.map(np.asarray, parts))
        except ArreigError as error:
            tell(error)
            return
        if not any(np.isnan(x).any() for x in out):
            tell(ArreigError(_NUMBERS))


_UNTOLD = (
    "a result is NaN because an error was found under a tracer. It was computed with functions of JAX's arrays (a selection, f, "
    "df), which cannot be called from a callback to find out more: outside of jax.jit the same call with the same arrays raises "
    "the error"
)
_NUMBERS = (
    "a result is NaN under a tracer and a number in an eager call: its dtype depends on numbers that a tracer does not have (a "
    "selection that parts a conjugate pair of a real matrix is complex: pass A in a complex dtype), or B is too ill conditioned "
    "for what JAX compiles"
)


def _jvp(primals: Any, tangents: Any, *, operation: Operation, tree: Any) -> tuple[Any, Any]:
    moved = tree.unflatten([None if _vanishing(dx) else dx for dx in tangents])
    out, dout = operation.jvp(tree.unflatten(primals), moved)
    return out, [
        ad.Zero(jax.typeof(x).to_tangent_aval()) if dx is None else dx for x, dx in zip(out, dout, strict=True)
    ]


def _transpose(cotangents: Any, *leaves: Any, operation: Linear, tree: Any) -> list[Any]:
    unknown = [ad.is_undefined_primal(x) for x in leaves]
    if all(map(_vanishing, cotangents)):
        return [ad.Zero(x.aval) if there else None for x, there in zip(leaves, unknown, strict=True)]
    parts = tree.unflatten(leaves)
    own = operation.transpose(tuple(None if _vanishing(g) else g for g in cotangents), *parts)
    out, _ = jax.tree.flatten((*(jax.tree.map(lambda _: False, part) for part in parts[:-1]), own))
    return [g if there else None for g, there in zip(out, unknown, strict=True)]


def _batched(leaves: Any, axes: Any, *, operation: Operation, tree: Any) -> tuple[Arrays, list[int]]:
    sizes = {x.shape[axis] for x, axis in zip(leaves, axes, strict=True) if axis is not None}
    (size,) = sizes
    fronted = [Unmapped(x) if axis is None else jnp.moveaxis(x, axis, 0) for x, axis in zip(leaves, axes, strict=True)]
    out = operation.mapped()(*operation.batch(size, *tree.unflatten(fronted)))
    return out, [0] * len(out)


_operation = Primitive("arreig")
_operation.multiple_results = True
_operation.def_impl(_eager)
_operation.def_abstract_eval(_abstract)
ad.primitive_jvps[_operation] = _jvp
ad.primitive_transposes[_operation] = _transpose
batching.primitive_batchers[_operation] = _batched
mlir.register_lowering(_operation, mlir.lower_fun(_compiled, multiple_results=True))
