"""The locked environment: what two distributions write into one folder agrees, and the lock names no address."""

from __future__ import annotations

import base64
import hashlib
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import PROJECT


@pytest.mark.parametrize("name", ["pyspark", "pyspark-client"])
def test_pysparks_two_distributions_did_not_overwrite_each_other(name):
    files = [file for file in metadata.files(name) or () if file.suffix == ".py" and file.hash is not None]
    changed = [
        str(file)
        for file in files
        if base64.urlsafe_b64encode(hashlib.sha256(Path(file.locate()).read_bytes()).digest()).rstrip(b"=").decode() != file.hash.value
    ]
    assert len(files) > 100
    assert changed == []


def test_only_one_build_of_opencv_is_installed():
    builds = {dist.name for dist in metadata.distributions() if dist.name.startswith("opencv-")}
    assert builds == {"opencv-python-headless"}


def test_the_lock_has_hashes_and_no_address():
    lines = (PROJECT / "requirements.lock").read_text().splitlines()
    pinned = [line for line in lines if "==" in line and not line.startswith((" ", "#"))]
    assert len(pinned) > 100
    assert all(line.rstrip().endswith("\\") for line in pinned), "a requirement without a hash"
    assert not [line for line in lines if "://" in line or line.startswith("-")]
