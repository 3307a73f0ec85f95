"""Functions of tensors, one family a file. Everything here is also ``polyback.<name>``."""
# ruff: noqa: I001  (one block a file, in the order in which the files build on each other)

from polyback.frontend.functions.elementwise import (
    astype as astype,
    result_type as result_type,
)
from polyback.frontend.functions.datatypes import (
    can_cast as can_cast,
    finfo as finfo,
    iinfo as iinfo,
    isdtype as isdtype,
)
from polyback.frontend.functions.arithmetic import (
    abs as abs,
    add as add,
    divide as divide,
    floor_divide as floor_divide,
    hypot as hypot,
    maximum as maximum,
    minimum as minimum,
    multiply as multiply,
    multiply_high as multiply_high,
    negative as negative,
    positive as positive,
    pow as pow,
    reciprocal as reciprocal,
    remainder as remainder,
    sign as sign,
    sqrt as sqrt,
    square as square,
    subtract as subtract,
)
from polyback.frontend.functions.exponential import (
    erf as erf,
    exp as exp,
    expm1 as expm1,
    log as log,
    log10 as log10,
    log1p as log1p,
    log2 as log2,
    logaddexp as logaddexp,
    sigmoid as sigmoid,
)
from polyback.frontend.functions.trigonometry import (
    acos as acos,
    acosh as acosh,
    asin as asin,
    asinh as asinh,
    atan as atan,
    atan2 as atan2,
    atanh as atanh,
    cos as cos,
    cosh as cosh,
    sin as sin,
    sinh as sinh,
    tan as tan,
    tanh as tanh,
)
from polyback.frontend.functions.rounding import (
    ceil as ceil,
    conj as conj,
    copysign as copysign,
    floor as floor,
    imag as imag,
    isfinite as isfinite,
    isinf as isinf,
    isnan as isnan,
    nextafter as nextafter,
    real as real,
    round as round,
    signbit as signbit,
    trunc as trunc,
)
from polyback.frontend.functions.comparison import (
    bitwise_and as bitwise_and,
    bitwise_invert as bitwise_invert,
    bitwise_left_shift as bitwise_left_shift,
    bitwise_or as bitwise_or,
    bitwise_right_shift as bitwise_right_shift,
    bitwise_xor as bitwise_xor,
    equal as equal,
    greater as greater,
    greater_equal as greater_equal,
    less as less,
    less_equal as less_equal,
    logical_and as logical_and,
    logical_not as logical_not,
    logical_or as logical_or,
    logical_xor as logical_xor,
    not_equal as not_equal,
)
from polyback.frontend.functions.activation import (
    clip as clip,
    elu as elu,
    gelu as gelu,
    hardsigmoid as hardsigmoid,
    hardswish as hardswish,
    hardtanh as hardtanh,
    leaky_relu as leaky_relu,
    log_sigmoid as log_sigmoid,
    mish as mish,
    relu as relu,
    relu6 as relu6,
    selu as selu,
    silu as silu,
    softplus as softplus,
    softsign as softsign,
    where as where,
)
from polyback.frontend.functions.creation import (
    asarray as asarray,
    empty as empty,
    empty_like as empty_like,
    full as full,
    full_like as full_like,
    ones as ones,
    ones_like as ones_like,
    zeros as zeros,
    zeros_like as zeros_like,
)
from polyback.frontend.functions.shape import (
    broadcast_arrays as broadcast_arrays,
    broadcast_shapes as broadcast_shapes,
    broadcast_to as broadcast_to,
    expand_dims as expand_dims,
    flip as flip,
    matrix_transpose as matrix_transpose,
    moveaxis as moveaxis,
    permute_dims as permute_dims,
    reshape as reshape,
    squeeze as squeeze,
    transpose as transpose,
)
from polyback.frontend.functions.joining import (
    concat as concat,
    repeat as repeat,
    roll as roll,
    stack as stack,
    tile as tile,
    unstack as unstack,
)
from polyback.frontend.functions.grids import (
    arange as arange,
    eye as eye,
    linspace as linspace,
    meshgrid as meshgrid,
    tril as tril,
    triu as triu,
)
from polyback.frontend.functions.differences import (
    diff as diff,
)
from polyback.frontend.functions.reduction import (
    all as all,
    any as any,
    argmax as argmax,
    argmin as argmin,
    count_nonzero as count_nonzero,
    logsumexp as logsumexp,
    max as max,
    mean as mean,
    min as min,
    prod as prod,
    std as std,
    sum as sum,
    var as var,
)
from polyback.frontend.functions.einsum import einsum as einsum
from polyback.frontend.functions.linalg import (
    matmul as matmul,
    outer as outer,
    tensordot as tensordot,
    vecdot as vecdot,
)
from polyback.frontend.functions.cumulative import (
    cumulative_prod as cumulative_prod,
    cumulative_sum as cumulative_sum,
)
from polyback.frontend.functions.softmax import (
    log_softmax as log_softmax,
    softmax as softmax,
)
from polyback.frontend.functions.gathering import (
    one_hot as one_hot,
    scatter as scatter,
    take as take,
    take_along_axis as take_along_axis,
)
from polyback.frontend.functions.searching import (
    nonzero as nonzero,
    searchsorted as searchsorted,
)
from polyback.frontend.functions.sorting import (
    argsort as argsort,
    sort as sort,
)
from polyback.frontend.functions.sets import (
    isin as isin,
    unique_all as unique_all,
    unique_counts as unique_counts,
    unique_inverse as unique_inverse,
    unique_values as unique_values,
)
from polyback.frontend.functions import assignment as assignment  # x[key], x[key] = value

__all__ = [name for name, value in vars().items() if callable(value)]  # not the files
