"""Discrete Fourier transforms: the extension ``fft`` of the array API.

The transforms run on pocketfft on the host, for every device (:mod:`polyback.host`), in the
precision of their input; padding, trimming and shifting happen on the device.
"""

from polyback.frontend.fft.frequencies import fftfreq as fftfreq
from polyback.frontend.fft.frequencies import fftshift as fftshift
from polyback.frontend.fft.frequencies import ifftshift as ifftshift
from polyback.frontend.fft.frequencies import rfftfreq as rfftfreq
from polyback.frontend.fft.transforms import fft as fft
from polyback.frontend.fft.transforms import fftn as fftn
from polyback.frontend.fft.transforms import hfft as hfft
from polyback.frontend.fft.transforms import ifft as ifft
from polyback.frontend.fft.transforms import ifftn as ifftn
from polyback.frontend.fft.transforms import ihfft as ihfft
from polyback.frontend.fft.transforms import irfft as irfft
from polyback.frontend.fft.transforms import irfftn as irfftn
from polyback.frontend.fft.transforms import rfft as rfft
from polyback.frontend.fft.transforms import rfftn as rfftn
