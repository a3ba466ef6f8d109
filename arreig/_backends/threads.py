"""Threads over a batch of NumPy arrays, with BLAS held to one thread.

Two threads of BLAS gain nothing on small matrices; where the cores have other work they wait for each other, and LAPACK took up
to 80 times longer with two than with one. A batch is shared among threads instead, each of them with a BLAS of one thread. How
many is the user's choice: as many as BLAS may use in the process (OPENBLAS_NUM_THREADS, `threadpoolctl.threadpool_limits`).

What holds the GIL gains nothing: NumPy's functions release it, SciPy's wrappers of LAPACK and BLAS do not.
"""

import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

S = TypeVar("S")
T = TypeVar("T")
Numbers = list[tuple[Any, int]]  # of threads, of libraries

_LEAST = 200e-6  # seconds of work in a slice; another thread has it after 50 us
_PAYS = 4e-3  # seconds of work in all; on a busy machine another thread may come later than it takes to do less alone
_PAYS_AT_ONCE = 1e-3  # the same of a single operation, whose time is known better
_EACH_AT_ONCE = 2  # slices a thread of it; BLAS is slower on thin ones
_EACH = 4  # slices a thread: one that the operating system keeps waiting holds up no more than that part
# Orders: up to the first BLAS takes one thread by itself; up to the second it gets no more, for two gain little on idle cores.
_TINY, _SMALL = 16, 128


class _Blas:
    """The BLAS libraries of this process: their numbers of threads, while calls hold them at one, and the pool."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.libraries: list[Any] | None = None
        self.let_go: Callable[..., None] | None = None
        self.inside = 0  # calls that hold BLAS at one thread
        self.held: Numbers = []  # libraries that get their number back when the last of them leaves
        self.number = 1  # the user's, when the first came in
        self.pool: ThreadPoolExecutor | None = None
        self.size = 0  # of the pool

    def read(self) -> Numbers:
        """The libraries and their numbers of threads. Looked for once: it takes milliseconds."""
        if self.libraries is None:
            from threadpoolctl import ThreadpoolController

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # about OpenMP libraries, which are not ours
                controllers = ThreadpoolController().lib_controllers
            self.libraries = [x for x in controllers if x.user_api == "blas"]
            self.let_go = next((f for x in controllers if (f := getattr(x, "clear_controlling_thread", None))), None)
        return [(x, x.get_num_threads() or 1) for x in self.libraries]

    def set(self, numbers: Numbers) -> None:
        """Set numbers of threads, whichever thread did it before: threadpoolctl (3.8) heeds one until that lets go."""
        if numbers and self.let_go:
            self.let_go(force=True)
        for library, number in numbers:
            library.set_num_threads(number)
        if numbers and self.let_go:
            self.let_go(force=True)

    def enter(self) -> Numbers | None:
        """Hold BLAS at one thread; what `leave` needs, nothing where there is one anyway."""
        with self.lock:
            numbers = self.read()
            many = [x for x in numbers if x[1] > 1]
            if not (many or self.inside):
                return None
            own = [x for x in many if _own(x[0])]
            if not self.inside:
                self.number = min(k for _, k in numbers)
                self.held = [x for x in many if x not in own]
                self.set([(x, 1) for x, _ in self.held])
            self.inside += 1
            self.set([(x, 1) for x, _ in own])
            return own

    def leave(self, own: Numbers) -> None:
        """Give the libraries back their numbers: of this thread at once, of the process when no call is inside."""
        with self.lock:
            self.set(own)
            self.inside -= 1
            if not self.inside:
                self.set(self.held)
                self.held = []

    def users(self) -> int:
        """The user's number of threads."""
        with self.lock:
            return self.number if self.inside else min((k for _, k in self.read()), default=1)

    def submit(self, work: Callable[[], None], count: int) -> "list[Future[None]]":
        """Start work in up to `count` threads, each in the caller's context, which has NumPy's error state."""
        with self.lock:
            if self.pool is None or self.size < count:  # one that is replaced ends when its work is done
                _keep_freed_memory()
                self.pool, self.size = ThreadPoolExecutor(count, "arreig"), count
            futures: list[Future[None]] = []
            with suppress(RuntimeError):  # no threads are left, or the interpreter is about to end: fewer do it
                futures.extend(self.pool.submit(copy_context().run, work) for _ in range(count))
            return futures

    def forked(self) -> None:
        """In the child of a fork, which has none of the threads that were at work."""
        self.pool, self.size, self.inside = None, 0, 0
        self.set(self.held)
        self.held = []
        self.lock.release()


def _keep_freed_memory() -> None:
    """Let threads have the memory again that they freed, without the operating system's help.

    glibc gives it back beyond a threshold of 128 kB at first, and new pages take as long as what is computed in them, threads
    waiting for each other. The threshold follows the largest block that was freed, up to 32 MB (mallopt(3), "dynamic mmap
    threshold"): of that size is this one, which nobody touches.
    """
    np.empty(2**25 - 2**16, np.uint8)


def _own(library: Any) -> bool:
    """Whether every thread has a number of its own: OpenMP's."""
    return getattr(library, "threading_layer", None) == "openmp"


_BLAS = _Blas()
_here = threading.local()  # .working: this thread works on slices

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_BLAS.lock.acquire, after_in_parent=_BLAS.lock.release, after_in_child=_BLAS.forked)


class limited:  # noqa: N801 (a context, used like a function)
    """Hold BLAS at one thread in a `with` block, on matrices of this order if more threads are of no use."""

    def __init__(self, order: int = _SMALL, small: int = _SMALL) -> None:
        self._asked = _TINY < order <= small

    def __enter__(self) -> None:
        self._own = _BLAS.enter() if self._asked else None

    def __exit__(self, *error: object) -> None:
        if self._own is not None:
            _BLAS.leave(self._own)


def number() -> int:
    """How many threads the user wants: as many as BLAS may use, in NumPy or SciPy, whichever is less. Within `run` it is one."""
    return 1 if getattr(_here, "working", False) else _BLAS.users()


def cut(count: int, seconds: float) -> list[slice]:
    """range(count) in slices for `run`, given the time that one member takes: one slice, where threads would not pay."""
    if count < 2 or count * seconds < _PAYS or (threads := number()) < 2:
        return [slice(0, count)]
    parts = min(count, _EACH * threads, int(count * seconds / _LEAST))
    return [slice(i, j) for i, j in pairwise(count * k // parts for k in range(parts + 1))]


def divided(count: int, seconds: float) -> list[slice]:
    """range(count), of one operation on large matrices, in slices for `run`, given the time that one index takes."""
    if count * seconds < _PAYS_AT_ONCE or (threads := number()) < 2:
        return [slice(0, count)]
    parts = min(count, _EACH_AT_ONCE * threads)
    return [slice(i, j) for i, j in pairwise(count * k // parts for k in range(parts + 1))]


def run(function: Callable[[S], T], slices: Sequence[S]) -> list[T]:
    """[function(x) for x in slices], by this and other threads, and BLAS held at one.

    The error that this would raise is raised; of what comes after it some may have been done.
    """
    with limited():
        helpers = min(number(), len(slices)) - 1
        if helpers < 1:
            return [function(x) for x in slices]
        todo = deque(enumerate(slices))
        results: dict[int, T] = {}
        errors: dict[int, BaseException] = {}

        def work() -> None:
            _here.working = True
            try:
                with limited():
                    _work(function, todo, results, errors)
            finally:
                _here.working = False

        futures = _BLAS.submit(work, helpers)
        work()
        for future in futures:
            if not future.cancel():
                future.result()
        if errors:
            raise errors.pop(min(errors))  # not kept here, where its traceback would keep the arrays
        return [results[i] for i in range(len(slices))]


def _work(
    function: Callable[[S], T], todo: deque[tuple[int, S]], results: dict[int, T], errors: dict[int, BaseException]
) -> None:
    """Take from `todo` until it is empty, or something fails."""
    while todo:
        try:
            i, x = todo.popleft()
        except IndexError:  # another thread has it
            return
        try:
            results[i] = function(x)
        except BaseException as error:
            errors[i] = error
            todo.clear()  # what comes before has been begun
            return
