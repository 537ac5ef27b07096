"""Files that keep the state of a model or an optimizer."""

from __future__ import annotations

import os
import stat
import threading
import zlib
from collections.abc import Callable, Mapping
from typing import BinaryIO

import numpy as np

from micrograd.arrays import describe
from micrograd.module import fitting, native

__all__ = ["Checkpoint", "load", "save"]

_GENERATOR = 1 << 13  # bytes for a generator's state, whose length in digits varies


class Checkpoint:
    """Several things that have a state, as one: for `save` and `load` of a run in a single file.

        run = Checkpoint(model=model, optimizer=optimizer, rng=rng)
        save(run, "run.npz")
        load(run, "run.npz")

    Args:
        parts: by name, Modules, Optimizers, whatever has `state_dict` and `load_state_dict`; and
            arrays, which are filled in place, such as a counter `np.zeros(1, int)`; and
            `np.random.Generator`s, so that the draws go on as well.
    """

    def __init__(self, **parts):
        for name, part in parts.items():
            known = hasattr(part, "state_dict"), isinstance(part, (np.ndarray, np.random.Generator))
            if not any(known):
                raise TypeError(f"Checkpoint: {name} has no state_dict, got {describe(part)}")
        self.parts = parts

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of the states, their names behind those of the parts."""
        state = {}
        for name, part in self.parts.items():
            state |= {f"{name}.{key}": array for key, array in _state_of(part).items()}
        return state

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> None:
        """Take over what `state_dict` gave; ValueError, and nothing changes, if it doesn't fit."""
        import json

        state = fitting(state, self.state_dict(), strict)
        for name, part in self.parts.items():
            head = f"{name}."
            own = {k[len(head) :]: array for k, array in state.items() if k.startswith(head)}
            if isinstance(part, np.ndarray):
                part[...] = own["array"]
            elif isinstance(part, np.random.Generator):
                part.bit_generator.state = json.loads(own["generator"].tobytes().rstrip())
            else:
                part.load_state_dict(own)


def _state_of(part) -> dict[str, np.ndarray]:
    import json

    if isinstance(part, np.ndarray):
        return {"array": part.copy()}
    if isinstance(part, np.random.Generator):
        text = json.dumps(_plain(part.bit_generator.state)).encode()
        return {"generator": np.frombuffer(text.ljust(_GENERATOR), np.uint8).copy()}
    return part.state_dict()


def _plain(x):
    """The state of a generator without arrays, which JSON can't hold."""
    if isinstance(x, dict):
        return {key: _plain(value) for key, value in x.items()}
    return x.tolist() if isinstance(x, np.ndarray) else x


def save(model, path: str | bytes | os.PathLike) -> None:
    """Write `model.state_dict()` to a file, .npz or .safetensors.

    The file appears under its name only once it is complete: a process killed while saving
    leaves an older file of that name as it was. On Linux it leaves nothing else; elsewhere, and
    on file systems without nameless files, what it had written stays in a file that ends in
    .tmp. A file that is replaced hands its permissions on; through a link, the file it points
    to is written. A .safetensors file gets a checksum of its arrays as metadata; an .npz has
    its own.

    Args:
        model: a Module, an Optimizer, or anything with a `state_dict()` of arrays.
        path: where to; the ending decides the format. .safetensors wants the safetensors package.

    Raises:
        ValueError: the path ends otherwise, or a name of the state can't stand in a file.
    """
    write, _ = _file_format(os.fsdecode(path))
    path = os.path.realpath(os.fsdecode(path))
    state = model.state_dict()
    for name in state:
        if "\0" in name:
            raise ValueError(f"save: the name {name!r} has a NUL, which files end names at")
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        nameless = _nameless(os.path.dirname(path))
        with nameless or open(temporary, "wb") as file:
            write(file, state)
            file.flush()
            os.fsync(file.fileno())
            if nameless:  # the directory makes it follow the link in /proc, whose path is absolute
                os.link(f"/proc/self/fd/{file.fileno()}", temporary, src_dir_fd=file.fileno())
        if os.path.exists(path):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def _nameless(folder: str) -> BinaryIO | None:
    """A file without a name, which goes with a process that is killed; None if there are none."""
    if not hasattr(os, "O_TMPFILE") or not os.path.exists("/proc/self/fd"):
        return None
    try:
        return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666), "wb")
    except OSError:
        return None


def load(model, path: str | bytes | os.PathLike, strict: bool = True) -> None:
    """Read what `save` wrote back into a model (or optimizer) of the same form.

    Nothing is unpickled, and nothing is changed unless the whole file is read and fits. The arrays
    of a .safetensors file are compared with its checksum, if it has one: those that other programs
    write have none, and a flipped bit in them goes unseen.

    Raises:
        ValueError: the file is damaged, of another kind, or doesn't fit the model.
    """
    path = os.fsdecode(path)
    _, read = _file_format(path)
    mine = model.state_dict()
    with open(path, "rb") as file:
        try:
            state = read(file, mine)
        except Exception as error:  # each library raises its own kinds for a damaged file
            kind = os.path.splitext(path)[1]
            raise ValueError(f"load: {path} is not a complete {kind} file: {error}") from error
    model.load_state_dict(state, strict)


def _file_format(path: str) -> tuple[Callable, Callable]:
    """The functions that write and read the format that the path's ending names."""
    if path.endswith(".npz"):
        return _write_npz, _read_npz
    if path.endswith(".safetensors"):
        import json

        try:
            import safetensors.numpy as safetensors
        except ImportError:
            raise ImportError(
                ".safetensors files need a package: in a clone of this repository, "
                "pip install '.[safetensors]'"
            ) from None

        def write(file, state):
            state = {
                name: np.asarray(x, native(x.dtype), order="C")  # the format has no other
                for name, x in state.items()
            }
            file.write(safetensors.save(state, {"crc32": _checksum(state)}))

        def read(file, mine):
            data = file.read()
            state = safetensors.load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            checksum = header.get("__metadata__", {}).get("crc32")
            if checksum not in (None, _checksum(state)):
                raise ValueError("its arrays differ from its checksum")
            return state

        return write, read
    raise ValueError(f"expected a path that ends in .npz or .safetensors, got {path!r}")


def _checksum(state: Mapping[str, np.ndarray]) -> str:
    """One of all names, dtypes, shapes and numbers."""
    crc = 0
    for name, x in sorted(state.items()):
        crc = zlib.crc32(f"{name} {x.dtype} {x.shape}".encode(), crc)
        crc = zlib.crc32(np.ascontiguousarray(x).reshape(-1).view(np.uint8), crc)
    return f"{crc:08x}"


def _write_npz(file, state: Mapping[str, np.ndarray]) -> None:
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:  # np.savez can't take an array named "file"
        for name, array in state.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read_npz(file, mine: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by name; in the place of one that doesn't fit mine, one that takes no memory.

    A small file can hold zeros for many gigabytes, so only what fits is unpacked. `np.load` would
    take "w" and "w.npy" for the same name.
    """
    import zipfile

    state = {}
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy") or member[:-4] in state:
                raise ValueError(f"it has a member {member!r}")
            name = member[:-4]
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = read_header(stream)
            if dtype.hasobject:
                raise ValueError(f"{name!r} holds Python objects")
            x = mine.get(name)
            if x is not None and x.shape == shape and native(x.dtype) == native(dtype):
                with archive.open(member) as stream:
                    state[name] = np.lib.format.read_array(stream, allow_pickle=False)
            else:
                state[name] = np.broadcast_to(np.zeros((), dtype), shape)
    return state
