"""Fused CUDA kernels and the hierarchies on them. Nothing here is imported until a CUDA tensor asks for it."""
