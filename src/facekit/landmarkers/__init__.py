"""Landmarkers, one module a backend."""
