"""TensorFlow's Object Detection API on today's TensorFlow: shims, pipelines, training, exports.

The API was last released in 2021. :mod:`~facekit.tfapi.shims` gives today's packages what it
misses, only when asked; :mod:`~facekit.tfapi.textproto` and :mod:`~facekit.tfapi.pipeline` read
and write its configurations and need no TensorFlow; everything else imports the API itself.
"""
