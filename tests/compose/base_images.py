"""The images that the project's own are made from: those that are here or in a registry, otherwise stand-ins made on this machine.

A stand-in has the name, the paths and the variables of the official image. Debian's is made by debootstrap; Postgres comes from Debian's
package, the S3 server from its Go module. They carry this machine's way to its packages (sources, certificates, pip's settings), which
therefore stands in no Dockerfile of the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from pomona_airflow.deployment import NotReady
from run.clean_root import bootstrap, why_none
from tests import s3_server
from tests.compose.docker_engine import NoDocker, docker

DEBIAN, POSTGRES, VERSITYGW = "debian:bookworm-slim", "postgres:15", f"versity/versitygw:{s3_server.VERSION}"
STANDINS = Path(__file__).parent / "standins"
_SOURCES = ("etc/apt/sources.list", "etc/apt/sources.list.d/*")
_MACHINE = (
    "etc/apt/apt.conf.d/*",
    "etc/apt/keyrings/*",
    "usr/share/keyrings/*",
    "usr/local/share/ca-certificates/*",
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pip.conf",
)
_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
# As in the official slim image.
_CLEAN = """DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""
_SLIM = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")


def provide(scratch: Path) -> list[str]:
    """Which of the images had to be made here; afterwards all of them are here.

    Raises
    ------
    NoDocker
        When one is missing and cannot be made on this machine.
    """
    made = []
    for name, make in ((DEBIAN, _debian), (POSTGRES, _postgres), (VERSITYGW, _versitygw)):
        if docker("image", "inspect", name, check=False).returncode == 0 or _pulled(name):
            continue
        print(f"making {name} on this machine", flush=True)
        make(scratch)
        made.append(name)
    return made


def _pulled(name: str) -> bool:
    try:
        return docker("pull", "-q", name, check=False, timeout=300).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _debian(scratch: Path) -> None:
    if why_none():
        raise NoDocker(f"{DEBIAN} is not here, no registry has it, and it cannot be made: {why_none()}")
    root = scratch / "debian"
    try:
        bootstrap(root)
    except NotReady as error:
        raise NoDocker(str(error)) from None
    for folder in _SLIM:
        shutil.rmtree(root / folder, ignore_errors=True)
    (root / "etc/dpkg/dpkg.cfg.d/slim").write_text("".join(f"path-exclude /{folder}/*\n" for folder in _SLIM))
    (root / "etc/apt/apt.conf.d/docker-clean").write_text(_CLEAN)
    shutil.rmtree(root / "var/cache/apt/archives", ignore_errors=True)
    shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
    _copy_machine(root)
    changes = [f"ENV {name}={os.environ[name]}" for name in _VARIABLES if os.environ.get(name)]
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        words = [word for change in (*changes, 'CMD ["bash"]') for word in ("-c", change)]
        docker("import", *words, "-", DEBIAN, stdin=tar.stdout)
    shutil.rmtree(root)


def _copy_machine(root: Path) -> None:
    """This machine's package sources, certificates and pip settings, put into the folder of the image."""
    sources = [source for source in _files(_SOURCES) if "bookworm" in source.read_text(errors="replace")]
    if sources:
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
    # Hooks call programs that the image does not have.
    more = [file for file in _files(_MACHINE) if not (file.parent.name == "apt.conf.d" and "Invoke" in file.read_text(errors="replace"))]
    for file in (*sources, *more):
        target = root / file.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)


def _files(patterns: tuple[str, ...]) -> list[Path]:
    return [file for pattern in patterns for file in Path("/").glob(pattern) if file.is_file()]


def _postgres(scratch: Path) -> None:
    docker("build", "-q", "-t", POSTGRES, str(STANDINS / "postgres"))


def _versitygw(scratch: Path) -> None:
    try:
        program = s3_server.built()
    except s3_server.NoServer as error:
        raise NoDocker(str(error)) from None
    context = scratch / "versitygw"
    shutil.copytree(STANDINS / "versitygw", context)
    shutil.copy2(program, context / "versitygw")
    docker("build", "-q", "-t", VERSITYGW, str(context))
