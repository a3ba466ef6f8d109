"""The adapter in torch's modes: what is saved, refused, cast, compiled, shared between threads, and where the arrays lie."""

import copy
import io
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import arreig
import arreig_torch
from arreig._backends.torch import TorchBackend

FUNCTIONS = ("eig", "eigh", "eigvals", "eigvalsh")


def matrix(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    A = torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    return A + A.mH  # Hermitian, so that it serves every function


def loss(A: torch.Tensor, function: str = "eig", **options: Any) -> torch.Tensor:
    out = getattr(arreig_torch, function)(A, **options)
    arrays = out if isinstance(out, tuple) else (out,)
    return sum((torch.arange(1.0, 1 + x.numel()).reshape(x.shape) * x).sum().abs() for x in arrays)


def gradient(A: torch.Tensor, function: str = "eig", **options: Any) -> torch.Tensor:
    A = A.detach().clone().requires_grad_()
    loss(A, function, **options).backward()
    assert A.grad is not None
    return A.grad


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_grad_and_inference_mode(function: str) -> None:
    A = matrix(3, 3).requires_grad_()
    expected = loss(A, function)
    assert expected.requires_grad
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            value = loss(A, function)
        assert not value.requires_grad
        torch.testing.assert_close(value, expected.detach())
    assert not loss(A.detach(), function).requires_grad


def test_numpy_computes_where_nothing_else_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain tensors share their memory with NumPy's arrays; what torch records, maps or intercepts stays torch's."""
    shared = []
    ask = TorchBackend.shared

    def asked(self: TorchBackend, *arrays: Any) -> Any:
        shared.append(ask(self, *arrays) is not None)
        return ask(self, *arrays)

    monkeypatch.setattr(TorchBackend, "shared", asked)
    A = torch.complex(matrix(3, 3), matrix(3, 3, seed=1)).conj().requires_grad_()  # conjugated when it is read

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return func(*args, **(kwargs or {}))

    def second() -> torch.Tensor:
        return torch.autograd.grad(loss(A), A, create_graph=True)[0]

    def intercepted() -> torch.Tensor:
        with Mode():
            return gradient(A)

    def at_once() -> torch.Tensor:
        out = arreig_torch.eigvals(A)
        return torch.autograd.grad(out, A, torch.eye(3, dtype=A.dtype), is_grads_batched=True)[0].sum(0)

    expected, sum_of_rows = (
        gradient(A),
        torch.autograd.grad(arreig_torch.eigvals(A), A, torch.ones(3, dtype=A.dtype))[0],
    )
    for call, forward, backward, value in (
        (lambda: gradient(A), True, True, expected),
        (second, True, False, expected),
        (lambda: grad(loss)(A.detach()), True, False, expected),
        (intercepted, False, False, expected),
        (at_once, True, False, sum_of_rows),
    ):
        shared.clear()
        torch.testing.assert_close(call().detach(), value)
        assert shared == [forward, backward]


def test_retain_graph() -> None:
    A = matrix(3, 3).requires_grad_()
    value = loss(A)
    first, second = (torch.autograd.grad(value, A, retain_graph=keep)[0] for keep in (True, False))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(value, A)


def test_saved_tensors_are_torchs_to_keep() -> None:
    """All that a backward needs goes through the hooks: it can be put on a disk, and nothing is kept beside it."""
    A = matrix(3, 3)
    expected = gradient(A)
    seen = []

    def pack(x: torch.Tensor) -> bytes:
        seen.append(tuple(x.shape))
        file = io.BytesIO()
        torch.save(x, file)
        return file.getvalue()

    def unpack(data: bytes) -> torch.Tensor:
        x: torch.Tensor = torch.load(io.BytesIO(data))
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        torch.testing.assert_close(gradient(A), expected)
    assert seen[:3] == [(3, 3), (3,), (3, 3)]  # A, w, V
    with torch.autograd.graph.save_on_cpu():
        torch.testing.assert_close(gradient(A), expected)


def test_checkpoint() -> None:
    A = matrix(3, 3).requires_grad_()
    checkpoint(loss, A, use_reentrant=False).backward()
    torch.testing.assert_close(A.grad, gradient(A))


def test_outputs_changed_in_place_are_noticed() -> None:
    w, V = arreig_torch.eig(matrix(3, 3).requires_grad_())
    value = (V * V).sum().real
    with torch.no_grad():
        V.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


class Model(torch.nn.Module):
    """A matrix, and a gauge that a module may well keep."""

    def __init__(self) -> None:
        super().__init__()
        self.A = torch.nn.Parameter(matrix(3, 3))
        self.gauge = arreig.Functional(torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))

    def forward(self) -> torch.Tensor:
        return loss(self.A, gauge=self.gauge)


def test_copies() -> None:
    model = Model()
    clone = copy.deepcopy(model)
    for m in (model, clone):
        m().backward()
    assert clone.A is not model.A
    assert clone.gauge.z is not model.gauge.z
    torch.testing.assert_close(model.A.grad, clone.A.grad, rtol=0, atol=0)
    out = arreig_torch.eig(matrix(3, 3))
    torch.testing.assert_close(copy.deepcopy(out).eigenvectors, out.eigenvectors, rtol=0, atol=0)


def test_threads() -> None:
    """Several threads, each with replicas and a backward of its own, as DataParallel runs them."""
    matrices = [matrix(2, 4, 4, seed=i) for i in range(16)]
    expected = [gradient(A) for A in matrices]
    with ThreadPoolExecutor(4) as pool:
        for g, e in zip(pool.map(gradient, matrices), expected, strict=True):
            torch.testing.assert_close(g, e, rtol=0, atol=0)
    # one graph, differentiated from several threads
    shared = matrix(3, 3).requires_grad_()
    value = loss(shared)
    with ThreadPoolExecutor(4) as pool:
        grads = list(pool.map(lambda _: torch.autograd.grad(value, shared, retain_graph=True)[0], range(8)))
    for g in grads:
        torch.testing.assert_close(g, gradient(shared), rtol=0, atol=0)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision(function: str, half: torch.dtype) -> None:
    A = torch.diag(torch.tensor([1.0, 2.0, 4.0])).to(half) + 0.125
    with pytest.raises(arreig.InputTypeError, match=f"float32, float64.*got {half}"):
        getattr(arreig_torch, function)(A)
    expected = gradient(A.float(), function)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = gradient(A, function)
        single = gradient(A.float(), function)  # not cast down on the way
        double = gradient(A.double(), function)
    assert result.dtype == half
    torch.testing.assert_close(result, expected.to(half), rtol=0, atol=0)
    torch.testing.assert_close(single, expected, rtol=0, atol=0)
    torch.testing.assert_close(double, gradient(A.double(), function), rtol=0, atol=0)


def test_overflow_of_a_scaled_loss() -> None:
    """What a GradScaler looks for: with check=False a gradient that is not finite, without an error."""
    A = matrix(3, 3, dtype=torch.float32)
    with pytest.raises(arreig.NonFiniteError, match="gw must be finite"):
        (loss(a := A.clone().requires_grad_(), "eigvals") * torch.inf).backward()
    a = A.clone().requires_grad_()
    (loss(a, "eigvals", check=False) * torch.inf).backward()
    assert not a.grad.isfinite().any()


# dynamo hides warnings of its own by a way that does not hide them from a filter that makes them errors
hidden = pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")


@hidden
@pytest.mark.parametrize("function", FUNCTIONS)
def test_compile_breaks_its_graph_and_nothing_else(function: str) -> None:
    A = matrix(3, 3)
    compiled = torch.compile(lambda A: 2 * loss(A * 0.5, function), backend="eager")
    tracked = A.clone().requires_grad_()
    compiled(tracked).backward()
    torch.testing.assert_close(tracked.grad, gradient(A * 0.5, function), rtol=1e-12, atol=1e-12)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="reads the numbers that it has computed"):
        torch.compile(lambda A: loss(A, function), backend="eager", fullgraph=True)(A)
    torch._dynamo.reset()


@hidden
@pytest.mark.parametrize("transform", [grad, lambda f: vmap(grad(f)), hessian], ids=["grad", "vmap(grad)", "hessian"])
def test_transforms_inside_a_compiled_function_are_right_or_fail(transform: Any) -> None:
    """torch.compile cannot break its graph inside torch.func: what it does then is an error, or right."""
    A = matrix(2, 3, 3) if transform is not hessian else matrix(3, 3)
    try:
        result = torch.compile(transform(loss), backend="eager")(A)
    except (AssertionError, RuntimeError):
        pass
    else:
        torch.testing.assert_close(result, transform(loss)(A))
    torch._dynamo.reset()


IDENTITY = torch.eye(3, dtype=torch.float64)
JORDAN = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]], dtype=torch.float64)


def rows(A: torch.Tensor, **options: Any) -> torch.Tensor:
    """A loss on single eigenvectors: it has no gradient at IDENTITY and at JORDAN."""
    return (torch.arange(1.0, 4.0)[:, None] * arreig_torch.eig(A, **options).eigenvectors.abs() ** 2).sum()


@pytest.mark.parametrize(
    ("A", "error"),
    [(IDENTITY, arreig.DegenerateEigenvaluesError), (JORDAN, arreig.DefectiveMatrixError)],
    ids=["identity", "Jordan"],
)
def test_refusals(A: torch.Tensor, error: type[Exception]) -> None:
    """An error where numbers can be read; NaN in that member, and in no other, where they cannot."""
    with pytest.raises(error):
        rows(A.clone().requires_grad_()).backward()
    with pytest.raises(error):
        grad(rows)(A)
    good = matrix(3, 3)
    expected = grad(rows)(good)
    batch = torch.stack([good, A, good])
    mapped = vmap(grad(rows))(batch)
    tracked = batch.clone().requires_grad_()
    rows(tracked, check=False).backward()
    assert tracked.grad is not None
    for gA in (mapped, tracked.grad):
        torch.testing.assert_close(gA[[0, 2]], torch.stack([expected, expected]))
        assert gA[1].isnan().all()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_decomposition_is_checked_under_every_transform(function: str) -> None:
    A = matrix(2, 3, 3)
    A[1, 0, 0] = torch.nan
    with pytest.raises(arreig.NonFiniteError, match=r"A must be finite, but entry \(0, 0\) of batch member \(1,\)"):
        vmap(getattr(arreig_torch, function))(A)
    values = vmap(lambda A: getattr(arreig_torch, function)(A, check=False))(A)
    w = values[0] if isinstance(values, tuple) else values
    assert w[1].isnan().all()
    assert w[0].isfinite().all()


REFUSED = {
    "eigenvectors of a cluster": (rows, IDENTITY),
    "eigenvectors beside a Jordan block": (rows, JORDAN),
    "eigh, eigenvectors of a cluster": (lambda A, **o: loss(A, "eigh", **o), IDENTITY),
    "eigenvalues of a cluster, told apart": (lambda A, **o: loss(A, "eigvalsh", **o), IDENTITY),
    "a loss on phases": (
        lambda A, **o: (arreig_torch.eig(A, gauge="phase-free", **o)[1] ** 2 * torch.arange(3.0)).sum().real,
        torch.tensor([[0.3, 1.2, 0.1], [-0.9, 0.2, 0.4], [0.2, 0.5, -1.0]], dtype=torch.float64),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_gradient_has_no_hessian_of_zeros(name: str) -> None:
    """In any order of transforms, with numbers to read or without: an error, or NaN."""
    function, A = REFUSED[name]
    forward_alone_tells = name != "a loss on phases"  # see the package's docstring
    for options in ({}, {"check": False}):
        f = lambda A, o=options: function(A, **o)
        hessians = [hessian(f), jacrev(jacrev(f)), jacrev(jacfwd(f)), lambda A, f=f: vmap(hessian(f))(A[None])]
        if forward_alone_tells:
            hessians.append(jacfwd(jacfwd(f)))
        for H in hessians:
            try:
                result = H(A)
            except arreig.ArreigError:
                continue
            assert result.isnan().all()
        tracked = A.clone().requires_grad_()
        try:
            (gA,) = torch.autograd.grad(f(tracked), tracked, create_graph=True)
            (gB,) = torch.autograd.grad(gA.sum(), tracked)
        except arreig.ArreigError:
            continue
        assert gA.isnan().all()
        assert gB.isnan().all()


@pytest.mark.parametrize("degeneracy", ["raise", "mask"])
def test_second_derivatives_at_a_cluster_are_refused(degeneracy: Any) -> None:
    """tr A^2 has the Hessian 2 K, K the transposition; through eigenvalues alone its off-diagonal part would come out 0."""

    def trace_of_square(A: torch.Tensor) -> torch.Tensor:
        # with "raise" already the tangent of V is refused at a cluster, which forward mode asks of eig
        w = arreig_torch.eigvals(A) if degeneracy == "raise" else arreig_torch.eig(A, degeneracy=degeneracy).eigenvalues
        return (w**2).sum().real

    A = torch.diag(torch.tensor([1.0, 1.0, 3.0], dtype=torch.float64))
    torch.testing.assert_close(grad(trace_of_square)(A), 2 * A)
    simple = torch.diag(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    expected = 2 * torch.einsum("il,jk->ijkl", *[torch.eye(3, dtype=torch.float64)] * 2)
    torch.testing.assert_close(hessian(trace_of_square)(simple), expected)
    with pytest.raises(
        arreig.DegenerateEigenvaluesError, match=r"1 and 2 .* Second derivatives need separate eigenvalues"
    ):
        torch.autograd.functional.hessian(trace_of_square, A)
    dA = torch.ones(3, 3, dtype=torch.float64)
    dA[:2, :2] = torch.eye(2)  # which does not split the cluster
    for transform in (
        lambda A: torch.func.jvp(grad(trace_of_square), (A,), (dA,))[1],
        lambda A: grad(lambda A: torch.func.jvp(trace_of_square, (A,), (dA,))[1])(A),
    ):
        with pytest.raises(arreig.DegenerateEigenvaluesError, match="Second derivatives need separate eigenvalues"):
            transform(A)
    mapped = vmap(hessian(trace_of_square))(torch.stack([A, simple]))
    assert mapped[0].isnan().all()
    torch.testing.assert_close(mapped[1], expected)
    zeros = torch.zeros(3, 3, dtype=torch.float64)
    for B in (A, zeros):  # the missing part would leave exactly 0 here
        one = torch.zeros(3, 3, dtype=torch.float64).index_put(
            (torch.tensor(0), torch.tensor(1)), torch.tensor(1.0).double()
        )
        for transform in (
            lambda B, one=one: torch.func.jvp(grad(trace_of_square), (B,), (one,))[1],
            lambda B, one=one: grad(lambda B: (grad(trace_of_square)(B) * one).sum())(B),
        ):
            with pytest.raises(arreig.DegenerateEigenvaluesError):
                transform(B)


def test_export_is_refused() -> None:
    """It would keep the values and lose the gradient."""

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.A = torch.nn.Parameter(matrix(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ arreig_torch.eig(self.A).eigenvectors.real

    for strict in (True, False):
        with pytest.raises((arreig.ArreigError, torch._dynamo.exc.Unsupported), match="arreig_torch"):
            torch.export.export(Layer(), (matrix(3, 3),), strict=strict)


def test_meta() -> None:
    for x in arreig_torch.eig(torch.empty(2, 3, 3, device="meta")):
        assert x.device.type == "meta"


BAD = {
    "array": (np.eye(2), r"A must be a torch.Tensor, got numpy.ndarray; for arrays of other libraries use arreig"),
    "sparse": (torch.eye(2).to_sparse(), r"dense tensor, got layout torch.sparse_coo; convert it with to_dense\(\)"),
    "vector": (torch.ones(2), r"two dimensions, \(..., n, n\); got shape \(2,\)"),
    "not square": (torch.ones(2, 3), r"square.*got shape \(2, 3\)"),
    "bool": (torch.eye(2, dtype=torch.bool), r"got torch.bool"),
}


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bad", BAD)
def test_bad_input(function: str, bad: str) -> None:
    A, message = BAD[bad]
    with pytest.raises(arreig.InputError, match=message):
        getattr(arreig_torch, function)(A)


def test_bad_options() -> None:
    A = matrix(3, 3)
    for options, message in (
        ({"gauge": "norm"}, "gauge must be"),
        ({"gauge": arreig.Component(3)}, "names no component"),
        ({"gauge": arreig.Functional(np.ones(3))}, "z must come from A's library"),
        ({"gauge": arreig.Functional(torch.ones(2))}, r"z must have shape \(3,\)"),
        ({"degeneracy": "ignore"}, "degeneracy must be"),
        ({"sort": "imag"}, "sort must be"),
        ({"left": 1}, "left must be"),
        ({"check": 1}, "check must be"),
    ):
        with pytest.raises(arreig.InputError, match=message):
            arreig_torch.eig(A, **options)
    B = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    with pytest.raises(arreig.InputError, match="must be Hermitian"):
        arreig_torch.eigh(B)
    with pytest.warns(arreig.GaugeTieWarning, match="eigenvector 1") as caught:
        arreig_torch.eig(torch.tensor([[0.0, 1.0], [1.0, 0.0]]))
    assert caught[0].filename == __file__


def test_integers_become_double() -> None:
    assert arreig_torch.eigvalsh(torch.tensor([[2, 1], [1, 2]])).dtype == torch.float64


@pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_small_and_empty(function: str, shape: tuple[int, ...]) -> None:
    A = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    loss(A, function).backward()
    assert A.grad is not None
    assert A.grad.shape == shape
    assert vmap(grad(lambda A: loss(A, function)))(torch.ones(2, *shape)).shape == (2, *shape)


def test_placement() -> None:
    """On torch's fake tensors, in a process of its own: the device that they lie on stays registered with torch."""
    script = Path(__file__).parent / "placement_on_fake_gpu.py"
    adapters = Path(arreig_torch.__file__).parent.parent
    env = {**os.environ, "PYTHONPATH": f"{adapters}:{adapters.parent}"}
    run = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["placement: passed", "what the fake device catches: passed"]


def test_without_torch() -> None:
    """The error names the extra."""
    code = "import sys; sys.modules['torch'] = None; import arreig_torch"
    adapters = Path(arreig_torch.__file__).parent.parent
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=adapters,
        env={"PYTHONPATH": f"{adapters}:{adapters.parent}"},
    )
    assert run.returncode == 1
    assert re.search(r"ImportError: arreig_torch needs torch: pip install 'arreig\[torch\]'", run.stderr)
