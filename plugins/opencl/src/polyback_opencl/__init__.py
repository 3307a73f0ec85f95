"""polyback-opencl: device ``opencl``, every GPU or CPU that has an OpenCL driver."""

from polyback.device import BackendDescriptor
from polyback.hooks import hookimpl


@hookimpl
def polyback_backend() -> BackendDescriptor:
    """Describe the backend; pyopencl is imported when somebody asks for devices."""
    return BackendDescriptor(
        name="opencl",
        factory="polyback_opencl.backend:OpenclBackend",
        kind="gpu",
        protocol=((1, 1), (1, 2)),
        priority=5,
    )
