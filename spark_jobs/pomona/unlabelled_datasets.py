"""The datasets of pictures that nobody has labelled. Part of the contract, standard library only."""

from __future__ import annotations

from pomona.dataset import CONTENT, Dataset, columns

DATASETS_OF_UNLABELLED = (
    Dataset(
        "scored",
        "rows",
        "one row per listed file without a label: what the champion said of it; beside it the same as CSV",
        columns(
            ("path", "string", "below the folder of unlabelled pictures, with /"),
            ("size", "int64", "bytes, as listed"),
            ("version", "string", "modification time or ETag, as listed"),
            ("content", "string", "SHA-256 of the file's bytes, hexadecimal; null where they could not be read"),
            ("label", "string", "what the champion says; null where it could not be asked"),
            ("probability", "float64", "of the label"),
            ("margin", "float64", "by which the probability is above the next label's"),
            ("unknown", "bool", "whether the picture is like nothing that the champion knows; null where it cannot tell"),
            ("novelty", "float64", "how unlike; above 1 it is unknown"),
            ("reason", "string", "why there is no label; else null"),
            ("final", "bool", "false: looked at again by the next run"),
            ("champion", "int32", "the model version that answered"),
            ("at", "string", "UTC, ISO 8601"),
        ),
    ),
    Dataset(
        "observations",
        "rows",
        "one row per file without a label that waits until there are enough of them to be compared with training",
        columns(
            ("path", "string", "below the folder of unlabelled pictures, with /"),
            ("size", "int64", "bytes, as listed"),
            ("version", "string", "modification time or ETag, as listed"),
            CONTENT,
            ("reason", "string", "why it is no usable picture; else null"),
            ("probabilities", "list<float64>", "of every class, in the champion's order; null, as all below, for no usable picture"),
            ("words", "binary", "(n_words,) float16: shares of the words that the picture's points took"),
            ("quantisation", "float64", "mean squared distance of the points to their words"),
            ("reconstruction", "float64", "share of the vector that the projection loses"),
            ("n_keypoints", "int64", "points"),
            ("brightness", "float64", "mean grey, 0 to 1"),
            ("blur", "float64", "higher is blurrier"),
            ("red", "float64", "cast of the light: ln(red / green)"),
            ("blue", "float64", "ln(blue / green)"),
            ("champion", "int32", "the model version that observed it"),
            ("at", "string", "UTC, ISO 8601"),
        ),
    ),
)
