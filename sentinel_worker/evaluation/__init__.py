"""Measures a detector on labelled files and fits its calibration to them. Needs the extra `reports`.

Belongs here: manifests, splits, metrics and fits. Knows nothing of how a file is scored. May import `detectors` and
below.
"""
