"""``netwarp reproduce``: the paper's tables and figures, on whatever data there is, beside the paper's own numbers."""
