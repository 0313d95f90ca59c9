"""Data: frames and video in and out, label maps, labelled clips, rendered streets."""
