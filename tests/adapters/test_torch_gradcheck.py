"""torch's own checks on torch's own sample inputs for linalg.eig, eigh, eigvals and eigvalsh.

The samples are private to torch and pinned with it. torch runs them with losses that do not depend on phases, and leaves out
batched checks for these functions; here the outputs themselves are differentiated too, whose gradients depend on the gauge.
"""

from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

import arreig
import arreig_torch

SAMPLED = ("linalg.eig", "linalg.eigh", "linalg.eigvals", "linalg.eigvalsh")
SHAPES = 8
pytestmark = pytest.mark.xdist_group("samples")  # in one process, which imports torch's tests once


@pytest.fixture(scope="module")
def samples() -> Any:
    from torch.testing._internal.common_methods_invocations import op_db  # seconds to import

    found = {op.name: op for op in op_db if op.name in SAMPLED}
    assert sorted(found) == sorted(SAMPLED)

    def of(name: str, dtype: str) -> list[Any]:
        torch.manual_seed(0)  # the samples are random
        return list(found[name].sample_inputs("cpu", getattr(torch, dtype), requires_grad=True))

    return of


@pytest.mark.parametrize("outputs", ["invariant", "as they are"])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
@pytest.mark.parametrize("name", SAMPLED)
def test_samples(samples: Any, name: str, dtype: str, outputs: str) -> None:
    function = getattr(arreig_torch, name.split(".")[1])
    hermitian = name.startswith("linalg.eigh") or name == "linalg.eigvalsh"
    inputs = samples(name, dtype)
    assert len(inputs) == SHAPES
    for sample in inputs:

        def decompose(A: torch.Tensor, sample: Any = sample) -> Any:
            out = function(A + A.mH if hermitian else A)
            out = tuple(out) if isinstance(out, tuple) else out
            return sample.output_process_fn_grad(out) if outputs == "invariant" else out

        # A + A.mH itself fails in torch's batched forward mode, for complex A
        batched_forward = not (hermitian and dtype == "complex128")
        A = sample.input
        assert gradcheck(
            decompose,
            A,
            check_forward_ad=True,
            check_batched_grad=True,
            check_batched_forward_grad=batched_forward,
            check_undefined_grad=True,
            fast_mode=outputs == "invariant" or A.ndim > 2,
        )
        # along random directions: with all of them the Hessians of the complex samples take minutes
        assert gradgradcheck(decompose, A, check_fwd_over_rev=True, check_batched_grad=True, fast_mode=True)


@pytest.mark.parametrize(
    "gauge", [arreig.Component(-2), arreig.Functional(torch.tensor([1.0, -0.4, 0.7, 0.9, 0.2]))], ids=str
)
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_other_gauges(samples: Any, dtype: str, gauge: Any) -> None:
    A = samples("linalg.eig", dtype)[4].input
    assert A.shape == (2, 5, 5)
    if isinstance(gauge, arreig.Functional):
        gauge = arreig.Functional(gauge.z.double())

    def decompose(A: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(arreig_torch.eig(A, gauge=gauge, left=True))

    assert gradcheck(
        decompose, A, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True, fast_mode=True
    )
