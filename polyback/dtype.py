"""Data types: the table, Python scalars, and promotion.

Promotion follows the array API standard 2025.12 within a kind. Where the standard leaves a mix
undefined, an integer or bool array takes the other array's floating type (as PyTorch and JAX do),
``bool`` joins integers, and ``float16`` with ``bfloat16`` gives ``float32``.  ``uint64`` with a
signed integer has no common integer type and is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final, final

import ml_dtypes
import numpy as np

from polyback.errors import DTypeError, InvalidArgument

KINDS: Final = ("bool", "int", "uint", "float", "complex")


@final
@dataclass(frozen=True, slots=False, eq=False)
class DType:
    """One element type. Compare with ``==`` or ``is``: there is one object per type."""

    name: str
    code: str  # short form used in programs and kernel names: f32, i64, b8
    kind: str  # one of KINDS
    itemsize: int  # bytes

    def __repr__(self) -> str:
        return f"polyback.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (dtype_of, (self.name,))

    @cached_property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype with the same bytes (``ml_dtypes`` provides bfloat16)."""
        if self.name == "bfloat16":
            return np.dtype(ml_dtypes.bfloat16)
        return np.dtype(self.name)

    @property
    def is_floating(self) -> bool:
        """True for float16, bfloat16, float32 and float64."""
        return self.kind == "float"

    @property
    def is_integer(self) -> bool:
        """True for signed and unsigned integers (bool is not one)."""
        return self.kind in ("int", "uint")

    @property
    def rank(self) -> int:
        """The place of its kind in promotion: bool, integers, floating, complex."""
        return _RANK[self.kind]

    @cached_property
    def compute(self) -> DType:
        """The type that arithmetic runs in: float32 for the half types, else the type itself."""
        return float32 if self.kind == "float" and self.itemsize == 2 else self


bool_: Final = DType("bool", "b8", "bool", 1)
int8: Final = DType("int8", "i8", "int", 1)
int16: Final = DType("int16", "i16", "int", 2)
int32: Final = DType("int32", "i32", "int", 4)
int64: Final = DType("int64", "i64", "int", 8)
uint8: Final = DType("uint8", "u8", "uint", 1)
uint16: Final = DType("uint16", "u16", "uint", 2)
uint32: Final = DType("uint32", "u32", "uint", 4)
uint64: Final = DType("uint64", "u64", "uint", 8)
float16: Final = DType("float16", "f16", "float", 2)
bfloat16: Final = DType("bfloat16", "bf16", "float", 2)
float32: Final = DType("float32", "f32", "float", 4)
float64: Final = DType("float64", "f64", "float", 8)
complex64: Final = DType("complex64", "c64", "complex", 8)
complex128: Final = DType("complex128", "c128", "complex", 16)

DTYPES: Final = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, complex64, complex128,
)  # fmt: skip
DEFAULT_FLOAT: Final = float32
DEFAULT_INT: Final = int64
DEFAULT_COMPLEX: Final = complex64

# What isdtype() calls kinds, as the standard has them.
_NAMED_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "bool": ("bool",),
    "signed integer": ("int",),
    "unsigned integer": ("uint",),
    "integral": ("int", "uint"),
    "real floating": ("float",),
    "complex floating": ("complex",),
    "numeric": ("int", "uint", "float", "complex"),
}


def is_kind(dtype: DType, kind: str) -> bool:
    """Is ``dtype`` of a kind of the standard, such as ``"integral"``? Raises InvalidArgument."""
    if kind not in _NAMED_KINDS:
        raise InvalidArgument(f"[dtype] no kind {kind!r}; want one of {', '.join(_NAMED_KINDS)}")
    return dtype.kind in _NAMED_KINDS[kind]


def real_part(dtype: DType) -> DType:
    """The type of the components of a complex type; any other type itself."""
    if dtype.kind != "complex":
        return dtype
    return float32 if dtype is complex64 else float64


_BY_NAME: Final = {d.name: d for d in DTYPES} | {d.code: d for d in DTYPES}


@cache
def _from_numpy(dtype: np.dtype[Any]) -> DType:
    native = dtype.newbyteorder("=")  # converted on the way to the device
    for candidate in DTYPES:
        if candidate.numpy == native:
            return candidate
    raise DTypeError(
        f"[dtype] no polyback type holds numpy's {dtype}; want one of "
        f"{', '.join(d.name for d in DTYPES)}; convert the array first"
    )


def dtype_of(spec: Any) -> DType:
    """The DType that ``spec`` names: a DType, its name or code, a NumPy dtype, or bool/int/float.

    Raises DTypeError for anything else.
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str) and spec in _BY_NAME:
        return _BY_NAME[spec]
    if isinstance(spec, type) and spec in _PYTHON:
        return _PYTHON[spec]
    try:
        if spec is None:  # NumPy would say float64
            raise TypeError
        return _from_numpy(np.dtype(spec))
    except (TypeError, ValueError) as error:  # ValueError: a tensor, a string like "ij->ji"
        if isinstance(error, DTypeError):
            raise
        raise DTypeError(
            f"[dtype] {spec!r} names no type; want one of {', '.join(d.name for d in DTYPES)}"
        ) from None


_PYTHON: Final[dict[type, DType]] = {
    bool: bool_,
    int: DEFAULT_INT,
    float: DEFAULT_FLOAT,
    complex: DEFAULT_COMPLEX,
}
_RANK: Final = {"bool": 0, "uint": 1, "int": 1, "float": 2, "complex": 3}
_COMPLEX_OF: Final = {float16: complex64, bfloat16: complex64, float32: complex64}


@cache
def promote(a: DType, b: DType) -> DType:
    """The type that holds both (see the module docstring). Raises DTypeError if there is none."""
    if a is b:
        return a
    low, high = sorted((a, b), key=lambda d: (d.rank, d.itemsize))
    if low.rank < 2 and high.rank > low.rank:
        return high  # bool with anything, integer with floating
    if high.kind == "complex":
        low = low if low.kind == "complex" else _COMPLEX_OF.get(low, complex128)
        return low if low.itemsize > high.itemsize else high
    if high.kind == "float":
        return float32 if low.itemsize == high.itemsize else high
    if low.kind == high.kind:
        return high
    signed, unsigned = (a, b) if a.kind == "int" else (b, a)
    if signed.itemsize > unsigned.itemsize:
        return signed
    if unsigned.itemsize == 8:
        raise DTypeError(
            f"[promote] {a} and {b} have no common integer type; convert one with astype()"
        )
    return _BY_NAME[f"int{unsigned.itemsize * 16}"]


def scalar_dtype(value: bool | int | float | complex, like: DType) -> DType:
    """The type of a Python scalar beside an array of type ``like``: the array's, unless the
    scalar's kind is higher (an int array with a float scalar gives the default float).

    Raises DTypeError when ``value`` is not a Python scalar or an int does not fit the result.
    """
    python = _PYTHON.get(type(value))
    if python is None:  # numpy scalars and bool/int/float subclasses
        for base in (bool, int, float, complex):
            if isinstance(value, base):
                python = _PYTHON[base]
                break
        else:
            raise DTypeError(f"[dtype] {type(value).__name__} is not a Python scalar")
    if python.rank <= like.rank:
        result = like
    elif python.kind == "complex":
        result = complex128 if like is float64 else complex64
    else:
        result = python
    if isinstance(value, int):
        check_fits(int(value), result)
    return result


@cache
def _limits(dtype: DType) -> tuple[int, int]:
    if dtype.is_integer:
        info = np.iinfo(dtype.numpy)
        return int(info.min), int(info.max)
    if dtype.kind == "bool":
        return 0, 1
    return -(2**1023), 2**1023  # beyond, Python cannot make a float of it


def check_fits(value: int, dtype: DType) -> None:
    """Raises DTypeError unless the Python int ``value`` is inside the range of ``dtype``."""
    low, high = _limits(dtype)
    if not low <= value <= high:
        spelled = str(value) if abs(value) < 10**40 else f"of {value.bit_length()} bits"
        limits = f"[{low}, {high}]" if high < 2**64 else "[-2**1023, 2**1023]"
        raise DTypeError(
            f"[dtype] the Python int {spelled} does not fit {dtype} {limits}; "
            f"convert the array with astype() first"
        )
