"""arreig_torch.LinearOperator in eigs and eigsh: gradients of parameters against dense matrices and finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad, gradcheck
from torch.func import functional_call, grad, jvp, vmap

import arreig
import arreig_torch
from arreig.testing import finite_differences
from arreig_torch import LinearOperator

H, W = 4, 5
N = H * W
pytestmark = pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")


class Diffusion(torch.nn.Module):
    """-div(c grad u) + potential u + velocity du/dx on a grid, zero outside; symmetric without velocity."""

    def __init__(self, velocity: float | None = None, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> torch.Tensor:
            return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)

        self.c = torch.nn.Parameter(1 + random(H + 1, W))
        self.d = torch.nn.Parameter(1 + random(H, W + 1))
        self.velocity = None if velocity is None else torch.nn.Parameter(torch.tensor(velocity, dtype=dtype))
        self.register_buffer("potential", 5 * random(H, W))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = torch.nn.functional.pad(x.reshape(1, 1, H, W), (1, 1, 1, 1))[0, 0]
        along, across = self.c * u[:, 1:-1].diff(dim=0), self.d * u[1:-1].diff(dim=1)
        y = self.potential * x.reshape(H, W) - along.diff(dim=0) - across.diff(dim=1)
        if self.velocity is not None:
            y = y + self.velocity * (u[1:-1, 2:] - u[1:-1, :-2])
        return y.reshape(-1)


def density(x: torch.Tensor, rho: torch.Tensor) -> torch.Tensor:
    return rho.exp() * x


def columns(function: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.stack([function(e) for e in torch.eye(N, dtype=dtype)], dim=1)


def loss(w: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    c = torch.arange(1.0, 1 + V.numel(), dtype=torch.float64).reshape(V.shape)
    return (torch.arange(1.0, 1 + len(w)) * w).real.sum() + (c.sin() * V + c.cos() * V**2).sum().real


def few(A: Any, hermitian: bool, B: Any = None) -> torch.Tensor:
    """The lowest four."""
    function = arreig_torch.eigsh if hermitian else arreig_torch.eigs
    options = {"which": "SA"} if hermitian else {"which": "SR"}
    return loss(*function(A, k=4, B=B, gauge="canonical", ncv=N, **options))


def dense(A: torch.Tensor, hermitian: bool, rho: torch.Tensor | None = None) -> torch.Tensor:
    """The same by all eigenpairs of a matrix; the B of rho is diagonal."""
    if hermitian:
        r = torch.ones(N, dtype=A.dtype) if rho is None else (-rho / 2).exp()
        w, V = arreig_torch.eigh(r[:, None] * A * r[None, :])
        V = r[:, None] * V[:, :4]
        top = V.gather(0, V.detach().abs().argmax(0, keepdim=True))
        return loss(w[:4], V * (top.conj() / top.abs()) / torch.linalg.vector_norm(V, dim=0))
    w, V = arreig_torch.eig(A if rho is None else A / rho.exp()[:, None])
    kept = (w.detach().real - 1e-6 * w.detach().imag).argsort()[:4]
    return loss(w[kept], V[:, kept])


VELOCITY = {"symmetric": None, "advected": 0.4, "complex eigenvalues": 6.0}


@pytest.mark.parametrize("with_B", [False, True], ids=["", "B"])
@pytest.mark.parametrize("name", VELOCITY)
def test_a_module_against_the_dense_matrix(name: str, with_B: bool) -> None:
    hermitian = name == "symmetric"
    module = Diffusion(VELOCITY[name])
    rho = torch.linspace(0, 0.5, N, dtype=torch.float64).requires_grad_()
    asked = [*module.parameters(), *[rho][: int(with_B)]]
    expected = dense(columns(module), hermitian, rho if with_B else None)
    value = few(LinearOperator(module, N), hermitian, LinearOperator(density, N, rho) if with_B else None)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    gradients = torch.autograd.grad(value, asked)
    for g, e in zip(gradients, torch.autograd.grad(expected, asked), strict=True):
        assert g.dtype == e.dtype
        assert g.shape == e.shape
        torch.testing.assert_close(g, e, rtol=1e-7, atol=1e-7)
    value = few(LinearOperator(module, N), hermitian, LinearOperator(density, N, rho) if with_B else None)
    value.backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("name", VELOCITY)
def test_a_module_against_finite_differences(name: str) -> None:
    module = Diffusion(VELOCITY[name])
    few(LinearOperator(module, N), name == "symmetric").backward()

    def value(c: Any) -> float:
        module.c.data = torch.as_tensor(c)
        return float(few(LinearOperator(module, N), name == "symmetric"))

    with torch.no_grad():
        expected = finite_differences(value, module.c.detach().numpy().copy())
    assert module.c.grad is not None
    np.testing.assert_allclose(module.c.grad, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("layout", ["dense", "COO", "CSC"])
@pytest.mark.parametrize("hermitian", [True, False])
def test_a_tensor_for_B(hermitian: bool, layout: str) -> None:
    """Its gradient has its entries."""
    module = Diffusion(None if hermitian else 0.4)
    rho = torch.linspace(0, 0.5, N, dtype=torch.float64)
    M = torch.diag(rho.exp())
    M = {"dense": lambda: M, "COO": lambda: M.to_sparse(), "CSC": lambda: M.to_sparse_csc()}[layout]()
    B = M.clone().requires_grad_()
    gB, gc = torch.autograd.grad(few(LinearOperator(module, N), hermitian, B), (B, module.c))
    rho.requires_grad_()
    expected = torch.autograd.grad(dense(columns(module), hermitian, rho), (rho, module.c))
    diagonal = (gB if layout == "dense" else gB.to_dense()).diagonal()
    torch.testing.assert_close(diagonal * rho.exp().detach(), expected[0], rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(gc, expected[1], rtol=1e-7, atol=1e-7)


def chain(x: torch.Tensor, hopping: torch.Tensor, flux: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
    """Of real parameters and complex values."""
    phase = torch.polar(torch.ones_like(flux), flux)
    y = hopping * phase * x.roll(-1) + (hopping * phase.conj() * x).roll(1)
    return y + torch.complex(torch.linspace(0, 3, N, dtype=torch.float64), loss) * x


@pytest.mark.parametrize("hermitian", [True, False])
def test_a_complex_matrix_of_real_parameters(hermitian: bool) -> None:
    params = [
        torch.linspace(1, 2, N, dtype=torch.float64).requires_grad_(),
        torch.tensor(0.3, dtype=torch.float64, requires_grad=True),
        torch.linspace(0, 0 if hermitian else 1, N, dtype=torch.float64).requires_grad_(not hermitian),
    ]
    asked = [p for p in params if p.requires_grad]
    value = few(LinearOperator(chain, N, *params), hermitian)
    expected = dense(columns(lambda x: chain(x, *params)), hermitian)
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=1e-10)
    gradients = torch.autograd.grad(value, asked), torch.autograd.grad(expected, asked)
    for g, e in zip(*gradients, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-7, atol=1e-7)


def test_a_complex_matrix_that_wants_complex_vectors() -> None:
    M = torch.diag(torch.arange(1.0, 1 + N)) + 0.1j * torch.triu(torch.ones(N, N))
    M = M.to(torch.complex128).requires_grad_()
    (g,) = torch.autograd.grad(few(LinearOperator(lambda x, M: M @ x, N, M), False), M)
    (expected,) = torch.autograd.grad(dense(M, False), M)
    torch.testing.assert_close(g, expected, rtol=1e-7, atol=1e-7)
    own = M.detach()
    w = arreig_torch.eigs(LinearOperator(lambda x: own @ x, N, dtype=torch.complex64), k=4).eigenvalues
    assert w.dtype == torch.complex64


def test_single_precision() -> None:
    """Parameters and buffers are computed with in double precision."""
    single, double = Diffusion(0.4, torch.float32), Diffusion(0.4)
    double.load_state_dict(single.state_dict())
    w, V = arreig_torch.eigs(LinearOperator(single, N), k=4, which="SR", ncv=N)
    assert w.dtype == V.dtype == torch.complex64
    assert single.potential.dtype == torch.float32
    gradients = [torch.autograd.grad(few(LinearOperator(m, N), False), m.c)[0] for m in (single, double)]
    assert gradients[0].dtype == torch.float32
    torch.testing.assert_close(gradients[0].double(), gradients[1], rtol=1e-4, atol=1e-5)
    with pytest.raises(arreig.InputTypeError, match=r"parameters in torch.float16.*give the LinearOperator a dtype"):
        arreig_torch.eigs(LinearOperator(Diffusion(0.4, torch.float16), N))
    half = LinearOperator(Diffusion(0.4, torch.float16), N, dtype=torch.float32)
    assert arreig_torch.eigs(half, k=4, which="SR", ncv=N).eigenvalues.dtype == torch.complex64


@pytest.mark.parametrize("hermitian", [True, False])
def test_gradcheck_and_forward_mode(hermitian: bool) -> None:
    """Of both matrices, in params; the forward derivatives against the gradient."""
    module = Diffusion(None if hermitian else 0.4).requires_grad_(False)
    c, rho = torch.linspace(1, 2, N, dtype=torch.float64), torch.linspace(0, 0.5, N, dtype=torch.float64)

    def f(c: torch.Tensor, rho: torch.Tensor) -> torch.Tensor:
        A = LinearOperator(lambda x, c: module(x) + c * x, N, c)
        return few(A, hermitian, LinearOperator(density, N, rho))

    tangents = torch.cos(torch.arange(N) + rho), torch.sin(torch.arange(N) + rho)
    gradients = grad(f, argnums=(0, 1))(c, rho)
    along = [(g * dx).sum() for g, dx in zip(gradients, tangents, strict=True)]
    torch.testing.assert_close(jvp(f, (c, rho), tangents)[1], along[0] + along[1], rtol=1e-7, atol=1e-7)
    for i in (0, 1):
        with forward_ad.dual_level():
            own = [c, rho]
            own[i] = forward_ad.make_dual(own[i], tangents[i])
            along_i = forward_ad.unpack_dual(f(*own)).tangent
        torch.testing.assert_close(along_i, along[i], rtol=1e-7, atol=1e-7)
    assert gradcheck(f, (c.requires_grad_(), rho.requires_grad_()), fast_mode=True, atol=1e-4)


def test_only_what_requires_grad() -> None:
    """Frozen parameters, an unused one, one that is no floating point number, and one product a column."""
    module = Diffusion(0.4)
    module.d.requires_grad_(False)
    order, unused = torch.arange(N), torch.ones(3, dtype=torch.float64, requires_grad=True)
    recorded = []

    def function(x: torch.Tensor, c: torch.Tensor, order: torch.Tensor, unused: torch.Tensor) -> torch.Tensor:
        recorded.append(torch.is_grad_enabled())
        return module(x) + (c * x)[order]

    c = torch.ones(N, dtype=torch.float64, requires_grad=True)
    with pytest.raises(arreig.InputTypeError, match="function of A contains a tensor that is tracked"):
        few(LinearOperator(function, N, c, order, unused), False)
    module.requires_grad_(False)
    value = few(LinearOperator(function, N, c, order, unused), False)
    recorded.clear()
    g, nothing = torch.autograd.grad(value, (c, unused), allow_unused=True)
    assert nothing is None
    assert g.shape == c.shape
    assert sum(recorded) == 1 + 4  # the graph of the adjoint, and four real eigenpairs
    module.c.requires_grad_()
    few(LinearOperator(module, N), False).backward()
    assert module.d.grad is None
    assert module.c.grad is not None


def test_a_module_inside_of_a_functional_one() -> None:
    """As torch.func differentiates models: by parameters that stand in for their own."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Diffusion()

        def forward(self) -> torch.Tensor:
            return few(LinearOperator(self.inner, N), True)

    model = Model()
    params = {name: p.detach() for name, p in model.named_parameters()}
    model().backward()
    gradients = grad(lambda p: functional_call(model, p, ()))(params)
    assert sorted(gradients) == ["inner.c", "inner.d"]
    for name, p in model.named_parameters():
        torch.testing.assert_close(gradients[name], p.grad)
    tangents = {name: torch.ones_like(p) for name, p in params.items()}
    along = jvp(lambda p: functional_call(model, p, ()), (params,), (tangents,))[1]
    torch.testing.assert_close(along, torch.stack([g.sum() for g in gradients.values()]).sum(), rtol=1e-7, atol=1e-7)


def test_functions_may_write_on_their_argument() -> None:
    c = torch.linspace(1, 2, N, dtype=torch.float64).requires_grad_()
    gradients = [
        torch.autograd.grad(few(LinearOperator(f, N, c), False), c)[0]
        for f in (lambda x, c: c * x, lambda x, c: x.mul_(c))
    ]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_parameters_changed_before_the_backward_are_noticed() -> None:
    module = Diffusion()
    value = few(LinearOperator(module, N), True)
    with torch.no_grad():
        module.c.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.backward()


def test_a_second_derivative_is_refused() -> None:
    module = Diffusion()
    (g,) = torch.autograd.grad(few(LinearOperator(module, N), True), module.c, create_graph=True)
    with pytest.raises(arreig.ArreigError, match="this would be a second one"):
        g.sum().backward()


def test_without_parameters() -> None:
    own = Diffusion().requires_grad_(False)
    w, V = arreig_torch.eigsh(LinearOperator(lambda x: own(x), N), k=2)
    assert w.dtype == V.dtype == torch.get_default_dtype()
    assert not w.requires_grad
    w, V = arreig_torch.eigsh(LinearOperator(lambda x: own(x), N, dtype=torch.float64), k=2)
    torch.testing.assert_close(columns(own) @ V, V * w)


def test_no_adjoint() -> None:
    """What torch cannot differentiate in x: eigenvalues have no gradient with eigs; with eigsh they have."""
    c = torch.linspace(1, 2, N, dtype=torch.float64).requires_grad_()
    operator = LinearOperator(lambda x, c: torch.as_tensor(x.detach().numpy()) * c, N, c)
    w, _ = arreig_torch.eigs(operator, k=2)
    with pytest.raises(arreig.InputError, match=r"products with the adjoint.*use torch's operations on x"):
        w.real.sum().backward()
    w, _ = arreig_torch.eigsh(operator, k=2)
    (g,) = torch.autograd.grad(w.sum(), c)
    torch.testing.assert_close(g, torch.cat([torch.zeros(N - 2), torch.ones(2)]).double())


def test_errors() -> None:
    c = torch.ones(N, dtype=torch.float64, requires_grad=True)

    def refused(function: Any, match: str, error: type[Exception] = arreig.InputError, *params: Any) -> None:
        with pytest.raises(error, match=match):
            arreig_torch.eigs(LinearOperator(function, N, *params), k=2)

    refused(lambda x: c * x, r"function of A contains a tensor that is tracked.*one of the LinearOperator's params")
    refused(lambda x, c: (c * x)[1:], r"must have the vector's shape, \(20,\); got \(19,\)", arreig.InputError, c)
    refused(lambda x, c: (c * x).float(), "must come in double precision.*got torch.float32", arreig.InputError, c)
    refused(lambda x, c: None, "must come in double precision.*got NoneType", arreig.InputTypeError, c)
    refused(lambda x, c: c * x / 0, "products of A with a vector must be finite", arreig.NonFiniteError, c)
    refused(torch.nn.Linear(N, N), "A must be linear.*a bias")
    refused(torch.nn.Sequential(torch.nn.Linear(N, N, bias=False), torch.nn.ReLU()), "A must be linear")
    refused(torch.nn.Dropout(), "A must be linear.*random")
    refused(3, "function must be a torch.nn.Module or a function", arreig.InputTypeError)
    refused(torch.mul, "params must be tensors, got float", arreig.InputTypeError, 2.0)
    with pytest.raises(arreig.InputError, match=r"must be a positive integer; got 2\.5"):
        LinearOperator(torch.mul, 2.5)
    with pytest.raises(arreig.InputTypeError, match="dtype of a LinearOperator must be"):
        arreig_torch.eigs(LinearOperator(torch.mul, N, c, dtype=torch.int64))
    with pytest.raises(arreig.InputError, match="must be Hermitian"):
        arreig_torch.eigsh(LinearOperator(Diffusion(0.4), N))
    with pytest.raises(arreig.InputTypeError, match="must come from A's library"):
        arreig_torch.eigs(LinearOperator(torch.mul, N, c), v0=np.ones(N))
    with pytest.raises(arreig.InputError, match=r"B must have the shape of A, \(20, 20\)"):
        arreig_torch.eigs(LinearOperator(torch.mul, N, c), B=LinearOperator(torch.mul, N - 1, c[1:]))
    with pytest.raises(arreig.ArreigError, match="cannot be mapped by vmap"):
        vmap(lambda c: few(LinearOperator(torch.mul, N, c), False))(torch.ones(2, N, dtype=torch.float64))
    with pytest.raises(arreig.ArreigError, match="cannot be mapped by vmap"):
        vmap(lambda c: few(LinearOperator(lambda x: c * x, N), False))(torch.ones(2, N, dtype=torch.float64))
