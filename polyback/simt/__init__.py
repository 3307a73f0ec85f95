"""The SIMT kernel kit: every kernel of a device that compiles C-like source and runs it on a grid.

A plugin states the words of its language (:class:`~polyback.simt.dialect.Dialect`), what its
machine is like (:class:`~polyback.simt.geometry.Machine`) and how to allocate, copy, compile and
launch
(:class:`~polyback.simt.driver.Driver`); :class:`~polyback.simt.device.SimtDevice` does the rest.

``expression`` turns a Program into statements, complex functions are written out in real ones
(``complex_basic``, ``complex_math``); ``elementwise``, ``reduce``, ``matmul``,
``indexing`` and ``sorting`` hold one family of kernels each: the template beside what fills it.
"""
