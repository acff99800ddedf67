"""Control groups: version 1 and version 2 behind one interface."""
