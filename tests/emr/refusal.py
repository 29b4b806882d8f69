"""What both services of the stand-in have in common: the region, and an answer that is an error."""

from __future__ import annotations

REGION = "us-east-1"


class Refusal(Exception):
    """An answer that is an error; `code` and `text` as AWS gives them."""

    def __init__(self, code: str, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.status = code, text, status
