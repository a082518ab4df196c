"""The recipe ``ssd``: the tiny SSD."""
