"""Convert published weights of other frameworks into netwarp's files."""
