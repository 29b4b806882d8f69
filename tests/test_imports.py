"""Imports run one way: dags → pomona_airflow → the contract; jobs → the rest of pomona; vision imports nothing of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
POMONA = PROJECT / "spark_jobs" / "pomona"
AIRFLOW = PROJECT / "plugins" / "pomona_airflow"
OURS = ("pomona", "pomona_airflow", "serving", "run", "demo", "bench", "run_stage")
CONTRACT = {"pomona.stages", "pomona.knobs", "pomona.command", "pomona.outcome", "pomona.s3"}
# What a task or trigger may use once it runs: the lake and other places, and the questions that are asked of them there.
INSIDE = {
    "pomona.lake",
    "pomona.storage",
    "pomona.store_faults",
    "pomona.lookout",
    "pomona.errand",
    "pomona.newness",
    "pomona.approval",
    "pomona.monitoring.record",
    "pomona.reigns",
}
HEAVY = {"pyspark", "cv2", "mlflow", "faiss", "sklearn", "pandas"}


def imports(path: Path, *, inside_functions: bool = True) -> Iterator[str]:
    """The modules that a file imports by name; of `from a import b` both `a` and, for our packages, `a.b`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = set()
    if not inside_functions:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
            ):
                hidden |= {id(child) for child in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides where it leads"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" if _is_module(f"{module}.{alias.name}") else module for alias in node.names)


def _is_module(name: str) -> bool:
    place = PROJECT / "spark_jobs" / name.replace(".", "/")
    return name.startswith("pomona.") and (place.with_suffix(".py").exists() or place.is_dir())


def ours(path: Path, **options: bool) -> set[str]:
    return {name for name in imports(path, **options) if name.split(".")[0] in OURS}


def files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, f"no Python file below {folder}"
    return found


def test_dag_files_import_the_contract_and_our_airflow_parts_only() -> None:
    for path in files(PROJECT / "dags"):
        for name in ours(path):
            assert name in CONTRACT or name.startswith("pomona_airflow"), f"{path.name} imports {name}"
        assert not {name.split(".")[0] for name in imports(path)} & HEAVY, path.name


def test_airflow_parts_import_the_contract_and_inside_functions_the_lake() -> None:
    for path in files(AIRFLOW):
        for name in ours(path, inside_functions=False):
            assert name in CONTRACT or name.startswith("pomona_airflow"), f"{path.name} imports {name}"
        for name in ours(path):
            assert name in CONTRACT | INSIDE or name.startswith("pomona_airflow"), f"{path.name} imports {name}"
        assert not {name.split(".")[0] for name in imports(path, inside_functions=False)} & HEAVY, path.name


def test_settings_are_read_by_the_deployment_which_both_kinds_of_engine_know_and_emr_alone_knows_the_other() -> None:
    for room, known in (("settings", ("settings",)), ("spark", ("settings", "spark")), ("emr", ("settings", "spark", "emr"))):
        for path in files(AIRFLOW / room):
            for name in ours(path):
                rooms = {part for part in ("settings", "spark", "emr") if name.startswith(f"pomona_airflow.{part}")}
                assert rooms <= set(known), f"{room}/{path.name} imports {name}"
                assert room != "settings" or rooms or name in CONTRACT, f"{room}/{path.name} imports {name}"


def test_the_contract_imports_the_standard_library_and_itself() -> None:
    import sys

    for name in sorted(CONTRACT):
        for imported in imports(POMONA / f"{name.removeprefix('pomona.')}.py"):
            assert imported in CONTRACT or imported.split(".")[0] in sys.stdlib_module_names, f"{name} imports {imported}"


def test_vision_imports_nothing_of_ours_but_itself_and_no_spark() -> None:
    for path in files(POMONA / "vision"):
        for name in imports(path):
            assert name.split(".")[0] not in OURS or name.startswith("pomona.vision"), f"{path.name} imports {name}"
            assert name.split(".")[0] not in {"pyspark", "mlflow", "airflow"}, f"{path.name} imports {name}"


def test_jobs_never_import_each_other_and_nothing_imports_a_job_by_name() -> None:
    for path in files(POMONA):
        for name in ours(path):
            assert not name.startswith("pomona.jobs"), f"{path.name} imports {name}"


def test_nothing_in_pomona_knows_airflow_or_the_rooms_around_it() -> None:
    for path in files(POMONA):
        for name in imports(path):
            assert name.split(".")[0] not in {"airflow", "pomona_airflow", "serving", "run", "demo", "bench"}, f"{path.name} imports {name}"


def test_the_web_process_imports_no_pomona_no_mlflow_and_no_vision() -> None:
    for path in files(PROJECT / "serving"):
        assert ours(path) - {"pomona_airflow.deployment", "pomona_airflow.settings.checks"} <= {
            name for name in ours(path) if name.split(".")[0] == "serving"
        }, path.name
        # Each of these two is a process of its own.
        if path.name not in ("registry.py", "worker.py"):
            assert not {name.split(".")[0] for name in imports(path)} & {*HEAVY, "numpy", "pyarrow", "PIL"}, path.name
        assert not {name.split(".")[0] for name in imports(path, inside_functions=False)} & {*HEAVY, "numpy", "pyarrow", "PIL"}, path.name


def test_only_jobs_and_what_they_are_given_start_spark() -> None:
    for path in files(POMONA):
        # tasks.py is given the context by a job, effort.py looks for one that is there already.
        if path.parent.name != "jobs" and path.name not in ("work.py", "tasks.py", "effort.py"):
            assert "pyspark" not in {name.split(".")[0] for name in imports(path)}, path.name
