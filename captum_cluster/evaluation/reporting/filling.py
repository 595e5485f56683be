"""Pages from templates, in which everything is text unless it says otherwise."""

from __future__ import annotations

from typing import Any

import jinja2


def filled(template: str, **values: Any) -> str:
    """Return a page: a template of the reports with values put in.

    Raises:
        jinja2.UndefinedError: The template names a value that is not given.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("captum_cluster.evaluation.reporting"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**values)
