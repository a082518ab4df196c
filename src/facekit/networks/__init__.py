"""Networks as plain torch modules: tensors in, tensors out, no images and no boxes of a user."""
