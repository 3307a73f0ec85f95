"""Launches of convolution and its gradients: which kernels make them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, final

from polyback import scalar
from polyback.device import Operand
from polyback.dtype import DType
from polyback.features import Window
from polyback.program import Program, fill_program, program
from polyback.simt.convolution import Way, bare, forward, to_input, to_weight
from polyback.simt.convolver_cpu import CpuConvolver
from polyback.simt.convolver_gpu import GpuConvolver
from polyback.simt.launcher import Launcher
from polyback.simt.reducer import Reducer
from polyback.view import Shape, View

FEW: Final = 320  # products of a group's lines and columns up to which reductions beat tiles


@final
class Convolver:
    """Convolutions of one device."""

    def __init__(self, launcher: Launcher, reducer: Reducer) -> None:
        self.launcher, self.reducer = launcher, reducer
        kind = CpuConvolver if launcher.machine.is_cpu else GpuConvolver
        self._sums = kind(launcher, reducer)

    def forget(self) -> None:
        """Drop everything, before the device closes."""
        self._sums.forget()

    def conv2d(self, out: Operand, x: Operand, w: Operand, window: Window, groups: int) -> None:
        """A checked convolution."""
        self._run(forward, out, x, w, window, groups)

    def conv2d_input(
        self, out: Operand, g: Operand, w: Operand, window: Window, groups: int
    ) -> None:
        """The checked gradient for the image."""
        self._run(to_input, out, g, w, window, groups)

    def conv2d_weight(
        self, out: Operand, x: Operand, g: Operand, window: Window, groups: int
    ) -> None:
        """The checked gradient for the weights."""
        if out.view.size and x.view.size and g.view.size:
            lines, columns = out.view.shape[0] // groups, out.view.shape[1]
            if lines * columns * out.view.shape[2] * out.view.shape[3] <= FEW:
                self._by_taps(out, x, g, window, groups)
                return
        self._run(to_weight, out, x, g, window, groups)

    def _run(
        self, way: Way, out: Operand, b: Operand, a: Operand, window: Window, groups: int
    ) -> None:
        if out.view.size == 0:
            return
        if a.view.size == 0 or b.view.size == 0:
            self.launcher.elementwise(fill_program(out.dtype), [out], [0])
            return
        self._sums.run(way, out, b, a, window, groups)

    def _by_taps(self, out: Operand, x: Operand, g: Operand, window: Window, groups: int) -> None:
        """Weights of few channels, as in depthwise convolution: for each row and column of the
        window, a sum over the images and the places where it is inside."""
        (s,) = to_weight(bare(out.view), bare(x.view), bare(g.view), window, groups)
        b = s.b
        for p in range(s.n[1]):
            for q in range(s.n[2]):
                (i, rows), (j, columns) = b.rows.inside(p, s.k[1]), b.columns.inside(q, s.k[2])
                shape = (s.groups, s.m, s.n[0], s.k[0], rows, columns)
                b_steps = (b.group, 0, b.of_n, *b.along_k)
                b_from = b.offset + p * b.along_n[1] + q * b.along_n[2]
                b_from += i * b_steps[4] + j * b_steps[5]
                a_from = i * s.a.steps[1] + j * s.a.steps[2]
                target = _part(
                    out, (*shape[:3], 1, 1, 1), (*s.c.first, s.c.steps[0], 0, 0, 0),
                    p * s.c.steps[1] + q * s.c.steps[2],
                )  # fmt: skip
                terms = [_part(x, shape, b_steps, b_from),
                         _part(g, shape, (*s.a.first, 0, *s.a.steps), a_from)]  # fmt: skip
                self.reducer.reduce(scalar.SUM, target, _products(out.dtype), terms, (3, 4, 5))


@lru_cache(maxsize=2)
def _products(dtype: DType) -> Program:
    return program(lambda a, b: a * b, dtype, dtype)


def _part(x: Operand, shape: Shape, strides: tuple[int, ...], start: int) -> Operand:
    """Elements of ``x`` from its element ``start`` on; a part without any may start anywhere."""
    offset = x.view.offset + (start if 0 not in shape else 0)
    return Operand(x.buffer, x.dtype, View(shape, strides, offset))
