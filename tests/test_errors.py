# ruff: noqa: E501  (one case a line)
"""Bad input, as data: every mistake is an error at the call that says what, got and want."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pytest
from extra_devices import extra_device

import polyback as pb
from polyback.frontend import functions

Case = tuple[Callable[[], Any], type, str]


def f(*shape: int, dtype: Any = pb.float32) -> pb.Tensor:
    return pb.ones(shape, dtype=dtype)


def i(*values: int) -> pb.Tensor:
    return pb.asarray(values, dtype=pb.int64)


def tensor_functions() -> list[str]:
    """Names of the public functions with a parameter that must be a tensor, or several of them."""
    wanted = {"Tensor", "Sequence[Tensor]"}
    return [
        name for name in functions.__all__
        if wanted & {p.annotation for p in signature(getattr(functions, name)).parameters.values()}
    ]  # fmt: skip


SHAPE, DTYPE, BAD, BOUNDS = pb.ShapeError, pb.DTypeError, pb.InvalidArgument, pb.IndexOutOfBounds

SHAPES: dict[str, Case] = {
    "elementwise": (lambda: f(2, 3) + f(4), SHAPE,
        r"\[add\] shapes \(2, 3\) and \(4,\) do not broadcast: sizes \[3, 4\] meet 1 from the end; want equal"),
    "where": (lambda: pb.where(f(2) > 0, f(3), 1.0), SHAPE, r"\[where\] shapes \(2,\) and \(3,\)"),
    "matmul": (lambda: f(2, 3) @ f(4, 5), SHAPE,
        r"\[matmul\] inner sizes differ: \(2, 3\) @ \(4, 5\); want equal, transpose one\?"),
    "matmul of vectors": (lambda: f(3) @ f(4), SHAPE, r"inner sizes differ: \(3,\) @ \(4,\)"),
    "matmul batch": (lambda: f(2, 3, 3) @ f(4, 3, 3), SHAPE, r"\[matmul\] shapes \(2,\) and \(4,\)"),
    "matmul 0-d": (lambda: f() @ f(2), SHAPE, r"\[matmul\] got float32 \(\) @ .*1 axis or more"),
    "vecdot": (lambda: pb.vecdot(f(3), f(4)), SHAPE, r"\[vecdot\] sizes along axis -1 differ"),
    "vecdot axes": (lambda: pb.vecdot(f(2, 2), f(2), axis=0), SHAPE, r"\[vecdot\] sizes along axis 0"),
    "outer": (lambda: pb.outer(f(2, 2), f(2)), SHAPE, r"\[outer\] got \(2, 2\) and \(2,\); want two"),
    "tensordot": (lambda: pb.tensordot(f(2, 3), f(4, 5), axes=1), SHAPE, r"\[tensordot\] axes .* differ in"),
    "tensordot pair": (lambda: pb.tensordot(f(2), f(2), axes=(0, 0.5)), BAD, r"\[tensordot\] axes \(0, 0\.5\); want a number"),
    "concat": (lambda: pb.concat([f(2, 3), f(2, 4)]), SHAPE,
        r"\[concat\] shapes \(2, 3\), \(2, 4\) differ outside axis 0"),
    "concat ndim": (lambda: pb.concat([f(2), f(2, 1)]), SHAPE, r"\[concat\] shapes \(2,\), \(2, 1\) differ"),
    "concat nothing": (lambda: pb.concat([]), BAD, r"\[concat\] got no tensors; want at least one"),
    "stack": (lambda: pb.stack([f(2), f(3)]), SHAPE, r"\[stack\] shapes \(2,\), \(3,\) differ; want one"),
    "reshape": (lambda: pb.reshape(f(2, 3), (4, 2)), SHAPE,
        r"\[reshape\] \(2, 3\) has 6 elements; \(4, 2\) has 8"),
    "reshape -1": (lambda: pb.reshape(f(2, 3), (4, -1)), SHAPE, r"\[reshape\] \(2, 3\) does not fit \(4, -1\)"),
    "reshape two -1": (lambda: pb.reshape(f(2, 3), (-1, -1)), SHAPE, r"\[reshape\] .*at most one -1"),
    "reshape of nothing": (lambda: pb.reshape(f(0), (0, -1)), SHAPE, r"\[reshape\] .*does not fit"),
    "reshape -2": (lambda: pb.reshape(f(2), (-2,)), SHAPE, r"\[reshape\] sizes must not be negative"),
    "reshape float": (lambda: pb.reshape(f(2), (2.0,)), BAD, r"\[reshape\] got \(2\.0,\); want integers"),
    "broadcast_to": (lambda: pb.broadcast_to(f(2), (3,)), SHAPE,
        r"\[broadcast_to\] \(2,\) does not broadcast to \(3,\)"),
    "broadcast_to fewer": (lambda: pb.broadcast_to(f(1, 2), (2,)), SHAPE, r"\[broadcast_to\]"),
    "squeeze": (lambda: pb.squeeze(f(2, 1), 0), SHAPE, r"\[squeeze\] axes \(0,\) of \(2, 1\) are not all of size 1"),
    "T": (lambda: f(2, 3, 4).T, SHAPE, r"\[T\] got shape \(2, 3, 4\); want 2 axes, else use mT"),
    "mT": (lambda: f(2).mT, SHAPE, r"\[matrix_transpose\] got shape \(2,\); want at least 2 axes"),
    "tril": (lambda: pb.tril(f(2)), SHAPE, r"\[tril\] got shape \(2,\); want at least 2"),
    "triu": (lambda: pb.triu(f(2)), SHAPE, r"\[triu\] got shape \(2,\); want at least 2"),
    "permute_dims": (lambda: pb.permute_dims(f(2, 3), (0, 0)), BAD, r"\[permute_dims\] \(0, 0\) is no order of 2"),
    "moveaxis": (lambda: pb.moveaxis(f(2, 3), (0, 1), 0), BAD, r"\[moveaxis\] \(0, 1\) cannot move to 0"),
    "roll": (lambda: pb.roll(f(2, 3), (1, 2, 3), axis=(0, 1)), BAD, r"\[roll\] 3 shifts for 2 axes"),
    "take_along_axis": (lambda: pb.take_along_axis(f(2, 3), i(1)), SHAPE,
        r"\[take_along_axis\] \(2, 3\) and \(1,\) differ in axes"),
    "assignment": (lambda: f(2, 3).__setitem__(0, f(4)), SHAPE, r"\(4,\) does not broadcast to \(3,\)"),
    "negative size": (lambda: pb.zeros((2, -1)), SHAPE, r"\[full\] sizes must not be negative; got \(2, -1\)"),
    "negative arange": (lambda: pb.eye(-1), SHAPE, r"\[eye\] sizes must not be negative"),
    "negative repeat": (lambda: pb.repeat(f(2), -1), SHAPE, r"\[repeat\] sizes must not be negative"),
    "2**63 elements": (lambda: pb.empty((2**32, 2**31)), SHAPE, r"\[empty\] shape .* has 2\*\*63 elements or more"),
    "2**63 broadcast": (lambda: pb.broadcast_to(f(1), (2**40, 2**40)), SHAPE, r"2\*\*63 elements or more"),
    "33 axes": (lambda: pb.expand_dims(f(), tuple(range(33))), SHAPE, r"at most 32 axes; got 33"),
    "33 axes by index": (lambda: f()[(None,) * 33], SHAPE, r"\[index\] at most 32 axes"),
    "no shape": (lambda: pb.zeros(None), BAD, r"\[full\] got shape None; want a sequence of integers"),
    "float shape": (lambda: pb.ones((2.5,)), BAD, r"\[full\] got shape \(2\.5,\); want a sequence"),
    "random shape": (lambda: pb.random.Generator(0).uniform((-1,)), SHAPE, r"\[uniform\] sizes must not"),
}  # fmt: skip

TYPES: dict[str, Case] = {
    "unknown name": (lambda: pb.zeros(1, dtype="float31"), DTYPE, r"\[dtype\] 'float31' names no type; want one of bool"),
    "astype(None)": (lambda: f(1).astype(None), DTYPE, r"\[dtype\] None names no type"),
    "a tensor for a type": (lambda: f(1).astype(f(2)), DTYPE, r"\[dtype\] tensor.* names no type"),
    "odd text for a type": (lambda: f(1).astype("ij->ji"), DTYPE, r"\[dtype\] 'ij->ji' names no type"),
    "logic of a list": (lambda: pb.logical_and(f(2), [0, 0]), DTYPE, r"\[logical_and\] got list; want tensors and numbers"),
    "logic of an array": (lambda: pb.logical_or(np.ones(2), f(2)), DTYPE, r"\[logical_or\] got ndarray; want tensors"),
    "diff of None": (lambda: pb.diff(None), DTYPE, r"\[diff\] got NoneType; want a tensor"),
    "linear of a list": (lambda: pb.nn.linear([1.0], f(1, 1)), DTYPE, r"\[linear\] got list; want a tensor"),
    "mixed signs": (lambda: f(1, dtype=pb.uint64) + f(1, dtype=pb.int8), DTYPE,
        r"\[promote\] (uint64 and int8|int8 and uint64) have no common integer type; convert one with astype"),
    "bool arithmetic": (lambda: f(1, dtype=pb.bool) + f(1, dtype=pb.bool), DTYPE, r"\[add\] does not take bool; want one of .*astype"),
    "bits of floats": (lambda: f(1) & f(1), DTYPE, r"\[bitwise_and\] does not take float32; want one of bool, int16"),
    "bool matmul": (lambda: f(1, 1, dtype=pb.bool) @ f(1, 1, dtype=pb.bool), DTYPE, r"\[matmul\] got bool"),
    "matmul with a number": (lambda: f(2) @ 2, DTYPE, r"\[matmul\] got 2; want a tensor: use asarray"),
    "max of bool": (lambda: pb.max(f(1, dtype=pb.bool)), DTYPE, r"\[max\] does not take bool; want one of"),
    "numbers only": (lambda: pb.add(1, 2), DTYPE, r"\[add\] got \(1, 2\) only; want at least one tensor"),
    "a NumPy array": (lambda: pb.add(f(1), np.ones(1)), DTYPE, r"\[add\] got ndarray; want tensors and numbers: .*asarray"),
    "a list": (lambda: pb.exp([1.0]), DTYPE, r"\[exp\] got list; want tensors"),
    "condition": (lambda: pb.where(True, f(1), 1.0), DTYPE, r"\[where\] the condition is True; want a bool tensor"),
    "int too large": (lambda: f(1, dtype=pb.int8) + 300, DTYPE, r"the Python int 300 does not fit int8 \[-128, 127\]"),
    "int beyond floats": (lambda: f(1) * 10**400, DTYPE, r"does not fit float32"),
    "full": (lambda: pb.full(1, 1.5, dtype=pb.int32), DTYPE, r"\[full\] int32 cannot hold 1\.5; want"),
    "full int": (lambda: pb.full(1, 256, dtype=pb.uint8), DTYPE, r"256 does not fit uint8 \[0, 255\]"),
    "negative option": (lambda: pb.configure(threads=-1).__enter__(), BAD, r"\[config\] threads=-1: want 0 or more"),
    "option of another type": (lambda: pb.configure(isa=2).__enter__(), BAD, r"\[config\] isa=2: want str, got int"),
    "softmax of complex numbers": (lambda: pb.softmax(f(2, dtype=pb.complex64)), DTYPE, r"\[softmax\] does not take complex64; want a real type"),
    "hardtanh": (lambda: pb.nn.Hardtanh(1.0, 1.0), BAD, r"\[Hardtanh\] got 1\.0 to 1\.0; want min_val < max_val"),
    "full of text": (lambda: pb.full(1, "a"), DTYPE, r"\[full\] got str; want a number"),
    "asarray int": (lambda: pb.asarray([1, 300], dtype=pb.int8), DTYPE, r"300 does not fit int8"),
    "asarray negative": (lambda: pb.asarray(-1, dtype=pb.uint64), DTYPE, r"-1 does not fit uint64"),
    "asarray complex": (lambda: pb.asarray([1j], dtype=pb.float32), DTYPE, r"\[asarray\] float32 cannot hold complex"),
    "asarray huge": (lambda: pb.asarray(2**70), DTYPE, r"\[asarray\] got int of objects"),
    "asarray text": (lambda: pb.asarray("abc"), DTYPE, r"\[dtype\] no polyback type holds numpy's <U3"),
    "asarray objects": (lambda: pb.asarray([None]), DTYPE, r"\[asarray\] got list of objects; want numbers"),
    "asarray tensors": (lambda: pb.asarray([f(1), f(1)]), DTYPE, r"got tensors of shape \(1,\); want pb\.stack"),
    "ragged": (lambda: pb.asarray([[1], [1, 2]]), SHAPE, r"\[asarray\] .*inhomogeneous.*; want numbers nested evenly"),
    "asarray copy": (lambda: pb.asarray([1], copy=False), BAD, r"\[asarray\] copy=False: host data is always copied"),
    "asarray cast": (lambda: pb.asarray(f(1), dtype=pb.int8, copy=False), BAD, r"\[asarray\] copy=False, but"),
    "leaf of ints": (lambda: pb.zeros(1, dtype=pb.int32, requires_grad=True), DTYPE, r"\[requires_grad\] got int32; want a floating"),
    "leaf by asarray": (lambda: pb.asarray([1], requires_grad=True), DTYPE, r"\[requires_grad\] got int64"),
    "leaf by flag": (lambda: setattr(i(1), "requires_grad", True), DTYPE, r"\[requires_grad\] got int64"),
    "grad of ints": (lambda: pb.grad(lambda x: x)(i(1)), DTYPE, r"\[grad\] got int64; want a floating"),
    "uniform of ints": (lambda: pb.random.Generator(0).uniform(2, dtype=pb.int8), DTYPE, r"\[uniform\] got int8"),
    "arange fraction": (lambda: pb.arange(0, 5, 0.5, dtype=pb.int32), BAD, r"\[arange\] int32 cannot hold 0 \+ k \* 0\.5"),
    "arange range": (lambda: pb.arange(0, 300, 100, dtype=pb.int8), DTYPE, r"200 does not fit int8"),
    "arange step": (lambda: pb.arange(0, 5, 0), BAD, r"\[arange\] step is 0; want another"),
    "arange inf": (lambda: pb.arange(float("inf")), BAD, r"\[arange\] got inf; want finite"),
    "arange text": (lambda: pb.arange("3"), BAD, r"\[arange\] got '3'; want finite real numbers"),
    "linspace num": (lambda: pb.linspace(0, 1, -1), BAD, r"\[linspace\] num=-1; want an integer of 0"),
    "linspace nan": (lambda: pb.linspace(0, float("nan"), 3), BAD, r"\[linspace\] got 0 to nan; want finite"),
    "one_hot size": (lambda: pb.one_hot(i(0), -1), SHAPE, r"\[one_hot\] sizes must not be negative"),
    "vjp cotangent": (lambda: pb.vjp(pb.exp, f(2))[1](f(3)), SHAPE, r"\[vjp\] the cotangent is \(3,\); want \(2,\)"),
    "jvp tangents": (lambda: pb.jvp(pb.exp, (f(2),), (f(3),)), SHAPE, r"\[jvp\] primals and tangents differ"),
}  # fmt: skip

INDEXES: dict[str, Case] = {
    "beyond": (lambda: f(2, 3)[2], BOUNDS, r"\[index\] 2 is outside axis 0 of size 2"),
    "before": (lambda: f(2, 3)[0, -4], BOUNDS, r"\[index\] -4 is outside axis 1 of size 3"),
    "too many": (lambda: f(2, 3)[0, 0, 0], BOUNDS, r"\[index\] \[0, 0, 0\] does not fit 2 axes"),
    "two ellipses": (lambda: f(2)[..., ...], BOUNDS, r"\[index\] \[\.\.\., \.\.\.\] does not fit 1 axes"),
    "of 0-d": (lambda: f()[0], BOUNDS, r"\[index\] \[0\] does not fit 0 axes"),
    "a float": (lambda: f(2)[1.0], DTYPE, r"\[index\] got float; want integers, slices"),
    "a list": (lambda: f(2)[[0, 1]], DTYPE, r"\[index\] got list; want integers"),
    "a tensor of floats": (lambda: f(2)[f(1)], DTYPE, r"\[index\] the index is float32; want an integer type or bool"),
    "an array of floats": (lambda: f(2)[np.ones(1)], DTYPE, r"\[index\] got ndarray; want integers.*asarray"),
    "a tensor beyond": (lambda: f(2, 3)[..., i(1, -4)], BOUNDS, r"\[index\] index -4 is outside axis 1 of size 3"),
    "tensors that do not broadcast": (lambda: f(2, 3)[i(0, 1), i(0, 1, 2)], SHAPE, r"\[index\] shapes \(2,\) and \(3,\) do not"),
    "a mask of another shape": (lambda: f(2, 3)[:, f(2) > 0], BOUNDS, r"\[index\] the mask is \(2,\); its axes of the tensor are \(3,\)"),
    "a mask of too many axes": (lambda: f(2)[f(2, 3) > 0], BOUNDS, r"\[index\] \[tensor \(2, 3\)\] does not fit 1 axes"),
    "a slice of floats": (lambda: f(2)[:1.5], DTYPE, r"\[index\] got slice\(None, 1\.5, None\); want integers"),
    "a step of 0": (lambda: f(2)[::0], BAD, r"\[index\] got slice\(None, None, 0\): slice step cannot be zero"),
    "written beyond": (lambda: f(2).__setitem__(5, 1), BOUNDS, r"\[index\] 5 is outside axis 0"),
    "written by a tensor beyond": (lambda: f(2).__setitem__(i(2), 1), BOUNDS, r"\[index\] index 2 is outside axis 0 of size 2"),
    "written in another shape": (lambda: f(5).__setitem__(i(1, 2), f(3)), SHAPE, r"\(3,\) does not broadcast to \(2,\)"),
    "scatter beyond": (lambda: pb.scatter(f(3), i(3), 1.0), BOUNDS, r"\[scatter\] index 3 is outside axis 0 of size 3"),
    "scatter mode": (lambda: pb.scatter(f(3), i(0), 1.0, mode="mean"), BAD, r"\[scatter\] mode='mean'; want 'set', 'add'"),
    "scatter axes": (lambda: pb.scatter(f(3, 2), i(0), 1.0), SHAPE, r"\[scatter\] \(3, 2\) and \(1,\) differ in axes"),
    "scatter floats": (lambda: pb.scatter(i(3), i(0), 1.5), DTYPE, r"\[scatter\] cannot write float32 into int64"),
    "scatter bool": (lambda: pb.scatter(f(3) > 0, i(0), True, mode="max"), DTYPE, r"\[scatter\] max does not take bool"),
    "nonzero": (lambda: pb.nonzero(f()), SHAPE, r"\[nonzero\] got a 0-d tensor; want 1 axis or more"),
    "searchsorted": (lambda: pb.searchsorted(f(2, 2), 1.0), SHAPE, r"\[searchsorted\] x1 has shape \(2, 2\); want a vector"),
    "searchsorted side": (lambda: pb.searchsorted(f(2), 1.0, side="up"), BAD, r"\[searchsorted\] side='up'; want 'left'"),
    "take": (lambda: pb.take(f(3), i(0, 3)), BOUNDS, r"\[take\] index 3 is outside axis 0 of size 3"),
    "take before": (lambda: pb.take(f(3), i(-4)), BOUNDS, r"\[take\] index -4 is outside axis 0"),
    "take of nothing": (lambda: pb.take(f(0), i(0)), BOUNDS, r"\[take\] index 0 is outside axis 0 of size 0"),
    "take axis": (lambda: pb.take(f(2, 3), i(0)), BAD, r"\[take\] got shape \(2, 3\); want axis="),
    "take along": (lambda: pb.take_along_axis(f(3), i(-5)), BOUNDS, r"\[take_along_axis\] index -5 is outside"),
    "one_hot": (lambda: pb.one_hot(i(3), 3), BOUNDS, r"\[one_hot\] index 3 is outside axis 1 of size 3"),
    "axis": (lambda: pb.sum(f(2, 3), axis=2), BOUNDS, r"\[sum\] axis 2 is outside \[-2, 2\) of 2 axes"),
    "axis twice": (lambda: pb.sum(f(2, 3), axis=(0, -2)), BAD, r"\[sum\] an axis is named twice in \(0, -2\)"),
    "axis float": (lambda: pb.flip(f(2), axis=0.5), BAD, r"\[flip\] got axis 0\.5; want integers"),
    "softmax axis": (lambda: pb.softmax(f(2), axis=1), BOUNDS, r"\[softmax\] axis 1 is outside"),
    "argnums": (lambda: pb.grad(pb.sum, argnums=1)(f(2)), pb.GradientError, r"\[grad\] argnums=1; the call has 1 arguments"),
}  # fmt: skip

ALL = {f"{kind}: {name}": case for kind, cases in
       {"shape": SHAPES, "type": TYPES, "index": INDEXES}.items() for name, case in cases.items()}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_a_mistake_is_an_error_that_says_what_got_and_want(device: str, name: str) -> None:
    call, error, says = ALL[name]
    with pb.default_device(device), pytest.raises(error, match=says) as caught:
        call()
    assert isinstance(caught.value, pb.PolybackError)
    assert str(caught.value).startswith("[")


def test_errors_are_also_the_usual_python_errors() -> None:
    pairs = [
        (pb.ShapeError, ValueError), (pb.DTypeError, TypeError), (pb.IndexOutOfBounds, IndexError),
        (pb.OutOfMemory, MemoryError), (pb.InvalidArgument, ValueError),
        (pb.UnsupportedOp, NotImplementedError), (pb.GradientError, RuntimeError),
        (pb.DeviceMismatch, ValueError),
    ]  # fmt: skip
    assert all(issubclass(ours, usual) for ours, usual in pairs)


# --- devices ------------------------------------------------------------------------------------

MIXED: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "where": lambda a, b: pb.where(a > 0, a, b),
    "matmul": lambda a, b: a @ b,
    "concat": lambda a, b: pb.concat([a, b]),
    "take": lambda a, b: pb.take(a, pb.astype(b[0], pb.int64), axis=0),
    "take_along_axis": lambda a, b: pb.take_along_axis(a, pb.astype(b, pb.int64)),
    "index": lambda a, b: a.__setitem__(0, b[0]),
    "maximum": lambda a, b: pb.maximum(a, b),
}


@pytest.mark.parametrize("name", MIXED)
def test_operands_on_two_devices_are_an_error_that_names_both(name: str) -> None:
    with extra_device() as one, extra_device() as two:
        a, b = (pb.ones((2, 2), device=d) for d in (one, two))
        with pytest.raises(
            pb.DeviceMismatch, match=rf"\[{name}\] .* {one} and on {two}.*to_device"
        ):
            MIXED[name](a, b)
        assert MIXED[name](a, b.to_device(one)) is None or True


def test_an_unknown_device_is_an_error() -> None:
    with pytest.raises(pb.BackendUnavailable, match=r"\[device\] got 'nowhere'.*available: "):
        pb.zeros(1, device="nowhere")
    with pytest.raises(pb.InvalidArgument, match=r"\[device\] got 3; want a device name"):
        pb.zeros(1, device=3)


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2**40,), (2**50, 2**10), (2**62,)])
def test_a_huge_allocation_fails_with_what_was_requested_and_nothing_breaks(
    device: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(pb.OutOfMemory, match=r"out of memory|one allocation holds") as caught:
        pb.zeros(shape, device=device)
    assert caught.value.requested == 4 * int(np.prod(shape, dtype=object))
    assert (pb.ones(3, device=device) + 1).tolist() == [2.0] * 3
    wide = pb.broadcast_to(pb.ones(1, device=device), (2**45,))
    with pytest.raises(pb.OutOfMemory, match=r"\[linspace\]"):
        pb.linspace(0.0, 1.0, 2**50, device=device)
    with pytest.raises(pb.OutOfMemory):
        (wide * 2).numpy()
    assert (pb.ones(3, device=device) + 1).tolist() == [2.0] * 3


# --- differentiation ----------------------------------------------------------------------------


def leaf(device: str) -> pb.Tensor:
    return pb.asarray([1.0, 2.0], device=device, requires_grad=True)


def test_backward_outside_a_graph_is_an_error(device: str) -> None:
    with pytest.raises(
        pb.GradientError, match=r"\[backward\] .*not part of a graph; want requires_grad"
    ):
        pb.sum(pb.ones(2, device=device)).backward()
    with pb.no_grad():
        y = pb.sum(leaf(device))
    with pytest.raises(pb.GradientError, match="not part of a graph"):
        y.backward()
    with pytest.raises(pb.GradientError, match="not part of a graph"):
        pb.sum(leaf(device) > 0).backward()  # comparisons carry no gradient


def test_backward_of_several_elements_needs_a_gradient_of_their_shape(device: str) -> None:
    y = leaf(device) * 2
    with pytest.raises(pb.GradientError, match=r"\[backward\] got shape \(2,\); want one element"):
        y.backward()
    with pytest.raises(pb.ShapeError, match=r"\[backward\] gradient is \(3,\); want \(2,\)"):
        y.backward(pb.ones(3, device=device))
    y.backward(pb.ones(2, device=device))


@pytest.mark.parametrize("name", tensor_functions())
def test_a_list_where_a_tensor_belongs_says_what_to_do(name: str) -> None:
    function = getattr(functions, name)
    given: list[Any] = []
    for p in signature(function).parameters.values():
        if p.kind is not Parameter.KEYWORD_ONLY and p.default is Parameter.empty:
            values = {"Tensor": [1.0, 2.0], "Sequence[Tensor]": [[1.0], [2.0]], "str": "i"}
            given.append(values.get(p.annotation, 0))
    with pytest.raises(pb.DTypeError, match=r"\[\w+\] got list; want (a tensor|tensors)"):
        function(*given)


def test_backward_twice_needs_the_graph_to_be_kept(device: str) -> None:
    x = leaf(device)
    y = pb.sum(x * x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(
        pb.GradientError, match=r"\[backward\] this graph was freed.*retain_graph=True"
    ):
        y.backward()


def test_grad_wants_a_tensor_and_one_number(device: str) -> None:
    x = pb.ones(2, device=device)
    with pytest.raises(
        pb.GradientError, match=r"\[grad\] the function gave \(2,\); want a tensor of one"
    ):
        pb.grad(lambda x: x * 2)(x)
    with pytest.raises(pb.GradientError, match=r"\[grad\] the function gave float; want a tensor"):
        pb.grad(lambda x: 1.0)(x)
    with pytest.raises(
        pb.GradientError, match=r"\[grad\] got float; want a tensor to differentiate"
    ):
        pb.grad(lambda x: x)(1.0)
