"""Pure planning: the next actions, from the desired and the observed state of an app."""
