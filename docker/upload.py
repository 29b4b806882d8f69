"""`python docker/upload.py [FOLDER]`: puts a folder of pictures, one folder a label, into the landing zone; without one, drawn pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import boto3


def upload(folder: Path, landing: str) -> int:
    """How many files were written, each under its path below the folder."""
    files, place = found(folder), urlsplit(landing)
    client = boto3.client("s3", endpoint_url=os.environ["POMONA_S3_ENDPOINT"])

    def put(path: Path) -> None:
        key = "/".join((place.path.strip("/"), path.relative_to(folder).as_posix()))
        client.put_object(Bucket=place.netloc, Key=key, Body=path.read_bytes())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, files))
    return len(files)


def found(folder: Path) -> list[Path]:
    """The files below the folder.

    Raises
    ------
    SystemExit
        When there is none, as below a folder that Docker has made because there was none of that name, or when one cannot be read.
    """
    below = sorted(folder.rglob("*"))
    hidden = [path for path in (folder, *below) if path.exists() and not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))]
    if hidden:
        raise SystemExit(f"{hidden[0]} cannot be read by user {os.getuid()} of this container: allow it with chmod -R a+rX")
    files = [path for path in below if path.is_file()]
    if not files:
        raise SystemExit(f"{folder} holds no file: nothing was uploaded; is there a folder at the place that is mounted?")
    return files


def main(words: list[str]) -> None:
    landing = os.environ["POMONA_LANDING"]
    if words:
        if not Path(words[0]).is_dir():
            raise SystemExit(f"{words[0]} is no folder in this container: mount it with -v")
        print(f"{upload(Path(words[0]), landing)} files were put into {landing}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, "-m", "demo.orchard", scratch], check=True)
        print(f"{upload(Path(scratch), landing)} drawn pictures were put into {landing}")


if __name__ == "__main__":
    main(sys.argv[1:])
