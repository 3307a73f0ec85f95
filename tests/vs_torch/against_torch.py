"""How a layer of ours is compared with PyTorch's: same arguments, state, inputs; float64.

A row of a table is a :class:`Layer`: a name, our class, theirs, and a Hypothesis strategy that
draws a :class:`Case`. :func:`compare` makes both layers, loads theirs's state into ours by name,
and compares outputs, the gradients of all inputs and parameters, and the state afterwards.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import polyback as pb

LIMIT = 1e-10  # of |ours - theirs| / (1 + |theirs|)
COMPARED: Counter[str] = Counter()  # by layer, for the summary

FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SEED = st.integers(0, 2**32 - 1)


@dataclass
class Case:
    """One configuration. Arrays stand for tensors: floating ones are differentiated."""

    args: tuple[Any, ...] = ()  # of the constructor
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[Any, ...] = ()  # of the call; arrays, nested tuples of arrays, None
    call: dict[str, Any] = field(default_factory=dict)
    training: bool = True


@dataclass(frozen=True)
class Layer:
    """One row of a table."""

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    cases: st.SearchStrategy[Case]

    def __str__(self) -> str:
        return self.name


def normal(draw: Any, *shape: int, scale: float = 1.0) -> np.ndarray[Any, Any]:
    """Normal numbers: only their seed is drawn."""
    return np.asarray(np.random.default_rng(draw(SEED)).standard_normal(shape) * scale)


def sizes(least: int = 1, most: int = 5) -> st.SearchStrategy[int]:
    return st.integers(least, most)


def batch(most: int = 2) -> st.SearchStrategy[tuple[int, ...]]:
    """Leading axes: none, one, two; now and then an empty one."""
    return st.lists(st.integers(0, 4), max_size=most).map(tuple)


def _convert(value: Any, tensor: Callable[[Any], Any], leaves: list[Any]) -> Any:
    """``value`` with every array made a tensor; those with gradients are also put into leaves."""
    if isinstance(value, np.ndarray):
        made = tensor(value)
        if value.dtype.kind == "f":
            leaves.append(made)
        return made
    if isinstance(value, tuple):
        return tuple(_convert(v, tensor, leaves) for v in value)
    if isinstance(value, dict):
        return {k: _convert(v, tensor, leaves) for k, v in value.items()}
    return value


def _flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [t for part in result for t in _flat(part)]
    return [result]


def near(got: Any, want: Any, what: str) -> None:
    """Raises AssertionError unless both are None, or within LIMIT everywhere."""
    if got is None or want is None:
        assert got is want, f"{what}: got {got}, want {want}"
        return
    got, want = got.numpy(), want.detach().numpy()
    assert got.shape == want.shape, f"{what}: got {got.shape}, want {want.shape}"
    error = np.abs(got - want) / (1 + np.abs(want))
    same = (got == want) | (np.isnan(got) & np.isnan(want)) | (error <= LIMIT)
    assert same.all(), f"{what}: worst {np.nanmax(error):.3g}, limit {LIMIT}\n{got}\n{want}"


def _seed_parameters(layer: torch.nn.Module, rng: np.random.Generator) -> None:
    """Biases that start at 0 and weights at 1 would hide mistakes."""
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.from_numpy(0.5 * rng.standard_normal(tuple(p.shape))))
        for name, b in layer.named_buffers():
            if name.endswith("running_var"):
                b.copy_(torch.from_numpy(rng.uniform(0.5, 2.0, tuple(b.shape))))
            elif name.endswith("running_mean"):
                b.copy_(torch.from_numpy(rng.standard_normal(tuple(b.shape))))


def compare(row: Layer, case: Case, device: str) -> None:
    """Raises AssertionError where the two layers differ."""
    theirs_of = _convert((case.args, case.options), torch.from_numpy, [])
    ours_of = _convert((case.args, case.options), lambda a: pb.asarray(a, device=device), [])
    rng = np.random.default_rng(7)
    theirs = row.theirs(*theirs_of[0], **theirs_of[1]).double().train(case.training)
    _seed_parameters(theirs, rng)
    takes = inspect.signature(row.ours).parameters
    placed = {"device": device, "dtype": pb.float64} if "device" in takes else {}
    ours = row.ours(*ours_of[0], **ours_of[1], **placed).train(case.training)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state), "the names of the state differ"
    ours.load_state_dict({k: pb.asarray(v.numpy(), device=device) for k, v in state.items()})
    compare_calls(ours, theirs, case.inputs, case.call, device, rng)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        near(p.grad, q.grad, f"gradient of {name}")
    for name, value in theirs.state_dict().items():
        near(ours.state_dict()[name], value, f"{name} afterwards")
    COMPARED[row.name] += 1


def compare_calls(
    ours: Any, theirs: Any, inputs: Any, options: Any, device: str, rng: np.random.Generator
) -> None:
    """Outputs and gradients of the inputs of two functions; both run backward from one number."""
    leaves: list[Any] = []
    twins: list[Any] = []

    def tensor(a: Any) -> pb.Tensor:
        return pb.asarray(a, device=device, requires_grad=a.dtype.kind == "f")

    def twin(a: Any) -> torch.Tensor:
        return torch.from_numpy(a.copy()).requires_grad_(a.dtype.kind == "f")

    args, kwargs = _convert((inputs, options), tensor, leaves)
    their_args, their_kwargs = _convert((inputs, options), twin, twins)
    got, want = _flat(ours(*args, **kwargs)), _flat(theirs(*their_args, **their_kwargs))
    assert len(got) == len(want), f"{len(got)} results, want {len(want)}"
    total, their_total = pb.zeros((), dtype=pb.float64, device=device), torch.zeros(()).double()
    for k, (y, z) in enumerate(zip(got, want, strict=True)):
        near(None if y is None else y.detach(), z, f"output {k}")
        if z is not None:
            weight = rng.standard_normal(tuple(z.shape))
            total = total + pb.sum(y * pb.asarray(weight, device=device))
            their_total = their_total + (z * torch.from_numpy(weight)).sum()
    if their_total.requires_grad:
        total.backward()
        their_total.backward()
    for k, (x, y) in enumerate(zip(leaves, twins, strict=True)):
        near(x.grad, y.grad, f"gradient of input {k}")
