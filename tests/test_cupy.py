"""The CuPy backend where there is CuPy but no GPU: signatures, and its logic on NumPy arrays that pass for CuPy's."""

import ast
import importlib
import inspect
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg

import arreig
from arreig._backends.schur import schur
from arreig._backends.standard import warn_of_host
from arreig._errors import HostTransferWarning, InputError

MAJOR = int(pytest.importorskip("cupy").__version__.split(".")[0])
ROOT = Path(arreig.__file__).parent
xp = importlib.import_module("array_api_compat.cupy")
backend = importlib.import_module("arreig._backends.cupy")


def calls() -> set[tuple[str, int, tuple[str, ...]]]:
    """(function, number of positional arguments, keywords) of every call on a namespace in the core."""
    found = set()
    for path in ROOT.rglob("*.py"):
        if path.name == "testing.py" or path.stem in ("torch", "jax", "cupy", "lapack"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                name, owner = node.func.attr, node.func.value
                if isinstance(owner, ast.Attribute) and owner.attr == "linalg":
                    name, owner = f"linalg.{name}", owner.value
                if ast.unparse(owner) == "xp" or ast.unparse(owner).startswith("namespace("):
                    found.add((name, len(node.args), tuple(k.arg for k in node.keywords if k.arg)))
    return found


@pytest.mark.parametrize("call", sorted(calls()), ids=str)
def test_the_core_calls_what_cupy_has(call: tuple[str, int, tuple[str, ...]]) -> None:
    name, positional, keywords = call
    if name == "linalg.eig" and MAJOR < 14:
        pytest.skip("what the backend is for")
    function: Any = xp
    for part in name.split("."):
        function = getattr(function, part)
    if type(function).__name__ == "ufunc":  # has no signature
        assert (function.nin, keywords) == (positional, ())
    else:
        inspect.signature(function).bind(*[None] * positional, **dict.fromkeys(keywords))


def test_the_core_names_only_constants_that_cupy_has() -> None:
    for name in ("nan", "inf", "bool", "int8", "int64", "float32", "float64", "complex64", "complex128"):
        assert hasattr(xp, name)
    assert xp.finfo(xp.complex64).bits == 32
    assert xp.isdtype(np.dtype("complex64"), "complex floating")
    assert not xp.isdtype(np.dtype("float32"), "complex floating")


def test_what_the_backend_asks_of_cupy() -> None:
    import cupy
    import cupyx

    assert not cupy.cuda.runtime.is_hip
    assert callable(cupy.cuda.runtime.getDevice)
    assert callable(cupy.ndarray.get)
    assert list(Path(cupyx.__file__).parent.glob("cusolver.*"))  # cannot be imported without cuSOLVER
    assert hasattr(cupy.linalg, "eig") == (MAJOR >= 14)


class Device:
    """A CUDA device; which one is current is kept in `Device.current`."""

    current = 0

    def __init__(self, number: int) -> None:
        self.id = number
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._before.append(Device.current)
        Device.current = self.id

    def __exit__(self, *_: object) -> None:
        Device.current = self._before.pop()


class Fake(np.ndarray[Any, Any]):
    """An array that passes for CuPy's; counts how often it was copied to the host."""

    device = Device(0)
    gets = 0

    def get(self) -> np.ndarray[Any, Any]:
        Fake.gets += 1
        return self.view(np.ndarray)


def fake(x: Any) -> Fake:
    return np.array(x).view(Fake)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """CuPy 14 with cuSOLVER 11.7, to be changed by a test."""

    def getDevice() -> int:
        return Device.current

    def asarray(x: Any) -> Fake:
        out = fake(x)
        out.device = Device(Device.current)
        return out

    module = SimpleNamespace(
        __version__="14.2.0",
        asarray=asarray,
        linalg=SimpleNamespace(eig=np.linalg.eig),
        cuda=SimpleNamespace(
            runtime=SimpleNamespace(is_hip=False, getDevice=getDevice),
            cusolver=SimpleNamespace(_getVersion=lambda: (11, 7, 1)),
        ),
    )
    cusolver = ModuleType("cupyx.cusolver")
    cusolver.check_availability = lambda name: name == "geev" and module.cuda.cusolver._getVersion() >= (11, 7, 0)  # type: ignore[attr-defined]
    monkeypatch.setattr(backend, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupyx.cusolver", cusolver)
    monkeypatch.setattr(Fake, "gets", 0)
    monkeypatch.setattr(Device, "current", 0)
    for function in (backend.lacking, backend._warn_once, backend.warn_of_transfer):
        function.cache_clear()
    yield module
    for function in (backend.lacking, backend._warn_once, backend.warn_of_transfer):
        function.cache_clear()


def old_cupy(cupy: SimpleNamespace) -> None:
    cupy.__version__ = "13.6.0"
    del cupy.linalg.eig


def old_cusolver(cupy: SimpleNamespace) -> None:
    cupy.cuda.cusolver._getVersion = lambda: (11, 6, 4)


def rocm(cupy: SimpleNamespace) -> None:
    cupy.cuda.runtime.is_hip = True


LACKING = {
    old_cupy: "needs CuPy 14, found 13.6.0",
    old_cusolver: "needs cuSOLVER 11.7 .* found 11.6.4",
    rocm: "needs CUDA, found ROCm",
}
ROTATION = [[0.0, -1.0], [1.0, 0.0]]


@pytest.mark.parametrize("name", ["float32", "float64", "complex64", "complex128"])
def test_native(cupy: SimpleNamespace, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        w, V = backend.BACKEND.eig(fake(np.diag([1.0, 2.0]).astype(name)))
    assert Fake.gets == 0
    assert w.dtype == V.dtype == np.result_type(name, np.complex64)


@pytest.mark.parametrize("shape", [(0, 3, 3), (2, 0, 0), (0, 0)], ids=str)
@pytest.mark.parametrize("lack", [None, *LACKING])
@pytest.mark.parametrize("name", ["float32", "complex128"])
def test_empty(cupy: SimpleNamespace, shape: tuple[int, ...], lack: Any, name: str) -> None:
    """Nothing to decompose: complex whatever CuPy gives (real for real), and no warning, for nothing is copied."""
    if lack:
        lack(cupy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        w, V = backend.BACKEND.eig(fake(np.empty(shape, name)))
    assert (w.shape, V.shape) == (shape[:-1], shape)
    assert w.dtype == V.dtype == np.result_type(name, np.complex64)


@pytest.mark.parametrize("lack", LACKING)
@pytest.mark.parametrize("name", ["float32", "float64", "complex64", "complex128"])
def test_host(cupy: SimpleNamespace, lack: Any, name: str) -> None:
    lack(cupy)
    A = fake(np.stack([ROTATION, np.diag([1.0, 2.0])]).astype(name))
    with pytest.warns(HostTransferWarning, match=LACKING[lack]) as caught:
        w, V = backend.BACKEND.eig(A)
    assert len(caught) == 1
    assert caught[0].filename == __file__  # the caller's line, not the library's
    assert Fake.gets == 1
    assert w.dtype == V.dtype == np.result_type(name, np.complex64)
    np.testing.assert_allclose(A @ V, V * w[..., None, :], atol=1e-6)
    if not name.startswith("complex"):
        assert w[0, 0].imag > 0


def test_real_eigenvalues_come_back_complex(cupy: SimpleNamespace) -> None:
    old_cupy(cupy)
    with pytest.warns(HostTransferWarning):
        w, V = backend.BACKEND.eig(fake(np.diag([1.0, 2.0])))
    assert w.dtype == V.dtype == np.complex128


def test_warns_once(cupy: SimpleNamespace) -> None:
    old_cupy(cupy)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            backend.BACKEND.eig(fake(ROTATION))
    assert [c.category for c in caught] == [HostTransferWarning]
    assert Fake.gets == 3


def test_what_no_gpu_has_is_done_on_the_host(cupy: SimpleNamespace) -> None:
    A = fake(np.arange(9.0).reshape(3, 3))
    A.device = Device(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            w, T, U = backend.BACKEND.on_host(schur, [], A)
    assert [str(c.message).partition(":")[0] for c in caught] == ["CuPy has no ordered Schur form on a GPU"]
    assert Fake.gets == 2
    assert w.device.id == T.device.id == U.device.id == 1
    np.testing.assert_allclose(U @ T @ U.T, A, atol=1e-14)


def test_result_is_on_the_device_of_A(cupy: SimpleNamespace) -> None:
    old_cupy(cupy)
    A = fake(ROTATION)
    A.device = Device(1)
    seen = []
    original = cupy.asarray
    cupy.asarray = lambda x: seen.append(Device.current) or original(x)
    with pytest.warns(HostTransferWarning):
        backend.BACKEND.eig(A)
    assert seen == [1, 1]
    assert Device.current == 0


def test_another_device_than_the_current_one_is_refused(cupy: SimpleNamespace) -> None:
    A = fake(ROTATION)
    assert backend.BACKEND.admit("A", A) is A
    Device.current = 1
    with pytest.raises(InputError, match=r"A is on CUDA device 0, .* which is 1; .*with A\.device:"):
        backend.BACKEND.admit("A", A)


def test_a_missing_library_is_cupys_to_report(cupy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a reason to work on the host: eigh and solve would fail as well."""
    monkeypatch.setitem(sys.modules, "cupyx.cusolver", None)
    with pytest.raises(ImportError):
        backend.BACKEND.eig(fake(ROTATION))
    assert Fake.gets == 0


def test_eigh_stays_where_it_is(cupy: SimpleNamespace) -> None:
    old_cupy(cupy)
    for shape in ((2, 2), (0, 2, 2), (3, 0, 0)):
        w, V = backend.BACKEND.eigh(fake(np.zeros(shape)))
        assert w.shape == backend.BACKEND.eigvalsh(fake(np.zeros(shape))).shape == shape[:-1]
    assert Fake.gets == 0


class FakeSparse:
    """A sparse matrix that passes for CuPy's."""

    __module__ = "cupyx.scipy.sparse"

    def __init__(self, A: Any) -> None:
        self.host = A
        self.data = fake(A.data)

    def get(self) -> Any:
        return self.host.copy()

    def tocsr(self) -> Any:
        return FakeSparse(self.host.tocsr())


@pytest.fixture
def cupyx_sparse(cupy: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Modules that pass for cupyx.scipy.sparse and its linalg; the calls of eigsh."""
    calls: list[dict[str, Any]] = []

    def eigsh(A: Any, k: int, **options: Any) -> Any:
        calls.append(options)
        options["v0"] = options["v0"].view(np.ndarray)
        return tuple(map(fake, scipy.sparse.linalg.eigsh(A.host, k, **options)))

    sparse, linalg = ModuleType("cupyx.scipy.sparse"), ModuleType("cupyx.scipy.sparse.linalg")
    sparse.csr_matrix = sparse.coo_matrix = FakeSparse  # type: ignore[attr-defined]
    linalg.eigsh = eigsh  # type: ignore[attr-defined]
    sparse.linalg = linalg  # type: ignore[attr-defined]
    scipy_ = ModuleType("cupyx.scipy")
    scipy_.sparse = sparse  # type: ignore[attr-defined]
    cupyx = ModuleType("cupyx")
    cupyx.scipy = scipy_  # type: ignore[attr-defined]
    names = {"cupyx": cupyx, "cupyx.scipy": scipy_, "cupyx.scipy.sparse": sparse, "cupyx.scipy.sparse.linalg": linalg}
    for name, module in names.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "arreig._backends.cupy_sparse", raising=False)
    warn_of_host.cache_clear()
    yield calls
    warn_of_host.cache_clear()


def test_sparse_matrices(cupyx_sparse: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy's eigsh where it can, with a fixed start; else, and for derivatives, the host, said once; results where A is."""
    cupy_sparse = importlib.import_module("arreig._backends.cupy_sparse")
    monkeypatch.setattr(cupy_sparse, "in_library", lambda name, x, like: np.asarray(x))
    S = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(50, 50), format="csr")
    S = S + scipy.sparse.diags_array(np.linspace(0, 1, 50))
    A = FakeSparse(scipy.sparse.csr_matrix(S))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        res = arreig.eigsh(A, 3, which="LA")
    with pytest.warns(HostTransferWarning, match="as do their derivatives"):
        g = res.vjp(np.ones((50, 3)), np.ones(3))
    warn_of_host.cache_clear()
    (options,) = cupyx_sparse
    assert options["which"] == "LA"
    assert options["v0"].any()
    assert isinstance(res.eigenvectors, Fake)
    assert isinstance(g, FakeSparse)
    expected = arreig.eigsh(S, 3, which="LA")
    np.testing.assert_allclose(res.eigenvalues, expected.eigenvalues, atol=1e-12)
    np.testing.assert_allclose(g.host.toarray(), expected.vjp(np.ones((50, 3)), np.ones(3)).toarray(), atol=1e-9)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for function, kind in (
            (arreig.eigsh, {"sigma": -0.1}),
            (arreig.eigs, {"sigma": -0.1}),
            (arreig.eigsh, {"B": A}),
        ):
            there = function(A, 2, **kind)
            here = function(S, 2, **{key: S if value is A else value for key, value in kind.items()}, check=False)
            np.testing.assert_allclose(there.eigenvalues, here.eigenvalues, atol=1e-12)
    assert [str(c.message).partition(" to the host")[0] for c in caught if c.category is HostTransferWarning] == [
        "eigs and eigsh copy CuPy's matrices"
    ]
    assert len(cupyx_sparse) == 1


def test_what_the_sparse_backend_asks_of_cupy() -> None:
    """Read, not imported: cupyx.scipy.sparse loads cuBLAS."""
    import cupyx

    source = (Path(cupyx.__file__).parent / "scipy" / "sparse" / "linalg" / "_eigen.py").read_text()
    (eigsh,) = (f for f in ast.parse(source).body if isinstance(f, ast.FunctionDef) and f.name == "eigsh")
    assert [a.arg for a in eigsh.args.args] == ["a", "k"]
    assert {"which", "v0", "ncv", "maxiter", "tol"} <= {a.arg for a in eigsh.args.kwonlyargs}
