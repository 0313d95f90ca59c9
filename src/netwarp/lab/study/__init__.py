"""``netwarp experiment``: what NetWarp gains on labelled video, against controls, over two folds and several seeds."""
