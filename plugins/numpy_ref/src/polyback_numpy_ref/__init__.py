"""polyback-numpy-ref: the reference backend, device ``numpy_ref``."""

from polyback.device import BackendDescriptor
from polyback.hooks import hookimpl


@hookimpl
def polyback_backend() -> BackendDescriptor:
    """Describe the backend; NumPy itself is imported when a device is opened."""
    return BackendDescriptor(
        name="numpy_ref",
        factory="polyback_numpy_ref.backend:NumpyBackend",
        kind="cpu",
        protocol=((1, 2), (1, 2)),
        priority=0,
        reference=True,
    )
