"""From the records of a run to its report: numbers, table, charts, page."""

from captum_cluster.evaluation.reporting.report import Report, build_report

__all__ = ["Report", "build_report"]
