"""Losses against closed formulas in float64, their gradients, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import polyback as pb
from polyback import nn

F64 = {"rtol": 1e-12, "atol": 1e-12}


def data(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)


def on(device: str, values: Any) -> pb.Tensor:
    return pb.asarray(np.asarray(values), device=device)


def softmax_logs(x: np.ndarray[Any, Any], axis: int = 1) -> np.ndarray[Any, Any]:
    shifted = x - x.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_of_labels_and_of_probabilities(device, reduction, smoothing):
    x, labels = data(5, 4), np.array([0, 3, 1, 1, 2])
    q = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    each = -(q * softmax_logs(x)).sum(1)
    want = {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]
    loss = nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing)
    for kind in (np.int64, np.uint8, np.int32):
        got = loss(on(device, x), on(device, labels.astype(kind)))
        np.testing.assert_allclose(got.numpy(), want, **F64)
    p = np.exp(softmax_logs(data(5, 4, seed=3)))
    q = (1 - smoothing) * p + smoothing / 4
    each = -(q * softmax_logs(x)).sum(1)
    want = {"mean": each.mean(), "sum": each.sum(), "none": each}[reduction]
    np.testing.assert_allclose(loss(on(device, x), on(device, p)).numpy(), want, **F64)


def test_cross_entropy_of_other_shapes_and_its_gradient(device):
    x, labels = data(2, 3, 4), np.array([[0, 1, 2, 1], [2, 2, 0, 1]])
    want = -np.take_along_axis(softmax_logs(x), labels[:, None], 1).mean()
    np.testing.assert_allclose(
        nn.cross_entropy(on(device, x), on(device, labels)).numpy(), want, **F64
    )
    one = nn.cross_entropy(on(device, x[0, :, 0]), on(device, 1))
    np.testing.assert_allclose(one.numpy(), -softmax_logs(x[0, :, 0], 0)[1], **F64)
    target, p = on(device, labels), np.exp(softmax_logs(data(2, 3, 4, seed=1)))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    pb.testing.check_grad(lambda s: loss(s, target), on(device, x), forward=False)
    pb.testing.check_grad(loss, on(device, x), on(device, p), forward=False)


def test_cross_entropy_of_impossible_classes_is_infinite_only_where_they_count(device):
    x = on(device, np.array([[0.0, -np.inf], [0.0, -np.inf]]))
    got = nn.cross_entropy(x, on(device, [0, 1]), reduction="none").numpy()
    assert got.tolist() == [0.0, np.inf]
    sure = on(device, np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert nn.cross_entropy(x, sure).item() == 0.0


def test_cross_entropy_refuses_wrong_targets(device):
    x = on(device, data(3, 4))
    cases = [
        (pb.IndexOutOfBounds, on(device, [0, 4, 1]), r"label 4 is no class; want 0 to 3"),
        (pb.IndexOutOfBounds, on(device, [0, -1, 1]), r"label -1 is no class"),
        (pb.DTypeError, on(device, [0.0, 1.0, 2.0]), r"want integer class numbers"),
        (pb.DTypeError, on(device, np.ones((3, 4), bool)), r"are bool"),
        (pb.ShapeError, on(device, [0, 1]), r"\(3, 4\) with labels of \(2,\); want labels of \(3,"),
        (pb.ShapeError, on(device, data(3, 5)), r"probabilities of \(3, 5\)"),
        (pb.InvalidArgument, on(device, np.full((3, 4), np.nan)), r"NaN in the labels"),
        (pb.InvalidArgument, on(device, np.full((3, 4), -0.5)), r"not all finite and >= 0"),
    ]
    for error, target, text in cases:
        with pytest.raises(error, match=text):
            nn.cross_entropy(x, target)
    with pytest.raises(pb.DTypeError, match="scores"):
        nn.cross_entropy(on(device, [[1, 2]]), on(device, [0]))
    with pytest.raises(pb.InvalidArgument, match="'mean', 'sum' or 'none'"):
        nn.CrossEntropyLoss(reduction="average")
    with pytest.raises(pb.InvalidArgument, match=r"label_smoothing=1\.5"):
        nn.CrossEntropyLoss(label_smoothing=1.5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_class_weights_and_ignored_labels(device, smoothing):
    x, labels, w = data(6, 4), np.array([0, 3, 1, 1, 2, 3]), np.array([0.5, 1.0, 2.0, 0.25])
    for ignored in (-100, 3, 0):
        kept = labels != ignored
        q = ((1 - smoothing) * np.eye(4)[labels] + smoothing / 4) * w
        each = np.where(kept, -(q * softmax_logs(x)).sum(1), 0.0)
        mean = each.sum() / w[labels][kept].sum()
        wants = {"mean": mean, "sum": each.sum(), "none": each}
        for reduction, want in wants.items():
            loss = nn.CrossEntropyLoss(on(device, w), ignored, reduction, smoothing)
            got = loss(on(device, x), on(device, labels))
            np.testing.assert_allclose(got.numpy(), want, **F64)
            assert list(loss.state_dict()) == ["weight"]
            if not smoothing:
                logs = on(device, softmax_logs(x))
                got = nn.NLLLoss(on(device, w), ignored, reduction)(logs, on(device, labels))
                np.testing.assert_allclose(got.numpy(), want, **F64)
    target = on(device, labels)
    pb.testing.check_grad(lambda s: loss(s, target), on(device, x))
    unsigned = nn.cross_entropy(on(device, x), on(device, labels.astype(np.uint8)))
    np.testing.assert_allclose(unsigned.numpy(), nn.cross_entropy(on(device, x), target).numpy())
    nothing = nn.cross_entropy(on(device, x), on(device, np.full(6, -100)))
    assert np.isnan(nothing.item())
    with pytest.raises(pb.ShapeError, match=r"the weight is \(3,\); want \(4,\)"):
        nn.cross_entropy(on(device, x), target, on(device, np.ones(3)))
    with pytest.raises(pb.IndexOutOfBounds, match="label 7 is no class"):
        nn.cross_entropy(on(device, x), on(device, [7, -100, 0, 0, 0, 0]))
    with pytest.raises(pb.DTypeError, match="want integer class numbers"):
        nn.nll_loss(on(device, x), on(device, data(6)))


def test_the_mean_of_many_half_precision_losses_does_not_overflow(device):
    x = pb.zeros((100_000, 2), dtype=pb.float16, device=device)
    loss = nn.cross_entropy(x, pb.zeros(100_000, dtype=pb.int64, device=device))
    assert abs(loss.item() - np.log(2)) < 1e-3


def test_the_gradient_for_probabilities_is_minus_the_logarithms(device):
    x, q = data(3, 4), np.eye(4)[:3]
    target = pb.asarray(q, device=device, requires_grad=True)
    nn.cross_entropy(on(device, x), target, reduction="sum").backward()
    np.testing.assert_allclose(target.grad.numpy(), -softmax_logs(x), **F64)


# --- numbers against numbers ----------------------------------------------------------------------


def _huber(d: Any, delta: float) -> Any:
    return np.where(np.abs(d) < delta, d * d / 2, delta * (np.abs(d) - delta / 2))


PAIRS = {
    "mse": (nn.MSELoss, {}, lambda a, b: (a - b) ** 2),
    "l1": (nn.L1Loss, {}, lambda a, b: np.abs(a - b)),
    "huber": (nn.HuberLoss, {"delta": 0.7}, lambda a, b: _huber(a - b, 0.7)),
    "smooth l1": (nn.SmoothL1Loss, {"beta": 0.7}, lambda a, b: _huber(a - b, 0.7) / 0.7),
    "smooth l1, 0": (nn.SmoothL1Loss, {"beta": 0.0}, lambda a, b: np.abs(a - b)),
    "logits": (
        nn.BCEWithLogitsLoss,
        {},
        lambda x, t: -(t * -np.log1p(np.exp(-x)) + (1 - t) * -np.log1p(np.exp(x))),
    ),
    "divergence": (nn.KLDivLoss, {"log_target": True}, lambda a, b: np.exp(b) * (b - a)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_losses_of_pairs(device, name):
    make, options, formula = PAIRS[name]
    a, b = data(3, 4), data(3, 4, seed=1)
    each = formula(a, b)
    for reduction, want in (("mean", each.mean()), ("sum", each.sum()), ("none", each)):
        loss = make(reduction=reduction, **options)
        np.testing.assert_allclose(loss(on(device, a), on(device, b)).numpy(), want, **F64)
        assert f"reduction='{reduction}'" in repr(loss)
    pb.testing.check_grad(loss, on(device, a), on(device, b))
    with pytest.raises(pb.ShapeError, match=r"\(3, 4\), the target \(3, 1\)"):
        loss(on(device, a), on(device, data(3, 1)))
    with pytest.raises(pb.InvalidArgument, match="'mean', 'sum' or 'none'"):
        make(reduction="average")
    with pytest.raises(pb.DTypeError, match="int64"):
        loss(on(device, [[1, 2]]), on(device, [[1.0, 2.0]]))


def test_bad_widths_of_the_parabola(device):
    x = on(device, data(2))
    with pytest.raises(pb.InvalidArgument, match=r"delta=0\.0"):
        nn.huber_loss(x, x, delta=0.0)
    with pytest.raises(pb.InvalidArgument, match=r"beta=-1\.0"):
        nn.smooth_l1_loss(x, x, beta=-1.0)


# --- probabilities --------------------------------------------------------------------------------


def test_binary_cross_entropy_of_probabilities_and_of_logits_agree(device):
    x, t, w, p = data(5, 3), np.random.default_rng(2).random((5, 3)), data(3) ** 2, data(3) ** 2
    s = 1 / (1 + np.exp(-x))
    each = -w * (p * t * np.log(s) + (1 - t) * np.log(1 - s))
    loss = nn.BCEWithLogitsLoss(on(device, w), "none", on(device, p))
    np.testing.assert_allclose(loss(on(device, x), on(device, t)).numpy(), each, **F64)
    assert list(loss.state_dict()) == ["weight", "pos_weight"]
    pb.testing.check_grad(loss, on(device, x), on(device, t))
    each = -w * (t * np.log(s) + (1 - t) * np.log(1 - s))
    loss = nn.BCELoss(on(device, w), "none")
    np.testing.assert_allclose(loss(on(device, s), on(device, t)).numpy(), each, **F64)
    pb.testing.check_grad(loss, on(device, s), on(device, t))


def test_certain_mistakes_cost_100_and_have_a_finite_gradient(device):
    p = pb.asarray([0.0, 1.0, 0.0, 1.0], device=device, requires_grad=True)
    t = pb.asarray([1.0, 0.0, 0.0, 1.0], device=device)
    loss = nn.binary_cross_entropy(p, t, reduction="none")
    assert loss.tolist() == [100.0, 100.0, 0.0, 0.0]
    pb.sum(loss).backward()
    assert np.isfinite(p.grad.numpy()).all()
    logits = pb.asarray([-1e4, 1e4], device=device, requires_grad=True)
    loss = nn.binary_cross_entropy_with_logits(logits, t[:2], reduction="none")
    assert loss.tolist() == [1e4, 1e4]
    pb.sum(loss).backward()
    assert logits.grad.tolist() == [-1.0, 1.0]
    for wrong in (1.5, -0.1, np.nan):
        with pytest.raises(pb.InvalidArgument, match=r"not all in \[0, 1\]"):
            nn.binary_cross_entropy(on(device, [wrong]), on(device, [1.0]))
    with pytest.raises(pb.DTypeError, match="the target is int64; want floating probabilities"):
        nn.binary_cross_entropy_with_logits(on(device, [0.5]), on(device, [1]))


def test_kullback_leibler_divergence(device):
    p, q = np.exp(softmax_logs(data(3, 4))), np.exp(softmax_logs(data(3, 4, seed=1)))
    p[0, 0] = 0.0
    divergence = np.where(p > 0, p * (np.log(np.where(p > 0, p, 1)) - np.log(q)), 0).sum(1)
    got = nn.KLDivLoss("batchmean")(on(device, np.log(q)), on(device, p))
    np.testing.assert_allclose(got.numpy(), divergence.mean(), **F64)
    target = pb.asarray(p, device=device, requires_grad=True)
    nn.kl_div(on(device, np.log(q)), target).backward()
    assert np.isfinite(target.grad.numpy()).all()
    with pytest.raises(pb.InvalidArgument, match="reduction='batch'"):
        nn.KLDivLoss("batch")


# --- angles ---------------------------------------------------------------------------------------


def test_cosine_similarity_and_its_loss(device):
    a, b = data(5, 3), data(5, 3, seed=1)
    cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    layer = nn.CosineSimilarity()
    np.testing.assert_allclose(layer(on(device, a), on(device, b)).numpy(), cosine, **F64)
    pb.testing.check_grad(layer, on(device, a), on(device, b))
    nil = pb.zeros((1, 3), device=device, dtype=pb.float64, requires_grad=True)
    pb.sum(layer(nil, on(device, b[:1]))).backward()
    assert np.isfinite(nil.grad.numpy()).all()
    y = np.array([1, -1, 1, -1, -1])
    each = np.where(y == 1, 1 - cosine, np.maximum(cosine - 0.1, 0))
    loss = nn.CosineEmbeddingLoss(0.1, "none")
    target = on(device, y)
    got = loss(on(device, a), on(device, b), target).numpy()
    np.testing.assert_allclose(got, each, rtol=1e-10, atol=1e-10)
    pb.testing.check_grad(lambda *x: loss(*x, target), on(device, a), on(device, b))
    with pytest.raises(pb.ShapeError, match=r"a target of \(4,\)"):
        loss(on(device, a), on(device, b), target[:4])
    with pytest.raises(pb.InvalidArgument, match=r"margin=2\.0"):
        nn.CosineEmbeddingLoss(2.0)


# --- the game of two networks ---------------------------------------------------------------------


def _softplus(x: Any) -> Any:
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("saturating", [False, True])
def test_gan_loss_trains_the_discriminator_and_returns_the_generators_loss(device, saturating):
    judge = nn.Linear(2, 1, device=device, dtype=pb.float64)
    loss = nn.GANLoss(judge, pb.optim.SGD(judge.parameters(), lr=0.1), saturating)
    fake = pb.asarray(data(6, 2), device=device, requires_grad=True)
    real = on(device, data(6, 2, seed=1))
    w, b = judge.weight.numpy(), judge.bias.numpy()

    def sigmoid(x: Any) -> Any:
        return 1 / (1 + np.exp(-x))

    scores = {k: v.numpy() @ w.T + b for k, v in (("real", real), ("fake", fake))}
    slopes = {"real": -sigmoid(-scores["real"]) / 6, "fake": sigmoid(scores["fake"]) / 6}
    wanted = w - 0.1 * (slopes["real"].T @ real.numpy() + slopes["fake"].T @ fake.numpy())
    got = loss(fake, real)
    np.testing.assert_allclose(judge.weight.numpy(), wanted, **F64)
    judged = _softplus(-scores["real"]).mean() + _softplus(scores["fake"]).mean()
    np.testing.assert_allclose(loss.discriminator_loss.numpy(), judged, **F64)
    assert fake.grad is None
    new = fake.numpy() @ judge.weight.numpy().T + judge.bias.numpy()
    want = -_softplus(new).mean() if saturating else _softplus(-new).mean()
    np.testing.assert_allclose(got.numpy(), want, **F64)
    before = [p.grad.numpy() for p in judge.parameters()]
    got.backward()
    slope = -sigmoid(new) / 6 if saturating else -sigmoid(-new) / 6
    np.testing.assert_allclose(fake.grad.numpy(), slope @ judge.weight.numpy(), **F64)
    assert all(np.array_equal(p.grad.numpy(), g) for p, g in zip(judge.parameters(), before))
    assert all(p.requires_grad for p in judge.parameters())
    kept = judge.weight.numpy()
    loss.eval()(fake, real)
    assert np.array_equal(judge.weight.numpy(), kept)
    assert list(loss.state_dict()) == ["discriminator.weight", "discriminator.bias"]
    with pytest.raises(pb.InvalidArgument, match="got Linear and Tensor; want a Module and an Opt"):
        nn.GANLoss(judge, fake)
