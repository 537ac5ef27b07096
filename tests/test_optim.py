"""Optimizers against torch.optim, step by step; schedules; stopping and going on."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from networks import assert_refused
from table import assert_same

from micrograd import Tensor, nn, optim

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.5, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.9)}),
    ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1}),
    ("AdamW", {"lr": 0.1, "betas": (0.85, 0.99), "eps": 1e-4, "weight_decay": 0.3}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.1, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.1, "momentum": 0.8}),
    ("RMSprop", {"lr": 0.1, "centered": True, "eps": 1e-2}),
    ("RMSprop", {"lr": 0.1, "centered": True, "eps": 1e-2, "momentum": 0.8, "weight_decay": 0.1}),
]
every_optimizer = pytest.mark.parametrize(
    "name, options", OPTIMIZERS, ids=[f"{name} {options}" for name, options in OPTIMIZERS]
)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Some parameters are updated block by block; these need not be as long as in earnest."""
    monkeypatch.setattr(optim, "_BLOCK", 1000)


def some_parameters(dtype=np.float64):
    """Smaller and larger than a block, empty, a number, transposed and with gaps."""
    rng = np.random.default_rng(1)
    large = optim._BLOCK + 100
    shapes = [(), (1,), (0, 3), (4, 5), (large,), (2, large), (7, large // 3)]
    parameters = [Tensor(rng.normal(size=shape).astype(dtype)) for shape in shapes]
    small, wide = Tensor([]), Tensor([])
    small.data = rng.normal(size=(6, 10)).astype(dtype)[::2, ::3]
    wide.data = parameters.pop().data.T
    assert not small.data.flags.contiguous and not wide.data.flags.c_contiguous
    return [*parameters, small, wide]


def run(name, options, steps, dtype=np.float64):
    """The same gradients, which depend on the parameters, here and in PyTorch."""
    parameters = some_parameters(dtype)
    arrays = [p.data for p in parameters]
    theirs = [torch.tensor(p.data) for p in parameters]
    ours = getattr(optim, name)(parameters, **options)
    reference = getattr(torch.optim, name)(theirs, **options)
    rng = np.random.default_rng(2)
    for step in range(steps):
        for i, (p, q) in enumerate(zip(parameters, theirs)):
            a, b = rng.normal(size=2)
            p.grad = (a + b * p.data).astype(dtype)
            q.grad = (a + b * q).to(q.dtype)
            if i == 3 and step % 3 == 0:
                p.grad = q.grad = None
        ours.step()
        reference.step()
    assert all(p.data is array for p, array in zip(parameters, arrays)), f"{name}: not in place"
    return parameters, theirs


@every_optimizer
def test_50_steps_are_those_of_pytorch(name, options):
    """Also for a parameter that every third step leaves without a gradient."""
    for p, q in zip(*run(name, options, 50)):
        assert_same(p.data, q, f"{name} {options}, parameter of shape {p.shape}", 1e-12)


@every_optimizer
def test_float32_parameters_stay_float32(name, options):
    for p, q in zip(*run(name, options, 5, np.float32)):
        assert_same(p.data, q, f"{name} {options}, parameter of shape {p.shape}", 1e-4)


def test_a_rate_of_another_type_leaves_float32_parameters_float32():
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop):
        p = Tensor(np.ones(3, np.float32))
        optimizer = kind([p], lr=np.float64(0.1))
        p.grad = np.ones(3)
        optimizer.step()
        assert p.dtype == np.float32 and p.data[0] < 1, kind.__name__


@every_optimizer
def test_a_parameter_without_a_gradient_is_left_as_it_is(name, options):
    used, unused = Tensor([1.0, -2.0]), Tensor([3.0, 4.0])
    optimizer = getattr(optim, name)([used, unused], **options)
    for _ in range(3):
        optimizer.zero_grad()
        (used * used).sum().backward()
        optimizer.step()
    assert_same(unused.data, np.array([3.0, 4.0]), "unused", 0)
    assert not np.isin(used.data, [1.0, -2.0]).any()


@every_optimizer
def test_looking_at_a_gradient_does_not_make_it_one(name, options):
    """`grad` shows zeros where there is no gradient, for which weight decay must not take them."""
    used, unused = Tensor([1.0, -2.0]), Tensor([3.0, 4.0])
    optimizer = getattr(optim, name)([used, unused], **options)
    for _ in range(2):
        (used * unused).sum().backward()  # so that there is a momentum
        optimizer.step()
    before = unused.data.copy()
    optimizer.zero_grad()
    (used * used).sum().backward()
    assert repr(unused) and not unused.grad.any()
    optimizer.step()
    assert_same(unused.data, before, "unused", 0)


def test_a_copy_of_a_parameter_without_a_gradient_has_none_either():
    p = Tensor([1.0, 2.0])
    assert not p.grad.any()
    twin = copy.deepcopy(p)
    optim.SGD([twin], lr=0.1, weight_decay=0.5).step()
    assert_same(twin.data, p.data, "copy", 0)


def test_a_gradient_of_zeros_is_a_gradient():
    """Unlike none at all: the momentum carries on, as in PyTorch."""
    p, q = Tensor([1.0]), torch.tensor([1.0], dtype=torch.float64)
    ours, theirs = optim.Adam([p], lr=0.1), torch.optim.Adam([q], lr=0.1)
    for g in (1.0, 0.0, 0.0):
        p.grad, q.grad = np.array([g]), torch.tensor([g], dtype=torch.float64)
        ours.step()
        theirs.step()
    assert_same(p.data, q, "after two gradients of zero", 1e-12)


def test_zero_grad():
    p = Tensor([1.0, 2.0])
    optimizer = optim.SGD([p], lr=0.1)
    (p * p).sum().backward()
    optimizer.zero_grad()
    assert_same(p.grad, np.zeros(2), "gradient", 0)
    (p * p).sum().backward()
    assert_same(p.grad, np.array([2.0, 4.0]), "gradient", 0)


def test_parameters_may_come_from_a_generator():
    model = nn.MultiLayerPerceptron(2, [3, 1])
    optimizer = optim.SGD((p for p in model.parameters()), lr=1.0)
    before = model.state_dict()
    model(np.ones((4, 2))).sum().backward()
    optim.clip_grad_norm((p for p in model.parameters()), 1e-3)
    optimizer.step()
    change = [p.data - before[name] for name, p in model.named_parameters()]
    assert math.isclose(sum((c * c).sum() for c in change) ** 0.5, 1e-3, rel_tol=1e-5)


# Groups


GROUPS = [{"lr": 0.2}, {"weight_decay": 0.3}, {"lr": 0.05, "weight_decay": 0.0}]


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop"])
def test_groups_have_rates_and_decays_of_their_own(name):
    arrays = [np.array([1.0, -2.0]), np.array([3.0]), np.array([[0.5]])]
    ours, theirs = [Tensor(a) for a in arrays], [torch.tensor(a) for a in arrays]
    kinds = getattr(optim, name), getattr(torch.optim, name)
    a, b = (kind([{"params": [p], **options} for p, options in zip(ps, GROUPS)], lr=0.1)
            for kind, ps in zip(kinds, (ours, theirs)))  # fmt: skip
    for step in range(10):
        for optimizer in (a, b):
            optimizer.param_groups[1]["lr"] = 0.1 / (step + 1)
        for p, q in zip(ours, theirs):
            p.grad, q.grad = 2 * p.data, 2 * q
        a.step()
        b.step()
    for p, q in zip(ours, theirs):
        assert_same(p.data, q, name, 1e-12)
    assert [g["lr"] for g in a.param_groups] == [0.2, 0.01, 0.05]
    twin = kinds[0]([{"params": [p]} for p in ours], lr=1.0)
    twin.load_state_dict(a.state_dict())
    assert [g["lr"] for g in twin.param_groups] == [0.2, 0.01, 0.05] and twin.steps == a.steps
    a.lr = 0.5
    assert [g["lr"] for g in a.param_groups] == [0.5] * 3


# Muon, whose orthogonal matrices PyTorch computes in bfloat16


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"momentum": 0.5, "lr": 0.1}])
@pytest.mark.parametrize("shape", [(4, 4), (3, 8), (8, 3)])
def test_muon_is_that_of_pytorch_to_the_digits_of_bfloat16(shape, options):
    rng = np.random.default_rng(6)
    p = Tensor(rng.normal(size=shape))
    q = torch.tensor(p.data)
    ours, theirs = optim.Muon([p], **options), torch.optim.Muon([q], **options)
    before = p.data.copy()
    for _ in range(5):
        g = rng.normal(size=shape)
        p.grad, q.grad = g, torch.tensor(g)
        ours.step()
        theirs.step()
    assert np.abs(p.data - before).max() > ours.lr / 4
    assert np.abs(p.data - q.numpy()).max() < 0.15 * ours.lr


def test_muon_takes_orthogonal_steps():
    p = Tensor(np.zeros((6, 4)))
    p.grad = np.random.default_rng(7).normal(size=(6, 4))
    optim.Muon([p], lr=1.0).step()
    sizes = np.linalg.svd(p.data, compute_uv=False) / 1.5**0.5
    assert sizes.min() > 0.6 and sizes.max() < 1.3


# An average of the parameters


def test_an_average_is_that_of_pytorch():
    p, module = Tensor([1.0, 2.0]), torch.nn.Linear(2, 1, bias=False).double()
    module.weight.data = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    ours = optim.Average([p], decay=0.9)
    theirs = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9)
    )
    theirs.update_parameters(module)  # takes over what is there
    for step in range(5):
        p.data[...] += step
        module.weight.data += step
        ours.update()
        theirs.update_parameters(module)
    now = p.data.copy()
    with ours:
        assert_same(p.data, theirs.module.weight[0], "inside", 1e-12)
    assert_same(p.data, now, "afterwards", 0)
    twin = optim.Average([Tensor([0.0, 0.0])])
    twin.load_state_dict(ours.state_dict())
    assert_same(twin.averages[0], ours.averages[0], "state", 0)


def enter_average(p):
    with optim.Average([p]):
        pass


@pytest.mark.parametrize("write", [enter_average, nn.init.uniform], ids=["Average", "init"])
def test_what_writes_to_a_parameter_says_so_to_backward(write):
    p = Tensor([[1.0, 2.0]])
    loss = (p * p).sum()
    write(p)
    assert_refused(loss.backward, RuntimeError, "written to in place")


def test_clip_grad_value_is_that_of_pytorch():
    p, q = Tensor(np.zeros(3)), torch.zeros(3, dtype=torch.float64, requires_grad=True)
    p.grad = np.array([-2.0, 0.1, 3.0])
    q.grad = torch.tensor(p.grad)
    optim.clip_grad_value([p, Tensor([1.0])], 0.5)
    torch.nn.utils.clip_grad_value_([q], 0.5)
    assert_same(p.grad, q.grad, "gradient", 0)


# The length of all gradients


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 1e6])
def test_clip_grad_norm_is_that_of_pytorch(max_norm):
    rng = np.random.default_rng(3)
    ours = [Tensor(np.zeros(shape)) for shape in ((), (3,), (4, 5), (0, 2), (300, 100), (2,))]
    theirs = [torch.tensor(p.data, requires_grad=True) for p in ours]
    for p, q in zip(ours[:-1], theirs):  # the last one has no gradient
        g = rng.normal(size=p.shape)
        p.grad, q.grad = g, torch.tensor(g)
    arrays = [p.grad for p in ours[:-1]]
    norm = optim.clip_grad_norm(ours, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    assert type(norm) is float
    assert math.isclose(norm, expected.item(), rel_tol=1e-12)
    for p, q, array in zip(ours, theirs, arrays):
        assert_same(p.grad, q.grad, f"gradient of shape {p.shape}", 1e-12)
        assert p.grad is array, "not in place"
    assert not ours[-1].grad.any()


def test_clip_grad_norm_where_there_is_no_gradient():
    assert optim.clip_grad_norm([Tensor([1.0])], 1.0) == 0.0


# Schedules


def test_cosine_is_that_of_pytorch():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.01)
    for step in range(21):
        expected = 0.01 + 0.29 * (1 + math.cos(math.pi * step / 20)) / 2
        lr = optim.cosine(step, 20, 0.3, 0.01)
        assert math.isclose(lr, expected, rel_tol=1e-14), step
        assert math.isclose(lr, schedule.get_last_lr()[0], rel_tol=1e-12), step
        optimizer.step()
        schedule.step()


def test_linear_is_that_of_pytorch():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, end_factor=0.1, total_iters=20)
    for step in range(25):
        lr = optim.linear(step, 20, 0.3, 0.03)
        assert math.isclose(lr, schedule.get_last_lr()[0], rel_tol=1e-12), step
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("total", [2, 10, 25, 100])
def test_one_cycle_is_that_of_pytorch(total):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=total)
    for step in range(total):
        expected = schedule.get_last_lr()[0]
        assert math.isclose(optim.one_cycle(step, total, 0.5), expected, rel_tol=1e-9), step
        optimizer.step()
        if step < total - 1:
            schedule.step()


def test_plateau_is_that_of_pytorch():
    ours, theirs = optim.SGD([Tensor([1.0])], lr=1.0), torch.optim.SGD([torch.zeros(1)], lr=1.0)
    options = {"factor": 0.5, "patience": 2}
    plateau, other = (optim.Plateau(ours, **options, least=0.1) for _ in range(2))
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options, min_lr=0.1)
    losses = [3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 0.99999, 1, 1, 1, 1, 1, 1, 1, 1]
    for i, loss in enumerate(losses):
        plateau.step(loss)
        other.load_state_dict(plateau.state_dict())
        plateau, other = other, plateau  # a run that is stopped and goes on, every time
        schedule.step(loss)
        assert ours.lr == theirs.param_groups[0]["lr"], i
    assert ours.lr == 0.1


SCHEDULES = [
    (optim.steps, (0, 10, 2.0), 2.0),
    (optim.steps, (9, 10, 2.0), 2.0),
    (optim.steps, (25, 10, 2.0, 0.5), 0.5),
    (optim.cosine, (0, 10, 2.0), 2.0),
    (optim.cosine, (5, 10, 2.0), 1.0),
    (optim.cosine, (10, 10, 2.0), 0.0),
    (optim.cosine, (11, 10, 2.0, 0.5), 0.5),
    (optim.cosine, (1000, 10, 2.0, 0.5), 0.5),
    (optim.linear, (0, 10, 2.0), 2.0),
    (optim.linear, (3, 10, 2.0), 1.4),
    (optim.linear, (10, 10, 2.0), 0.0),
    (optim.linear, (11, 10, 2.0, 0.5), 0.5),
    (optim.linear, (5, 10, 1.0, 3.0), 2.0),
    (optim.linear_warmup, (0, 4), 0.25),
    (optim.linear_warmup, (1, 4), 0.5),
    (optim.linear_warmup, (3, 4), 1.0),
    (optim.linear_warmup, (100, 4), 1.0),
    (optim.linear_warmup, (0, 0), 1.0),
]


@pytest.mark.parametrize("schedule, arguments, expected", SCHEDULES)
def test_schedule(schedule, arguments, expected):
    assert math.isclose(schedule(*arguments), expected, rel_tol=1e-14, abs_tol=1e-15)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_the_rate_may_change_at_every_step(name):
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    p, q = Tensor([1.0, -2.0]), torch.tensor([1.0, -2.0], dtype=torch.float64)
    ours = getattr(optim, name)([p], **options)
    theirs = getattr(torch.optim, name)([q], **options)
    for step in range(20):
        lr = optim.linear_warmup(step, 5) * optim.cosine(step, 20, 0.1)
        ours.lr = theirs.param_groups[0]["lr"] = lr
        p.grad, q.grad = 2 * p.data, 2 * q
        ours.step()
        theirs.step()
    assert_same(p.data, q, f"{name} with a schedule", 1e-12)


# Stopping and going on


def a_network():
    model = nn.Sequential(nn.Layer(3, 8, "tanh"), nn.BatchNorm1d(8), nn.Layer(8, 1))
    model.unused = Tensor([1.0])
    return model


def train(model, optimizer, steps):
    for step in steps:
        rng = np.random.default_rng(step)
        x = rng.normal(size=(16, 3))
        optimizer.lr = optim.cosine(step, 30, 0.05)
        model.zero_grad()
        nn.mse(model(x)[:, 0], x.prod(1)).backward()
        optimizer.step()


@every_optimizer
@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(name, options, ending, tmp_path):
    kind = getattr(optim, name)
    whole, first, second = a_network(), a_network(), a_network()
    first.load_state_dict(whole.state_dict())
    train(whole, kind(whole.parameters(), **options), range(30))

    optimizer = kind(first.parameters(), **options)
    train(first, optimizer, range(15))
    nn.save(first, tmp_path / f"model{ending}")
    nn.save(optimizer, tmp_path / f"optimizer{ending}")

    optimizer = kind(second.parameters(), **options)
    nn.load(second, tmp_path / f"model{ending}")
    nn.load(optimizer, tmp_path / f"optimizer{ending}")
    assert optimizer.lr == optim.cosine(14, 30, 0.05)
    train(second, optimizer, range(15, 30))
    for key, array in second.state_dict().items():
        assert_same(array, whole.state_dict()[key], key, 0)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))],
                         ids=["deepcopy", "pickle"])  # fmt: skip
@every_optimizer
def test_optimizers_can_be_copied_and_pickled_with_their_model(name, options, again):
    model = nn.Layer(3, 1)
    optimizer = getattr(optim, name)(model.parameters(), **options)
    train(model, optimizer, range(3))
    twin, twin_optimizer = again((model, optimizer))
    train(model, optimizer, range(3, 6))
    train(twin, twin_optimizer, range(3, 6))
    for key, array in twin.state_dict().items():
        assert_same(array, model.state_dict()[key], key, 0)


def test_state_dict_holds_copies():
    p = Tensor([1.0, 2.0])
    optimizer = optim.Adam([p], lr=0.1)
    p.grad = np.ones(2)
    optimizer.step()
    before = optimizer.state_dict()
    kept = {name: array.copy() for name, array in before.items()}
    optimizer.step()
    for name, array in before.items():
        assert type(array) is np.ndarray
        assert_same(array, kept[name], name, 0)
    optimizer.load_state_dict(before)
    optimizer.step()
    for name, array in before.items():
        assert_same(array, kept[name], name, 0)


def test_load_state_dict_lists_all_that_is_wrong_and_changes_nothing():
    parameters = [Tensor([1.0, 2.0]), Tensor([3.0])]
    optimizer = optim.Adam(parameters, lr=0.1)
    for p in parameters:
        p.grad = np.ones(p.shape)
    optimizer.step()
    before = optimizer.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    del state["steps"]
    state["more"] = np.zeros(1)
    state["mean.0"] = np.zeros(3)
    state["square.1"] = np.zeros(1, np.float32)
    with pytest.raises(ValueError) as caught:
        optimizer.load_state_dict(state)
    for part in ("steps: missing", "more", "mean.0", "(3,)", "(2,)", "square.1", "float32"):
        assert part in str(caught.value), f"{part!r} is not in {caught.value}"
    assert "square.0" not in str(caught.value)
    for name, array in optimizer.state_dict().items():
        assert_same(array, before[name], name, 0)


# Errors: what was given, what it should say


def one():
    return [Tensor([1.0, 2.0])]


def load_from(source):
    optim.Adam(one()).load_state_dict(source.state_dict())


ERRORS = {
    "Muon of a whole layer": (
        lambda: optim.Muon(nn.Linear(3, 2).parameters()), ValueError, "Muon: expected matrices",
        "got 1", "(2,)", "AdamW"),
    "no parameters": (lambda: optim.SGD([]), ValueError, "SGD", "no parameters"),
    "an empty generator": (lambda: optim.Adam(p for p in ()), ValueError, "Adam", "no parameters"),
    "a Tensor in place of a list": (lambda: optim.SGD(one()[0]), TypeError, "SGD", "Tensor"),
    "an array as parameter": (lambda: optim.SGD([np.ones(2)]), TypeError, "SGD", "array"),
    "names as parameters": (lambda: optim.SGD({"a": one()[0]}), TypeError, "SGD", "str"),
    "the result of an operation": (lambda: optim.SGD([one()[0] * 2]), ValueError, "SGD", "'*'"),
    "a parameter twice": (lambda: optim.SGD(one() * 2), ValueError, "SGD", "twice"),
    "lr": (lambda: optim.SGD(one(), lr=-0.1), ValueError, "SGD", "lr", "-0.1"),
    "lr nan": (lambda: optim.Adam(one(), lr=math.nan), ValueError, "Adam", "lr", "nan"),
    "weight_decay": (
        lambda: optim.AdamW(one(), weight_decay=-1), ValueError, "AdamW", "weight_decay", "-1"),
    "momentum": (lambda: optim.SGD(one(), momentum=-0.9), ValueError, "SGD", "momentum", "-0.9"),
    "nesterov without momentum": (
        lambda: optim.SGD(one(), nesterov=True), ValueError, "SGD", "nesterov", "momentum"),
    "nesterov with dampening": (
        lambda: optim.SGD(one(), momentum=0.9, dampening=0.1, nesterov=True),
        ValueError, "SGD", "nesterov", "dampening"),
    "beta 1": (lambda: optim.Adam(one(), betas=(1.0, 0.9)), ValueError, "Adam", "betas", "1.0"),
    "beta 2": (lambda: optim.AdamW(one(), betas=(0.9, -0.1)), ValueError, "AdamW", "betas", "-0.1"),
    "eps of Adam": (lambda: optim.Adam(one(), eps=-1e-8), ValueError, "Adam", "eps", "-1e-08"),
    "eps of RMSprop": (
        lambda: optim.RMSprop(one(), eps=-1.0), ValueError, "RMSprop", "eps", "-1.0"),
    "alpha": (lambda: optim.RMSprop(one(), alpha=1.5), ValueError, "RMSprop", "alpha", "1.5"),
    "momentum of RMSprop": (
        lambda: optim.RMSprop(one(), momentum=-1), ValueError, "RMSprop", "momentum", "-1"),
    "an option that a group has not": (
        lambda: optim.SGD([{"params": one(), "momentum": 0.9}]), ValueError, "SGD", "momentum"),
    "groups and Tensors": (lambda: optim.SGD([{"params": one()}, *one()]), TypeError, "not both"),
    "a parameter in two groups": (
        lambda: optim.SGD([{"params": p} for p in [one()] * 2]), ValueError, "SGD", "twice"),
    "Muon of a vector": (lambda: optim.Muon(one()), ValueError, "Muon", "(2,)"),
    "steps": (lambda: optim.steps(1, 0, 0.1), ValueError, "steps", "0"),
    "decay": (lambda: optim.Average(one(), 1.5), ValueError, "Average", "1.5"),
    "factor": (lambda: optim.Plateau(optim.SGD(one()), factor=1.0), ValueError, "factor", "1.0"),
    "clip_value": (lambda: optim.clip_grad_value(one(), -1.0), ValueError, "clip_value", "-1.0"),
    "max_norm": (lambda: optim.clip_grad_norm(one(), -1.0), ValueError, "max_norm", "-1.0"),
    "clip_grad_norm of a Tensor": (
        lambda: optim.clip_grad_norm(one()[0], 1.0), TypeError, "clip_grad_norm", "Tensor"),
    "the state of another optimizer": (
        lambda: load_from(optim.SGD(one(), momentum=0.9)), ValueError, "direction.0", "mean.0"),
    "the state of a model": (lambda: load_from(nn.Layer(1, 2)), ValueError, "weights", "steps"),
    "the state for other parameters": (
        lambda: load_from(optim.Adam([Tensor([1.0])])), ValueError, "mean.0", "(1,)", "(2,)"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    do, error, *words = ERRORS[name]
    with pytest.raises(error) as caught:
        do()
    assert type(caught.value) is error
    for word in words:
        assert word in str(caught.value), f"{word!r} is not in {caught.value}"
