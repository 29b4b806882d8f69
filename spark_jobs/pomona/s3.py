"""What an S3 store wants to know, credentials left out: part of the contract between deployment and jobs.

Credentials are those of AWS's own chain (AWS_ACCESS_KEY_ID and its like, a profile, a role), which every process of a job finds for
itself; nothing of them travels in arguments.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

ENCRYPTIONS = ("AES256", "aws:kms")


@dataclass(frozen=True)
class S3:
    """Endpoint, region and encryption; an empty text leaves each to AWS's own default."""

    endpoint: str = ""
    region: str = ""
    encryption: str = ""
    kms_key: str = ""

    @property
    def text(self) -> str:
        """JSON of what is set, as a job's command line carries it."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> S3:
        """The settings of such a text.

        Raises
        ------
        ValueError
            When it is no JSON object of these names and texts.
        """
        values = json.loads(text or "{}")
        if not isinstance(values, dict) or not set(values) <= set(cls.__dataclass_fields__) or not all(map(_is_text, values.values())):
            raise ValueError(f"{text} is no JSON object of {', '.join(cls.__dataclass_fields__)}")
        return cls(**values)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


AWS = S3()
