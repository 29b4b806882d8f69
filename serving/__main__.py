"""`python -m serving`: the champion on loopback, by default of the deployment that the environment describes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import uvicorn

from pomona_airflow.deployment import BadSetting, Deployment, of_others
from serving.app import MAX_MB, create_app
from serving.champion import Champion, forget_code


def main(words: Sequence[str]) -> None:
    os.environ |= of_others()
    try:
        deployment = Deployment.from_environment()
    except BadSetting as error:
        sys.exit(str(error))
    parser = argparse.ArgumentParser(prog="python -m serving", description="Answers images with the champion of a name.")
    parser.add_argument("--name", default=deployment.name, help="registered model (%(default)s)")
    parser.add_argument("--tracking", default=deployment.tracking, help="MLflow tracking URI (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=deployment.serve_port, help="port to listen on (%(default)s)")
    parser.add_argument("--max-mb", type=float, default=MAX_MB, help="larger bodies are refused (%(default)s)")
    given = parser.parse_args(words)
    # The settings are read with today's pomona; the model brings its own, which must be the one that is imported.
    forget_code(list(sys.path))
    app = create_app(Champion(name=given.name, tracking=given.tracking), max_mb=given.max_mb)
    uvicorn.run(app, host=given.host, port=given.port, log_level="info")


if __name__ == "__main__":
    main(sys.argv[1:])
