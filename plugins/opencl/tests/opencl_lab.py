"""Arrays on a device of this plugin, for its tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from polyback.config import Config
from polyback.device import Available, Device, Operand
from polyback.dtype import dtype_of
from polyback.view import View
from polyback_opencl.backend import OpenclBackend


def available() -> bool:
    return isinstance(OpenclBackend().probe(), Available)


def open_device(**options: Any) -> Any:
    return OpenclBackend().open(0, Config(**options))


def open_as_gpu() -> Any:
    """The same device with the kernels of a GPU: groups, barriers, local memory, 16-byte packs."""
    from dataclasses import replace

    from polyback.simt.geometry import Machine
    from polyback_opencl import driver
    from polyback_opencl.device import OpenclDevice

    opened = driver.OpenclDriver(driver.devices()[0])
    opened.traits = replace(opened.traits, machine=Machine(False, 4, 256))
    return OpenclDevice(opened)


def put(device: Device, data: Any) -> Operand:
    data = np.ascontiguousarray(data)
    operand = blank(device, data.shape, data.dtype)
    device.upload(operand.buffer, 0, memoryview(data.reshape(-1).view(np.uint8)))
    return operand


def blank(device: Device, shape: tuple[int, ...], dtype: Any) -> Operand:
    dtype = dtype_of(dtype)
    view = View.contiguous(shape)
    return Operand(device.allocate(view.size * dtype.itemsize), dtype, view)


def get(device: Device, x: Operand) -> Any:
    result = np.empty(x.view.shape, x.dtype.numpy)
    device.download(x.buffer, 0, memoryview(result.reshape(-1).view(np.uint8)))
    return result
