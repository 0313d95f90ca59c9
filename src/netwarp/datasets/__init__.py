"""Data sets: clips with labels on some of their frames, and samples of them for training; knows no network."""
