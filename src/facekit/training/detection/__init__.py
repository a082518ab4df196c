"""What recipes of several detectors share: photos, light, anchors, weights to start from."""
