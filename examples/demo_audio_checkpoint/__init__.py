"""Makes the demo checkpoint for sound: voices, music, tampering, training, measurement. Not part of the package."""
