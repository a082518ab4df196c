"""Adapters that a third party might write."""
