"""What a user of several libraries counts on: the same eigenvectors everywhere, tracers, and the table of what works."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import arreig
from arreig import _capabilities
from arreig.testing import host, matching
from tests.conftest import EVERYWHERE, LIBRARIES, ON_GPU, WITH_JAX

RNG = np.random.default_rng(0)
MATRICES = {
    "real": RNG.standard_normal((2, 5, 5)),
    "complex": RNG.standard_normal((2, 5, 5)) + 1j * RNG.standard_normal((2, 5, 5)),
}


@pytest.mark.parametrize("lib", EVERYWHERE, indirect=True)
@pytest.mark.parametrize("sort", [None, "abs", "real"])
@pytest.mark.parametrize("kind", ["eig", "eigh"])
@pytest.mark.parametrize("entries", MATRICES)
def test_eigenvectors_agree_over_libraries(lib: Any, entries: str, kind: str, sort: Any) -> None:
    """In the canonical gauge up to their order, and in the same order where there is one."""
    A = MATRICES[entries]
    if kind == "eigh":
        A = A + np.conj(np.swapaxes(A, -1, -2))
    options = {"sort": sort} if kind == "eig" else {}
    w, V = getattr(arreig, kind)(A, **options)
    there = getattr(arreig, kind)(lib.array(A), **options)
    assert there.eigenvalues.device == there.eigenvectors.device == lib.array(A).device
    w_there, V_there = map(host, there)
    if kind == "eig" and sort is None:
        order = matching(w_there, w)
        w_there = np.take_along_axis(w_there, order, -1)
        V_there = np.take_along_axis(V_there, order[..., None, :], -1)
    np.testing.assert_allclose(w_there, w, atol=1e-13)
    np.testing.assert_allclose(V_there, V, atol=1e-12)


def test_the_table_lists_what_is_tested() -> None:
    table = {name: library for name, library in _capabilities.LIBRARIES.items() if library.core}
    tested = {name for name, library in table.items() if not any(c.untested for c in library.functions.values())}
    assert tested == {name.removesuffix("-device1") for name in LIBRARIES}
    assert set(ON_GPU) <= set(table) - tested
    for library in table.values():
        assert tuple(library.functions) == _capabilities.FUNCTIONS
        assert all(hasattr(arreig, name) for f in library.functions for name in (f, f"{f}_vjp", f"{f}_jvp"))


DECOMPOSITIONS: list[Callable[..., Any]] = [arreig.eig, arreig.eigh, arreig.eigvals, arreig.eigvalsh]
S = np.diag([1.0, 2.0, 4.0]) + 0.1


@pytest.mark.parametrize("function", DECOMPOSITIONS)
def test_a_tracked_tensor_is_refused(function: Any) -> None:
    advice = "is tracked for differentiation.*use the function of arreig_torch.*detach"
    A = torch.tensor(S, requires_grad=True)
    with pytest.raises(arreig.InputTypeError, match="A " + advice):
        function(A)
    f = torch.func
    for transformed in (
        f.grad(function),
        f.jacfwd(function),
        lambda A: f.vmap(f.grad(function))(A[None]),
        f.grad(lambda A: f.vmap(function)(A[None]).sum()),
    ):
        with pytest.raises(arreig.InputTypeError, match="A " + advice):
            transformed(A.detach())
    with torch.no_grad():
        function(A)
    torch.func.grad(lambda A: A.sum() + torch.as_tensor(function(A.detach())[0]).real.sum())(A.detach())


@WITH_JAX
@pytest.mark.parametrize("function", [arreig.eig, arreig.eigvalsh])
def test_a_tracked_jax_array_is_refused(function: Any) -> None:
    def loss(A: Any) -> Any:
        out = function(A)
        return jnp.sum(jnp.abs(out[0] if isinstance(out, tuple) else out))

    A = jnp.asarray(S)
    for transformed in (
        jax.grad(loss),
        jax.jit(jax.grad(loss)),
        jax.jacfwd(loss),
        lambda A: jax.vmap(jax.grad(loss))(A[None]),
        jax.grad(lambda A: jax.vmap(loss)(A[None]).sum()),
        jax.grad(jax.jit(loss)),
        jax.grad(jax.checkpoint(loss)),
    ):
        with pytest.raises(arreig.InputTypeError, match=r"is tracked for differentiation.*arreig_jax.*stop_gradient"):
            transformed(A)
    np.testing.assert_allclose(jax.grad(lambda A: jnp.sum(A) + loss(jax.lax.stop_gradient(A)))(A), np.ones((3, 3)))


def test_rules_accept_what_is_tracked() -> None:
    """A gradient is linear in its cotangents, and a smooth function of a given eigensystem: torch may differentiate it."""
    A = torch.tensor(S)
    w, V = arreig.eig(A)
    gV = (V.conj() + 1).clone().requires_grad_()
    gA = arreig.eig_vjp(A, gV)
    assert gA.requires_grad
    dgV = torch.randn(3, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    (g,) = torch.autograd.grad(gA, gV, torch.ones_like(gA))
    expected = (arreig.eig_vjp(A, dgV) * 1.0).sum()
    torch.testing.assert_close((g.conj() * dgV).sum().real, expected)
    w, V = (x.clone().requires_grad_() for x in (w, V))
    assert arreig.eig_vjp(A, gV.detach(), eigensystem=(w, V)).requires_grad


@WITH_JAX
@pytest.mark.parametrize(
    ("kind", "transform"),
    [("eig", jax.jit), ("eigh", lambda f: jax.jit(jax.vmap(f)))],
    ids=["eig, jit", "eigh, jit and vmap"],
)
def test_jax_transformations_of_the_core(kind: str, transform: Any) -> None:
    """Under jit and vmap a call gives what it gives outside, but NaN for an error."""
    A = np.stack([S, S + np.diag([0.0, 1.0, 0.0]), np.eye(3)])
    dA = A[[1, 0, 0]]
    gV = np.arange(27.0).reshape(3, 3, 3)
    decompose, vjp, jvp = (getattr(arreig, kind + suffix) for suffix in ("", "_vjp", "_jvp"))
    a, d, g = map(jnp.asarray, (A, dA, gV))
    gA = host(transform(vjp)(a, g))
    dw, dV = map(host, transform(jvp)(a, d))
    w, V = map(host, transform(lambda A: tuple(decompose(A)))(a))
    np.testing.assert_allclose(gA[:2], vjp(A[:2], gV[:2]), atol=1e-12)
    np.testing.assert_allclose(dw[:2], jvp(A[:2], dA[:2])[0], atol=1e-12)
    np.testing.assert_allclose(dV[:2], jvp(A[:2], dA[:2])[1], atol=1e-12)
    np.testing.assert_allclose(V, decompose(A).eigenvectors, atol=1e-12)
    assert np.isnan(gA[2]).all()
    assert np.isnan(dV[2]).all()
    with pytest.raises(arreig.DegenerateEigenvaluesError):
        vjp(a, g)


@WITH_JAX
def test_traced_and_concrete_jax_arrays_together() -> None:
    A, g = jnp.asarray(S), jnp.asarray(np.arange(9.0).reshape(3, 3))
    expected = arreig.eig_vjp(A, g)
    np.testing.assert_allclose(jax.jit(lambda A: arreig.eig_vjp(A, g))(A), expected, atol=1e-14)
    np.testing.assert_allclose(jax.vmap(lambda g: arreig.eig_vjp(A, g))(g[None])[0], expected, atol=1e-14)
