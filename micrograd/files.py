"""Files that keep the state of a model or an optimizer."""

from __future__ import annotations

import os
import stat
import threading
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from micrograd.module import native

__all__ = ["load", "save"]


def save(model, path: str | bytes | os.PathLike) -> None:
    """Write `model.state_dict()` to a file, .npz or .safetensors.

    The file appears under its name only once it is complete: a process killed while saving leaves
    an older file of that name as it was, and beside it what it had written, in a file that ends in
    .tmp. A file that is replaced hands its permissions on; through a link, the file it points to is
    written. A .safetensors file gets a checksum of its arrays as metadata; an .npz has its own.

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
        with open(temporary, "wb") as file:
            write(file, state)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(path):
            os.chmod(temporary, stat.S_IMODE(os.stat(path).st_mode))
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


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
