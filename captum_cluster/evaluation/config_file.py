"""Configurations as YAML files: what ``RunConfig`` and ``TrainingConfig`` have in common."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from captum_cluster._checks import describe, expected
from captum_cluster.evaluation.output import staged

if TYPE_CHECKING:
    from typing_extensions import Self

CONFIG_NAME = "config.yaml"


class FileConfig:
    """Base of a dataclass of words and numbers that is read from a file and written to one."""

    needed: ClassVar[str | None]
    """The key that has no default; None where all have one."""

    @classmethod
    def from_mapping(cls, given: Any) -> Self:
        """Return the config that a mapping describes.

        Raises:
            TypeError: It is no mapping.
            ValueError: It has an unknown key, or is without the one that has no default.
        """
        if not isinstance(given, Mapping):
            raise TypeError(expected("the configuration", "a mapping", describe(given)))
        known = [one.name for one in dataclasses.fields(cls)]  # type: ignore[arg-type]
        unknown = [key for key in given if key not in known]
        if unknown or (cls.needed is not None and cls.needed not in given):
            got = f"the unknown key {unknown[0]!r}" if unknown else f"no {cls.needed!r}"
            raise ValueError(expected("the configuration", f"made of {', '.join(known)}", got))
        return cls(**given)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Return the config in a YAML file.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is no YAML, or as for ``from_mapping``.
            TypeError: As for ``from_mapping``.
        """
        try:
            given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(expected(str(path), "YAML", reason)) from error
        return cls.from_mapping(given)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Write ``config.yaml``, which ``load`` reads."""
        with staged(directory) as stage:
            text = yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)
            (stage / CONFIG_NAME).write_text(text, encoding="utf-8")

    def to_dict(self) -> dict[str, Any]:
        """Return the values by name, tuples as lists."""
        found: dict[str, Any] = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {name: list(one) if isinstance(one, tuple) else one for name, one in found.items()}
