"""The benchmark suite: kernels, their twins in plain NumPy, and what measures them.  `make bench` runs it."""
