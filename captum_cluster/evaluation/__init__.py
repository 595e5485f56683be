"""Where models, methods, images and measurements meet."""

from captum_cluster.evaluation.ablation import STUDIES, Ablation, find_images, run_ablation
from captum_cluster.evaluation.comparison import Comparison, compare
from captum_cluster.evaluation.demo import DemoReport, run_demo
from captum_cluster.evaluation.explanation import Explanation, explain
from captum_cluster.evaluation.models import LoadedModel, load_model
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.registry import Method, check_method, method_names, methods
from captum_cluster.evaluation.reporting import Report, build_report
from captum_cluster.evaluation.run_config import RunConfig
from captum_cluster.evaluation.runner import evaluate
from captum_cluster.evaluation.running.measures import METRICS
from captum_cluster.evaluation.sanity_check import SanityCheck, sanity_check

__all__ = [
    "METRICS",
    "STUDIES",
    "Ablation",
    "Comparison",
    "DemoReport",
    "Explanation",
    "LoadedModel",
    "Method",
    "Report",
    "RunConfig",
    "SanityCheck",
    "build_report",
    "check_directory",
    "check_method",
    "compare",
    "evaluate",
    "explain",
    "find_images",
    "load_model",
    "method_names",
    "methods",
    "run_ablation",
    "run_demo",
    "sanity_check",
]
