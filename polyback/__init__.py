"""polyback: one array, autograd and neural-network frontend over pluggable device backends.

>>> import polyback as pb
>>> x = pb.asarray([1.0, 2.0, 3.0])
>>> pb.sum(x * x).item()
14.0
"""

# ruff: noqa: I001  (tensors come before functions, functions before what uses them)

import math as _math
import sys as _sys

from polyback import dtype as _dtype
from polyback.config import Config as Config
from polyback.config import configure as configure
from polyback.dtype import DType as DType
from polyback.errors import (
    AsyncError as AsyncError,
    BackendUnavailable as BackendUnavailable,
    CompileError as CompileError,
    DTypeError as DTypeError,
    DataError as DataError,
    DeviceClosed as DeviceClosed,
    DeviceLost as DeviceLost,
    DeviceMismatch as DeviceMismatch,
    FallbackWarning as FallbackWarning,
    GradientError as GradientError,
    IndexOutOfBounds as IndexOutOfBounds,
    InterchangeError as InterchangeError,
    InvalidArgument as InvalidArgument,
    LinAlgError as LinAlgError,
    OutOfMemory as OutOfMemory,
    PolybackError as PolybackError,
    ProtocolMismatch as ProtocolMismatch,
    ShapeError as ShapeError,
    UnsupportedOp as UnsupportedOp,
)
from polyback.fallback import clear_ledger as clear_ledger
from polyback.fallback import fallback_ledger as fallback_ledger
from polyback.runtime import Device as Device
from polyback.frontend.autograd import is_grad_enabled as is_grad_enabled
from polyback.frontend.autograd import no_grad as no_grad
from polyback.frontend.autograd import set_grad_enabled as set_grad_enabled
from polyback.frontend.tensor import Tensor as Tensor
from polyback.frontend.functions import *  # noqa: F403  (its __all__ is the list)
from polyback.frontend.autocast import autocast as autocast
from polyback.frontend.defaults import default_device as default_device
from polyback.frontend.defaults import devices as devices
from polyback.frontend.defaults import get_device as get_device
from polyback.frontend.info import __array_namespace_info__ as __array_namespace_info__
from polyback.frontend.info import __array_api_version__ as __array_api_version__
from polyback.frontend.interchange import from_dlpack as from_dlpack
from polyback.frontend.custom import custom_gradient as custom_gradient
from polyback.frontend.transforms import grad as grad
from polyback.frontend.transforms import jvp as jvp
from polyback.frontend.transforms import value_and_grad as value_and_grad
from polyback.frontend.transforms import vjp as vjp
from polyback.frontend import data as data
from polyback.frontend import fft as fft
from polyback.frontend import linalg as linalg
from polyback.frontend import nn as nn
from polyback.frontend import optim as optim
from polyback.frontend import random as random
from polyback.frontend import training as training
from polyback.frontend import viz as viz
from polyback.frontend.saving import load as load
from polyback.frontend.saving import load_checkpoint as load_checkpoint
from polyback.frontend.saving import save as save
from polyback.frontend.saving import save_checkpoint as save_checkpoint
from polyback import interop as interop
from polyback import testing as testing

__version__ = "0.1.0"

bool = _dtype.bool_
int8, int16, int32, int64 = _dtype.int8, _dtype.int16, _dtype.int32, _dtype.int64
uint8, uint16, uint32, uint64 = _dtype.uint8, _dtype.uint16, _dtype.uint32, _dtype.uint64
float16, bfloat16 = _dtype.float16, _dtype.bfloat16
float32, float64 = _dtype.float32, _dtype.float64
complex64, complex128 = _dtype.complex64, _dtype.complex128

e, pi = _math.e, _math.pi
inf, nan = _math.inf, _math.nan
newaxis = None

# `import polyback.nn as nn` and `from polyback.optim import Adam` work, as in other libraries
for _name in ("data", "fft", "linalg", "nn", "optim", "random", "training", "viz"):
    _sys.modules[f"{__name__}.{_name}"] = globals()[_name]
_sys.modules[f"{__name__}.nn.init"] = nn.init
_sys.modules[f"{__name__}.optim.lr_scheduler"] = optim.lr_scheduler
del _name
