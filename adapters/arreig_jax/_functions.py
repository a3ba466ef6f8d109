"""The public functions: JAX's arrays in, arreig's options on, an operation called."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from arreig._decompositions import _inputs
from arreig._decompositions._general import GeneralEigensystem
from arreig._decompositions._hermitian import HermitianEigensystem
from arreig._decompositions._problem import Problem
from arreig._types import EigPair, EigTriple

from ._admit import admit, checks
from ._decomposition import Decomposition
from ._operation import Array, Arrays


def _decompose(A, B, check: Any, system: Any, **options: Any) -> Arrays:
    A = admit("A", A)
    B = None if B is None else _inputs.second(admit("B", B), A)
    check, tell = checks(check)
    problem = Problem(system, check=check, **options)
    z = problem.functional(A, B)
    if z is not None:
        problem = replace(problem, gauge="canonical")  # z stands for it: parameters of an operation are hashed
    return Decomposition(problem, tell)((A, B, z))


def eig(A, B=None, /, *, gauge="canonical", sort=None, left=False, degeneracy="raise", check=True, refine="auto"):
    _inputs.switch("left", left)
    w, V, *W = _decompose(
        A, B, check, GeneralEigensystem, gauge=gauge, sort=sort, left=left, degeneracy=degeneracy, refine=refine
    )
    return EigTriple(w, V, W[0]) if left else EigPair(w, V)


def eigh(A, B=None, /, *, gauge=None, degeneracy="raise", check=True):
    w, V, *_ = _decompose(A, B, check, HermitianEigensystem, gauge=gauge, degeneracy=degeneracy)
    return EigPair(w, V)


def eigvals(A, B=None, /, *, sort=None, check=True):
    return _decompose(A, B, check, GeneralEigensystem, sort=sort, vectors=False)[0]


def eigvalsh(A, B=None, /, *, check=True):
    return _decompose(A, B, check, HermitianEigensystem, vectors=False)[0]
