"""The version of the package. No other file contains it."""

__version__ = "0.2.0"
