"""learn_vocabulary: draws training descriptors and clusters them into visual words.

Rows in: descriptors of training images. Out: the vocabulary, words with their spread, from a sample that is a function
of the training images and the seed alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pomona.outcome import BadInput, Result
from pomona.work import Work

if TYPE_CHECKING:
    import pyarrow as pa

    from pomona.tasks import Batches, Transform


def draw_rows(*, share: float, seed: int, n_dims: int) -> Transform:
    """A transform of descriptors rows into (content, the drawn rows of its matrix as bytes)."""

    def transform(batches: Batches) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import pyarrow as pa

        from pomona.vision.words import draw

        for batch in batches:
            contents, packed = batch["content"].to_pylist(), batch["descriptors"]
            drawn = [
                draw(content, np.frombuffer(matrix.as_buffer(), np.uint8).reshape(-1, n_dims), share=share, seed=seed).tobytes()
                for content, matrix in zip(contents, packed, strict=True)
            ]
            yield pa.RecordBatch.from_arrays([batch["content"], pa.array(drawn, pa.binary())], ["content", "descriptors"])

    return transform


def run(work: Work) -> Result:
    """Draws about `descriptors_per_word` training descriptors a word, learns the words and reports how they came out."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from pomona.vision.describe import n_dims
    from pomona.vision.words import Preparation, TooFewDescriptors, learn, prepare, vocabulary_size

    knobs = work.knobs
    preparation, dims = Preparation.of(knobs), n_dims(knobs["extractor"])
    roster = work.table("roster", ["content", "label", "split"])
    train = roster.filter(pc.equal(roster["split"], "train"))
    n_words = vocabulary_size(knobs, len(set(train["label"].to_pylist())))
    files, index = work.described()
    index = index.filter(pc.and_(pc.is_in(index["content"], train["content"]), pc.equal(index["copy"], 0)))
    n_keypoints = pc.sum(index["n_keypoints"]).as_py() or 0
    share = min(1.0, n_words * knobs["descriptors_per_word"] / max(1, n_keypoints))
    rows = work.parts(files, index.select(["content", "copy", "part"]), ["content", "descriptors"])
    schema = pa.schema([("content", pa.string()), ("descriptors", pa.binary())])
    drawn = rows.map(draw_rows(share=share, seed=knobs["seed"], n_dims=dims)).table(schema).sort_by("content")
    pieces = [piece.as_buffer() for piece in drawn["descriptors"]]
    sample = np.frombuffer(b"".join(pieces), np.uint8).reshape(-1, dims)
    try:
        learned = learn(prepare(sample, preparation), knobs=knobs, n_words=n_words)
    except TooFewDescriptors as error:
        raise BadInput(str(error)) from None
    work.clear("vocabulary")
    file = work.lake.write_arrays(work.folder("vocabulary"), "vocabulary", learned.vocabulary.arrays())
    counts = {
        "words": n_words,
        "sampled": len(sample),
        "empty": learned.n_empty,
        "duplicate_words": learned.n_duplicate,
        "inertia": learned.inertia,
    }
    mean_square = learned.inertia / len(sample)
    line = f"{n_words:,} words from {len(sample):,} of {n_keypoints:,} training descriptors, mean squared distance {mean_square:.4g}"
    if learned.n_empty or learned.n_duplicate:
        line += f"; {learned.n_empty:,} words empty, {learned.n_duplicate:,} twice"
    return Result(line, {"vocabulary": [file]}, counts)
