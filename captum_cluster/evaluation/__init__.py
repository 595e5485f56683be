"""Where models, methods, images and measurements meet."""

from captum_cluster.evaluation.comparison import Comparison, compare
from captum_cluster.evaluation.demo import DemoReport, run_demo
from captum_cluster.evaluation.explanation import Explanation, explain
from captum_cluster.evaluation.models import LoadedModel, load_model
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.registry import check_method, method_names

__all__ = [
    "Comparison",
    "DemoReport",
    "Explanation",
    "LoadedModel",
    "check_directory",
    "check_method",
    "compare",
    "explain",
    "load_model",
    "method_names",
    "run_demo",
]
