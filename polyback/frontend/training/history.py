"""History: the numbers of a run by name and step, their plot, and TensorBoard files of them."""

from __future__ import annotations

import os
from typing import Any, final

from polyback.errors import InvalidArgument


@final
class History:
    """Series of numbers: ``history["loss"]`` is a list of (step, value).

    ``log_dir``: also write TensorBoard event files there; needs the package tensorboardX. Has a
    ``state_dict`` for checkpoints.

    >>> import polyback as pb
    >>> history = pb.training.History()
    >>> history.add(1, loss=0.5)
    >>> history.add(2, loss=0.25)
    >>> history["loss"], history.last("loss")
    ([(1, 0.5), (2, 0.25)], 0.25)
    """

    def __init__(self, log_dir: str | os.PathLike[str] | None = None) -> None:
        self.series: dict[str, list[tuple[int, float]]] = {}
        self._writer: Any = None
        if log_dir is not None:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                raise InvalidArgument(
                    "[History] log_dir= needs tensorboardX; want: pip install tensorboardX"
                ) from None
            self._writer = SummaryWriter(os.fspath(log_dir))

    def add(self, step: int, **values: float) -> None:
        """Note ``values`` at ``step``."""
        for name, value in values.items():
            self.series.setdefault(name, []).append((step, float(value)))
            if self._writer is not None:
                self._writer.add_scalar(name, float(value), step)
        if self._writer is not None:
            self._writer.flush()

    def __getitem__(self, name: str) -> list[tuple[int, float]]:
        return self.series[name]

    def last(self, name: str) -> float:
        """The latest value of a series."""
        return self.series[name][-1][1]

    def close(self) -> None:
        """Finish the event files."""
        if self._writer is not None:
            self._writer.close()

    def state_dict(self) -> dict[str, Any]:
        """All series."""
        return {"series": {k: [list(p) for p in v] for k, v in self.series.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The series that ``state_dict`` gave."""
        self.series = {
            k: [(int(step), float(value)) for step, value in v] for k, v in state["series"].items()
        }

    def plot(self, path: str | os.PathLike[str], *names: str) -> None:
        """Draw series (all, or those named) over the steps into a picture; the ending of ``path``
        says which kind. Raises InvalidArgument without matplotlib."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise InvalidArgument("[plot] needs matplotlib; want: pip install matplotlib") from None
        chosen = names or tuple(self.series)
        figure = Figure(figsize=(6.4, 2.4 * max(len(chosen), 1)), layout="constrained")
        for k, name in enumerate(chosen, 1):
            axes = figure.add_subplot(len(chosen), 1, k)
            axes.plot(*zip(*self.series[name], strict=True))
            axes.set_ylabel(name)
            axes.grid(alpha=0.3)
        if chosen:
            axes.set_xlabel("step")
        figure.savefig(os.fspath(path))
