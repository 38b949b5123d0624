"""Commands that take more than a few lines. Thin; the work is done below them."""
