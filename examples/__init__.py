"""Programs that demonstrate the product."""
