"""A real text for the language models: Python's own language reference, in words.

It comes with every installation of Python (module pydoc_data). The commonest words are kept, others
become ``<unk>``; the last tenth of the text is held out. A bigram model fitted on the same words
says what a language model has to beat.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np

import polyback as pb

UNKNOWN = "<unk>"


class Text:
    """``training`` and ``held_out``: numbers of words in a dictionary of ``size``."""

    def __init__(self, size: int = 2000, length: int | None = None) -> None:
        plain = re.sub(r"[*=~-]{4,}", " ", pb.data.python_topics().lower())  # no rulers
        words = re.findall(r"[a-z_]+|\d+|[^\s\w]|\n\n", plain)[:length]
        cut = len(words) * 9 // 10
        common = Counter(words[:cut]).most_common(size - 1)
        self.dictionary = pb.data.Dictionary([UNKNOWN, *(word for word, _ in common)])
        ids = self.dictionary.encode(words, unknown=UNKNOWN)
        self.training, self.held_out = ids[:cut], ids[cut:]
        self.size = len(self.dictionary)

    def decode(self, ids: list[int]) -> str:
        """Readable text."""
        text = " ".join(self.dictionary.decode(ids))
        return re.sub(r" ([.,:;)\]'])", r"\1", re.sub(r"([(\[']) ", r"\1", text))


def bigram_perplexity(text: Text) -> float:
    """Of ``a p(word | word before) + b p(word) + c / size`` with the best weights on the held-out
    words themselves: a bound that no such model does better than."""
    size, train, test = text.size, text.training, text.held_out
    counts = np.bincount(train, minlength=size)
    pairs = Counter(zip(train[:-1].tolist(), train[1:].tolist(), strict=True))
    before = np.bincount(train[:-1], minlength=size)
    bigram = np.array([pairs[a, b] / max(before[a], 1) for a, b in itertools.pairwise(test)])
    parts = np.stack([bigram, counts[test[1:]] / len(train), np.full(len(test) - 1, 1 / size)])
    weights = np.full(3, 1 / 3)
    for _ in range(200):  # expectation maximisation
        share = weights[:, None] * parts
        weights = (share / share.sum(0)).mean(1)
    return float(np.exp(-np.log(weights @ parts).mean()))
