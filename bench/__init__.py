"""Measurements, run by `python -m bench`; what they mean is docs/benchmarks.md.

They go through the service from outside, as clients do; nothing imports them, and no test runs them.
"""
