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
    place = urlsplit(landing)
    client = boto3.client("s3", endpoint_url=os.environ["POMONA_S3_ENDPOINT"])
    files = sorted(path for path in folder.rglob("*") if path.is_file())

    def put(path: Path) -> None:
        key = "/".join((place.path.strip("/"), path.relative_to(folder).as_posix()))
        client.put_object(Bucket=place.netloc, Key=key, Body=path.read_bytes())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, files))
    return len(files)


def main(words: list[str]) -> None:
    landing = os.environ["POMONA_LANDING"]
    if words:
        if not Path(words[0]).is_dir():
            raise SystemExit(f"{words[0]} is no folder in this container: mount it with -v")
        print(f"{upload(Path(words[0]), landing)} files are in {landing}")
        return
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, "-m", "demo.orchard", scratch], check=True)
        print(f"{upload(Path(scratch), landing)} drawn pictures are in {landing}")


if __name__ == "__main__":
    main(sys.argv[1:])
