"""Example kernels, written in public Pallas.  Each takes the `pallas_call` that is to run it."""

from pallas_np.kernels.basic import add, matmul, scale, softmax
from pallas_np.kernels.bitonic import bitonic_argsort, bitonic_sort, bitonic_sorter

__all__ = ["add", "bitonic_argsort", "bitonic_sort", "bitonic_sorter", "matmul", "scale", "softmax"]
