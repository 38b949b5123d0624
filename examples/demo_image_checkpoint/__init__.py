"""Makes the demo checkpoint for pictures: photographs, tampering, training and measurement. Not part of the package."""
