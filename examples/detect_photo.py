"""Find the faces of one photo, print them and draw them: detect_photo.py PHOTO OUT.jpg."""

import sys

import facekit

photo, out = sys.argv[1:]

analyzer = facekit.FaceAnalyzer()  # tiny_ssd and resnet18, weights in the wheel
faces = analyzer(photo)

for face in faces.detections:
    x1, y1, x2, y2 = face.boxes[0]
    print(f"score {face.scores[0]:.2f}: {x2 - x1:.0f} x {y2 - y1:.0f} px at {x1:.0f}, {y1:.0f}")
if faces.landmarks is not None and len(faces):
    print(f"{faces.landmarks.scheme}: {faces.landmarks.points.shape[1]} landmarks a face")

facekit.write_image(out, facekit.draw_faces(photo, faces))
