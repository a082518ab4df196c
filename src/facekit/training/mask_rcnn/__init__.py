"""The recipe ``mask_rcnn``: Mask and Faster R-CNN."""
