"""S3's answers in words: which are worth another try, and what the others mean and ask for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pomona.outcome import BadInput

_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile or role) to what this store knows"
_RIGHTS = "give this user s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there, and its KMS key where there is one"
_REGION = "set POMONA_S3_REGION to the bucket's region"
_SPACE = "make room or raise the quota"
_CRYPT = "set POMONA_S3_ENCRYPTION and POMONA_S3_KMS_KEY to what this store has"
# Error code → what is wrong, and the remedy.
_PERMANENT: Mapping[str, tuple[str, str]] = {
    "InvalidAccessKeyId": ("does not know the access key", _KEYS),
    "SignatureDoesNotMatch": ("refuses the secret key", _KEYS),
    "InvalidToken": ("refuses the session token", "renew AWS_SESSION_TOKEN with its two keys, or unset it"),
    "ExpiredToken": ("was asked with a session token that has expired", "renew AWS_SESSION_TOKEN with its two keys, or use a role"),
    "AccessDenied": ("denies access", _RIGHTS),
    "AllAccessDisabled": ("denies access", _RIGHTS),
    "Forbidden": ("denies access", _RIGHTS),
    "XAdminUserNotFound": ("does not know the access key", _KEYS),
    "401": ("denies access", _KEYS),
    "403": ("denies access", _RIGHTS),
    "RequestTimeTooSkewed": ("finds this machine's clock wrong", "set the clock"),
    "NoSuchBucket": ("does not exist", "make the bucket, or set POMONA_LAKE or POMONA_LANDING to one that is there"),
    "InvalidBucketName": ("has a name that no bucket can have", "set POMONA_LAKE or POMONA_LANDING to a bucket that is there"),
    "ParamValidationError": ("cannot be asked", "set POMONA_LAKE or POMONA_LANDING to a bucket that is there"),
    "PermanentRedirect": ("lies in another region", _REGION),
    "301": ("lies in another region", _REGION),
    "AuthorizationHeaderMalformed": ("lies in another region", _REGION),
    "IllegalLocationConstraintException": ("lies in another region", _REGION),
    "QuotaExceeded": ("is full", _SPACE),
    "InsufficientStorage": ("is full", _SPACE),
    "InsufficientCapacity": ("is full", _SPACE),
    "XMinioStorageFull": ("is full", _SPACE),
    "507": ("is full", _SPACE),
    "InvalidEncryptionAlgorithmError": ("cannot encrypt as asked", _CRYPT),
    "ServerSideEncryptionConfigurationNotFoundError": ("cannot encrypt as asked", _CRYPT),
    "NotImplemented": ("does not do what was asked", _CRYPT),
    "InvalidRequest": ("refuses the request", _CRYPT),
    "NoCredentialsError": ("cannot be asked, for this process finds no credentials", _KEYS),
    "PartialCredentialsError": ("cannot be asked, for half of the credentials is missing", _KEYS),
    "CredentialRetrievalError": ("cannot be asked, for the credentials cannot be fetched", _KEYS),
    "ProfileNotFound": ("cannot be asked, for there is no such profile", "set AWS_PROFILE to one of AWS's configuration, or unset it"),
    "TokenRetrievalError": ("cannot be asked, for the login has expired", "log in anew, or use keys or a role"),
    "UnauthorizedSSOTokenError": ("cannot be asked, for the login has expired", "log in anew, or use keys or a role"),
    "SSLError": ("cannot be reached safely", "check POMONA_S3_ENDPOINT and its certificate"),
    "EndpointConnectionError": ("cannot be reached", "check POMONA_S3_ENDPOINT, POMONA_S3_REGION and the network"),
    "ConnectTimeoutError": ("cannot be reached", "check POMONA_S3_ENDPOINT, POMONA_S3_REGION and the network"),
    "ProxyConnectionError": ("cannot be reached through the proxy", "check HTTP_PROXY, HTTPS_PROXY and NO_PROXY"),
}
_KMS = ("cannot use the KMS key", "check POMONA_S3_KMS_KEY and this user's right to it")
# What may come back: tried again, and after the last try no fault of the settings for sure.
_UNREACHABLE = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"})
_PASSING = re.compile(
    r"InternalError|ServiceUnavailable|SlowDown|RequestTimeout|RequestTimeoutException|Throttling|ThrottlingException|"
    r"TooManyRequests|RequestLimitExceeded|BandwidthLimitExceeded|OperationAborted|ConditionalRequestConflict|BadDigest|"
    r"IncompleteBody|XAmzContentSHA256Mismatch|ConnectionClosedError|ReadTimeoutError|ResponseStreamingError|"
    r"HTTPClientError|IncompleteReadError|FlexibleChecksumError|ChecksumError|ResponseParserError|ClientPayloadError|"
    r"FSTimeoutError|TimeoutError|ConnectionResetError|ClientConnectionError|ClientOSError|ServerDisconnectedError|408|"
    r"429|500|502|503|504"
)
# Codes that say little without the message that comes with them.
_QUOTED = frozenset({"AccessDenied", "401", "403", "InvalidRequest", "NotImplemented", "ParamValidationError"})
_QUOTED_CHARACTERS = 200
_FULL = re.compile(r"no space left|disk quota|quota exceeded", re.IGNORECASE)
_TOLD = re.compile(r"StoreFault: (.+)")


class StoreFault(BadInput):
    """A store says what no further try mends; the text names the place, the fault and the remedy."""


class StoreAway(RuntimeError):
    """A store failed at every try: it may be back later, and the stage that needed it is to be run again."""


def code(error: BaseException) -> str:
    """S3's error code behind the error, or its HTTP status, or the name of its class."""
    answer = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    if not isinstance(answer, dict):
        return type(error).__name__
    status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    said = str(answer.get("Error", {}).get("Code") or status)
    # A code of one store alone is judged by its status.
    known = said in _PERMANENT or _PASSING.fullmatch(said)
    return status if not known and (status in _PERMANENT or _PASSING.fullmatch(status)) else said


def passes(error: BaseException) -> bool:
    """Whether another try may mend it."""
    return not _FULL.search(str(error)) and (_PASSING.fullmatch(code(error)) is not None or code(error) in _UNREACHABLE)


def away(place: str, error: BaseException, tries: int) -> StoreAway:
    """What to raise when the last of so many tries has failed too."""
    wrong, remedy = _PERMANENT.get(code(error), (f"failed {tries} times", "it may be back later"))
    return StoreAway(f"{place} {wrong} ({code(error)}): {remedy}")


def told(place: str, error: BaseException) -> StoreFault | None:
    """The fault in one line, or None when it is not one that stays."""
    said = "QuotaExceeded" if _FULL.search(str(error)) else code(error)
    quoted = said.startswith("KMS.") or said in _QUOTED
    return fault(place, said, " ".join(_message(error).split())[:_QUOTED_CHARACTERS] if quoted else "")


def _message(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)


def fault(place: str, said: str, message: str = "") -> StoreFault | None:
    """The line for an error code at a place, or None when the code is none of those that stay."""
    wrong, remedy = _KMS if said.startswith("KMS.") else _PERMANENT.get(said, ("", ""))
    return StoreFault(f"{place} {wrong} ({said}{message and ': ' + message}): {remedy}") if wrong else None


def told_elsewhere(text: str, place: str, ask: Callable[[], object]) -> StoreFault | None:
    """The fault that stands in Spark's error, or None: a Python worker told it in our own words, the JVM by S3's code.

    A HEAD, the JVM's usual request, has no body that could name a code; so `ask` asks the store once more from here.
    """
    said = _TOLD.search(text)
    if said:
        return StoreFault(said.group(1).strip())
    if "s3a://" not in text:
        return None
    try:
        ask()
    except StoreFault as found:
        return found
    except OSError:
        return None
    words = [*re.findall(r"\b[A-Z][A-Za-z]+\b", text), *re.findall(r"Status Code: (\d{3})", text)]
    return next((found for found in (fault(place, word) for word in words) if found), None)
