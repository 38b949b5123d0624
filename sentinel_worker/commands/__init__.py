"""The commands that need no database: `models`, `analyze`, `evaluate`. Thin; the work is done below them."""
