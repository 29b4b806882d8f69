"""`python -m serving`: the champion on loopback, by default of the deployment that the environment describes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import uvicorn

from pomona_airflow.deployment import Deployment, of_others
from pomona_airflow.settings.checks import BadSetting
from serving.app import Limits, Sample, create_app
from serving.following import Following

# Who is asked to end answers what it was asked, so long.
_GRACE_S = 30


def main(words: Sequence[str]) -> None:
    os.environ |= of_others()
    try:
        deployment = Deployment.from_environment()
    except BadSetting as error:
        sys.exit(str(error))
    serve = deployment.serve
    parser = argparse.ArgumentParser(prog="python -m serving", description="Answers images with the champion of a name.")
    parser.add_argument("--name", default=deployment.name, help="registered model (%(default)s)")
    parser.add_argument("--tracking", default=deployment.tracking, help="MLflow tracking URI (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=deployment.serve_port, help="port to listen on (%(default)s)")
    parser.add_argument("--max-mb", type=float, default=serve.max_mb, help="larger bodies are refused (%(default)s)")
    parser.add_argument("--workers", type=int, default=serve.workers, help="images answered at once (%(default)s)")
    parser.add_argument("--queue", type=int, default=serve.queue, help="requests that may wait beside them (%(default)s)")
    given = parser.parse_args(words)
    if given.workers < 1 or given.queue < 0:
        parser.error("--workers must be at least 1, --queue at least 0")
    app = create_app(
        Following(name=given.name, tracking=given.tracking, n_workers=given.workers),
        limits=Limits(given.max_mb, given.workers + given.queue),
        sample=Sample(serve.log, serve.sample),
    )
    uvicorn.run(
        app, host=given.host, port=given.port, log_level="info", access_log=False, proxy_headers=False, timeout_graceful_shutdown=_GRACE_S
    )


if __name__ == "__main__":
    main(sys.argv[1:])
