"""Layers, losses and initial values; see :mod:`polyback.frontend.nn.module` for the rules."""

from polyback.frontend.nn import init
from polyback.frontend.nn.activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from polyback.frontend.nn.container import (
    ModuleList,
    Residual,
    Sequential,
)
from polyback.frontend.nn.dropout import Dropout
from polyback.frontend.nn.linear import (
    Flatten,
    Identity,
    Linear,
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

__all__ = [
    "BatchNorm1d",
    "cross_entropy",
    "CrossEntropyLoss",
    "Dropout",
    "ELU",
    "Flatten",
    "GELU",
    "Identity",
    "init",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LoadResult",
    "LogSoftmax",
    "Module",
    "ModuleList",
    "mse_loss",
    "MSELoss",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "Sigmoid",
    "SiLU",
    "Softmax",
    "Softplus",
    "Tanh",
]
