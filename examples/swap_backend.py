"""Run whatever backends a configuration names: swap_backend.py facekit.yaml PHOTO..."""

import sys

import facekit

config, *photos = sys.argv[1:]

# Another detector is another word in the file: nothing below knows which one runs.
analyzer = facekit.FaceAnalyzer.from_config(config)
print(f"detector {analyzer.detector.name}, from a score of {analyzer.detector.score_threshold:.2f}")

for faces in analyzer.stream(photos):
    print(f"{faces.path}: {len(faces)} faces")
