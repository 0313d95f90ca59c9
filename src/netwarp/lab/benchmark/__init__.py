"""``netwarp benchmark``: what the warp costs over the memory's limit, and what video costs over single frames."""
