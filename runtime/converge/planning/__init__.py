"""Pure planning: from the desired and the observed app to the next actions."""
