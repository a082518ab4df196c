"""Faces on pixels, and contact sheets."""

from facekit.draw.faces import IBUG68_OUTLINE, draw_faces
from facekit.draw.palette import PALETTE
from facekit.draw.sheet import contact_sheet

__all__ = ["IBUG68_OUTLINE", "PALETTE", "contact_sheet", "draw_faces"]
