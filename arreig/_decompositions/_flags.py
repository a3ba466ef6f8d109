"""The one place where flags are read: it raises, warns, or, without checks, writes NaN."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import or_

from .._array_api import device, members, namespace, real
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
    if not flags or not (flags := open_ones(flags)):
        return results
    xp = namespace(*results)
    if not (check and readable(flags)):
        bad = failed(flags)
        return results if bad is None else tuple(_poisoned(x, members(bad, x)) for x in results)
    if bool(xp.any(xp.stack([xp.any(flag.where) for flag in flags]))):
        for flag in flags:
            if bool(xp.any(flag.where)):
                _signal(flag)
    return results


def open_ones(flags: Sequence[Flag]) -> list[Flag]:
    """Flags that may be set: without those that the host sees not to be."""
    return [flag for flag in flags if not unset(flag.where)]


def unset(where: Array) -> bool:
    """Whether no entry is True, as far as that is seen without a synchronisation."""
    return backend_for(where).seen_empty(where)


def _poisoned(x: Array, bad: Array) -> Array:
    """NaN where bad, by a factor and not by a constant: the derivative of x is then NaN too, where that of a constant is 0."""
    xp = namespace(x)
    return x * xp.where(bad, xp.nan, xp.ones(bad.shape, dtype=real(x).dtype, device=device(x)))


def readable(flags: Sequence[Flag]) -> bool:
    """Whether the flags have values, or a tracer stands for some of them."""
    return all(backend_for(flag.where).readable(flag.where) for flag in flags)


def wanted(where: Array, *, check: bool) -> bool:
    """Whether any of `where` asks for something: one synchronisation; yes, if nothing may or can be read."""
    return not (check and backend_for(where).readable(where)) or bool(namespace(where).any(where))


def raised(flags: Sequence[Flag]) -> bool:
    """Whether any flag is set."""
    return any(bool(namespace(flag.where).any(flag.where)) for flag in flags)


def failed(flags: Sequence[Flag]) -> Array | None:
    """Members of the batch ``(...)`` for which an error is flagged; None without a flag of an error."""
    bad = []
    for flag in flags:
        where = flag.where
        for _ in range(flag.core):  # one axis after the other: torch's older vmap does not take several
            where = namespace(where).any(where, axis=-1)
        if not flag.warning:
            bad.append(where)
    return reduce(or_, bad) if bad else None


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
