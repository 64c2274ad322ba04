"""The engine for wide regions on CUDA: Triton kernels."""
