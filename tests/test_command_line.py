"""python -m arreig diagnose: its files, its exit codes, its messages."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from matplotlib.image import imread

from arreig.__main__ import main

SAFE = np.array([[1.0, 0.3, 0.0], [0.2, 2.0, 0.1], [0.0, 0.4, 5.0]])


def write(path: Path, A: Any) -> None:
    if path.name.endswith((".mtx", ".mtx.gz")):
        scipy.io.mmwrite(path, A) if path.suffix == ".mtx" else scipy.io.mmwrite(str(path.with_suffix("")), A)
        if path.suffix == ".gz":
            import gzip

            path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    elif scipy.sparse.issparse(A):
        scipy.sparse.save_npz(path, A)
    elif path.suffix == ".npz":
        np.savez(path, A=A)
    else:
        np.save(path, A)


@pytest.mark.parametrize(
    ("name", "sparse"),
    [("A.npy", False), *((name, sparse) for name in ("A.npz", "A.mtx", "A.mtx.gz") for sparse in (False, True))],
)
@pytest.mark.parametrize(("matrix", "code"), [(SAFE, 0), (np.eye(3), 1)], ids=["safe", "not safe"])
def test_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, sparse: bool, matrix: Any, code: int
) -> None:
    path = tmp_path / name
    write(path, scipy.sparse.csr_array(matrix) if sparse else matrix)
    assert main(["diagnose", str(path)]) == code
    out, err = capsys.readouterr()
    assert "Order 3" in out
    assert ("NOT SAFE" in out) is bool(code)
    assert not err


def test_plot(tmp_path: Path) -> None:
    np.save(tmp_path / "A.npy", SAFE)
    assert (
        main(["diagnose", str(tmp_path / "A.npy"), "--plot", str(tmp_path / "out.png"), "--perturbation", "0.1"]) == 0
    )
    picture = imread(tmp_path / "out.png")
    blue = (np.abs(picture[..., :3] - np.array([0xCF, 0xE3, 0xF1]) / 255) < 0.01).all(-1)
    assert 0.005 < blue.mean() < 0.5


def test_one_of_several_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "A.npz")
    np.savez(path, one=SAFE, two=np.eye(3))
    assert main(["diagnose", path, "--array", "one"]) == 0
    assert main(["diagnose", path, "--array", "two"]) == 1
    capsys.readouterr()
    assert main(["diagnose", path]) == 2
    assert "it has the arrays one, two: choose one with --array" in capsys.readouterr().err
    np.savez(str(tmp_path / "none.npz"))
    assert main(["diagnose", str(tmp_path / "none.npz")]) == 2
    assert "none.npz: it has no array" in capsys.readouterr().err
    assert main(["diagnose", path, "--array", "three"]) == 2
    assert "it has no array three, but one, two" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "extra", "message"),
    [
        ("A.npy", None, [], "No such file"),
        ("A.txt", b"1 2", [], "cannot read A.txt: expected a .npy, .npz, .mtx or .mtx.gz file"),
        ("A.npy", b"no array", [], "cannot read A.npy"),
        ("A.npy", b"", [], "cannot read A.npy"),
        ("A.npz", b"no archive", [], "cannot read A.npz"),
        ("A.mtx", b"no matrix", [], "cannot read A.mtx"),
        ("A.npy", np.ones((2, 3)), [], "must be square"),
        ("A.npy", np.full((2, 2), np.nan), [], "must be finite"),
        ("A.npy", np.array([["a"]]), [], "dtype"),
        ("A.npy", SAFE, ["--array", "x"], "names an array in an npz file"),
        ("A.npy", SAFE, ["--perturbation", "0"], "must be positive"),
        ("A.npy", SAFE, ["--plot", "nowhere/out.png"], "nowhere"),
        ("A.npy", SAFE, ["--plot", "out.unknown"], "unknown"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: Any,
    extra: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path(name).write_bytes(content)
    elif content is not None:
        np.save(name, content)
    assert main(["diagnose", name, *extra]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1
    assert message in err


def test_as_a_command(tmp_path: Path) -> None:
    np.save(tmp_path / "A.npy", np.eye(3))
    command = [sys.executable, "-m", "arreig"]
    for arguments, code in (([], 2), (["diagnose", str(tmp_path / "A.npy")], 1), (["other"], 2), (["--help"], 0)):
        done = subprocess.run(command + arguments, capture_output=True, text=True, check=False)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
