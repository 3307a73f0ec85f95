"""Every function of the standard gives the same on every device, for every type it takes."""

from __future__ import annotations

import pytest
from against_numpy import close
from array_api.calls import Maker, call, names, tensors

import polyback as pb
from polyback.dtype import DTYPES

# Products of a decomposition differ in the last places with the instruction set of the host.
ULP = {"linalg": 64, "fft": 64, "": 16}


@pytest.mark.parametrize(("space", "name"), list(names()), ids=lambda v: v or "main")
def test_same_everywhere(device: str, space: str, name: str) -> None:
    taken = 0
    for dtype in DTYPES:
        if dtype.name not in pb.get_device(device).caps.storage:
            continue
        try:
            want = tensors(call(space, name, Maker(dtype, "numpy_ref")))
        except pb.DTypeError:
            with pytest.raises(pb.DTypeError):
                call(space, name, Maker(dtype, device))
            continue
        taken += 1
        got = tensors(call(space, name, Maker(dtype, device)))
        assert len(got) == len(want)
        for mine, reference in zip(got, want):
            assert mine.device == device
            close(mine, reference.numpy(), reference.dtype, ulp=ULP[space])
    assert taken, f"{name} takes no type at all"
