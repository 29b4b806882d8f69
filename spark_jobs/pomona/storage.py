"""Where files lie: the file system behind a folder or URI."""

from __future__ import annotations

from typing import Any

from pomona.s3 import S3


def is_local(root: str) -> bool:
    """Whether the folder or URI lies on this machine's own file system."""
    return "://" not in root or root.startswith("file://")


def file_system(root: str, s3: S3) -> tuple[Any, str]:
    """The fsspec file system of the folder or URI, and its path there without a slash at the end."""
    import fsspec

    fs, base = fsspec.core.url_to_fs(root)
    return fs, base.rstrip("/")
