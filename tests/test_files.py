"""Files: every bit comes back, and neither damage nor a sudden end does any harm."""

import io
import os
import pickle
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from networks import assert_refused, assert_same_states
from table import assert_same

from micrograd import Tensor, nn

formats = pytest.mark.parametrize("ending", [".npz", ".safetensors"])


class Awkward(nn.Module):
    """Names, shapes, dtypes, bit patterns and memory layouts that a file could get wrong."""

    buffers = ("count",)

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.file = Tensor(rng.normal(size=(3, 2)))  # np.savez has an argument of this name
        self.allow_pickle = Tensor(rng.normal(size=2).astype(np.float32))
        self.scalar = Tensor(rng.normal())
        self.empty = Tensor(np.zeros((0, 3)))
        self.columns = Tensor([])
        self.columns.data = rng.normal(size=(4, 3)).T
        self.odd = Tensor([-0.0, 5e-324, np.inf, rng.normal()])
        self.names = {"a/b": Tensor(rng.normal(size=1)), "ü": nn.BatchNorm1d(2)}
        self.count = rng.integers(0, 9, 3)


def bits(state):
    return {name: (array.dtype, array.shape, array.tobytes()) for name, array in state.items()}


@formats
def test_a_file_gives_back_every_bit(ending, tmp_path):
    path = tmp_path / f"model{ending}"
    model, other = Awkward(1), Awkward(2)
    assert bits(model.state_dict()) != bits(other.state_dict())
    nn.save(model, path)
    nn.load(other, path)
    assert bits(model.state_dict()) == bits(other.state_dict())
    nn.save(Awkward(3), str(path))
    nn.load(other, str(path))
    assert bits(Awkward(3).state_dict()) == bits(other.state_dict())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_files_can_be_read_without_this_library(tmp_path):
    import safetensors.numpy

    model = nn.MultiLayerPerceptron(2, [3, 1])
    nn.save(model, tmp_path / "model.npz")
    nn.save(model, tmp_path / "model.safetensors")
    with np.load(tmp_path / "model.npz") as archive:
        assert_same_states(dict(archive), model.state_dict())
    state = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert bits(state) == bits(model.state_dict())


@formats
def test_load_that_is_not_strict_takes_what_fits_by_name(ending, tmp_path):
    path = tmp_path / f"layer{ending}"
    layer = nn.Layer(2, 3)
    nn.save(layer, path)
    model = nn.Layer(2, 3)
    model.more = Tensor([1.0])
    with pytest.raises(ValueError, match="more: missing"):
        nn.load(model, path)
    nn.load(model, path, strict=False)
    assert_same(model.weights.data, layer.weights.data, "weights", 0)


class Unpickled:
    """Whose pickle would run code."""

    def __reduce__(self):
        return pytest.fail, ("the file was unpickled",)


def written_by(write):
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def flipped(data, i):
    return data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "its first byte": lambda data: data[:1],
    "its first 10 bytes": lambda data: data[:10],
    "its first half": lambda data: data[: len(data) // 2],
    "all but its last byte": lambda data: data[:-1],
    "text": lambda data: b"weights = 1, 2, 3\n" * 20,
    "a pickle": lambda data: pickle.dumps(Unpickled()),
    "a pickled .npy": lambda data: written_by(
        lambda file: np.save(file, np.array([Unpickled()]), allow_pickle=True)
    ),
    "a plain .npy": lambda data: written_by(lambda file: np.save(file, np.ones(3))),
    "an .npz of pickles": lambda data: written_by(
        lambda file: np.savez(file, weights=np.array([Unpickled()]), bias=np.ones(3))
    ),
    "a zip of something else": lambda data: written_by(
        lambda file: np.savez(file, other=np.ones(3))
    ),
}


@formats
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_model_is_refused_and_nothing_changed(ending, damage, tmp_path):
    path = tmp_path / f"model{ending}"
    nn.save(nn.Layer(20, 30), path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    model = nn.Layer(20, 30)
    before = model.state_dict()
    for strict in (True, False) if damage != "a zip of something else" else (True,):
        with pytest.raises(ValueError):
            nn.load(model, path, strict)
        assert_same_states(model.state_dict(), before)


def test_a_flipped_bit_in_an_npz_is_noticed(tmp_path):
    path = tmp_path / "model.npz"
    nn.save(nn.Layer(20, 30), path)
    data = path.read_bytes()
    model = nn.Layer(20, 30)
    before = model.state_dict()
    path.write_bytes(flipped(data, len(data) // 2))
    with pytest.raises(ValueError, match=re.escape(str(path))):
        nn.load(model, path)
    assert_same_states(model.state_dict(), before)


# The kernel kills a process that writes beyond the limit on the size of its files: as a power cut,
# at a byte of our choice. Python ignores the signal unless told not to.
KILLED_WHILE_SAVING = """
import resource, signal, sys
import numpy as np
from micrograd import nn

path, size = sys.argv[1], int(sys.argv[2])
model = nn.Layer(100, 100, rng=np.random.default_rng(2))
if path.endswith(".safetensors"):
    import safetensors.numpy
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
nn.save(model, path)
"""


@formats
@pytest.mark.parametrize("written", [0, 1, 40_000, 80_000])
def test_a_process_killed_while_saving_leaves_the_old_file(ending, written, tmp_path):
    path = tmp_path / f"model{ending}"
    old = nn.Layer(100, 100, rng=np.random.default_rng(1))
    nn.save(old, path)
    assert path.stat().st_size > 80_000
    arguments = [sys.executable, "-c", KILLED_WHILE_SAVING, str(path), str(written)]
    process = subprocess.run(arguments, capture_output=True, text=True)
    assert process.returncode < 0, f"it was not killed: {process.stderr}"
    model = nn.Layer(100, 100)
    nn.load(model, path)
    assert_same_states(model.state_dict(), old.state_dict())
    pattern = "*" if sys.platform == "linux" else f"*{ending}"
    assert [p.name for p in tmp_path.glob(pattern)] == [path.name]
    nn.save(model, path)
    nn.load(old, path)


@formats
def test_who_reads_a_file_while_it_is_saved_reads_the_old_one(ending, tmp_path):
    path = tmp_path / f"model{ending}"
    nn.save(nn.Layer(2, 3), path)
    before = path.read_bytes()
    with open(path, "rb") as file:
        nn.save(nn.Layer(2, 3), path)
        assert file.read() == before
    assert path.read_bytes() != before


class Unsavable:
    def state_dict(self):
        return {"weights": np.ones(1000), "bias": np.array([object()])}


@formats
def test_an_error_while_saving_leaves_the_old_file_and_no_other(ending, tmp_path):
    path = tmp_path / f"model{ending}"
    nn.save(nn.Layer(2, 3), path)
    before = path.read_bytes()
    with pytest.raises(Exception):  # noqa: B017 (each library raises its own)
        nn.save(Unsavable(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_missing_safetensors_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"old")
    for use in (nn.save, nn.load):
        with pytest.raises(ImportError) as caught:
            use(nn.Layer(2, 3), path)
        command = re.search(r"pip install '\.\[(\w+)\]'", str(caught.value))
        assert command, f"no pip command in {caught.value}"
    assert path.read_bytes() == b"old"
    project = Path(__file__).parent.parent / "pyproject.toml"
    assert f"\n{command[1]} = [" in project.read_text(), f"there is no extra {command[1]!r}"


# Errors: what was given, what it should say

ERRORS = {
    "save to .pt": (lambda: nn.save(nn.Layer(2, 2), "model.pt"), ValueError, ".npz", "'model.pt'"),
    "load from .pt": (lambda: nn.load(nn.Layer(2, 2), "model.pt"), ValueError, ".npz", "model.pt"),
    "load of no file": (lambda: nn.load(nn.Layer(2, 2), "none.npz"), FileNotFoundError, "none.npz"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_input_is_refused_with_the_reason(name):
    assert_refused(*ERRORS[name])


def test_names_that_end_like_members_are_kept_apart(tmp_path):
    class Named:
        def __init__(self):
            self.state = {"w": np.ones(2), "w.npy": np.zeros(3)}

        def state_dict(self):
            return dict(self.state)

        def load_state_dict(self, state, strict=True):
            self.state = dict(state)

    model, copy = Named(), Named()
    copy.state["w"] = np.zeros(2)
    nn.save(model, tmp_path / "named.npz")
    nn.load(copy, tmp_path / "named.npz")
    assert_same_states(copy.state, model.state)


def test_a_flipped_bit_in_a_safetensors_file_never_loads_other_numbers(tmp_path):
    path = tmp_path / "model.safetensors"
    model = nn.Layer(3, 2)
    nn.save(model, path)
    data, right = path.read_bytes(), bits(model.state_dict())
    other = nn.Layer(3, 2)
    refused = 0
    for i in range(8 * len(data)):
        path.write_bytes(data[: i // 8] + bytes([data[i // 8] ^ (1 << i % 8)]) + data[i // 8 + 1 :])
        before = bits(other.state_dict())
        try:
            nn.load(other, path)
        except ValueError:
            refused += 1
            assert bits(other.state_dict()) == before
        else:
            assert bits(other.state_dict()) == right
    assert refused > 0.8 * 8 * len(data)


def test_safetensors_of_others_have_no_checksum_and_load(tmp_path):
    import safetensors.numpy

    path, model = tmp_path / "other.safetensors", nn.Layer(3, 2)
    safetensors.numpy.save_file(nn.Layer(3, 2).state_dict(), path)
    nn.load(model, path)
    assert bits(model.state_dict()) == bits(safetensors.numpy.load_file(path))


def test_a_large_array_of_another_name_or_shape_is_not_unpacked(tmp_path):
    path = tmp_path / "large.npz"
    for name in ("unknown", "bias"):
        layer = nn.Layer(2, 3)
        arrays = {"weights": layer.weights.data, "bias": layer.bias.data}
        np.savez_compressed(path, **{**arrays, name: np.zeros(20_000_000)})
        tracemalloc.start()
        with pytest.raises(ValueError, match=name):
            nn.load(layer, path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000


def test_a_link_stays_one_and_permissions_stay(tmp_path):
    path, link, model = tmp_path / "model.npz", tmp_path / "link.npz", nn.Layer(2, 3)
    nn.save(nn.Layer(2, 3), path)
    path.chmod(0o600)
    link.symlink_to(path)
    nn.save(model, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    other = nn.Layer(2, 3)
    nn.load(other, os.fsencode(path))
    assert_same_states(other.state_dict(), model.state_dict())


@formats
def test_arrays_of_another_byte_order_come_back(ending, tmp_path):
    model, other = nn.Layer(2, 3), nn.Layer(2, 3)
    for p in model.parameters():
        p.data = p.data.astype(">f8")
    nn.save(model, tmp_path / f"big{ending}")
    nn.load(other, tmp_path / f"big{ending}")
    assert other.weights.data.tolist() == model.weights.data.tolist()


@formats
def test_a_name_with_a_nul_is_refused(ending, tmp_path):
    model = nn.Layer(2, 3)
    model.inner = {"a\0b": Tensor([1.0])}
    with pytest.raises(ValueError, match="NUL"):
        nn.save(model, tmp_path / f"model{ending}")
    assert list(tmp_path.iterdir()) == []
