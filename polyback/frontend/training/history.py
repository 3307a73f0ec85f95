"""History: the numbers of a run by name and step, their plot, and TensorBoard files of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final, final

from polyback.errors import InvalidArgument

_VALID: Final = "valid_"  # in front of the name of what is measured on held-out data


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

    def plot(
        self,
        path: str | os.PathLike[str],
        *names: str,
        xlabel: str = "step",
        wanted: Mapping[str, float] | None = None,
    ) -> None:
        """Draw series (all, or those named) over the steps into a picture; the ending of ``path``
        says which kind.

        ``valid_x`` shares the axes of ``x``. ``wanted``: values by series, drawn as dashed lines.
        Raises InvalidArgument for a series that is not there, or without matplotlib.
        """
        try:
            from matplotlib.figure import Figure
            from matplotlib.ticker import MaxNLocator
        except ImportError:
            raise InvalidArgument("[plot] needs matplotlib; want: pip install matplotlib") from None
        chosen = names or tuple(self.series)
        for name in (*chosen, *(wanted or ())):
            if name not in self.series:
                raise InvalidArgument(f"[plot] got {name!r}; want one of {sorted(self.series)}")
        groups: dict[str, list[str]] = {}
        for name in chosen:
            groups.setdefault(name.removeprefix(_VALID), []).append(name)
        figure = Figure(figsize=(6.4, 2.4 * max(len(groups), 1)), layout="constrained")
        for k, (title, group) in enumerate(groups.items(), 1):
            axes = figure.add_subplot(len(groups), 1, k)
            for name in group:
                axes.plot(*zip(*self.series[name], strict=True), label=name)
            for name in set(group) & set(wanted or ()):
                value = (wanted or {})[name]
                axes.axhline(value, color="gray", linestyle="--", label=f"wanted: {value:.4g}")
            if len(axes.lines) > 1:
                axes.legend()
            axes.set_ylabel(title)
            axes.set_xlabel(xlabel if k == len(groups) else "")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
        figure.savefig(os.fspath(path))
