"""S3's faults in words: what is tried again and how often, what is told at once, and what a worker or the JVM said."""

from __future__ import annotations

import pickle

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, NoCredentialsError

from pomona import bucket, store_faults
from pomona.lake import Lake
from pomona.outcome import BadInput
from pomona.s3 import S3

PLACE = "s3://fruit/lake at http://127.0.0.1:9"


def answered(code: str, status: int, message: str = "so it is") -> OSError:
    """What s3fs raises for S3's answer."""
    error = OSError(5, message)
    error.__cause__ = ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )
    return error


class Failing:
    """A file system whose calls fail in this order, and then go well."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def call_s3(self, method: str, **_: object) -> dict[str, object]:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return {"ContentLength": 7}


@pytest.fixture
def store(monkeypatch):
    """A bucket over a failing file system, and how long it waited between its tries."""
    waits: list[float] = []
    monkeypatch.setattr("pomona.bucket.time.sleep", waits.append)

    def over(*errors: Exception) -> tuple[bucket.Bucket, Failing, list[float]]:
        fs = Failing(*errors)
        connected = lambda s3, process: fs  # noqa: E731
        connected.cache_clear = lambda: None  # type: ignore[attr-defined]
        monkeypatch.setattr(bucket, "_connected", connected)
        return bucket.Bucket("s3://fruit/lake", S3("http://127.0.0.1:9")), fs, waits

    return over


def test_what_passes_is_tried_again_after_waits_that_grow(store):
    passing = [answered("InternalError", 500), answered("SlowDown", 503), ConnectionClosedError(endpoint_url="x"), answered("Odd", 502)]
    place, fs, waits = store(*passing)
    assert place.size("file") == 7
    assert fs.calls == 5
    assert [round(2**tried * 0.05, 2) <= wait <= 2**tried * 0.1 for tried, wait in enumerate(waits)] == [True] * 4


def test_a_store_that_goes_on_failing_is_given_up_after_eight_tries_in_one_line(store):
    place, fs, waits = store(*[answered("SlowDown", 503, "Please reduce your request rate.")] * 20)
    with pytest.raises(
        store_faults.StoreAway, match=r"^s3://fruit/lake at http://127.0.0.1:9 failed 8 times .SlowDown.: it may be back"
    ) as raised:
        place.size("file")
    assert (fs.calls, "\n" in str(raised.value)) == (8, False)
    assert 6 < sum(waits) < 13


def test_nobody_at_the_endpoint_is_told_after_eight_tries(store):
    place, fs, _ = store(*[EndpointConnectionError(endpoint_url="http://127.0.0.1:9")] * 20)
    with pytest.raises(store_faults.StoreAway, match=r"cannot be reached .EndpointConnectionError.: check POMONA_S3_ENDPOINT"):
        place.size("file")
    assert fs.calls == 8


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (answered("InvalidAccessKeyId", 403), "does not know the access key (InvalidAccessKeyId): set AWS_ACCESS_KEY_ID"),
        (answered("SignatureDoesNotMatch", 403), "refuses the secret key (SignatureDoesNotMatch): set AWS_ACCESS_KEY_ID"),
        (answered("ExpiredToken", 400), "a session token that has expired (ExpiredToken): renew AWS_SESSION_TOKEN"),
        (answered("AccessDenied", 403, "no\nrights"), "denies access (AccessDenied: no rights): give this user s3:ListBucket"),
        (answered("OurOwnRefusal", 403), "denies access (403: so it is): give this user s3:ListBucket"),
        (answered("NoSuchBucket", 404), "does not exist (NoSuchBucket): make the bucket, or set POMONA_LAKE"),
        (answered("QuotaExceeded", 403), "is full (QuotaExceeded): make room"),
        (answered("Whatever", 507), "is full (507): make room"),
        (answered("InternalError", 500, "write: no space left on device"), "is full (QuotaExceeded): make room"),
        (
            answered("KMS.NotFoundException", 400),
            "cannot use the KMS key (KMS.NotFoundException: so it is): check POMONA_S3_KMS_KEY",
        ),
        (NoCredentialsError(), "this process finds no credentials (NoCredentialsError): set AWS_ACCESS_KEY_ID"),
    ],
)
def test_what_stays_is_told_at_once_in_one_line(store, error, line):
    place, fs, _ = store(error)
    with pytest.raises(BadInput) as raised:
        place.size("file")
    assert line in str(raised.value)
    assert str(raised.value).startswith(PLACE)
    assert (fs.calls, "\n" in str(raised.value)) == (1, False)


def test_a_worker_s_fault_is_found_in_the_error_of_spark():
    told = f"{PLACE} is full (507): make room or raise the quota"
    text = f"An exception was thrown from the Python worker:\nTraceback …\npomona.store_faults.StoreFault: {told}\n\nJVM stacktrace:\n…"
    assert str(store_faults.told_elsewhere(text, "s3://other", list)) == told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "java.nio.file.AccessDeniedException: s3a://fruit/lake/x: getFileStatus: software.amazon.awssdk.services.s3.model.S3Exception: "
            "(Service: S3, Status Code: 400, Request ID: 1):ExpiredToken: it has expired",
            "(ExpiredToken)",
        ),
        ("java.io.FileNotFoundException: s3a://fruit/lake/part.parquet: no such file", ""),
        ("java.lang.ArithmeticException (AccessDenied) far from any store", ""),
    ],
)
def test_the_jvm_s_fault_is_told_in_the_same_words(text, line):
    told = store_faults.told_elsewhere(text, "s3://fruit/lake", list)
    assert (line in str(told), told is not None) == (True, bool(line))


def test_what_the_jvm_s_head_could_not_say_is_asked_once_more():
    def ask() -> None:
        raise store_faults.StoreFault("as the store says")

    text = (
        "AWSBadRequestException: getFileStatus on s3a://fruit/x: S3Exception: Fault (Service: S3, Status Code: 400, Request ID: null):null"
    )
    assert str(store_faults.told_elsewhere(text, "s3://fruit/lake", ask)) == "as the store says"
    assert store_faults.told_elsewhere(text, "s3://fruit/lake", list) is None
    assert store_faults.told_elsewhere("ArithmeticException: no store", "s3://fruit/lake", ask) is None


def test_a_lake_on_s3_travels_as_texts_and_no_other_scheme_is_taken():
    lake = Lake("s3://fruit/a+b c", "n", S3(region="here"))
    assert pickle.loads(pickle.dumps(lake)) == lake
    assert lake.location("parts/x") == "s3://fruit/a+b c/n/parts/x"
    for root in ("gs://fruit", "s3://"):
        with pytest.raises(BadInput, match="names neither a folder nor a bucket"):
            Lake(root, "n").names("")
