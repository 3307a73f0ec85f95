"""Accuracy and special values of the cpu_c scalar math.

math_ulp.c is compiled by the `cc` on PATH for every instruction set this machine can run, and
measures the float functions against libm; the exact operations (integers, remainders,
conversions, predicates) are compared with NumPy through the same file built as a library.
"""

import ctypes
import functools
import pathlib
import shutil
import subprocess
import warnings

import numpy as np
import pytest

from polyback.scalar import FLOOR_DIVIDE, REMAINDER

HERE = pathlib.Path(__file__).parent
CC = shutil.which("cc")
FLAGS = [
    "-O3",
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fwrapv",
    "-Wall",
    "-Werror",
]
AVX512 = ["avx512f", "avx512bw", "avx512dq", "avx512vl"]
TARGETS = {
    "portable": ([], []),
    "avx2": (["avx2", "fma"], ["-mavx2", "-mfma"]),
    "avx512": (AVX512, [f"-m{name}" for name in AVX512] + ["-mprefer-vector-width=512"]),
}

# Largest error in ULP.  The rule is 2.0; the table holds what is achieved, rounded up, over all
# 2^32 f32 values and the f64 samples.  0 means exact, 0.5 correctly rounded.
RULE = 2.0
LIMITS = {
    **dict.fromkeys(["abs", "floor", "ceil", "trunc", "round", "sign"], 0.0),
    **dict.fromkeys(["copysign", "maximum", "minimum", "next"], 0.0),
    **dict.fromkeys(["sqrt", "reciprocal"], 0.5001),
    "rsqrt": 1.5,
}
LIMITS_F32 = {
    **dict.fromkeys(
        ["log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "erf"], 0.52
    ),
    **dict.fromkeys(["sinh", "cosh", "asinh", "acosh", "atanh", "pow", "hypot", "logaddexp"], 0.52),
    "exp": 1.0,
    "expm1": 1.1,
    "log": 1.0,
    "log1p": 1.0,
    "tanh": 1.35,
    "sigmoid": 1.5,
}
LIMITS_F64 = {
    **dict.fromkeys(["log", "log1p", "sin", "cos"], 1.0),
    **dict.fromkeys(["exp", "expm1"], 1.2),
    **dict.fromkeys(["tanh", "erf", "sigmoid"], 1.5),
}

INTEGERS = {
    "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
    "u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "u64": np.uint64,
}  # fmt: skip
FLOATS = {"f32": np.float32, "f64": np.float64}

pytestmark = pytest.mark.skipif(CC is None, reason="no C compiler: `cc` is not on PATH")


@functools.cache
def cpu_flags():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((x for x in lines if x.startswith("flags")), "").split())


def target_flags(target):
    needs, flags = TARGETS[target]
    if not set(needs) <= cpu_flags():
        pytest.skip(f"this CPU lacks {target}")
    return flags


@pytest.fixture(scope="module", params=TARGETS)
def program(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("ulp") / "math_ulp"
    flags = FLAGS + target_flags(request.param)
    subprocess.run(
        [CC, *flags, "-I", HERE.parent / "csrc", HERE / "math_ulp.c", "-o", out, "-lm"], check=True
    )
    return out


@pytest.fixture(scope="module", params=TARGETS)
def library(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("ulp") / "math_ulp.so"
    flags = FLAGS + target_flags(request.param) + ["-DPB_SHARED", "-shared", "-fPIC"]
    subprocess.run(
        [CC, *flags, "-I", HERE.parent / "csrc", HERE / "math_ulp.c", "-o", out, "-lm"], check=True
    )
    return ctypes.CDLL(str(out))


def limit(name):
    function, dtype = name.rsplit("_", 1)
    per_type = LIMITS_F32 if dtype == "f32" else LIMITS_F64
    return per_type.get(function, LIMITS.get(function, RULE))


def measure(program, *arguments):
    done = subprocess.run([program, *arguments], check=True, capture_output=True, text=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    print(f"\n{'function':16} {'ulp':>8} {'limit':>7}  worst at")
    wrong = []
    for name, ulp, *where in rows:
        print(f"{name:16} {ulp:>8} {limit(name):7.4f}  {' '.join(where)}")
        if not float(ulp) <= limit(name):
            wrong.append((name, ulp, where))
    assert rows
    assert not wrong


def call(library, name, out_dtype, *arrays):
    arrays = [np.ascontiguousarray(x) for x in arrays]
    out = np.empty(arrays[0].shape, out_dtype)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (*arrays, out)]
    getattr(library, f"block_{name}")(ctypes.c_size_t(out.size), *pointers)
    return out


def assert_same_bits(got, want, *inputs):
    """Equal including the sign of zeros; any NaN equals any other."""
    assert got.dtype == want.dtype
    same = got == want
    if got.dtype.kind == "f":
        same = (same & (np.signbit(got) == np.signbit(want))) | (np.isnan(got) & np.isnan(want))
    bad = np.flatnonzero(~same)[:5]
    assert not bad.size, [(*(x[i] for x in inputs), got[i], want[i]) for i in bad]


def float_values(dtype, rng, n=400):
    info = np.finfo(dtype)
    edges = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 7.0, 8388607.5, 2.0**23, 2.0**31, 2.0**52]
    edges += [0.1, 0.3, 1e10, 1e-10, np.inf, np.nan]
    edges += [info.tiny, info.smallest_subnormal, info.max]
    words = rng.integers(0, 2 ** (8 * info.dtype.itemsize), n, dtype=f"u{info.dtype.itemsize}")
    scaled = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4, n)
    whole = rng.integers(-50, 50, n).astype(dtype)
    parts = [np.array(edges, dtype), -np.array(edges, dtype), scaled.astype(dtype), whole]
    return np.concatenate([*parts, words.view(dtype)])


def integer_values(dtype, rng, n=300):
    info = np.iinfo(dtype)
    near = [info.min, info.min + 1, info.max, info.max - 1, info.max // 2 + 1]
    small = range(max(info.min, -70), 71)
    words = rng.integers(info.min, info.max, n, dtype=dtype, endpoint=True)
    return np.concatenate([np.array([*near, *small], dtype), words, words >> dtype(info.bits // 2)])


def pairs(values):
    return np.repeat(values, values.size), np.tile(values, values.size)


def test_ulp_sampled(program):
    measure(program, "fast")


@pytest.mark.slow
def test_ulp_all_f32(program):
    measure(program, "full")


@pytest.mark.parametrize("dtype", FLOATS)
def test_division_like_the_table(library, dtype):
    a, b = pairs(float_values(FLOATS[dtype], np.random.default_rng(1)))
    for name, ufunc in (("remainder", REMAINDER.numpy), ("floor_divide", FLOOR_DIVIDE.numpy)):
        with np.errstate(all="ignore"):
            want = ufunc(a, b)
        assert_same_bits(call(library, f"{name}_{dtype}", a.dtype, a, b), want, a, b)


@pytest.mark.parametrize("dtype", FLOATS)
def test_bitwise_float_functions_like_numpy(library, dtype):
    values = float_values(FLOATS[dtype], np.random.default_rng(2))
    for name in ("floor", "ceil", "trunc", "rint", "sign"):
        with np.errstate(all="ignore"):
            want = getattr(np, name)(values)
        ours = "round" if name == "rint" else name
        assert_same_bits(call(library, f"{ours}_{dtype}", values.dtype, values), want, values)
    for name in ("isnan", "isinf", "isfinite", "signbit"):
        got = call(library, f"{name}_{dtype}", np.uint8, values)
        assert_same_bits(got, getattr(np, name)(values).view(np.uint8), values)
    a, b = pairs(values)
    for name in ("copysign", "nextafter"):
        with np.errstate(all="ignore"):
            want = getattr(np, name)(a, b)
        assert_same_bits(call(library, f"{name}_{dtype}", a.dtype, a, b), want, a, b)


def test_extrema_order_zeros_and_propagate_nan(library):
    for dtype, kind in FLOATS.items():
        a = np.array([0.0, -0.0, np.nan, 1.0, np.inf, -np.inf, -0.0], kind)
        b = np.array([-0.0, 0.0, 1.0, np.nan, 1.0, np.nan, -0.0], kind)
        high = np.array([0.0, 0.0, np.nan, np.nan, np.inf, np.nan, -0.0], kind)
        low = np.array([-0.0, -0.0, np.nan, np.nan, 1.0, np.nan, -0.0], kind)
        assert_same_bits(call(library, f"maximum_{dtype}", kind, a, b), high, a, b)
        assert_same_bits(call(library, f"minimum_{dtype}", kind, a, b), low, a, b)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_like_numpy(library, dtype):
    kind = INTEGERS[dtype]
    values = integer_values(kind, np.random.default_rng(3))
    a, b = pairs(values)
    for name in ("abs", "sign"):
        want = getattr(np, name)(values)
        assert_same_bits(call(library, f"{name}_{dtype}", kind, values), want, values)
    ufuncs = {
        "floor_divide": np.floor_divide, "remainder": np.remainder, "maximum": np.maximum,
        "minimum": np.minimum, "shift_left": np.left_shift, "shift_right": np.right_shift,
    }  # fmt: skip
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, ufunc in ufuncs.items():
            want = ufunc(a, b)
            assert_same_bits(call(library, f"{name}_{dtype}", kind, a, b), want, a, b)
        up = b >= 0
        want = np.power(a[up], b[up])
    assert_same_bits(call(library, f"pow_{dtype}", kind, a[up], b[up]), want, a[up], b[up])


@pytest.mark.parametrize("dtype", ["i8", "i16", "i32", "i64"])
def test_negative_integer_exponents_truncate(library, dtype):
    kind = INTEGERS[dtype]
    a = np.array([1, -1, -1, 2, -2, 0, 5], kind)
    b = np.array([-3, -3, -2, -1, -1, -1, np.iinfo(kind).min], kind)
    want = np.array([1, -1, 1, 0, 0, 0, 0], kind)
    assert_same_bits(call(library, f"pow_{dtype}", kind, a, b), want, a, b)


def test_multiply_high(library):
    a, b = pairs(integer_values(np.uint32, np.random.default_rng(4)))
    want = (a.astype(np.uint64) * b >> np.uint64(32)).astype(np.uint32)
    assert_same_bits(call(library, "multiply_high_u32", np.uint32, a, b), want, a, b)


def conversion_samples():
    """f32 values on, and one ULP around, every half-way point of 16-bit formats, and a stride."""
    upper = np.arange(1 << 16, dtype=np.uint32) << 16
    edges = [upper + np.uint32(k & 0xFFFFFFFF) for k in (0, 1, -1, 0x8000, 0x7FFF, 0x8001)]
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
    steps = np.arange(1 << 20, dtype=np.uint32) * np.uint32(4093)
    fine = [halves.view(np.uint32) + np.uint32(k & 0xFFFFFFFF) for k in (0, 0xFFF, 0x1000, 0x1001)]
    denormal = np.arange(0x33000000 - 64, 0x38800000 + 64, 31, dtype=np.uint32)
    return np.concatenate([*edges, *fine, steps, denormal]).view(np.float32)


def assert_same_16(got, want, nan, wide):
    same = (got == want) | (nan(got) & nan(want) & ((got ^ want) >> 15 == 0))
    bad = np.flatnonzero(~same)[:5]
    assert not bad.size, [(wide[i], hex(got[i]), hex(want[i])) for i in bad]


def test_float16_like_numpy(library):
    words = np.arange(1 << 16, dtype=np.uint16)
    want = words.view(np.float16).astype(np.float32)
    assert_same_bits(call(library, "f16_to_f32", np.float32, words), want, words)
    wide = conversion_samples()
    with np.errstate(all="ignore"):
        want = wide.astype(np.float16).view(np.uint16)
    got = call(library, "f32_to_f16", np.uint16, wide)
    assert_same_16(got, want, lambda w: (w & 0x7FFF) > 0x7C00, wide)
    assert ((got & 0x7FFF <= 0x7C00) | (got & 0x200 != 0)).all()


def test_bfloat16_like_ml_dtypes(library):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    words = np.arange(1 << 16, dtype=np.uint16)
    want = words.view(bfloat16).astype(np.float32)
    assert_same_bits(call(library, "bf16_to_f32", np.float32, words), want, words)
    wide = conversion_samples()
    with np.errstate(all="ignore"):
        want = wide.astype(bfloat16).view(np.uint16)
    got = call(library, "f32_to_bf16", np.uint16, wide)
    assert_same_16(got, want, lambda w: (w & 0x7FFF) > 0x7F80, wide)
    assert ((got & 0x7FFF <= 0x7F80) | (got & 0x40 != 0)).all()


def test_needs_patch_only_where_the_fast_path_ends(library):
    """The patched f64 functions are exact copies of libm far out, and finite blocks mix freely."""
    x = np.array([1e300, 0.5, -(2.0**20), np.inf, np.nan, 2.0**20 - 0.5, 1e22, -0.0])
    for name in ("sin", "cos"):
        got = call(library, f"{name}_f64", np.float64, x)
        with np.errstate(all="ignore"):
            want = getattr(np, name)(x)
        np.testing.assert_allclose(got, want, rtol=4e-16)
        alone = [call(library, f"{name}_f64", np.float64, x[i : i + 1])[0] for i in range(x.size)]
        assert_same_bits(got, np.array(alone), x)
