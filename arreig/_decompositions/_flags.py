"""The one place where flags are read: it raises, warns, or, without checks, writes NaN."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import or_

from .._array_api import namespace
from .._backends import backend_for
from .._errors import warn
from .._types import Array

Index = tuple[int, ...]


@dataclass(frozen=True)
class Flag:
    """Where something is wrong, and how to say so.

    where: boolean, the batch axes first, then `core` axes (columns or pairs). report: from the index of the first one that
    is set to the exception or warning.
    """

    where: Array
    core: int
    report: Callable[[Index], Exception]
    warning: bool = False


def settle(results: tuple[Array, ...], flags: Sequence[Flag], *, check: bool) -> tuple[Array, ...]:
    """Results as they are if nothing is flagged: one synchronisation.

    With check the first error that is set is raised, after the warnings before it. Without, or under a tracer, nothing is
    read: members of the batch that an error names become NaN.
    """
    xp = namespace(*results)
    if not (check and readable(flags)):
        bad = failed(flags)
        return tuple(xp.where(xp.reshape(bad, (*bad.shape, *(1,) * (x.ndim - bad.ndim))), xp.nan, x) for x in results)
    if bool(xp.any(xp.stack([xp.any(flag.where) for flag in flags]))):
        for flag in flags:
            if bool(xp.any(flag.where)):
                _signal(flag)
    return results


def readable(flags: Sequence[Flag]) -> bool:
    """Whether the flags have values, or a tracer stands for some of them."""
    return all(backend_for(flag.where).readable(flag.where) for flag in flags)


def failed(flags: Sequence[Flag]) -> Array:
    """Members of the batch ``(...)`` for which an error is flagged."""
    return reduce(or_, [any_last(flag.where, flag.core) for flag in flags if not flag.warning])


def any_last(where: Array, axes: int) -> Array:
    """Whether any is True over that many last axes; one after the other, for not every tracer takes several at once."""
    for _ in range(axes):
        where = namespace(where).any(where, axis=-1)
    return where


def _signal(flag: Flag) -> None:
    problem = flag.report(first(flag.where))
    if not isinstance(problem, Warning):
        raise problem
    warn(problem)


def first(where: Array) -> Index:
    """Index of the first True in row-major order."""
    xp = namespace(where)
    flat = int(xp.argmax(xp.astype(xp.reshape(where, (-1,)), xp.int8)))
    index = []
    for axis, size in enumerate(where.shape):
        stride = prod(where.shape[axis + 1 :])
        index.append(flat // stride % size)
    return tuple(index)
