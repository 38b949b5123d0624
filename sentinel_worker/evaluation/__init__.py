"""Measures a detector on labelled files and fits its calibration to them. Needs the extra `reports`."""
