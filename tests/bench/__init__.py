"""Measurements: programs that print the numbers that the README shows."""
