"""The pytorch-grad-cam face: ``BaseCAM`` classes."""

from captum_cluster.grad_cam.cluster_cam import ClusterCAM
from captum_cluster.grad_cam.rise import RISE
from captum_cluster.grad_cam.score_cam import ScoreCAM

__all__ = ["RISE", "ClusterCAM", "ScoreCAM"]
