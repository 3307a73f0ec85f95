"""Layers, losses and initial values; see :mod:`polyback.frontend.nn.module` for the rules."""

from polyback.frontend.nn import init
from polyback.frontend.nn.activation import (
    ELU,
    GELU,
    SELU,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from polyback.frontend.nn.container import (
    ModuleDict,
    ModuleList,
    Residual,
    Sequential,
)
from polyback.frontend.nn.dropout import Dropout
from polyback.frontend.nn.hooks import Handle
from polyback.frontend.nn.linear import (
    Bilinear,
    Linear,
    linear,
)
from polyback.frontend.nn.loss import (
    CrossEntropyLoss,
    MSELoss,
    cross_entropy,
    mse_loss,
)
from polyback.frontend.nn.module import (
    LoadResult,
    Module,
    Parameter,
)
from polyback.frontend.nn.norm import BatchNorm1d, LayerNorm
from polyback.frontend.nn.shape import Flatten, Identity, Unflatten
from polyback.frontend.nn.summary import summary
from polyback.frontend.recompute import checkpoint, checkpoint_sequential

__all__ = [
    "BatchNorm1d",
    "Bilinear",
    "checkpoint",
    "checkpoint_sequential",
    "cross_entropy",
    "CrossEntropyLoss",
    "Dropout",
    "ELU",
    "Flatten",
    "GELU",
    "Handle",
    "Hardtanh",
    "Identity",
    "init",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "linear",
    "LoadResult",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "mse_loss",
    "MSELoss",
    "Parameter",
    "ReLU",
    "ReLU6",
    "Residual",
    "SELU",
    "Sequential",
    "Sigmoid",
    "SiLU",
    "Softmax",
    "Softplus",
    "summary",
    "Tanh",
    "Unflatten",
]
