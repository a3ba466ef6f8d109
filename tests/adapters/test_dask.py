"""Dask: block by block what arreig returns, to the bit, lazily, each block decomposed once, with every scheduler."""

import inspect
import pickle
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
from dask.sizeof import sizeof
from distributed import Client, LocalCluster

import arreig
import arreig_dask
from arreig.testing import adjoint_defect, finite_differences

BATCHES = {  # chunks of the batch
    "one matrix": (),
    "uneven": ((3, 1, 2),),
    "two axes": ((1, 2), (2, 1)),
    "empty block": ((2, 0, 1),),
}


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Two processes, on the loopback interface. Without an address its web server takes port 8787, or warns that it cannot."""
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "scheduler_kwargs": {"dashboard": False}}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "30s"}),
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


SCHEDULERS = ["synchronous", "threads", "processes", "distributed"]


@pytest.fixture(params=SCHEDULERS)
def compute(request: pytest.FixtureRequest) -> Any:
    """dask.compute with a scheduler."""
    if request.param == "distributed":
        client = request.getfixturevalue("client")
        return lambda *x: client.gather(client.compute(list(x)))
    return lambda *x: dask.compute(*x, scheduler=request.param)


def synchronous(*x: Any) -> Any:
    return dask.compute(*x, scheduler="synchronous")


@dataclass
class Arrays:
    """Matrices and cotangents, whole or one block of them, in memory or dask arrays."""

    A: Any  # general, real
    Z: Any  # general, complex
    S: Any  # Hermitian
    M: Any  # Hermitian, positive definite
    D: Any  # real
    G: Any  # complex
    w: Any  # complex vectors
    r: Any  # real vectors
    Q: Any  # (n, 2)

    @classmethod
    def random(cls, batch: tuple[int, ...], n: int = 4) -> "Arrays":
        rng = np.random.default_rng(len(batch))

        def X(*core: int) -> Any:
            return rng.standard_normal((*batch, *core))

        A, D, Z, G = X(n, n), X(n, n), X(n, n) + 1j * X(n, n), X(n, n) + 1j * X(n, n)
        return cls(A, Z, A + A.mT, A @ A.mT + np.eye(n), D, G, X(n) + 1j * X(n), X(n), X(n, 2) + 1j * X(n, 2))

    def each(self, function: Callable[[Any], Any]) -> "Arrays":
        return Arrays(**{name: function(X) for name, X in vars(self).items()})


def first_half(w: Any) -> Any:
    return w.real < 0.0


def upper(w: Any) -> Any:
    return w.imag > 0


def stretched(z: Any) -> Any:
    return np.exp(z)


def turned(z: Any) -> Any:
    return np.exp(1j * z)


def turned_derivative(z: Any) -> Any:
    return 1j * np.exp(1j * z)


SPLIT = arreig.Split(separation=2.0)
# module: arreig or arreig_dask; the arrays are blocks or dask arrays
CALLS: dict[str, Callable[[Any, Arrays], Any]] = {
    "eig": lambda m, x: m.eig(x.A),
    "eig, left": lambda m, x: m.eig(x.Z, left=True, sort="abs", gauge=arreig.Component(-1)),
    "eig, B": lambda m, x: m.eig(x.A, x.M, gauge="phase-free", degeneracy="mask", refine=2),
    "eig, functional": lambda m, x: m.eig(x.A, gauge=arreig.Functional(np.arange(1.0, 5.0))),
    "eig, functionals": lambda m, x: m.eig(x.A, gauge=arreig.Functional(x.w)),
    "eig.vjp": lambda m, x: m.eig(x.A, degeneracy=SPLIT, sort="real").vjp(x.G, x.w),
    "eig.vjp, gw": lambda m, x: m.eig(x.A, check=False).vjp(gw=x.w),
    "eig.vjp, left": lambda m, x: m.eig(x.A, left=True).vjp(gW=x.G),
    "eig.vjp, B": lambda m, x: m.eig(x.A, x.M).vjp(x.D, x.r),
    "eig.vjp, functionals": lambda m, x: m.eig(x.A, gauge=arreig.Functional(x.w)).vjp(x.G),
    "eig.jvp": lambda m, x: m.eig(x.A).jvp(x.D),
    "eig.jvp, left, B": lambda m, x: m.eig(x.A, x.M, left=True).jvp(x.D, x.S),
    "eig_vjp": lambda m, x: m.eig_vjp(x.A, x.G, x.w, gW=x.D, degeneracy=arreig.Broaden(1e-9), sort="abs"),
    "eig_vjp, B": lambda m, x: m.eig_vjp(x.Z, gw=x.w, B=x.M, refine=False, check=False),
    "eig_vjp, result": lambda m, x: m.eig_vjp(x.A, x.G, eigensystem=m.eig(x.A, gauge=arreig.Component(1))),
    "eig_vjp, pair": lambda m, x: m.eig_vjp(x.A, x.G, eigensystem=tuple(m.eig(x.A)), degeneracy="mask"),
    "eig_vjp, functionals": lambda m, x: m.eig_vjp(x.A, x.G, gauge=arreig.Functional(x.w), degeneracy="perturb"),
    "eig_jvp": lambda m, x: m.eig_jvp(x.A, x.D, left=True, B=x.M, dB=x.S, gauge="phase-free"),
    "eigh": lambda m, x: m.eigh(x.S),
    "eigh, B": lambda m, x: m.eigh(x.S, x.M, degeneracy="split"),
    "eigh.vjp": lambda m, x: m.eigh(x.S, x.M, gauge="canonical").vjp(x.D, x.r),
    "eigh.jvp": lambda m, x: m.eigh(x.S).jvp(x.D),
    "eigh_vjp": lambda m, x: m.eigh_vjp(x.S, x.D, x.r, B=x.M, eigensystem=m.eigh(x.S, x.M)),
    "eigh_jvp": lambda m, x: m.eigh_jvp(x.S, x.D, B=x.M, dB=x.M, gauge="B-norm", degeneracy="mask"),
    "eigvals": lambda m, x: m.eigvals(x.A, x.M, sort="real"),
    "eigvals_vjp": lambda m, x: m.eigvals_vjp(x.A, x.w, sort="abs"),
    "eigvals_vjp, B": lambda m, x: m.eigvals_vjp(x.A, x.w, B=x.M, eigensystem=m.eig(x.A, x.M)),
    "eigvals_jvp": lambda m, x: m.eigvals_jvp(x.A, x.D, B=x.M, dB=x.S, check=False),
    "eigvalsh": lambda m, x: m.eigvalsh(x.S, x.M),
    "eigvalsh_vjp": lambda m, x: m.eigvalsh_vjp(x.S, x.r, B=x.M),
    "eigvalsh_jvp": lambda m, x: m.eigvalsh_jvp(x.S, x.D, eigensystem=tuple(m.eigh(x.S))),
    "spectral_projector": lambda m, x: m.spectral_projector(x.S, first_half),
    "spectral_projector_vjp": lambda m, x: m.spectral_projector_vjp(x.Z, 2, x.G, sort="real"),
    "spectral_projector_jvp": lambda m, x: m.spectral_projector_jvp(x.Z, first_half, x.G, check=False),
    "invariant_subspace": lambda m, x: m.invariant_subspace(x.Z, 2, sort="real"),
    "invariant_subspace_vjp": lambda m, x: m.invariant_subspace_vjp(x.Z, 2, x.Q, check=False),
    "invariant_subspace_jvp": lambda m, x: m.invariant_subspace_jvp(x.Z, 2, x.G, basis=m.invariant_subspace(x.Z, 2)),
    "matrix_function": lambda m, x: m.matrix_function(x.A, stretched, stretched),
    "matrix_function_vjp": lambda m, x: m.matrix_function_vjp(x.S, np.cos, lambda z: -np.sin(z), x.D, hermitian=True),
    "matrix_function_jvp": lambda m, x: m.matrix_function_jvp(x.S, turned, turned_derivative, x.D, hermitian=True),
    "sqrtm": lambda m, x: m.sqrtm(x.M, hermitian=True),
    "sqrtm_vjp": lambda m, x: m.sqrtm_vjp(x.M, x.G),
    "sqrtm_jvp": lambda m, x: m.sqrtm_jvp(x.M, x.D, check=False),
    "logm": lambda m, x: m.logm(x.M),
    "logm_vjp": lambda m, x: m.logm_vjp(x.M, x.D, hermitian=True),
    "logm_jvp": lambda m, x: m.logm_jvp(x.M, x.D),
}


def flat(results: Any) -> tuple[Any, ...]:
    return results if isinstance(results, tuple) else (results,)


def chunked(X: Any, batch: Any) -> Any:
    core = X.shape[len(batch) :]
    return da.from_array(X, chunks=(*batch, *core))


def blocks(batch: Any) -> Iterator[tuple[slice, ...]]:
    """Slices of the whole array."""
    starts = [np.concatenate([[0], np.cumsum(sizes)]) for sizes in batch]
    for index in np.ndindex(tuple(map(len, batch))):
        yield tuple(slice(int(start[i]), int(start[i + 1])) for i, start in zip(index, starts, strict=True))


def shape(batch: Any) -> tuple[int, ...]:
    return tuple(map(sum, batch))


def test_every_function_is_called() -> None:
    names = {name.partition(".")[0].partition(",")[0] for name in CALLS}
    functions = {name for name in arreig_dask.__all__ if inspect.isfunction(getattr(arreig_dask, name))}
    assert names == functions
    assert sorted(arreig_dask.__all__) == arreig_dask.__all__


@pytest.mark.parametrize("name", [name for name in arreig_dask.__all__ if not name.endswith("Result")])
def test_signatures_are_those_of_arreig(name: str) -> None:
    function = getattr(arreig_dask, name)
    own, core = (
        [(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]
        for f in (function, getattr(arreig, name))
    )
    assert own == core
    doc = inspect.getdoc(function)
    assert doc
    for text in ("Parameters\n-----", "Returns\n-----", "Raises\n-----", *(parameter for parameter, *_ in own)):
        assert text in doc


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_equals_arreig_on_each_block(call: Callable[[Any, Arrays], Any], batch: Any) -> None:
    """To the bit, with the shapes and dtypes that were announced."""
    whole = Arrays.random(shape(batch))
    lazy = flat(call(arreig_dask, whole.each(lambda X: chunked(X, batch))))
    computed = synchronous(*lazy)
    for part in blocks(batch):
        expected = flat(call(arreig, whole.each(lambda X, part=part: X[part])))
        for x, y, announced in zip(computed, expected, lazy, strict=True):
            np.testing.assert_array_equal(x[part], y, strict=True)
            assert announced.shape == x.shape
            assert announced.dtype == announced._meta.dtype == y.dtype
            assert announced.chunks[: len(batch)] == batch


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_nothing_is_computed_when_called(call: Callable[[Any, Arrays], Any]) -> None:
    def read(block: Any) -> Any:
        raise AssertionError("read")

    def unread(X: Any) -> Any:
        return chunked(X, BATCHES["uneven"]).map_blocks(read, meta=X[:0])

    whole = Arrays.random((6,))
    lazy = flat(call(arreig_dask, whole.each(unread)))
    with pytest.raises(AssertionError, match="read"):
        synchronous(*lazy)


# --- once ----------------------------------------------------------------------------------------------------------------


def losses(res: Any, weights: Any) -> tuple[Any, Any]:
    """One that needs the whole batch before any cotangent is known, and its gradient."""
    w, V = res
    mean = w.real.mean()
    loss = (weights * abs(V) ** 2).sum() + mean**2
    return loss, res.vjp(2 * weights * V, da.broadcast_to(2 * mean / w.size, w.shape))


def count_decompositions() -> None:
    """In this process, from now on."""
    from arreig._backends import lapack

    solver = lapack.LapackBackend.eig

    def counted(self: Any, A: Any) -> Any:
        lapack.counted[1].append(len(A))  # type: ignore[attr-defined]
        return solver(self, A)

    lapack.counted = solver, []  # type: ignore[attr-defined]
    lapack.LapackBackend.eig = counted  # type: ignore[method-assign]


def stop_counting() -> list[int]:
    """Sizes of the blocks; calls put an empty batch through it as well, which does not count."""
    from arreig._backends import lapack

    lapack.LapackBackend.eig, sizes = lapack.__dict__.pop("counted")  # type: ignore[method-assign]
    return [size for size in sizes if size]


@pytest.mark.parametrize("fuse", [True, False])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
@pytest.mark.parametrize("wanted", ["both", "gradient", "all"])
def test_each_block_is_decomposed_once(wanted: str, scheduler: str, fuse: bool) -> None:
    whole = Arrays.random((6,))
    res = arreig_dask.eig(chunked(whole.A, ((3, 1, 2),)), sort="abs")
    loss, gA = losses(res, whole.D[0])
    tangents = res.jvp(chunked(whole.D, ((6,),)))
    collections = {"both": (loss, gA), "gradient": (gA,), "all": (*res, loss, gA, *tangents)}[wanted]
    count_decompositions()
    try:
        with dask.config.set({"optimization.fuse.active": fuse}):
            dask.compute(*collections, scheduler=scheduler)
    finally:
        sizes = stop_counting()
    assert sorted(sizes) == [1, 2, 3]


def test_each_block_is_decomposed_once_by_distributed(client: Client) -> None:
    whole = Arrays.random((6,))
    res = arreig_dask.eig(chunked(whole.A, ((3, 1, 2),)), sort="abs")
    client.run(by_value(count_decompositions))
    try:
        loss, gA = client.gather(client.compute(list(losses(res, whole.D[0]))))
    finally:
        sizes = client.run(by_value(stop_counting))
    assert sorted(size for worker in sizes.values() for size in worker) == [1, 2, 3]
    expected = synchronous(*losses(res, whole.D[0]))
    np.testing.assert_allclose(loss, expected[0], rtol=1e-14)
    np.testing.assert_allclose(gA, expected[1], rtol=1e-12, atol=1e-13)


def by_value(function: Callable[[], Any]) -> Callable[[], Any]:
    """A function that the workers need not import the tests for."""
    return types.FunctionType(function.__code__, {"__builtins__": __builtins__, "Any": Any, "__name__": "__main__"})


@pytest.mark.parametrize("way", ["store", "delayed"])
def test_each_block_is_decomposed_once_on_its_way_to_disk(way: str) -> None:
    whole = Arrays.random((6,))
    loss, gA = losses(arreig_dask.eig(chunked(whole.A, ((3, 1, 2),))), whole.D[0])
    stored = np.empty((6, 4, 4))
    if way == "store":
        other = [da.store([gA], [stored], lock=False, compute=False)]
    else:
        loss, *other = (x for y in (loss, gA) for x in y.to_delayed(optimize_graph=False).ravel())
    count_decompositions()
    try:
        synchronous(loss, *other)
    finally:
        sizes = stop_counting()
    assert sorted(sizes) == [1, 2, 3]


def test_persisted_pair_saves_later_decompositions() -> None:
    whole = Arrays.random((6,))
    A, gV = (chunked(X, ((3, 1, 2),)) for X in (whole.A, whole.G))
    w, V = dask.persist(*arreig_dask.eig(A), scheduler="synchronous")
    count_decompositions()
    try:
        (gA,) = synchronous(arreig_dask.eig_vjp(A, gV, eigensystem=(w, V)))
    finally:
        assert stop_counting() == []
    np.testing.assert_allclose(gA, arreig.eig_vjp(whole.A, whole.G), rtol=1e-10)


# --- schedulers ----------------------------------------------------------------------------------------------------------


def test_schedulers(compute: Any) -> None:
    """Results, and functions that are sent to the workers."""
    batch = BATCHES["uneven"]
    whole = Arrays.random(shape(batch))
    x = whole.each(lambda X: chunked(X, batch))
    res = arreig_dask.eig(x.A, x.M, gauge=arreig.Functional(x.w), left=True)
    root = arreig_dask.matrix_function(x.M, lambda z: np.sqrt(z), lambda z: 0.5 / np.sqrt(z), hermitian=True)
    lazy = *res, *res.vjp(x.G, x.w), *res.jvp(x.D), root
    for found, expected in zip(compute(*lazy), synchronous(*lazy), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_errors_say_where(compute: Any) -> None:
    """Which block, and of which matrices, when it is in another process as well."""
    A = Arrays.random((6, 2)).A
    A[4, 1, 2, 3] = np.nan
    lazy = arreig_dask.eig(chunked(A, ((3, 1, 2), (1, 1)))).vjp(chunked(A, ((6,), (2,))))
    with pytest.raises(arreig.NonFiniteError, match=r"entry \(2, 3\) of batch member \(0, 0\) is nan") as raised:
        compute(lazy)
    note = "In block (2, 1) of the batch, whose first matrix is member (4, 1) of the whole batch."
    assert raised.value.__notes__ == [note]


def test_errors_of_derivatives_say_where() -> None:
    A = np.stack([np.diag([1.0, 2, 3]), np.diag([1.0, 1, 3]), np.diag([1.0, 4, 3])])
    res = arreig_dask.eig(da.from_array(A, chunks=(1, 3, 3)))
    with pytest.raises(arreig.DegenerateEigenvaluesError, match="eigenvalues 1 and 2") as raised:
        synchronous(res.vjp(da.ones((3, 3, 3))))
    assert raised.value.__notes__ == [
        "In block (1,) of the batch, whose first matrix is member (1,) of the whole batch."
    ]
    one = arreig_dask.eig(da.from_array(A[1]))
    with pytest.raises(arreig.DegenerateEigenvaluesError) as raised:
        synchronous(one.vjp(da.ones((3, 3))))
    assert not hasattr(raised.value, "__notes__")


def test_warnings_are_at_the_callers_line() -> None:
    A = da.from_array(np.stack([np.array([[0.0, -1.0], [1.0, 0.0]])] * 2), chunks=(1, 2, 2))
    with pytest.warns(arreig.GaugeTieWarning) as caught:
        synchronous(*arreig_dask.eig(A))
    assert {warning.filename for warning in caught} == {__file__}


def test_pickle() -> None:
    """Lazy results, and the blocks that derivatives are computed from: before and after a derivative."""
    whole = Arrays.random((3,))
    res = arreig_dask.eig(chunked(whole.A, ((2, 1),)), gauge=arreig.Component(1))
    again = pickle.loads(pickle.dumps(res))
    np.testing.assert_array_equal(*synchronous(res.vjp(2 * res.eigenvectors), again.vjp(2 * again.eigenvectors)))

    for kept in (arreig.eig(whole.A, whole.M, left=True), arreig.eigh(whole.S, whole.M)):
        for _ in range(2):
            copy = pickle.loads(pickle.dumps(kept))
            for x, y in zip(kept.vjp(whole.D, whole.r), copy.vjp(whole.D, whole.r), strict=True):
                np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("function", [arreig.eig, arreig.eigh])
def test_weight_of_a_block(function: Any) -> None:
    """By which distributed moves and spills: what it is when pickled, and of what its derivatives add."""
    A = Arrays.random((50,), n=8).S
    res = function(A)
    for _ in range(2):
        assert 0.9 < sizeof(res) / len(pickle.dumps(res)) < 1.8
        res.vjp(np.ones_like(A), np.ones(A.shape[:-1]))


# --- names of tasks ------------------------------------------------------------------------------------------------------


def test_names_follow_the_options() -> None:
    """One name for one computation, which dask then shares; another for another."""
    whole = Arrays.random((6,))
    A, z = chunked(whole.A, ((3, 1, 2),)), np.arange(1.0, 5.0)
    options: list[dict[str, Any]] = [
        {},
        {"sort": "abs"},
        {"degeneracy": "mask"},
        {"degeneracy": arreig.Split()},
        {"degeneracy": arreig.Split(separation=2.0)},
        {"gauge": arreig.Component(0)},
        {"gauge": arreig.Component(1)},
        {"gauge": arreig.Functional(z)},
        {"gauge": arreig.Functional(2 * z)},
        {"gauge": arreig.Functional(z + 0j)},
        {"gauge": arreig.Functional(whole.w)},
    ]
    names = [arreig_dask.eig(A, **option).eigenvectors.name for option in options]
    assert len(set(names)) == len(names)
    options[-2:] = [{"gauge": arreig.Functional(z + 0j)}, {"gauge": arreig.Functional(whole.w.copy())}]
    assert [arreig_dask.eig(A, **option).eigenvectors.name for option in options] == names
    assert arreig_dask.eig(chunked(whole.A, ((3, 3),))).eigenvectors.name not in names
    functions = [arreig_dask.matrix_function(A, lambda z, k=k: k * z, np.ones_like).name for k in (1, 2, 1)]
    assert functions[0] != functions[1]
    assert functions[0] == functions[2]


# --- chunks --------------------------------------------------------------------------------------------------------------


def test_other_arrays_are_rechunked() -> None:
    whole = Arrays.random((6,))
    A, other = chunked(whole.A, ((3, 1, 2),)), whole.each(lambda X: da.from_array(X, chunks=(4, 2, 1)[: X.ndim]))
    one = whole.each(lambda X: chunked(X, ((3, 1, 2),)))
    for found, expected in (
        (arreig_dask.eig(A, other.M).vjp(other.G, other.w)[1], arreig_dask.eig(A, one.M).vjp(one.G, one.w)[1]),
        (arreig_dask.eig(A).jvp(other.D)[1], arreig_dask.eig(A).jvp(one.D)[1]),
        (arreig_dask.eig_vjp(A, eigensystem=(other.w, other.Z), gw=other.w),) * 2,
        (
            arreig_dask.eig_vjp(other.M.rechunk({1: -1, 2: -1}), other.G, eigensystem=arreig_dask.eig(one.M)),
            arreig_dask.eig(one.M).vjp(one.G),
        ),
    ):
        assert found.chunks[0] == (3, 1, 2)
        if found is not expected:
            np.testing.assert_array_equal(*synchronous(found, expected))


def test_unknown_chunk_sizes() -> None:
    whole = Arrays.random((6,))
    keep = np.array([True, False, True, True, False, False])
    A, G = (chunked(X, ((3, 1, 2),))[da.from_array(keep, chunks=(3,))] for X in (whole.A, whole.G))
    res = arreig_dask.eig(A)
    w, gA = synchronous(res.eigenvalues, res.vjp(G))
    np.testing.assert_array_equal(w, arreig.eig(whole.A[keep]).eigenvalues)
    np.testing.assert_allclose(gA, arreig.eig_vjp(whole.A[keep], whole.G[keep]), rtol=1e-12)
    with pytest.raises(
        arreig.InputError, match=r"gV and A must be chunked alike.*compute_chunk_sizes\(\) on each first"
    ):
        res.vjp(da.ones((3, 4, 4), chunks=(3, 4, 4)))
    with pytest.raises(arreig.InputError, match=r"size of the batch.*A.compute_chunk_sizes\(\) first"):
        arreig_dask.eig(A, gauge=arreig.Functional(whole.w))
    with pytest.raises(arreig.InputError, match="gV must have shape") as raised:
        synchronous(res.vjp(chunked(whole.G, ((3, 1, 2),))))
    assert "dask does not know where in the batch it begins" in raised.value.__notes__[0]
    columns = da.from_array(whole.A[0])[:, da.from_array(np.array([True, True, False, False]))]
    with pytest.raises(arreig.InputError, match=r"known n.*compute_chunk_sizes\(\)"):
        arreig_dask.eig(columns)


@pytest.mark.parametrize("batch", [(), (6,)])
def test_split_matrices_are_refused_with_the_way_out(batch: tuple[int, ...]) -> None:
    X = Arrays.random(batch).A
    A = da.from_array(X, chunks=(*batch, 2, 4))
    with pytest.raises(
        arreig.InputError, match=r"each matrix in one block, but its axes .* are in 2 and 1 chunks"
    ) as raised:
        arreig_dask.eig(A)
    advice = str(raised.value).partition("chunks: ")[2].partition("),")[0] + ")"
    found = arreig_dask.eig(eval(advice, {"A": A})).eigenvalues
    np.testing.assert_array_equal(found.compute(scheduler="synchronous"), arreig.eig(X).eigenvalues)


# --- bad arguments -------------------------------------------------------------------------------------------------------

A, F = da.from_array(np.diag([1.0, 2, 3]).reshape(1, 3, 3)), np.ones((1, 3, 3))
COMPLEX = da.ones((1, 3, 3), dtype=complex)
REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no dask array": (
        lambda: arreig_dask.eig(F),
        arreig.InputTypeError,
        r"A must be a dask array, got numpy.ndarray: dask.array.from_array\(A, chunks=...\)",
    ),
    "B": (lambda: arreig_dask.eigvalsh(A, F), arreig.InputTypeError, "B must be a dask array"),
    "gV": (lambda: arreig_dask.eig(A).vjp(F), arreig.InputTypeError, "gV must be a dask array, got numpy.ndarray"),
    "dA": (lambda: arreig_dask.eig_jvp(A, None), arreig.InputTypeError, "dA must be a dask array, got None"),
    "gF": (lambda: arreig_dask.sqrtm_vjp(A, [1]), arreig.InputTypeError, "gF must be a dask array, got list"),
    "no matrix": (lambda: arreig_dask.eig(da.ones(3)), arreig.InputError, r"two dimensions.* got shape \(3,\)"),
    "not square": (lambda: arreig_dask.eigh(da.ones((2, 3))), arreig.InputError, r"square.* got shape \(2, 3\)"),
    "dtype": (lambda: arreig_dask.eig(A.astype("f2")), arreig.InputTypeError, "A must have one of the dtypes"),
    "option": (lambda: arreig_dask.eig(A, sort="size"), arreig.InputError, "sort must be None, 'abs' or 'real'"),
    "gauge": (lambda: arreig_dask.eig(A, gauge=arreig.Component(3)), arreig.InputError, "names no component"),
    "z": (
        lambda: arreig_dask.eig(A, gauge=arreig.Functional(np.ones((2, 3)))),
        arreig.InputError,
        r"z must have shape \(3,\) or broadcast to \(1, 3\), got \(2, 3\)",
    ),
    "complex z": (
        lambda: arreig_dask.eigh(A, gauge=arreig.Functional(np.ones((1, 3), dtype=complex))),
        arreig.InputTypeError,
        "must be real",
    ),
    "shape": (lambda: arreig_dask.eig(A).vjp(A[0]), arreig.InputError, r"gV must have shape \(1, 3, 3\), got \(3, 3\)"),
    "batch": (
        lambda: arreig_dask.eig_vjp(A, gw=da.ones((2, 3))),
        arreig.InputError,
        r"gw must have shape \(1, 3\), got \(2, 3\)",
    ),
    "complex dA": (lambda: arreig_dask.eigh(A).jvp(COMPLEX), arreig.InputTypeError, "dA must be real"),
    "no cotangent": (lambda: arreig_dask.eig(A).vjp(), arreig.InputError, "at least one of the cotangents"),
    "precision": (lambda: arreig_dask.eig(A, A.astype("f4")), arreig.InputTypeError, "must have the precision of A"),
    "eigensystem": (
        lambda: arreig_dask.eig_vjp(A, A, eigensystem=A),
        arreig.InputTypeError,
        r"a result of arreig_dask or a pair \(w, V\) of dask arrays, got Array",
    ),
    "result of arreig": (
        lambda: arreig_dask.eig_vjp(A, A, eigensystem=arreig.eig(F + 2 * np.eye(3))),
        arreig.InputTypeError,
        "w must be a dask array, got numpy.ndarray",
    ),
    "result of eigh": (
        lambda: arreig_dask.eig_vjp(A, A, eigensystem=arreig_dask.eigh(A)),
        arreig.InputTypeError,
        "eigensystem is a EighResult",
    ),
    "another result": (
        lambda: arreig_dask.eig_vjp(A, A, eigensystem=arreig_dask.eig(A[0])),
        arreig.InputError,
        r"what the supplied result decomposes, \(3, 3\), got \(1, 3, 3\)",
    ),
    "option and result": (
        lambda: arreig_dask.eig_vjp(A, A, eigensystem=arreig_dask.eig(A), sort="abs"),
        arreig.InputError,
        "conflicts with the supplied eigensystem",
    ),
    "rebuilt": (
        lambda: synchronous(arreig_dask.eig(A))[0].vjp(A),
        arreig.ArreigError,
        r"EigResult was rebuilt from its arrays, as dask.compute\(res\) does",
    ),
    "select": (
        lambda: arreig_dask.invariant_subspace(A, first_half),
        arreig.InputTypeError,
        r"how many leading eigenvalues, an integer, got <function first_half .* spectral_projector takes one",
    ),
    "count": (lambda: arreig_dask.spectral_projector(A, 4), arreig.InputError, "select=4 eigenvalues, but A has 3"),
    "no count": (
        lambda: arreig_dask.invariant_subspace_vjp(A, "2", A),
        arreig.InputTypeError,
        "an integer, got '2'",
    ),
    "gQ": (
        lambda: arreig_dask.invariant_subspace_vjp(A, 2, A),
        arreig.InputError,
        r"gQ must have shape \(1, 3, 2\), got \(1, 3, 3\)",
    ),
    "f": (lambda: arreig_dask.matrix_function(A, np.exp, None), arreig.InputTypeError, "df must be a function"),
}


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_when_called(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_functions_that_cannot_take_an_empty_batch() -> None:
    with pytest.raises(ValueError, match="zero-size array") as raised:
        arreig_dask.spectral_projector(A, lambda w: w.real < w.real.max())
    assert "On an empty batch" in raised.value.__notes__[0]


def test_projector_whose_dtype_depends_on_numbers() -> None:
    rotation = da.from_array(np.array([[[0.0, -1.0], [1.0, 0.0]]]))
    half = arreig_dask.spectral_projector(rotation, upper)
    with pytest.raises(arreig.InputTypeError, match=r"dtype complex128 here, but float64 was .* A in a complex dtype"):
        synchronous(half)
    np.testing.assert_allclose(
        arreig_dask.spectral_projector(rotation + 0j, upper).compute(scheduler="synchronous"),
        [[[0.5, 0.5j], [-0.5j, 0.5]]],
        atol=1e-15,
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: arreig.eig(A),
        lambda: arreig.eig_vjp(A, F),
        lambda: arreig.eigh(A[0]),
        lambda: arreig.eigs(A[0], 1),
        lambda: arreig.sqrtm(A),
        lambda: arreig.spectral_projector(A, 1),
        lambda: arreig.diagnose(A[0]),
    ],
)
def test_the_core_names_the_adapter(call: Callable[[], Any]) -> None:
    with pytest.raises(
        arreig.InputTypeError, match=r"functions of arreig_dask .*pip install 'arreig\[dask\]'.*compute\(\)"
    ):
        call()


def test_without_dask() -> None:
    program = f"import sys; sys.path[:0] = {sys.path!r}; sys.modules['dask'] = None; import arreig_dask"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: arreig_dask needs dask: pip install 'arreig[dask]'" in run.stderr


# --- the whole graph -----------------------------------------------------------------------------------------------------


def test_gradient_of_a_loss_on_the_whole_batch() -> None:
    """Finite differences in every entry, and the adjoint identity, of values and vectors over all blocks."""
    whole = Arrays.random((3,), n=3)
    weights, batch = whole.D[0], ((1, 2),)

    def of(X: Any) -> tuple[Any, Any]:
        return losses(arreig_dask.eig(chunked(X, batch), sort="abs"), weights)

    (gA,) = synchronous(of(whole.A)[1])
    for j in range(3):  # one matrix at a time: the loss is of all

        def loss(X: Any, j: int = j) -> Any:
            moved = whole.A.copy()
            moved[j] = X
            return np.asarray(synchronous(of(moved)[0])[0])

        np.testing.assert_allclose(gA[j], finite_differences(loss, whole.A[j]), atol=1e-8)
    res = arreig_dask.eig(chunked(whole.A, batch))
    G, w, D = (chunked(X, batch) for X in (whole.G, whole.w, whole.D))
    gA, (dw, dV) = synchronous(res.vjp(G, w), res.jvp(D))
    assert adjoint_defect([(whole.G, dV), (whole.w, dw)], [(gA, whole.D)]) < 1e-12
