"""The recipe ``mmdet``: MMDetection's own trainer."""
