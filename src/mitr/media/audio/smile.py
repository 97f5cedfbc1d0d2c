"""openSMILE's low-level descriptors: eGeMAPSv02 (25 columns) and ComParE 2016 (65 columns), 100 steps a second.

Sources: Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice Research and Affective
Computing", IEEE Transactions on Affective Computing 2016; Schuller et al., "The INTERSPEECH 2016 Computational
Paralinguistics Challenge", Interspeech 2016; both as the package opensmile ships them, here at 16 kHz.

The numbers are openSMILE's own. Its step k has the windows that begin at k / 100 s, 20 ms for spectra and 60 ms for
voice; here it is step k + 2, so that its windows are centred 10 ms before its time for spectra and 10 ms after it for
voice. Steps 0 and 1 repeat step 2, and the last windows are filled up with silence.

The RASTA-filtered columns of ComParE overshoot, tenfold to a hundredfold, for some 200 ms after digital silence.
"""

import functools
from collections.abc import Iterable
from typing import Any

import numpy as np

from mitr.media.audio.acoustics import RATE, in_steps
from mitr.media.features import Column, Extracted, Extractor, importable

HOP = 160  # samples: 10 ms
LEAD = 2  # steps
WINDOW = 960  # samples: 60 ms, the longest window; openSMILE gives nothing but NaN for less
BLOCK = 60 * RATE
CONTEXT = 3 * RATE  # eGeMAPS needs less than .5 s; the RASTA filter of ComParE forgets to within 1e-5 in 2 s
LOUDEST = np.float32(1 - 2**-15)  # samples of 1.0 would wrap to -1 in openSMILE's 16 bits
LICENCE = (
    "openSMILE (audEERING GmbH) is licensed for non-commercial use and research only: neither it nor features or models"
    " made with it may go into a product, free or paid, without a licence from audEERING"
)


def extract_egemaps(sound: Iterable[np.ndarray]) -> Extracted:
    """The 25 eGeMAPSv02 columns of a mono stream at 16 kHz in [-1, 1], as (n_i,) float32 chunks."""
    return _extract(sound, "eGeMAPSv02", len(EGEMAPS_COLUMNS))


def extract_compare(sound: Iterable[np.ndarray]) -> Extracted:
    """The 65 ComParE 2016 columns of a mono stream at 16 kHz in [-1, 1], as (n_i,) float32 chunks."""
    return _extract(sound, "ComParE_2016", len(COMPARE_COLUMNS))


def _extract(sound: Iterable[np.ndarray], name: str, columns: int) -> Extracted:
    smile = _smile(name)

    def measure(samples: np.ndarray) -> np.ndarray:
        rows = smile(np.pad(np.clip(samples, -1, LOUDEST), (0, WINDOW)), RATE)[0].T  # (1, D, T) -> (T, D)
        return np.concatenate([*[rows[:1]] * LEAD, rows])

    values = in_steps(sound, HOP, BLOCK, CONTEXT, columns, measure)
    if 0 < len(values) * HOP <= WINDOW:
        values[:] = np.nan
        return Extracted(values, ("60 ms of sound or less is too short for openSMILE",))
    return Extracted(values)


@functools.cache
def _smile(name: str) -> Any:
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet[name], feature_level=opensmile.FeatureLevel.LowLevelDescriptors
    )


def _formant(number: int) -> tuple[Column, ...]:
    peak = f"harmonic peak at formant {number} against that at F0; -201 where unvoiced"
    return (
        Column(f"F{number}frequency_sma3nz", "Hz", f"centre frequency of formant {number}"),
        Column(f"F{number}bandwidth_sma3nz", "Hz", f"bandwidth of formant {number}"),
        Column(f"F{number}amplitudeLogRelF0_sma3nz", "dB", f"level of the {peak}"),
    )


EGEMAPS_COLUMNS = (
    Column("Loudness_sma3", "1", "perceived loudness: sum of an auditory spectrum"),
    Column("alphaRatio_sma3", "dB", "energy in 1 to 5 kHz against that in 50 to 1000 Hz"),
    Column("hammarbergIndex_sma3", "dB", "strongest peak in 0 to 2 kHz against that in 2 to 5 kHz"),
    Column("slope0-500_sma3", "dB/Hz", "slope of the logarithmic spectrum from 0 to 500 Hz"),
    Column("slope500-1500_sma3", "dB/Hz", "slope of the logarithmic spectrum from 500 to 1500 Hz"),
    Column("spectralFlux_sma3", "1", "change of the spectrum from one step to the next"),
    *(Column(f"mfcc{i}_sma3", "1", f"mel-frequency cepstral coefficient {i}") for i in range(1, 5)),
    Column("F0semitoneFrom27.5Hz_sma3nz", "semitone", "fundamental frequency above 27.5 Hz; 0 where unvoiced"),
    Column("jitterLocal_sma3nz", "1", "relative change of the period from one to the next; 0 where unvoiced"),
    Column("shimmerLocaldB_sma3nz", "dB", "change of the peak from one period to the next; 0 where unvoiced"),
    Column("HNRdBACF_sma3nz", "dB", "harmonics-to-noise ratio by autocorrelation; 0 where unvoiced"),
    Column("logRelF0-H1-H2_sma3nz", "dB", "first harmonic against the second; 0 where unvoiced"),
    Column("logRelF0-H1-A3_sma3nz", "dB", "first harmonic against the strongest at formant 3; 0 where unvoiced"),
    *_formant(1),
    *_formant(2),
    *_formant(3),
)

COMPARE_COLUMNS = (
    Column("F0final_sma", "Hz", "fundamental frequency; 0 where unvoiced"),
    Column("voicingFinalUnclipped_sma", "1", "how voiced the step is, 0 to 1"),
    Column("jitterLocal_sma", "1", "relative change of the period from one to the next; 0 where unvoiced"),
    Column("jitterDDP_sma", "1", "relative change of that change; 0 where unvoiced"),
    Column("shimmerLocal_sma", "1", "relative change of the peak from one period to the next; 0 where unvoiced"),
    Column("logHNR_sma", "log", "logarithm of the harmonics-to-noise ratio; -100 where unvoiced"),
    Column("audspec_lengthL1norm_sma", "1", "perceived loudness: sum of an auditory spectrum"),
    Column("audspecRasta_lengthL1norm_sma", "1", "the same after RASTA filtering, which drops what does not change"),
    Column("pcm_RMSenergy_sma", "1", "root mean square of the samples, 0 to 1"),
    Column("pcm_zcr_sma", "1", "share of samples at which the signal crosses zero"),
    *(
        Column(f"audSpec_Rfilt_sma[{i}]", "1", f"RASTA-filtered auditory band {i} of 26, low to high")
        for i in range(26)
    ),
    Column("pcm_fftMag_fband250-650_sma", "1", "spectral energy in 250 to 650 Hz"),
    Column("pcm_fftMag_fband1000-4000_sma", "1", "spectral energy in 1 to 4 kHz"),
    *(
        Column(f"pcm_fftMag_spectralRollOff{share}_sma", "Hz", f"frequency below which {share} % of the energy lies")
        for share in ("25.0", "50.0", "75.0", "90.0")
    ),
    Column("pcm_fftMag_spectralFlux_sma", "1", "change of the spectrum from one step to the next"),
    Column("pcm_fftMag_spectralCentroid_sma", "Hz", "centre of gravity of the spectrum"),
    Column("pcm_fftMag_spectralEntropy_sma", "1", "entropy of the spectrum"),
    Column("pcm_fftMag_spectralVariance_sma", "Hz^2", "variance of the spectrum about its centre"),
    Column("pcm_fftMag_spectralSkewness_sma", "1", "skewness of the spectrum"),
    Column("pcm_fftMag_spectralKurtosis_sma", "1", "kurtosis of the spectrum"),
    Column("pcm_fftMag_spectralSlope_sma", "1", "slope of the spectrum"),
    Column("pcm_fftMag_psySharpness_sma", "1", "perceived sharpness"),
    Column("pcm_fftMag_spectralHarmonicity_sma", "1", "height of the spectrum's peaks above its valleys"),
    *(Column(f"mfcc_sma[{i}]", "1", f"mel-frequency cepstral coefficient {i}") for i in range(1, 15)),
)

_READY = functools.partial(importable, "opensmile", extra="opensmile")
EGEMAPS = Extractor(
    name="egemaps",
    version=1,
    modality="audio",
    about="pitch, voice quality, formants, loudness and spectrum every 10 ms (eGeMAPSv02), by openSMILE",
    rate=RATE / HOP,
    columns=EGEMAPS_COLUMNS,
    extract=extract_egemaps,
    blank="no sound that can be measured",
    licence=LICENCE,
    ready=_READY,
)

COMPARE = Extractor(
    name="compare",
    version=1,
    modality="audio",
    about="pitch, voice quality, auditory bands, spectrum and MFCC every 10 ms (ComParE 2016), by openSMILE",
    rate=RATE / HOP,
    columns=COMPARE_COLUMNS,
    extract=extract_compare,
    blank="no sound that can be measured",
    licence=LICENCE,
    ready=_READY,
)
