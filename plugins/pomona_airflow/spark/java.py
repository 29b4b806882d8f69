"""Which Java runs Spark and its tools."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pomona_airflow.deployment import NotReady


class NoJava(NotReady):
    """There is no Java to run Spark with."""


def java_home() -> Path:
    """The folder of the Java that would run: JAVA_HOME, or that of the `java` on the path."""
    named = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{named}/bin" if named else None)
    if found is None:
        raise NoJava(f"no java in {named + '/bin' if named else 'the path'}: install openjdk-17-jre-headless")
    return Path(found).resolve().parents[1]
