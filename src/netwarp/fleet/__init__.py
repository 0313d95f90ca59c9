"""Many videos by many workers: what there is to do, who does it, and what was done."""
