"""docs/explore.ipynb: it opens a small run and draws what its files hold; without a run it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.conftest import PROJECT, Runs

NOTEBOOK = PROJECT / "docs" / "explore.ipynb"
# Asked of the notebook's own kernel when its cells have run: what its figures show.
DRAWN = """
import json

def bars(which):
    (container,) = axes[which].containers
    points, _, (lines,) = container
    ends = [[float(x) for x in segment[:, 0]] for segment in lines.get_segments()]
    titles = [text.get_text() for text in axes[which].get_yticklabels()]
    return {title: [float(x), *reach] for title, x, reach in zip(titles, points.get_xdata(), ends, strict=True)}

measured = axes["reliability"].lines[1]
print(json.dumps({
    "scores": bars("scores"),
    "recall": bars("recall"),
    "confusion": axes["confusion"].images[0].get_array().tolist(),
    "confusion_names": [text.get_text() for text in axes["confusion"].get_yticklabels()],
    "reliability": [[float(x) for x in line] for line in (measured.get_xdata(), measured.get_ydata())],
    "features": {points.get_label(): points.get_offsets().tolist() for points in axes["features"].collections},
    "frames": {dataset: len(frame) for dataset, frame in frames.items()},
}))
"""


def executed(monkeypatch: pytest.MonkeyPatch, scratch: Path, **environment: str) -> Any:
    """The notebook's cells, run in a kernel of their own with these variables, and one more that prints what the figures show."""
    for variable in ("POMONA_LAKE", "POMONA_NAME", "POMONA_RUN"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in {**environment, "IPYTHONDIR": str(scratch / "ipython"), "PYTHONPATH": str(PROJECT / "spark_jobs")}.items():
        monkeypatch.setenv(variable, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(DRAWN))
    NotebookClient(notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    return notebook


@pytest.mark.heavy
def test_the_notebook_draws_what_the_run_holds(runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kinds = sorted((runs.landing / "Test").iterdir())
    for file in sorted(kinds[0].iterdir())[:4]:
        file.rename(kinds[1] / f"r7_{file.name}")
    runs.through("r", "evaluate", robustness_images=0)
    work = runs.work("r", "register")
    metrics, predictions, features = work.document("metrics"), work.table("predictions").to_pylist(), work.table("features").to_pylist()
    notebook = executed(monkeypatch, tmp_path, POMONA_LAKE=str(runs.folder / "lake"), POMONA_NAME=runs.name)
    drawn = json.loads(notebook.cells[-1]["outputs"][0]["text"])

    right = [row["label"] == row["prediction"] for row in predictions]
    assert 0 < sum(right) < len(right), "four pictures lie in the wrong folder"
    low, high = metrics["official"]["accuracy_interval"]
    assert drawn["scores"]["official"] == pytest.approx([sum(right) / len(right), low, high])
    safe = metrics["group_safe"]
    assert ("group-safe" in drawn["scores"]) == (safe["accuracy"] is not None)
    assert "cross-validated" not in drawn["scores"], "the run has no folds"

    labels = sorted({row["label"] for row in predictions} | {row["prediction"] for row in predictions})
    assert drawn["confusion_names"] == labels
    for i, label in enumerate(labels):
        of_it = [row["prediction"] for row in predictions if row["label"] == label]
        assert drawn["confusion"][i] == pytest.approx([of_it.count(taken) / max(1, len(of_it)) for taken in labels])
        if of_it:
            assert drawn["recall"][label][0] == pytest.approx(of_it.count(label) / len(of_it))

    bins: dict[int, list[tuple[float, bool]]] = {}
    for row, is_right in zip(predictions, right, strict=True):
        bins.setdefault(int(row["probability"] * 10), []).append((row["probability"], is_right))
    expected = [[sum(value[i] for value in bins[n]) / len(bins[n]) for n in sorted(bins)] for i in (0, 1)]
    assert [pytest.approx(line) for line in expected] == drawn["reliability"]

    for side in ("train", "test"):
        points = [row["features"][:2] for row in features if (row["label"], row["split"]) == (labels[0], side)]
        assert points
        assert sorted(drawn["features"][f"{labels[0]}, {side}"]) == [pytest.approx(point) for point in sorted(points)]
    roster = work.table("roster")
    assert drawn["frames"] == {
        "roster": len(roster),
        "descriptors": len(roster),
        "features": len(roster),
        "predictions": roster["split"].to_pylist().count("test"),
    }


def test_without_a_run_the_notebook_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(CellExecutionError, match=r"no run of 'orchard' was evaluated in .*: start one with `make run`, or set POMONA_LAKE"):
        executed(monkeypatch, tmp_path, POMONA_LAKE=str(tmp_path / "lake"))
    assert not (tmp_path / "lake").exists()


def test_the_notebook_is_kept_without_outputs_and_runs_from_top_to_bottom() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert [cell["execution_count"] for cell in code] == [None] * len(code)
