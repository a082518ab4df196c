"""Detectors, one module a backend; the module is the lazy boundary."""
