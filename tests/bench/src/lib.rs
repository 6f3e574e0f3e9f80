//! Benchmarks of the widecast binary beside the kernel's floor.
