"""An opened device: its claims and its memory. What launches kernels is built on it."""

from __future__ import annotations

from typing import Any, Final, final

from polyback.config import Config
from polyback.device import Caps, Device
from polyback.errors import DeviceClosed, InvalidArgument
from polyback.features import MemoryStats
from polyback_cpu_c import driver
from polyback_cpu_c.claims import claims

ADDRESSABLE: Final = 1 << 63  # bytes


@final
class CpuBuffer:
    """Memory of this device. ``address`` is None once it is freed."""

    __slots__ = ("address", "nbytes", "owner")

    def __init__(self, address: int, nbytes: int, owner: Any = None) -> None:
        self.address: Any = address
        self.nbytes = nbytes
        self.owner = owner  # whose memory it is, if not ours


class Opened(Device):
    """All of a device but its kernels."""

    def __init__(self, config: Config) -> None:
        self._isa = driver.open_isa(config.isa)
        self._caps = claims(driver.OPS, driver.REDUCES)
        self._live: set[int] = set()
        self.closed = False
        driver.set_threads(config.threads)
        driver.set_memory_limit(config.memory_limit)

    @property
    def caps(self) -> Caps:
        return self._caps

    @property
    def isa(self) -> str:
        """The instruction set in use: ``portable``, ``avx2`` or ``avx512``."""
        return driver.isa_name(self._isa)

    def check_open(self) -> None:
        """Raises DeviceClosed."""
        if self.closed:
            raise DeviceClosed("[cpu_c] the device is closed; open it again")

    def allocate(self, nbytes: int) -> CpuBuffer:
        if self.closed:
            self.check_open()
        address = driver.alloc(nbytes) if nbytes < ADDRESSABLE else 0
        if not address:
            raise driver.out_of_memory("cpu_c", nbytes)
        self._live.add(address)
        return CpuBuffer(address, nbytes)

    def free(self, buffer: CpuBuffer) -> None:
        address, buffer.address = buffer.address, None
        if buffer.owner is not None:
            buffer.owner = None
        elif address in self._live:  # not after close(), nor the second time
            self._live.discard(address)
            driver.free(address)

    def upload(self, buffer: CpuBuffer, offset: int, source: memoryview) -> None:
        self.check_open()
        driver.upload(within(buffer, offset, source.nbytes), source)

    def download(self, buffer: CpuBuffer, offset: int, target: memoryview) -> None:
        self.check_open()
        driver.download(within(buffer, offset, target.nbytes), target)

    def synchronize(self) -> None:
        self.check_open()

    def close(self) -> None:
        self.closed = True
        while self._live:
            driver.free(self._live.pop())

    def memory_stats(self) -> MemoryStats:
        """Feature. All devices of this backend share one allocator."""
        self.check_open()
        return driver.memory_stats()

    def trim(self) -> None:
        """Feature ``memory_stats``."""
        self.check_open()
        driver.trim()

    def host_view(self, buffer: CpuBuffer) -> memoryview:
        """Feature."""
        self.check_open()
        return driver.host_view(within(buffer, 0, 0), buffer.nbytes)

    def adopt(self, memory: memoryview) -> CpuBuffer:
        """Feature."""
        self.check_open()
        return CpuBuffer(*driver.memory_of(memory), memory)


def within(buffer: CpuBuffer, offset: int, nbytes: int) -> int:
    """The address of byte ``offset``, if ``nbytes`` fit there. Raises InvalidArgument."""
    if buffer.address is None:
        raise InvalidArgument("[cpu_c] the buffer has been freed")
    if offset < 0 or offset + nbytes > buffer.nbytes:
        raise InvalidArgument(
            f"[cpu_c] bytes [{offset}, {offset + nbytes}) are outside a buffer of {buffer.nbytes}"
        )
    return int(buffer.address + offset)
