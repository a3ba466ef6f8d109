"""The layout as a test: which way imports point, what `import arreig` loads, and that rules never look at a number."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import array_api_strict
import numpy as np
import pytest

import arreig

ROOT = Path(arreig.__file__).parent
ADAPTERS = ROOT.parent / "adapters"
FILES = sorted([*ROOT.rglob("*.py"), *ADAPTERS.rglob("*.py")])

# layer: what it may import of arreig
LAYERS: dict[str, set[str]] = {
    "_types": set(),
    "_errors": set(),
    "_array_api": {"_types"},
    "_gauge": {"_array_api", "_errors", "_types"},
    "_generic": {"_array_api", "_types"},
    "_order": {"_array_api", "_types"},
    "_degeneracy": {"_array_api", "_errors", "_types"},
    "_split": {"_array_api", "_degeneracy", "_generic", "_types"},
    "_perturb": {"_array_api", "_degeneracy", "_generic", "_types"},
    "_rules": {"_array_api", "_gauge", "_degeneracy", "_generic", "_types", "_rules"},
    "_backends": {"_array_api", "_errors", "_order", "_types", "_backends"},
    "_capabilities": set(),
    "_decompositions": {"*"},
    "_diagnosis": {"_array_api", "_backends", "_degeneracy", "_types"},
    "__main__": {"_decompositions", "_errors"},
    "testing": {"_array_api", "_types"},
    "__init__": {"_decompositions", "_degeneracy", "_diagnosis", "_errors", "_gauge", "_perturb", "_split"},
    # what decides and what computes is behind the decompositions: an adapter takes no rule and no backend by itself
    "arreig_autograd": {"_decompositions", "_degeneracy", "_gauge", "_types", "arreig_autograd", *arreig.__all__},
    "arreig_dask": {"__init__", "_decompositions", "_degeneracy", "_gauge", "_types", "arreig_dask", *arreig.__all__},
    "arreig_jax": {"_decompositions", "_degeneracy", "_gauge", "_types", "arreig_jax", *arreig.__all__},
    "arreig_torch": {"_decompositions", "_degeneracy", "_gauge", "_types", "arreig_torch", *arreig.__all__},
}
# library: the layers that may import it
LIBRARIES = {
    "array_api_compat": {"_array_api", "_backends", "testing"},
    "autograd": {"arreig_autograd"},
    "cupy": {"_backends"},
    "cupyx": {"_backends"},
    "dask": {"arreig_dask"},
    "jax": {"_backends", "arreig_jax"},
    "matplotlib": {"_diagnosis"},
    "numpy": {"__main__", "_backends", "arreig_jax", "testing"},
    "scipy": {"__main__", "_backends", "arreig_jax"},
    "threadpoolctl": {"_backends"},
    "torch": {"_backends", "arreig_torch"},
}


def dotted(path: Path) -> tuple[str, ...]:
    """The dotted name of a file's module, split."""
    folder = ADAPTERS if path.is_relative_to(ADAPTERS) else ROOT.parent
    return path.relative_to(folder).with_suffix("").parts


def layer(path: Path) -> str:
    package, *rest = dotted(path)
    return rest[0] if package == "arreig" else package


def imports(path: Path) -> set[tuple[str, ...]]:
    """Absolute dotted names, split, of everything a file imports, at any depth of nesting."""
    package = dotted(path)[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module or "").split(".")) if node.module else base
            found |= {(*module, alias.name) for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: ".".join(dotted(p)))
def test_imports_point_one_way(path: Path) -> None:
    own = layer(path)
    for name in imports(path):
        if name[0] == "arreig":
            allowed = LAYERS[own]
            assert "*" in allowed or name[-1] == own or (*name, "__init__")[1] in allowed, (
                f"{own} must not import {'.'.join(name)}"
            )
        elif name[0] == own:
            continue
        elif name[0] not in sys.stdlib_module_names:
            assert own in LIBRARIES[name[0]], f"{own} must not import {name[0]}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: ".".join(dotted(p)))
def test_files_stay_readable(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", sorted(ADAPTERS.rglob("*.py")), ids=lambda p: ".".join(dotted(p)))
def test_adapters_hold_no_mathematics(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.MatMult | ast.Div | ast.Pow), f"line {node}"
        assert not (isinstance(node, ast.Attribute) and node.attr == "linalg")


def test_import_loads_no_framework() -> None:
    code = "import sys, arreig; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    modules = {name.split(".")[0] for name in loaded.stdout.split()}
    assert "arreig" in modules
    assert not modules & {
        "torch",
        "jax",
        "cupy",
        "dask",
        "autograd",
        "matplotlib",
        "rich",
        "array_api_strict",
        "threadpoolctl",
    }
    assert "scipy.sparse" not in loaded.stdout.split()


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'arreig' has no attribute 'eigz'"):
        arreig.eigz  # noqa: B018


def public_functions() -> list[str]:
    return [name for name in arreig.__all__ if inspect.isfunction(getattr(arreig, name))]


def test_public_names() -> None:
    assert sorted(arreig.__all__) == arreig.__all__
    public = {name for name in dir(arreig) if not name.startswith("_") and not inspect.ismodule(getattr(arreig, name))}
    assert public | {"__version__"} == set(arreig.__all__)
    errors = {name for name in arreig.__all__ if name.endswith("Error")}
    assert all(issubclass(getattr(arreig, name), arreig.ArreigError) for name in errors)
    assert issubclass(arreig.ArreigError, ValueError)


@pytest.mark.parametrize("name", public_functions())
def test_docstrings(name: str) -> None:
    function = getattr(arreig, name)
    doc = inspect.getdoc(function)
    assert doc
    for section in ("Parameters", "Returns", "Raises"):
        assert f"\n{section}\n{'-' * len(section)}\n" in doc, f"{name}: no section {section}"
    for parameter in inspect.signature(function).parameters:
        assert parameter in doc, f"{name}: {parameter} is not described"
    kinds = {p.name: p.kind for p in inspect.signature(function).parameters.values()}
    assert kinds["A"] is inspect.Parameter.POSITIONAL_ONLY


@pytest.fixture
def synchronisations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every time array-api-strict hands a value to Python, in which a GPU would have to stop and wait."""
    calls: list[str] = []

    def counted(name: str, original: Any) -> Any:
        def method(self: Any) -> Any:
            calls.append(name)
            return original(self)

        return method

    Array = type(array_api_strict.ones(1))
    for name in ("__bool__", "__int__", "__float__", "__complex__", "__index__"):
        monkeypatch.setattr(Array, name, counted(name, getattr(Array, name)))
    return calls


@pytest.mark.parametrize("degeneracy", ["raise", "mask", "split", "perturb", arreig.Broaden(1e-9)], ids=str)
@pytest.mark.parametrize("gauge", ["canonical", "phase-free", arreig.Component(0)], ids=str)
@pytest.mark.parametrize("check", [True, False])
def test_synchronisations(synchronisations: list[str], check: bool, gauge: Any, degeneracy: Any) -> None:
    """One a call with checks, one to learn whether to refine, one whether vectors are missing; none without checks."""
    rng = np.random.default_rng(0)
    A = array_api_strict.asarray(rng.standard_normal((3, 4, 4)), device=array_api_strict.Device("device1"))
    options = {"gauge": gauge, "degeneracy": degeneracy, "check": check}
    S = A + array_api_strict.matrix_transpose(A)
    M = A @ array_api_strict.matrix_transpose(A)
    one_call = {
        "eig": lambda: arreig.eig(A, sort="abs", left=True, **options),
        "eig_vjp": lambda: arreig.eig_vjp(A, gV, gw, gW=0 * gV, **options),
        "eig_vjp, supplied": lambda: arreig.eig_vjp(A, gV, gw, eigensystem=(w, V), **options),
        "eig_jvp": lambda: arreig.eig_jvp(A, S, left=True, **options),
        "eigh": lambda: arreig.eigh(S, **options),
        "eigh_jvp": lambda: arreig.eigh_jvp(S, A, **options),
        "eigh_vjp": lambda: arreig.eigh_vjp(S, gw=arreig_w, **options),
        "eig, B": lambda: arreig.eig(S, A, left=True, **options),
        "eig_vjp, B": lambda: arreig.eig_vjp(S, 0 * gV, gw, gW=0 * gV, B=A, **options),
        "eig_jvp, B": lambda: arreig.eig_jvp(S, A, B=A, dB=S, **options),
        "eigh, B": lambda: arreig.eigh(S, M, **options),
        "eigh_vjp, B": lambda: arreig.eigh_vjp(S, 0 * A, arreig_w, B=M, **options),
        "eigvals_vjp": lambda: arreig.eigvals_vjp(A, gw, check=check),
        "eigvalsh_jvp": lambda: arreig.eigvalsh_jvp(S, A, check=check),
        "eigvals": lambda: arreig.eigvals(A, sort="real", check=check),
        "eigvalsh": lambda: arreig.eigvalsh(A + array_api_strict.matrix_transpose(A), check=check),
        "matrix_function": lambda: arreig.matrix_function(A, *exp, check=check),
        "matrix_function_vjp": lambda: arreig.matrix_function_vjp(A, *exp, A, check=check),
        "matrix_function_jvp": lambda: arreig.matrix_function_jvp(S, *exp, A, hermitian=True, check=check),
        "spectral_projector_vjp": lambda: arreig.spectral_projector_vjp(A, 4, A, check=check),
        "invariant_subspace_jvp": lambda: arreig.invariant_subspace_jvp(A, 4, A, check=check),
    }
    exp = (array_api_strict.exp, array_api_strict.exp)
    w, V = arreig.eig(A, **options)
    arreig_w = arreig.eigvalsh(S)
    gV, gw = V * array_api_strict.real(V), w
    with array_api_strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
        for name, call in one_call.items():
            synchronisations.clear()
            call()
            refined = name.removesuffix(", B") in ("eig_vjp", "eig_jvp") and not isinstance(degeneracy, arreig.Broaden)
            split = name.removesuffix(", B") in ("eig", "eig_vjp", "eig_jvp") and degeneracy == "split"
            twice = name in ("matrix_function", "matrix_function_vjp")
            assert synchronisations == ["__bool__"] * check * (1 + refined + split + twice), name
