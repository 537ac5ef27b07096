"""Reverse-mode automatic differentiation on NumPy arrays, and a small neural-network library."""

from micrograd import nn, optim
from micrograd.engine import *  # noqa: F403
from micrograd.engine import __all__ as _operations

__version__ = "1.0.0"
__all__ = ["nn", "optim", *_operations]
