"""Pictures of graphs."""

from __future__ import annotations

import re
import shutil

import pytest

import polyback as pb
from polyback import nn


def test_a_model_is_drawn_with_the_names_of_its_parameters():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    text = pb.viz.dot(model, pb.ones((2, 3)))
    for name in ("0.weight", "0.bias", "2.weight", "2.bias", "tanh", "linear"):
        assert f'label="{name}' in text, name
    drawn = set(re.findall(r"(n\d+) \[", text))
    joined = re.findall(r"(n\d+) -> (n\d+);", text)
    assert {n for pair in joined for n in pair} == drawn
    starts = {a for a, _ in joined} - {b for _, b in joined}
    assert len(starts) == 4  # the parameters


def test_a_leaf_alone_and_what_is_no_graph():
    x = pb.ones(2, requires_grad=True)
    assert pb.viz.dot(x, names={'odd "name"': x}).count("[label=") == 1
    with pytest.raises(pb.GradientError, match="requires_grad"):
        pb.viz.dot(pb.ones(2) * 2.0)


def test_files(tmp_path, monkeypatch):
    y = pb.exp(pb.ones(2, requires_grad=True))
    pb.viz.save(tmp_path / "graph.dot", y)
    assert (tmp_path / "graph.dot").read_text().startswith("digraph")
    with pytest.raises(pb.InvalidArgument, match=r"want \.dot"):
        pb.viz.save(tmp_path / "graph.txt", y)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(pb.InvalidArgument, match="Graphviz"):
        pb.viz.save(tmp_path / "graph.svg", y)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_svg(tmp_path):
    pb.viz.save(tmp_path / "graph.svg", pb.exp(pb.ones(2, requires_grad=True)))
    assert "<svg" in (tmp_path / "graph.svg").read_text()


def test_a_model_with_several_results():
    text = pb.viz.dot(pb.nn.LSTM(3, 4), pb.ones((2, 1, 3)))
    assert text.count("weight_hh_l0") == 1
