"""The options of a decomposition: from what a caller named to what they stand for."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

from .._degeneracy import Degeneracy
from .._errors import InputError
from .._gauge import Gauge
from .._types import Array
from . import _inputs


@dataclass(frozen=True)
class Options:
    """The options of a decomposition, resolved."""

    gauge: Gauge
    degeneracy: Degeneracy
    sort: str | None
    check: bool
    refine: Literal["auto"] | int = 0


def resolve(
    A: Array,
    gauge: object,
    degeneracy: object,
    sort: object,
    check: object,
    refine: object = None,
    *,
    complex_vectors: bool,
    metric: bool = False,
    own: Options | None = None,
) -> Options:
    """Options from what a caller named; None stands for what the supplied eigensystem has, else for the default.

    metric: whether there is a positive definite B, which can be the norm of a gauge.
    """
    if own is None and _NAMES.issuperset(map(type, (gauge, degeneracy, sort, refine))) and type(check) in _SWITCHES:
        return _named(gauge, degeneracy, sort, check, refine, metric)
    chosen = _chosen(A, gauge, degeneracy, sort, check, refine, own, complex_vectors=complex_vectors, metric=metric)
    if own is not None:
        for name in ("gauge", "degeneracy", "sort", "check", "refine"):
            here, there = getattr(chosen, name), getattr(own, name)
            if here != there:
                raise InputError(
                    f"{name}={here!r} conflicts with the supplied eigensystem, which has {name}={there!r}; leave it out, or "
                    f"pass (w, V) instead of the result"
                )
    return chosen


_NAMES, _SWITCHES = {str, type(None)}, {bool, type(None)}


@cache
def _named(gauge: object, degeneracy: object, sort: object, check: object, refine: object, metric: bool) -> Options:
    """Options that are given by names, for which no array is looked at."""
    return _chosen(None, gauge, degeneracy, sort, check, refine, None, complex_vectors=True, metric=metric)


def _chosen(
    A: Array,
    gauge: object,
    degeneracy: object,
    sort: object,
    check: object,
    refine: object,
    own: Options | None,
    *,
    complex_vectors: bool,
    metric: bool,
) -> Options:
    gauges = _inputs.GAUGES
    default = own or Options(
        gauges["B-norm" if metric else "canonical"], _inputs.DEGENERACIES["raise"], None, True, "auto"
    )
    return Options(
        default.gauge if gauge is None else _inputs.gauge(gauge, A, complex_vectors=complex_vectors, metric=metric),
        default.degeneracy if degeneracy is None else _inputs.degeneracy(degeneracy),
        default.sort if sort is None else _inputs.sort(sort),
        default.check if check is None else _inputs.switch("check", check),
        default.refine if refine is None else _inputs.refine(refine),
    )
