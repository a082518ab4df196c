"""The recipe ``tf_models``: tf-models-official's own trainer."""
