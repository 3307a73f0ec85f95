"""Metrics: numbers that say how good outputs are, averaged over the elements of a data set."""

from __future__ import annotations

from polyback.dtype import float32
from polyback.frontend.functions import argmax, exp, mean
from polyback.frontend.functions.elementwise import cast
from polyback.frontend.nn.loss_classes import cross_entropy
from polyback.frontend.tensor import Tensor


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """The share of rows of ``logits`` (N, C) whose largest element is at the label (N).

    >>> import polyback as pb
    >>> pb.training.accuracy(pb.asarray([[0.0, 1.0], [3.0, 2.0]]), pb.asarray([1, 1])).item()
    0.5
    """
    return mean(cast(argmax(logits, axis=-1) == labels, float32))


def perplexity(logits: Tensor, labels: Tensor) -> Tensor:
    """``exp`` of the cross-entropy: how many equally likely words would be as hard to guess.

    >>> import polyback as pb
    >>> round(pb.training.perplexity(pb.zeros((3, 4)), pb.asarray([0, 1, 2])).item(), 4)
    4.0
    """
    return exp(cross_entropy(logits, labels))
