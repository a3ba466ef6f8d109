"""Gauges as pairs of projectors: adjoint to each other, idempotent, and blind to what the gauge fixes."""

from typing import Any

import numpy as np
import pytest

from arreig._gauge import Canonical, Component, Functional, Gauge, PhaseFree
from arreig.testing import adjoint_defect

RNG = np.random.default_rng(0)
GAUGES: dict[str, Gauge] = {
    "canonical": Canonical(),
    "phase-free": PhaseFree(),
    "Component": Component(1),
    "Functional": Functional(RNG.standard_normal((2, 4)) + 1j * RNG.standard_normal((2, 4))),
}


def random(real: bool) -> Any:
    x = RNG.standard_normal((2, 4, 4))
    return x if real else x + 1j * RNG.standard_normal(x.shape)


@pytest.mark.parametrize("real", [False, True], ids=["complex", "real"])
@pytest.mark.parametrize("scaled", [False, True], ids=["fixed", "of any scale"])
@pytest.mark.parametrize("name", GAUGES)
def test_projectors(name: str, scaled: bool, real: bool) -> None:
    gauge = Functional(RNG.standard_normal(4)) if real and name == "Functional" else GAUGES[name]
    V, U, gV = random(real), random(real), random(real)
    if not scaled:
        V = gauge.fix(V)
        np.testing.assert_allclose(gauge.scale(V), 1, rtol=1e-13)
        np.testing.assert_allclose(gauge.fix(V), V, rtol=1e-13)
    dV, gh = gauge.project_tangent(V, U), gauge.project_cotangent(V, gV)
    assert adjoint_defect([(gV, dV)], [(gh, U)]) < 1e-13
    np.testing.assert_allclose(gauge.project_tangent(V, dV), dV, atol=1e-12)
    np.testing.assert_allclose(gauge.project_cotangent(V, gh), gh, atol=1e-12)
    # the tangent keeps what the gauge fixes
    h = 1e-6
    change = (gauge.scale(V + h * dV) - gauge.scale(V - h * dV)) / (2 * h)
    np.testing.assert_allclose(change, 0, atol=1e-8 * np.abs(V).max())
    if name == "canonical":
        k = np.argmax(np.abs(V), axis=-2)[..., None, :]
        ratio = np.take_along_axis(dV, k, -2) / np.take_along_axis(V, k, -2)
        np.testing.assert_allclose(np.imag(ratio), 0, atol=1e-13)


def test_canonical_takes_the_first_of_nearly_equal_components() -> None:
    """Rounding must not decide: within sqrt(u) of the largest the first component counts."""
    v = np.array([[1j], [1.0], [-1.0 - 1e-12]])
    np.testing.assert_allclose(Canonical().fix(v), np.array([[1], [-1j], [1j]]) / np.sqrt(3), rtol=1e-10)
    v = np.array([[1j], [1.0], [-1.0 - 1e-6]])
    np.testing.assert_allclose(Canonical().fix(v), np.array([[-1j], [-1], [1]]) / np.sqrt(3), rtol=1e-5)
