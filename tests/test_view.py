"""Views against NumPy: the same shape, strides and elements for the same operation."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from polyback.errors import IndexOutOfBounds, InvalidArgument, ShapeError
from polyback.view import (
    MAX_NDIM,
    View,
    broadcast_shapes,
    check_shape,
    integers,
    normalize_axes,
    normalize_axis,
    row_major,
)

BUFFER = np.arange(10_000)
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


def read(view: View) -> np.ndarray:
    """The elements of ``view`` over BUFFER."""
    if view.size == 0:
        return np.zeros(view.shape, int)
    view.check_within(len(BUFFER))
    strides = tuple(s * BUFFER.itemsize for s in view.strides)
    return as_strided(BUFFER[view.offset :], view.shape, strides)


@st.composite
def views(draw: st.DrawFn, shape: tuple[int, ...] | None = None) -> View:
    """Any view into BUFFER: negative, zero and overlapping strides."""
    sizes = draw(shapes) if shape is None else shape
    strides = tuple(draw(st.sampled_from([-20, -6, -3, -1, 0, 1, 2, 4, 12, 16])) for _ in sizes)
    return View(sizes, strides, 1000)


@st.composite
def made_views(draw: st.DrawFn) -> View:
    """Views as programs make them: from a contiguous one, by basic operations."""
    view = View.contiguous(draw(shapes))
    for _ in range(draw(st.integers(0, 4))):
        axis = draw(st.integers(0, view.ndim - 1)) if view.ndim else 0
        step = draw(st.sampled_from(["permute", "flip", "slice", "insert", "expand"]))
        if step == "permute":
            view = view.permute(draw(st.permutations(range(view.ndim))))
        elif step == "insert" and view.ndim < 6:
            view = view.insert(draw(st.integers(0, view.ndim)))
        elif step == "expand":
            view = view.expand((draw(st.integers(1, 3)), *view.shape))
        elif step == "flip" and view.ndim:
            view = view.flip([axis])
        elif step == "slice" and view.ndim and view.shape[axis]:
            key = draw(st.slices(view.shape[axis]))
            start, stop, by = key.indices(view.shape[axis])
            view = view.slice(axis, start, len(range(start, stop, by)), by)
    return view


# --- each method --------------------------------------------------------------------------------


@given(shapes)
def test_a_contiguous_view_is_row_major(shape: tuple[int, ...]) -> None:
    view = View.contiguous(shape)
    assert (view.size, view.ndim) == (prod(shape), len(shape))
    assert view.is_contiguous
    np.testing.assert_array_equal(read(view), np.arange(view.size).reshape(shape))
    if view.size:
        assert view.bounds == (0, view.size)


@given(views(), st.data())
def test_permute_is_numpys_transpose(view: View, data: st.DataObject) -> None:
    axes = data.draw(st.permutations(range(view.ndim)))
    np.testing.assert_array_equal(read(view.permute(axes)), read(view).transpose(axes))


@given(views(), st.lists(st.integers(0, 3), max_size=2), st.data())
def test_expand_is_numpys_broadcast(view: View, front: list[int], data: st.DataObject) -> None:
    ends = [data.draw(st.integers(0, 3)) if n == 1 else n for n in view.shape]
    shape = (*front, *ends)
    got = view.expand(shape)
    np.testing.assert_array_equal(read(got), np.broadcast_to(read(view), shape))
    assert got.offset == view.offset


@pytest.mark.parametrize("shape", [(2,), (2, 4), (3, 3), (), (0, 3)])
def test_expand_refuses_what_does_not_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"\[broadcast_to\] \(2, 3\) does not broadcast"):
        View.contiguous((2, 3)).expand(shape)


@given(views(), st.data())
def test_flip_is_numpys_flip(view: View, data: st.DataObject) -> None:
    axes = [a for a in range(view.ndim) if data.draw(st.booleans())]
    np.testing.assert_array_equal(read(view.flip(axes)), np.flip(read(view), axes))
    assert view.flip(axes).flip(axes) == view


@given(views(), st.data())
def test_slice_is_numpys_slice(view: View, data: st.DataObject) -> None:
    if not view.ndim:
        return
    axis = data.draw(st.integers(0, view.ndim - 1))
    key = data.draw(st.slices(view.shape[axis]))
    start, stop, step = key.indices(view.shape[axis])
    got = view.slice(axis, start, len(range(start, stop, step)), step)
    np.testing.assert_array_equal(read(got), read(view)[(slice(None),) * axis + (key,)])


@given(views(), st.data())
def test_insert_and_drop_undo_each_other(view: View, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, view.ndim))
    wider = view.insert(axis)
    np.testing.assert_array_equal(read(wider), np.expand_dims(read(view), axis))
    assert wider.drop(axis) == view


@given(views(), st.data())
def test_drop_takes_index_0(view: View, data: st.DataObject) -> None:
    if not view.ndim:
        return
    axis = data.draw(st.integers(0, view.ndim - 1))
    if view.shape[axis]:
        np.testing.assert_array_equal(read(view.drop(axis)), read(view).take(0, axis))


# --- reshape: a view if and only if NumPy finds one ---------------------------------------------


@st.composite
def same_size(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    if size == 0:
        return draw(st.permutations([0, 2, 3]).map(tuple))
    parts = []
    while size > 1 and len(parts) < 5:
        n = draw(st.sampled_from([k for k in range(2, size + 1) if size % k == 0]))
        parts.append(n)
        size //= n
    parts += [size] if size > 1 else []
    return tuple(draw(st.permutations([*parts, *([1] * draw(st.integers(0, 2)))])))


@settings(max_examples=400)
@given(st.one_of(made_views(), views()), st.data())
def test_reshape_is_a_view_exactly_when_numpy_needs_no_copy(
    view: View, data: st.DataObject
) -> None:
    shape = data.draw(same_size(view.size))
    got = view.reshape(shape)
    values = read(view)
    try:
        want = np.reshape(values, shape, copy=False)
    except ValueError:
        want = None
    if view.size == 0:
        assert got is not None
        assert got.shape == shape
    elif want is None:
        assert got is None
    else:
        assert got is not None
        np.testing.assert_array_equal(read(got), want)


@pytest.mark.parametrize(
    ("view", "shape", "strides"),
    [
        (View((2, 3), (3, 1), 5), (6,), (1,)),  # keeps the offset
        (View((2, 3), (1, 2)), (6,), None),  # a transpose
        (View((3, 3), (0, 0)), (9,), (0,)),  # one number, repeated
        (View((4, 2), (0, 1)), (8,), None),  # repeated rows
        (View((4, 2), (0, 1)), (2, 2, 2), (0, 0, 1)),
        (View((1, 4), (99, 2)), (2, 2), (4, 2)),  # the stride of an axis of size 1 does not matter
        (View((6,), (-1,), 5), (2, 3), (-3, -1)),
    ],
)
def test_reshape_keeps_strides_where_one_stride_walks_the_axes(
    view: View, shape: tuple[int, ...], strides: tuple[int, ...] | None
) -> None:
    got = view.reshape(shape)
    assert (got and got.strides) == strides
    assert got is None or got.offset == view.offset


# --- what a view says about itself --------------------------------------------------------------


@given(views())
def test_bounds_are_the_lowest_and_one_past_the_highest_element(view: View) -> None:
    values = read(view)
    want = (int(values.min()), int(values.max()) + 1) if values.size else (0, 0)
    assert view.bounds == want
    view.check_within(want[1])
    if want[1] > 0:
        with pytest.raises(InvalidArgument, match=r"\[view\].*touches elements"):
            view.check_within(want[1] - 1)


@given(st.one_of(made_views(), views()))
def test_overlap_is_never_missed(view: View) -> None:
    values = read(view)
    shared = len(np.unique(values)) < values.size
    assert view.has_overlap or not shared


@given(made_views())
def test_overlap_of_ordinary_views_is_exact(view: View) -> None:
    values = read(view)
    assert view.has_overlap == (len(np.unique(values)) < values.size)


@given(st.one_of(made_views(), views()))
def test_contiguous_means_that_the_elements_lie_one_after_the_other(view: View) -> None:
    elements = read(view).ravel()
    dense = np.array_equal(elements, view.offset + np.arange(view.size))
    assert view.is_contiguous == (dense or view.size == 0)


@pytest.mark.parametrize(
    ("view", "contiguous"),
    [
        (View((1, 3), (77, 1)), True),
        (View((3, 1), (1, 77)), True),
        (View((0, 3), (5, 5)), True),
        (View((3, 0), (-1, 9)), True),
        (View((), ()), True),
        (View((1, 1), (0, 0), 9), True),
        (View((2, 1), (2, 1)), False),
        (View((2,), (0,)), False),
        (View((2,), (-1,), 1), False),
    ],
)
def test_strides_of_axes_of_size_1_and_of_empty_views_do_not_matter(
    view: View, contiguous: bool
) -> None:
    assert view.is_contiguous is contiguous


def test_strides_beyond_64_bits_do_not_wrap() -> None:
    view = View((2**40, 2**40), (2**40, 1), 0)
    assert view.size == 2**80
    assert view.bounds == (0, 2**80)
    assert view.flip([0]).bounds == (0, 2**80)


# --- shapes and axes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(), (0,), (3, 4), [2, 3], (np.int64(2), np.uint8(3)), 5, range(3)]
)
def test_a_shape_becomes_a_tuple_of_python_ints(shape: object) -> None:
    got = check_shape(shape, "op")
    want = (shape,) if isinstance(shape, int) else tuple(shape)
    assert got == want
    assert all(type(n) is int for n in got)


@pytest.mark.parametrize(
    ("shape", "error", "says"),
    [
        ((-1,), ShapeError, r"must not be negative; got \(-1,\)"),
        ((2**63,), ShapeError, r"2\*\*63 elements or more"),
        ((2**32, 2**31), ShapeError, r"2\*\*63 elements or more"),
        ((0, 2**63), ShapeError, r"2\*\*63 elements or more"),  # NumPy refuses this one too
        ((2**32, 0, 2**32), ShapeError, r"2\*\*63 elements or more"),
        ((1,) * (MAX_NDIM + 1), ShapeError, "at most 32 axes; got 33"),
        ((1.0,), InvalidArgument, "want a sequence of integers"),
        (1.5, InvalidArgument, "want a sequence of integers"),
        (None, InvalidArgument, "want a sequence of integers"),
        ("ab", InvalidArgument, "want a sequence of integers"),
        (("2",), InvalidArgument, "want a sequence of integers"),
    ],
)  # fmt: skip
def test_an_impossible_shape_is_an_error(shape: object, error: type, says: str) -> None:
    with pytest.raises(error, match=r"^\[op\] .*" + says):
        check_shape(shape, "op")


def test_the_largest_possible_shapes_are_fine() -> None:
    assert check_shape((2**63 - 1,), "op") == (2**63 - 1,)
    assert check_shape((1,) * MAX_NDIM, "op") == (1,) * MAX_NDIM
    assert row_major((2, 0, 3)) == (3, 3, 1)


@given(st.lists(shapes, min_size=1, max_size=4))
def test_shapes_broadcast_as_in_numpy(given_shapes: list[tuple[int, ...]]) -> None:
    try:
        want = np.broadcast_shapes(*given_shapes)
    except ValueError:
        with pytest.raises(ShapeError, match=r"^\[op\] shapes .* do not broadcast"):
            broadcast_shapes(*given_shapes, op="op")
    else:
        assert broadcast_shapes(*given_shapes, op="op") == want


def test_the_broadcast_of_nothing_is_0d_and_a_product_past_64_bits_is_an_error() -> None:
    assert broadcast_shapes() == ()
    with pytest.raises(ShapeError, match=r"\[op\] shape \(.*\) has 2\*\*63 elements or more"):
        broadcast_shapes((2**40, 1), (1, 2**40), op="op")


@pytest.mark.parametrize("ndim", [1, 3])
def test_axes_count_from_either_end(ndim: int) -> None:
    for axis in range(-ndim, ndim):
        assert normalize_axis(axis, ndim, "op") == axis % ndim
        assert normalize_axis(np.int8(axis), ndim, "op") == axis % ndim
    for axis in (-ndim - 1, ndim):
        with pytest.raises(IndexOutOfBounds, match=rf"\[op\] axis {axis} is outside"):
            normalize_axis(axis, ndim, "op")


def test_axes_are_sorted_distinct_and_default_to_all() -> None:
    assert normalize_axes(None, 3, "op") == (0, 1, 2)
    assert normalize_axes(-1, 3, "op") == (2,)
    assert normalize_axes(np.int64(1), 3, "op") == (1,)
    assert normalize_axes([2, 0], 3, "op") == (0, 2)
    assert normalize_axes((), 3, "op") == ()
    with pytest.raises(InvalidArgument, match=r"\[op\] an axis is named twice in \(0, -3\)"):
        normalize_axes((0, -3), 3, "op")
    for bad in (1.0, "0", (0.5,)):
        with pytest.raises(InvalidArgument, match=r"\[op\] got axis"):
            normalize_axes(bad, 3, "op")
    assert integers(np.array([1, 2])) == (1, 2)
