"""Instance normalization: each channel of each image brought to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any, ClassVar, final

from polyback.array import Array
from polyback.errors import ShapeError
from polyback.frontend.autograd import no_grad
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import expand_dims, mean, squeeze
from polyback.frontend.functions.creation import Where
from polyback.frontend.functions.elementwise import in_place
from polyback.frontend.nn.batch_norm import BatchNorm, Normalize
from polyback.frontend.tensor import Tensor


class InstanceNorm(BatchNorm):
    """``y = (x - mean) / sqrt(var + eps)`` per channel of each image, ``* weight + bias`` if
    ``affine`` (Ulyanov et al., 2016). With ``track_running_stats`` what is kept, and used after
    ``eval()``, are means over the images. Raises ShapeError, InvalidArgument as
    :class:`BatchNorm2d`."""

    together = False
    single: ClassVar[str]  # how the shape of one image is written

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        device: Where = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype
        )

    def forward(self, x: Tensor) -> Tensor:
        check_tensors(type(self).__name__, x)
        ((ndim, shape),) = self.takes.items()
        if x.ndim not in (ndim, ndim - 1) or x.shape[1 - ndim] != self.num_features:
            want = f"{shape} or {self.single}".replace("C", str(self.num_features))
            raise ShapeError(f"[{type(self).__name__}] got {x.shape}; want {want}")
        if x.ndim == ndim:
            return super().forward(x)
        return squeeze(super().forward(expand_dims(x, 0)), 0)

    def _tracked(self) -> tuple[tuple[Array, Array] | None, float]:
        return None, 0.0  # :meth:`_track` averages over the images first

    def _track(self, op: Normalize) -> None:
        if not self._counts():
            return
        assert op.spread is not None
        share = self.momentum or 0.0  # as PyTorch: None keeps what there is
        with no_grad():
            average, variance = Tensor(op.figures[0]), Tensor(op.spread) * (1.0 / (op.count - 1))
            for running, new in ((self.running_mean, average), (self.running_var, variance)):
                rest = tuple(a for a in range(new.ndim) if a != 1)
                in_place(running, (1.0 - share) * running + share * mean(new, axis=rest))


@final
class InstanceNorm1d(InstanceNorm):
    """Instance normalization of lines: x (N, C, L) or (C, L) with C = num_features.

    >>> import polyback as pb
    >>> pb.nn.InstanceNorm1d(1, eps=0.0)(pb.asarray([[1.0, 3.0]])).tolist()
    [[-1.0, 1.0]]
    """

    takes: ClassVar = {3: "(N, C, L)"}
    single = "(C, L)"


@final
class InstanceNorm2d(InstanceNorm):
    """Instance normalization of images: x (N, C, H, W) or (C, H, W) with C = num_features.

    >>> import polyback as pb
    >>> pb.nn.InstanceNorm2d(3)(pb.ones((2, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    takes: ClassVar = {4: "(N, C, H, W)"}
    single = "(C, H, W)"
