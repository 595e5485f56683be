"""Where models, methods, images and measurements meet."""

from captum_cluster.evaluation.ablation import STUDIES, Ablation, find_images, run_ablation
from captum_cluster.evaluation.comparison import Comparison, compare
from captum_cluster.evaluation.demo import DemoReport, run_demo
from captum_cluster.evaluation.explanation import Explanation, explain
from captum_cluster.evaluation.models import LoadedModel, load_model
from captum_cluster.evaluation.output import check_directory
from captum_cluster.evaluation.registry import Method, check_method, method_names, methods

__all__ = [
    "STUDIES",
    "Ablation",
    "Comparison",
    "DemoReport",
    "Explanation",
    "LoadedModel",
    "Method",
    "check_directory",
    "check_method",
    "compare",
    "explain",
    "find_images",
    "load_model",
    "method_names",
    "methods",
    "run_ablation",
    "run_demo",
]
