"""The datasets: what stages hand to each other, with the columns or arrays of each. Part of the contract, standard library only."""

from __future__ import annotations

from collections.abc import Mapping

from pomona.dataset import CONTENT as _CONTENT
from pomona.dataset import Dataset
from pomona.dataset import columns as _columns
from pomona.unlabelled_datasets import DATASETS_OF_UNLABELLED

_COPY = ("copy", "int32", "0: the image itself; above: an altered copy of a training image; below: so many quarters turned")

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        *DATASETS_OF_UNLABELLED,
        Dataset(
            "images",
            "rows",
            "one row per content: the bytes as they came",
            _columns(
                _CONTENT,
                ("image", "binary", "the file's bytes, untouched"),
                ("format", "string", "what the bytes are (JPEG, PNG, …), whatever the file's name says"),
                ("width", "int32", "pixels, as stored"),
                ("height", "int32", "pixels, as stored"),
            ),
            shared=True,
        ),
        Dataset(
            "placements",
            "rows",
            "one row per path of a readable image, over all time; a numbered snapshot of it belongs to each run",
            _columns(
                ("path", "string", "below the landing folder, with /"),
                ("size", "int64", "bytes, as listed"),
                ("version", "string", "modification time or ETag, as listed"),
                _CONTENT,
                ("part", "string", "the images part that holds the bytes"),
                ("label", "string", "first folder below the split"),
                ("split", "string", "train or test"),
                ("group", "string", "images that belong together (a video, a variety)"),
                ("first_seen", "string", "UTC, ISO 8601"),
                ("gone_since", "string", "UTC, ISO 8601; null while the path is listed"),
            ),
        ),
        Dataset(
            "rejects",
            "rows",
            "one row per listed file that is no usable image",
            _columns(
                ("path", "string", "below the landing folder, with /"),
                ("size", "int64", "bytes, as listed"),
                ("version", "string", "modification time or ETag, as listed"),
                ("reason", "string", "why, in a few words"),
                ("final", "bool", "false: looked at again by the next ingest"),
                ("first_seen", "string", "UTC, ISO 8601"),
            ),
        ),
        Dataset(
            "roster",
            "rows",
            "the distinct images of one run, sorted by content: leaks, copies and conflicts taken out",
            _columns(
                _CONTENT,
                ("path", "string", "its first path"),
                ("label", "string", "its one label"),
                ("split", "string", "train or test"),
                ("group", "string", "images that belong together"),
                ("part", "string", "the images part that holds the bytes"),
            ),
        ),
        Dataset(
            "annotations",
            "rows",
            "one row per label that a person gave, over all time: the last one on a content counts",
            _columns(
                _CONTENT,
                ("path", "string", "where its image lay: below the landing folder, or ../unlabelled/…; may be empty"),
                ("label", "string", "what was said; null: nobody could tell, and the image is out of training"),
                ("annotator", "string", "who said so"),
                ("at", "string", "when: UTC, ISO 8601"),
                ("note", "string", "whatever else was written beside it"),
                ("file", "string", "the CSV below labels/"),
                ("line", "int32", "its line"),
                ("standing", "bool", "whether it counts in this run"),
                ("folder_label", "string", "the label of the image's folder; null for an image that came without one"),
            ),
        ),
        Dataset(
            "descriptors",
            "rows",
            "one row per content, copy and extractor key: local descriptors and a colour histogram",
            _columns(
                _CONTENT,
                _COPY,
                ("n_keypoints", "int32", "rows of the matrix; may be 0"),
                ("descriptors", "binary", "(n_keypoints, n_dims) uint8, row by row"),
                ("histogram", "binary", "(n_bins,) float32, sums to 1"),
                ("fingerprint", "int64", "perceptual hash: near copies differ in few of its 64 bits"),
            ),
            shared=True,
        ),
        Dataset(
            "vocabulary",
            "arrays",
            "the visual words",
            _columns(
                ("words", "float32[n_words, d]", "centres in the space of prepared descriptors, or of their axes"),
                ("variances", "float32[n_words, d]", "of the descriptors of each word"),
                ("weights", "float32[n_words]", "share of the descriptors of each word"),
                ("mean", "float32[n_dims]", "of the prepared descriptors"),
                ("axes", "float32[n_local, n_dims]", "principal axes of the prepared descriptors; none: n_local is 0"),
            ),
        ),
        Dataset(
            "encoder",
            "arrays",
            "the projection fitted on training rows",
            _columns(
                ("mean", "float64[n_features]", "mean of the training vectors"),
                ("components", "float64[n_components, n_features]", "principal axes, largest variance first"),
            ),
        ),
        Dataset(
            "features",
            "rows",
            "one row per image of the run and per altered copy of a training image; the images alone beside it as CSV",
            _columns(
                _CONTENT,
                _COPY,
                ("image", "string", "its first path"),
                ("label", "string", "its one label"),
                ("split", "string", "train or test"),
                ("group", "string", "images that belong together"),
                ("features", "list<float64>", "the projected vector"),
            ),
        ),
        Dataset(
            "near_copies",
            "rows",
            "one row per test image that has a near copy in train: the nearest one",
            _columns(
                _CONTENT,
                (
                    "train_content",
                    "string",
                    "the training image that it is nearest to; of equally near ones that with the smallest fingerprint, then content",
                ),
                ("distance", "int32", "bits by which the fingerprints differ"),
            ),
        ),
        Dataset(
            "baseline",
            "arrays",
            "a logistic regression on the colour histogram alone, fitted on the declared sample: what a model must beat",
            _columns(
                ("classes", "str[n_classes]", "labels, sorted"),
                ("weights0", "float64[n_bins, n_classes]", "over the square root of the histogram"),
                ("bias0", "float64[n_classes]", "its bias"),
            ),
        ),
        Dataset(
            "model",
            "arrays",
            "the classifier's layers: weights0, bias0, weights1, …",
            _columns(
                ("classes", "str[n_classes]", "labels, sorted"),
                ("weights0", "float64[n_components, n_out]", "first layer; further layers follow"),
                ("bias0", "float64[n_out]", "first layer's bias"),
            ),
        ),
        Dataset(
            "familiarity",
            "arrays",
            "where the known classes lie, and by which rule a picture is like none of them: centres, scales, threshold, if there is one",
            _columns(
                ("means", "float64[n_classes, n_components]", "of the classes' features"),
                ("precision", "float64[n_components, n_components]", "inverse of the covariance that the classes share"),
            ),
        ),
        Dataset(
            "profile",
            "arrays",
            "what some of the training images looked like to the model; answer and fit by the chains that held them out, where some did",
            _columns(
                ("probabilities", "float64[n_images, n_classes]", "of each class"),
                ("words", "float16[n_images, n_words]", "shares of the words that an image's points took"),
                ("quantisation", "float64[n_images]", "mean squared distance of the points to their words"),
                ("reconstruction", "float64[n_images]", "share of the vector that the projection loses"),
                ("n_keypoints", "int64[n_images]", "points"),
                ("brightness", "float64[n_images]", "mean grey, 0 to 1"),
                ("blur", "float64[n_images]", "higher is blurrier"),
                ("cast", "float64[n_images, 2]", "of the light: logarithms of red and of blue over green"),
                ("labels", "str[n_images]", "of the images"),
                ("groups", "str[n_images]", "images that belong together"),
                ("classes", "str[n_classes]", "of the probabilities, in their order"),
                ("held_out", "bool[n_images]", "whether a chain of the cross-validation did"),
            ),
        ),
        Dataset(
            "validation",
            "document",
            "grouped cross-validation on training rows, everything fitted inside the fold",
            _columns(
                ("accuracy", "float", "mean over held-out images"),
                ("macro_f1", "float", "mean of the classes' F1"),
                ("interval", "list", "95 % interval of the accuracy, groups resampled"),
                ("n_images", "int", "images in the declared sample"),
                ("n_groups", "int", "their groups"),
                ("n_folds", "int", "folds; 0 when the data allow none, then `why` says so"),
                ("unknown", "dict", "the share of pictures that are marked unknown, of known classes and of classes left out of training"),
                ("ablation", "list", "the accuracy without each piece of the recipe, and the difference; empty unless asked for"),
            ),
        ),
        Dataset(
            "suspects",
            "rows",
            "one row per training image of the declared sample whose label the cross-validation doubts, the most doubtful first",
            _columns(
                _CONTENT,
                ("label", "string", "its label"),
                ("group", "string", "images that belong together"),
                ("prediction", "string", "what a model says that saw neither the image nor its group"),
                ("label_probability", "float64", "of its label, by that model"),
                ("prediction_probability", "float64", "of the prediction"),
                ("confident", "bool", "the prediction is as probable as it is on average for images that bear it"),
            ),
        ),
        Dataset(
            "predictions",
            "rows",
            "one row per test image, beside it the same as CSV",
            _columns(
                _CONTENT,
                ("image", "string", "its first path"),
                ("label", "string", "what the folder says"),
                ("group", "string", "images that belong together"),
                ("prediction", "string", "what the model says"),
                ("probability", "float64", "of the prediction"),
                ("probabilities", "list<float64>", "of every class, in the model's order"),
            ),
        ),
        Dataset(
            "metrics",
            "document",
            "the scores, official and group-safe, with intervals over groups",
            _columns(
                ("official", "dict", "scores on all test images"),
                ("group_safe", "dict", "scores on test images whose group is not in train"),
                ("validation", "dict", "the cross-validated score from train"),
                ("leakage", "dict", "copies across the split, and the scores without the test images that have one"),
                ("calibration", "dict", "whether a probability of 0.8 is right four times in five"),
                ("robustness", "dict", "the accuracy on spoiled copies of some test images"),
                ("worst_groups", "list", "the groups that are recognised worst"),
            ),
        ),
        Dataset(
            "verdict",
            "document",
            "promote or keep, and why",
            _columns(
                ("decision", "str", "promote or keep"),
                ("reason", "str", "one line"),
                ("words", "str", "a paragraph for who decides over the product"),
                ("champion", "int", "the version it was measured against; null without one"),
                ("checks", "list", "each rule of the gate: its name, whether it is met, and a line"),
            ),
        ),
        Dataset(
            "registration",
            "document",
            "the MLflow version, the report and the summary of the run",
            _columns(
                ("version", "int", "the registered model's version"),
                ("alias_moved", "bool", "whether champion points to it now"),
            ),
        ),
    )
}
