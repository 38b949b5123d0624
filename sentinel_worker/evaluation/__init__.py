"""How right a detector is on labelled files, and the calibration that they give. Needs the extra `reports`."""
