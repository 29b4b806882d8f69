"""What docker-compose.yaml, the Dockerfile and the generated .env promise, as far as reading them tells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.docker_engine import NoDocker, engine
from tests.compose.process_list import watched

PROJECT = Path(__file__).resolve().parents[2]
DOCKER = PROJECT / "docker"


def script(name: str, *words: str) -> str:
    """What a script of docker/ prints."""
    return subprocess.run([sys.executable, str(DOCKER / name), *words], capture_output=True, text=True, check=True).stdout


def packages(lock: str) -> set[str]:
    return set(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)(?:\[.*\])?==", lock))


def services() -> dict[str, dict[str, Any]]:
    return dict(yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())["services"])


def test_the_image_gets_what_the_project_needs_and_nothing_that_only_tests() -> None:
    declared = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    direct = {re.split(r"[\[=<>~ ]", line)[0] for line in declared["project"]["dependencies"]}
    found = packages(script("runtime_lock.py", str(PROJECT / "requirements.lock")))
    assert direct <= found
    assert found <= packages((PROJECT / "requirements.lock").read_text())
    assert not found & {"pytest", "moto", "ruff", "mypy", "uv", "cfn-lint", "pandas-stubs"}


def test_of_a_lock_only_what_is_needed_indirectly_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text(
        "a==1 ; python_version < '3.12' \\\n    --hash=sha256:00\n    # via pomona (pyproject.toml)\n"
        "a==2 ; python_version >= '3.12' \\\n    --hash=sha256:01\n    # via pomona (pyproject.toml)\n"
        "b==1 \\\n    --hash=sha256:02\n    # via\n    #   a\n    #   d\n"
        "c==1 \\\n    --hash=sha256:03\n    # via d\n"
        "d==1 \\\n    --hash=sha256:04\n    # via pomona (pyproject.toml:dev)\n"
    )
    assert re.findall(r"(?m)^\w==\d", script("runtime_lock.py", str(lock))) == ["a==1", "a==2", "b==1"]


def test_a_lock_without_the_lines_that_say_what_needs_a_package_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.write_text("a==1 \\\n    --hash=sha256:00\n")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        script("runtime_lock.py", str(lock))
    assert "the lock does not say what needs a" in refused.value.stderr


def test_the_secrets_are_drawn_once_for_this_user_alone_and_what_stands_there_stays(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("POMONA_NAME=mine\nS3_SECRET_KEY=my-own\nPOSTGRES_PASSWORD=")
    env.chmod(0o644)
    script("compose_env.py", str(env))
    first = env.read_text()
    assert first.startswith("POMONA_NAME=mine\nS3_SECRET_KEY=my-own\n")
    values = dict(line.split("=", 1) for line in first.splitlines() if "=" in line)
    assert values["S3_SECRET_KEY"] == "my-own"
    assert env.stat().st_mode & 0o777 == 0o600
    assert min(len(values[name]) for name in ("POSTGRES_PASSWORD", "AIRFLOW_ADMIN_PASSWORD", "AIRFLOW_JWT_SECRET", "S3_ACCESS_KEY")) >= 20
    assert "nothing changed" in script("compose_env.py", str(env))
    assert env.read_text() == first


def test_of_a_folder_without_files_or_with_one_that_cannot_be_read_nothing_is_uploaded(tmp_path: Path) -> None:
    (tmp_path / "apple").mkdir()
    # Users of the container are no root, to whom everything is readable.
    program = (
        "import os, runpy, sys; access = os.access; os.access = lambda path, mode: path.name != 'two.jpg' and access(path, mode); "
        f"sys.argv = ['upload.py', {str(tmp_path)!r}]; runpy.run_path({str(DOCKER / 'upload.py')!r}, run_name='__main__')"
    )

    def said() -> str:
        environment = {**os.environ, "POMONA_LANDING": "s3://pictures/landing", "POMONA_S3_ENDPOINT": "http://127.0.0.1:1"}
        return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False).stderr

    assert said().startswith(f"{tmp_path} holds no file: nothing was uploaded")
    (tmp_path / "apple" / "one.jpg").touch()
    (tmp_path / "apple" / "two.jpg").touch()
    assert said().startswith(f"{tmp_path / 'apple' / 'two.jpg'} cannot be read by user ")


def test_two_machines_draw_different_secrets(tmp_path: Path) -> None:
    for name in ("one", "two"):
        script("compose_env.py", str(tmp_path / name))
    one, two = ({line for line in (tmp_path / name).read_text().splitlines() if "=" in line} for name in ("one", "two"))
    assert len(one) == 8
    assert not one & two


def test_every_variable_that_must_be_set_is_one_that_is_drawn(tmp_path: Path) -> None:
    script("compose_env.py", str(tmp_path / ".env"))
    drawn = {line.split("=")[0] for line in (tmp_path / ".env").read_text().splitlines() if "=" in line}
    text = (PROJECT / "docker-compose.yaml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == drawn
    # A variable without a default is one of those, too.
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= drawn


def test_ports_are_open_to_this_machine_only_and_nobody_runs_with_more_rights() -> None:
    for name, service in services().items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert not {"privileged", "cap_add", "network_mode", "pid"} & set(service), name


def test_every_service_but_the_one_that_ends_has_a_health_check_and_bounded_logs() -> None:
    for name, service in services().items():
        assert ("healthcheck" in service) == (name != "setup"), name
        assert service["logging"]["options"]["max-size"], name


def test_keys_of_the_bucket_go_only_to_who_reads_or_writes_there() -> None:
    with_keys = {name for name, service in services().items() if "AWS_SECRET_ACCESS_KEY" in service.get("environment", {})}
    assert with_keys == {"setup", "mlflow", "spark-worker-1", "spark-worker-2"} | {
        f"airflow-{name}" for name in ("api-server", "scheduler", "triggerer")
    }


def test_no_secret_is_an_argument_of_a_command() -> None:
    for name, service in services().items():
        words = " ".join((*service.get("command", []), *service.get("healthcheck", {}).get("test", [])))
        assert not re.search(r"PASSWORD|SECRET|FERNET|_KEY", words), name


def test_an_address_that_does_not_answer_is_unhealthy_in_one_line() -> None:
    done = subprocess.run([sys.executable, str(DOCKER / "answers.py"), "http://127.0.0.1:1/"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_a_machine_without_docker_is_told_apart_from_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoDocker, match="there is no docker on this machine"), engine(tmp_path):
        pass


def test_a_secret_in_a_command_line_is_found_and_not_repeated() -> None:
    with watched({"TOKEN": "s3cr3t-of-the-test"}, every_s=0.02) as shown:
        subprocess.run(["sleep", "0.5", "0", "0s"], check=True)
        assert shown == {}
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)", "s3cr3t-of-the-test"], check=True)
    assert shown["TOKEN"].endswith("<secret> ")
