"""Sound in blocks, and the 33 acoustic columns of CH-SIMS by librosa.

Columns after Yu et al., "CH-SIMS: A Chinese Multimodal Sentiment Analysis Dataset with Fine-grained Annotations of
Modality", ACL 2020: 1 logarithmic fundamental frequency, 20 MFCC and 12 constant-Q (chroma) columns, by
librosa with its default parameters at 22050 Hz. Where ours depart from that:

- 16 kHz, so that the hop of 512 samples is 32 ms (31.25 steps a second, not 43.07) and the MFCC reach to 8 kHz.
- The paper names no F0 method. (Its authors' code, `data/DataPre.py` of MMSA, puts the zero-crossing rate in that
  column and uses the HTK mel scale.) Ours is librosa's YIN between 60 and 600 Hz; a step is voiced where the sound
  resembles itself one period later.
- A step's numbers do not depend on the rest of the clip: decibels end at a fixed floor, not 80 dB below the loudest
  step, and chroma assume a tuning of 440 Hz instead of estimating it.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from mitr.media.features import Column, Extracted, Extractor, importable

RATE = 16000  # samples a second
HOP = 512
WINDOW = 2048  # of MFCC: 128 ms, librosa's default
PITCH_WINDOW = 1024  # 64 ms; over 128 ms speech changes its pitch too much to be alike
BLOCK = 60 * RATE // HOP * HOP  # samples; whole hops
CONTEXT = 48 * HOP  # 1.5 s; the longest constant-Q filter (1.6 s) and its resampling reach 1 s to either side
LEAST = 64 * HOP  # librosa warns where a window of the lowest octave, 64 times decimated, is longer than the sound
LOWEST, HIGHEST = 60.0, 600.0  # Hz
VOICED = 0.5  # the least correlation of a voiced window with itself one period later
FAINTEST = 1e-3  # root mean square of a window below which none is voiced: -60 dB of full scale
FLOOR = 1e-5  # power of a mel band: -50 dB, about 90 dB below a full-scale tone


class Block(NamedTuple):
    """A piece of sound with its surroundings.

    Attributes:
        samples: (n,) float32: context, the piece, context; there is no context beyond the ends of the sound.
        before: samples of context ahead of the piece.
        size: samples of the piece.
    """

    samples: np.ndarray
    before: int
    size: int


def blocks(chunks: Iterable[np.ndarray], size: int, context: int) -> Iterator[Block]:
    """Cut a stream into pieces of `size` samples, whatever the sizes of its chunks are.

    The last piece has the remaining samples: possibly more, but fewer than `size + context`.
    """
    parts: list[np.ndarray] = []
    held = before = 0
    for chunk in chunks:
        parts.append(chunk)
        held += len(chunk)
        while held >= before + size + context:
            samples = parts[0] if len(parts) == 1 else np.concatenate(parts)
            yield Block(samples[: before + size + context], before, size)
            kept = min(context, before + size)
            parts, before = [samples[before + size - kept :]], kept
            held = len(parts[0])
    if held > before:
        yield Block(np.concatenate(parts), before, held - before)


def in_steps(
    chunks: Iterable[np.ndarray],
    hop: int,
    size: int,
    context: int,
    columns: int,
    measure: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Measure a stream of n samples block by block: (ceil(n / hop), columns) float32.

    Args:
        chunks: (n_i,) float32 each.
        hop: samples a step; `size` and `context` are multiples of it.
        size: samples measured at a time.
        context: samples on both sides that a measurement may look at.
        columns: D.
        measure: (n,) samples -> at least ceil(n / hop) rows of D numbers, row i at sample i * hop.

    Returns:
        The rows; NaN throughout where a sample of the step, or a measurement, is not a finite number.
    """
    rows = [np.empty((0, columns), np.float32)]
    for block in blocks(chunks, size, context):
        first, count = block.before // hop, -(-block.size // hop)
        finite = np.isfinite(block.samples)
        measured = measure(np.where(finite, block.samples, np.float32(0)))[first : first + count].astype(np.float32)
        broken = np.flatnonzero(~finite[block.before : block.before + block.size]) // hop
        measured[broken] = np.nan
        measured[~np.isfinite(measured).all(axis=1)] = np.nan
        rows.append(measured)
    return np.concatenate(rows)


def extract_sims33(sound: Iterable[np.ndarray]) -> Extracted:
    """The 33 columns of a mono stream at 16 kHz in [-1, 1], as (n_i,) float32 chunks.

    Step i looks at the sound around i / 31.25 s: 64 ms for pitch, 128 ms for MFCC, up to 1.6 s for chroma.
    """
    return Extracted(in_steps(sound, HOP, BLOCK, CONTEXT, len(COLUMNS), _measure))


def _measure(samples: np.ndarray) -> np.ndarray:
    """(n,) samples -> (at least ceil(n / HOP), 33)."""
    import librosa
    from threadpoolctl import threadpool_limits

    samples = np.pad(samples, (0, max(0, LEAST - len(samples))))
    with threadpool_limits(1, user_api="blas"):  # matrix products on several threads differ in the last bits
        mel = librosa.feature.melspectrogram(y=samples, sr=RATE, n_fft=WINDOW, hop_length=HOP)
        chroma = librosa.feature.chroma_cqt(y=samples, sr=RATE, hop_length=HOP, tuning=0.0)
    decibels = librosa.power_to_db(mel, amin=FLOOR, top_db=None)
    mfcc = librosa.feature.mfcc(S=decibels, n_mfcc=20)
    pitch = _log_pitch(samples)[None]
    steps = min(part.shape[1] for part in (pitch, mfcc, chroma))
    return np.concatenate([part[:, :steps] for part in (pitch, mfcc, chroma)]).T


def _log_pitch(samples: np.ndarray) -> np.ndarray:
    """(n,) samples -> natural logarithm of F0 in Hz at every hop, 0 where nothing is voiced."""
    import librosa

    window = PITCH_WINDOW
    pitch = librosa.yin(samples, fmin=LOWEST, fmax=HIGHEST, sr=RATE, frame_length=window, hop_length=HOP)
    frames = librosa.util.frame(np.pad(samples, window // 2), frame_length=window, hop_length=HOP)  # (window, T)
    return np.where(_voiced(frames, np.rint(RATE / pitch).astype(int)), np.log(pitch), 0.0)


def _voiced(frames: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """Which windows (PITCH_WINDOW, T) are loud and like themselves one period later, periods (T,) being in samples."""
    length = len(frames) - int(np.ceil(RATE / LOWEST))
    now = frames[:length]
    later = np.take_along_axis(frames, np.arange(length)[:, None] + periods, axis=0)
    energy = np.einsum("nt,nt->t", now, now) * np.einsum("nt,nt->t", later, later)
    alike = np.einsum("nt,nt->t", now, later) > VOICED * np.sqrt(energy)
    return alike & (np.sqrt(np.mean(now**2, axis=0)) > FAINTEST)


COLUMNS = (
    Column("log_f0", "ln Hz", "natural logarithm of the fundamental frequency, 60 to 600 Hz; 0 where unvoiced"),
    *(
        Column(f"mfcc_{i}", "dB", "mel-frequency cepstral coefficient" + (", the overall level" if i == 0 else ""))
        for i in range(20)
    ),
    *(
        Column(f"chroma_{note}", "1", f"constant-Q energy of the pitch class {note}, the strongest of the step being 1")
        for note in ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
    ),
)

SIMS33 = Extractor(
    name="sims33",
    version=1,
    modality="audio",
    about="pitch, 20 MFCC and 12 chroma every 32 ms, after CH-SIMS, by librosa",
    rate=RATE / HOP,
    columns=COLUMNS,
    extract=extract_sims33,
    blank="no sound that can be measured",
    ready=partial(importable, "librosa", "threadpoolctl", extra="media"),
)
