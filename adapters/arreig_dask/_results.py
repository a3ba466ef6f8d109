"""Results of eig and eigh on dask arrays, and how functions of a matrix and an eigensystem become dask arrays."""

from collections.abc import Callable
from typing import Any, Self, TypeAlias

import arreig
from arreig import ArreigError, InputError, InputTypeError
from arreig._types import Array, EigPair, EigTriple

from ._blocks import Batch, Block


class _Result:
    """What the named tuples inherit: the blocks of arreig's own results."""

    _batch: Batch
    _blocks: Block

    def _carry(self, batch: Batch, blocks: Block) -> Self:
        self._batch, self._blocks = batch, blocks
        return self

    def _carried(self) -> tuple[Batch, Block]:
        try:
            return self._batch, self._blocks
        except AttributeError:
            raise ArreigError(
                f"this {type(self).__name__} was rebuilt from its arrays, as dask.compute(res) does, and no longer knows its "
                f"matrix: call vjp or jvp on the result of arreig_dask itself, and compute what they return together with it"
            ) from None

    def _vjp(self, **cotangents: Array | None) -> Any:
        batch, blocks = self._carried()
        return arrays(batch.run(vjp, {"result": blocks} | aligned(batch, **cotangents), {}))

    def jvp(self, dA: Array, dB: Array | None = None, /) -> tuple[Array, ...]:
        """Tangents ``(dw, dV)``, and dW for a result with left eigenvectors; see `arreig.eig_jvp`, `arreig.eigh_jvp`."""
        batch, blocks = self._carried()
        given = aligned(batch, dA=given_array("dA", dA), dB=dB)
        tangents: tuple[Array, ...] = arrays(batch.run(jvp, {"result": blocks} | given, {}))
        return tangents


class _EigResult(_Result):
    def vjp(self, gV: Array | None = None, gw: Array | None = None, *, gW: Array | None = None) -> Any:
        """Gradient gA of a loss with cotangents gV, gw and gW, with B ``(gA, gB)``; see `arreig.eig_vjp`.

        Computed together with the result, by one ``dask.compute``, it decomposes nothing.
        """
        return self._vjp(gV=gV, gw=gw, gW=gW)


class EigResult(_EigResult, EigPair):
    """Result of `arreig_dask.eig`: ``(eigenvalues, eigenvectors)``, with `vjp` and `jvp`. All is lazy."""


class EigLeftResult(_EigResult, EigTriple):
    """Result of ``arreig_dask.eig(A, left=True)``: ``(eigenvalues, eigenvectors, left_eigenvectors)``."""


class EighResult(_Result, EigPair):
    """Result of `arreig_dask.eigh`: ``(eigenvalues, eigenvectors)``, with `vjp` and `jvp`. All is lazy."""

    def vjp(self, gV: Array | None = None, gw: Array | None = None) -> Any:
        """Gradient gA of a loss with cotangents gV and gw, with B ``(gA, gB)``; see `arreig.eigh_vjp`.

        Computed together with the result, by one ``dask.compute``, it decomposes nothing.
        """
        return self._vjp(gV=gV, gw=gw)


Eigensystem: TypeAlias = EigResult | EigLeftResult | tuple[Array, Array] | None
HermitianEigensystem: TypeAlias = EighResult | tuple[Array, Array] | None


def vjp(result: Any, /, **cotangents: Array) -> Any:
    """Of arreig's own result, in a block."""
    return result.vjp(**cotangents)


def jvp(result: Any, dA: Array, dB: Array | None = None, /) -> Any:
    """Of arreig's own result, in a block."""
    return result.jvp(dA, dB)


def given_array(name: str, X: Array | None) -> Array:
    """X, which must not be None."""
    if X is None:
        raise InputTypeError(f"{name} must be a dask array, got None")
    return X


def aligned(batch: Batch, **matrices: Array | None) -> dict[str, Block]:
    """Those that are not None; w and gw have one axis less than the others."""
    core = {name: (batch.n,) if name in ("w", "gw") else (batch.n, batch.n) for name in matrices}
    return {name: batch.aligned(name, X, *core[name]) for name, X in matrices.items() if X is not None}


def arrays(results: Any) -> Any:
    """What the user gets of a function's results."""
    if isinstance(results, Block):
        return results.array
    return tuple(block.array for block in results[1:])


def differentiated(
    function: Callable[..., Any],
    A: Array,
    matrices: dict[str, Array | None],
    *,
    eigensystem: object = None,
    **options: Any,
) -> Any:
    """One of arreig's own functions on every block of A, of the other arrays and of the eigensystem."""
    batch, supplied = Batch.of(A), {}
    if isinstance(eigensystem, _Result):
        own, supplied["eigensystem"] = eigensystem._carried()
        if own.n != batch.n or len(own.chunks) != len(batch.chunks):
            raise InputError(
                f"A must have the shape of what the supplied result decomposes, {(*own.shape, own.n, own.n)}, got {A.shape}"
            )
        batch = own
    elif isinstance(eigensystem, tuple | list) and len(eigensystem) == 2:
        w, V = (given_array(name, X) for name, X in zip("wV", eigensystem, strict=True))
        supplied |= aligned(batch, w=w, V=V)
    elif eigensystem is not None:
        raise InputTypeError(
            f"eigensystem must be a result of arreig_dask or a pair (w, V) of dask arrays, got {type(eigensystem).__name__}"
        )
    if "gauge" in options:
        constant, vectors = batch.gauge(options.pop("gauge"))
        options, supplied = options | constant, supplied | vectors
    return arrays(batch.run(function, aligned(batch, A=A, **matrices) | supplied, options))


def decomposed(function: Callable[..., Any], A: Array, B: Array | None, gauge: object, **options: Any) -> Any:
    batch = Batch.of(A)
    constant, vectors = batch.gauge(gauge)
    blocks, *taken = batch.run(function, aligned(batch, A=A, B=B) | vectors, options | constant)
    names: dict[type, type] = {
        arreig.EigResult: EigResult,
        arreig.EigLeftResult: EigLeftResult,
        arreig.EighResult: EighResult,
    }
    result: Any = names[type(blocks.empty)](*(block.array for block in taken))
    return result._carry(batch, blocks)
