"""``python -m arreig diagnose matrix.npy``: why gradients through the eigenvectors of a matrix explode."""

import argparse
import sys
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import scipy.io
import scipy.sparse

from ._decompositions.diagnose import diagnose
from ._errors import ArreigError

_SPARSE = {"format", "shape", "data"}  # what scipy.sparse.save_npz writes in any format


def read(path: Path, name: str | None = None) -> Any:
    """The matrix in a NumPy or Matrix Market file; name: of an array in an npz file.

    Raises
    ------
    ValueError
        With a message for the user.
    """
    try:
        return _read(path, name)
    except (ValueError, OSError, EOFError, MemoryError, BadZipFile) as error:
        raise ValueError(f"cannot read {path}: {error}") from error


def _read(path: Path, name: str | None) -> Any:
    kind = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    if name is not None and kind != ".npz":
        raise ValueError("--array names an array in an npz file")
    if kind == ".npy":
        return np.load(path, allow_pickle=False)
    if kind == ".npz":
        with np.load(path, allow_pickle=False) as file:
            if name is None and set(file.files) >= _SPARSE:
                return scipy.sparse.load_npz(path).toarray()
            if not file.files:
                raise ValueError("it has no array")
            if name is None and len(file.files) != 1:
                raise ValueError(f"it has the arrays {', '.join(file.files)}: choose one with --array")
            if name is not None and name not in file.files:
                raise ValueError(f"it has no array {name}, but {', '.join(file.files)}")
            return file[name or file.files[0]]
    if kind in (".mtx", ".mtx.gz"):
        matrix = scipy.io.mmread(path)
        return matrix.toarray() if scipy.sparse.issparse(matrix) else matrix
    raise ValueError("expected a .npy, .npz, .mtx or .mtx.gz file")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 if the default options are safe for every eigenpair, 1 if not, 2 for bad input."""
    parser = argparse.ArgumentParser(prog="python -m arreig", description="Eigendecompositions and their derivatives.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "diagnose",
        help="why gradients through the eigenvectors of a matrix explode",
        description="Condition numbers, gaps, ties, clusters, and a verdict. Exit code: 0 safe, 1 not safe, 2 bad input.",
    )
    command.add_argument("matrix", type=Path, help=".npy, .npz (NumPy, SciPy sparse), or Matrix Market: .mtx, .mtx.gz")
    command.add_argument("--array", metavar="NAME", help="which array of a .npz file that has several")
    command.add_argument("--plot", metavar="OUT.png", type=Path, help="draw the eigenvalues to this file")
    command.add_argument(
        "--perturbation", type=float, default=1e-3, help="relative change of the matrix that the discs show (1e-3)"
    )
    chosen = parser.parse_args(arguments)
    try:
        if not 0 < chosen.perturbation < float("inf"):
            raise ValueError(f"--perturbation must be positive, got {chosen.perturbation}")
        diagnosis = diagnose(read(chosen.matrix, chosen.array))
        text = str(diagnosis)
        if chosen.plot is not None:
            figure: Any = diagnosis.plot(perturbation=chosen.perturbation).figure
            figure.savefig(chosen.plot, dpi=150)
    except (ArreigError, ValueError, OSError, ImportError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0 if diagnosis.safe else 1


if __name__ == "__main__":
    sys.exit(main())
