"""`python3 docker/answers.py URL [TEXT]`: 0 when the address answers with success. For health checks: it imports next to nothing.

TEXT is a text that the answer must hold or, of Airflow's own health page, the component that must be healthy.
"""

from __future__ import annotations

import json
import sys
import urllib.request


def main(url: str, wanted: str = "") -> str:
    """Empty when all is well, otherwise one line."""
    try:
        with urllib.request.urlopen(url, timeout=8) as answer:
            text = answer.read().decode()
    except OSError as error:
        return f"{url}: {error}"
    if url.endswith("/monitor/health"):
        state = json.loads(text).get(wanted, {})
        return "" if state.get("status") == "healthy" else f"{wanted} is {state.get('status')}"
    return "" if wanted in text else f"{url} does not say {wanted}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) or 0)
