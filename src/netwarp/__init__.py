"""netwarp."""
