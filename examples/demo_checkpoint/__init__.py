"""Makes the demo checkpoint: footage, tampering, training and measurement. Not part of the package."""
