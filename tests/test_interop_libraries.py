"""Libraries written against the array API take tensors: scikit-learn, SciPy, array-api-extra."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polyback as pb

CHILD = Path(__file__).with_name("interop_child.py")


@pytest.mark.parametrize("default", ["same", "other"])
def test_scikit_learn_and_scipy_give_what_they_give_for_numpy(device: str, default: str) -> None:
    for library in ("sklearn", "scipy"):
        pytest.importorskip(library)
    if default == "same":
        default = device
    else:
        default = next((d for d in pb.devices() if d != device), "")
        if not default:
            pytest.skip("there is but one device")
    command = [sys.executable, str(CHILD), device, default]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["wrong"] == {}
    assert found["compared"] > 60


def test_array_api_compat_knows_tensors(device: str) -> None:
    compat = pytest.importorskip("array_api_compat")
    x = pb.zeros((2, 3), device=device)
    assert compat.is_array_api_obj(x)
    assert compat.array_namespace(x, 1.0, x) is pb
    assert compat.device(x) is x.device
    assert compat.size(x) == 6
    assert compat.is_writeable_array(x)
    assert not compat.is_lazy_array(x)
    assert all(compat.to_device(x, other).device == other for other in pb.devices())
    with pytest.raises(TypeError, match="Multiple namespaces"):
        compat.array_namespace(x, np.zeros(2))


A, K = np.arange(6.0).reshape(2, 3) + 0.5, np.asarray([1, 3, 3, 0, 2])
EXTRA: dict[str, Callable[[Any, Any], Any]] = {
    "atleast_nd": lambda xpx, a: xpx.atleast_nd(a(A), ndim=4),
    "cov": lambda xpx, a: xpx.cov(a(A)),
    "kron": lambda xpx, a: xpx.kron(a(A), a(A[:, :2])),
    "nunique": lambda xpx, a: xpx.nunique(a(K)),
    "setdiff1d": lambda xpx, a: xpx.setdiff1d(a(K), a(K[:2])),
    "union1d": lambda xpx, a: xpx.union1d(a(K), a(K + 2)),
    "sinc": lambda xpx, a: xpx.sinc(a(A)),
    "one_hot": lambda xpx, a: xpx.one_hot(a(K), 5),
    "isclose": lambda xpx, a: xpx.isclose(a(A), a(A + np.asarray([0, 1e-9, 1e-3]))),
    "pad": lambda xpx, a: xpx.pad(a(A), ((1, 2), (0, 1)), constant_values=3),
    "create_diagonal": lambda xpx, a: xpx.create_diagonal(a(A[0]), offset=1),
    "nan_to_num": lambda xpx, a: xpx.nan_to_num(a(A * [np.nan, np.inf, 1.0])),
    "apply_where": lambda xpx, a: xpx.apply_where(
        a(A) > 2, (a(A),), lambda v: 1 / v, fill_value=-1.0
    ),
    "set": lambda xpx, a: xpx.at(a(A))[0, :].set(7.0, copy=True),
    "add": lambda xpx, a: xpx.at(a(A), a(A) > 2).add(1.0, copy=True),
    "multiply in place": lambda xpx, a: xpx.at(a(A.copy()), 0).multiply(3.0, copy=False),
}


@pytest.mark.parametrize("name", EXTRA)
def test_array_api_extra_runs_on_tensors(device: str, name: str) -> None:
    xpx = pytest.importorskip("array_api_extra")
    want = EXTRA[name](xpx, np.asarray)
    got = EXTRA[name](xpx, lambda x: pb.asarray(x, device=device))
    assert isinstance(got, pb.Tensor)
    assert got.device == device
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


def test_expand_dims_takes_several_axes(device: str) -> None:
    x = pb.asarray(A, device=device)
    np.testing.assert_array_equal(pb.expand_dims(x, (0, 2)).numpy(), A[None, :, None])


def test_devices_and_types_are_keys(device: str) -> None:
    x = pb.zeros(2, device=device)
    assert {x.device: 1}[pb.get_device(device)] == 1
    assert len({d.device for d in (x, x + 1, pb.ones(3, device=device))}) == 1
    assert {pb.float32: 1}[x.dtype] == 1
    assert x.dtype != pb.float64
    assert x.dtype != np.float64
