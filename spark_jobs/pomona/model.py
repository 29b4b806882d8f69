"""The MLflow model: a pyfunc over `pomona.vision.chain`, the one module beside `vision/` that travels inside the artifact.

Input: a column `image` with a file's bytes, or the same in base64. Output: one row an image with `label`, `probability` and
`probabilities`, a dictionary from every class to its probability in the model's order. A dictionary serves all three kinds of
user: the REST answer names the classes, `pandas.DataFrame(answers["probabilities"].tolist())` is the table with a column a
class, and a class called `label` collides with nothing. Whether a picture is unknown is told to who asks for it: the columns that others
rely on stay as they were.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mlflow.pyfunc
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from pomona.vision.chain import Chain
from pomona.vision.decode import BadImage

ON_BAD_IMAGE = ("raise", "report")


class Answer(NamedTuple):
    """What is said of one image; of a bad one why it is bad, and else null and nothing."""

    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    unknown: bool | None
    novelty: float | None
    error: str | None


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """From images to labels and probabilities; one image gives the same numbers alone and in any batch."""

    def load_context(self, context: Any) -> None:
        """Reads the chain from the artifact's folder."""
        self._chain = Chain.load(Path(context.artifacts["chain"]))
        # OpenCV's extractor object keeps state during a call, and servers call from several threads.
        self._lock = threading.Lock()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """One row an image: label, probability, probabilities.

        Parameters
        ----------
        model_input
            A column `image` of bytes or base64 text; may be empty.
        params
            `on_bad_image`: `raise` (default) refuses the whole batch; `report` answers for the others and adds a column `error`,
            null where all is well; the bad image's label and probability are null and its probabilities empty.
            A JSON answer stays strict JSON: `probability` is then a column of objects, null and not NaN.
            `tell_unknown`: adds the columns `unknown`, whether the image is like nothing that the model was trained on, and `novelty`,
            above 1 for one that is; both null where the model cannot tell.

        Raises
        ------
        MlflowException
            INVALID_PARAMETER_VALUE (the server's 400), naming the first bad image by its row and why it is bad.
        """
        report, told = _on_bad_image(params) == "report", bool((params or {}).get("tell_unknown"))
        rows = []
        for index, value in enumerate(_images(model_input)):
            rows.append(self.answer(value))
            if rows[-1].error is not None and not report:
                raise _refusal(f"image {index} of {len(model_input)}: {rows[-1].error}")
        unwanted = [*([] if told else ["unknown", "novelty"]), *([] if report else ["error"])]
        answers = pd.DataFrame(rows, columns=Answer._fields, dtype=object).drop(columns=unwanted)
        return answers if report else answers.astype({"probability": float})

    def answer(self, value: object) -> Answer:
        """The answer to one image, bytes or base64 text, without a table about it: for who asks one by one."""
        try:
            data = _bytes(value)
            with self._lock:
                told = self._chain.told(data)
        except BadImage as error:
            return Answer(None, None, {}, None, None, str(error))
        classes, numbers = self._chain.classifier.classes, told.probabilities.tolist()
        label, probability = max(zip(classes, numbers, strict=True), key=lambda each: each[1])
        return Answer(label, probability, dict(zip(classes, numbers, strict=True)), told.unknown, told.novelty, None)


def _images(model_input: pd.DataFrame) -> Sequence[object]:
    if "image" not in model_input:
        raise _refusal(f"the input has the columns {', '.join(map(str, model_input.columns))}: name the images' column `image`")
    return list(model_input["image"])


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadImage(f"text that is not base64 ({error})") from None
    raise BadImage(f"{type(value).__name__} instead of bytes or base64 text")


def _on_bad_image(params: Mapping[str, Any] | None) -> str:
    choice = str((params or {}).get("on_bad_image", ON_BAD_IMAGE[0]))
    if choice not in ON_BAD_IMAGE:
        raise _refusal(f"on_bad_image={choice!r} is none of {', '.join(ON_BAD_IMAGE)}")
    return choice


def _refusal(text: str) -> MlflowException:
    return MlflowException(text, error_code=INVALID_PARAMETER_VALUE)
