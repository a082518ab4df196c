"""The recipe ``detectron2``: Detectron2's own trainer."""
