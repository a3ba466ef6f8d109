"""What works on which library: one table, which the README shows and by which the tests choose what they run.

Every function stands for itself with its ``_vjp`` and ``_jvp``.
"""

from typing import NamedTuple

FUNCTIONS = ("eig", "eigvals", "eigh", "eigvalsh")


class Capability(NamedTuple):
    """How a library does a function, and why that is not tested, if it is not."""

    how: str
    untested: str = ""


class Library(NamedTuple):
    """A library on a kind of device; adapter: the package through which it differentiates arreig's functions itself."""

    title: str
    functions: dict[str, Capability]
    adapter: str = ""


_NO_GPU = "never run on a GPU: none was at hand"


def _all(how: str, untested: str = "") -> dict[str, Capability]:
    return dict.fromkeys(FUNCTIONS, Capability(how, untested))


def _general(how: str, hermitian: str, untested: str) -> dict[str, Capability]:
    general, other = Capability(how, untested), Capability(hermitian, untested)
    return {"eig": general, "eigvals": general, "eigh": other, "eigvalsh": other}


LIBRARIES = {
    "numpy": Library("NumPy", _all("LAPACK; V factorised once")),
    "strict": Library("array-api-strict, any array API library with `linalg.eig`", _all("the standard's functions")),
    "torch": Library("PyTorch, CPU", _all("LAPACK; V factorised once"), "arreig_torch"),
    "torch-cuda": Library("PyTorch, CUDA", _all("as `torch.linalg` does it there", _NO_GPU), "arreig_torch"),
    "jax": Library("JAX, CPU", _all("LAPACK; also inside `jit` and `vmap`")),
    "jax-gpu": Library("JAX, GPU", _general("JAX's: LAPACK on the host, by default", "JAX's", _NO_GPU)),
    "cupy": Library(
        "CuPy ≥ 14 with cuSOLVER ≥ 11.7", _all("cuSOLVER", _NO_GPU + "; its logic and signatures are tested without")
    ),
    "cupy-host": Library(
        "CuPy, older, or ROCm",
        _general(
            "LAPACK on the host, with a `HostTransferWarning` once",
            "cuSOLVER",
            _NO_GPU + "; its logic is tested without",
        ),
    ),
}


def markdown() -> str:
    """The table as the README shows it."""
    rows = [
        "| library | `eig`, `eigvals` | `eigh`, `eigvalsh` | tested | differentiates it itself |",
        "|---|---|---|---|---|",
    ]
    for library in LIBRARIES.values():
        eig, eigh = library.functions["eig"], library.functions["eigh"]
        adapter = f"`{library.adapter}`" if library.adapter else "-"
        rows.append(f"| {library.title} | {eig.how} | {eigh.how} | {eig.untested or 'yes'} | {adapter} |")
    return "\n".join(rows)
