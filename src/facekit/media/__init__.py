"""Image files, folders, globs, videos and cameras in; videos out.

::

    expand(["photos/", "clip.mp4", "0"])  ->  sources  ->  frames(sources)  ->  images in order

This package is the only place that opens a video or a camera.
"""

from facekit.media.frames import Frame, frames
from facekit.media.sources import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    OnError,
    Source,
    expand,
)
from facekit.media.video import (
    DEFAULT_FPS,
    VideoInfo,
    count_frames,
    read_video,
    video_info,
)
from facekit.media.writer import WRITABLE_VIDEO_SUFFIXES, VideoWriter

__all__ = [
    "DEFAULT_FPS",
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "WRITABLE_VIDEO_SUFFIXES",
    "Frame",
    "OnError",
    "Source",
    "VideoInfo",
    "VideoWriter",
    "count_frames",
    "expand",
    "frames",
    "read_video",
    "video_info",
]
