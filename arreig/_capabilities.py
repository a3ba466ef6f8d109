"""What works on which library: one table, which the README shows and by which the tests choose what they run.

Every function stands for itself with its ``_vjp`` and ``_jvp``.
"""

from typing import NamedTuple

GENERAL = ("eig", "eigvals", "matrix_function", "sqrtm", "logm")
HERMITIAN = ("eigh", "eigvalsh")
SUBSPACES = ("spectral_projector", "invariant_subspace")
PARTIAL = ("eigs", "eigsh")
GROUPS = (GENERAL, HERMITIAN, SUBSPACES, PARTIAL)
FUNCTIONS = tuple(name for names in GROUPS for name in names)


class Capability(NamedTuple):
    """How a library does a function, and why that is not tested, if it is not."""

    how: str
    untested: str = ""


class Library(NamedTuple):
    """A library on a kind of device.

    adapter: the package through which it differentiates arreig's functions itself; core: whether arreig's own take its arrays.
    """

    title: str
    functions: dict[str, Capability]
    adapter: str = ""
    core: bool = True


_NO_GPU = "never run on a GPU: none was at hand"


_HOST = "LAPACK on the host, with a `HostTransferWarning` once"


_CUPY_SPARSE = "sparse matrices: CuPy's `eigsh`, where it can; else on the host, with a warning once"
_BLOCKS = "`arreig_dask`, block by block"
_ARPACK = "ARPACK on the host, outside tracers"


def _functions(
    general: str, hermitian: str, subspaces: str, partial: str = _ARPACK, untested: str = ""
) -> dict[str, Capability]:
    return {
        name: Capability(how, untested)
        for names, how in zip(GROUPS, (general, hermitian, subspaces, partial), strict=True)
        for name in names
    }


LIBRARIES = {
    "numpy": Library(
        "NumPy",
        _functions(
            "LAPACK; V factorised once",
            "LAPACK",
            "LAPACK's ordered Schur form, through SciPy",
            "ARPACK, SuperLU; also SciPy's sparse arrays and `LinearOperator`",
        ),
        "`arreig_autograd`, with HIPS autograd",
    ),
    "strict": Library(
        "array-api-strict, any array API library with `linalg.eig`",
        _functions("the standard's functions", "the standard's functions", "LAPACK on the host"),
    ),
    "torch": Library(
        "PyTorch, CPU", _functions("LAPACK; V factorised once", "LAPACK", "SciPy's, as for NumPy"), "`arreig_torch`"
    ),
    "torch-cuda": Library(
        "PyTorch, CUDA",
        _functions(
            "as `torch.linalg` does it there",
            "as `torch.linalg` does it there",
            _HOST,
            "on the host, with a warning once; also sparse tensors",
            _NO_GPU,
        ),
        "`arreig_torch`",
    ),
    "jax": Library(
        "JAX, CPU",
        _functions(
            "LAPACK; also inside `jit` and `vmap`",
            "LAPACK; also inside `jit` and `vmap`",
            "SciPy's, in `jit` and `vmap` by a callback",
            _ARPACK + "; `arreig_jax`: inside, too, and BCOO",
        ),
        "`arreig_jax`",
    ),
    "jax-gpu": Library(
        "JAX, GPU",
        _functions("JAX's: LAPACK on the host, by default", "JAX's", _HOST, untested=_NO_GPU),
        "`arreig_jax`",
    ),
    "cupy": Library(
        "CuPy ≥ 14 with cuSOLVER ≥ 11.7",
        _functions(
            "cuSOLVER", "cuSOLVER", _HOST, _CUPY_SPARSE, _NO_GPU + "; its logic and signatures are tested without"
        ),
    ),
    "cupy-host": Library(
        "CuPy, older, or ROCm",
        _functions(_HOST, "cuSOLVER", _HOST, _CUPY_SPARSE, _NO_GPU + "; its logic is tested without"),
    ),
    "dask": Library(
        "Dask, chunked over the batch",
        _functions(_BLOCKS, _BLOCKS, _BLOCKS, partial="-"),
        core=False,
    ),
}


def markdown() -> str:
    """The table as the README shows it."""
    heads = (", ".join(f"`{name}`" for name in names) for names in GROUPS)
    rows = [f"| library | {' | '.join(heads)} | tested | differentiates it itself |", "|---" * (len(GROUPS) + 3) + "|"]
    for library in LIBRARIES.values():
        how = [library.functions[names[0]] for names in GROUPS]
        cells = [
            library.title,
            *(capability.how for capability in how),
            how[0].untested or "yes",
            library.adapter or "-",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)
