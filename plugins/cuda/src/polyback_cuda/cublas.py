"""cuBLAS, opt-in (``config.vendor_matmul``): matrix products by NVIDIA's own library.

The kernels of the kit are the default. This is for who wants the vendor's speed, and what they are
measured against. Calls go through ctypes, as pycuda has none for it. The mode is pedantic: no TF32,
no other lowered precision.
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, final

from polyback.device import Operand
from polyback.errors import AsyncError, BackendUnavailable
from polyback.simt.driver import Triple
from polyback.simt.geometry import merge

NAMES: Final = ("libcublas.so.13", "libcublas.so.12")
FOLDERS: Final = ("cu13/lib", "cublas/lib")  # inside the package nvidia
PEDANTIC: Final = 2  # CUBLAS_PEDANTIC_MATH
KERNELS: Final = {"f32": "S", "f64": "D", "c64": "C", "c128": "Z"}
LARGEST: Final = 2**31 - 1  # of sizes and leading dimensions
SUCCESS, NONE, TRANSPOSED = 0, 0, 1


@lru_cache(maxsize=1)
def find_cublas() -> Any:
    """The loaded library, from the wheel ``nvidia-cublas`` or the toolkit. Raises
    BackendUnavailable."""
    spec = importlib.util.find_spec("nvidia")
    places = [Path(p) for p in spec.submodule_search_locations or ()] if spec else []
    wheels = [p / folder / name for p in places for folder in FOLDERS for name in NAMES]
    for path in [*(str(w) for w in wheels if w.exists()), *NAMES]:
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise BackendUnavailable(
        "[cuda] vendor_matmul is set, but cuBLAS does not load; pip install nvidia-cublas",
        code="NOT_INSTALLED", reason="cuBLAS does not load", fix="pip install nvidia-cublas",
    )  # fmt: skip


@final
@dataclass(frozen=True)
class Matrix:
    """A row-major matrix, or a stack of them, as cuBLAS reads it: column-major, so transposed."""

    start: int  # bytes from the buffer's first
    transposed: int  # NONE: rows are contiguous
    leading: int
    step: int  # elements to the next matrix of the stack


@final
@dataclass(frozen=True)
class Product:
    """A call of :meth:`Cublas.gemm` but for its buffers: of a, b and the result."""

    code: str
    sizes: tuple[int, int, int]
    count: int
    matrices: tuple[Matrix, Matrix, Matrix]


@final
class Cublas:
    """One handle on one stream, made and used while the context is current."""

    def __init__(self, library: Any, stream: int) -> None:
        self._library, self._handle = library, ctypes.c_void_p()
        self._check(library.cublasCreate_v2(ctypes.byref(self._handle)), "cublasCreate")
        self._check(
            library.cublasSetStream_v2(self._handle, ctypes.c_void_p(stream)), "cublasSetStream"
        )
        self._check(library.cublasSetMathMode(self._handle, PEDANTIC), "cublasSetMathMode")

    def close(self) -> None:
        """Give the handle back."""
        self._library.cublasDestroy_v2(self._handle)

    def gemm(self, product: Product, handles: Sequence[int]) -> None:
        """Queue ``c = a @ b``, row-major, for stacks of ``count`` matrices of (m, n, k), whose
        buffers begin at ``handles``. Read by columns that is ``c' = b' a'``: the factors change
        places."""
        (m, n, k), code, count = product.sizes, product.code, product.count
        a, b, c = product.matrices
        at_a, at_b, at_c = handles
        one, zero = _number(code, 1.0), _number(code, 0.0)
        pointer, long = ctypes.c_void_p, ctypes.c_longlong
        status = getattr(self._library, f"cublas{KERNELS[code]}gemmStridedBatched")(
            self._handle, b.transposed, a.transposed, n, m, k, ctypes.byref(one),
            pointer(at_b + b.start), b.leading, long(b.step),
            pointer(at_a + a.start), a.leading, long(a.step),
            ctypes.byref(zero), pointer(at_c + c.start), c.leading, long(c.step), count,
        )  # fmt: skip
        self._check(status, f"cublas{KERNELS[code]}gemm")

    def _check(self, status: int, what: str) -> None:
        if status != SUCCESS:
            raise AsyncError(f"[cuda] {what} failed with status {status}")


@final
class Gemm:
    """A product where pycuda has a function: launched with the addresses of a, b and the result."""

    def __init__(self, blas: Cublas, product: Product) -> None:
        self._blas, self._product = blas, product

    def _launch_kernel(
        self, groups: Triple, block: Triple, packed: bytes, shared: int, stream: Any
    ) -> None:
        self._blas.gemm(self._product, struct.unpack("3P", packed))


def _number(code: str, value: float) -> Any:
    real = ctypes.c_double if code in ("f64", "c128") else ctypes.c_float
    return (real * 2)(value, 0.0) if code.startswith("c") else real(value)


def plan(out: Operand, a: Operand, b: Operand) -> Product | None:
    """What :meth:`Cublas.gemm` needs to know, or None where it cannot walk as these operands do."""
    (m, k), n = a.view.shape[-2:], b.view.shape[-1]
    if out.dtype.code not in KERNELS or k == 0 or max(m, n, k) > LARGEST:
        return None
    operands = (a, b, out)
    stack = merge(a.view.shape[:-2], [x.view.strides[:-2] for x in operands])
    if len(stack.shape) > 1 or stack.size > LARGEST:
        return None
    found = []
    for x, steps in zip(operands, stack.strides, strict=True):
        matrix = _matrix(x, steps[0] if steps else 0)
        if matrix is None:
            return None
        found.append(matrix)
    if found[2].transposed or (stack.size > 1 and not found[2].step):
        return None
    return Product(out.dtype.code, (m, n, k), stack.size, (found[0], found[1], found[2]))


def _matrix(x: Operand, step: int) -> Matrix | None:
    rows, columns = x.view.shape[-2:]
    down, across = x.view.strides[-2:]
    if (across == 1 or columns == 1) and (down >= columns or rows == 1):
        leading, transposed = (down if rows > 1 else columns), NONE
    elif (down == 1 or rows == 1) and (across >= rows or columns == 1):
        leading, transposed = (across if columns > 1 else rows), TRANSPOSED
    else:
        return None
    if columns == 1 and transposed == NONE and rows > 1 and down < 1:
        return None
    if leading > LARGEST:
        return None
    return Matrix(x.view.offset * x.dtype.itemsize, transposed, max(leading, 1), step)
