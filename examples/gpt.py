"""A small GPT, trained on the text of text.py, that writes more of it.

    python examples/gpt.py --device cpu_c --plot gpt.png

A decoder-only transformer (Radford et al., 2019): learned positions, layer norm first, causal
attention, GELU. The run fails (exit code 1) unless the perplexity on the held-out words ends below
that of a bigram model fitted on the same training words.
"""

from __future__ import annotations

import math
import sys
import time

import numpy as np
from common import arguments
from text import Text, bigram_perplexity

import polyback as pb
from polyback import nn, optim

CONTEXT = 64


class Attention(nn.Module):
    """softmax(q k' / sqrt(d)) v over what came before, in heads side by side."""

    def __init__(self, width: int, heads: int, dropout: float, device: str) -> None:
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, device=device)
        self.out = nn.Linear(width, width, device=device)
        self.dropout = nn.Dropout(dropout)
        future = np.triu(np.full((CONTEXT, CONTEXT), -np.inf, np.float32), 1)
        self.register_buffer("future", pb.asarray(future, device=device))

    future: pb.Tensor

    def forward(self, x: pb.Tensor) -> pb.Tensor:
        rows, length, width = x.shape
        parts = self.qkv(x).reshape(rows, length, 3, self.heads, width // self.heads)
        q, k, v = pb.unstack(pb.permute_dims(parts, (2, 0, 3, 1, 4)))
        scores = q @ k.mT * (1 / math.sqrt(width // self.heads)) + self.future[:length, :length]
        mixed = self.dropout(pb.softmax(scores, axis=-1)) @ v
        return self.out(pb.moveaxis(mixed, 1, 2).reshape(rows, length, width))


def block(width: int, heads: int, dropout: float, device: str) -> nn.Module:
    """x + attention(norm(x)), then x + mlp(norm(x))."""
    mlp = nn.Sequential(
        nn.LayerNorm(width, device=device), nn.Linear(width, 4 * width, device=device), nn.GELU(),
        nn.Linear(4 * width, width, device=device), nn.Dropout(dropout),
    )  # fmt: skip
    attention = nn.Sequential(
        nn.LayerNorm(width, device=device), Attention(width, heads, dropout, device),
        nn.Dropout(dropout),
    )  # fmt: skip
    return nn.Sequential(nn.Residual(attention), nn.Residual(mlp))


class GPT(nn.Module):
    """Words (N, L) -> logits (N, L, words), L up to CONTEXT."""

    def __init__(
        self, size: int, device: str, width: int = 128, layers: int = 3, heads: int = 4,
        dropout: float = 0.3,
    ) -> None:  # fmt: skip
        self.words = nn.Embedding(size, width, device=device)
        self.places = nn.Embedding(CONTEXT, width, device=device)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(block(width, heads, dropout, device) for _ in range(layers)))
        self.norm = nn.LayerNorm(width, device=device)
        with pb.no_grad():  # the words' table is also the output's matrix
            self.words.weight *= 0.05
            self.places.weight *= 0.05

    def forward(self, ids: pb.Tensor) -> pb.Tensor:
        x = self.dropout(self.words(ids) + self.places.weight[: ids.shape[1]])
        return nn.linear(self.norm(self.blocks(x)), self.words.weight)

    def write(self, ids: list[int], count: int, generator: pb.random.Generator) -> list[int]:
        """``count`` more words, each drawn from its distribution."""
        device = self.words.weight.device
        ids = list(ids)
        with pb.no_grad():
            for _ in range(count):
                last = pb.asarray([ids[-CONTEXT:]], device=device)
                chances = pb.softmax(self(last)[0, -1] / 0.8, axis=0).numpy().astype(np.float64)
                chances[0] = 0.0  # not <unk>
                spot = generator.uniform().item() * chances.sum()
                ids.append(int(np.searchsorted(np.cumsum(chances), spot, side="right")))
        return ids


class Training:
    """A model, its data and its optimizer on one device."""

    def __init__(
        self, text: Text, device: str, dtype: str, steps: int, batch: int = 16, **sizes: int
    ) -> None:
        pb.random.manual_seed(0)
        self.text, self.device, self.batch = text, device, batch
        self.model = GPT(text.size, device, **sizes).to(dtype=dtype)
        self.optimizer = optim.AdamW(
            self.model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.1
        )
        self.schedule = optim.OneCycleLR(self.optimizer, 2e-3, steps + 1, pct_start=0.1)
        self.rng = np.random.default_rng(0)
        self.losses: list[float] = []

    def step(self) -> None:
        """One batch of windows from anywhere in the text."""
        starts = self.rng.integers(0, len(self.text.training) - CONTEXT - 1, self.batch)
        rows = np.stack([self.text.training[s : s + CONTEXT + 1] for s in starts])
        ids, targets = (pb.asarray(a, device=self.device) for a in (rows[:, :-1], rows[:, 1:]))
        self.model.train()
        logits = self.model(ids)
        loss = nn.cross_entropy(logits.reshape(-1, self.text.size), targets.reshape(-1))
        self.optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.losses.append(loss.item())

    def perplexity(self) -> float:
        """On the held-out words: windows overlap by half, and their second halves count."""
        self.model.eval()
        half, total, count = CONTEXT // 2, 0.0, 0
        words = self.text.held_out
        with pb.no_grad():
            for start in range(0, len(words) - CONTEXT - 1, half):
                row = words[start : start + CONTEXT + 1]
                logits = self.model(pb.asarray(row[None, :-1], device=self.device))[0, half:]
                loss = nn.cross_entropy(logits, pb.asarray(row[half + 1 :], device=self.device))
                total, count = total + loss.item(), count + 1
        return float(np.exp(total / max(count, 1)))


def first_losses(device: str, dtype: str, steps: int, small: bool) -> list[float]:
    """For compare_devices.py."""
    if small:
        text = Text(size=200, length=15_000)
        training = Training(text, device, dtype, steps, batch=2, width=32, layers=1)
    else:
        training = Training(Text(), device, dtype, 1200)
    for _ in range(steps):
        training.step()
    return training.losses


def main(argv: list[str] | None = None) -> int:
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--plot", default="", help="write the curves here")
    options = parser.parse_args(argv)
    device, text = options.device, Text()
    wanted = bigram_perplexity(text)
    training = Training(text, device, options.dtype, options.steps)
    history = pb.training.History()
    print(f"{training.model.num_parameters()} parameters on {device}; a bigram model's perplexity: "
          f"{wanted:.1f}\n step   loss  perplexity  seconds")  # fmt: skip
    start, perplexity = time.perf_counter(), np.inf
    for k in range(1, options.steps + 1):
        training.step()
        if k % 200 == 0 or k == options.steps:
            perplexity, loss = training.perplexity(), float(np.mean(training.losses[-200:]))
            history.add(k, loss=loss, valid_perplexity=perplexity)
            print(f"{k:5}  {loss:5.3f}  {perplexity:10.1f}  {time.perf_counter() - start:7.1f}",
                  flush=True)  # fmt: skip
    if options.plot:
        history.plot(options.plot, wanted={"valid_perplexity": wanted})
    begin = text.held_out[:8].tolist()
    print("\n" + text.decode(training.model.write(begin, 120, pb.random.Generator(1))) + "\n")
    print(f"{device}: perplexity {perplexity:.1f} (wanted: below {wanted:.1f})")
    return 0 if perplexity < wanted else 1


if __name__ == "__main__":
    sys.exit(main())
