"""An LSTM language model of real text, trained by truncated backpropagation through time.

    python examples/lstm_language_model.py --device cpu_c --plot lstm.png

The text is Python's language reference, which comes with Python (see text.py). The state of the
network is carried from window to window. The run fails (exit code 1) unless the perplexity on the
held-out words ends below that of a bigram model fitted on the same training words.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from common import arguments
from text import Text, bigram_perplexity

import polyback as pb
from polyback import nn, optim

BPTT = 30
State = tuple[pb.Tensor, ...]


class LanguageModel(nn.Module):
    """Words (time, batch) -> logits (time, batch, words) and the state after them."""

    def __init__(self, size: int, width: int, device: str) -> None:
        self.embedding = nn.Embedding(size, width, device=device)
        self.lstm = nn.LSTM(width, width, num_layers=1, device=device)
        self.dropout = nn.Dropout(0.5)
        self.out_bias = nn.Parameter(pb.zeros(size, device=device))
        with pb.no_grad():
            self.embedding.weight *= 0.1  # it is also the output's matrix (Press and Wolf, 2017)

    def forward(self, ids: pb.Tensor, state: State | None) -> tuple[pb.Tensor, State]:
        output, state = self.lstm(self.dropout(self.embedding(ids)), state)
        return nn.linear(self.dropout(output), self.embedding.weight, self.out_bias), state


class Training:
    """A model, its data and its optimizer on one device."""

    def __init__(
        self, text: Text, device: str, dtype: str = "float32", width: int = 200, batch: int = 20
    ) -> None:
        pb.random.manual_seed(0)
        self.device, self.text = device, text
        self.model = LanguageModel(text.size, width, device).to(dtype=dtype)
        self.optimizer = optim.AdamW(self.model.parameters(), lr=4e-3, weight_decay=0.05)
        self.batched = pb.data.batchify(text.training, batch)
        self.losses: list[float] = []

    def loss(self, x: np.ndarray, y: np.ndarray, state: State | None) -> tuple[pb.Tensor, State]:
        ids, targets = (pb.asarray(a, device=self.device) for a in (x, y))
        logits, state = self.model(ids, state)
        return nn.cross_entropy(logits.reshape(-1, self.text.size), targets.reshape(-1)), state

    def epoch(self, steps: int | None = None) -> float:
        """One pass through the text (or its first steps); returns the mean loss."""
        self.model.train()
        state: State | None = None
        first = len(self.losses)
        for k, (x, y) in enumerate(pb.data.windows(self.batched, BPTT)):
            if k == steps:
                break
            loss, after = self.loss(x, y, state)
            state = tuple(s.detach() for s in after)  # where backpropagation through time ends
            self.optimizer.zero_grad()
            loss.backward()
            optim.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()
            self.losses.append(loss.item())
        return float(np.mean(self.losses[first:]))

    def perplexity(self) -> float:
        """On the held-out words."""
        self.model.eval()
        total, count, state = 0.0, 0, None
        with pb.no_grad():
            for x, y in pb.data.windows(pb.data.batchify(self.text.held_out, 1), 100):
                loss, state = self.loss(x, y, state)
                total, count = total + loss.item() * y.size, count + y.size
        return float(np.exp(total / count))


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py."""
    if small:
        training = Training(Text(size=200, length=15_000), device, dtype, width=16, batch=8)
    else:
        training = Training(Text(), device, dtype)
    training.epoch(steps)
    return training.losses


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--plot", default="", help="write the curves here")
    options = parser.parse_args(argv)
    device, text = options.device, Text()
    wanted = bigram_perplexity(text)
    training = Training(text, device, options.dtype)
    print(f"{len(text.training)} words to train on, {len(text.held_out)} held out, {text.size} "
          f"different; {training.model.num_parameters()} parameters on {device}")  # fmt: skip
    print(f"a bigram model's perplexity: {wanted:.1f}\nepoch   loss  perplexity  seconds")
    history = pb.training.History()
    schedule = optim.CosineAnnealingLR(training.optimizer, options.epochs, eta_min=2e-4)
    perplexity = np.inf
    for k in range(1, options.epochs + 1):
        start = time.perf_counter()
        loss = training.epoch()
        schedule.step()
        perplexity = training.perplexity()
        history.add(k, loss=loss, valid_perplexity=perplexity)
        print(f"{k:5}  {loss:5.3f}  {perplexity:10.1f}  {time.perf_counter() - start:7.1f}",
              flush=True)  # fmt: skip
    if options.plot:
        history.plot(options.plot, xlabel="epoch", wanted={"valid_perplexity": wanted})
    print(f"{device}: perplexity {perplexity:.1f} (wanted: below {wanted:.1f})")
    return 0 if perplexity < wanted else 1


if __name__ == "__main__":
    sys.exit(main())
