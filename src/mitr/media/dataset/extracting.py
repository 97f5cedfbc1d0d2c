"""A folder of clips and a `label.csv` become a data set: clips are read in processes, cached, and joined in order."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mitr.data.classes import TaskChoice
from mitr.data.draft import Draft, RawSteps, write_draft
from mitr.data.importing import label_range_of, split_anew
from mitr.data.label_csv import Labelled, read_labelled
from mitr.data.schema import MODALITIES, DatasetInfo, Modality, Source
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.files import check_free, new_folder, sha256
from mitr.media import registry
from mitr.media.cache import Cache
from mitr.media.dataset.cards import card
from mitr.media.dataset.folder import clip_file
from mitr.media.files.limits import Limits
from mitr.media.options import MediaConfig, SpeechConfig
from mitr.media.reading import Reading, read_clip, tracks_of
from mitr.media.ready import check
from mitr.media.registry import FeatureRecipe
from mitr.media.words.captions import Transcript, words_of
from mitr.processes import run_jobs

FEW = 5


@dataclass
class Extraction:
    """The result of extraction.

    Attributes:
        dataset: the data set.
        broken: id -> the reason why the clip could not be read; such clips are not in the data set.
        missing: modality -> reason -> number of clips in which the modality is missing, in part or whole, for it.
    """

    dataset: Dataset
    broken: dict[str, str] = field(default_factory=dict)
    missing: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipJob:
    """One clip to be read by another process.

    Attributes:
        id: `<video_id>$_$<clip_id>`.
        path: the file.
        text: the words of `label.csv`.
        recipes: modality -> how its features are made.
        places: the extractors' entries in the registry, which that process may lack.
        limits, speech: the user's options.
    """

    id: str
    path: Path
    text: str
    recipes: dict[str, FeatureRecipe]
    places: dict[str, str]
    limits: Limits
    speech: SpeechConfig


def extract(
    source: str | Path,
    out: str | Path,
    config: MediaConfig | None = None,
    *,
    splits: str | Path | None = None,
    name: str | None = None,
    label_range: tuple[float, float] | None = None,
    task: TaskChoice = "auto",
    jobs: int = 0,
    strict: bool = False,
    cache: str | Path | None = None,
    timeout: float | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Extraction:
    """Turn a folder of clips into a data set.

    A clip that cannot be read is left out and listed. Features are cached (`mitr.media.cache`), so a call after an
    interruption goes on where the first one stopped. The data set is the same for any number of processes.

    Args:
        source: folder with `label.csv` and `Raw/<video_id>/<clip_id>.*`.
        out: the data set to make.
        config: features, speech recognition and limits.
        splits: a CSV `id,mode` instead of the column `mode`.
        name: name of the data set; by default that of the folder.
        label_range: lowest and highest label; otherwise inferred.
        task: what the labels are.
        jobs: processes at a time; 0: one per core.
        strict: a broken clip is an error, and nothing is written.
        cache: folder of cached features; None: the user's.
        timeout: seconds after which a clip is given up; None: never.
        overwrite: replace `out` if it is a data set.
        quiet: show no progress.

    Raises:
        MitrError: an option is wrong, a package or a model is not installed, `label.csv` is not as described, every
            clip is broken, or one is and `strict` is set.
    """
    source, out, config = Path(source), Path(out), config or MediaConfig()
    if jobs < 0:
        raise MitrError(f"--jobs is {jobs}; it must be a number of processes, or 0 for one per core")
    if timeout is not None and not timeout > 0:
        raise MitrError(f"--timeout is {timeout}; it must be above 0 s")
    if not (source / "label.csv").is_file():
        raise MitrError(
            f"{source} has no label.csv: mitr extract reads a folder with label.csv (video_id,clip_id,text,label,mode) "
            "and Raw/<video_id>/<clip_id>.mp4; for clips without labels use `mitr predict RUN FILE`"
        )
    check_free(out, "dataset.json", overwrite)
    labelled = read_labelled(source / "label.csv", modes=splits is None, task=task)
    labelled, notes = _chosen(labelled, Path(splits) if splits is not None else None, label_range)
    recipes = config.features.recipes()
    _check_places(recipes)
    check(recipes.values(), config.speech)
    store = Cache(cache)
    store.check()
    readings, broken = _read_all(source, labelled, recipes, config, store, jobs, timeout, quiet)
    if broken and strict:
        count = f"{len(broken)} of {len(labelled.ids)} clips"
        raise MitrError(f"{count} cannot be read, and --strict is set:\n{listed(broken)}")
    if not readings:
        raise MitrError(f"none of the {len(labelled.ids)} clips of {source} can be read:\n{listed(broken)}")
    draft = _draft(labelled, readings, recipes, config.limits, store, broken, notes)
    with new_folder(out, "dataset.json", overwrite) as folder:
        info = DatasetInfo(
            name=name or source.resolve().name,
            label_range=label_range_of(draft, label_range),
            modalities={},
            source=Source(source.resolve().name, "clips", _digest(source / "label.csv", readings)),
        )
        write_draft(draft, folder, info)
        pq.write_table(_clips_table(source, [readings[id_] for id_ in draft.ids], draft.ids), folder / "clips.parquet")
        (folder / "FEATURES.md").write_text(card(recipes), encoding="utf-8")
    store.trim()
    return Extraction(Dataset(out), broken, _missing(readings))


def _chosen(
    labelled: Labelled, splits: Path | None, label_range: tuple[float, float] | None
) -> tuple[Labelled, list[str]]:
    """The rows that `splits` does not leave out, with its splits, and notes on the rest.

    Raises:
        MitrError: the splits or the label range do not fit; raised before hours are spent on reading clips.
    """
    ids, texts = labelled.ids, [""] * len(labelled.ids)
    draft = Draft(
        {}, ids, labelled.splits, labelled.labels, texts, lambda row: {}, labelled.modality_labels, [], labelled.classes
    )
    if splits is not None:
        draft = split_anew(draft, splits)
    notes = list(draft.notes)
    label_range_of(draft, label_range)
    row_of = dict(zip(ids, labelled.rows, strict=True))
    rows = [row_of[id_] for id_ in draft.ids]
    kept = Labelled(rows, draft.ids, draft.splits, draft.labels, draft.modality_labels, labelled.classes)
    return kept, notes


def _check_places(recipes: dict[str, FeatureRecipe]) -> None:
    """Refuse extractors that other processes cannot import."""
    for recipe in recipes.values():
        place = registry.EXTRACTORS.place(recipe.extractor)
        if place.startswith("__main__:"):
            raise MitrError(
                f"the feature extractor {recipe.extractor!r} is at {place!r}, in the script that is running: clips are "
                "read in processes of their own, which cannot import it; put the extractor into a file of its own"
            )


def listed(broken: dict[str, str]) -> str:
    """One line for each broken clip."""
    return "\n".join(f"  {id_}: {reason}" for id_, reason in broken.items())


def read_job(job: ClipJob, folder: Path) -> dict[str, Any]:
    """Read a clip in a process: its features go into the cache, and the rest of its reading is returned."""
    for name, place in job.places.items():
        registry.EXTRACTORS.places.setdefault(name, place)
    cache = Cache(folder)
    words = words_of(job.path, job.text)
    reading = read_clip(job.path, job.recipes, limits=job.limits, cache=cache, transcript=words, speech=job.speech)
    reading.tracks = {}
    return {"status": "ok", "reading": reading}


def _read_all(
    source: Path,
    labelled: Labelled,
    recipes: dict[str, FeatureRecipe],
    config: MediaConfig,
    cache: Cache,
    jobs: int,
    timeout: float | None,
    quiet: bool,
) -> tuple[dict[str, Reading], dict[str, str]]:
    """id -> Reading without tracks, and id -> the reason why the clip could not be read, in the order of the table."""
    places = {recipe.extractor: registry.EXTRACTORS.place(recipe.extractor) for recipe in recipes.values()}
    readings: dict[str, Reading] = {}
    broken: dict[str, str] = {}
    waiting: list[ClipJob] = []
    for id_, row in zip(labelled.ids, labelled.rows, strict=True):
        try:
            path = clip_file(source, row)
            waiting.append(ClipJob(id_, path, row["text"], recipes, places, config.limits, config.speech))
        except MitrError as error:
            broken[id_] = str(error)
    with _progress(len(waiting), quiet) as tick:

        def done(job: ClipJob, facts: dict[str, Any]) -> None:
            if facts["status"] == "ok":
                readings[job.id] = facts["reading"]
            else:
                broken[job.id] = facts["error"]
            tick()

        run_jobs(waiting, cache.folder, jobs or os.cpu_count() or 1, done, read_job, timeout)
    return tuple({id_: part[id_] for id_ in labelled.ids if id_ in part} for part in (readings, broken))  # type: ignore[return-value]


def _draft(
    labelled: Labelled,
    readings: dict[str, Reading],
    recipes: dict[str, FeatureRecipe],
    limits: Limits,
    cache: Cache,
    broken: dict[str, str],
    notes: list[str],
) -> Draft:
    rows = [row for row, id_ in enumerate(labelled.ids) if id_ in readings]
    ids = [labelled.ids[row] for row in rows]
    notes = list(notes)
    if broken:
        few = ", ".join(list(broken)[:FEW]) + (", ..." if len(broken) > FEW else "")
        notes.append(f"{len(broken)} of {len(labelled.ids)} clips could not be read and were left out: {few}")
    extractors = {m: registry.extractor_of(recipe.extractor) for m, recipe in recipes.items()}
    notes += [f"{m}: {extractor.licence}" for m, extractor in extractors.items() if extractor.licence]
    modalities = {}
    if any(readings[id_].transcript for id_ in ids):
        modalities["text"] = Modality("raw")
    else:
        notes.append("text is absent from every clip")
    for m, recipe in recipes.items():
        if all(m in readings[id_].absent for id_ in ids):
            notes.append(f"{m} is absent from every clip")
        modalities[m] = Modality("features", len(extractors[m].columns), extractor=recipe.to_json())

    def steps(row: int) -> dict[str, RawSteps]:
        reading = readings[ids[row]]
        tracks = tracks_of(reading, recipes, limits=limits, cache=cache)
        return {m: RawSteps(track.values, len(track.values)) for m, track in tracks.items()}

    return Draft(
        {m: modalities[m] for m in MODALITIES if m in modalities},
        ids,
        [labelled.splits[row] for row in rows],
        [labelled.labels[row] for row in rows],
        [readings[id_].text for id_ in ids],
        steps,
        {m: [labels[row] for row in rows] for m, labels in labelled.modality_labels.items()},
        notes,
        labelled.classes,
    )


def _digest(table: Path, readings: dict[str, Reading]) -> str:
    lines = [f"{sha256(table)}  label.csv", *(f"{reading.sha256}  {id_}" for id_, reading in readings.items())]
    lines += [hashlib.sha256(reading.text.encode()).hexdigest() for reading in readings.values()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _clips_table(source: Path, readings: Sequence[Reading], ids: Sequence[str]) -> pa.Table:
    """One row a sample: the file, its length, missing stretches with reasons, and the times of its words."""

    def timings(transcript: Transcript | None, part: str) -> str:
        return json.dumps([list(entry) for entry in getattr(transcript, part, ())], ensure_ascii=False)

    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "file": pa.array([r.path.relative_to(source).as_posix() for r in readings], pa.string()),
            "sha256": pa.array([r.sha256 for r in readings], pa.string()),
            "seconds": pa.array([round(r.seconds, 3) for r in readings], pa.float64()),
            "missing": pa.array([json.dumps(r.missing()) for r in readings], pa.string()),
            "notes": pa.array([json.dumps(r.notes, ensure_ascii=False) for r in readings], pa.string()),
            "text_source": pa.array([r.transcript.source if r.transcript else None for r in readings], pa.string()),
            "words": pa.array([timings(r.transcript, "words") for r in readings], pa.string()),
            "cues": pa.array([timings(r.transcript, "cues") for r in readings], pa.string()),
        }
    )


def _missing(readings: dict[str, Reading]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for reading in readings.values():
        for m, spans in reading.missing().items():
            for reason in {span.reason for span in spans}:
                reasons = counts.setdefault(m, {})
                reasons[reason] = reasons.get(reason, 0) + 1
    return {m: dict(sorted(reasons.items())) for m, reasons in counts.items()}


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = [TextColumn("reading clips"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
