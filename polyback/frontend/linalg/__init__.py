"""Linear algebra: the extension ``linalg`` of the array API.

Products, norms, traces and powers run on the device. Decompositions, inverses and solutions run on
LAPACK on the host, for every device: :mod:`polyback.host`. Stacks of matrices everywhere; float16
and bfloat16 are computed in float32.
"""

from polyback.frontend.functions.diagonal import diagonal as diagonal
from polyback.frontend.functions.linalg import matmul as matmul
from polyback.frontend.functions.linalg import outer as outer
from polyback.frontend.functions.linalg import tensordot as tensordot
from polyback.frontend.functions.linalg import vecdot as vecdot
from polyback.frontend.functions.shape import matrix_transpose as matrix_transpose
from polyback.frontend.linalg.norms import matrix_norm as matrix_norm
from polyback.frontend.linalg.norms import vector_norm as vector_norm
from polyback.frontend.linalg.products import cross as cross
from polyback.frontend.linalg.products import matrix_power as matrix_power
from polyback.frontend.linalg.products import trace as trace
from polyback.frontend.linalg.singular import matrix_rank as matrix_rank
from polyback.frontend.linalg.singular import pinv as pinv
from polyback.frontend.linalg.singular import svd as svd
from polyback.frontend.linalg.singular import svdvals as svdvals
from polyback.frontend.linalg.solving import det as det
from polyback.frontend.linalg.solving import inv as inv
from polyback.frontend.linalg.solving import slogdet as slogdet
from polyback.frontend.linalg.solving import solve as solve
from polyback.frontend.linalg.spectral import eig as eig
from polyback.frontend.linalg.spectral import eigh as eigh
from polyback.frontend.linalg.spectral import eigvals as eigvals
from polyback.frontend.linalg.spectral import eigvalsh as eigvalsh
from polyback.frontend.linalg.triangular import cholesky as cholesky
from polyback.frontend.linalg.triangular import qr as qr
