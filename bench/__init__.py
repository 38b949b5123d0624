"""Figures of this machine, printed; never asserted as a test."""
