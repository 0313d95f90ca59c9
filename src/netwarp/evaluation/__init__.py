"""Score models and predictions on clips with labels."""
