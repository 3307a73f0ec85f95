"""THE table of scalar functions: one row each, and nothing else lists them.

A row drives the reference backend (``numpy``), the C-family backends (``c``), the gradients
(``grad``), the conformance cases (``takes``, ``ulp``) and the documentation.

``c``     portable C-family text. ``{0}`` is an operand; ``$name(`` is a function that each language
          spells for the operand type (``pb_exp_f32`` in our C kernels, ``exp`` in OpenCL).
``grad``  one rule per operand: ``rule(t, y, *operands)`` is ``t * dy/dx`` with the result ``y``.
          It pushes a tangent ``t`` on; for real numbers it pulls a gradient back just as well, for
          complex ones ``conj(rule(conj(g)))`` does. A rule uses operators and rows only, so the
          gradient of a gradient comes free. None means: not differentiable, on purpose.
``wirtinger``  for complex operands of a row without a complex derivative: (rule that pulls a
          gradient back, rule that pushes a tangent on).
``ulp``   largest float32 error allowed, in units in the last place of the exact result
          (the OpenCL full-profile table); 0 means bit exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal, Protocol, final

import numpy as np

from polyback import dtype as dt
from polyback import meaning
from polyback.dtype import DType

Gives = Literal["same", "bool", "real", "own"]
Rule = Callable[..., Any]


class Applicable(Protocol):
    """Anything a row can be applied to: tensors, and values of a program being built."""

    def apply(self, row: Scalar, operands: tuple[Any, ...]) -> Any:
        """The result of ``row`` on ``operands``."""
        ...


@final
@dataclass(frozen=True, eq=False, repr=False)
class Scalar:
    """One scalar function. Call it with tensors and numbers to apply it: ``EXP(x)``."""

    name: str
    arity: int
    takes: frozenset[DType]
    c: str
    numpy: Callable[..., Any]
    grad: tuple[Rule | None, ...] | None = None
    wirtinger: tuple[Rule, Rule] | None = None
    gives: Gives = "same"  # result type: the operands', bool, their real part's, or its own
    ulp: float = 0.0
    ulp_of: Literal["result", "operands"] = "result"  # what the ULP is measured on
    binary: str = ""  # the Python operator, for documents
    nodes: ClassVar[int] = 1  # operations that it stands for

    def __call__(self, *operands: Any) -> Any:
        for operand in operands:
            if not isinstance(operand, (bool, int, float, complex)):
                return operand.apply(self, operands)
        kind = np.complex128 if any(isinstance(x, complex) for x in operands) else np.float64
        with np.errstate(all="ignore"):
            return self.numpy(*(np.asarray(value, kind) for value in operands)).item()

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (row_named, (self.name,))

    def result_dtype(self, dtype: DType) -> DType:
        """The type of the result for operands of type ``dtype``."""
        if self.gives == "bool":
            return dt.bool_
        return dt.real_part(dtype) if self.gives == "real" else dtype


def _types(*kinds: str) -> frozenset[DType]:
    return frozenset(d for d in dt.DTYPES if d.kind in kinds and d.compute is d)


BOOL: Final = _types("bool")
INTEGER: Final = _types("int", "uint")
INTEGER_OR_BOOL: Final = BOOL | INTEGER
REAL_FLOAT: Final = _types("float")
FLOAT: Final = _types("float", "complex")
REAL: Final = INTEGER | REAL_FLOAT
NUMERIC: Final = REAL | FLOAT
ALL: Final = NUMERIC | BOOL
COMPLEX: Final = _types("complex")
UINT32: Final = frozenset({dt.uint32})


def _pow_slope(a: Any, b: Any) -> Any:
    """d(a**b)/da; 0 for the constant 0**0."""
    if isinstance(b, (bool, int, float, complex)):
        return b * a ** (b - 1) if b != 0 else 0.0
    return b * a ** WHERE(LOGICAL_AND(a == 0, b == 0), 1.0, b - 1)


def _pow_log(a: Any) -> Any:
    """log(a), and 0 where a is 0, so that y * log(a) is too; also in its own derivative."""
    return WHERE(a == 0, 0.0, LOG(WHERE(a == 0, 1.0, a)))


def _sign_slope(t: Any, y: Any, x: Any) -> Any:
    """The part of ``t`` across the direction ``y`` of complex ``x``, over ``|x|``: the derivative
    of ``x / |x|``, which is its own adjoint; 0 at 0."""
    across = t - y * REAL_PART(CONJ(y) * t)
    return WHERE(x == 0, 0.0, across / WHERE(x == 0, 1.0, ABS(x)))


def _share(g: Any, wins: Any, ties: Any) -> Any:
    return WHERE(wins, g, WHERE(ties, g * 0.5, 0.0))


# fmt: off
# --- building blocks of programs ---------------------------------------------------------------
CONST = Scalar("const", 0, ALL, "{value}", np.asarray, gives="own")
IOTA = Scalar("iota", 0, frozenset({dt.int64}), "{index}", np.arange, gives="own")
CAST = Scalar("cast", 1, ALL, "$cast({0})", lambda x: x, gives="own")
WHERE: Scalar = Scalar("where", 3, ALL, "({0} ? {1} : {2})", np.where,
    (None, lambda g, y, c, a, b: WHERE(c, g, 0.0), lambda g, y, c, a, b: WHERE(c, 0.0, g)))
MULTIPLY_HIGH = Scalar("multiply_high", 2, UINT32, "$multiply_high({0}, {1})",
    meaning.multiply_high)

# --- arithmetic --------------------------------------------------------------------------------
ADD = Scalar("add", 2, NUMERIC, "({0} + {1})", np.add,
    (lambda g, y, a, b: g, lambda g, y, a, b: g), binary="+")
SUBTRACT = Scalar("subtract", 2, NUMERIC, "({0} - {1})", np.subtract,
    (lambda g, y, a, b: g, lambda g, y, a, b: -g), binary="-")
MULTIPLY = Scalar("multiply", 2, NUMERIC, "({0} * {1})", np.multiply,
    (lambda g, y, a, b: g * b, lambda g, y, a, b: g * a), binary="*")
DIVIDE = Scalar("divide", 2, FLOAT, "({0} / {1})", np.divide,
    (lambda g, y, a, b: g / b, lambda g, y, a, b: -g * y / b), ulp=2.5, binary="/")
FLOOR_DIVIDE = Scalar("floor_divide", 2, REAL, "$floor_divide({0}, {1})",
    meaning.floor_divide, binary="//")
REMAINDER = Scalar("remainder", 2, REAL, "$remainder({0}, {1})", np.remainder,
    (lambda g, y, a, b: g, lambda g, y, a, b: -g * FLOOR_DIVIDE(a, b)), binary="%")
POW = Scalar("pow", 2, NUMERIC, "$pow({0}, {1})", meaning.pow,
    (lambda g, y, a, b: g * _pow_slope(a, b), lambda g, y, a, b: g * y * _pow_log(a)),
    ulp=16, binary="**")
NEGATIVE = Scalar("negative", 1, NUMERIC, "(-{0})", np.negative, (lambda g, y, x: -g,))
POSITIVE = Scalar("positive", 1, NUMERIC, "{0}", np.positive, (lambda g, y, x: g,))
ABS: Scalar = Scalar("abs", 1, NUMERIC, "$abs({0})", np.abs, (lambda g, y, x: g * SIGN(x),),
    (lambda g, y, x: g * SIGN(x), lambda t, y, x: REAL_PART(CONJ(SIGN(x)) * t)), gives="real")
SIGN: Scalar = Scalar("sign", 1, NUMERIC, "$sign({0})", meaning.sign, None,
    (_sign_slope, _sign_slope))
SQUARE = Scalar("square", 1, NUMERIC, "({0} * {0})", np.square, (lambda g, y, x: g * (2 * x),))
RECIPROCAL = Scalar("reciprocal", 1, FLOAT, "(1 / {0})", lambda x: (1 / x).astype(x.dtype),
    (lambda g, y, x: -g * y * y,), ulp=2.5)
SQRT = Scalar("sqrt", 1, FLOAT, "$sqrt({0})", np.sqrt, (lambda g, y, x: g * 0.5 / y,), ulp=3)
HYPOT = Scalar("hypot", 2, REAL_FLOAT, "$hypot({0}, {1})", np.hypot,
    (lambda g, y, a, b: g * (a / y), lambda g, y, a, b: g * (b / y)), ulp=4)
MAXIMUM = Scalar("maximum", 2, REAL, "$maximum({0}, {1})",
    meaning.maximum,
    (lambda g, y, a, b: _share(g, a > b, a == b), lambda g, y, a, b: _share(g, b > a, a == b)))
MINIMUM = Scalar("minimum", 2, REAL, "$minimum({0}, {1})",
    meaning.minimum,
    (lambda g, y, a, b: _share(g, a < b, a == b), lambda g, y, a, b: _share(g, b < a, a == b)))
RELU = Scalar("relu", 1, REAL, "$maximum({0}, 0)",
    lambda x: meaning.maximum(x, np.zeros_like(x)),
    (lambda g, y, x: WHERE(y > 0, g, 0.0),))

# --- exponentials and logarithms ----------------------------------------------------------------
EXP = Scalar("exp", 1, FLOAT, "$exp({0})", np.exp, (lambda g, y, x: g * y,), ulp=3)
EXPM1 = Scalar("expm1", 1, FLOAT, "$expm1({0})", meaning.expm1,
    (lambda g, y, x: g * (y + 1),), ulp=3)
LOG = Scalar("log", 1, FLOAT, "$log({0})", np.log, (lambda g, y, x: g / x,), ulp=3)
LOG1P = Scalar("log1p", 1, FLOAT, "$log1p({0})", meaning.log1p,
    (lambda g, y, x: g / (1 + x),), ulp=2)
LOG2 = Scalar("log2", 1, FLOAT, "$log2({0})", np.log2,
    (lambda g, y, x: g / (x * math.log(2)),), ulp=3)
LOG10 = Scalar("log10", 1, FLOAT, "$log10({0})", np.log10,
    (lambda g, y, x: g / (x * math.log(10)),), ulp=3)
LOGADDEXP = Scalar("logaddexp", 2, REAL_FLOAT, "$logaddexp({0}, {1})", np.logaddexp,
    (lambda g, y, a, b: g * SIGMOID(a - b), lambda g, y, a, b: g * SIGMOID(b - a)),
    ulp=4, ulp_of="operands")
SIGMOID: Scalar = Scalar("sigmoid", 1, REAL_FLOAT, "$sigmoid({0})", meaning.sigmoid,
    (lambda g, y, x: g * (y * (1 - y)),), ulp=5)
ERF = Scalar("erf", 1, REAL_FLOAT, "$erf({0})", meaning.erf,
    (lambda g, y, x: g * (EXP(-(x * x)) * (2 / math.sqrt(math.pi))),), ulp=16)

# --- trigonometry and hyperbolics ----------------------------------------------------------------
SIN = Scalar("sin", 1, FLOAT, "$sin({0})", np.sin, (lambda g, y, x: g * COS(x),), ulp=4)
COS: Scalar = Scalar("cos", 1, FLOAT, "$cos({0})", np.cos, (lambda g, y, x: -g * SIN(x),), ulp=4)
TAN = Scalar("tan", 1, FLOAT, "$tan({0})", meaning.tan, (lambda g, y, x: g * (1 + y * y),), ulp=5)
ASIN = Scalar("asin", 1, FLOAT, "$asin({0})", np.arcsin,
    (lambda g, y, x: g / SQRT(1 - x * x),), ulp=4)
ACOS = Scalar("acos", 1, FLOAT, "$acos({0})", np.arccos,
    (lambda g, y, x: -g / SQRT(1 - x * x),), ulp=4)
ATAN = Scalar("atan", 1, FLOAT, "$atan({0})", np.arctan, (lambda g, y, x: g / (1 + x * x),), ulp=5)
ATAN2 = Scalar("atan2", 2, REAL_FLOAT, "$atan2({0}, {1})", np.arctan2,
    (lambda g, y, a, b: g * b / (a * a + b * b), lambda g, y, a, b: -g * a / (a * a + b * b)),
    ulp=6)
SINH = Scalar("sinh", 1, FLOAT, "$sinh({0})", np.sinh, (lambda g, y, x: g * COSH(x),), ulp=4)
COSH: Scalar = Scalar("cosh", 1, FLOAT, "$cosh({0})", np.cosh,
    (lambda g, y, x: g * SINH(x),), ulp=4)
TANH = Scalar("tanh", 1, FLOAT, "$tanh({0})", meaning.tanh,
    (lambda g, y, x: g * (1 - y * y),), ulp=5)
ASINH = Scalar("asinh", 1, FLOAT, "$asinh({0})", np.arcsinh,
    (lambda g, y, x: g / SQRT(x * x + 1),), ulp=4)
ACOSH = Scalar("acosh", 1, FLOAT, "$acosh({0})", np.arccosh,
    (lambda g, y, x: g / SQRT(x * x - 1),), ulp=4)
ATANH = Scalar("atanh", 1, FLOAT, "$atanh({0})", np.arctanh,
    (lambda g, y, x: g / (1 - x * x),), ulp=5)

# --- rounding and the bits of floating-point numbers ----------------------------------------------
FLOOR = Scalar("floor", 1, REAL_FLOAT, "$floor({0})", np.floor)
CEIL = Scalar("ceil", 1, REAL_FLOAT, "$ceil({0})", np.ceil)
TRUNC = Scalar("trunc", 1, REAL_FLOAT, "$trunc({0})", np.trunc)
ROUND = Scalar("round", 1, FLOAT, "$round({0})", np.round)
COPYSIGN = Scalar("copysign", 2, REAL_FLOAT, "$copysign({0}, {1})", np.copysign,
    (lambda g, y, a, b: WHERE(SIGNBIT(a) == SIGNBIT(b), g, -g), None))
NEXTAFTER = Scalar("nextafter", 2, REAL_FLOAT, "$nextafter({0}, {1})", np.nextafter)
SIGNBIT: Scalar = Scalar("signbit", 1, REAL_FLOAT, "$signbit({0})", np.signbit, gives="bool")
ISNAN = Scalar("isnan", 1, FLOAT, "$isnan({0})", np.isnan, gives="bool")
ISINF = Scalar("isinf", 1, FLOAT, "$isinf({0})", np.isinf, gives="bool")
ISFINITE = Scalar("isfinite", 1, FLOAT, "$isfinite({0})", np.isfinite, gives="bool")

# --- comparison and logic -------------------------------------------------------------------------
EQUAL = Scalar("equal", 2, ALL, "({0} == {1})", np.equal, gives="bool", binary="==")
NOT_EQUAL = Scalar("not_equal", 2, ALL, "({0} != {1})", np.not_equal, gives="bool", binary="!=")
LESS = Scalar("less", 2, REAL, "({0} < {1})", np.less, gives="bool", binary="<")
LESS_EQUAL = Scalar("less_equal", 2, REAL, "({0} <= {1})", np.less_equal,
    gives="bool", binary="<=")
GREATER = Scalar("greater", 2, REAL, "({0} > {1})", np.greater, gives="bool", binary=">")
GREATER_EQUAL = Scalar("greater_equal", 2, REAL, "({0} >= {1})", np.greater_equal,
    gives="bool", binary=">=")
LOGICAL_AND = Scalar("logical_and", 2, BOOL, "({0} && {1})", np.logical_and)
LOGICAL_OR = Scalar("logical_or", 2, BOOL, "({0} || {1})", np.logical_or)
LOGICAL_XOR = Scalar("logical_xor", 2, BOOL, "({0} != {1})", np.logical_xor)
LOGICAL_NOT = Scalar("logical_not", 1, BOOL, "(!{0})", np.logical_not)
BITWISE_AND = Scalar("bitwise_and", 2, INTEGER_OR_BOOL, "({0} & {1})", np.bitwise_and, binary="&")
BITWISE_OR = Scalar("bitwise_or", 2, INTEGER_OR_BOOL, "({0} | {1})", np.bitwise_or, binary="|")
BITWISE_XOR = Scalar("bitwise_xor", 2, INTEGER_OR_BOOL, "({0} ^ {1})", np.bitwise_xor, binary="^")
BITWISE_INVERT = Scalar("bitwise_invert", 1, INTEGER_OR_BOOL, "$invert({0})", np.invert, binary="~")
BITWISE_LEFT_SHIFT = Scalar("bitwise_left_shift", 2, INTEGER, "$shift_left({0}, {1})",
    np.left_shift, binary="<<")
BITWISE_RIGHT_SHIFT = Scalar("bitwise_right_shift", 2, INTEGER, "$shift_right({0}, {1})",
    np.right_shift, binary=">>")

# --- complex numbers ------------------------------------------------------------------------------
REAL_PART: Scalar = Scalar("real", 1, COMPLEX, "$real({0})", np.real, None,
    (lambda g, y, x: g + 0j, lambda t, y, x: REAL_PART(t)), gives="real")
IMAG_PART: Scalar = Scalar("imag", 1, COMPLEX, "$imag({0})", np.imag, None,
    (lambda g, y, x: g * 1j, lambda t, y, x: IMAG_PART(t)), gives="real")
CONJ: Scalar = Scalar("conj", 1, COMPLEX, "$conj({0})", np.conj, None,
    (lambda g, y, x: CONJ(g), lambda t, y, x: CONJ(t)))

# fmt: on

TABLE: Final[tuple[Scalar, ...]] = tuple(v for v in globals().values() if isinstance(v, Scalar))
_BY_NAME: Final = {row.name: row for row in TABLE}


def row_named(name: str) -> Scalar:
    """The row with this name; KeyError if there is none. Only unpickling and tools need it."""
    return _BY_NAME[name]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Reduction:
    """A way to combine the elements along axes. ``identity`` None: an empty axis is an error."""

    name: str
    takes: frozenset[DType]
    combine: Scalar
    identity: int | bool | None
    numpy: Callable[..., Any]

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return (reduction_named, (self.name,))


SUM = Reduction("sum", NUMERIC, ADD, 0, np.add.reduce)
PROD = Reduction("prod", NUMERIC, MULTIPLY, 1, np.multiply.reduce)
MIN = Reduction("min", REAL, MINIMUM, None, np.minimum.reduce)
MAX = Reduction("max", REAL, MAXIMUM, None, np.maximum.reduce)
ANY = Reduction("any", BOOL, LOGICAL_OR, False, np.logical_or.reduce)
ALL_OF = Reduction("all", BOOL, LOGICAL_AND, True, np.logical_and.reduce)

REDUCTIONS: Final = (SUM, PROD, MIN, MAX, ANY, ALL_OF)


def reduction_named(name: str) -> Reduction:
    """The reduction with this name; KeyError if there is none."""
    return {r.name: r for r in REDUCTIONS}[name]
