"""Optimizers and schedules: how parameters follow their gradients."""

from polyback.frontend.optim.adam import Adam as Adam
from polyback.frontend.optim.adam import AdamW as AdamW
from polyback.frontend.optim.adaptive import Adagrad as Adagrad
from polyback.frontend.optim.adaptive import RMSprop as RMSprop
from polyback.frontend.optim.clip import clip_grad_norm_ as clip_grad_norm_
from polyback.frontend.optim.clip import clip_grad_value_ as clip_grad_value_
from polyback.frontend.optim.lr_scheduler import ChainedScheduler as ChainedScheduler
from polyback.frontend.optim.lr_scheduler import ConstantLR as ConstantLR
from polyback.frontend.optim.lr_scheduler import CosineAnnealingLR as CosineAnnealingLR
from polyback.frontend.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts as CosineAnnealingWarmRestarts,
)
from polyback.frontend.optim.lr_scheduler import ExponentialLR as ExponentialLR
from polyback.frontend.optim.lr_scheduler import LambdaLR as LambdaLR
from polyback.frontend.optim.lr_scheduler import LinearLR as LinearLR
from polyback.frontend.optim.lr_scheduler import LRScheduler as LRScheduler
from polyback.frontend.optim.lr_scheduler import MultiStepLR as MultiStepLR
from polyback.frontend.optim.lr_scheduler import OneCycleLR as OneCycleLR
from polyback.frontend.optim.lr_scheduler import PolynomialLR as PolynomialLR
from polyback.frontend.optim.lr_scheduler import SequentialLR as SequentialLR
from polyback.frontend.optim.lr_scheduler import StepLR as StepLR
from polyback.frontend.optim.newton import NewtonCG as NewtonCG
from polyback.frontend.optim.optimizer import Optimizer as Optimizer
from polyback.frontend.optim.plateau import ReduceLROnPlateau as ReduceLROnPlateau
from polyback.frontend.optim.scaler import GradScaler as GradScaler
from polyback.frontend.optim.sgd import SGD as SGD
