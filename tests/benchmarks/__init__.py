"""Speed and memory, measured at the sizes of real models: ``python -m tests.benchmarks``."""
