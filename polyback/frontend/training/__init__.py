"""Training: a small loop with what goes around it. Nothing else needs it, and each part of it can
be used in a loop of one's own."""
# ruff: noqa: I001  (one line a file, in the order in which the files build on each other)

from polyback.frontend.training.interrupt import Interrupt as Interrupt
from polyback.frontend.training.history import History as History
from polyback.frontend.training.stopping import EarlyStopping as EarlyStopping
from polyback.frontend.training.metrics import (
    accuracy as accuracy,
    perplexity as perplexity,
)
from polyback.frontend.training.fit import evaluate as evaluate
from polyback.frontend.training.fit import fit as fit
