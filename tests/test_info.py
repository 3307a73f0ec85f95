"""What the package tells about itself, and about types: the standard's inspection functions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from extra_devices import caps, extra_device

import polyback as pb
from polyback.dtype import DTYPES, promote

STANDARD = json.loads((Path(__file__).parent / "array_api/2025_12.json").read_text())
INFO = pb.__array_namespace_info__()
KINDS = {
    "bool": "bool", "signed integer": "int8 int16 int32 int64",
    "unsigned integer": "uint8 uint16 uint32 uint64", "real floating": "float32 float64",
    "complex floating": "complex64 complex128",
}  # fmt: skip
KINDS["integral"] = f"{KINDS['signed integer']} {KINDS['unsigned integer']}"
KINDS["numeric"] = f"{KINDS['integral']} {KINDS['real floating']} {KINDS['complex floating']}"


def test_the_namespace_is_the_package_on_every_device(device: str) -> None:
    x = pb.zeros(2, device=device)
    assert x.__array_namespace__() is pb
    assert x.__array_namespace__(api_version="2025.12") is pb
    assert x.__array_namespace__(api_version=pb.__array_api_version__) is pb
    with pytest.raises(pb.InvalidArgument, match=r"api_version='2020\.01'; want one of"):
        x.__array_namespace__(api_version="2020.01")


def test_devices_are_objects_that_creation_takes(device: str) -> None:
    found = INFO.devices()
    assert isinstance(found, tuple)
    assert pb.get_device(device) in found
    with pb.default_device(device):
        assert INFO.default_device() == device
        assert pb.zeros(1).device is INFO.default_device()
    assert all(pb.zeros(1, device=d).device is d for d in found)


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_types(device: str, kind: str) -> None:
    names = KINDS[kind].split()
    assert sorted(INFO.dtypes(kind=kind, device=device)) == sorted(names)
    for dtype in DTYPES:
        ours = dtype in (pb.float16, pb.bfloat16) and kind in ("real floating", "numeric")
        assert pb.isdtype(dtype, kind) is (dtype.name in names or ours)


def test_kinds_join_in_tuples(device: str) -> None:
    assert pb.isdtype(pb.int8, ("bool", pb.int8))
    assert not pb.isdtype(pb.int8, (pb.int16, "real floating"))
    assert not pb.isdtype(pb.int8, ())
    assert sorted(INFO.dtypes(kind=("bool", "real floating"))) == ["bool", "float32", "float64"]
    assert len(INFO.dtypes()) == 13
    for call in (lambda: pb.isdtype(pb.int8, "integer"), lambda: INFO.dtypes(kind="float")):
        with pytest.raises(
            pb.InvalidArgument, match=r"no kind .* want one of bool, signed integer"
        ):
            call()


def test_a_device_tells_only_the_types_it_stores() -> None:
    stored = ["bool", "uint8", "int32", "uint32", "int64", "float32", "bfloat16"]
    with extra_device(caps(storage=stored)) as name:
        assert sorted(INFO.dtypes(device=name)) == sorted(set(stored) - {"bfloat16"})


def test_default_types_are_those_of_creation(device: str) -> None:
    found = INFO.default_dtypes(device=device)
    numbers = {"real floating": 1.0, "complex floating": 1j, "integral": 1}
    assert {kind: pb.asarray(x, device=device).dtype for kind, x in numbers.items()} == {
        kind: found[kind] for kind in numbers
    }
    assert found["indexing"] is pb.argmax(pb.zeros(2, device=device)).dtype
    assert INFO.capabilities()["boolean indexing"] is True
    assert INFO.capabilities()["data-dependent shapes"] is True
    assert INFO.capabilities()["max dimensions"] >= 8


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.is_floating], ids=str)
def test_limits_of_floating_types(dtype: pb.DType) -> None:
    one = np.ones((), dtype.numpy)
    found = pb.finfo(dtype)
    assert found == pb.finfo(pb.ones(2, dtype=dtype))
    values = (found.eps, found.max, found.min, found.smallest_normal)
    assert all(type(v) is float for v in values)
    assert found.bits == 8 * dtype.itemsize
    assert found.dtype is dtype
    next_one = (one.view(f"u{dtype.itemsize}") + 1).astype(f"u{dtype.itemsize}").view(dtype.numpy)
    assert found.eps == float(next_one) - 1
    with np.errstate(over="ignore"):
        largest = np.asarray(found.max).astype(dtype.numpy)
        assert float(largest) == found.max == -found.min
        assert np.isinf(np.asarray(found.max * (1 + found.eps)).astype(dtype.numpy))
    assert np.log2(found.smallest_normal) == 2 - 2 ** (found.bits - 2 + np.log2(found.eps))


def test_limits_of_complex_and_integer_types() -> None:
    assert pb.finfo(pb.complex64) == pb.finfo(pb.float32)
    assert pb.finfo(pb.asarray(1j)).dtype is pb.float32
    assert pb.finfo(pb.complex128).dtype is pb.float64
    for dtype in (d for d in DTYPES if d.is_integer):
        found, signed = pb.iinfo(dtype), dtype.kind == "int"
        assert (found.bits, found.dtype) == (8 * dtype.itemsize, dtype)
        assert found.min == (-(2 ** (found.bits - 1)) if signed else 0)
        assert found.max == 2 ** (found.bits - signed) - 1
    for call in (
        lambda: pb.finfo(pb.int8),
        lambda: pb.iinfo(pb.float32),
        lambda: pb.iinfo(pb.bool),
    ):
        with pytest.raises(pb.DTypeError, match=r"info\] got"):
            call()


@pytest.mark.parametrize("line", STANDARD["promotion"])
def test_promotion_is_the_standards(line: str) -> None:
    a, b, want = (getattr(pb, name) for name in line.split())
    assert pb.result_type(a, b) is pb.result_type(b, a) is want
    assert pb.result_type(pb.zeros(1, dtype=a), b) is want
    assert pb.can_cast(a, want)
    assert pb.can_cast(pb.zeros(1, dtype=a), want)
    assert pb.can_cast(want, a) == (want is a)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_python_numbers_beside_arrays(dtype: pb.DType) -> None:
    for number, kinds in (
        (True, "bool"), (1, "int uint float complex"), (1.0, "float complex"), (1j, "complex"),
    ):  # fmt: skip
        if dtype.kind in kinds.split():
            assert pb.result_type(dtype, number) is pb.result_type(number, dtype) is dtype
    if dtype.is_floating:
        assert pb.result_type(dtype, 1j) is promote(dtype, pb.complex64)


def test_there_is_no_type_for_uint64_with_a_signed_one() -> None:
    assert not pb.can_cast(pb.uint64, pb.int64)
    assert not pb.can_cast(pb.int8, pb.uint64)


def test_astype_copies_unless_told_otherwise(device: str) -> None:
    x = pb.asarray([1.5, -2.5], device=device)
    assert pb.astype(x, pb.float32, copy=False) is x
    y = pb.astype(x, pb.float32)
    x[0] = 7.0
    assert y.tolist() == [1.5, -2.5]
    leaf = pb.asarray([2.0], device=device, requires_grad=True)
    pb.sum(pb.astype(leaf, pb.float32) * 3.0).backward()
    assert leaf.grad.tolist() == [3.0]
    z = pb.asarray([1 + 2j, 0j], device=device)
    assert pb.astype(z, pb.bool).tolist() == [True, False]
    with pytest.raises(pb.DTypeError, match=r"\[astype\] got complex64; want real\(x\) or imag"):
        pb.astype(z, pb.float32)
    for call in (
        lambda: pb.asarray(z, dtype=pb.float64), lambda: pb.sum(z, dtype=pb.int64),
        lambda: pb.cumulative_prod(z, dtype=pb.float32),
    ):  # fmt: skip
        with pytest.raises(pb.DTypeError, match="got complex64; want real"):
            call()
