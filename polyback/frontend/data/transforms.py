"""Changes to batches of images on the host, for ``DataLoader(augment=...)``.

A transform is called with a batch, whose first array holds the images, and a random generator. The
images are (N, H, W), or (N, C, H, W); every image of the batch is drawn for on its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, final

import numpy as np

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.data.dataset import Batch

Images = np.ndarray[Any, np.dtype[Any]]


class Transform(ABC):
    """The base class: subclasses write :meth:`images`."""

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        if not isinstance(batch, tuple) or not batch or not hasattr(batch[0], "ndim"):
            raise ShapeError(
                f"[{type(self).__name__}] got a batch of {type(batch).__name__}; want a tuple that "
                f"begins with images"
            )
        images = batch[0]
        if images.ndim not in (3, 4):
            raise ShapeError(
                f"[{type(self).__name__}] got {images.shape}; want (N, H, W) or (N, C, H, W)"
            )
        return (self.images(images, rng), *batch[1:])

    @abstractmethod
    def images(self, x: Images, rng: np.random.Generator) -> Images:
        """The new images."""


@final
class Compose(Transform):
    """One transform after the other.

    >>> import polyback as pb, numpy as np
    >>> t = pb.data.Compose([pb.data.RandomHorizontalFlip(1.0), pb.data.Normalize(1.0, 2.0)])
    >>> t((np.array([[[1.0, 3.0]]]),), np.random.default_rng(0))[0].tolist()
    [[[1.0, 0.0]]]
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        self.transforms = tuple(transforms)
        for given in self.transforms:
            if not isinstance(given, Transform):
                raise InvalidArgument(
                    f"[Compose] got {type(given).__name__}; want a list of transforms"
                )

    def images(self, x: Images, rng: np.random.Generator) -> Images:
        for transform in self.transforms:
            x = transform.images(x, rng)
        return x


@final
class RandomHorizontalFlip(Transform):
    """Mirror an image left to right with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise InvalidArgument(f"[RandomHorizontalFlip] got p={p}; want 0 to 1")
        self.p = p

    def images(self, x: Images, rng: np.random.Generator) -> Images:
        chosen = rng.random(len(x)) < self.p
        result = x.copy()
        result[chosen] = x[chosen][..., ::-1]
        return result


@final
class RandomCrop(Transform):
    """A random part of ``size`` (height, width) of an image with ``padding`` zeros on every side.

    ``size`` None: the image's own, so that it is moved by up to ``padding`` pixels.
    """

    def __init__(self, size: int | tuple[int, int] | None = None, padding: int = 0) -> None:
        if padding < 0:
            raise InvalidArgument(f"[RandomCrop] got padding={padding}; want 0 or more")
        self.size = (size, size) if isinstance(size, int) else size
        self.padding = padding

    def images(self, x: Images, rng: np.random.Generator) -> Images:
        height, width = self.size or x.shape[-2:]
        edge = [(0, 0)] * (x.ndim - 2) + [(self.padding, self.padding)] * 2
        padded = np.pad(x, edge)
        rows, columns = padded.shape[-2] - height, padded.shape[-1] - width
        if rows < 0 or columns < 0:
            raise ShapeError(
                f"[RandomCrop] got images of {x.shape[-2:]} with {self.padding} around; want at "
                f"least {(height, width)}"
            )
        top = rng.integers(0, rows + 1, len(x))
        left = rng.integers(0, columns + 1, len(x))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), (-2, -1))
        return windows[np.arange(len(x)), ..., top, left, :, :]


@final
class Normalize(Transform):
    """``(x - mean) / std``; one number, or one per channel for (N, C, H, W)."""

    def __init__(self, mean: Any, std: Any) -> None:
        self.mean, self.std = np.asarray(mean), np.asarray(std)
        if np.any(self.std == 0):
            raise InvalidArgument("[Normalize] got a std of 0; want another")

    def images(self, x: Images, rng: np.random.Generator) -> Images:
        mean, std = (v[:, None, None] if v.ndim else v for v in (self.mean, self.std))
        return ((x - mean) / std).astype(x.dtype)
