"""Classifiers, one module a backend."""
