"""Measurements: programs that print the numbers that the README and docs/ show."""
