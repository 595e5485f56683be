"""What importing the package loads, and which names are public."""

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import captum_cluster

ROOT = Path(__file__).resolve().parents[1]
HOSTS = ["captum", "pytorch_grad_cam"]
HEAVY = ["torch", "torchvision", "matplotlib", "lightning", "sklearn", "scipy", "PIL", "tqdm"]

# The public names, on purpose a second time: a change here is a change for users.
PUBLIC = {
    "captum_cluster": [
        "AblationCAM",
        "CAM",
        "CamResult",
        "ClusterCAM",
        "CollectionCAM",
        "LayerAblationCam",
        "LayerClassActivationMap",
        "LayerClusterCam",
        "LayerCollectionCam",
        "LayerMinMaxCam",
        "LayerMinMaxGradCam",
        "LayerMultiBranchCam",
        "LayerMultiLevelCam",
        "LayerRise",
        "LayerScoreCam",
        "LayerSubCategoryCam",
        "MinMaxCAM",
        "MinMaxGradCAM",
        "MinMaxTarget",
        "MultiBranchCAM",
        "MultiLevelCAM",
        "MultiScale",
        "MultiScaleCAM",
        "RISE",
        "ScoreCAM",
        "SubCategoryCAM",
        "TokensToMaps",
        "__version__",
        "channels_last_to_maps",
        "compare",
        "evaluate",
        "explain",
        "find_layer",
        "find_reshape_transform",
    ],
    "captum_cluster.attr": [
        "LayerAblationCam",
        "LayerClassActivationMap",
        "LayerClusterCam",
        "LayerCollectionCam",
        "LayerMinMaxCam",
        "LayerMinMaxGradCam",
        "LayerMultiBranchCam",
        "LayerMultiLevelCam",
        "LayerRise",
        "LayerScoreCam",
        "LayerSubCategoryCam",
        "MultiScale",
    ],
    "captum_cluster.grad_cam": [
        "AblationCAM",
        "CAM",
        "ClusterCAM",
        "CollectionCAM",
        "MinMaxCAM",
        "MinMaxGradCAM",
        "MinMaxTarget",
        "MultiBranchCAM",
        "MultiLevelCAM",
        "MultiScaleCAM",
        "RISE",
        "ScoreCAM",
        "SubCategoryCAM",
    ],
    "captum_cluster.functional.metrics": [
        "ObjectMatch",
        "Sums",
        "above_threshold",
        "area_compute",
        "area_update",
        "average_drop",
        "average_drop_compute",
        "average_drop_update",
        "average_increase",
        "background_sweep_update",
        "best_object",
        "best_overlap_compute",
        "best_overlaps",
        "best_threshold",
        "box_iou",
        "box_region",
        "class_f_score",
        "class_iou",
        "clip_boxes",
        "corloc",
        "corloc_compute",
        "curves_of",
        "deletion_insertion",
        "energy_compute",
        "energy_inside",
        "energy_update",
        "increase_compute",
        "increase_update",
        "intersection_over_union",
        "label_maps",
        "largest_component",
        "localization_compute",
        "localization_errors",
        "localization_update",
        "mean_iou_compute",
        "multi_label_confidence_compute",
        "multi_label_confidence_update",
        "object_iou_compute",
        "object_iou_update",
        "object_precision_compute",
        "object_precision_update",
        "object_recall_compute",
        "object_recall_update",
        "overall_compute",
        "overall_update",
        "perturb",
        "perturbation_area",
        "perturbation_plan",
        "perturbation_steps",
        "pixel_f_score_compute",
        "pointing_compute",
        "pointing_hits",
        "pointing_update",
        "proposal_recall",
        "proposal_recall_compute",
        "proposals_update",
        "saliency_ranks",
        "segmentation_update",
        "spearman",
        "ssim",
        "tight_box",
    ],
    "captum_cluster.metrics": [
        "AverageDrop",
        "BestOverlap",
        "CorLoc",
        "Deletion",
        "EnergyProportion",
        "IncreaseInConfidence",
        "Insertion",
        "LocalizationError",
        "MeanIoU",
        "MultiLabelConfidence",
        "ObjectIoU",
        "ObjectPrecision",
        "ObjectRecall",
        "Overall",
        "PixelFScore",
        "PointingGame",
        "ProposalRecall",
    ],
    "captum_cluster.metrics.adapters": [
        "TorchcamExtractor",
        "as_cams",
        "as_input_attributions",
        "explanation_func",
        "maps_of",
        "quantus_explain_func",
    ],
    "captum_cluster.data": [
        "CocoScenes",
        "Cub200",
        "DigitScenes",
        "Grids",
        "ImageFolder",
        "ImageNetBoxes",
        "MaskFolder",
        "PictureFile",
        "Preparation",
        "SbdScenes",
        "Scene",
        "SceneDataset",
        "TaggedFolder",
        "VocScenes",
        "as_rgb",
        "clip_boxes",
        "collate_scenes",
        "imagenet_names",
        "load_image",
        "load_index_mask",
        "open_dataset",
    ],
    "captum_cluster.training": [
        "AffinityNet",
        "Augmentation",
        "ClassHierarchy",
        "EpochSeed",
        "FixedStatistics",
        "GapClassifier",
        "HeadFirst",
        "IndexedDataset",
        "KernelUsageConv2d",
        "KernelUsageLinear",
        "LitAffinity",
        "LitCamClassifier",
        "LitSegmentation",
        "LitTwoBranch",
        "MaskData",
        "MultiLevelNetwork",
        "PRESETS",
        "RestoreBest",
        "SceneData",
        "SegmentationNetwork",
        "SubCategoryDiscovery",
        "SubCategoryHead",
        "TrainingSettings",
        "TwoBranch",
        "add_sub_category_head",
        "gap_classifier",
        "kernel_usage_weight",
        "orthogonality_loss",
        "preset",
        "segmentation_network",
        "sub_category_loss",
    ],
    "captum_cluster.functional.training": [
        "group_classes",
        "group_labels",
        "group_rows",
        "kernel_usage_weight",
        "label_correlation",
        "negative_shares",
        "orthogonality_loss",
        "shared_kernels",
        "sub_category_assignments",
        "sub_category_labels",
        "sub_category_loss",
        "sub_category_maximum",
    ],
    "captum_cluster.functional.weak": [
        "PairSets",
        "PermutohedralLattice",
        "Regions",
        "affinity_labels",
        "affinity_loss",
        "affinity_terms",
        "background_scores",
        "confident_labels",
        "contains_pixel",
        "crop_boxes",
        "dense_crf",
        "describe_regions",
        "foreground_scores",
        "group_regions",
        "image_features",
        "joined_features",
        "labels_on_grid",
        "layer_features",
        "normalized_filter",
        "on_grid",
        "pair_affinities",
        "peaks",
        "permutohedral_lattice",
        "pixel_affinities",
        "pixel_boxes",
        "pixel_pairs",
        "random_walk",
        "run_lengths",
        "run_text",
        "score_labels",
        "transition",
        "unique_boxes",
        "voc_palette",
        "with_background",
    ],
    "captum_cluster.weak": [
        "CocoImage",
        "DenseCRF",
        "Proposal",
        "PseudoMasks",
        "RandomWalk",
        "Refinement",
        "ScoreCrops",
        "background_counts",
        "best_background",
        "boxes_of",
        "candidate_boxes",
        "classifier_scores",
        "coco_dataset",
        "coco_results",
        "component_boxes",
        "crf",
        "object_proposals",
        "pseudo_masks",
        "save_coco",
        "save_palette_png",
    ],
    "captum_cluster.evaluation.recipes": [
        "RECIPES",
        "SegmentationReport",
        "SegmentationRun",
        "Sources",
        "TrainingConfig",
        "TrainingReport",
        "TrainingRun",
        "load_network",
        "open_sources",
        "run_training",
        "train",
    ],
    "captum_cluster.evaluation": [
        "Ablation",
        "CamImageCallback",
        "CamMetricsCallback",
        "Comparison",
        "DemoReport",
        "Explanation",
        "LoadedModel",
        "METRICS",
        "MaskRun",
        "MasksConfig",
        "Method",
        "ProposalRun",
        "ProposalsConfig",
        "Report",
        "RunConfig",
        "STUDIES",
        "SanityCheck",
        "SweepRun",
        "WrittenMasks",
        "build_report",
        "check_directory",
        "check_method",
        "compare",
        "evaluate",
        "explain",
        "find_images",
        "kernel_usage_statistics",
        "load_model",
        "make_masks",
        "make_proposals",
        "method_names",
        "methods",
        "read_masks",
        "run_ablation",
        "run_demo",
        "sanity_check",
    ],
    "captum_cluster.methods": [
        "ABLATION_CAM",
        "Ablate",
        "Ablated",
        "AblationCamConfig",
        "AblationCamResult",
        "Ablator",
        "WholePass",
        "ablation_cam",
        "Algorithm",
        "CAM",
        "CLUSTER_CAM",
        "COLLECTION_CAM",
        "CamConfig",
        "ClusterCamConfig",
        "ClusterCamResult",
        "CollectionCamConfig",
        "CollectionCamResult",
        "LayerCollections",
        "Level",
        "MINMAX_CAM",
        "MINMAX_GRAD_CAM",
        "MULTI_BRANCH_CAM",
        "MULTI_LEVEL_CAM",
        "MapsAndGradients",
        "MinMaxCamConfig",
        "MinMaxGradCamConfig",
        "MinMaxResult",
        "ModelCompiler",
        "MultiBranchCamConfig",
        "MultiBranchCamResult",
        "MultiLevelCamConfig",
        "MultiLevelCamResult",
        "NetworkLayers",
        "Networks",
        "PassOptions",
        "RISE",
        "RiseConfig",
        "SCORE_CAM",
        "SUB_CATEGORY_CAM",
        "ScoreCamConfig",
        "SubCategoryCamConfig",
        "SubCategoryCamResult",
        "cam",
        "check_baselines",
        "check_grid",
        "check_finite_outputs",
        "check_groups_of",
        "check_images",
        "check_labels",
        "check_level",
        "check_outputs",
        "check_pictures",
        "closed_form_weight",
        "cluster_cam",
        "collection_cam",
        "feature_gradients",
        "feature_maps",
        "find_classifier",
        "find_layer",
        "find_layers",
        "find_reshape_transform",
        "find_sub_category_head",
        "form_explained",
        "hastened",
        "minmax_cam",
        "minmax_grad_cam",
        "multi_branch_cam",
        "multi_level_cam",
        "networks_of",
        "option_parameters",
        "own_layers",
        "rise",
        "score_cam",
        "shared_transform",
        "split_networks",
        "split_options",
        "stages",
        "sub_category_cam",
        "sub_category_weight",
        "weighted_outputs",
        "with_options",
    ],
}


def loaded_by(statement, names):
    """Return which of some packages a statement loads in a fresh interpreter."""
    report = f"print(json.dumps([name for name in {names!r} if name in sys.modules]))"
    code = f"{statement}\nimport json, sys\n{report}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_package_alone_loads_nothing():
    assert loaded_by("import captum_cluster", HOSTS + HEAVY) == []


def test_the_captum_face_loads_what_captum_loads_and_no_more():
    by_captum = loaded_by("import captum.attr", HOSTS + HEAVY)
    ours = loaded_by("from captum_cluster import LayerClusterCam", HOSTS + HEAVY)
    assert "captum" in ours
    assert "pytorch_grad_cam" not in ours
    assert "sklearn" not in ours
    assert set(ours) <= {*by_captum, "torch", "tqdm"}


def test_the_grad_cam_face_loads_no_captum():
    ours = loaded_by("from captum_cluster import ClusterCAM", HOSTS)
    assert ours == ["pytorch_grad_cam"]


def test_the_methods_load_neither_host_nor_scikit_learn():
    names = [*HOSTS, "sklearn", "matplotlib", "lightning"]
    assert loaded_by("import captum_cluster.methods", names) == []
    assert loaded_by("import captum_cluster.functional.attribution", names) == []


@pytest.mark.parametrize("name", sorted(captum_cluster.__all__))
def test_every_public_name_resolves(name):
    assert getattr(captum_cluster, name) is not None
    assert name in dir(captum_cluster)


def test_names_come_from_where_they_live():
    from captum_cluster import LayerClusterCam, ScoreCAM
    from captum_cluster.attr import LayerClusterCam as FromAttr
    from captum_cluster.grad_cam import ScoreCAM as FromGradCam

    assert LayerClusterCam is FromAttr
    assert ScoreCAM is FromGradCam


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'captum_cluster' has no attribute 'Nothing'"):
        _ = captum_cluster.Nothing
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        from captum_cluster import Nothing  # noqa: F401


@pytest.mark.parametrize("module", sorted(PUBLIC))
def test_the_list_of_public_names(module):
    found = importlib.import_module(module)
    assert sorted(found.__all__) == sorted(PUBLIC[module])
    for name in found.__all__:
        value = getattr(found, name)
        assert not inspect.ismodule(value)


def test_the_version_is_that_of_the_installed_or_declared_package():
    text = (ROOT / "pyproject.toml").read_text()
    assert f'version = "{captum_cluster.__version__}"' in text or "dynamic" in text
