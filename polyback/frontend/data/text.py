"""Text for language models: a dictionary of words, a corpus, and windows for truncated
backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, final

import numpy as np

from polyback.errors import DataError, InvalidArgument

EOS: Final = "<eos>"
Ids = np.ndarray[Any, np.dtype[np.int64]]


@final
class Dictionary:
    """Words and their numbers, in order of first use.

    >>> import polyback as pb
    >>> words = pb.data.Dictionary()
    >>> words.add("a"), words.add("b"), words.add("a"), len(words), words.words[1]
    (0, 1, 0, 2, 'b')
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self.words: list[str] = []
        self.numbers: dict[str, int] = {}
        for word in words:
            self.add(word)

    def add(self, word: str) -> int:
        """The number of ``word``, which is new or not."""
        number = self.numbers.setdefault(word, len(self.words))
        if number == len(self.words):
            self.words.append(word)
        return number

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, tokens: Iterable[str], unknown: str | None = None) -> Ids:
        """The numbers of ``tokens``; ``unknown`` stands for words that are not there. Raises
        DataError for such a word if there is no ``unknown``."""
        spare = None if unknown is None else self.numbers.get(unknown)
        try:
            found = [self.numbers[t] if spare is None else self.numbers.get(t, spare)
                     for t in tokens]  # fmt: skip
        except KeyError as error:
            raise DataError(
                f"[Dictionary] {error.args[0]!r} is not among {len(self)} words; want unknown="
            ) from None
        return np.array(found, np.int64)

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words of ``ids``."""
        return [self.words[int(k)] for k in ids]


@final
class Corpus:
    """A text corpus as the Penn Treebank is laid out: ``train.txt``, ``valid.txt``, ``test.txt`` in
    ``folder``, words separated by spaces; every line ends in ``<eos>``.

    ``train``, ``valid``, ``test``: the numbers of the words (int64), by one ``dictionary``.
    ``max_lines``: read no more of each file. Raises DataError.
    """

    def __init__(self, folder: str | Path, max_lines: int | None = None) -> None:
        self.dictionary = Dictionary()
        self.train, self.valid, self.test = (
            self._read(Path(folder) / f"{part}.txt", max_lines)
            for part in ("train", "valid", "test")
        )

    def _read(self, path: Path, max_lines: int | None) -> Ids:
        try:
            with path.open(encoding="utf-8") as file:
                ids = [
                    self.dictionary.add(word)
                    for k, line in enumerate(file)
                    if max_lines is None or k < max_lines
                    for word in (*line.split(), EOS)
                ]
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"[Corpus] {path}: {error}; want a text file in UTF-8") from None
        return np.array(ids, np.int64)


def batchify(ids: Ids, batch_size: int) -> Ids:
    """``batch_size`` pieces of the text side by side: (length // batch_size, batch_size), time
    first; what does not fill a row is left out.

    >>> import polyback as pb, numpy as np
    >>> pb.data.batchify(np.arange(7), 2).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    rows = len(ids) // batch_size if batch_size > 0 else 0
    if rows < 2:
        raise InvalidArgument(
            f"[batchify] got {len(ids)} words in {batch_size} pieces; want 2 words or more in each"
        )
    return np.ascontiguousarray(np.asarray(ids)[: rows * batch_size].reshape(batch_size, rows).T)


def windows(batched: Ids, bptt: int) -> Iterator[tuple[Ids, Ids]]:
    """(words, next words), both (up to bptt, batch_size), window after window through ``batched``:
    the state of a recurrent network is carried from one to the next.

    >>> import polyback as pb, numpy as np
    >>> [(x.tolist(), y.tolist()) for x, y in pb.data.windows(np.array([[0], [1], [2], [3]]), 2)]
    [([[0], [1]], [[1], [2]]), ([[2]], [[3]])]
    """
    if bptt < 1:
        raise InvalidArgument(f"[windows] got bptt={bptt}; want 1 or more")
    last = len(batched) - 1
    for start in range(0, last, bptt):
        stop = min(start + bptt, last)
        yield batched[start:stop], batched[start + 1 : stop + 1]


def python_topics() -> str:
    """About 700,000 characters of English prose and code: the language reference that Python's own
    ``help()`` shows, which comes with every installation.

    >>> import polyback as pb
    >>> "lambda" in pb.data.python_topics()
    True
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError(
            "[python_topics] this Python comes without pydoc_data; want a full installation"
        ) from None
    return "\n".join(topics[name] for name in sorted(topics))
