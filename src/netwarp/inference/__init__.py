"""Run models over videos: as a stream, in windows, and rendered to files."""
