"""The one place where flags are read: it raises, warns, or, without checks, writes NaN."""

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from operator import or_
from types import FrameType

from .._array_api import namespace
from .._types import Array

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
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

    With check the first error that is set is raised, after the warnings before it. Without, nothing is read: members of the
    batch that an error names become NaN.
    """
    xp = namespace(*results)
    if not check:
        bad = failed(flags)
        return tuple(xp.where(xp.reshape(bad, (*bad.shape, *(1,) * (x.ndim - bad.ndim))), xp.nan, x) for x in results)
    if bool(xp.any(xp.stack([xp.any(flag.where) for flag in flags]))):
        for flag in flags:
            if bool(xp.any(flag.where)):
                _signal(flag)
    return results


def failed(flags: Sequence[Flag]) -> Array:
    """Members of the batch ``(...)`` for which an error is flagged."""
    members = [
        namespace(flag.where).any(flag.where, axis=tuple(range(-flag.core, 0))) if flag.core else flag.where
        for flag in flags
        if not flag.warning
    ]
    return reduce(or_, members)


def _signal(flag: Flag) -> None:
    problem = flag.report(first(flag.where))
    if not isinstance(problem, Warning):
        raise problem
    warnings.warn(problem, stacklevel=_outside())


def first(where: Array) -> Index:
    """Index of the first True in row-major order."""
    xp = namespace(where)
    flat = int(xp.argmax(xp.astype(xp.reshape(where, (-1,)), xp.int8)))
    index = []
    for axis, size in enumerate(where.shape):
        stride = prod(where.shape[axis + 1 :])
        index.append(flat // stride % size)
    return tuple(index)


def _outside() -> int:
    """Stack level, for warnings.warn called one level up, of the first frame outside the package."""
    level = 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE + os.sep):
        level, frame = level + 1, frame.f_back
    return level
