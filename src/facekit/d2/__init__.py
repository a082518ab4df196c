"""Detectron2 as it is: its configs, checkpoints and models, with nothing in them run unasked."""
