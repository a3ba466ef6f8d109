"""arreig_torch.eigs and eigsh of tensors: gradients against the dense functions, torch's modes, and what is refused."""

from typing import Any

import pytest
import torch
from torch.autograd import forward_ad, gradcheck
from torch.func import grad, hessian, jacrev, jvp, vmap
from torch.utils.checkpoint import checkpoint

import arreig
import arreig_torch
from arreig._backends.deflated import Deflated

FUNCTIONS = ("eigs", "eigsh")
LAYOUTS = ("dense", "COO", "uncoalesced", "CSR", "CSC")
SIGMA, K, N = 3.3, 4, 16
Pair = tuple[torch.Tensor, torch.Tensor]
pytestmark = pytest.mark.filterwarnings("ignore:Sparse .* tensor support is in beta state")


def matrix(function: str = "eigs", dtype: torch.dtype = torch.float64, seed: int = 0, n: int = N) -> torch.Tensor:
    """A few entries in a row, a diagonal that separates eigenvalues; for eigs a block with complex ones, about 3.5 + 2i."""
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(n, n, dtype=dtype, generator=generator) * (torch.rand(n, n, generator=generator) < 0.15)
    A = 0.3 * A + torch.diag(torch.arange(1.0, 1 + n)).to(dtype)
    if function == "eigsh":
        return (A + A.mH) / 2
    A[2, 3], A[3, 2] = 2, -2
    return A


def mass(function: str = "eigs", dtype: torch.dtype = torch.float64, n: int = N) -> torch.Tensor:
    return torch.eye(n, dtype=dtype) + 0.1 * matrix(function, dtype, seed=1, n=n) / n


def laid_out(A: torch.Tensor, layout: str) -> torch.Tensor:
    """A leaf."""
    A = A.detach()
    i = A.to_sparse().indices()
    values = A[i[0], i[1]]
    X = {
        "dense": lambda: A.clone(),
        "COO": lambda: torch.sparse_coo_tensor(i, values, A.shape, check_invariants=True).coalesce(),
        "uncoalesced": lambda: torch.sparse_coo_tensor(
            i.repeat(1, 2), torch.cat([0.25 * values, 0.75 * values]), A.shape, check_invariants=True
        ),
        "CSR": lambda: A.to_sparse_csr(),
        "CSC": lambda: A.to_sparse_csc(),
    }[layout]()
    return X.requires_grad_()


def canonical(V: torch.Tensor) -> torch.Tensor:
    V = V / torch.linalg.vector_norm(V, dim=0)
    top = V.gather(0, V.detach().abs().argmax(0, keepdim=True))
    return V * (top.conj() / top.abs())


def dense(function: str, A: torch.Tensor, B: torch.Tensor | None) -> Pair:
    """The same eigenpairs, of all."""
    if function == "eigs":
        w, V = arreig_torch.eig(A if B is None else torch.linalg.solve(B, A))
        kept = ((w.detach() - SIGMA).abs() - 1e-6 * w.imag).argsort()[:K]  # of conjugates +imag first
    else:
        L = None if B is None else torch.linalg.cholesky((B + B.mH) / 2)
        C = A if L is None else torch.linalg.solve(L, torch.linalg.solve(L, A).mH)
        w, V = arreig_torch.eigh((C + C.mH) / 2)
        V = V if L is None else torch.linalg.solve(L.mH, V)
        kept = (w.detach() - SIGMA).abs().argsort()[:K].sort().values
    return w[kept], canonical(V[:, kept])


def few(function: str, A: Any, B: Any = None, **options: Any) -> Pair:
    out = getattr(arreig_torch, function)(A, **({"k": K, "sigma": SIGMA, "B": B, "gauge": "canonical"} | options))
    return out[0], out[1]


def loss(w: torch.Tensor, V: torch.Tensor) -> torch.Tensor:
    """It depends on the phases, and on real and imaginary parts of w."""
    c = torch.arange(1.0, 1 + V.numel(), dtype=torch.float64).reshape(V.shape)
    values = torch.arange(1.0, 1 + len(w)) * w
    return values.real.sum() + (values.imag.sum() if w.is_complex() else 0) + (c.sin() * V + c.cos() * V**2).sum().real


def as_dense(g: torch.Tensor) -> torch.Tensor:
    return g if g.layout == torch.strided else g.to_dense()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("with_B", [False, True], ids=["", "B"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients_against_dense(function: str, dtype: torch.dtype, with_B: bool, layout: str) -> None:
    """Of values and gradients, at the entries that are stored, in the layout and accumulated by a second backward."""
    own = [matrix(function, dtype)] + [mass(function, dtype)] * with_B
    leaves = [laid_out(X, layout) for X in own]
    expected = [X.clone().requires_grad_() for X in own]
    pairs = few(function, *leaves), dense(function, *(*expected, None)[:2])
    for ours, theirs in zip(*pairs, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    loss(*pairs[0]).backward()
    loss(*pairs[1]).backward()
    loss(*few(function, *leaves)).backward()
    for ours, theirs in zip(leaves, expected, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert ours.grad.layout == (torch.sparse_coo if layout == "CSC" else ours.layout)
        stored = torch.ones_like(theirs) if layout == "dense" else theirs.detach() != 0
        if layout != "dense":
            assert ours.grad._nnz() == int(stored.sum())
        torch.testing.assert_close(as_dense(ours.grad), 2 * theirs.grad * stored, rtol=1e-10, atol=1e-10)


def from_values(layout: str, indices: torch.Tensor, values: torch.Tensor, n: int) -> torch.Tensor:
    if layout == "COO":
        return torch.sparse_coo_tensor(indices, values, (n, n), check_invariants=True)
    crow = torch.zeros(n + 1, dtype=torch.int64)
    crow[1:] = torch.bincount(indices[0], minlength=n).cumsum(0)
    return torch.sparse_csr_tensor(crow, indices[1], values, (n, n), check_invariants=True)


@pytest.mark.parametrize(
    ("dtype", "layout"),  # torch differentiates no complex tensor through its compressed layouts
    [(torch.float64, "COO"), (torch.complex128, "COO"), (torch.float64, "CSR")],
)
def test_gradcheck_through_values(dtype: torch.dtype, layout: str) -> None:
    A, B = matrix(dtype=dtype, n=7), mass(dtype=dtype, n=7)
    i, j = (X.to_sparse().indices() for X in (A, B))

    def f(a: torch.Tensor, b: torch.Tensor) -> Pair:
        return few("eigs", from_values(layout, i, a, 7), from_values(layout, j, b, 7), k=2)

    values = tuple(X[ij[0], ij[1]].clone().requires_grad_() for X, ij in ((A, i), (B, j)))
    assert gradcheck(f, values, check_undefined_grad=True)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradcheck_of_a_hermitian_matrix_through_values(dtype: torch.dtype) -> None:
    """Entries of a triangle, each of which is stored twice; those of the diagonal at one place."""
    A = matrix("eigsh", dtype, n=7)
    i = A.tril().to_sparse().indices()

    def f(a: torch.Tensor) -> Pair:
        X = from_values("COO", torch.cat([i, i.flip(0)], 1), torch.cat([a, a.conj()]), 7)
        return few("eigsh", X, k=2)

    assert gradcheck(f, A[i[0], i[1]].clone().requires_grad_(), check_undefined_grad=True)


@pytest.mark.parametrize("with_B", [False, True], ids=["", "B"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_forward_mode(function: str, dtype: torch.dtype, with_B: bool) -> None:
    """Of dense tensors: torch has no tangents of sparse ones. Against the gradient."""
    own = (matrix(function, dtype), mass(function, dtype))[: 1 + with_B]
    tangents = tuple(matrix(function, dtype, seed=2 + i) for i in range(len(own)))

    def f(*matrices: torch.Tensor) -> torch.Tensor:
        return loss(*few(function, *matrices))

    gradients = grad(f, argnums=tuple(range(len(own))))(*own)
    expected = sum((g.conj() * dX).sum().real for g, dX in zip(gradients, tangents, strict=True))
    torch.testing.assert_close(jvp(f, own, tangents)[1], expected, rtol=1e-10, atol=1e-10)
    with forward_ad.dual_level():  # of the last matrix alone, beside a sparse one
        dual = forward_ad.make_dual(own[-1], tangents[-1])
        along = forward_ad.unpack_dual(f(*(X.to_sparse() for X in own[:-1]), dual)).tangent
    torch.testing.assert_close(along, (gradients[-1].conj() * tangents[-1]).sum().real, rtol=1e-10, atol=1e-10)


def test_transforms() -> None:
    A = matrix()
    expected = grad(lambda A: loss(*dense("eigs", A, None)))(A)
    torch.testing.assert_close(grad(lambda A: loss(*few("eigs", A)))(A), expected, rtol=1e-10, atol=1e-10)
    leaf = laid_out(A, "COO").detach().coalesce()
    g = grad(lambda A: loss(*few("eigs", A)))(leaf)
    torch.testing.assert_close(g.to_dense(), expected * (A != 0), rtol=1e-10, atol=1e-10)
    J = jacrev(lambda A: few("eigs", A)[0].real, chunk_size=1)(A)
    J_dense = jacrev(lambda A: dense("eigs", A, None)[0].real)(A)
    torch.testing.assert_close(J, J_dense, rtol=1e-10, atol=1e-10)


def test_only_what_requires_grad() -> None:
    A, B = laid_out(matrix(), "COO"), laid_out(mass(), "CSR")
    expected = torch.autograd.grad(loss(*few("eigs", A, B)), (A, B))
    for X, Y, leaf, g in ((A, B.detach(), A, expected[0]), (A.detach(), B, B, expected[1])):
        w, V = few("eigs", X, Y)
        assert w.requires_grad
        assert V.requires_grad
        torch.testing.assert_close(torch.autograd.grad(loss(w, V), leaf)[0], g)
    w, V = few("eigs", A.detach(), B.detach())
    assert not w.requires_grad


@pytest.mark.parametrize("function", FUNCTIONS)
def test_eigenvalues_alone(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That there is no loss on V arrives as such: of a Hermitian matrix no system is solved then."""
    solved = []
    original = Deflated.solve_adjoint
    monkeypatch.setattr(Deflated, "solve_adjoint", lambda self, j, r: solved.append(r.any()) or original(self, j, r))
    A = laid_out(matrix(function), "CSR")
    w, V = few(function, A)
    (g,) = torch.autograd.grad(w.abs().sum(), A, retain_graph=True)
    assert any(solved) == (function == "eigs")
    D = matrix(function).requires_grad_()
    (expected,) = torch.autograd.grad(dense(function, D, None)[0].abs().sum(), D)
    torch.testing.assert_close(g.to_dense(), expected * (D != 0), rtol=1e-11, atol=1e-11)
    torch.autograd.grad(V.abs().pow(3).sum(), A)
    assert any(solved)


def test_a_solver_of_tensors() -> None:
    """What arreig calls with arrays is here given tensors."""
    A = matrix()
    calls = []

    def solve(shift: complex, x: torch.Tensor, adjoint: bool) -> torch.Tensor:
        calls.append(adjoint)
        assert isinstance(x, torch.Tensor)
        M = (A - shift * torch.eye(N)).to(x.dtype)
        return torch.linalg.solve(M.mH if adjoint else M, x)

    leaf = laid_out(A, "COO")
    w, V = few("eigs", leaf, solve=solve)
    assert calls
    assert not any(calls)
    (g,) = torch.autograd.grad(loss(w, V), leaf)
    assert any(calls)
    torch.testing.assert_close(g.to_dense(), torch.autograd.grad(loss(*few("eigs", leaf)), leaf)[0].to_dense())


@pytest.mark.parametrize("layout", ["dense", "COO", "CSR"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_second_derivative_is_refused(function: str, layout: str) -> None:
    A = laid_out(matrix(function), layout)
    (g,) = torch.autograd.grad(loss(*few(function, A)), A, create_graph=True)
    with pytest.raises(arreig.ArreigError, match="have first derivatives, and this would be a second one"):
        as_dense(g).sum().backward()
    w, V = few(function, A)
    cotangent = torch.ones_like(V).requires_grad_()
    (g,) = torch.autograd.grad(V, A, cotangent, create_graph=True)
    with pytest.raises(arreig.ArreigError, match="this would be a second one"):
        torch.autograd.grad(as_dense(g).sum(), cotangent)


def test_a_second_derivative_by_transforms_is_refused() -> None:
    A, C = matrix(), matrix(seed=5)

    def along(t: torch.Tensor) -> torch.Tensor:
        return loss(*few("eigs", A + t * C))

    forward = lambda f: lambda t: jvp(f, (t,), (torch.ones_like(t),))[1]
    for first in (grad, forward):
        for second in (grad, forward):
            with pytest.raises(arreig.ArreigError, match="this would be a second one"):
                second(first(along))(torch.tensor(0.0, dtype=A.dtype))
    with pytest.raises(arreig.ArreigError, match="cannot be mapped by vmap"):
        hessian(along)(torch.tensor(0.0, dtype=A.dtype))


def test_vmap_is_refused() -> None:
    A = matrix()
    with pytest.raises(arreig.ArreigError, match=r"cannot be mapped by vmap.*use a loop"):
        vmap(lambda A: few("eigs", A)[0])(torch.stack([A, A]))
    with pytest.raises(arreig.ArreigError, match=r"jacrev\(..., chunk_size=1\)"):
        jacrev(lambda A: few("eigs", A)[0].real)(A)
    leaf = A.clone().requires_grad_()
    with pytest.raises(arreig.ArreigError, match="is_grads_batched=True"):
        torch.autograd.grad(few("eigs", leaf)[0].real, leaf, torch.eye(K, dtype=A.dtype), is_grads_batched=True)


def test_errors() -> None:
    A = laid_out(matrix(), "COO")
    for function in (arreig.eigs, arreig.eigsh):
        with pytest.raises(arreig.InputTypeError, match=r"A is tracked.*arreig_torch"):
            function(A)
        with pytest.raises(arreig.InputTypeError, match=r"B is tracked.*arreig_torch"):
            function(A.detach(), B=A)
    with pytest.raises(arreig.InputTypeError, match=r"A must be a torch.Tensor, sparse or dense.*numpy.ndarray"):
        arreig_torch.eigs(matrix().numpy())
    with pytest.raises(arreig.InputTypeError, match=r"B must be .*wrap it: arreig_torch.LinearOperator"):
        arreig_torch.eigs(A, B=torch.nn.Linear(N, N))
    with pytest.raises(arreig.InputTypeError, match="layout COO, CSR or CSC"):
        arreig_torch.eigs(A.detach().to_dense().to_sparse_bsr((2, 2)))
    with pytest.raises(arreig.InputTypeError, match="one sparse matrix, without batch"):
        arreig_torch.eigs(torch.stack([A.detach(), A.detach()]))
    with pytest.raises(arreig.InputError, match="one square matrix"):
        arreig_torch.eigs(torch.ones(2, 3, 3))
    with pytest.raises(arreig.InputError, match="B must have the shape of A"):
        arreig_torch.eigs(A, B=torch.eye(3))
    with pytest.raises(arreig.InputError, match="must be Hermitian"):
        arreig_torch.eigsh(A)
    with pytest.raises(arreig.InputTypeError, match=r"z is tracked for differentiation.*detach"):
        arreig_torch.eigs(A, gauge=arreig.Functional(torch.ones(N, requires_grad=True)))
    with pytest.raises(arreig.InputError, match="degeneracy must be 'raise' or 'mask'"):
        arreig_torch.eigs(A, degeneracy="split")
    leaf = torch.diag(torch.tensor([1.0, 1, 2, 3, 4], dtype=torch.float64)).to_sparse().requires_grad_()
    w, V = arreig_torch.eigsh(leaf, k=1, sigma=0.9, gauge="phase-free")
    with pytest.raises(arreig.SpectrumNotSeparatedError, match="a cluster that the selection cuts"):
        V.pow(3).sum().backward()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_precision(layout: str) -> None:
    A = laid_out(matrix().float(), layout).detach()
    for half in (torch.float16, torch.bfloat16):
        leaf = A.to(half).requires_grad_()
        with pytest.raises(arreig.InputTypeError, match=f"A must be float32.*got {half}"):
            few("eigs", leaf)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            w, V = few("eigs", leaf)
        assert w.dtype == V.dtype == torch.complex64
        (g,) = torch.autograd.grad(loss(w, V), leaf)
        assert g.dtype == half


@pytest.mark.parametrize("layout", LAYOUTS)
def test_single_precision(layout: str) -> None:
    """Computed in double: right to the rounding of a float32 matrix."""
    single = laid_out(matrix().float(), layout)
    double = laid_out(matrix().float().double(), layout)
    (g,) = torch.autograd.grad(loss(*few("eigs", single)), single)
    (expected,) = torch.autograd.grad(loss(*few("eigs", double)), double)
    assert g.dtype == torch.float32
    torch.testing.assert_close(as_dense(g).double(), as_dense(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_modes(layout: str) -> None:
    A = laid_out(matrix(), layout)
    w, V = few("eigs", A)
    (expected,) = torch.autograd.grad(loss(w, V), A, retain_graph=True)
    again = [torch.autograd.grad(loss(w, V), A, retain_graph=keep)[0] for keep in (True, False)]
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(w.abs().sum(), A)
    with torch.autograd.graph.save_on_cpu():
        again.append(torch.autograd.grad(loss(*few("eigs", A)), A)[0])
    again.append(torch.autograd.grad(checkpoint(lambda A: loss(*few("eigs", A)), A, use_reentrant=False), A)[0])
    for g in again:
        torch.testing.assert_close(as_dense(g), as_dense(expected), rtol=0, atol=0)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            assert not few("eigs", A)[1].requires_grad


def test_compile() -> None:
    A = matrix()
    compiled = torch.compile(lambda A: 2 * loss(*few("eigs", A)), backend="eager")
    torch.testing.assert_close(compiled(A), 2 * loss(*few("eigs", A)))


def test_a_gauge_of_tensors() -> None:
    A, z = matrix(), torch.linspace(1, 2, N, dtype=torch.float64)
    leaf = laid_out(A, "CSR")
    w, V = few("eigs", leaf, gauge=arreig.Functional(z))
    torch.testing.assert_close(z.to(V.dtype) @ V, torch.ones_like(w))
    (g,) = torch.autograd.grad(loss(w, V), leaf)
    D = A.clone().requires_grad_()
    w, V = dense("eigs", D, None)
    (expected,) = torch.autograd.grad(loss(w, V / (z.to(V.dtype) @ V)), D)
    torch.testing.assert_close(g.to_dense(), expected * (A != 0), rtol=1e-9, atol=1e-9)
