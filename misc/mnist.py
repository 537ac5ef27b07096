"""The digits of MNIST, from the file that lies beside this one."""

import hashlib
from pathlib import Path

import numpy as np

PATH = Path(__file__).resolve().with_name("mnist.npz")
CHECKSUM = "d2fc8bab397b964798b4c839bd1e705e10a4bb65f4d56a88002229d145796751"


def load(path=PATH):
    """Images (n, 28, 28) and digits (n,) to learn from, then those of the test; all uint8.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is not the one that misc/README.md describes.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"the MNIST digits are missing: {path} is part of the repository, in misc/"
        )
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    if checksum != CHECKSUM:
        raise ValueError(
            f"the MNIST digits are damaged: {path} has the SHA-256 checksum {checksum}, not the "
            f"one in misc/README.md. Get misc/{path.name} from the repository again."
        )
    with np.load(path) as arrays:
        return [arrays[name] for name in ("X_train", "y_train", "X_test", "y_test")]
