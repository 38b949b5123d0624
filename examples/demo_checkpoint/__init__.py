"""How the demo checkpoint is made: footage, tampering, training and measurement. Not part of the package."""
