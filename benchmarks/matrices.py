"""The matrices on which gradients are compared: far from normal, and with repeated eigenvalues."""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind: TypeAlias = Literal["whole", "simple", "defective"]  # whole: repeated, with all its eigenvectors


def grcar(n: int) -> Floats:
    """Toeplitz, 1 on the diagonal and three above, -1 below."""
    return np.triu(np.tril(np.ones((n, n)), 3)) - np.eye(n, k=-1)


def frank(n: int) -> Floats:
    """Upper Hessenberg, with eigenvalues that come in pairs x, 1/x."""
    i, j = np.indices((n, n))
    return np.where(j < i - 1, 0.0, n - np.maximum(i, j))


def kahan(n: int, angle: float) -> Floats:
    """Triangular, with rows that shrink like the powers of sin(angle)."""
    s, c = np.sin(angle), np.cos(angle)
    return np.asarray(np.diag(s ** np.arange(n)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1)))


def near_defective(n: int, gap: float) -> Floats:
    """One pair of eigenvalues that far from a Jordan block, the others 1/2 apart."""
    w = np.arange(1, n + 1) / 2
    w[1] = w[0] + gap
    J = np.diag(w)
    J[0, 1] = 1
    X = np.eye(n) + 0.3 * np.random.default_rng(0).standard_normal((n, n)) / np.sqrt(n)
    return np.asarray(X @ J @ np.linalg.inv(X))


def far_from_normal() -> dict[str, Floats]:
    """Real matrices with simple eigenvalues; the last is well conditioned."""
    return {
        "Grcar, n = 60": grcar(60),
        "Frank, n = 12": frank(12),
        "Kahan, n = 20": kahan(20, 1.2),
        "one pair 1e-4 from defective, n = 20": near_defective(20, 1e-4),
        "one pair 1e-6 from defective, n = 20": near_defective(20, 1e-6),
        "random, n = 40": np.random.default_rng(3).standard_normal((40, 40)),
    }


def conjugated(J: Any, seed: int = 0) -> Floats:
    """X J X^-1 with a random X of condition number 3."""
    J = np.asarray(J, dtype=float)
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal(J.shape))[0] for _ in range(2))
    X = U * np.linspace(1, 3, len(J)) @ V
    return np.asarray(X @ J @ np.linalg.inv(X))


def blocks(*parts: Any) -> Floats:
    """Block diagonal."""
    parts = tuple(np.atleast_2d(part) for part in parts)
    A = np.zeros((sum(map(len, parts)),) * 2)
    k = 0
    for part in parts:
        A[k : k + len(part), k : k + len(part)] = part
        k += len(part)
    return A


def rotation(angle: float) -> Floats:
    """In the plane; eigenvalues exp(+-i angle)."""
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def jordan(w: float, m: int) -> Floats:
    """One block of order m."""
    return w * np.eye(m) + np.eye(m, k=1)


def laplacian(edges: Any) -> Floats:
    """Degrees minus adjacency."""
    edges = list(edges)
    n = 1 + max(map(max, edges))
    A = np.zeros((n, n))
    for i, j in edges:
        A[i, j] = A[j, i] = 1
    return np.diag(A.sum(axis=0)) - A


def circulant(row: list[float]) -> Floats:
    """Each row is the one above, shifted by one place."""
    return np.array([np.roll(row, k) for k in range(len(row))], dtype=float)


def permutation(*lengths: int) -> Floats:
    """One cycle of each length."""
    return blocks(*(np.roll(np.eye(m), 1, axis=0) for m in lengths))


def graded(*small: float) -> Floats:
    """Symmetric positive definite, with these eigenvalues beside 1/2, 1 and 2."""
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((len(small) + 3,) * 2))[0]
    A = Q * [*small, 0.5, 1, 2] @ Q.T
    return np.asarray((A + A.T) / 2)


def repeated() -> dict[str, tuple[Floats, Kind]]:
    """Real matrices with repeated eigenvalues, or nearly repeated ones."""
    R, S = rotation(0.7), 1.5 * rotation(0.7)
    grid = [(i, i + 1) for i in range(16) if i % 4 < 3] + [(i, i + 4) for i in range(12)]
    petersen = [(i, (i + 1) % 5) for i in range(5)] + [(i, i + 5) for i in range(5)]
    petersen += [(i + 5, (i + 2) % 5 + 5) for i in range(5)]
    whole: dict[str, Floats] = {
        "identity, n = 6": np.eye(6),
        "zero, n = 6": np.zeros((6, 6)),
        "X diag(1,1,1,2,2,3,4,5) X⁻¹": conjugated(np.diag([1, 1, 1, 2, 2, 3, 4, 5])),
        "rotation block, twice": blocks(R, R),
        "rotation block, three times": blocks(R, R, R),
        "twice and 3, conjugated": conjugated(blocks(R, R, 3)),
        "three times and 3, conjugated": conjugated(blocks(S, S, S, 3)),
        "graded, {1,1,1}e-10 and {.5,1,2}": graded(1e-10, 1e-10, 1e-10),
        "Laplacian, 4 x 4 grid": laplacian(grid),
        "Laplacian, cycle 8": laplacian((i, (i + 1) % 8) for i in range(8)),
        "Laplacian, complete 6": laplacian((i, j) for i in range(6) for j in range(i)),
        "Laplacian, star 7": laplacian((0, i) for i in range(1, 7)),
        "Laplacian, Petersen": laplacian(petersen),
        "circulant, symmetric, n = 7": circulant([4, 1, 0.5, 0.25, 0.25, 0.5, 1]),
        "circulant, symmetric, n = 8": circulant([5, 1, 0.5, 0.25, 0.1, 0.25, 0.5, 1]),
        "permutation, 3 + 3": permutation(3, 3),
        "permutation, 2 + 2 + 2": permutation(2, 2, 2),
        "permutation, 4 + 2 + 1": permutation(4, 2, 1),
        "40 equal, and 3, 4, conjugated": conjugated(np.diag([1.0] * 40 + [3, 4])),
    }
    simple = {"graded, {1,2,3}e-10 and {.5,1,2}": graded(1e-10, 2e-10, 3e-10)}
    defective = {
        "Jordan block 2": jordan(1, 2),
        "Jordan block 3": jordan(1, 3),
        "Jordan block 2, and 3, 4": blocks(jordan(1, 2), 3, 4),
        "Jordan block 3, and 3, 4": blocks(jordan(1, 3), 3, 4),
        "Jordan 2, and 3, 4, conjugated": conjugated(blocks(jordan(1, 2), 3, 4)),
        "Jordan 3, and 3, 4, conjugated": conjugated(blocks(jordan(1, 3), 3, 4)),
    }
    kinds: dict[Kind, dict[str, Floats]] = {"whole": whole, "simple": simple, "defective": defective}
    return {name: (A, kind) for kind, group in kinds.items() for name, A in group.items()}
