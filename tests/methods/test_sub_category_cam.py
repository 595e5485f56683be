"""Sub-category CAM: the second derivation, numbers from paper, where the head is found."""

import pytest
import torch
from torch import nn

from captum_cluster._checks import LayerError, TargetError
from captum_cluster.attr import LayerClassActivationMap, LayerSubCategoryCam
from captum_cluster.grad_cam import SubCategoryCAM
from captum_cluster.hooks import count_forwards
from captum_cluster.methods import (
    SUB_CATEGORY_CAM,
    SubCategoryCamConfig,
    find_sub_category_head,
    sub_category_cam,
    sub_category_weight,
)
from captum_cluster.training import GapClassifier, SubCategoryHead
from tests.helpers import minmax_references, nets
from tests.helpers import sub_category_references as ref
from tests.helpers.method_cases import assert_close, maps_of

IMAGES = nets.images(2, 3, (9, 12))
L, K = 5, 4


def head_of(channels=12, labels=L, number=K, **options):
    head = SubCategoryHead(channels, labels, number, dtype=torch.float64, **options)
    head.reset(3)
    return head


def the_net(**options):
    net = nets.SmallNet().double().eval()
    net.sub_category_head = head_of(**options)
    return net


@pytest.mark.parametrize("options", [{}, {"kernel_usage": True}, {"bias": False}], ids=str)
@pytest.mark.parametrize("layer", ["relu2", "conv2"])
def test_every_label(layer, options):
    net = the_net(**options)
    layer = getattr(net, layer)
    result = LayerSubCategoryCam(net, layer).explain(IMAGES, [1, 0, -1])
    weight = net.sub_category_head.weight
    if options.get("kernel_usage"):
        weight = minmax_references.kernel_usage(weight)
    assert result.method == "sub-category-cam"
    assert result.weights is None
    for n, maps in enumerate(maps_of(net, layer, IMAGES)):
        for t, target in enumerate([1, 0, L - 1]):
            assert_close(result.maps[n, t], ref.sub_category_cam(maps, weight, target, K))
    assert result.parts.shape == (2, 3, K, *result.maps.shape[2:])
    assert torch.equal(result.parts.amax(dim=2), result.maps)
    assert result.parts.amin() >= 0


def test_hand_worked_maps():
    net = nets.HandNet().double().eval()
    rows = torch.tensor([[1, 0, 0, 0], [0, 0, 0, 0.5], [-1, 0, 0, 0], [0, 0.25, 0, -1.0]])
    head = nn.Linear(4, 4, bias=False).double()
    head.weight = nn.Parameter(rows.double())
    image = nets.HandNet.image()
    found = LayerSubCategoryCam(net, net.relu, head=head).attribute_targets(image, [0, 1])
    # A_0 and A_3 / 2; -A_0, of which nothing is left, and A_1 / 4 - A_3.
    assert_close(found[0], [[[4, 2], [0, 8]], [[1, 0.5], [0, 0]]])


def test_the_function_itself():
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    weight = torch.tensor([[[2.0, 0.0], [0.0, 1.0]], [[1.0, -2.0], [-1.0, 0.0]]])
    result = sub_category_cam(maps, weight, torch.tensor([[1, 0]]), SubCategoryCamConfig())
    assert result.maps.tolist() == [[[[0.0, 4.0]], [[3.0, 4.0]]]]
    assert result.parts.tolist() == [[[[[0, 4]], [[0, 0]]], [[[2, 4]], [[3, 0]]]]]


def test_one_sub_category_with_the_rows_of_the_labels_is_cam_after_the_relu():
    net = nets.SmallNet().double().eval()
    found = LayerSubCategoryCam(net, net.relu2, head=net.fc).attribute(IMAGES, [2, 3])
    expected = LayerClassActivationMap(net, net.relu2).attribute(IMAGES, [2, 3])
    assert expected.amin() < 0
    assert_close(found, expected.relu())


def test_one_forward_and_no_backward_pass():
    net = the_net()
    with count_forwards(net) as count, torch.inference_mode():
        found = LayerSubCategoryCam(net, net.relu2).attribute_targets(IMAGES, [0, 1, 2])
    assert count.images == 2
    assert not found.requires_grad


def test_a_model_with_a_single_output():
    net = nets.ScalarNet().double().eval()
    net.sub_category_head = head_of(6, 1)
    found = LayerSubCategoryCam(net, net.relu).attribute(IMAGES, None)
    for n, maps in enumerate(maps_of(net, net.relu, IMAGES)):
        assert_close(found[n, 0], ref.sub_category_cam(maps, net.sub_category_head.weight, 0, K))


def test_algorithm():
    assert SUB_CATEGORY_CAM.id == "sub-category-cam"
    assert not SUB_CATEGORY_CAM.gradient
    assert not SUB_CATEGORY_CAM.contrasts_labels
    assert not SUB_CATEGORY_CAM.linear


# Where the head is found


class Delegating(nn.Module):
    """Hands on the head of another module, which is no module of it."""

    def __init__(self, other):
        super().__init__()
        self.hidden = [other]

    @property
    def sub_category_head(self):
        return self.hidden[0].sub_category_head


class Levels(nn.Module):
    """Of several networks the first gives the outputs."""

    def __init__(self, *networks):
        super().__init__()
        self.networks = nn.ModuleList(reversed(networks))[::-1]
        self.groups = [torch.zeros(L, dtype=torch.long)] * (len(networks) - 1)


def test_where_the_head_is_found():
    net, other = the_net(), the_net()
    head = net.sub_category_head
    for model in (net, net.forward, nets.Wrapped(net), nn.DataParallel(net), Delegating(net)):
        assert find_sub_category_head(model) is head
    assert find_sub_category_head(Levels(net, other)) is head
    assert find_sub_category_head(net, other.sub_category_head) is other.sub_category_head
    assert find_sub_category_head(lambda x: net(x), head) is head


def test_a_head_elsewhere_is_taken_in_both_faces():
    net, plain = the_net(), nets.SmallNet().double().eval()
    head = net.sub_category_head
    expected = LayerSubCategoryCam(net, net.relu2).attribute(IMAGES, 1)
    function = LayerSubCategoryCam(lambda x: plain(x), plain.relu2, head=head)
    assert torch.equal(function.attribute(IMAGES, 1), expected)
    cam = SubCategoryCAM(plain, [plain.relu2], head=head)
    cam(IMAGES, cam_targets(1))
    assert torch.equal(cam.results[0].maps, expected)


def cam_targets(label):
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    return [ClassifierOutputTarget(label)] * len(IMAGES)


def test_a_model_without_the_head():
    net = nets.SmallNet()
    for build in (
        lambda: LayerSubCategoryCam(net, net.relu2),
        lambda: SubCategoryCAM(net, [net.relu2]),
    ):
        with pytest.raises(LayerError) as caught:
            build()
        assert str(caught.value) == (
            "Expected the model to hold sub_category_head, a module with a weight (L*K,C), but got "
            "a SmallNet without. Pass head= if another module is the head; SubCategoryDiscovery "
            "gives it to the LightningModule, not to the network inside."
        )
    with pytest.raises(LayerError, match="^Expected head to be given for a function that hides"):
        LayerSubCategoryCam(lambda x: net(x), net.relu2)


@pytest.mark.parametrize("wrong", [nn.ReLU(), nn.BatchNorm2d(3), "head", torch.zeros(15, 12)])
def test_a_head_of_a_wrong_type(wrong):
    net = the_net()
    with pytest.raises(TypeError, match=r"^Expected head to be a module with a weight \(L\*K,C\)"):
        LayerSubCategoryCam(net, net.relu2, head=wrong)
    with pytest.raises(TypeError, match=r"^Expected head to be a module with a weight \(L\*K,C\)"):
        SubCategoryCAM(net, [net.relu2], head=wrong)


# What does not fit


def test_a_layer_of_another_number_of_maps():
    net = the_net()
    message = "^Expected layer to be one whose 12 maps the head of the .* takes, but got one of 8 m"
    with pytest.raises(LayerError, match=message):
        LayerSubCategoryCam(net, net.relu1).attribute(IMAGES, 0)
    with pytest.raises(LayerError, match=message):
        SubCategoryCAM(net, [net.relu1])(IMAGES, cam_targets(0))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (head_of(labels=4), "4 rows for each of the model's 5 labels, but got 16 rows"),
        (nn.Linear(12, 13), "2 rows for each of the model's 5 labels, but got 13 rows"),
        (nn.Linear(12, 3), "1 rows for each of the model's 5 labels, but got 3 rows"),
    ],
    ids=["labels", "remainder", "few"],
)
def test_a_head_of_other_labels(head, message):
    net = nets.SmallNet().double().eval()
    with pytest.raises(LayerError) as caught:
        LayerSubCategoryCam(net, net.relu2, head=head).attribute(IMAGES, 0)
    assert str(caught.value).startswith(
        "Expected the head of the sub-categories to have " + message
    )


def test_outputs_of_more_dimensions():
    with pytest.raises(LayerError, match="head of the sub-categories to have"):
        sub_category_weight(head_of(), torch.zeros(1, 12, 2, 2), torch.zeros(1, L, 3))


def test_a_head_without_its_number_has_the_rows_of_each_label():
    head, maps = nn.Linear(12, 15), torch.zeros(1, 12, 2, 2)
    found = sub_category_weight(head, maps, torch.zeros(1, L))
    assert torch.equal(found, head.weight.detach().reshape(L, 3, 12))
    assert not found.requires_grad
    convolution = nn.Conv2d(12, 15, 1)
    assert sub_category_weight(convolution, maps.double(), torch.zeros(1, L)).dtype == torch.float64


def test_a_callable_is_no_class():
    net = the_net()
    with pytest.raises(TargetError, match="^Expected target to be a class index, but got a call"):
        LayerSubCategoryCam(net, net.relu2).attribute(IMAGES, lambda output: output[0])


def test_the_classifier_of_the_package_keeps_its_cam():
    body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
    net = GapClassifier(body, nn.Linear(6, L)).double().eval()
    before = LayerClassActivationMap(net, net.body).attribute(IMAGES, 1)
    net.sub_category_head = head_of(6)
    assert torch.equal(LayerClassActivationMap(net, net.body).attribute(IMAGES, 1), before)
    found = LayerSubCategoryCam(net, net.body).attribute(IMAGES, 1)
    for n, maps in enumerate(maps_of(net, net.body, IMAGES)):
        assert_close(found[n, 0], ref.sub_category_cam(maps, net.sub_category_head.weight, 1, K))
