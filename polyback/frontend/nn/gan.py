"""Adversarial training: a loss that holds the other player."""

from __future__ import annotations

from typing import final

from polyback.errors import InvalidArgument
from polyback.frontend import functions as f
from polyback.frontend.nn.loss_probability import binary_cross_entropy_with_logits
from polyback.frontend.nn.module import Module
from polyback.frontend.optim import Optimizer
from polyback.frontend.tensor import Tensor


@final
class GANLoss(Module):
    """The loss of a generator against a ``discriminator`` that it trains (Goodfellow et al., 2014).

    With D the sigmoid of the discriminator's logits, one call ``loss(fake, real)``

    1. while training, moves the discriminator one step of ``optimizer`` (of its parameters) down
       ``-mean(log(D(real))) - mean(log(1 - D(fake)))``, with ``fake`` detached;
    2. returns the generator's loss ``-mean(log(D(fake)))``, or with ``saturating`` the
       ``mean(log(1 - D(fake)))`` of the game as it was stated, whose gradient vanishes where the
       discriminator is sure.

    Backward of the result goes through the discriminator and leaves no gradients in it.
    ``discriminator_loss`` is the loss of the last step 1. In use (``eval()``) step 1 is left out.

    >>> import polyback as pb
    >>> judge = pb.nn.Linear(2, 1)
    >>> loss = pb.nn.GANLoss(judge, pb.optim.SGD(judge.parameters(), lr=0.1))
    >>> loss(pb.zeros((4, 2)), pb.ones((4, 2))).shape
    ()
    """

    def __init__(
        self, discriminator: Module, optimizer: Optimizer, saturating: bool = False
    ) -> None:
        if not isinstance(discriminator, Module) or not isinstance(optimizer, Optimizer):
            raise InvalidArgument(
                f"[GANLoss] got {type(discriminator).__name__} and {type(optimizer).__name__}; "
                f"want a Module and an Optimizer"
            )
        self.discriminator, self.optimizer = discriminator, optimizer
        self.saturating = saturating
        self.discriminator_loss: Tensor | None = None

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        if self.training:
            self._train_discriminator(fake.detach(), real)
        trained = [p for p in self.discriminator.parameters() if p.requires_grad]
        self.discriminator.requires_grad_(False)
        try:
            logits: Tensor = self.discriminator(fake)
        finally:
            for parameter in trained:
                parameter.requires_grad = True
        return -_surprise(logits, 0.0) if self.saturating else _surprise(logits, 1.0)

    def _train_discriminator(self, fake: Tensor, real: Tensor) -> None:
        self.optimizer.zero_grad()
        loss = _surprise(self.discriminator(real), 1.0) + _surprise(self.discriminator(fake), 0.0)
        loss.backward()
        self.optimizer.step()
        self.discriminator_loss = loss.detach()

    def extra_repr(self) -> str:
        return f"saturating={self.saturating}"


def _surprise(logits: Tensor, truth: float) -> Tensor:
    target = f.full(logits.shape, truth, dtype=logits.dtype, device=logits.device)
    return binary_cross_entropy_with_logits(logits, target)
