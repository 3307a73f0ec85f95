"""polyback."""
