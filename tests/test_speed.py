"""The benchmark of speed: every side computes the same gradient, and all that is measured is shown. No time is judged."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import speed
from benchmarks.sides import SIDES

pytestmark = [pytest.mark.xdist_group("jax"), pytest.mark.filterwarnings("ignore::arreig.GaugeTieWarning")]


@pytest.fixture(scope="module")
def cases() -> list[speed.Case]:
    return [speed.measure(n, 4, dtype, 2) for n, dtype in ((3, "float64"), (2, "complex64"))]


def test_sides_compute_the_same_gradient(cases: list[speed.Case]) -> None:
    assert [case.difference < (1e-4 if case.dtype == "complex64" else 1e-12) for case in cases] == [True] * len(cases)


def test_a_wrong_gradient_shows() -> None:
    own = speed.random(3, 4, "float64")
    assert speed.difference({"arreig": own, "other": 1.01 * own}) == pytest.approx(0.01)


def test_tables_have_all_that_was_measured(cases: list[speed.Case]) -> None:
    console = Console(width=200, record=True)
    for markdown in (True, False):
        found = speed.tables(cases, markdown)
        assert len(found) == 2 * len(speed.OPERATIONS)
        for table in found:
            console.print(table)
    text = console.export_text()
    for case in cases:
        assert set(case.seconds) == set(SIDES)
        assert all(len(turns) == 2 for turns in case.seconds.values())
        assert case.memory > 0
    # milliseconds of eight sides and seven ratios forward; numpy and its ratio only there
    assert re.search(r"forward, float64.*\n\n(\| [^|]*){17}\|\n", text)
    assert re.search(r"both, complex64.*\n\n(\| [^|]*){15}\|\n", text)
    assert not re.search(r"\bnan\b|\binf\b", text)


def test_pictures_and_notes(cases: list[speed.Case], tmp_path: Path) -> None:
    speed.draw(tmp_path / "speed.png", cases, speed.machine(1))
    assert (tmp_path / "speed.png").stat().st_size > 10_000
    assert [len(re.findall(r"ratio \d", note)) for note in speed.single(1)] == [1] * 4
    assert "added" in speed.import_time(1)
