"""Cut out every face of a folder, upright, 112 x 112: align_folder.py PHOTOS OUT_FOLDER."""

import sys
from pathlib import Path

import facekit

photos, out = map(Path, sys.argv[1:])
out.mkdir(exist_ok=True)

analyzer = facekit.FaceAnalyzer()
count = 0
# Photos are decoded ahead in the background, and unreadable ones do not stop the others.
for faces in analyzer.stream(photos, on_error=lambda _path, error: print(f"skipped: {error}")):
    for crop in facekit.align_faces(faces.image, faces.landmarks):
        facekit.write_image(out / f"face_{count:05d}.png", crop)
        count += 1
print(f"{count} faces in {out}")
