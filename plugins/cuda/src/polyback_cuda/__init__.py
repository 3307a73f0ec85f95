"""polyback-cuda: device ``cuda``, NVIDIA GPUs through pycuda."""

from polyback.device import BackendDescriptor
from polyback.hooks import hookimpl


@hookimpl
def polyback_backend() -> BackendDescriptor:
    """Describe the backend; no driver is loaded before somebody asks for devices."""
    return BackendDescriptor(
        name="cuda",
        factory="polyback_cuda.backend:CudaBackend",
        kind="gpu",
        protocol=((1, 1), (1, 2)),
        priority=20,
    )
