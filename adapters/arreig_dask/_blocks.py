"""A function of arreig on every block of a dask array: what is checked when it is called, and the tasks that it becomes.

When it is called the function runs on an empty batch, of the block's library, dtype and n: that raises what types, shapes and
options are wrong, and tells the dtypes and shapes of the results. What depends on numbers is raised by the tasks.

Several results of one call are one task a block, whose output is the tuple of them (of `eig` arreig's own result, with the
eigensystem that its derivatives use), and one task a result that takes it out. A block is computed once as long as dask sees all
that is wanted of it: then its task has several dependents, so that dask merges it into none of them, and it has one key, made of
the function, its options and its arguments. Graphs that are optimised apart may each have merged it into something else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from itertools import count
from math import isnan
from operator import itemgetter
from typing import Any, NamedTuple

import dask.array as da
from dask.array.utils import meta_from_array
from dask.layers import ArrayBlockIdDep, ArraySliceDep
from dask.sizeof import sizeof

from arreig import ArreigError, EighResult, EigLeftResult, EigResult, Functional, InputError, InputTypeError
from arreig._decompositions._system import carried
from arreig._types import Array

Chunks = tuple[tuple[int, ...], ...]


class Block(NamedTuple):
    """An array whose blocks a function takes: the batch axes first, chunked as the batch is, then core axes in one chunk."""

    array: Any
    core: tuple[int, ...]
    empty: Any  # what the function gets in place of a block when it is called


@dataclass(frozen=True)
class Batch:
    """How matrices (..., n, n) are chunked."""

    chunks: Chunks
    n: int

    @property
    def shape(self) -> tuple[float, ...]:
        """Of the batch; NaN where dask does not know it."""
        return tuple(sum(sizes) for sizes in self.chunks)

    @property
    def known(self) -> bool:
        """Whether dask knows its shape."""
        return not any(map(isnan, self.shape))

    @classmethod
    def of(cls, A: Array) -> "Batch":
        """Of a matrix A (..., n, n), refused unless it is a dask array with its last two axes in one chunk each."""
        _dask_array("A", A)
        if A.ndim < 2:
            raise InputError(f"A must have at least two dimensions, (..., n, n); got shape {A.shape}")
        if any(map(isnan, A.shape[-2:])):
            raise InputError(
                f"A must have a known n, (..., n, n), but dask does not know its shape, {A.shape}: call A.compute_chunk_sizes()"
            )
        if A.shape[-2] != A.shape[-1]:
            raise InputError(f"A must be square in its last two dimensions, (..., n, n); got shape {A.shape}")
        if A.numblocks[-2:] != (1, 1):
            first, second = A.ndim - 2, A.ndim - 1
            raise InputError(
                f"A must have each matrix in one block, but its axes {first} and {second} are in {A.numblocks[-2]} and "
                f"{A.numblocks[-1]} chunks: A.rechunk({{{first}: -1, {second}: -1}}), with smaller chunks of the batch if a "
                f"block grows too large"
            )
        return cls(A.chunks[:-2], A.shape[-1])

    def aligned(self, name: str, X: Array, *core: int) -> Block:
        """X (..., *core), rechunked to be as the batch is."""
        _dask_array(name, X)
        expected, chunks = (*self.shape, *core), (*self.chunks, *((size,) for size in core))
        if X.ndim != len(expected) or any(
            x != y for x, y in zip(X.shape, expected, strict=True) if not (isnan(x) or isnan(y))
        ):
            raise InputError(f"{name} must have shape {expected}, got {X.shape}")
        if self.known and not any(map(isnan, X.shape)):
            X = X.rechunk(chunks)  # X itself if it is so already
        elif X.numblocks != tuple(map(len, chunks)):
            raise InputError(
                f"{name} and A must be chunked alike, but have {X.numblocks} and {tuple(map(len, chunks))} blocks, and dask does "
                f"not know the sizes of all, by which to rechunk: call compute_chunk_sizes() on each first"
            )
        empty = meta_from_array(X, ndim=X.ndim or 1).reshape(*(0,) * self._axes, *core)
        return Block(X, core, empty)

    @property
    def _axes(self) -> int:
        """Batch axes of empty batches: one matrix stands for itself, but cannot be empty."""
        return max(len(self.chunks), 1)

    def gauge(self, gauge: Any) -> tuple[dict[str, Any], dict[str, Block]]:
        """The option as a constant, or, where it has a vector for each matrix, those as blocks."""
        if not isinstance(gauge, Functional) or not (gauge.z.ndim > 1 or isinstance(gauge.z, da.Array)):
            return {"gauge": gauge}, {}
        if not self.known:
            raise InputError(
                "Functional(z) with a z for each matrix needs the size of the batch, which dask does not know: call "
                "A.compute_chunk_sizes() first"
            )
        z, target = da.asarray(gauge.z), (*self.shape, self.n)
        try:
            z = da.broadcast_to(z, target)
        except ValueError:
            raise InputError(
                f"Functional(z): z must have shape ({self.n},) or broadcast to {target}, got {z.shape}"
            ) from None
        return {}, {"z": self.aligned("Functional's z", z, self.n)}

    def run(
        self, function: Callable[..., Any], blocks: Mapping[str, Block], options: Mapping[str, Any]
    ) -> "Block | tuple[Block, ...]":
        """The function's result, or its results, the tuple of them first; errors of types, shapes and options now."""
        call = Call(function, tuple(blocks), dict(options))
        try:
            like = call(*(block.empty for block in blocks.values()))
        except ArreigError:
            raise
        except Exception as error:
            error.add_note(
                "On an empty batch, by which dtypes and shapes are found out at once: select, f and df get one."
            )
            raise
        results = like if isinstance(like, tuple) else (like,)
        batch, axes, arguments = tuple(range(len(self.chunks))), count(len(self.chunks)), []
        for block in blocks.values():
            arguments += [block.array, (*batch, *(next(axes) for _ in block.core))]
        arguments += [ArrayBlockIdDep(self.chunks), batch, ArraySliceDep(self.chunks), batch]
        task, name = Task(call, tuple(x.dtype for x in results)), function.__name__.strip("_")

        def layer(name: str, task: Callable[..., Any], arguments: list[Any], x: Array) -> Block:
            core = dict(zip(axes, x.shape[self._axes :], strict=False))
            meta = meta_from_array(x, ndim=len(batch) + len(core), dtype=x.dtype)
            index = (*batch, *core)
            array = da.blockwise(
                task, index, *arguments, new_axes=core, align_arrays=False, meta=meta, dtype=x.dtype, token=name
            )
            return Block(array, tuple(core.values()), x)

        if not isinstance(like, tuple):
            return layer(name, task, arguments, like)
        meta = meta_from_array(None, ndim=len(batch), dtype=object)
        every = da.blockwise(task, batch, *arguments, align_arrays=False, meta=meta, dtype=object, token=name)
        taken = (layer(f"{name}-result", itemgetter(i), [every, batch], x) for i, x in enumerate(like))
        return Block(every, (), like), *taken


@dataclass(frozen=True, eq=False)
class Call:
    """A function of arreig with its options; called with what `names` says, blocks or empty batches."""

    function: Callable[..., Any]
    names: tuple[str, ...]
    options: dict[str, Any]

    def __call__(self, *blocks: Any) -> Any:
        given = self.options | dict(zip(self.names, blocks, strict=True))
        if "z" in given:
            given["gauge"] = Functional(given.pop("z"))
        if "w" in given:
            given["eigensystem"] = given.pop("w"), given.pop("V")
        parameters = signature(self.function).parameters.values()
        positional = [given.pop(p.name, None) for p in parameters if p.kind is Parameter.POSITIONAL_ONLY]
        return self.function(*positional, **given)


@dataclass(frozen=True, eq=False)
class Task:
    """A call on one block. What it raises says which one; results of another dtype than was announced are refused."""

    call: Call
    dtypes: tuple[Any, ...]

    def __call__(self, *blocks: Any) -> Any:
        *arrays, block, place = blocks
        try:
            out = self.call(*map(_only, arrays))
            self._as_announced(out if isinstance(out, tuple) else (out,))
        except Exception as error:
            if block:
                error.add_note(_where(block, place))
            raise
        return out

    def _as_announced(self, results: tuple[Array, ...]) -> None:
        for x, dtype in zip(results, self.dtypes, strict=True):
            if x.dtype != dtype:
                raise InputTypeError(
                    f"a result of {self.call.function.__name__} has dtype {x.dtype} here, but {dtype} was to be expected of its "
                    f"arguments' dtypes, before their numbers are known (a projector of a real matrix is complex if its "
                    f"selection parts a conjugate pair): pass A in a complex dtype"
                )


def _where(block: tuple[int, ...], place: tuple[slice, ...]) -> str:
    """Which part of the whole array a block is."""
    first = tuple(axis.start for axis in place)
    if any(map(isnan, first)):
        return f"In block {block} of the batch; dask does not know where in the batch it begins."
    return f"In block {block} of the batch, whose first matrix is member {tuple(map(int, first))} of the whole batch."


def _only(block: Any) -> Any:
    """The one block of an axis that the result does not have, of which dask makes lists."""
    while isinstance(block, list):
        (block,) = block
    return block


def _dask_array(name: str, X: Any) -> None:
    if not isinstance(X, da.Array):
        kind = f"{type(X).__module__}.{type(X).__qualname__}".removeprefix("builtins.")
        raise InputTypeError(
            f"{name} must be a dask array, got {kind}: dask.array.from_array({name}, chunks=...) makes one; the functions of "
            f"arreig take the arrays of other libraries as they are"
        )


@sizeof.register((EigResult, EigLeftResult, EighResult))  # type: ignore[untyped-decorator]
def _weight(result: Any) -> int:
    """Bytes of a kept result, by which distributed decides what to move and when to spill: what is in the tuple is half of it."""
    system = carried(result)
    arrays = (*result, *vars(system).values(), system.V)  # V once more for its factorisation
    return sum(getattr(x, "nbytes", 0) for x in arrays)
