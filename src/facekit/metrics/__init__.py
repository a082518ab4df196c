"""Arrays in, numbers out: how good detections, landmarks and classifications are.

One module a protocol: :mod:`~facekit.metrics.wider_face` is WIDER FACE's own,
:mod:`~facekit.metrics.average_precision` AP at one overlap and by face height,
:mod:`~facekit.metrics.coco` COCO's, :mod:`~facekit.metrics.landmarks` NME and what is drawn from
it, :mod:`~facekit.metrics.classification` accuracy. None of them reads a file.
"""
