"""The dense back end: a plan becomes a program of kernel calls that one compiled loop runs over tiles, on all cores.

Nothing is compiled per expression. Kernels are ordinary functions in real files (`kernels/`), compiled when first used
and kept on disk for later processes (`caching`); `simd` gives them rows of eight symbols as vectors; `abi` is their
one signature; `loop` calls them by address; `run` holds buffers, registers and threads.
"""
