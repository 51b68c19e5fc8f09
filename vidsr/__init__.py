"""Restore small and blurred faces in films. Importing this package loads nothing heavy."""

__version__ = "0.1.0"
