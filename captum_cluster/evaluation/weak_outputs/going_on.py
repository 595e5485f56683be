"""A run that can be broken off at any time, and goes on where it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from captum_cluster.evaluation.config_file import CONFIG_NAME, FileConfig
from captum_cluster.evaluation.running.fingerprint import RUN_NAME, enter, saved_facts
from captum_cluster.evaluation.running.records import Records, read_records
from captum_cluster.evaluation.weak_outputs.numbering import TABLE
from captum_cluster.evaluation.weak_outputs.work import Done, Made, Task
from captum_cluster.hooks import untouched


def work_through(task: Task[Made], *, progress: bool, config: FileConfig | None = None) -> Made:
    """Do a task with all images of its run that are not done yet, and return what was made of all.

    What failed before is tried again: a file may have been mended. So is what was made of a picture
    that is another one now, and what lies in a file that is damaged. What was made of pictures that
    are gone is removed at the end.

    Args:
        task: What is done.
        progress: Show a bar.
        config: Written beside the results before the first of them, once it is sure that the
            directory is this run's.

    Raises:
        ValueError: The directory holds another run that has made something; the message says
            what differs.
        OSError: It cannot be written to.
    """
    directory, explaining = task.directory, task.explaining
    directory.mkdir(parents=True, exist_ok=True)
    _take(directory, {"results": task.kind, **explaining.facts(), **task.options()})
    with Records(directory) as records, untouched(explaining.model):
        done, worked = _recalled(task)
        if config is not None:
            config.save(directory)
        task.begin()
        owed = [position for position in explaining.positions if position not in done]
        maker = explaining.maker(worked=worked)
        bar = tqdm(
            owed,
            initial=len(explaining.positions) - len(owed),
            total=len(explaining.positions),
            unit="image",
            disable=not progress,
        )
        for position in bar:
            records.append(task.record(position, maker))
    return task.finish(_done(task))


def _take(directory: Path, facts: Mapping[str, Any]) -> None:
    """Take a directory for a run, also from another one of this kind that has made nothing."""
    try:
        enter(directory, facts)
    except ValueError:
        if not _made_nothing(directory):
            raise
        with Records(directory) as records:  # nobody else writes there
            records.clear()
            for name in (CONFIG_NAME, TABLE, RUN_NAME):
                (directory / name).unlink(missing_ok=True)
            enter(directory, facts)


def _made_nothing(directory: Path) -> bool:
    """Return whether a directory holds a run of this kind without a single result."""
    try:
        ours = "results" in saved_facts(directory)
    except (OSError, ValueError):
        return False
    return ours and all("error" in record for record in read_records(directory))


def _recalled(task: Task[Made]) -> tuple[set[int], bool]:
    """Return the images that are done, and whether the method has worked for one."""
    latest, worked = _latest(task), False
    for record in read_records(task.directory):
        if "error" not in record:
            task.recall(record)
            worked = worked or bool(record["targets"])
    done = {position for position, record in latest.items() if task.stands(position, record)}
    for position in done:
        task.claim(latest[position]["name"], position)
    return done, worked


def _latest(task: Task[Made]) -> dict[int, dict[str, Any]]:
    """Return of each image of the run the latest record, with the place where the image is now."""
    latest: dict[int, dict[str, Any]] = {}
    place_of = task.explaining.places()
    for record in read_records(task.directory):
        position = place_of(record)
        if position is not None:
            latest[position] = {**record, "image": position}
    return dict(sorted(latest.items()))


def _done(task: Task[Made]) -> Done:
    """Return the latest records; results that are of no image any more are removed."""
    latest = _latest(task).values()
    failed = [f"{one['name']}: {one['error']}" for one in latest if "error" in one]
    found = [one for one in latest if "error" not in one]
    made = {one["name"] for one in read_records(task.directory) if "error" not in one}
    for name in sorted(made - {one["name"] for one in found}):
        task.forget(name)
    return Done(found, tuple(failed))
