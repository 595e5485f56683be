"""What is drawn: a network, a layer of it, images, a target, a method with its options."""

from dataclasses import dataclass, field, fields
from typing import Any

import torch
from hypothesis import strategies as st

from tests.conformance.cases import CASES
from tests.fuzz.nets import ACTIVATIONS, HEADS, Plan, Stage, channels_of, last_layers, layer_names
from tests.fuzz.options import Squashed, drawn_options

KINDS = ("normal", "constant", "black", "large", "tiny", "half black")
LAYOUTS = ("plain", "channels last", "transposed", "strided", "expanded")
FORMS = ("int", "list", "tensor", "number", "tuple", "tuples", "callable", "callables", "none")
CONTEXTS = ("grad", "no_grad", "inference")
CALLERS = ("module", "method", "function")


@dataclass(frozen=True)
class Images:
    """A batch (N,c,*size) in float64.

    Attributes:
        size: Of its grid.
        count: Number of images N.
        kind: Which values.
        layout: How they lie in memory.
        requires_grad: Whether it does.
        seed: Of the values.
    """

    size: tuple[int, ...] = (6, 8)
    count: int = 2
    kind: str = "normal"
    layout: str = "plain"
    requires_grad: bool = False
    seed: int = 0

    def batch(self, channels):
        """Return the images."""
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.count, channels, *self.size)
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        values = {
            "constant": lambda: torch.full_like(x, 0.7),
            "black": lambda: torch.zeros_like(x),
            "large": lambda: x * 1e6,
            "tiny": lambda: x * 1e-9,
            "half black": lambda: torch.where(torch.arange(self.size[-1]) < 3, 0.0, x),
        }
        x = values.get(self.kind, lambda: x)()
        return laid_out(x, self.layout).requires_grad_(self.requires_grad)


def laid_out(x, layout):
    """Return the same values with other strides; "expanded" repeats the first image."""
    if layout == "transposed":
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "channels last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "strided":
        return torch.stack([x, -x], dim=-1)[..., 0]
    return x[:1].expand_as(x) if layout == "expanded" else x


@dataclass(frozen=True)
class Logit:
    """A callable target: one logit of an image's output.

    Attributes:
        label: Which.
        key: Where the logits are, in an output that is a container.
    """

    label: int
    key: Any = None

    def __call__(self, output):
        """Return the number."""
        logits = output if self.key is None else output[self.key]
        return logits.reshape(-1)[self.label]


@dataclass(frozen=True)
class FuzzCase:
    """One call, as both faces can make it; and see ``draw``.

    Attributes:
        method: The row of ``tests.conformance.cases``.
        options: Of the method, instead of the row's.
        plan: The network.
        layers: One layer; or two, where they make one map.
        images: The batch.
        labels: Explained, one for each image; may be negative.
        form: How they are said to the Captum face.
        picked: Whether containers are read by ``output_selector``, else by the targets.
        present: The labels present, for methods that contrast them; or None.
        multi_hot: Whether these are said in a tensor.
        passes: ``baselines`` ("image" is one of noise) and the options of passes, for methods
            that have them.
        rows: Of a pass: ``perturbations_per_eval`` and ``batch_size``, for methods that have them.
        caller: What the Captum face is given: the module, a method of it, or a function.
        of_input: Explain what the layer takes (the Captum face alone can).
        relu: ``relu_attributions``.
        context: Of autograd.
        eigen_smooth: The pytorch-grad-cam face's.
        hooked: Whether the user has a hook of their own on the layer.
    """

    method: str = "score-cam"
    options: dict = field(default_factory=dict)
    plan: Plan = field(default_factory=Plan)
    layers: tuple[str, ...] = ("features",)
    images: Images = field(default_factory=Images)
    labels: tuple[int, ...] = (0, 0)
    form: str = "list"
    picked: bool = True
    present: tuple[tuple[int, ...], ...] | None = None
    multi_hot: bool = False
    passes: dict = field(default_factory=dict)
    rows: tuple[int | None, int | None] = (None, None)
    caller: str = "module"
    of_input: bool = False
    relu: bool = False
    context: str = "grad"
    eigen_smooth: bool = False
    hooked: bool = False

    @property
    def row(self):
        """The method."""
        return ROWS[self.method]


ROWS = {case.name: case for case in CASES}

rarely = st.sampled_from([False] * 15 + [True])
rows = st.sampled_from([None, 1, 2, 5])
stages = st.builds(
    Stage,
    channels=st.integers(1, 6),
    side=st.sampled_from([3, 1]),
    stride=st.sampled_from([1, 2]),
    activation=st.sampled_from(list(ACTIVATIONS)),
    norm=st.booleans(),
    skip=st.booleans(),
    twice=st.booleans(),
)


@st.composite
def plans(draw):
    """A network; a single logit may come without a dimension of its own."""
    labels = draw(st.integers(1, 4))
    gives = ["tensor", "tuple", "dict"] + ["scalar"] * (labels == 1)
    return Plan(
        dims=draw(st.sampled_from([2, 1, 3])),
        channels=draw(st.sampled_from([3, 1, 2])),
        stages=tuple(draw(st.lists(stages, min_size=1, max_size=3))),
        head=draw(st.sampled_from(HEADS)),
        labels=labels,
        gives=draw(st.sampled_from(gives)),
        dropout=draw(st.booleans()),
        dead=draw(rarely),
        training=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def images(draw, dims):
    """A batch: of signals longer, of volumes smaller."""
    longest = {1: 16, 2: 9, 3: 5}[dims]
    return Images(
        size=tuple(draw(st.integers(2, longest)) for _ in range(dims)),
        count=draw(st.integers(1, 4)),
        kind=draw(st.sampled_from(KINDS)),
        layout=draw(st.sampled_from(LAYOUTS)),
        requires_grad=draw(st.booleans()),
        seed=draw(st.integers(0, 2**16)),
    )


@st.composite
def layers(draw, row, plan):
    """A layer that the method can explain, mostly; two where they make one map, sometimes."""
    names = layer_names(plan)
    if row.closed_form or row.sub_head:
        names = last_layers(plan) * 8 + names
    chosen = [draw(st.sampled_from(names))]
    if row.together and draw(st.booleans()):
        chosen.append(draw(st.sampled_from(last_layers(plan))))
    return tuple(chosen)


@st.composite
def pass_options(draw, row, plan):
    """Baselines and how passes are made, for methods that have them."""
    if not row.masked:
        return {}
    found = {"baselines": st.sampled_from([None, 0, 0.3, -1.5, "image"])}
    # The size of what is flattened is fixed.
    sizes = [1.0] if plan.head == "flatten" else [1.0, 0.5]
    found["resolution"] = st.sampled_from(sizes)
    found["precision"] = st.sampled_from([None, "bfloat16"])  # float64 stays exact
    return draw(st.fixed_dictionaries({}, optional=found))


@st.composite
def cases(draw, row=None):
    """One call of a method; of any, or of the one of a row."""
    row = row or ROWS[draw(st.sampled_from(list(ROWS)))]
    # The heads that closed forms read follow the mean over the grid.
    plan = draw(plans())
    if row.closed_form and draw(st.integers(0, 7)):
        plan = Plan(**{**vars(plan), "head": "pool"})
    batch = draw(images(plan.dims))
    chosen = draw(layers(row, plan))
    low, high = -plan.labels, plan.labels - 1 + draw(rarely)  # now and then one that is not there
    labels = tuple(draw(st.integers(low, high)) for _ in range(batch.count))
    forms = [form for form in FORMS if form != "none" or plan.labels == 1]
    if row.index_targets:
        forms = [form for form in forms if not form.startswith("callable")] + ["callable"]
    form = draw(st.sampled_from(forms))
    if plan.gives == "scalar":  # no index names the number
        form = draw(st.sampled_from(["none", "callable", "callables"]))
    callables = form.startswith("callable")
    picked = plan.pick is None or not callables or draw(st.booleans())
    present = None
    if row.labelled and draw(st.booleans()):
        of_one = st.sets(st.integers(0, plan.labels - 1)).map(lambda found: tuple(sorted(found)))
        present = tuple(draw(of_one) for _ in range(batch.count))
    options = draw(drawn_options(row.method, channels_of(plan, chosen[-1])))
    caller = "module" if plan.training else draw(st.sampled_from(CALLERS))
    return FuzzCase(
        method=row.name,
        options=_readable(row, options, picked),
        plan=plan,
        layers=chosen,
        images=batch,
        labels=_alike(labels) if form in ("int", "number", "tuple", "callable") else labels,
        form=form,
        picked=picked,
        present=present,
        multi_hot=draw(st.booleans()),
        passes=draw(pass_options(row, plan)),
        rows=(draw(rows), draw(rows)) if row.scores else (None, None),
        caller=caller,
        of_input=draw(rarely),
        relu=draw(st.booleans()),
        context=draw(st.sampled_from(CONTEXTS)),
        eigen_smooth=draw(rarely),
        hooked=draw(rarely),
    )


def _alike(labels):
    return labels[:1] * len(labels)


def _readable(row, options, picked):
    """Return options by which scores of the targets' own reading can be made."""
    if picked or not row.scores:
        return options
    known = {one.name for one in fields(row.config)}
    read = [name for name in ("score_function", "sufficient_score") if name in known]
    return {**options, **dict.fromkeys(read, "logit")}


__all__ = ["FuzzCase", "Images", "Logit", "Plan", "Squashed", "Stage", "cases"]
