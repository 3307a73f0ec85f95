"""Padding: more elements at the ends of axes, as a constant or from the elements that are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, final, get_args

from polyback.errors import InvalidArgument, ShapeError
from polyback.frontend.checks import check_tensors
from polyback.frontend.functions import broadcast_to, concat, flip, full
from polyback.frontend.nn.module import Module
from polyback.frontend.nn.windows import each
from polyback.frontend.tensor import Tensor

Mode = Literal["constant", "reflect", "replicate", "circular"]
MODES: Final = get_args(Mode)


def pad(input: Tensor, pad: Sequence[int], mode: Mode = "constant", value: float = 0.0) -> Tensor:
    """``input`` with ``pad[0]`` more elements before the last axis and ``pad[1]`` after it,
    ``pad[2]`` and ``pad[3]`` for the axis before, and so on; negative numbers cut off.

    "constant": all are ``value``. "reflect": mirrored at the last element, without it;
    "replicate": the last element again; "circular": from the other end; these take one axis of a
    (C, L) or (N, C, L), two of a (C, H, W) or (N, C, H, W), as any others. Raises InvalidArgument,
    and ShapeError for more than the axis has.

    >>> import polyback as pb
    >>> x = pb.asarray([1.0, 2.0, 3.0])
    >>> pb.nn.pad(x, (2, 1)).tolist(), pb.nn.pad(x, (2, 1), "reflect").tolist()
    ([0.0, 0.0, 1.0, 2.0, 3.0, 0.0], [3.0, 2.0, 1.0, 2.0, 3.0, 2.0])
    """
    check_tensors("pad", input)
    if mode not in MODES:
        raise InvalidArgument(f"[pad] got mode={mode!r}; want one of {', '.join(MODES)}")
    axes, odd = divmod(len(pad), 2)
    if odd or axes > input.ndim or not all(isinstance(n, int) for n in pad):
        raise InvalidArgument(
            f"[pad] got {tuple(pad)} for {input.shape}; want two integers for each of the last axes"
        )
    for k in range(axes):
        input = _pad_axis(input, input.ndim - 1 - k, pad[2 * k], pad[2 * k + 1], mode, value)
    return input


def _pad_axis(x: Tensor, axis: int, before: int, after: int, mode: Mode, value: float) -> Tensor:
    n, lead = x.shape[axis], (slice(None),) * axis
    most = {"constant": max(before, after), "reflect": n - 1, "circular": n}
    if min(before, 0) + min(after, 0) + n < 0 or max(before, after) > most.get(
        mode, max(before, after) if n else 0
    ):
        raise ShapeError(
            f"[pad] got {before} and {after} at axis {axis} of {x.shape}; {mode!r} wants at most "
            f"{most.get(mode, 0)}, and no more cut off than there is"
        )

    def part(start: int, stop: int, count: int) -> Tensor:
        """Elements start to stop, of which ``count`` are wanted."""
        if mode == "constant":
            shape = (*x.shape[:axis], count, *x.shape[axis + 1 :])
            return full(shape, value, dtype=x.dtype, device=x.device)
        found: Tensor = x[(*lead, slice(start, stop))]
        if mode == "reflect":
            return flip(found, axis=axis)
        return broadcast_to(found, (*x.shape[:axis], count, *x.shape[axis + 1 :]))

    places = {"reflect": (1, before + 1, n - 1 - after, n - 1), "replicate": (0, 1, n - 1, n)}
    a, b, c, d = places.get(mode, (n - before, n, 0, after))
    parts = [part(a, b, before)] if before > 0 else []
    parts.append(x[(*lead, slice(max(-before, 0), n - max(-after, 0)))])
    parts += [part(c, d, after)] if after > 0 else []
    return concat(parts, axis=axis) if len(parts) > 1 else parts[0]


class Padding2d(Module):
    """What layers that pad images share: ``padding``, one number or (left, right, top, bottom)."""

    mode: ClassVar[Mode]

    def __init__(self, padding: int | Sequence[int]) -> None:
        self.padding = each(padding, 4, "padding", type(self).__name__, least=-(2**31))

    def forward(self, x: Tensor) -> Any:
        check_tensors(type(self).__name__, x)
        if x.ndim not in (3, 4):
            raise ShapeError(
                f"[{type(self).__name__}] got {x.shape}; want (N, C, H, W) or (C, H, W)"
            )
        return pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


@final
class ZeroPad2d(Padding2d):
    """:func:`pad` with zeros: x (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.ZeroPad2d((1, 0, 2, 0))(pb.ones((1, 3, 3))).shape
    (1, 5, 4)
    """

    mode = "constant"


@final
class ReflectionPad2d(Padding2d):
    """:func:`pad` with mode "reflect": x (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.ReflectionPad2d(1)(pb.asarray([[[1.0, 2.0], [3.0, 4.0]]]))[0, 0].tolist()
    [4.0, 3.0, 4.0, 3.0]
    """

    mode = "reflect"


@final
class ReplicationPad2d(Padding2d):
    """:func:`pad` with mode "replicate": x (N, C, H, W) or (C, H, W).

    >>> import polyback as pb
    >>> pb.nn.ReplicationPad2d(1)(pb.asarray([[[1.0, 2.0], [3.0, 4.0]]]))[0, 0].tolist()
    [1.0, 1.0, 2.0, 2.0]
    """

    mode = "replicate"
