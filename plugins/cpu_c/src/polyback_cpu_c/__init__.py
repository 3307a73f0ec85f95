"""polyback-cpu-c: the CPU backend, device ``cpu_c``."""

from polyback.device import BackendDescriptor
from polyback.hooks import hookimpl


@hookimpl
def polyback_backend() -> BackendDescriptor:
    """Describe the backend; the C library is loaded when it is probed or opened."""
    return BackendDescriptor(
        name="cpu_c",
        factory="polyback_cpu_c.backend:CpuBackend",
        kind="cpu",
        protocol=((1, 2), (1, 2)),
        priority=10,
    )
