"""The frontend: what users call. Tensor comes first; functions are built on it."""

from polyback.frontend import tensor as tensor  # noqa: I001  (functions need Tensor)
from polyback.frontend import functions as functions
from polyback.frontend import info as info
from polyback.frontend import interchange as interchange
