"""Hand-written kernels for CPUs, in the place of plain blocks of `mitr.nn`; `switch` says where they are used.

Each gives the outputs and gradients of its plain block (tests/nn/cpu), and either saves at least a tenth of a training
step at CMU-MOSI's shapes or is needed for a goal of docs/performance.md, which has the figures (`make bench-kernels`).
"""
