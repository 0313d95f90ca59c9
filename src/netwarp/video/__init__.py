"""Read frames and write videos and label maps; knows no network."""
