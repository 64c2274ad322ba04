"""The engine for trees of small regions: one fused kernel on CUDA, C on the CPU."""
