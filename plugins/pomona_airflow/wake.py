"""An SQS queue with the bucket's events, read as an alarm clock only: a message means "look now", whatever stands in it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

_AWS_HOST = re.compile(r"sqs\.([a-z0-9-]+)\.amazonaws\.com")
# A thread in a long poll cannot be called back: short enough that a triggerer that is told to end is not held up.
_LONGEST_POLL_S = 5
_DRAIN_S = 5.0


@dataclass(frozen=True)
class Queue:
    """The queue at this URL; credentials are those of AWS's own chain."""

    url: str
    region: str = ""

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        parts = urlsplit(self.url)
        found = _AWS_HOST.match(parts.hostname or "")
        return boto3.client(
            "sqs",
            endpoint_url=f"{parts.scheme}://{parts.netloc}",
            region_name=found[1] if found else self.region or None,
            config=Config(connect_timeout=5, read_timeout=4 * _LONGEST_POLL_S, retries={"mode": "standard", "max_attempts": 2}),
        )

    def wait(self, seconds: float) -> bool:
        """Whether a message came within the time, at most 5 s; all that lie there are taken away with it.

        What happens to a message after it was taken is no matter: the listing says what has arrived, and the next look by the clock
        sees what a lost message would have told.
        """
        messages = self._receive(round(max(0.0, min(seconds, _LONGEST_POLL_S))))
        came, until = bool(messages), time.monotonic() + _DRAIN_S
        while messages:
            handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
            self._client.delete_message_batch(QueueUrl=self.url, Entries=handles)
            messages = self._receive(0) if time.monotonic() < until else []
        return came

    def _receive(self, seconds: int) -> list[dict[str, Any]]:
        answer = self._client.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=seconds)
        return list(answer.get("Messages", []))
