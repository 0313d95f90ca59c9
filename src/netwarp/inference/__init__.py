"""What runs models: over videos, and over training data."""
