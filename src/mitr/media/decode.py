"""Media files in, sound and pictures out: streaming, true to the clip's time, and honest about what is missing."""

from mitr.media.opening import Clip, open_clip
from mitr.media.pictures import Frame, FrameStream, frames_of
from mitr.media.sound import AudioStream, audio_of

__all__ = ["AudioStream", "Clip", "Frame", "FrameStream", "audio_of", "frames_of", "open_clip"]
