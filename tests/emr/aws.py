"""EMR and EMR Serverless without AWS: moto's server on loopback, and over it what moto lacks.

    account = Account.start()           # account.environment leads boto3, and so Airflow's hooks, here
    account.throttled = 0.3             # three of ten requests are answered by a ThrottlingException
    account.ec2.start_failure = ("VALIDATION_ERROR", "no m5.xlarge left in subnet-1")
    account.stop()

moto keeps clusters, steps, applications and job runs. What is added to it stands in `on_ec2` and `on_serverless`; who runs steps and
job runs is `runner`.
"""

from __future__ import annotations

import io
import json
import os
import random
import re
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import psutil
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from tests.emr.on_ec2 import OnEc2
from tests.emr.on_serverless import OnServerless
from tests.emr.refusal import REGION, Refusal

_JOB_RUNS = re.compile(r"/applications/(?P<application>[^/]+)/jobruns(?:/(?P<run>[^/]+))?(?P<page>/dashboard)?$")
_SERVERLESS = {("POST", False): "StartJobRun", ("GET", False): "ListJobRuns", ("GET", True): "GetJobRun", ("DELETE", True): "CancelJobRun"}


class Account:
    """One account's clusters and job runs, over HTTP. `lock` guards what requests and the runner both change.

    `calls` and `refused` count requests by operation; `asked` has every one with its parameters. What stands in `meanwhile` under an
    operation is called, once, with the process that asks, when the answer stands and is not sent yet.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.ec2, self.serverless = OnEc2(self.lock), OnServerless(self.lock)
        self.throttled = 0.0
        self.calls: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.meanwhile: dict[str, Callable[[psutil.Process], None]] = {}
        # Not random from run to run: the same requests meet the same answers.
        self._chance = random.Random(1)
        self._moto_app = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Silent)

    @classmethod
    def start(cls) -> Account:
        """An account that answers on a free port of 127.0.0.1, with nothing in it but one Serverless application."""
        account = cls()
        threading.Thread(target=account._server.serve_forever, daemon=True).start()
        return account

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What leads botocore's clients of EMR here; keys are the S3 server's, or any."""
        return {"AWS_ENDPOINT_URL_EMR": self.endpoint, "AWS_ENDPOINT_URL_EMR_SERVERLESS": self.endpoint, "AWS_DEFAULT_REGION": REGION}

    def client(self, service: str) -> Any:
        """A boto3 client of it, for a test's own looks; what is refused it does not ask again."""
        import boto3
        from botocore.config import Config

        keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}
        once = Config(retries={"total_max_attempts": 1})
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, config=once, **keys)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request; errors in the form that EMR gives them."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation, asked = _operation(environ, body)
        with self.lock:
            self.calls[operation] += 1
            self.asked.append((operation, asked))
            try:
                if self._chance.random() < self.throttled:
                    self.refused[operation] += 1
                    raise Refusal("ThrottlingException", "Rate exceeded", 400 if "HTTP_X_AMZ_TARGET" in environ else 429)
                status, answer = self._answer(operation, asked, environ)
            except Refusal as refusal:
                status, answer = refusal.status, {"__type": refusal.code, "message": refusal.text}
            meanwhile = self.meanwhile.pop(operation, None) if status == 200 else None
        if meanwhile is not None:
            meanwhile(_asking(int(environ["REMOTE_PORT"])))
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", str(uuid.uuid4()))]
        if "__type" in answer:
            headers.append(("x-amzn-ErrorType", answer["__type"]))
        start_response(f"{status} {'OK' if status == 200 else 'Refused'}", headers)
        return [json.dumps(answer).encode()]

    def _answer(self, operation: str, asked: dict[str, Any], environ: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Our own answer (`only_…`), or moto's between what stands before and after it."""
        service: Any = self.ec2 if "HTTP_X_AMZ_TARGET" in environ else self.serverless
        service.advance()
        only, before, after = (getattr(service, f"{when}_{operation}", None) for when in ("only", "before", "after"))
        if only is not None:
            return 200, only(asked)
        if before is not None:
            before(asked)
        told: list[str] = []
        text = b"".join(self._moto_app(environ, lambda status, headers, error=None: told.append(status)))
        status, answer = int(told[0].split()[0]), json.loads(text or b"{}")
        if after is not None and status == 200:
            after(asked, answer)
        return status, answer


def _asking(port: int) -> psutil.Process:
    """The process of this machine that has this port of 127.0.0.1."""
    connections = psutil.net_connections("tcp4")
    return psutil.Process(next(one.pid for one in connections if one.pid and one.laddr.port == port and one.pid != os.getpid()))


class _Silent(MotoRequestHandler):
    def log_request(self, *_: Any) -> None:
        """Nothing: pytest's output is for the tests."""


def _operation(environ: dict[str, Any], body: bytes) -> tuple[str, dict[str, Any]]:
    """The operation's name as AWS's documentation has it, and its parameters."""
    asked = json.loads(body) if body.startswith(b"{") else {}
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return target.rpartition(".")[2], asked
    match = _JOB_RUNS.match(environ["PATH_INFO"])
    if match is None:
        return f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}", asked
    named = {"applicationId": match["application"], **({"jobRunId": match["run"]} if match["run"] else {})}
    operation = "GetDashboardForJobRun" if match["page"] else _SERVERLESS[environ["REQUEST_METHOD"], bool(match["run"])]
    return operation, {**asked, **named}
