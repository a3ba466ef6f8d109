"""Threads over a batch: how many, what BLAS may use meanwhile and afterwards, and that results do not depend on it."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController, threadpool_limits

import arreig
from arreig._backends import lapack, threads

ROOT = Path(arreig.__file__).parent.parent
PATIENCE = 30  # seconds that a test waits for another thread before it fails
REAL = [x for x in ThreadpoolController().lib_controllers if x.user_api == "blas"]


class Library:
    """A BLAS library's number of threads, as threadpoolctl has it."""

    threading_layer = "pthreads"

    def __init__(self, number: int) -> None:
        self.number = number

    def get_num_threads(self) -> int:
        return self.number

    def set_num_threads(self, number: int) -> None:
        self.number = number


class PerThread(threading.local):
    """One that uses OpenMP: every thread has its own number."""

    threading_layer = "openmp"

    def __init__(self, number: int) -> None:
        self.number = number

    get_num_threads = Library.get_num_threads
    set_num_threads = Library.set_num_threads


@pytest.fixture
def blas(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., threads._Blas]]:
    """Lets a process have these libraries."""
    made = []

    def with_libraries(*libraries: Any) -> threads._Blas:
        made.append(threads._Blas())
        made[-1].libraries = list(libraries)
        monkeypatch.setattr(threads, "_BLAS", made[-1])
        return made[-1]

    yield with_libraries
    for each in made:
        if each.pool is not None:
            each.pool.shutdown()


def numbers(blas: threads._Blas) -> list[int]:
    return [number for _, number in blas.read()]


def together(count: int) -> Callable[[Any], threading.Thread]:
    """A function that returns when as many threads are in it; which thread it was in."""
    barrier = threading.Barrier(count)

    def function(_: Any) -> threading.Thread:
        barrier.wait(PATIENCE)
        return threading.current_thread()

    return function


def test_as_many_threads_as_the_user_lets_every_library_have(blas: Any) -> None:
    own = blas(Library(3), Library(4))
    assert threads.number() == 3
    found = threads.run(together(3), range(3))
    assert len(set(found)) == 3
    assert threading.current_thread() in found
    assert len(set(threads.run(lambda _: threading.current_thread(), range(100)))) <= 3
    assert own.size == 2
    own.libraries[0].number = 4  # the user's new number
    assert len(set(threads.run(together(4), range(4)))) == 4
    assert numbers(own) == [4, 4]


@pytest.mark.parametrize("libraries", [(), (1,), (1, 4)], ids=str)
def test_one_thread_starts_no_other(blas: Any, libraries: tuple[int, ...]) -> None:
    own = blas(*map(Library, libraries))
    inside = threads.run(lambda x: (x, threading.current_thread(), numbers(own)), range(5))
    assert inside == [(x, threading.current_thread(), [1] * len(libraries)) for x in range(5)]
    assert own.pool is None
    assert numbers(own) == list(libraries)


@pytest.mark.parametrize(
    ("order", "small", "held"),
    [(16, 128, False), (17, 128, True), (128, 128, True), (129, 128, False), (129, 256, True)],
)
def test_blas_is_held_at_one_thread_for_small_matrices_that_it_would_divide(
    blas: Any, order: int, small: int, held: bool
) -> None:
    own = blas(Library(3), Library(2))
    with threads.limited(order, small):
        assert numbers(own) == ([1, 1] if held else [3, 2])
        assert threads.number() == 2
        with threads.limited():
            assert numbers(own) == [1, 1]
        assert numbers(own) == ([1, 1] if held else [3, 2])
    assert numbers(own) == [3, 2]


def test_the_last_call_to_leave_restores(blas: Any) -> None:
    own = blas(Library(3), Library(2))
    first, second = threads.limited(), threads.limited()
    with ThreadPoolExecutor(1) as another:
        first.__enter__()
        another.submit(second.__enter__).result()
        first.__exit__()
        assert numbers(own) == [1, 1]
        assert threads.number() == 2
        another.submit(second.__exit__).result()
    assert numbers(own) == [3, 2]


def test_many_callers(blas: Any) -> None:
    own = blas(Library(3), Library(2))

    def call(k: int) -> list[Any]:
        return threads.run(lambda x: (k * x, numbers(own)), range(50))

    with ThreadPoolExecutor(8) as callers:
        for k, found in enumerate(callers.map(call, range(40))):
            assert found == [(k * x, [1, 1]) for x in range(50)]
    assert numbers(own) == [3, 2]
    assert own.inside == 0


def test_a_number_of_each_thread(blas: Any) -> None:
    own = blas(PerThread(3))
    entered = threading.Barrier(3)

    def inside(_: Any) -> int:
        entered.wait(PATIENCE)
        return own.libraries[0].number

    assert threads.run(inside, range(3)) == [1, 1, 1]
    assert own.libraries[0].number == 3


def test_the_first_error_of_the_batch(blas: Any) -> None:
    own = blas(Library(3))
    failed = threading.Event()
    begun = []

    def function(x: int) -> None:
        begun.append(x)
        if x == 0:
            assert failed.wait(PATIENCE)
        elif x == 1:
            failed.set()
        if x < 2:
            raise ValueError(x)

    with pytest.raises(ValueError, match=r"^0$"):
        threads.run(function, range(100_000))
    assert len(begun) < 100_000
    assert numbers(own) == [3]
    assert own.inside == 0


def test_within_a_slice_there_is_one_thread(blas: Any) -> None:
    blas(Library(2))
    both = threading.Barrier(2)

    def function(x: int) -> set[threading.Thread]:
        both.wait(PATIENCE)
        assert threads.cut(100, 1.0) == [slice(0, 100)]
        return {threading.current_thread(), *threads.run(lambda _: threading.current_thread(), range(20))}

    assert [len(found) for found in threads.run(function, range(2))] == [1, 1]
    assert len(set(threads.run(together(2), range(2)))) == 2


def test_the_error_state_is_the_callers(blas: Any) -> None:
    blas(Library(2))
    both = threading.Barrier(2)

    def function(x: int) -> str:
        both.wait(PATIENCE)
        return np.geterr()["divide"]

    with np.errstate(divide="raise"):
        assert threads.run(function, range(2)) == ["raise"] * 2


def test_a_pool_that_takes_nothing_more(blas: Any) -> None:
    own = blas(Library(2))
    own.pool, own.size = ThreadPoolExecutor(1), 1
    own.pool.shutdown()  # as at the end of the interpreter
    assert threads.run(lambda x: x, range(5)) == list(range(5))


@pytest.mark.parametrize(
    ("count", "seconds", "parts"), [(1, 9, 1), (10, 1e-4, 1), (20, 1e-3, 8), (3, 1e-2, 3), (0, 1, 1)]
)
def test_slices(blas: Any, count: int, seconds: float, parts: int) -> None:
    blas(Library(2))
    slices = threads.cut(count, seconds)
    assert len(slices) == parts
    assert [x for s in slices for x in range(count)[s]] == list(range(count))
    blas(Library(1))
    assert threads.cut(count, seconds) == [slice(0, count)]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads however little the work."""
    monkeypatch.setattr(threads, "_PAYS", 1e-12)
    monkeypatch.setattr(threads, "_LEAST", 1e-12)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shape", [(7, 5, 5), (2, 3, 4, 4), (3, 40, 40), (3, 0, 0), (0, 3, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_results_are_the_same_bit_for_bit(blas: Any, dtype: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    A = (rng.standard_normal(shape) + (1j if "c" in dtype else 0) * rng.standard_normal(shape)).astype(dtype)
    A[:1] = A[:1] + np.conj(np.swapaxes(A[:1], -1, -2))  # real eigenvalues in the first slice, complex ones in others
    H = A + np.conj(np.swapaxes(A, -1, -2))
    backend, found = lapack.BACKEND, []
    for number in (1, 2, 3):
        own = blas(Library(number))
        found.append((*backend.eig(A), *backend.eigh(H), backend.eigvalsh(H)))
        assert (own.pool is not None) == (number > 1 and A.size > 0)
    for one, two, three in zip(*found, strict=True):
        assert one.dtype == two.dtype == three.dtype
        assert one.shape == two.shape
        assert one.tobytes() == two.tobytes() == three.tobytes()


@pytest.mark.usefixtures("always")
def test_what_lapack_refuses(blas: Any) -> None:
    own = blas(Library(2))
    A = np.ones((4, 3, 3))
    A[2] = np.nan
    with pytest.raises(np.linalg.LinAlgError):
        lapack.BACKEND.eig(A)
    assert numbers(own) == [2]


@pytest.mark.skipif(not REAL, reason="no BLAS here that threadpoolctl knows")
def test_limits_that_another_thread_has_set() -> None:
    with threadpool_limits(3, user_api="blas"), ThreadPoolExecutor(1) as another:

        def inside() -> tuple[int, list[int]]:
            with threads.limited():
                return threads.number(), [x.num_threads for x in REAL]

        assert another.submit(inside).result() == (3, [1] * len(REAL))
        assert [x.num_threads for x in REAL] == [3] * len(REAL)
        A = np.random.default_rng(0).standard_normal((40, 40))
        another.submit(arreig.eig, A).result()
        assert [x.num_threads for x in REAL] == [3] * len(REAL)
        with threadpool_limits(2, user_api="blas"):
            assert threads.number() == 2


FORK = """
import os, threading
from threadpoolctl import ThreadpoolController, threadpool_limits
from arreig._backends import threads

threadpool_limits(2, user_api="blas")
libraries = [x for x in ThreadpoolController().lib_controllers if x.user_api == "blas"]

def works():
    barrier = threading.Barrier(2)
    return threads.run(lambda x: barrier.wait(30) >= 0 and x, range(2)) == [0, 1]

assert works()
inside, done = threading.Event(), threading.Event()

def hold():
    with threads.limited():
        inside.set()
        done.wait(30)

other = threading.Thread(target=hold)
other.start()
inside.wait(30)
child = os.fork()
if not child:  # has no thread that would leave
    good = [x.num_threads for x in libraries] == [2] * len(libraries) and threads.number() == 2 and works()
    os._exit(0 if good else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
done.set()
other.join()
assert [x.num_threads for x in libraries] == [2] * len(libraries)
assert works()
"""


@pytest.mark.skipif(not hasattr(os, "fork") or not REAL, reason="no fork, or no BLAS that threadpoolctl knows")
def test_after_a_fork() -> None:
    subprocess.run([sys.executable, "-c", FORK], check=True, timeout=2 * PATIENCE, cwd=ROOT)
