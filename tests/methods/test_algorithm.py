"""What both faces need of a method: its options in signatures, and one check of them."""

import dataclasses
import inspect
import pickle

import pytest

from captum_cluster.methods import (
    ABLATION_CAM,
    CAM,
    CLUSTER_CAM,
    COLLECTION_CAM,
    MINMAX_CAM,
    MINMAX_GRAD_CAM,
    RISE,
    SCORE_CAM,
    AblationCamConfig,
    Algorithm,
    CamConfig,
    ClusterCamConfig,
    CollectionCamConfig,
    MinMaxCamConfig,
    MinMaxGradCamConfig,
    RiseConfig,
    ScoreCamConfig,
    ablation_cam,
    cam,
    cluster_cam,
    collection_cam,
    minmax_cam,
    minmax_grad_cam,
    option_parameters,
    rise,
    score_cam,
    with_options,
)


@dataclasses.dataclass(frozen=True)
class Options:
    alpha: float = 0.5
    name: str = "one"


@dataclasses.dataclass(frozen=True)
class MoreOptions:
    rows: int | None = None


def run(maps, score, config):
    """Stands for a method."""
    return maps, score, config


TOY = Algorithm("toy", Options, run, "1")


def test_configure():
    assert TOY.configure({}) == Options()
    assert TOY.configure({"name": "two"}) == Options(name="two")


def test_configure_refuses_other_options():
    with pytest.raises(TypeError) as raised:
        TOY.configure({"alpha": 1.0, "beta": 2.0})
    assert str(raised.value) == (
        "Expected the options of toy to be among alpha, name, but got 'beta'."
    )


@pytest.mark.parametrize(
    ("algorithm", "identifier", "config", "function", "facts"),
    [  # linear, gradient, contrasts labels, several layers
        (CLUSTER_CAM, "cluster-cam", ClusterCamConfig, cluster_cam, (True, False, False, False)),
        (
            COLLECTION_CAM,
            "collection-cam",
            CollectionCamConfig,
            collection_cam,
            (False, True, False, True),
        ),
        (
            MINMAX_GRAD_CAM,
            "minmax-grad-cam",
            MinMaxGradCamConfig,
            minmax_grad_cam,
            (True, True, True, False),
        ),
        (MINMAX_CAM, "minmax-cam", MinMaxCamConfig, minmax_cam, (True, False, True, False)),
        (CAM, "cam", CamConfig, cam, (True, False, False, False)),
        (SCORE_CAM, "score-cam", ScoreCamConfig, score_cam, (True, False, False, False)),
        (
            ABLATION_CAM,
            "ablation-cam",
            AblationCamConfig,
            ablation_cam,
            (True, False, False, False),
        ),
        (RISE, "rise", RiseConfig, rise, (False, False, False, False)),
    ],
)
def test_the_methods(algorithm, identifier, config, function, facts):
    assert (algorithm.id, algorithm.config, algorithm.run) == (identifier, config, function)
    found = dataclasses.astuple(algorithm)[5:]
    assert found == facts
    assert algorithm.configure({}) == config()


@pytest.mark.parametrize(
    "config", [ClusterCamConfig, ScoreCamConfig, RiseConfig, AblationCamConfig]
)
def test_configs_are_frozen_values(config):
    one = config()
    assert one == config()
    assert hash(one) == hash(config())
    assert pickle.loads(pickle.dumps(one)) == one
    name = dataclasses.fields(one)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(one, name, 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataclasses.replace(one).score_function = "logit"


@pytest.mark.parametrize(
    "config", [ClusterCamConfig, ScoreCamConfig, RiseConfig, AblationCamConfig]
)
def test_every_option_is_documented(config):
    for field in dataclasses.fields(config):
        assert f"        {field.name}: " in config.__doc__


@pytest.mark.parametrize(
    "algorithm", [CLUSTER_CAM, SCORE_CAM, RISE, ABLATION_CAM], ids=lambda a: a.id
)
@pytest.mark.parametrize("bad", [object(), [1]], ids=["object", "list"])
def test_every_option_checks_its_type(algorithm, bad):
    for parameter in option_parameters(algorithm.config):
        with pytest.raises(TypeError, match=f"^Expected {parameter.name} to be .*, but got "):
            algorithm.configure({parameter.name: bad})


def test_option_parameters():
    alpha, name = option_parameters(Options)
    assert (alpha.name, alpha.default, alpha.annotation) == ("alpha", 0.5, float)
    assert (name.name, name.default, name.annotation) == ("name", "one", str)
    assert alpha.kind is name.kind is inspect.Parameter.KEYWORD_ONLY


def test_with_options_shows_the_fields_of_every_config():
    @with_options(Options, MoreOptions)
    def attribute(inputs, target=None, *, fixed=3, **options):
        return inputs, target, fixed, options

    signature = inspect.signature(attribute)
    assert list(signature.parameters) == ["inputs", "target", "fixed", "alpha", "name", "rows"]
    assert signature.parameters["alpha"].default == 0.5
    assert signature.parameters["rows"].kind is inspect.Parameter.KEYWORD_ONLY
    # the function itself is what it was
    assert attribute(1, name="two") == (1, None, 3, {"name": "two"})
    assert attribute.__name__ == "attribute"


def test_with_options_of_real_configs():
    @with_options(ClusterCamConfig)
    def attribute(inputs, **options):
        """Nothing."""

    parameters = list(inspect.signature(attribute).parameters.values())[1:]
    assert [parameter.name for parameter in parameters] == [
        field.name for field in dataclasses.fields(ClusterCamConfig)
    ]
    config = ClusterCamConfig()
    for parameter in parameters:
        assert parameter.default == getattr(config, parameter.name)
