"""`python3 run/check.py`: one line for each thing that this machine lacks, and exit code 1; silent when nothing is missing.

Runs with whatever Python is there, before any package is installed: the standard library only, and no syntax of the last ten years.
"""

import os
import re
import shutil
import subprocess
import sys


def missing():  # type: () -> list[str]
    """The lines, each with the Debian package that mends it."""
    lines = []
    version = "%d.%d" % sys.version_info[:2]  # noqa: UP031
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        lines.append("Python 3.11 or 3.12 is needed, this is %s: install python3.11 python3.11-venv, then add PYTHON=python3.11" % version)  # noqa: UP031
    else:
        try:
            import ensurepip  # noqa: F401
        except ImportError:
            lines.append("Python %s cannot make virtual environments: install python%s-venv" % (version, version))  # noqa: UP031
    java = _java()
    if java is None:
        lines.append("Java 17 or newer is needed, there is none: install openjdk-17-jre-headless")
    elif java < 17:
        lines.append("Java 17 or newer is needed, this is %d: install openjdk-17-jre-headless, or set JAVA_HOME" % java)  # noqa: UP031
    return lines


def _java():  # type: () -> int | None
    """The major version of the Java that would run, None without one."""
    home = os.environ.get("JAVA_HOME")
    found = os.path.join(home, "bin", "java") if home else shutil.which("java")  # noqa: PTH118
    if not found or not os.path.exists(found):  # noqa: PTH110
        return None
    release = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(found))), "release")  # noqa: PTH118, PTH120
    text = open(release).read() if os.path.exists(release) else ""  # noqa: PTH110, PTH123, SIM115
    said = re.search(r'JAVA_VERSION="(?:1\.)?(\d+)', text)
    if not said:
        answer = subprocess.run([found, "-version"], stderr=subprocess.PIPE, check=False).stderr.decode("utf-8", "replace")
        said = re.search(r'version "(?:1\.)?(\d+)', answer)
    return int(said.group(1)) if said else None


if __name__ == "__main__":
    found = missing()
    for line in found:
        print(line, file=sys.stderr)
    sys.exit(1 if found else 0)
