"""The recipe ``landmarks``: 68 points of a face, by a ResNet18."""
