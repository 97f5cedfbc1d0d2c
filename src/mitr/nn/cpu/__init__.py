"""Hand-written kernels for CPUs, in the place of plain blocks of `mitr.nn`; `switch` says where they are used.

Each gives the outputs and gradients of its plain block (tests/nn/cpu) and saves at least a tenth of a training step at
CMU-MOSI's shapes (`make bench-kernels`, docs/performance.md).
"""
