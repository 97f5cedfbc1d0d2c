"""The video that each clip is cut from, and divisions of clips that keep the clips of a video together."""

from collections.abc import Sequence

import numpy as np

from mitr.data.store import Dataset

DIVISION_SEED = 20303  # of the videos of the validation split that calibrate intervals alone
BETWEEN = "$_$"  # stands between video and clip in MMSA's ids


def videos_of(ids: Sequence[str]) -> list[str]:
    """The video of each clip; where some id does not name a video, every clip stands for itself."""
    videos = [name.rpartition(BETWEEN)[0] for name in ids]
    return videos if all(videos) else list(ids)


def drawn_videos(ids: Sequence[str], share: float, seed: int) -> np.ndarray:
    """Draw whole videos that together have about a share of the clips.

    The same clips in another order give the same draw.

    Args:
        ids: of the clips (n,); rows of one clip may repeat its id.
        share: of the distinct clips that is drawn, in [0, 1].
        seed: of the order in which videos are drawn, until the next one would bring the number of clips no nearer.

    Returns:
        (n,) bool, the clip is drawn. Of two or more videos and a share inside (0, 1) some are drawn and some are not.
    """
    video = dict(zip(ids, videos_of(ids), strict=True))  # of each distinct clip
    names, clips = np.unique(list(video.values()), return_counts=True)
    if len(names) == 0:
        return np.zeros(0, bool)
    order = np.random.default_rng(seed).permutation(len(names))
    taken = np.concatenate([[0], np.cumsum(clips[order])])  # clips of the first k videos, k = 0 ... number of videos
    first, last = (1, len(names) - 1) if 0 < share < 1 and len(names) > 1 else (0, len(names))
    wanted = share * len(video)
    number = first + int(np.argmin(np.abs(taken[first : last + 1] - wanted)))
    chosen = set(names[order[:number]])
    return np.array([video[name] in chosen for name in ids])


def divided_validation(data: Dataset, calibration_share: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the validation split that stop training and choose the epoch, and those that calibrate intervals.

    Args:
        data: the data set.
        calibration_share: of the validation split, in whole videos, that is for calibration alone; 0: both are the
            whole validation split.
    """
    rows = data.indices("valid")
    if calibration_share == 0:
        return rows, rows
    held_out = drawn_videos([data.ids[row] for row in rows], calibration_share, DIVISION_SEED)
    return rows[~held_out], rows[held_out]
