# ruff: noqa: E501  (one case a line)
"""einsum against NumPy: every kind of equation, any order of work, gradients, errors."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from against_numpy import close, same, sample
from hypothesis import given, settings
from hypothesis import strategies as st

import polyback as pb

module = importlib.import_module("polyback.frontend.functions.einsum")


@pytest.fixture(autouse=True)
def _on(device: str) -> Iterator[None]:
    with pb.default_device(device):
        yield


def agrees(equation: str, *arrays: Any, dtype: Any = None) -> None:
    got = pb.einsum(equation, *(pb.asarray(x) for x in arrays))
    wide = [x.astype(np.longdouble) if x.dtype.kind == "f" else x for x in arrays]
    close(got, np.einsum(equation, *wide), dtype or pb.asarray(arrays[0]).dtype, ulp=64)


CASES: dict[str, tuple[tuple[int, ...], ...]] = {
    "ij,jk->ik": ((2, 3), (3, 4)), "ij,jk": ((2, 3), (3, 4)), "ba,cb->ca": ((2, 3), (4, 2)),
    "ji": ((2, 3),), "ij->": ((2, 3),), "ij->j": ((2, 3),), "ii": ((3, 3),), "ii->i": ((3, 3),),
    "iij->ji": ((3, 3, 2),), "iijj->ij": ((2, 2, 3, 3),), "ijii->j": ((2, 3, 2, 2),),
    "i,i": ((3,), (3,)), "i,j->ij": ((3,), (2,)), "i,i->i": ((3,), (3,)), "ij,ij->i": ((2, 3), (2, 3)),
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 2)), "bij,bjk->kb": ((2, 3, 4), (2, 4, 2)),
    "bhqd,bhkd->bhqk": ((2, 2, 3, 4), (2, 2, 5, 4)), "ij,kl->": ((2, 3), (2, 2)),
    "ij,kj->i": ((2, 3), (4, 3)), "ijk,jki->": ((2, 3, 4), (3, 4, 2)), "ii,ij->j": ((3, 3), (3, 2)),
    "...ij,...jk->...ik": ((5, 2, 3), (4, 1, 3, 2)), "...ij,jk": ((5, 2, 3), (3, 2)),
    "i...->...": ((2, 3, 4),), "...": ((2, 3),), "i...,i->...": ((2, 3), (2,)), "...i,...i": ((2, 3), (2, 3)),
    "a...b->b...a": ((2, 3, 4, 5),), "ij,...->...ij": ((2, 3), ()), "...,...": ((2, 1), (3,)),
    "ij,jk,kl->il": ((2, 3), (3, 4), (4, 2)), "i,ij,j": ((2,), (2, 3), (3,)), "ij,ij,ij->i": ((2, 3),) * 3,
    "ab,bc,cd,de->ae": ((2, 3), (3, 2), (2, 4), (4, 2)), "a,b,c->cab": ((2,), (3,), (4,)),
    "ab,cd,bc->": ((2, 3), (4, 2), (3, 4)), "Aa,aB->BA": ((2, 3), (3, 4)), "cA,AB": ((2, 3), (3, 4)),
    "ij, jk -> ik": ((2, 3), (3, 4)), ",i->i": ((), (3,)), ",": ((), ()), "ij,jk->i": ((0, 3), (3, 2)),
    "ij,jk->ik ": ((2, 0), (0, 3)), "ii-> ": ((0, 0),), "ij,jk->k": ((2, 1), (3, 4)), "i,i->": ((1,), (3,)),
    "ij,ji->ij": ((1, 3), (3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("equation", CASES)
@pytest.mark.parametrize("planned", [False, True])
def test_equations(equation: str, planned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if planned:
        pytest.importorskip("opt_einsum")
    else:
        monkeypatch.setattr(module, "_planner", lambda: None)
    module._plan.cache_clear()
    arrays = [sample(s, pb.float64, k) for k, s in enumerate(CASES[equation])]
    agrees(equation, *arrays)
    agrees(equation, *(np.flip(x.T).copy().T[...] for x in arrays))
    module._plan.cache_clear()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_equation(data: Any) -> None:
    sizes = {label: data.draw(st.integers(1, 3), label=label) for label in "abcd"}
    terms = data.draw(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=4))
    known = sorted({label for t in terms for label in t})
    output = data.draw(st.lists(st.sampled_from(known), unique=True) if known else st.just([]))
    equation = ",".join(terms) + "->" + "".join(output)
    arrays = [sample(tuple(sizes[n] for n in t), pb.float64, k) for k, t in enumerate(terms)]
    got = pb.einsum(equation, *(pb.asarray(x) for x in arrays))
    np.testing.assert_allclose(got.numpy(), np.einsum(equation, *arrays), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "dtype", [pb.int8, pb.int64, pb.float16, pb.float32, pb.complex64], ids=str
)
@pytest.mark.parametrize("equation", ["ij,jk->ik", "ij,jk->", "ij,ji->i", "ij,jk->ijk"])
def test_types(dtype: Any, equation: str) -> None:
    x, y = sample((3, 3), dtype), sample((3, 3), dtype, 1)
    got = pb.einsum(equation, pb.asarray(x), pb.asarray(y))
    assert got.dtype is dtype
    if dtype.is_integer:
        same(got, np.einsum(equation, x, y), dtype)
    else:
        wide = np.complex128 if dtype.kind == "complex" else np.float64
        close(got, np.einsum(equation, x.astype(wide), y.astype(wide)), dtype)
    mixed = pb.einsum(
        equation,
        pb.asarray(x),
        pb.asarray(y, dtype=pb.float64) if dtype.kind != "complex" else pb.asarray(y),
    )
    assert mixed.dtype is pb.result_type(dtype, pb.float64 if dtype.kind != "complex" else dtype)


@pytest.mark.parametrize(
    "equation", ["ij,jk->ik", "iij->j", "ij,jk,kl->il", "...i,...i->...", "ij,ij->i", "ij->"]
)
@pytest.mark.parametrize("dtype", [pb.float64, pb.complex128], ids=str)
def test_gradients(equation: str, dtype: Any) -> None:
    shapes = CASES.get(equation, ((2, 3), (2, 3)))
    shapes = {"iij->j": ((3, 3, 2),), "...i,...i->...": ((2, 3), (2, 3))}.get(equation, shapes)
    arrays = [pb.asarray(sample(s, dtype, k)) for k, s in enumerate(shapes)]
    pb.testing.check_grad(lambda *xs: pb.einsum(equation, *xs) ** 2, *arrays, atol=1e-4)


def test_the_order_of_work_is_planned_where_it_matters() -> None:
    pytest.importorskip("opt_einsum")
    module._plan.cache_clear()
    shapes = ((100, 2), (2, 100), (100, 1))
    assert module._plan("ij,jk,kl->il", shapes).path == ((1, 2), (0, 1))
    module._plan.cache_clear()


ERRORS: dict[str, tuple[Callable[[pb.Tensor], Any], type, str]] = {
    "no equation": (lambda x: pb.einsum(x), pb.InvalidArgument, r"\[einsum\] got Tensor; want an equation"),
    "count": (lambda x: pb.einsum("ij,jk", x), pb.InvalidArgument, r"'ij,jk' has 2 operands; got 1 tensors"),
    "axes": (lambda x: pb.einsum("ijk", x), pb.InvalidArgument, r"'ijk' does not name 2 axes"),
    "fewer": (lambda x: pb.einsum("i", x), pb.InvalidArgument, r"'i' does not name 2 axes"),
    "letters": (lambda x: pb.einsum("i1", x), pb.InvalidArgument, r"want letters"),
    "dots": (lambda x: pb.einsum("i..j", x), pb.InvalidArgument, r"want letters"),
    "arrows": (lambda x: pb.einsum("ij->i->j", x), pb.InvalidArgument, r"want letters"),
    "unknown": (lambda x: pb.einsum("ij->ik", x), pb.InvalidArgument, r"from the operands"),
    "twice": (lambda x: pb.einsum("ij->ii", x), pb.InvalidArgument, r"each label of the result once"),
    "lost": (lambda x: pb.einsum("...i->i", x), pb.InvalidArgument, r"and '...' where"),
    "sizes": (lambda x: pb.einsum("ij,jk", x, x), pb.ShapeError, r"'j' has sizes 3 and 2 in \(2, 3\), \(2, 3\)"),
    "diagonal": (lambda x: pb.einsum("ii", x), pb.ShapeError, r"'i' has sizes 2 and 3"),
    "bool": (lambda x: pb.einsum("ij", x > 0), pb.DTypeError, r"\[einsum\] does not take bool"),
    "list": (lambda x: pb.einsum("i", [1.0]), pb.DTypeError, r"\[einsum\] got list; want a tensor"),
    "dot": (lambda x: pb.tensordot(x, x, axes=-1), pb.InvalidArgument, r"\[tensordot\] -1 axes"),
    "dot 3": (lambda x: pb.tensordot(x, x, axes=3), pb.InvalidArgument, r"\[tensordot\] 3 axes"),
    "dot twice": (lambda x: pb.tensordot(x, x, axes=([0, 0], [0, 1])), pb.InvalidArgument, r"each one once"),
    "dot more": (lambda x: pb.tensordot(x, x, axes=([0, 1], [0])), pb.InvalidArgument, r"as many for both"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_mistakes_are_typed_errors(name: str) -> None:
    call, error, says = ERRORS[name]
    with pytest.raises(error, match=says):
        call(pb.ones((2, 3)))
