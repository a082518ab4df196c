"""The recipe ``tfod``: the TF Object Detection API's own trainer."""
