"""Files that keep the state of a model or an optimizer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import numpy as np

__all__ = ["load", "save"]


def save(model, path: str | os.PathLike) -> None:
    """Write `model.state_dict()` to a file, .npz or .safetensors.

    The file appears under its name only once it is complete: a process killed while saving leaves
    an older file of that name as it was, and beside it what it had written, in a file that ends in
    .tmp.

    Args:
        model: a Module, an Optimizer, or anything with a `state_dict()` of arrays.
        path: where to; the ending decides the format. .safetensors wants the safetensors package.

    Raises:
        ValueError: the path ends otherwise.
    """
    path = os.fspath(path)
    write = _file_format(path)[0]
    temporary = f"{path}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(temporary, "wb") as file:
            write(file, model.state_dict())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.remove(temporary)


def load(model, path: str | os.PathLike, strict: bool = True) -> None:
    """Read what `save` wrote back into a model (or optimizer) of the same form.

    Nothing is unpickled, and nothing is changed unless the whole file is read and fits.

    Raises:
        ValueError: the file is damaged, of another kind, or doesn't fit the model.
    """
    path = os.fspath(path)
    read = _file_format(path)[1]
    with open(path, "rb") as file:
        try:
            state = read(file)
        except Exception as error:  # each library raises its own kinds for a damaged file
            kind = os.path.splitext(path)[1]
            raise ValueError(f"load: {path} is not a complete {kind} file: {error}") from error
    model.load_state_dict(state, strict)


def _file_format(path: str) -> tuple[Callable, Callable]:
    """The functions that write and read the format that the path's ending names."""
    if path.endswith(".npz"):
        return _write_npz, _read_npz
    if path.endswith(".safetensors"):
        try:
            import safetensors.numpy as safetensors
        except ImportError:
            raise ImportError(
                ".safetensors files want a package: pip install 'micrograd-tensor[safetensors]'"
            ) from None
        return (
            lambda file, state: file.write(safetensors.save(state)),
            lambda file: safetensors.load(file.read()),
        )
    raise ValueError(f"expected a path that ends in .npz or .safetensors, got {path!r}")


def _write_npz(file, state: dict[str, np.ndarray]) -> None:
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:  # np.savez can't take an array named "file"
        for name, array in state.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _read_npz(file) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
