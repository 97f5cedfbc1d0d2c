"""Commands for clips: video and audio files."""

import sys
from pathlib import Path
from typing import Literal

from mitr.errors import MitrError
from mitr.media.files.limits import Limits
from mitr.media.options import FeatureConfig, MediaConfig, SpeechConfig


def assets_fetch(*, force: bool = False) -> None:
    """Fetch the models that find faces and their landmarks, over the network, into the user's cache.

    Args:
        force: fetch them even if the cache has them.
    """
    from mitr.media.assets import fetch

    for path in fetch(force):
        print(path)


def assets_add(file: str) -> None:
    """Keep a face_landmarker.task of your own, whose blendshapes `--features.vision blendshapes` then gives.

    Args:
        file: the bundle of models.
    """
    from mitr.media.assets import add

    print(add(Path(file)))


def features_list(extractor: str | None = None) -> None:
    """Print the feature extractors, or what every column of one is.

    Args:
        extractor: its name, or module:NAME of one's own; without it, all are listed.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from mitr.media.dataset.cards import card_of
    from mitr.media.registry import EXTRACTORS, extractor_of

    if extractor is not None:
        Console().print(Markdown(card_of(extractor_of(extractor))))
        return
    for name in EXTRACTORS.names():
        try:
            listed = extractor_of(name)
        except MitrError as error:  # one that cannot be imported hides no other
            print(f"{name:<12} {error}")
        else:
            print(f"{name:<12} {listed.modality:<7} {len(listed.columns):>3} columns  {listed.about}")


def extract(
    source: str,
    *,
    out: str,
    features: FeatureConfig = FeatureConfig(),  # noqa: B008
    speech: SpeechConfig = SpeechConfig(),  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
    splits: str | None = None,
    name: str | None = None,
    label_range: tuple[float, float] | None = None,
    task: Literal["auto", "regression", "classification"] = "auto",
    jobs: int = 0,
    strict: bool = False,
    timeout: float | None = None,
    cache: str | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> None:
    """Turn a folder of clips and a label.csv into a data set; stopped, it can be called again.

    Args:
        source: folder with label.csv and Raw/<video_id>/<clip_id>.mp4 (or any other media file).
        out: the folder to make.
        features: what is computed of each clip.
        speech: speech recognition for clips without a transcript.
        limits: bounds on what a file may ask for.
        splits: a CSV with the columns id,mode that puts each clip in train, valid or test, or leaves it out: unused.
        name: a short name for tables and titles.
        label_range: lowest and highest label of the scale, written as [-3,3]; otherwise inferred.
        task: what the labels are, numbers on a scale or classes; auto takes names as classes.
        jobs: processes at a time; 0 for one per core.
        strict: a clip that cannot be read is an error; otherwise it is left out and listed.
        timeout: seconds after which a clip is given up.
        cache: folder in which what was read is kept; otherwise the user's cache.
        overwrite: replace the folder if it exists.
        quiet: show no progress bar.
    """
    from mitr.data.inspecting import inspect, print_inspection
    from mitr.media.dataset.extracting import extract as extract_clips
    from mitr.media.dataset.extracting import listed

    try:
        extraction = extract_clips(
            source,
            out,
            MediaConfig(features, speech, limits),
            splits=splits,
            name=name,
            label_range=label_range,
            task=task,
            jobs=jobs,
            strict=strict,
            timeout=timeout,
            cache=cache,
            overwrite=overwrite,
            quiet=quiet,
        )
    except KeyboardInterrupt:
        print("mitr: the same command goes on where it stopped", file=sys.stderr)
        raise
    print_inspection(inspect(Path(out)))
    for modality, reasons in extraction.missing.items():
        print(f"{modality}: steps missing: {', '.join(f'{r} in {n} clips' for r, n in reasons.items())}")
    print(f"{out}: {len(extraction.dataset)} clips")
    if extraction.broken:
        print(f"{len(extraction.broken)} clips could not be read and were left out:\n{listed(extraction.broken)}")


def predict(
    run: str,
    files: list[str],
    *,
    text: str | None = None,
    missing: str = "",
    explain: bool = False,
    segments: Literal["subtitles", "silence", "windows"] | None = None,
    window: float = 10.0,
    out: str | None = None,
    json: bool = False,
    engine: Literal["torch", "onnx"] = "torch",
    speech: SpeechConfig = SpeechConfig(),  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
    cache: str | None = None,
) -> None:
    """Predict the sentiment of clips: how sure it is, what was missing, and which modality mattered.

    Args:
        run: the run folder.
        files: video or audio files; none with --text predicts from the words alone.
        text: what is said in the clip, "" for nothing; otherwise the .srt, .vtt or .txt file of its name beside it.
        missing: modalities to leave out, with commas between them, e.g. audio,vision.
        explain: also list the moments whose absence changes the prediction most.
        segments: also predict stretches of each clip: subtitles, stretches between pauses, or windows of equal length.
        window: seconds of a window.
        out: folder for the timeline of each clip (CSV, JSON and a picture); needs --segments.
        json: print one JSON object a clip instead, a line each.
        engine: what runs the network; onnx needs the run's export (mitr export RUN).
        speech: speech recognition for clips without a transcript.
        limits: bounds on what a file may ask for.
        cache: folder in which features are kept; otherwise the user's cache.
    """
    from mitr.media.cache import Cache
    from mitr.prediction.answer import json_line
    from mitr.prediction.predictor import Predictor
    from mitr.prediction.segments import check_window
    from mitr.report.timeline import free_stem, write_timeline

    if text is not None and len(files) > 1:
        raise MitrError(f"--text is of one clip, but {len(files)} are named: put a .txt file beside each of them")
    if not files and text is None:
        raise MitrError("name a file, or give --text: mitr predict RUN FILE")
    if out is not None and segments is None:
        raise MitrError("--out is for timelines, which need --segments subtitles, silence or windows")
    check_window(window)
    predictor = Predictor(
        run,
        missing=[m.strip() for m in missing.split(",") if m.strip()],
        limits=limits,
        speech=speech,
        cache=Cache(cache) if cache else None,
        engine=engine,
    )
    if files:
        predictor.ready()
    failed = 0
    taken: set[str] = set()
    clips: list[str | None] = [*files] if files else [None]
    for file in clips:
        try:
            answer = predictor.predict(file, text=text, explain=explain, segments=segments, window=window)
            stem = free_stem(Path(file or "text").stem, taken)
            written = write_timeline(answer, Path(out), stem) if out is not None else []
            print(json_line(answer.to_json(), sys.stdout.encoding or "utf-8") if json else answer, flush=True)
            for path in written:
                print(f"  {path}", file=sys.stderr if json else sys.stdout)
        except BrokenPipeError:
            raise
        except Exception as error:  # one clip's error, of any kind, does not stop the others
            failed += 1
            message = str(error) if isinstance(error, MitrError) else f"{file}: {type(error).__name__}: {error}"
            print(f"mitr: error: {message}", file=sys.stderr)
            if json:
                print(json_line({"file": file, "error": message}, sys.stdout.encoding or "utf-8"), flush=True)
    predictor.cache.trim()
    if failed:
        raise MitrError(f"{failed} of {len(clips)} clips could not be answered")
