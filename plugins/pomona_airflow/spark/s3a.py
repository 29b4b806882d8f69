"""What tells Spark how to reach event logs on s3://: Hadoop's settings, and nothing secret among them."""

from __future__ import annotations

from pathlib import Path

from pomona.outcome import BadInput
from pomona.s3 import S3
from pomona_airflow.deployment import Deployment, NotReady

_ENCRYPTIONS = {"AES256": "AES256", "aws:kms": "SSE-KMS"}


def s3a(deployment: Deployment) -> dict[str, str]:
    """Spark's settings for S3; none when Spark itself opens nothing there."""
    return settings(deployment.s3) if on_s3(deployment) else {}


def on_s3(deployment: Deployment) -> bool:
    """Whether Spark itself opens anything on S3: its event logs; lake and landing zone are read and written by Python."""
    return deployment.spark_events.startswith(("s3://", "s3a://"))


def settings(s3: S3) -> dict[str, str]:
    """The settings of Hadoop's S3A file system, as Spark's properties."""
    conf = {
        # The environment, a profile, a web identity, the role of container or machine: the chain that Python uses too.
        "aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
        # The default reads through the analytics accelerator, which is made for larger files than ours.
        "input.stream.type": "classic",
        # One layer of retries: the SDK tries once, Hadoop six times more, at most half a minute.
        "attempts.maximum": "1",
        "retry.limit": "6",
        "retry.interval": "500ms",
        "retry.throttle.limit": "6",
        "retry.throttle.interval": "500ms",
        "connection.establish.timeout": "5s",
    }
    if s3.endpoint:
        # A server of one's own knows no names like bucket.server.
        conf |= {"endpoint": s3.endpoint, "path.style.access": "true", "endpoint.region": s3.region or "us-east-1"}
        conf["connection.ssl.enabled"] = str(s3.endpoint.startswith("https://")).lower()
    elif s3.region:
        conf["endpoint.region"] = s3.region
    if s3.encryption:
        conf["encryption.algorithm"] = _ENCRYPTIONS[s3.encryption]
    if s3.kms_key:
        conf["encryption.key"] = s3.kms_key
    return {f"spark.hadoop.fs.s3a.{name}": value for name, value in conf.items()}


def event_log(deployment: Deployment) -> dict[str, str]:
    """Spark's settings for its event log, whose folder is there from now on; none without one."""
    folder = deployment.spark_events
    if not folder:
        return {}
    path = folder.removeprefix("file://")
    if "://" not in path:
        Path(path).mkdir(parents=True, exist_ok=True)
    elif path.count("/") > 2:
        _keep(path.rstrip("/"), deployment.s3)
    return events_in(folder.replace("s3://", "s3a://", 1))


def events_in(folder: str) -> dict[str, str]:
    """Spark's settings for event logs in the folder or URI: one file a stage, and not a folder of pieces as from Spark 4 on.

    As plain text, a quarter of a megabyte: whoever looks for something in it, a secret that should not be there, finds it.
    """
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder,
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }


def _keep(uri: str, s3: S3) -> None:
    """Puts an empty file below the URI: Spark writes only into folders that are there, and on S3 none is without a file."""
    from pomona.lake import Lake

    above, _, name = uri.rpartition("/")
    try:
        Lake(above, name, s3).put(".keep", b"")
    except BadInput as fault:
        raise NotReady(str(fault)) from None
