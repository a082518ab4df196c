"""The recipe ``classify``: labels of faces, by a head on the trunk of S3FD."""
