"""Lloyd's algorithm on every descriptor, the yardstick of a vocabulary that saw a sample only.

Order: as `learn_vocabulary`, and `words`, an .npy file with the words to be judged. Found: `descriptors`; `inertia` of Lloyd's words over
all of them, `judged` that of the given words.
"""

from __future__ import annotations

import faiss
import numpy as np
import pyarrow.parquet as pq

from bench.plain.clock import Order, clocked
from bench.plain.learn_vocabulary import drawn, k_means, rooted


def lloyd(order: Order) -> Order:
    wanted = pq.read_table(order["train"])["content"].combine_chunks()
    every = np.concatenate([drawn(path, wanted, 1.0, np.random.default_rng(0)) for path in order["descriptors"]])
    points = rooted(every, order["colour_weight"])
    words = k_means(points, order["n_words"], order["iterations"], order["seed"])
    found, judged = (float(faiss.knn(points, each, 1)[0].sum(dtype=np.float64)) for each in (words, np.load(order["words"])))
    return {"descriptors": len(points), "inertia": found, "judged": judged}


if __name__ == "__main__":
    clocked(lloyd)
