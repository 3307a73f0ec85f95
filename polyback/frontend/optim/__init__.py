"""Optimizers: how parameters follow their gradients."""

from polyback.frontend.optim.adam import Adam
from polyback.frontend.optim.clip import (
    clip_grad_norm_,
    clip_grad_value_,
)
from polyback.frontend.optim.optimizer import Optimizer
from polyback.frontend.optim.sgd import SGD

__all__ = [
    "Adam",
    "clip_grad_norm_",
    "clip_grad_value_",
    "Optimizer",
    "SGD",
]
