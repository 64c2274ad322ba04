"""Runs any circuit as a list of instructions, in C on a CPU and in CUDA on a GPU."""
